"""Where other readers of ONNX fail: Identity, old BatchNormalization, every PRelu slope, two outputs, colour.

Models are made with the onnx package or by PyTorch's own exporter; ONNX Runtime is the judge, and where it refuses an
old form, the definition written out in numpy.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facecvt.converters.conversion import convert_files
from facecvt.converters.errors import ConversionError, UnsupportedOperatorsError
from facecvt.converters.formats.locate import locate

FLOAT = TensorProto.FLOAT


def save(path: Path, nodes, inputs, outputs, weights, *, opset: int, weights_as_inputs: bool = False) -> Path:
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    declared = [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()]
    if weights_as_inputs:
        declared += [helper.make_tensor_value_info(name, FLOAT, array.shape) for name, array in weights.items()]
    results = [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()]
    graph = helper.make_graph(nodes, "net", declared, results, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return path


def load_torch(path: Path, folder: Path):
    import importlib.util

    convert_files("onnx", locate("onnx", str(path)), "torch", folder)
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load()


def run_ort(path: Path, data: np.ndarray) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    return session.run(None, {session.get_inputs()[0].name: data})


def largest_error(value: np.ndarray, reference: np.ndarray) -> float:
    assert value.shape == reference.shape
    return float(np.abs(value - reference).max() / np.abs(reference).max())


@pytest.fixture
def torch(torch_module, ort_module):
    return torch_module


def test_the_resnet_that_torch_exports_at_opset_19_comes_back_with_the_same_numbers(torch, tmp_path) -> None:
    from facecvt.reference_models import build

    torch.manual_seed(0)
    net = build("r18", "torch").eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 1.5)
    path = tmp_path / "r18.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.randn(1, 3, 112, 112),), path, opset_version=19, dynamo=False,
                          dynamic_axes={"input": {0: "batch"}}, input_names=["input"])  # fmt: skip
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert "Identity" in operators
    model = load_torch(path, tmp_path / "r18_torch")
    data = torch.randn(2, 3, 112, 112)
    with torch.no_grad():
        assert largest_error(model(data).numpy(), net(data).numpy()) < 1e-5


@pytest.mark.parametrize("opset", [7, 8, 9, 13, 14, 15, 21])
def test_batch_normalization_of_every_opset(torch, tmp_path, opset) -> None:
    rng = np.random.default_rng(0)
    weights = {name: rng.uniform(0.5, 1.5, 3).astype(np.float32) for name in ("scale", "bias", "mean", "var")}
    node = helper.make_node("BatchNormalization", ["x", *weights], ["y"], epsilon=1e-3)
    path = save(tmp_path / "bn.onnx", [node], {"x": ["N", 3, 4, 5]}, {"y": ["N", 3, 4, 5]}, weights, opset=opset)
    data = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    (expected,) = run_ort(path, data)
    with torch.no_grad():
        value = load_torch(path, tmp_path / "bn")(torch.from_numpy(data)).numpy()
    assert largest_error(value, expected) < 1e-6


@pytest.mark.parametrize(("opset", "bound"), [(6, "older than 7"), (29, "newer than 28")])
def test_opsets_that_no_rule_was_held_against_are_refused(tmp_path, opset, bound) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    path = save(tmp_path / "r.onnx", [node], {"x": ["N", 3]}, {"y": ["N", 3]}, {}, opset=opset)
    with pytest.raises(ConversionError, match=rf"r\.onnx: opset {opset} is {bound}"):
        convert_files("onnx", locate("onnx", str(path)), "torch", tmp_path / "net")


@pytest.mark.parametrize("opset", [7, 8])
def test_batch_normalization_with_statistics_for_every_element(torch, tmp_path, opset) -> None:
    rng = np.random.default_rng(0)
    weights = {name: rng.uniform(0.5, 1.5, (3, 4, 5)).astype(np.float32) for name in ("scale", "bias", "mean", "var")}
    node = helper.make_node("BatchNormalization", ["x", *weights], ["y"], epsilon=1e-3, spatial=0)
    path = save(tmp_path / "bn.onnx", [node], {"x": ["N", 3, 4, 5]}, {"y": ["N", 3, 4, 5]}, weights, opset=opset)
    data = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    expected = (data - w["mean"]) / np.sqrt(w["var"] + 1e-3) * w["scale"] + w["bias"]
    with torch.no_grad():
        value = load_torch(path, tmp_path / "bn")(torch.from_numpy(data)).numpy()
    assert largest_error(value, expected) < 1e-6


@pytest.mark.parametrize("shape", [(4,), (4, 1, 1), (1, 4, 1, 1), (1,), (1, 1, 1)])
def test_every_legal_slope(torch, tmp_path, shape) -> None:
    """A bare (C,) broadcasts over the last axis by the standard; here both are 4, so that only the meaning tells."""
    rng = np.random.default_rng(0)
    slope = rng.uniform(0.1, 0.9, shape).astype(np.float32)
    node = helper.make_node("PRelu", ["x", "slope"], ["y"])
    path = save(tmp_path / "p.onnx", [node], {"x": ["N", 4, 3, 4]}, {"y": ["N", 4, 3, 4]}, {"slope": slope}, opset=13)
    data = rng.normal(size=(2, 4, 3, 4)).astype(np.float32)
    (expected,) = run_ort(path, data)
    assert np.array_equal(expected, np.where(data < 0, data * slope, data))
    with torch.no_grad():
        value = load_torch(path, tmp_path / "p")(torch.from_numpy(data)).numpy()
    assert np.array_equal(value, expected)


def test_weights_that_are_listed_as_inputs_are_weights(torch, tmp_path) -> None:
    weight = np.random.default_rng(0).normal(size=(2, 3, 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "conv.weight"], ["y"], kernel_shape=[3, 3])
    path = save(tmp_path / "c.onnx", [node], {"x": ["N", 3, 6, 6]}, {"y": ["N", 2, 4, 4]}, {"conv.weight": weight},
                opset=9, weights_as_inputs=True)  # fmt: skip
    model = load_torch(path, tmp_path / "c")
    assert list(model.state_dict()) == ["conv.weight"]
    assert np.array_equal(model.state_dict()["conv.weight"].numpy(), weight)


def test_feature_and_norm_both_arrive_and_the_colour_is_recorded(torch, tmp_path) -> None:
    """AdaFace returns (feature, norm) and is fed BGR."""

    class FeatureAndNorm(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3, stride=2)
            self.fc = torch.nn.Linear(4 * 9, 8)

        def forward(self, x):
            x = self.fc(torch.flatten(self.conv(x), 1))
            norm = torch.norm(x, 2, 1, True)
            return x / norm, norm

    torch.manual_seed(0)
    net = FeatureAndNorm().eval()
    path = tmp_path / "ada.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.randn(1, 3, 8, 8),), path, opset_version=13, dynamo=False, input_names=["x"],
                          output_names=["feature", "norm"], dynamic_axes={"x": {0: "batch"}})  # fmt: skip
    files = locate("onnx", str(path))
    conversion = convert_files("onnx", files, "torch", tmp_path / "ada", color="BGR")
    assert conversion.contracts[0].color == "BGR"
    assert "BGR" in (tmp_path / "ada" / "model.py").read_text()
    model = load_torch(path, tmp_path / "again")
    data = torch.randn(3, 3, 8, 8)
    with torch.no_grad():
        feature, norm = model(data)
        expected_feature, expected_norm = net(data)
    assert largest_error(feature.numpy(), expected_feature.numpy()) < 1e-6
    assert largest_error(norm.numpy(), expected_norm.numpy()) < 1e-6


def test_every_unsupported_operator_is_listed(tmp_path) -> None:
    nodes = [
        helper.make_node("Det", ["x"], ["a"], name="first"),
        helper.make_node("Det", ["x"], ["b"], name="second"),
        helper.make_node("Bernoulli", ["a"], ["c"], name="third"),
        helper.make_node("Add", ["b", "c"], ["y"]),
    ]
    path = save(tmp_path / "u.onnx", nodes, {"x": [1, 3, 3]}, {"y": [1]}, {}, opset=17)
    with pytest.raises(UnsupportedOperatorsError) as caught:
        convert_files("onnx", locate("onnx", str(path)), "torch", tmp_path / "u")
    assert caught.value.nodes == {"Det": ["first", "second"], "Bernoulli": ["third"]}
    assert not (tmp_path / "u").exists()
