"""BlazeFace in graphs: recognised from every framework, at free and fixed sizes; nearly the same is not."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from facecvt.converters.conversion import convert_files
from facecvt.converters.formats.locate import locate
from facecvt.converters.formats.mxnet_model import load_mxnet
from facecvt.converters.formats.paddle_model import load_paddle
from facecvt.converters.graph import Builder
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.readers.from_mxnet import read_mxnet
from facecvt.converters.readers.from_onnx import read_onnx
from facecvt.converters.readers.from_paddle import read_paddle
from facecvt.reference_models import build, spec
from facecvt.reference_models.graph_priors import formula
from facecvt.reference_models.graph_skeleton import from_graph
from facecvt.reference_models.layers import INPUT, LayerList
from facecvt.reference_models.materialise import write_reference
from facecvt.reference_models.public_class import public_class
from facecvt.reference_models.recognise import recognise
from facecvt.reference_models.seeded import seeded_state
from facecvt.reference_models.skeleton import from_layers, pair
from facecvt.reference_models.weights import state_entries

VARIANTS = [
    ("blazeface", {}),
    pytest.param("blazeface_fpn_ssh", {}, marks=pytest.mark.slow),
    ("blazeface_fpn_ssh", {"joined": True, "neck_type": "only_fpn", "use_5x5kernel": False, "act": "relu6"}),
    pytest.param("blazeface_fpn_ssh", {"neck_type": "only_ssh", "act": "leaky"}, marks=pytest.mark.slow),
    pytest.param("blazeface", {"act": None, "joined": True}, marks=pytest.mark.slow),
]


def recognised_as(graph, name, options, seed):
    arch = spec(name, **options)
    found = recognise(graph)
    assert found is not None
    assert found.architecture == arch
    expected, state = seeded_state(arch, "torch", seed), found.state("torch")
    assert list(state) == list(expected)
    assert all(np.array_equal(state[key], array) for key, array in expected.items())


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_mxnet_graph_is_recognised(name, options, tmp_path, mxnet_module):
    path = write_reference(name, "mxnet", tmp_path, seed=2, **options)
    recognised_as(read_mxnet(load_mxnet(locate("mxnet", str(path)))), name, options, 2)


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["legacy", "pir"])
@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_paddle_graph_is_recognised(name, options, dialect, tmp_path, paddle_module):
    path = write_reference(name, "paddle", tmp_path, seed=2, dialect=dialect, **options)
    recognised_as(read_paddle(load_paddle(locate("paddle", str(path)))), name, options, 2)


@pytest.mark.filterwarnings("ignore:.*constant folding:UserWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("free", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_torch_export_is_recognised(name, options, free, tmp_path, torch_module):
    """With fixed sizes the priors are constants, and the size that the coarse level is enlarged to is one."""
    net = build(name, "torch", **options).eval()
    state = seeded_state(spec(name, **options), "torch", 2)
    net.load_state_dict({key: torch_module.from_numpy(array) for key, array in state.items()})
    path, axes = tmp_path / "net.onnx", {0: "batch", 2: "height", 3: "width"}
    torch_module.onnx.export(
        net,
        (torch_module.zeros(1, 3, 96, 128),),
        str(path),
        dynamo=False,
        input_names=["x"],
        dynamic_axes={"x": axes} if free else None,
        training=torch_module.onnx.TrainingMode.PRESERVE,
        opset_version=17,
    )
    recognised_as(read_onnx(path), name, options, 2)


@pytest.mark.parametrize(
    ("framework", "name", "options"),
    [
        ("mxnet", "blazeface_fpn_ssh", {}),
        pytest.param("paddle", "blazeface", {"use_5x5kernel": False, "joined": True}, marks=pytest.mark.slow),
        pytest.param("mxnet", "blazeface", {"joined": True}, marks=pytest.mark.slow),
        pytest.param("paddle", "blazeface_fpn_ssh", {}, marks=pytest.mark.slow),
    ],
)
def test_converted_files_become_the_public_class(framework, name, options, tmp_path, request):
    """A ``model.py`` that needs torch alone, with the port's keys, which takes any size as the source does."""
    torch = request.getfixturevalue("torch_module")
    request.getfixturevalue(f"{framework}_module")
    written = write_reference(name, framework, tmp_path / "source", **options)
    target = tmp_path / "converted"
    conversion = convert_files(framework, locate(framework, str(written)), "torch", target, recogniser=public_class)
    assert conversion.recognised == name
    (contract,) = conversion.contracts
    assert (contract.color, contract.mean) == ("RGB", (123.0, 117.0, 104.0))
    assert all(isinstance(size, str) for size in contract.shape[2:])
    code = """
import json, sys
import numpy as np, torch
import model
net = model.load()
with torch.no_grad():
    outputs = net(torch.from_numpy(np.load("x.npy")))
np.savez("out.npz", *(output.numpy() for output in outputs))
assert not any(name.startswith("facecvt") for name in sys.modules)
print(json.dumps(list(net.state_dict())))
"""
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 84, 148)).astype(np.float32)
    np.save(target / "x.npy", x)
    done = subprocess.run([sys.executable, "-c", code], cwd=target, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    arch = spec(name, **options)
    assert json.loads(done.stdout) == [entry.name for entry in state_entries(arch, "torch")]
    net = build(name, "torch", **options).eval()
    net.load_state_dict({key: torch.from_numpy(array) for key, array in seeded_state(arch, "torch").items()})
    with torch.no_grad():
        expected = [output.numpy() for output in net(torch.from_numpy(x))]
    found = np.load(target / "out.npz")
    assert len(found.files) == len(expected)
    for index, output in enumerate(expected):
        assert np.abs(found[f"arr_{index}"] - output).max() < 1e-5 * np.abs(output).max()


# ---- what is nearly the same is not ----------------------------------------------------------------------------------


def boxes_of(extent, step, sizes, *, rows=None, corner=0.5):
    """Prior boxes as a listing means them, with faults to choose."""
    height, width = extent
    found = []
    for row in range(rows or -(-height // step)):
        for column in range(-(-width // step)):
            for size in sizes:
                x, y, half = (column + corner) * step, (row + corner) * step, size / 2
                found.append(((x - half) / width, (y - half) / height, (x + half) / width, (y + half) / height))
    return np.array(found, np.float32)


@pytest.mark.parametrize("extent", [(96, 160), (100, 140), (33, 47)])
def test_prior_boxes_are_read_off(extent):
    assert formula(boxes_of(extent, 8, (16, 24)), extent) == {"step": 8, "sizes": (16, 24)}
    assert formula(boxes_of(extent, 16, (32, 48, 64)), extent) == {"step": 16, "sizes": (32, 48, 64)}


@pytest.mark.parametrize(
    "boxes",
    [
        boxes_of((96, 160), 8, (16, 24), corner=0.4),
        boxes_of((96, 160), 8, (16, 24), rows=11),
        boxes_of((160, 96), 8, (16, 24)),
        boxes_of((96, 160), 8, (16, 24))[::-1],
        boxes_of((96, 160), 8, (16, 24)) + np.float32([[0], [1e-3]]).repeat(240, axis=0),
        boxes_of((96, 160), 8, (16, 24)).clip(0, 1),
        boxes_of((96, 160), 8, (16, 24))[:, [1, 0, 3, 2]],
        boxes_of((96, 160), 8, (16, 24))[:, :2],
        np.zeros((0, 4), np.float32),
        np.zeros((480, 4), np.float32),
    ],
)
def test_what_is_nearly_prior_boxes_is_not(boxes):
    assert formula(boxes, (96, 160)) is None


def enlarging(mapping="asymmetric", rounding="floor", mode="nearest", cut=True):
    """x + enlarged(conv(x)), enlarged by 2 and cut as MXNet does."""
    b = Builder("onnx", "made")
    x = b.input("x", ["n", 3, 8, 9], ir.DataType.FLOAT)
    b.begin("", "c")

    def conv(value, stride):
        weight = b.const(np.ones((3, 3, 1, 1)), np.float32)
        return b.emit("Conv", [value, weight], kernel_shape=[1, 1], strides=[stride, stride])

    fine = conv(x, 1)
    scales = b.const([1.0, 1.0, 2.0, 2.0], np.float32)
    options = {"mode": mode, "coordinate_transformation_mode": mapping, "nearest_mode": rounding}
    y = b.emit("Resize", [conv(fine, 2), None, scales], **options)
    if cut:
        ends = b.emit("Slice", [b.emit("Shape", [fine]), b.const([2]), b.const([4]), b.const([0])])
        y = b.emit("Slice", [y, b.const([0, 0] if cut is True else cut), ends, b.const([2, 3])])
    b.output(b.emit("Add", [fine, y]), "out")
    return b.graph


def enlarged_listing():
    net = LayerList()
    fine = net.conv("fine", INPUT, (3, 3), 1)
    net.add("sum", fine, net.enlarge("up", net.conv("coarse", fine, (3, 3), 1, stride=2), like=fine))
    return from_layers(net.layers)


@pytest.mark.parametrize(
    ("how", "same"),
    [
        ({}, True),
        ({"cut": False}, True),
        ({"mapping": "half_pixel"}, False),
        ({"rounding": "ceil"}, False),
        ({"mode": "linear"}, False),
        ({"cut": [0, 1]}, False),
    ],
)
def test_enlarging_counts_as_it_is_done(how, same):
    skeleton = from_graph(enlarging(**how))
    assert skeleton is not None
    assert (pair(enlarged_listing(), skeleton) is not None) == same
