"""Writes Paddle files with the installed Paddle, for the tests to read.

Call: ``python export_paddle_samples.py legacy|pir FOLDER``. It is a process of its own, because Paddle decides once, at
import, which of its two program dialects it writes.
"""

import json
import os
import sys

DIALECT, FOLDER = sys.argv[1:]
os.environ["FLAGS_enable_pir_api"] = "0" if DIALECT == "legacy" else "1"  # noqa: SIM112 - its real name

import numpy as np  # noqa: E402
import paddle  # noqa: E402

nn, functional = paddle.nn, paddle.nn.functional
os.chdir(FOLDER)


class Net(nn.Layer):
    """The layers of a small face network; more than ten convolutions, so that sorted order is not the program's."""

    def __init__(self):
        super().__init__()
        self.convs = nn.LayerList([nn.Conv2D(3 if i == 0 else 4, 4, 3, padding=1, bias_attr=None) for i in range(11)])
        self.norms = nn.LayerList([nn.BatchNorm2D(4, epsilon=1e-5 * (i + 1)) for i in range(11)])
        self.prelu = nn.PReLU(4)
        self.depthwise = nn.Conv2D(4, 4, 3, groups=4, stride=2, bias_attr=False)
        self.linear = nn.Linear(4 * 7 * 7, 5)

    def forward(self, image):
        x = image
        for conv, norm in zip(self.convs, self.norms):  # noqa: B905 - Paddle cannot trace strict=
            x = norm(conv(x))
        x = self.depthwise(self.prelu(x))
        return self.linear(paddle.flatten(x, 1))


class Lists(nn.Layer):
    """Operators with list operands and results, absent operands, several outputs, a non-finite constant."""

    def forward(self, image):
        left, right = paddle.split(image, 2, axis=1)
        x = paddle.concat([right, left, image], axis=1)
        values, indices = paddle.topk(x, 2, axis=1)
        x = functional.interpolate(values, scale_factor=2)
        return x * float("-inf"), indices, left


def describe_loaded(prefix):
    """What Paddle itself sees when it reads a PIR program back: names, attributes and operands of all operators."""
    program, feeds, _ = paddle.static.load_inference_model(prefix, paddle.static.Executor())
    ops = list(program.global_block().ops)
    index_of = {op.id(): index for index, op in enumerate(ops)}
    return {
        "feeds": feeds,
        "ops": [
            {
                "name": op.name(),
                "attrs": {
                    key: value
                    for key, value in op.attrs().items()
                    if isinstance(value, bool | int | float | str | list)
                },
                "operands": [
                    index_of[source.get_defining_op().id()] if source.initialized() else None
                    for source in op.operands_source()
                ],
                "results": op.num_results(),
            }
            for op in ops
        ],
    }


def save_pickles():
    for protocol in (2, 3, 4):
        paddle.seed(7)
        net = Net()
        paddle.save(net.state_dict(), f"layer_{protocol}.pdparams", protocol=protocol)
        np.savez(f"layer_{protocol}.npz", **{key: value.numpy() for key, value in net.state_dict().items()})
    paddle.save({"list": [1, 2]}, "no_state.pdparams")
    paddle.save({"tensor": paddle.ones([2, 2], "float64"), "half": paddle.ones([3], "float16")}, "tensors.pdparams")


def save_static():
    """A network that was built as a static program: save_inference_model, static.save, and separate files."""
    paddle.enable_static()
    main, startup = paddle.static.Program(), paddle.static.Program()
    with paddle.static.program_guard(main, startup):
        image = paddle.static.data("image", [None, 3, 8, 8], "float32")
        hidden = nn.Conv2D(3, 6, 3)(image)
        output = nn.Linear(6 * 6 * 6, 4)(paddle.flatten(nn.BatchNorm2D(6)(hidden), 1))
        executor = paddle.static.Executor()
        executor.run(startup)
        paddle.static.save_inference_model("static_inference", [image], [output], executor, program=main)
        paddle.static.save(main, "static_save")
        if DIALECT == "legacy":
            os.makedirs("separate", exist_ok=True)
            program = paddle.static.normalize_program(main, [image], [output])
            paddle.static.io.save_vars(
                executor,
                "separate",
                program,
                predicate=lambda var: var.persistable and var.name not in ("feed", "fetch"),
            )
            with open("separate/__model__", "wb") as stream:
                stream.write(paddle.static.serialize_program([image], [output], program=main))


def main():
    paddle.seed(0)
    net = Net()
    net.eval()
    spec = paddle.static.InputSpec([None, 3, 16, 16], "float32", "image")
    for number, value in enumerate(net.state_dict().values()):  # initial BatchNorm vectors would all be alike
        value.set_value(np.random.default_rng(number).uniform(0.5, 1.5, value.shape).astype("float32"))
    paddle.jit.save(net, "net/inference", input_spec=[spec])
    np.savez("net_by_name.npz", **{value.name: value.numpy() for value in net.state_dict().values()})
    lists = Lists()
    lists.eval()
    paddle.jit.save(lists, "lists/inference", input_spec=[paddle.static.InputSpec([None, 4, 8, 8], "float32", "image")])
    if DIALECT == "pir":
        save_pickles()
    save_static()
    if DIALECT == "pir":
        for name in ("net", "lists"):
            with open(f"{name}/paddle.json", "w") as stream:
                json.dump(describe_loaded(f"{name}/inference"), stream)


main()
