"""What is AdaFace's own: BGR, two input sizes, two outputs, and a last BatchNorm without scale and shift."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from facecvt.converters.errors import UsageError
from facecvt.reference_models import build, names, spec
from facecvt.reference_models.materialise import write_reference
from facecvt.reference_models.seeded import seeded_state
from facecvt.reference_models.weights import state_entries

ALL = [name for name in names() if spec(name).family == "adaface"]


def test_all_depths_are_there():
    plain = [f"adaface_ir{depth}" for depth in (18, 34, 50, 101, 152, 200)]
    squeezed = [f"adaface_ir_se{depth}" for depth in (50, 101, 152, 200)]
    assert [*plain, *squeezed] == ALL


@pytest.mark.parametrize(("size", "maps"), [(112, (56, 28, 14, 7)), (224, (112, 56, 28, 14))])
def test_blue_comes_first_and_the_size_is_an_option(size, maps):
    declared = spec("adaface_ir_se_50", input_size=size)
    assert tuple(stage.size for stage in declared.stages) == maps
    for framework, name in (("torch", "x"), ("paddle", "x"), ("mxnet", "data")):
        contract = declared.contracts[framework]
        assert (contract.name, contract.shape) == (name, ("batch", 3, size, size))
        assert (contract.color, contract.mean, contract.scale) == ("BGR", (127.5,), (1 / 127.5,))
        assert not contract.in_graph
    weight = next(e for e in state_entries(declared, "torch") if e.name == "output_layer.3.weight")
    assert weight.shape == (512, 512 * maps[-1] ** 2)


def test_other_sizes_are_refused():
    for size in (96, 112.5, True, "112"):
        with pytest.raises(UsageError, match="input_size cannot be"):
            spec("adaface_ir_18", input_size=size)
    with pytest.raises(UsageError, match="no option 'input_size'"):
        spec("r18", input_size=224)


@pytest.mark.parametrize("name", ALL)
def test_the_state_has_no_scale_and_no_shift_at_the_end(name):
    for framework, leaves in (
        ("torch", ["running_mean", "running_var", "num_batches_tracked"]),
        ("paddle", ["_mean", "_variance"]),
    ):
        entries = [e.name for e in state_entries(spec(name), framework)]
        assert [e.removeprefix("output_layer.4.") for e in entries if e.startswith("output_layer.4.")] == leaves
        parts = [e.partition(".")[0] for e in entries]
        assert list(dict.fromkeys(parts)) == ["input_layer", "output_layer", "body"]
    arguments = [e.name for e in state_entries(spec(name), "mxnet")]
    last = [e for e in arguments if e.startswith("output_layer_4_")]
    assert last == ["output_layer_4_moving_mean", "output_layer_4_moving_var"]


@pytest.mark.parametrize(
    ("options", "facts"),
    [({}, {"p": 0.4, "eps": 1e-5, "momentum": 0.1}), ({"dropout": 0.1, "eps": 2e-5}, {"p": 0.1, "eps": 2e-5})],
)
def test_hyper_parameters_of_training(options, facts, torch_module):
    net = build("adaface_ir_18", "torch", embedding_size=8, **options)
    nn = torch_module.nn
    norms = [m for m in net.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    assert {norm.eps for norm in norms} == {facts["eps"]}
    assert {norm.momentum for norm in norms} == {facts.get("momentum", 0.1)}
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == [facts["p"]]
    assert {float(w) for m in net.modules() if isinstance(m, nn.PReLU) for w in m.weight.detach()} == {0.25}


def test_one_training_forward_moves_the_same_statistics(torch_module, mxnet_module):
    """MXNet's last BatchNorm computes with gamma 1 and beta 0 that are constants, in training too."""
    arch = spec("adaface_ir18", embedding_size=16, dropout=0.0, normalize=False)
    weights = seeded_state(arch, "torch")
    net = build(arch.name, "torch", **arch.options)
    net.load_state_dict({name: torch_module.from_numpy(array.copy()) for name, array in weights.items()})
    x = np.random.default_rng(0).uniform(-1, 1, (4, 3, 112, 112)).astype(np.float32)
    with torch_module.no_grad():
        expected = net.train()(torch_module.from_numpy(x)).numpy()

    mx = mxnet_module
    symbol = build(arch.name, "mxnet", **arch.options)
    state = {name: mx.nd.array(array) for name, array in seeded_state(arch, "mxnet").items()}
    aux = {name: state.pop(name) for name in symbol.list_auxiliary_states()}
    args = state | {"data": mx.nd.array(x)}
    gradient = {"data": mx.nd.zeros(x.shape)}  # MXNet moves its statistics on the way back
    executor = symbol.bind(mx.cpu(), args, args_grad=gradient, aux_states=aux)
    output = executor.forward(is_train=True)[0].asnumpy()
    executor.backward(mx.nd.ones((4, 16)))
    mx.nd.waitall()  # the engine does not know that the way back writes to auxiliary states
    assert np.abs(output - expected).max() < 5e-5 * np.abs(expected).max()  # statistics of four amplify the noise
    mean = net.state_dict()["output_layer.4.running_mean"].numpy()
    moved = aux["output_layer_4_moving_mean"].asnumpy()
    assert np.abs(moved - mean).max() < 1e-5
    assert np.abs(moved - weights["output_layer.4.running_mean"]).max() > 1e-3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*constant folding:UserWarning")
@pytest.mark.parametrize("framework", ["mxnet", "paddle", "onnx"])
def test_converted_files_become_the_public_class(framework, tmp_path, request):
    """From files to a ``model.py`` that needs torch alone, with both outputs, BGR said, and upstream's keys."""
    torch = request.getfixturevalue("torch_module")
    if framework != "onnx":
        request.getfixturevalue(f"{framework}_module")
    from facecvt.converters.conversion import convert_files
    from facecvt.converters.formats.locate import locate
    from facecvt.reference_models.public_class import public_class

    net = build("adaface_ir18", "torch").eval()
    state = seeded_state(spec("adaface_ir18"), "torch")
    net.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    if framework == "onnx":
        written = tmp_path / "ada.onnx"
        preserve = torch.onnx.TrainingMode.PRESERVE
        torch.onnx.export(net, (torch.zeros(2, 3, 112, 112),), str(written), dynamo=False, training=preserve,
                          input_names=["x"], dynamic_axes={"x": {0: "batch"}})  # fmt: skip
    else:
        written = write_reference("adaface_ir_18", framework, tmp_path / "source")
    target = tmp_path / "converted"
    conversion = convert_files(framework, locate(framework, str(written)), "torch", target, recogniser=public_class)
    assert conversion.recognised == "adaface_ir18"
    assert [contract.color for contract in conversion.contracts] == ["BGR"]
    paths = {name for name, _ in build("adaface_ir18", "torch").named_modules()}
    modules = [tap.removeprefix("module:") for tap in conversion.taps.values()]
    assert set(modules) <= paths
    assert {"input_layer.0", "body.0.shortcut_layer", "body.7", "output_layer.4"} <= set(modules)

    code = """
import json, sys
import numpy as np, torch
import model
net = model.load()
x = torch.from_numpy(np.load("x.npy"))
with torch.no_grad():
    feature, norm = net(x)
np.savez("out.npz", feature=feature.numpy(), norm=norm.numpy())
assert not any(name.startswith("facecvt") for name in sys.modules)
print(json.dumps(list(net.state_dict())))
"""
    x = np.random.default_rng(0).uniform(-1, 1, (3, 3, 112, 112)).astype(np.float32)
    np.save(target / "x.npy", x)
    done = subprocess.run([sys.executable, "-c", code], cwd=target, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == [e.name for e in state_entries(spec("adaface_ir18"), "torch")]

    with torch.no_grad():
        feature, norm = (value.numpy() for value in net(torch.from_numpy(x)))
    out = np.load(target / "out.npz")
    assert out["norm"].shape == (3, 1)
    assert np.abs(out["feature"] - feature).max() < 1e-5 * np.abs(feature).max()
    assert np.abs(out["norm"] - norm).max() < 1e-5 * norm.max()
    assert np.allclose(np.linalg.norm(out["feature"], axis=1), 1, atol=1e-6)


def test_the_two_forms_are_one_network(torch_module):
    """feature * norm is the raw feature; the norm is its length."""
    raw = build("paddleclas_adaface_ir_18", "torch", embedding_size=32).eval()
    both = build("adaface_ir_18", "torch", embedding_size=32).eval()
    both.load_state_dict(raw.state_dict(), strict=True)
    x = torch_module.rand(2, 3, 112, 112, generator=torch_module.Generator().manual_seed(0)) * 2 - 1
    with torch_module.no_grad():
        value = raw(x).numpy()
        feature, norm = (output.numpy() for output in both(x))
    assert norm.shape == (2, 1)
    assert np.abs(norm[:, 0] - np.linalg.norm(value, axis=1)).max() < 1e-5 * norm.max()
    assert np.abs(feature * norm - value).max() < 1e-6 * np.abs(value).max()


def test_live_modules_are_upstreams(upstream_kit, torch_module):
    """What a forward pass cannot show: counts of modules, BatchNorm's momentum, dropout, every convolution."""
    nn = torch_module.nn
    entries = sorted((upstream_kit / "torch").glob("adaface_*.json"))
    assert len(entries) >= 10
    for path in entries:
        facts = json.loads(path.read_text(encoding="utf-8"))
        with torch_module.device("meta"):
            net = build(path.stem, "torch")
        modules = dict(net.named_modules())
        leaves = {name: module for name, module in modules.items() if not list(module.children())}
        assert Counter(type(module).__name__ for module in leaves.values()) == facts["leaf_module_counts"]
        convolutions = [
            [name, m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0], m.padding[0], m.groups]
            for name, m in modules.items()
            if isinstance(m, nn.Conv2d)
        ]
        assert convolutions == facts["convolutions"]
        for kind, keys in (
            ("BatchNorm2d", ("eps", "momentum", "affine", "track_running_stats")),
            ("BatchNorm1d", ("eps", "momentum", "affine", "track_running_stats")),
            ("Dropout", ("p",)),
            ("MaxPool2d", ("kernel_size", "stride", "padding", "ceil_mode")),
        ):
            ours = {tuple(getattr(m, key) for key in keys) for m in leaves.values() if type(m).__name__ == kind}
            wanted = {
                tuple(row["kernel" if key == "kernel_size" else key] for key in keys)
                for row in facts["layer_classes"][kind]
            }
            assert ours == wanted, kind
