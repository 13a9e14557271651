"""Reshapes of weights are done once, when a model is converted, and only those."""

from __future__ import annotations

import numpy as np
import pytest

from facecvt.converters.graph import Builder, Graph, constant, dims, name_of
from facecvt.converters.integer_folding import resolved_shape
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.passes.fold_weight_reshapes import fold_weight_reshapes
from facecvt.converters.passes.input_shapes import describe_inputs
from facecvt.converters.passes.pipeline import run_passes


def conv_and_reshaped_bias(*, second_reader: bool = False) -> Graph:
    """conv2d, reshape of the bias, add: what Paddle 3 saves of a convolution with a bias."""
    builder = Builder("paddle", "net")
    data = builder.input("x", ["batch", 3, 8, 4], ir.DataType.FLOAT)
    weight = builder.weight("conv2d_0.w_0", np.ones((4, 3, 3, 3), np.float32))
    bias = builder.weight("conv2d_0.b_0", np.arange(4, dtype=np.float32))
    builder.begin("conv2d", "conv")
    window = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "dilations": [1, 1], "strides": [1, 1], "group": 1}
    product = builder.emit("Conv", [data, weight], **window)
    builder.rename(product, "conv2d_0.out")
    builder.begin("reshape", "reshape")
    column = builder.emit("Reshape", [bias, builder.const([1, -1, 1, 1])])
    builder.rename(column, "reshape_0.out")
    builder.begin("add", "add")
    total = builder.emit("Add", [product, column])
    builder.rename(total, "add_0.out")
    builder.output(total, "add_0.out")
    if second_reader:
        builder.begin("add", "other")
        builder.output(builder.emit("Add", [data, bias]), "other.out")
    describe_inputs(builder.graph)
    return builder.graph


def test_a_reshaped_bias_ends_in_its_convolution_under_its_own_name() -> None:
    graph = run_passes(conv_and_reshaped_bias())
    (node,) = graph.body
    assert node.op_type == "Conv"
    assert [name_of(value) for value in node.inputs] == ["x", "conv2d_0.w_0", "conv2d_0.b_0"]
    assert constant(node.inputs[2]).tolist() == [0.0, 1.0, 2.0, 3.0]
    assert set(graph.body.initializers) == {"conv2d_0.w_0", "conv2d_0.b_0"}
    assert graph.absorbed == {"conv2d_0.out": "add_0.out"}
    assert graph.aliases["reshape_0.out"] == "conv2d_0.b_0"
    assert "reshape_0.out" not in graph.origins


def test_a_weight_with_another_reader_keeps_its_shape_there() -> None:
    graph = conv_and_reshaped_bias(second_reader=True)
    fold_weight_reshapes(graph)
    assert [node.op_type for node in graph.body] == ["Conv", "Add", "Add"]
    weights = graph.weights()
    assert weights["conv2d_0.b_0"].shape == (4,)
    assert weights["conv2d_0.b_0/1x4x1x1"].shape == (1, 4, 1, 1)
    assert dims(list(graph.body)[1].inputs[1]) == (1, 4, 1, 1)


def test_what_is_computed_or_put_out_stays() -> None:
    builder = Builder("onnx", "net")
    data = builder.input("x", ["batch", 12], ir.DataType.FLOAT)
    weight = builder.weight("w", np.arange(12, dtype=np.float32))
    builder.begin("Reshape", "computed")
    builder.output(builder.emit("Reshape", [data, builder.const([-1, 3, 4])]), "computed")
    builder.begin("Reshape", "put_out")
    builder.output(builder.emit("Reshape", [weight, builder.const([3, 4])]), "put_out")
    fold_weight_reshapes(builder.graph)
    assert [node.op_type for node in builder.graph.body] == ["Reshape", "Reshape"]


@pytest.mark.parametrize(
    ("shape", "target", "allowzero", "expected"),
    [
        ((6,), [1, 6, 1], False, (1, 6, 1)),
        ((2, 6), [0, 3, -1], False, (2, 3, 2)),
        ((2, 6), [-1], False, (12,)),
        ((2, 0), [0, 5], True, (0, 5)),
        ((6,), [4, 2], False, None),
        ((6,), [4, -1], False, None),
        ((6,), [-1, -1], False, None),
        ((6,), [1, 0], False, None),
        ((), [1], False, (1,)),
        ((1,), [], False, ()),
    ],
)
def test_shapes_are_those_of_onnx(shape, target, allowzero, expected) -> None:
    assert resolved_shape(shape, np.array(target, dtype=np.int64), allowzero) == expected
