"""SlimFaceNet: what the shared tests do not ask of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facecvt.converters.errors import UsageError
from facecvt.converters.formats.locate import locate
from facecvt.reference_models import build, spec
from facecvt.reference_models.materialise import write_reference
from facecvt.reference_models.seeded import seeded_arrays, seeded_state
from facecvt.reference_models.weights import exchange, state_entries

MIXED = (5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5, 4, 3, 2, 1)


def found_in(path, framework):
    """What the reader of a framework's files recognises."""
    from facecvt.converters.formats.mxnet_model import load_mxnet
    from facecvt.converters.formats.paddle_model import load_paddle
    from facecvt.converters.readers.from_mxnet import read_mxnet
    from facecvt.converters.readers.from_onnx import read_onnx
    from facecvt.converters.readers.from_paddle import read_paddle
    from facecvt.reference_models.recognise import recognise

    if framework == "onnx":
        return recognise(read_onnx(path))
    files = locate(framework, str(path))
    return recognise(read_mxnet(load_mxnet(files)) if framework == "mxnet" else read_paddle(load_paddle(files)))


CASES = [
    ("mxnet", "slimfacenet_a_x0_60", {}, "legacy"),
    ("paddle", "slimfacenet_c_x0_75", {"relu": True}, "legacy"),
    pytest.param("paddle", "slimfacenet_b_x0_75", {}, "pir", marks=pytest.mark.slow),
    pytest.param("mxnet", "slimfacenet_a_x0_60", {"arch": MIXED, "width": 0.9}, "legacy", marks=pytest.mark.slow),
    pytest.param("paddle", "slimfacenet_a_x0_60", {"arch": MIXED, "width": 1.0}, "legacy", marks=pytest.mark.slow),
    pytest.param("paddle", "slimfacenet_b_x0_75", {"embedding_size": 32}, "legacy", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("framework", "name", "options", "dialect"), CASES)
def test_written_models_are_recognised(framework, name, options, dialect, tmp_path, request):
    request.getfixturevalue(f"{framework}_module")
    arch = spec(name, **options)
    found = found_in(write_reference(name, framework, tmp_path, dialect=dialect, **options), framework)
    assert found is not None
    assert found.architecture == arch
    expected, arrays = seeded_arrays(arch), found.arrays()
    assert list(arrays) == list(expected)
    assert all(np.array_equal(arrays[key], expected[key]) for key in expected)


def test_torch_export_is_recognised(tmp_path, torch_module):
    """There the gate is a product, a sum and a Clip."""
    arch = spec("slimfacenet_b_x0_75", relu=True)
    net = build("slimfacenet_b_x0_75", "torch", relu=True)
    state = seeded_state(arch, "torch")
    net.load_state_dict({key: torch_module.from_numpy(array) for key, array in state.items()}, strict=True)
    path, preserve = tmp_path / "net.onnx", torch_module.onnx.TrainingMode.PRESERVE
    x = torch_module.zeros(2, 3, 112, 96)
    torch_module.onnx.export(net.eval(), (x,), str(path), dynamo=False, training=preserve)
    found = found_in(path, "onnx")
    assert found is not None
    assert found.architecture == arch
    assert all(np.array_equal(array, state[key]) for key, array in found.state("torch").items())


@pytest.mark.slow
def test_a_static_graph_as_upstream_writes_it_is_recognised(tmp_path, paddle_module):
    """In a process of its own, which Paddle's mode is decided for before it is imported."""
    command = [sys.executable, str(Path(__file__).parent / "static_slimfacenet.py"), str(tmp_path)]
    environment = os.environ | {"FLAGS_enable_pir_api": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = found_in(tmp_path / "inference.pdmodel", "paddle")
    assert found is not None
    assert found.architecture == spec("slimfacenet_a_x0_60")
    expected, arrays = seeded_arrays(found.architecture), found.arrays()
    assert all(np.array_equal(arrays[key], expected[key]) for key in expected)


def test_paddles_tensors_bear_upstreams_names(paddle_module, tmp_path):
    """The state goes by them, in memory and in the program; a second net may have them too."""
    arch = spec("slimfacenet_a_x0_60")
    state = seeded_state(arch, "paddle")
    assert state["residual_unit2_se_prelu"].shape == (1, 20, 1, 1)
    assert state["residual_unit2_se_1_offset"].shape == (20,)
    for _ in range(2):
        net = build("slimfacenet_a_x0_60", "paddle")
        assert net.set_state_dict(state) == ([], [])
        assert list(net.state_dict()) == list(state)
        assert {tensor.name for tensor in net.parameters()} == set(state)
        assert np.array_equal(net.residual_unit2.se.prelu.slope.numpy(), state["residual_unit2_se_prelu"])
    torch_state = exchange(state, "paddle", "torch", arch)
    assert torch_state["residual_unit2.se.prelu.weight"].shape == (20,)
    assert torch_state["residual_unit2.se.conv2.bias"].shape == (80,)


def test_published_facts():
    """Widths, parameters and where squeeze and excitation lies, as the kit's README has them."""
    found = {}
    for name in ("slimfacenet_a_x0_60", "slimfacenet_b_x0_75", "slimfacenet_c_x0_75"):
        arch = spec(name)
        gates = [layer.name for layer in arch.layers() if layer.op == "HardSigmoid"]
        assert len(gates) == sum(code % 2 for code in arch.options["arch"])
        found[name] = arch.parameter_count()
    assert found["slimfacenet_a_x0_60"] == 589092
    assert found["slimfacenet_c_x0_75"] == 888160
    for width, channels in ((1.0, (64, 128)), (0.9, (56, 116)), (0.75, (48, 96)), (0.6, (40, 76))):
        stages = spec("slimfacenet_b_x0_75", width=width).stages
        assert [stage.channels for stage in stages] == [channels[0], *[channels[1]] * 4]
    assert [stage.units for stage in stages] == [5, 1, 6, 1, 2]
    sums = [layer.name for layer in spec("slimfacenet_b_x0_75").layers() if layer.op == "Add"]
    assert sums == [f"residual_unit{place}" for place in range(1, 16) if place not in (1, 6, 13)]


@pytest.mark.parametrize(
    "options",
    [{"width": 0.5}, {"arch": (0,) * 14}, {"arch": (6,) + (0,) * 14}, {"relu": 1}, {"arch": "012345012345012"}],
)
def test_options_are_checked(options):
    with pytest.raises(UsageError, match="cannot be"):
        spec("slimfacenet_a_x0_60", **options)


def test_hyper_parameters_are_upstreams(torch_module, paddle_module, mxnet_module):
    """What inference does not show: momentum and initial slopes."""
    for module in build("slimfacenet_a_x0_60", "torch").modules():
        if isinstance(module, torch_module.nn.modules.batchnorm._BatchNorm):
            assert (module.momentum, module.eps) == (0.1, 1e-5)
        elif isinstance(module, torch_module.nn.PReLU):
            assert bool((module.weight == 0.25).all())
    net = build("slimfacenet_a_x0_60", "paddle")
    for layer in net.sublayers():
        if isinstance(layer, paddle_module.nn.layer.norm._BatchNormBase):
            assert (layer._momentum, layer._epsilon) == (0.9, 1e-5)
    slopes = [tensor for tensor in net.parameters() if tensor.name.endswith("_prelu")]
    assert len(slopes) == sum(
        entry.name.endswith("_prelu") for entry in state_entries(spec("slimfacenet_a_x0_60"), "paddle")
    )
    assert all(bool((slope.numpy() == 0.25).all()) for slope in slopes)
    for name, attributes in build("slimfacenet_a_x0_60", "mxnet").attr_dict().items():
        if name.endswith("_bn"):
            assert (attributes["momentum"], attributes["eps"]) == ("0.9", "1e-05")
