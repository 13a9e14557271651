"""Softmax and log-softmax:  exp(x - max) / sum(exp(x - max))  along one axis, or along several taken as one.

ONNX before opset 13 flattens to two dimensions at ``axis`` (default 1) and works on the second; from 13 on it works
along one axis (default -1). MXNet's SoftmaxActivation works on the channels ("channel") or, in spite of what the name
of its default says ("instance"), on the last axis alone. Sources: MXNet 1.9.1, Paddle 3.3.1, the ONNX operator
specification and changelog.
"""

from __future__ import annotations

from typing import Any

from facecvt.converters.graph import Builder, attribute
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.ranges import counted
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, lower, to_torch
from facecvt.converters.ops.rewriting import become, insert_before
from facecvt.converters.ops.value_facts import known_rank, number_like
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp
from facecvt.converters.torch_code import TorchCode

NEVER = -3.4e38  # whose power of e is 0 beside any other number's


def softmax_from_axis_on(b: Builder, x: ir.Value, axis: int, operator: str = "Softmax") -> Any:
    """Softmax over all axes from ``axis`` on, taken as one; x keeps its shape."""
    rank = known_rank(x)
    if rank is not None and axis % rank == rank - 1:
        return b.emit(operator, [x], axis=-1)
    flat = b.emit(operator, [b.emit("Flatten", [x], axis=axis)], axis=-1)
    return b.emit("Reshape", [flat, b.emit("Shape", [x])])


# ---- MXNet -----------------------------------------------------------------------------------------------------------


@from_mxnet("SoftmaxActivation")
def softmax_activation_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    mode = op.text("mode", "instance", allowed=("instance", "channel"))
    return b.emit("Softmax", op.inputs, axis=1 if mode == "channel" else -1)


@from_mxnet("softmax", "log_softmax", "softmin")
def softmax_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """softmin is the softmax of the negative; with ``use_length`` what lies behind a length does not count."""
    masked = op.boolean("use_length", False)
    if masked and (op.op != "softmax" or len(op.inputs) != 2):
        raise op.refuse("use_length is known of softmax with a second input alone")
    if str(op.raw("dtype", "None")) not in ("None", "float32"):
        raise op.refuse("a result of another dtype than float32 is not supported")
    x = op.inputs[0]
    if str(op.raw("temperature", "None")) != "None" and op.number("temperature") != 1.0:
        x = b.emit("Div", [x, number_like(b, x, op.number("temperature"))])
    if op.op == "softmin":
        x = b.emit("Neg", [x])
    axis = op.integer("axis", -1)
    if masked:
        return masked_softmax(op, b, x, axis)
    return b.emit("LogSoftmax" if op.op == "log_softmax" else "Softmax", [x], axis=axis)


def masked_softmax(op: MxnetOp, b: Builder, x: ir.Value, axis: int) -> Any:
    """Softmax over the first of an axis, as many as the second input says; the rest, and all of length 0, is 0."""
    rank = known_rank(x)
    if rank is None:
        raise op.refuse("use_length needs an input of known rank; give the model an input shape")
    axis %= rank
    places = b.emit("Reshape", [counted(b, x, axis), b.const([-1, *[1] * (rank - axis - 1)])])
    lengths = b.emit("Cast", [op.inputs[1]], to=int(ir.DataType.FLOAT))
    counts = b.emit("Less", [places, b.emit("Unsqueeze", [lengths, b.const([axis])])])
    shares = b.emit("Softmax", [b.emit("Where", [counts, x, number_like(b, x, NEVER)])], axis=axis)
    return b.emit("Where", [counts, shares, number_like(b, x, 0.0)])


# ---- Paddle ----------------------------------------------------------------------------------------------------------


@from_paddle("softmax", "log_softmax")
def softmax_from_paddle(op: PaddleOp, b: Builder) -> Any:
    op.raw("data_format", None)  # a hint for kernels; the axis alone decides
    axis = op.integer("axis", -1)
    return b.emit("Softmax" if op.op == "softmax" else "LogSoftmax", [op.value("X", 0)], axis=axis)


# ---- ONNX ------------------------------------------------------------------------------------------------------------


@from_onnx("Softmax", "LogSoftmax")
def softmax_from_onnx(op: OnnxOp, b: Builder) -> Any:
    if op.opset >= 13:
        return b.emit(op.op, [op.value(0)], axis=op.raw("axis", -1))
    return softmax_from_axis_on(b, op.value(0), op.raw("axis", 1), op.op)


@lower("Softmax", below=13)
@lower("LogSoftmax", below=13)
def lower_softmax(node: ir.Node, opset: int) -> None:
    """The last axis means the same in both forms; any other is written out, x - max first as the operator does."""
    rank, axis = known_rank(node.inputs[0]), attribute(node, "axis", -1)
    if axis == -1 or (rank is not None and axis % rank == rank - 1):
        node.attributes["axis"] = ir.AttrInt64("axis", -1)
        return
    greatest = insert_before(node, "ReduceMax", node.inputs, axes=[axis], keepdims=1)
    shifted = insert_before(node, "Sub", [node.inputs[0], greatest])
    powers = insert_before(node, "Exp", [shifted])
    total = insert_before(node, "ReduceSum", [powers], axes=[axis], keepdims=1)
    if node.op_type == "Softmax":
        become(node, "Div", [powers, total])
    else:
        become(node, "Sub", [shifted, insert_before(node, "Log", [total])])


@to_torch("Softmax")
def softmax_to_torch(node: ir.Node, t: TorchCode) -> None:
    t.assign(node.outputs[0], f"torch.softmax({t.arg(node.inputs[0])}, dim={attribute(node, 'axis', -1)})")


@to_torch("LogSoftmax")
def log_softmax_to_torch(node: ir.Node, t: TorchCode) -> None:
    t.assign(node.outputs[0], f"torch.log_softmax({t.arg(node.inputs[0])}, dim={attribute(node, 'axis', -1)})")
