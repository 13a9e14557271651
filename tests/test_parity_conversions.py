"""verify on real conversions: right ones agree, and a target that is broken afterwards is found at the right layer.

The source is a little MXNet net written here by hand, so that no framework is needed to make it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facecvt.converters.conversion import Conversion, convert_files
from facecvt.converters.formats.locate import located
from facecvt.converters.formats.mxnet_params import write_params
from facecvt.parity_tests.verification import Verification
from facecvt.parity_tests.verify import verify

LAYERS = [
    ("conv0", "Convolution", {"kernel": "(3, 3)", "pad": "(1, 1)", "num_filter": "8"}, (8, 3, 3, 3)),
    ("bn0", "BatchNorm", {"eps": "2e-05", "fix_gamma": "False"}, (8,)),
    ("relu0", "LeakyReLU", {"act_type": "prelu"}, (8,)),
    ("pool0", "Pooling", {"kernel": "(2, 2)", "stride": "(2, 2)", "pool_type": "max"}, None),
    ("conv1", "Convolution", {"kernel": "(3, 3)", "pad": "(1, 1)", "num_filter": "8", "no_bias": "True"}, (8, 8, 3, 3)),
    ("bn1", "BatchNorm", {"fix_gamma": "True"}, (8,)),
]


def write_source(folder: Path) -> Path:
    """``net-symbol.json`` and ``net-0000.params``: two heads fc_a and fc_b of 16 numbers for 3x8x8 inputs."""
    random = np.random.RandomState(5)
    nodes: list[dict[str, Any]] = [{"op": "null", "name": "data", "inputs": []}]
    args: dict[str, np.ndarray] = {}
    aux: dict[str, np.ndarray] = {}

    def variable(name: str, array: np.ndarray, store: dict[str, np.ndarray]) -> list[int]:
        store[name] = array.astype(np.float32)
        nodes.append({"op": "null", "name": name, "inputs": []})
        return [len(nodes) - 1, 0, 0]

    def add(op: str, name: str, attrs: dict[str, str], source: int, weights: list[list[int]]) -> int:
        nodes.append({"op": op, "name": name, "attrs": attrs, "inputs": [[source, 0, 0], *weights]})
        return len(nodes) - 1

    last = add("_minus_scalar", "minus0", {"scalar": "127.5"}, 0, [])
    last = add("_mul_scalar", "mul0", {"scalar": "0.0078125"}, last, [])
    for name, op, attrs, shape in LAYERS:
        weights = []
        if op == "Convolution" and shape is not None:
            fan_in = np.prod(shape[1:])
            weights.append(variable(f"{name}_weight", random.standard_normal(shape) / np.sqrt(fan_in), args))
            if "no_bias" not in attrs:
                weights.append(variable(f"{name}_bias", random.standard_normal(shape[0]), args))
        elif op == "BatchNorm":
            weights.append(variable(f"{name}_gamma", random.uniform(0.5, 2, 8), args))
            weights.append(variable(f"{name}_beta", random.standard_normal(8), args))
            weights.append(variable(f"{name}_moving_mean", random.standard_normal(8) * 0.1, aux))
            weights.append(variable(f"{name}_moving_var", random.uniform(0.01, 0.1, 8), aux))
        elif op == "LeakyReLU":
            weights.append(variable(f"{name}_gamma", random.uniform(0.1, 0.4, 8), args))
        last = add(op, name, attrs, last, weights)
    heads = []
    for name in ("fc_a", "fc_b"):
        weight = variable(f"{name}_weight", random.standard_normal((16, 8 * 4 * 4)) / 11, args)
        bias = variable(f"{name}_bias", random.standard_normal(16), args)
        heads.append([add("FullyConnected", name, {"num_hidden": "16"}, last, [weight, bias]), 0, 0])
    symbol = {
        "nodes": nodes,
        "arg_nodes": [index for index, node in enumerate(nodes) if node["op"] == "null"],
        "heads": heads,
        "attrs": {"mxnet_version": ["int", 10901]},
    }
    (folder / "net-symbol.json").write_text(json.dumps(symbol))
    write_params(folder / "net-0000.params", args, aux)
    return folder / "net-symbol.json"


def converted(folder: Path, target: str) -> Conversion:
    with located("mxnet", write_source(folder)) as files:
        shapes = {"data": ("batch", 3, 8, 8)}
        out = folder / ("net.onnx" if target == "onnx" else "net_torch")
        return convert_files("mxnet", files, target, out, input_shapes=shapes)


@pytest.fixture(params=["onnx", "torch"])
def target(request: pytest.FixtureRequest) -> str:
    module = "onnxruntime" if request.param == "onnx" else "torch"
    pytest.importorskip(module, reason=f"pip install {module}")
    framework: str = request.param
    return framework


def test_a_right_conversion_agrees_with_every_layer_compared(tmp_path: Path, target: str) -> None:
    found = verify(converted(tmp_path, target))
    assert found.verdict == "agree", found.reasons
    assert (found.coverage.parametric, found.coverage.taps) == (1.0, 1.0)
    assert {"conv0_output", "bn0_output", "relu0_output", "pool0_output", "fc_b_output"} <= {
        layer.name for layer in found.layers
    }
    assert {layer.name for layer in found.layers if layer.parametric} == {
        f"{name}_output" for name in ("conv0", "bn0", "relu0", "conv1", "bn1", "fc_a", "fc_b")
    }
    assert [output.name for output in found.outputs] == ["fc_a_output", "fc_b_output"]
    assert found.batches == (1, 2, 3)
    assert max(layer.ratio for layer in found.layers) < 5


def edited_onnx(conversion: Conversion, edit: Callable[[Any], None]) -> Verification:
    import onnx

    model = onnx.load(conversion.target)
    edit(model.graph)
    onnx.save(model, conversion.target)
    return verify(conversion)


def node(graph: Any, output: str) -> Any:
    return next(node for node in graph.node if output in node.output)


def weight(graph: Any, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    from onnx import numpy_helper

    tensor = next(tensor for tensor in graph.initializer if tensor.name == name)
    array = np.ascontiguousarray(change(numpy_helper.to_array(tensor).copy()))
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def attribute(graph: Any, output: str, name: str, value: Any) -> None:
    from onnx import helper

    edited = node(graph, output)
    kept = [item for item in edited.attribute if item.name != name]
    del edited.attribute[:]
    edited.attribute.extend([*kept, helper.make_attribute(name, value)])


def wrong_mean(graph: Any) -> None:
    weight(graph, "bn0_moving_mean", lambda array: array[::-1])


def swap_outputs(graph: Any) -> None:
    first, second = (node(graph, name) for name in ("fc_a_output", "fc_b_output"))
    first.output[0], second.output[0] = second.output[0], first.output[0]


ONNX_FAULTS: dict[str, tuple[Callable[[Any], None], str]] = {
    "eps 2e-5 read as 1e-5": (lambda g: attribute(g, "bn0_output", "epsilon", 1e-5), "bn0_output"),
    "eps 1e-3 read as 2e-5": (lambda g: attribute(g, "bn1_output", "epsilon", 2e-5), "bn1_output"),
    "running mean reversed": (wrong_mean, "bn0_output"),
    "one slope for all": (lambda g: weight(g, "relu0_gamma", lambda a: np.full_like(a, a.flat[0])), "relu0_output"),
    "kernel flipped": (lambda g: weight(g, "conv1_weight", lambda a: a[:, :, ::-1, ::-1]), "conv1_output"),
    "half-precision weights": (
        lambda g: weight(g, "conv1_weight", lambda a: a.astype(np.float16).astype(np.float32)),
        "conv1_output",
    ),
    "one weight + 1e-3": (
        lambda g: weight(g, "fc_a_weight", lambda a: a + np.float32(1e-3) * (a == a.max())),
        "fc_a_output",
    ),
    "pad on one side": (lambda g: attribute(g, "conv1_output", "pads", [0, 0, 2, 2]), "conv1_output"),
    "bias dropped": (lambda g: weight(g, "conv0_bias", np.zeros_like), "conv0_output"),
    "outputs swapped": (swap_outputs, "fc_a_output"),
    "RGB read as BGR": (lambda g: weight(g, "conv0_weight", lambda a: a[:, ::-1]), "conv0_output"),
    "FC fed height and width exchanged": (
        lambda g: weight(g, "fc_b_weight", lambda a: a.reshape(16, 8, 4, 4).swapaxes(2, 3).reshape(16, 128)),
        "fc_b_output",
    ),
}


@pytest.mark.parametrize("fault", list(ONNX_FAULTS))
def test_a_broken_onnx_file_differs_and_the_layer_is_named(tmp_path: Path, ort_module: Any, fault: str) -> None:
    edit, where = ONNX_FAULTS[fault]
    found = edited_onnx(converted(tmp_path, "onnx"), edit)
    assert (found.verdict, found.exit_code) == ("differ", 1)
    assert found.first_divergence is not None
    assert found.first_divergence.name == where
    assert where in " ".join(found.reasons)


def edited_torch(conversion: Conversion, pattern: str, replacement: str) -> Verification:
    source = conversion.target / "model.py"
    text, count = re.subn(pattern, replacement, source.read_text(), count=1)
    assert count == 1, f"{pattern} does not occur"
    source.write_text(text)
    return verify(conversion)


TORCH_FAULTS = {
    "eps": (r"self\.bn0 = nn\.BatchNorm2d\(8, eps=2e-05", "self.bn0 = nn.BatchNorm2d(8, eps=1e-05", "bn0_output"),
    "normalisation": (r"127\.5", "127.0", "minus0_output"),
    "average for maximum": (r"nn\.MaxPool2d", "nn.AvgPool2d", "pool0_output"),
}


@pytest.mark.parametrize("fault", list(TORCH_FAULTS))
def test_a_broken_torch_model_differs_and_the_layer_is_named(tmp_path: Path, torch_module: Any, fault: str) -> None:
    pattern, replacement, where = TORCH_FAULTS[fault]
    found = edited_torch(converted(tmp_path, "torch"), pattern, replacement)
    assert found.verdict == "differ"
    assert found.first_divergence is not None
    assert found.first_divergence.name == where
    assert found.first_divergence.target is not None
    assert found.first_divergence.target.startswith("line:")


def test_a_torch_model_that_returns_its_outputs_in_another_order_differs(tmp_path: Path, torch_module: Any) -> None:
    found = edited_torch(converted(tmp_path, "torch"), r"return (\w+), (\w+)\n", r"return \2, \1\n")
    assert found.verdict == "differ"
    assert found.first_divergence is not None
    assert found.first_divergence.name == "fc_a_output"
    assert all(layer.verdict == "agree" for layer in found.layers)


def test_a_torch_model_that_lost_an_output_differs(tmp_path: Path, torch_module: Any) -> None:
    found = edited_torch(converted(tmp_path, "torch"), r"return (\w+), (\w+)\n", r"return \1\n")
    assert found.verdict == "differ"
    assert any("1 output(s), but 2 are expected" in reason for reason in found.reasons)


def test_an_onnx_file_whose_batch_is_fixed_differs(tmp_path: Path, ort_module: Any) -> None:
    def fix_batch(graph: Any) -> None:
        graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1

    found = edited_onnx(converted(tmp_path, "onnx"), fix_batch)
    assert found.verdict == "differ"
    assert any("[2, 3, 8, 8]" in reason for reason in found.reasons)


def test_a_target_that_is_gone_differs(tmp_path: Path, ort_module: Any) -> None:
    conversion = converted(tmp_path, "onnx")
    conversion.target.unlink()
    found = verify(conversion)
    assert found.verdict == "differ"
    assert "net.onnx" in found.reasons[0]


def test_two_verifications_give_the_same_figures(tmp_path: Path, target: str) -> None:
    conversion = converted(tmp_path, target)
    assert verify(conversion) == verify(conversion)


@pytest.mark.parametrize("name", ["det1", "det2", "det3"])
def test_real_face_detectors_agree(real_models: Path, tmp_path: Path, target: str, name: str) -> None:
    with located("mxnet", real_models / "mxnet" / f"mtcnn-{name}" / f"{name}-symbol.json") as files:
        out = tmp_path / ("net.onnx" if target == "onnx" else "net_torch")
        found = verify(convert_files("mxnet", files, target, out))
    assert found.verdict == "agree", found.reasons
    assert found.coverage.taps == 1.0
    assert max(layer.ratio for layer in found.layers) < 5
