"""Nearest to the size of another value that is known at run time only, written to MXNet."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from facecvt.converters.conversion import convert_files
from facecvt.converters.errors import ConversionError
from facecvt.converters.formats.locate import locate
from facecvt.converters.ops.nearest_maps import onnx_indices
from facecvt.parity_tests.proven import convert_and_verify
from facecvt.parity_tests.runtimes.runtime_mxnet import MxnetRuntime


def resize_like(path: Path, mapping: str = "asymmetric", rounding: str = "floor", pooled: bool = False) -> Path:
    """x enlarged to height and width of like; pooled: x is like's own half, as in a feature pyramid."""
    pool = helper.make_node("MaxPool", ["like"], ["x"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    nodes = [
        *([pool] if pooled else []),
        helper.make_node("Shape", ["x"], ["own"]),
        helper.make_node("Slice", ["own", "zero", "two"], ["kept"]),
        helper.make_node("Shape", ["like"], ["wanted"]),
        helper.make_node("Slice", ["wanted", "two", "four"], ["new"]),
        helper.make_node("Concat", ["kept", "new"], ["sizes"], axis=0),
        helper.make_node(
            "Resize", ["x", "", "", "sizes"], ["y"],
            mode="nearest", coordinate_transformation_mode=mapping, nearest_mode=rounding,
        ),
    ]  # fmt: skip
    free = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, f"{name}_height", f"{name}_width"])
        for name in (("like",) if pooled else ("x", "like"))
    ]
    numbers = [helper.make_tensor(n, TensorProto.INT64, [1], [v]) for n, v in (("zero", 0), ("two", 2), ("four", 4))]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3, None, None])
    graph = helper.make_graph(nodes, "resize", free, [result], numbers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


SIZES = [((5, 7), (10, 13)), ((13, 20), (25, 39)), ((1, 3), (4, 3)), ((40, 20), (80, 40)), ((9, 11), (4, 5))]


def test_the_pixels_are_those_of_exact_arithmetic(tmp_path, mxnet_module):
    path = resize_like(tmp_path / "resize.onnx")
    conversion = convert_files("onnx", locate("onnx", path), "mxnet", tmp_path / "resize")
    random = np.random.default_rng(0)
    with MxnetRuntime(*conversion.files[:2], ["x", "like"]) as runtime:
        for before, after in SIZES:
            x = random.standard_normal((2, 3, *before)).astype(np.float32)
            like = np.zeros((2, 3, *after), np.float32)
            rows, columns = (
                onnx_indices("asymmetric", "floor", old, new, Fraction(new, old))
                for old, new in zip(before, after, strict=True)
            )
            (found,) = runtime.run({"x": x, "like": like}).outputs.values()
            assert found.shape == (2, 3, *after)
            assert np.array_equal(found, x[:, :, rows][..., columns])


def test_float32_rounds_no_place_to_another_pixel():
    """floor(fl(i before / after)) is floor of the exact quotient for every size up to a thousand."""
    for before in (*range(1, 60), 255, 256, 511, 640, 999):
        for after in (*range(1, 130), 511, 512, 639, 1000):
            places = np.arange(after, dtype=np.float32)
            found = np.floor(places * np.float32(before) / np.float32(after)).astype(np.int64)
            assert np.array_equal(found, np.arange(after) * before // after), (before, after)


def test_what_mxnet_was_given_is_read_again(tmp_path, mxnet_module, ort_module):
    path = resize_like(tmp_path / "resize.onnx", pooled=True)
    convert_files("onnx", locate("onnx", path), "mxnet", tmp_path / "resize")
    shapes = {"like": ("batch", 3, 25, 39)}
    back = convert_and_verify(str(tmp_path / "resize"), "mxnet", "onnx", output=tmp_path / "b.onnx", inputs=shapes)
    assert back.verification is not None
    assert back.verification.verdict == "agree", back.verification.reasons
    assert [output.metrics.max_abs for output in back.verification.outputs if output.metrics] == [0.0]


@pytest.mark.parametrize("other", [{"mapping": "half_pixel"}, {"rounding": "ceil"}])
def test_other_maps_are_refused_at_sizes_that_are_not_known(other, tmp_path):
    path = resize_like(tmp_path / "resize.onnx", **other)
    with pytest.raises(ConversionError, match="known sizes only"):
        convert_files("onnx", locate("onnx", path), "mxnet", tmp_path / "resize")
    assert not (tmp_path / "resize").exists()
