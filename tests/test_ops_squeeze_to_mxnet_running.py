"""Squeeze of the listed axes that have one element at run time, written to MXNet, whose squeeze knows no such list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from facecvt.converters.conversion import convert_files
from facecvt.converters.errors import ConversionError
from facecvt.converters.formats.locate import locate
from facecvt.parity_tests.proven import convert_and_verify
from facecvt.parity_tests.runtimes.runtime_mxnet import MxnetRuntime

SHAPES = [(2, 3, 1, 1), (1, 3, 1, 1), (1, 3, 4, 1), (2, 3, 1, 5), (3, 3, 4, 5), (1, 3, 2, 2)]


def squeezing(path: Path, listed: list[bool], channels: int | str = 3) -> Path:
    """The six nodes that readers write for Paddle's squeeze."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Equal", ["shape", "one"], ["is_one"]),
        helper.make_node("And", ["is_one", "listed"], ["gone"]),
        helper.make_node("Not", ["gone"], ["stays"]),
        helper.make_node("Compress", ["shape", "stays"], ["kept"], axis=0),
        helper.make_node("Reshape", ["x", "kept"], ["y"]),
    ]
    numbers = [
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("listed", TensorProto.BOOL, [4], listed),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", channels, "height", "width"])
    y = helper.make_value_info("y", helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    graph = helper.make_graph(nodes, "squeeze", [x], [y], numbers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("listed", "channels"),
    [([False, False, True, True], 3), ([False, False, True, True], "channels"), ([False, True, True, True], 3)],
)
def test_the_axes_that_go_are_those_of_paddle(listed, channels, tmp_path, mxnet_module):
    path = squeezing(tmp_path / "net.onnx", listed, channels)
    conversion = convert_files("onnx", locate("onnx", path), "mxnet", tmp_path / "net")
    with MxnetRuntime(*conversion.files[:2], ["x"]) as runtime:
        for shape in SHAPES:
            x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
            gone = tuple(axis for axis, may_go in enumerate(listed) if may_go and shape[axis] == 1)
            expected = x.squeeze(gone)
            (found,) = runtime.run({"x": x}).outputs.values()
            assert found.shape == expected.shape, shape
            assert np.array_equal(found, expected)


def test_it_is_verified_and_read_again(tmp_path, mxnet_module, ort_module):
    path = squeezing(tmp_path / "net.onnx", [False, False, True, True])
    there = convert_and_verify(str(path), "onnx", "mxnet", output=tmp_path / "net")
    assert there.verification is not None
    assert there.verification.verdict == "agree", there.verification.reasons
    shape = {"x": ("batch", 3, 1, 5)}
    back = convert_and_verify(str(tmp_path / "net"), "mxnet", "onnx", output=tmp_path / "back.onnx", inputs=shape)
    assert back.verification is not None
    assert back.verification.verdict == "agree", back.verification.reasons


def test_an_axis_that_has_to_stay_behind_one_that_may_go_is_refused(tmp_path):
    """It would have to be doubled and halved, but where it lies then depends on the size before it."""
    path = squeezing(tmp_path / "net.onnx", [False, False, True, False])
    with pytest.raises(ConversionError, match="which axes go depends on sizes that are not known"):
        convert_files("onnx", locate("onnx", path), "mxnet", tmp_path / "net")
    assert not (tmp_path / "net").exists()
