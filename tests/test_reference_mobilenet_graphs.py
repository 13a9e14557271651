"""Graphs of MobileNet V1, V2 and the two forms of V3, as every framework writes them, and what becomes of them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from facecvt.reference_models import build, names, spec
from facecvt.reference_models.materialise import write_reference
from facecvt.reference_models.recognise import recognise
from facecvt.reference_models.seeded import seeded_state
from facecvt.reference_models.weights import state_entries

SIX = [name for name in names() if spec(name).family.startswith("mobilenet_v")]


def exported(torch, net, path, opset=17):
    size = 224
    preserve = torch.onnx.TrainingMode.PRESERVE
    torch.onnx.export(
        net.eval(), (torch.zeros(1, 3, size, size),), str(path), dynamo=False, training=preserve, opset_version=opset
    )
    from facecvt.converters.readers.from_onnx import read_onnx

    return read_onnx(path)


@pytest.mark.filterwarnings("ignore:.*constant folding:UserWarning")
@pytest.mark.parametrize(
    ("name", "options", "opset"),
    [
        pytest.param("mobilenet_v1", {"num_classes": 5}, 17, marks=pytest.mark.slow),
        ("mobilenet_v2", {"alpha": 0.35, "num_classes": 10}, 17),
        pytest.param("mobilenet_v2", {"alpha": 0.5, "narrow_last": True}, 11, marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_small", {"num_classes": 7}, 12, marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_se_bn_small", {}, 17, marks=pytest.mark.slow),
        pytest.param("mobilenet_v2", {"alpha": 1.4}, 13, marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_large", {}, 18, marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_se_bn_large", {}, 13, marks=pytest.mark.slow),
    ],
)
def test_torch_export_is_recognised(name, options, opset, tmp_path, torch_module):
    arch = spec(name, **options)
    net = build(name, "torch", **options)
    state = seeded_state(arch, "torch")
    net.load_state_dict({key: torch_module.from_numpy(array) for key, array in state.items()})
    found = recognise(exported(torch_module, net, tmp_path / "net.onnx", opset))
    assert found is not None
    assert found.architecture == arch
    assert all(np.array_equal(array, state[key]) for key, array in found.state("torch").items())


@pytest.mark.filterwarnings("ignore:.*constant folding:UserWarning")
def test_activations_written_out_are_recognised(tmp_path, torch_module):
    """As the form with ``bneck`` is written by others: x * relu6(x + 3) / 6 and relu6(x + 3) / 6."""
    nn = torch_module.nn
    relu6 = nn.functional.relu6

    class Swish(nn.Module):
        def forward(self, x):
            return x * relu6(x + 3, inplace=True) / 6

    class Gate(nn.Module):
        def forward(self, x):
            return relu6(x + 3, inplace=True) / 6

    net = build("mobilenet_v3_se_bn_small", "torch")
    for path, module in list(net.named_modules()):
        if isinstance(module, (nn.Hardswish, nn.Hardsigmoid)):
            net.set_submodule(path, Swish() if isinstance(module, nn.Hardswish) else Gate())
    found = recognise(exported(torch_module, net, tmp_path / "net.onnx"))
    assert found is not None
    assert found.architecture == spec("mobilenet_v3_se_bn_small")
    assert {layer.name for layer in found.architecture.layers()} - set(found.layers) <= {"flatten"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*constant folding:UserWarning")
def test_a_mean_that_flattens_is_recognised(tmp_path, torch_module):
    """torchvision's MobileNetV2 of the first releases ends in x.mean([2, 3])."""
    nn = torch_module.nn

    class Mean(nn.Module):
        def forward(self, x):
            return x.mean([2, 3])

    net = build("mobilenet_v2", "torch", alpha=0.35)
    net.avgpool = Mean()
    found = recognise(exported(torch_module, net, tmp_path / "net.onnx"))
    assert found is not None
    assert found.architecture == spec("mobilenet_v2", alpha=0.35)
    assert "avgpool" not in found.layers, "no value of the graph is the mean before it is flattened"


@pytest.mark.parametrize("name", SIX)
def test_mxnet_graph_is_recognised(name, tmp_path, mxnet_module):
    from facecvt.converters.formats.locate import locate
    from facecvt.converters.formats.mxnet_model import load_mxnet
    from facecvt.converters.readers.from_mxnet import read_mxnet

    written = write_reference(name, "mxnet", tmp_path, seed=2)
    found = recognise(read_mxnet(load_mxnet(locate("mxnet", str(written)))))
    assert found is not None
    assert found.architecture == spec(name)
    state = seeded_state(spec(name), "torch", 2)
    assert all(np.array_equal(array, state[key]) for key, array in found.state("torch").items())


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["legacy", "pir"])
@pytest.mark.parametrize("name", SIX)
def test_paddle_graph_is_recognised(name, dialect, tmp_path, paddle_module):
    from facecvt.converters.formats.locate import locate
    from facecvt.converters.formats.paddle_model import load_paddle
    from facecvt.converters.readers.from_paddle import read_paddle

    written = write_reference(name, "paddle", tmp_path, seed=2, dialect=dialect)
    found = recognise(read_paddle(load_paddle(locate("paddle", str(written)))))
    assert found is not None
    assert found.architecture == spec(name)
    state = seeded_state(spec(name), "torch", 2)
    assert all(np.array_equal(array, state[key]) for key, array in found.state("torch").items())


@pytest.mark.parametrize(
    ("name", "framework"),
    [
        ("mobilenet_v3_se_bn_small", "mxnet"),
        *(pytest.param(name, "mxnet", marks=pytest.mark.slow) for name in SIX if name != "mobilenet_v3_se_bn_small"),
        *(pytest.param(name, "paddle", marks=pytest.mark.slow) for name in SIX),
    ],
)
def test_converted_files_become_the_public_class(name, framework, tmp_path, request):
    """A ``model.py`` that needs torch alone, with upstream's keys, that computes what the source computes."""
    torch = request.getfixturevalue("torch_module")
    request.getfixturevalue(f"{framework}_module")
    from facecvt.converters.conversion import convert_files
    from facecvt.converters.formats.locate import locate
    from facecvt.reference_models.public_class import public_class

    written = write_reference(name, framework, tmp_path / "source", num_classes=12)
    target = tmp_path / "converted"
    conversion = convert_files(framework, locate(framework, str(written)), "torch", target, recogniser=public_class)
    assert conversion.recognised == name
    arch = spec(name, num_classes=12)
    paths = {path for path, _ in build(name, "torch", num_classes=12).named_modules()}
    modules = [tap.removeprefix("module:") for tap in conversion.taps.values()]
    assert set(modules) <= paths
    assert set(modules) >= {layer.name for layer in arch.layers() if layer.op in ("Conv", "Gemm", "Mul", "Add")}

    code = """
import json, sys
import numpy as np, torch
import model
net = model.load()
with torch.no_grad():
    np.save("out.npy", net(torch.from_numpy(np.load("x.npy"))).numpy())
assert not any(name.startswith("facecvt") for name in sys.modules)
print(json.dumps(list(net.state_dict())))
"""
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 224, 224)).astype(np.float32)
    np.save(target / "x.npy", x)
    done = subprocess.run([sys.executable, "-c", code], cwd=target, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == [entry.name for entry in state_entries(arch, "torch")]
    net = build(name, "torch", num_classes=12).eval()
    state = seeded_state(arch, "torch")
    net.load_state_dict({key: torch.from_numpy(array) for key, array in state.items()})
    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()
    assert np.abs(np.load(target / "out.npy") - expected).max() < 1e-5 * np.abs(expected).max()
