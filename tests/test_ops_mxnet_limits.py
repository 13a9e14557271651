"""What MXNet cannot do, or loses digits at, and facecvt writes in another way: run by MXNet, held against ONNX."""

from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from facecvt.converters.errors import ConversionError
from facecvt.converters.readers.from_onnx import read_onnx
from facecvt.converters.writers.to_mxnet import write_mxnet
from facecvt.parity_tests.oracle.onnx_model import OnnxOracle
from facecvt.parity_tests.runtimes.runtime_mxnet import MxnetRuntime
from facecvt.parity_tests.support.operator_cases import onnx as onnx_case

FAR = np.linspace(-40, 40, 81, dtype=np.float32)[None]
MAP = np.random.default_rng(0).integers(0, 256, (1, 2, 5, 6)).astype(np.uint8)
X = np.random.default_rng(1).standard_normal((2, 8)).astype(np.float32)


def in_mxnet(path: Path, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    (symbol, params), _ = write_mxnet(read_onnx(path), path.parent / "mxnet")
    with MxnetRuntime(symbol, params, list(feeds)) as runtime:
        return list(runtime.run(feeds).outputs.values())


@pytest.mark.parametrize("op", ["Softplus", "Mish"])
def test_far_below_zero_every_digit_is_there(op: str, tmp_path: Path, mxnet_module: ModuleType) -> None:
    """MXNet's own softrelu is off by a factor of 900 at -20."""
    (case,) = onnx_case(op, FAR, opsets=(18,))
    sample = case.make(tmp_path)
    (exact,) = OnnxOracle(sample.model, np.float64).run(sample.feeds).values()
    (found,) = in_mxnet(sample.model, sample.feeds)
    assert exact[0, 20] != 0
    assert np.abs(found / np.where(exact == 0, 1, exact) - (exact != 0)).max() <= 2e-6


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("attrs", [{}, {"strides": [2, 2], "pads": [1, 0, 0, 1]}, {"strides": [2, 2], "ceil_mode": 1}])
def test_numbers_of_8_bits_are_pooled(kind: type, attrs: dict, tmp_path: Path, mxnet_module: ModuleType) -> None:
    (case,) = onnx_case("MaxPool", MAP.astype(kind), opsets=(12,), kernel_shape=[2, 3], **attrs)
    sample = case.make(tmp_path)
    (found,) = in_mxnet(sample.model, sample.feeds)
    assert found.dtype == kind
    np.testing.assert_array_equal(found, sample.expected[0])


@pytest.mark.parametrize("fmod", [0, 1])
@pytest.mark.parametrize("fed", [1, 2])
def test_a_remainder_of_nothing_is_no_number(fmod: int, fed: int, tmp_path: Path, mxnet_module: ModuleType) -> None:
    """MXNet's own is 0."""
    nodes = [helper.make_node("Mod", ["x", "z"], ["y"], fmod=fmod)]
    left, right = np.float32([[5, -5, 5, -5, 0, 1]]), np.float32([[3, 3, -3, 0, 0, np.inf]])
    names = ["x", "z"][:fed]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 6]) for name in names],
        [helper.make_empty_tensor_value_info("y")],
        [onnx.numpy_helper.from_array(right, "z")][fed - 1 :],
    )
    path = tmp_path / "mod.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    (found,) = in_mxnet(path, {"x": left, "z": right} if fed == 2 else {"x": left})
    wanted = [2, -2, 2, np.nan, np.nan, 1] if fmod else [2, 1, -1, np.nan, np.nan, 1]
    np.testing.assert_array_equal(found, np.float32([wanted]))


def split_model(folder: Path, sizes: list[int], last: list[str], inputs: list[str]) -> Path:
    nodes = [
        helper.make_node("Split", ["x", "sizes"], ["a", "b", "c"][: len(sizes)], axis=1),
        helper.make_node(last[0], inputs, ["y"], **({"axis": 1} if last[0] == "Concat" else {})),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 8])],
        [helper.make_empty_tensor_value_info("y")],
        [onnx.numpy_helper.from_array(np.int64(sizes), "sizes")],
    )
    path = folder / "split.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("sizes", "inputs", "wanted"),
    [
        ([5, 0, 3], ["c", "b", "a"], np.roll(X, 3, axis=1)),
        ([8, 0], ["b", "a", "b"], X),
    ],
)
def test_parts_without_elements_are_left_out_where_parts_are_joined(
    sizes: list[int], inputs: list[str], wanted: np.ndarray, tmp_path: Path, mxnet_module: ModuleType
) -> None:
    (found,) = in_mxnet(split_model(tmp_path, sizes, ["Concat"], inputs), {"x": X})
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(("operator", "inputs"), [("Relu", ["b"]), ("Concat", ["b", "b"])])
def test_a_part_without_elements_is_refused_where_it_is_needed(
    operator: str, inputs: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match=r"no elements|no empty tensors"):
        write_mxnet(read_onnx(split_model(tmp_path, [8, 0], [operator], inputs)), tmp_path / "mxnet")
    assert not (tmp_path / "mxnet").exists()
