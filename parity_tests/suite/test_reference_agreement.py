"""One set of weights, three hand-written nets: the same values at every named layer and in the embedding.

MXNet runs in float32, as it only does; torch and Paddle run in float64. PyTorch's are the values compared against.
Figures: rel-RMSE below 1e-5 at every layer and 1-cos below 1e-10 for the embedding in float32, 1e-13 in float64.
"""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from facecvt.reference_models import build, names, spec
from facecvt.reference_models.seeded import seeded_state
from facecvt.reference_models.weights import exchange, split_auxiliary

CASES = [
    ("r18", {}),
    ("r50", {}),
    ("mobilefacenet", {}),
    ("adaface_ir18", {}),
    pytest.param("adaface_ir_se50", {"normalize": False}, marks=pytest.mark.slow),
    pytest.param("r18", {"normalize": True, "embedding_size": 128}, marks=pytest.mark.slow),
    ("mobilefacenet", {"normalize": True, "embedding_size": 512}),
    ("blazeface_mediapipe_front", {}),
    pytest.param("blazeface_mediapipe_back", {}, marks=pytest.mark.slow),
    ("mbf", {"scale": 1, "embedding_size": 96}),
    ("mobilefacenet_y1", {}),
    pytest.param("fmobilenet", {"multiplier": 0.5, "output": "GDC"}, marks=pytest.mark.slow),
    pytest.param("fmobilenet", {"input_size": 224, "multiplier": 0.25}, marks=pytest.mark.slow),
    pytest.param("fmobilenet", {"output": "J", "multiplier": 0.25, "normalize": True}, marks=pytest.mark.slow),
    pytest.param("mobilefacenet_y2", {"normalize": True}, marks=pytest.mark.slow),
    pytest.param("fmobilefacenet", {}, marks=pytest.mark.slow),
    pytest.param("fmobilefacenet", {"output": "FC"}, marks=pytest.mark.slow),
    pytest.param("fmobilefacenet", {"output": "J"}, marks=pytest.mark.slow),
    pytest.param("fmobilefacenet", {"output": "GNAP"}, marks=pytest.mark.slow),
    pytest.param("fmobilefacenet", {"output": "GNAP", "embedding_size": 256}, marks=pytest.mark.slow),
    *(
        pytest.param(name, {"output": output} | options, marks=pytest.mark.slow)
        for name, options in (("fmobilefacenet", {}), ("fmobilenet", {"multiplier": 0.5}))
        for output in ("F", "H", "GAP", "SFC", "GNAP", "A", "B", "D")
    ),
    pytest.param("fmobilenet", {"output": "GNAP", "embedding_size": 600, "multiplier": 0.25}, marks=pytest.mark.slow),
    pytest.param("mbf", {"normalize": True}, marks=pytest.mark.slow),
    pytest.param("mbf_large", {}, marks=pytest.mark.slow),
    ("mobilenet_v2", {"alpha": 0.35}),
    ("mobilenet_v3_small", {"num_classes": 10}),
    pytest.param("mobilenet_v1", {}, marks=pytest.mark.slow),
    pytest.param("mobilenet_v2", {}, marks=pytest.mark.slow),
    pytest.param("mobilenet_v3_large", {}, marks=pytest.mark.slow),
    pytest.param("mobilenet_v3_se_bn_small", {}, marks=pytest.mark.slow),
    pytest.param("mobilenet_v3_se_bn_large", {"num_classes": 10}, marks=pytest.mark.slow),
    pytest.param("r34", {}, marks=pytest.mark.slow),
    ("slimfacenet_a_x0_60", {}),
    pytest.param("slimfacenet_b_x0_75", {"relu": True}, marks=pytest.mark.slow),
    pytest.param("slimfacenet_c_x0_75", {"embedding_size": 96, "width": 0.9}, marks=pytest.mark.slow),
    pytest.param(
        "slimfacenet_a_x0_60", {"width": 1.0, "arch": (5, 4, 3, 2, 1, 0) * 2 + (5, 4, 3)}, marks=pytest.mark.slow
    ),
    pytest.param("fresresnet50", {"embedding_size": 64}, marks=pytest.mark.slow),
    pytest.param("fresresnet50", {"fc_type": "Z"}, marks=pytest.mark.slow),
    pytest.param("fresresnet101", {"fc_type": "FC", "static": True}, marks=pytest.mark.slow),
    pytest.param("fresresnet100", {}, marks=pytest.mark.slow),
    pytest.param("fresresnet152", {}, marks=pytest.mark.slow),
    pytest.param("r100", {}, marks=pytest.mark.slow),
    ("fresnet18", {"unit": 2, "se": True, "output": "GNAP", "embedding_size": 64}),
    *(
        pytest.param("fresnet18", options, marks=pytest.mark.slow)
        for options in (
            {"unit": 1, "input": 0, "se": True, "normalize": True},
            {"input": 2, "activation": "relu", "output": "F"},
            {"activation": "tanh", "output": "SFC"},
            {"activation": "softrelu", "unit": 2, "output": "GAP"},
            {"activation": "sigmoid", "se": True, "output": "GDC"},
            {"activation": "softsign", "output": "H", "embedding_size": 96},
            {"output": "GNAP", "embedding_size": 600},
            {"output": "GNAP"},
            {"output": "A", "revision": "2018", "unit": 1},
            {"output": "D", "revision": "2018", "activation": "relu"},
        )
    ),
    pytest.param("fresnet101", {"revision": "2018", "unit": 2, "output": "BX"}, marks=pytest.mark.slow),
    pytest.param("fresnet101", {"revision": "2018", "se": True}, marks=pytest.mark.slow),
    pytest.param("fresnet101", {"revision": "2018", "unit": 1, "input": 0, "output": "C"}, marks=pytest.mark.slow),
    pytest.param("fresnet200", {}, marks=pytest.mark.slow),
    pytest.param("r200", {}, marks=pytest.mark.slow),
    pytest.param("adaface_ir101", {}, marks=pytest.mark.slow),
    pytest.param("adaface_ir152", {"normalize": False}, marks=pytest.mark.slow),
    pytest.param("adaface_ir_se200", {"embedding_size": 96}, marks=pytest.mark.slow),
    ("resnet18", {}),
    pytest.param("resnet34", {}, marks=pytest.mark.slow),
    pytest.param("resnet50", {"replace_stride_with_dilation": (False, True, True)}, marks=pytest.mark.slow),
    pytest.param("resnet152", {"num_classes": 10}, marks=pytest.mark.slow),
    pytest.param("resnext50_32x4d", {"zero_init_residual": True}, marks=pytest.mark.slow),
    pytest.param("wide_resnet50_2", {}, marks=pytest.mark.slow),
    pytest.param("resnet50", {"groups": 8, "width_per_group": 12}, marks=pytest.mark.slow),
    pytest.param("resnet_std18", {}, marks=pytest.mark.slow),
    pytest.param("resnet_std101", {"normalize": False, "embedding_size": 96}, marks=pytest.mark.slow),
]


def with_every_architecture(cases):
    """The cases, and every architecture that they leave out, as it is by default."""
    plain = [case.values if hasattr(case, "values") else case for case in cases]
    seen = {spec(name).name for name, options in plain if not options}
    rest = [name for name in names() if name not in seen and not name.startswith("blazeface_") and name != "blazeface"]
    return [*cases, *(pytest.param(name, {}, marks=pytest.mark.slow) for name in rest)]


def rel_rmse(value, reference):
    return float(np.sqrt(np.mean((value - reference) ** 2) / np.mean(reference**2)))


def one_minus_cos(value, reference):
    value, reference = (array.astype(np.float64).reshape(len(array), -1) for array in (value, reference))
    lengths = np.linalg.norm(value, axis=1) * np.linalg.norm(reference, axis=1)
    return float((1 - (value * reference).sum(axis=1) / lengths).max())


def named_outputs(outputs):
    """The embedding as "output", what a net gives besides as "output 1" and so on."""
    outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    return {f"output {index}" if index else "output": output.numpy() for index, output in enumerate(outputs)}


def eps_option(arch, eps):
    """The option of a net that has a BatchNorm."""
    return {"eps": eps} if "eps" in arch.options else {}


class Listeners:
    """Hooks live as long as their net; whom they tell changes with every run. Nothing is kept: a deep net's values at
    batch 3 are gigabytes."""

    def tell(self, layer, value):
        self.on_value(layer, value)

    @contextmanager
    def told_to(self, on_value):
        self.on_value = on_value
        yield
        del self.on_value


def torch_runner(torch, arch, state, eps):
    """Calls ``on_value(canonical layer name, value)`` for every named layer, float64; "output" is the embedding."""
    net = build(arch.name, "torch", **dict(arch.options) | eps_option(arch, eps))
    net.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()}, strict=True)
    net.double().eval()
    for module in net.modules():
        if hasattr(module, "eps"):
            module.eps = float(np.float32(module.eps))  # where a layer has another eps than the rest
        if hasattr(module, "slope"):
            module.slope = float(np.float32(module.slope))  # of a hard sigmoid; Paddle keeps it in float32 as well
    seen = Listeners()
    for layer, path in arch.names("torch").taps(arch.layers()).items():
        hook = lambda _m, _i, out, layer=layer: seen.tell(layer, out.numpy().copy())  # noqa: E731
        net.get_submodule(path).register_forward_hook(hook)

    def run(x, on_value):
        with torch.no_grad(), seen.told_to(on_value):
            for name, value in named_outputs(net(torch.from_numpy(x).double())).items():
                on_value(name, value)

    return run


def paddle_runner(paddle, arch, state, eps):
    net = build(arch.name, "paddle", **dict(arch.options) | eps_option(arch, eps))
    net.set_state_dict(state)
    net.to(dtype="float64")
    net.eval()
    seen = Listeners()
    paths = dict(net.named_sublayers())
    for layer, path in arch.names("paddle").taps(arch.layers()).items():
        hook = lambda _l, _i, out, layer=layer: seen.tell(layer, out.numpy())  # noqa: E731
        paths[path].register_forward_post_hook(hook)

    def run(x, on_value):
        with paddle.no_grad(), seen.told_to(on_value):
            for name, value in named_outputs(net(paddle.to_tensor(x.astype(np.float64)))).items():
                on_value(name, value)

    return run


def mxnet_runner(mx, arch, state):
    symbol = build(arch.name, "mxnet", **dict(arch.options))
    args, aux = split_auxiliary({name: mx.nd.array(array) for name, array in state.items()}, arch)
    inside = symbol.get_internals()
    taps = arch.names("mxnet").taps(arch.layers())
    group = mx.sym.Group([inside[name] for name in taps.values()] + [symbol])

    def run(x, on_value):
        executor = group.bind(mx.cpu(), args | {"data": mx.nd.array(x)}, aux_states=aux, grad_req="null")
        count = len(symbol.list_outputs())
        names = [*taps, "output", *(f"output {index}" for index in range(1, count))]
        for name, value in zip(names, executor.forward(is_train=False), strict=True):
            on_value(name, value.asnumpy())

    return run


def embedding(run, x):
    """What the net gives, without its layers."""
    values = {}
    run(x, lambda name, value: values.update({name: value} if name == "output" else {}))
    return values["output"]


def inputs(batch, size=(112, 112)):
    """Pixels: noise in the first image, then smooth ones such as faces have."""
    random = np.random.default_rng(batch)
    rows, columns = (np.linspace(0, 3, edge) for edge in size)
    smooth = 127.5 + 100 * np.sin(rows[:, None] + random.uniform(0, 6, (batch, 3, 1, 1))) * np.cos(columns[None, :])
    pixels = smooth + random.normal(0, 8, smooth.shape)
    pixels[0] = random.integers(0, 256, pixels[0].shape)
    return np.clip(np.rint(pixels), 0, 255).astype(np.float32)


@pytest.mark.parametrize(("name", "options"), with_every_architecture(CASES))
def test_three_nets_agree_at_every_layer(name, options, torch_module, paddle_module, mxnet_module):
    arch = spec(name, **options)
    # Paddle and MXNet keep an eps in float32, also where they compute in float64
    eps = float(np.float32(arch.eps.get("mxnet", 0)))
    state = seeded_state(arch, "mxnet")
    run_torch = torch_runner(torch_module, arch, exchange(state, "mxnet", "torch", arch, effective=True), eps)
    run_paddle = paddle_runner(paddle_module, arch, exchange(state, "mxnet", "paddle", arch, effective=True), eps)
    run_mxnet = mxnet_runner(mxnet_module, arch, state)
    functions = ("Flatten", "LpNormalization", "ReduceL2", "Pad", "Transpose", "Reshape", "Concat")
    wanted = {la.name for la in arch.layers() if la.op not in functions} | {"output"}
    wanted -= {name for name in wanted if name.endswith(".add")}  # a sum in front of a ReLU is no module
    for batch in (1, 3):
        pixels = inputs(batch, arch.contracts["torch"].shape[2:])
        scaled = ((pixels - 127.5) * np.float32(0.0078125)).astype(np.float32)
        compare(arch, wanted, (run_torch, scaled), (run_paddle, scaled), (run_mxnet, of_mxnet(arch, pixels, scaled)))


def of_mxnet(arch, pixels, scaled):
    """What the symbol is fed: pixels where it scales them itself."""
    return pixels if arch.contracts["mxnet"].in_graph else scaled


def compare(arch, wanted, ours, paddle, mxnet):
    """Run the three nets, each a function and its input, one after the other; torch's values are kept, no others."""
    reference = {}
    ours[0](ours[1], reference.__setitem__)
    assert wanted <= set(reference)
    seen = set()

    def as_in_torch(layer, value):
        seen.add(layer)
        assert rel_rmse(value, reference[layer]) < 1e-13, layer

    paddle[0](paddle[1], as_in_torch)
    assert seen == set(reference)

    wanted = wanted | {name for name in reference if name.startswith("output ")}
    seen.clear()

    def as_in_float64(layer, value):
        seen.add(layer)
        if layer not in wanted:
            return
        assert value.shape == reference[layer].shape, layer
        assert rel_rmse(value, reference[layer]) < 1e-5, layer
        if layer == "output":
            assert one_minus_cos(value, reference[layer]) < 1e-10
            if arch.normalised:
                assert np.allclose(np.linalg.norm(value, axis=1), 1, atol=1e-6)

    mxnet[0](mxnet[1], as_in_float64)
    assert wanted <= seen
    if arch.embedding_size:
        assert reference["output"].shape == (len(ours[1]), arch.embedding_size)


def test_a_wrong_eps_or_a_used_gamma_shows(torch_module, mxnet_module):
    """What the traps cost on these weights: without them the figures above would prove little."""
    arch = spec("r18")
    state = seeded_state(arch, "mxnet")
    pixels = inputs(1)
    scaled = ((pixels - 127.5) * np.float32(0.0078125)).astype(np.float32)
    mxnet = embedding(mxnet_runner(mxnet_module, arch, state), pixels)
    ours = exchange(state, "mxnet", "torch", arch, effective=True)
    wrong_eps = embedding(torch_runner(torch_module, arch, ours, 1e-5), scaled)
    assert rel_rmse(mxnet, wrong_eps) > 2e-5
    kept = exchange(state, "mxnet", "torch", arch)
    kept_gamma = embedding(torch_runner(torch_module, arch, kept, 2e-5), scaled)
    assert rel_rmse(mxnet, kept_gamma) > 0.3
