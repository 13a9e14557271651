"""Axes reordered, added and taken away: Transpose, Squeeze, Unsqueeze.

Paddle's squeeze with a list of axes leaves those alone whose size is not 1, and decides it at run time. A static size
is decided here; a dynamic one by :mod:`runtime_squeeze`. Paddle's unsqueeze inserts its axes one after the other;
ONNX's axes are places in the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Builder, attribute, constant, dims
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops import int_lists
from facecvt.converters.ops.paddle_operands import ints_or_value
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, lower, to_torch
from facecvt.converters.ops.rewriting import input_to_attribute
from facecvt.converters.ops.runtime_squeeze import squeeze_where_one
from facecvt.converters.ops.unchanged import unchanged
from facecvt.converters.ops.value_facts import known_rank
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp
from facecvt.converters.torch_code import TorchCode

# ---- MXNet -----------------------------------------------------------------------------------------------------------


@from_mxnet("transpose")
def transpose_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit("Transpose", op.inputs, perm=op.ints("axes", ()) or None)


@from_mxnet("SwapAxis", "swapaxes")
def swap_axes_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    found = known_rank(op.inputs[0])
    if found is None:
        raise op.refuse("the operand's rank is not known; give the input shapes, or use transpose in its place")
    order = list(range(found))
    first, second = op.integer("dim1", 0), op.integer("dim2", 0)
    order[first], order[second] = order[second], order[first]
    return b.emit("Transpose", op.inputs, perm=order)


@from_mxnet("expand_dims")
def expand_dims_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit("Unsqueeze", [op.inputs[0], b.const([op.integer("axis")])])


@from_mxnet("squeeze")
def squeeze_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    axes = op.ints("axis", None)
    return b.emit("Squeeze", [op.inputs[0]] if axes is None else [op.inputs[0], b.const(axes)])


# ---- Paddle ----------------------------------------------------------------------------------------------------------


@from_paddle("transpose", "transpose2")
def transpose_from_paddle(op: PaddleOp, b: Builder) -> Any:
    op.text("data_format", "AnyLayout")  # names the layout, changes nothing
    return b.emit("Transpose", [op.value("X", 0)], perm=op.ints("perm" if op.pir else "axis"))


@from_paddle("squeeze", "squeeze2")
def squeeze_from_paddle(op: PaddleOp, b: Builder) -> Any:
    x = op.value("X", 0)
    axes = ints_or_value(op, b, "axis" if op.pir else "axes", operand=1, default=())
    shape = dims(x)
    if isinstance(axes, ir.Value) or shape is None:
        raise op.refuse("the axes must be constant, and the operand's rank known")
    listed = {axis % len(shape) for axis in axes} if axes else set(range(len(shape)))
    ones = [axis for axis in sorted(listed) if shape[axis] == 1]
    if all(shape[axis] is not None for axis in listed):
        return b.emit("Squeeze", [x, b.const(ones)]) if ones else x
    if not axes:
        return b.emit("Squeeze", [x])
    return squeeze_where_one(b, x, [axis in listed for axis in range(len(shape))])


@from_paddle("unsqueeze", "unsqueeze2")
def unsqueeze_from_paddle(op: PaddleOp, b: Builder) -> Any:
    x, found = op.value("X", 0), known_rank(op.value("X", 0))
    name = "axis" if op.pir else "axes"
    axes = ints_or_value(op, b, name, tensor="AxesTensor", parts="AxesTensorList", operand=1, default=())
    if isinstance(axes, ir.Value):
        raise op.refuse("the axes must be constant")
    if found is None and len(axes) > 1:
        raise op.refuse("the operand's rank is not known")
    return b.emit("Unsqueeze", [x, b.const(axes if found is None else inserted_axes(found, axes))])


def inserted_axes(rank: int, axes: Sequence[int]) -> list[int]:
    """Places in the result of axes that are inserted one after the other, each counted in what is there by then."""
    places = [False] * rank
    for axis in axes:
        places.insert(axis if axis >= 0 else axis + len(places) + 1, True)
    return [place for place, inserted in enumerate(places) if inserted]


# ---- ONNX ------------------------------------------------------------------------------------------------------------


@from_onnx("Transpose")
def transpose_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b, "perm")


@from_onnx("Squeeze", "Unsqueeze")
def squeeze_from_onnx(op: OnnxOp, b: Builder) -> Any:
    """Axes are an attribute before opset 13, an input from then on."""
    axes = op.raw("axes", None)
    if axes is not None:
        return b.emit(op.op, [op.value(0), b.const(axes)])
    return b.emit(op.op, [value for value in op.inputs if value is not None])


@lower("Squeeze", below=13)
@lower("Unsqueeze", below=13)
def lower_squeeze(node: ir.Node, opset: int) -> None:
    input_to_attribute(node, 1, "axes", opset)


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


@to_torch("Transpose")
def transpose_to_torch(node: ir.Node, t: TorchCode) -> None:
    order, found, x = attribute(node, "perm"), known_rank(node.inputs[0]), t.arg(node.inputs[0])
    if order is None and found is not None:
        order = list(range(found))[::-1]
    axes = ", ".join(map(str, order)) if order is not None else f"*range({x}.ndim - 1, -1, -1)"
    t.assign(node.outputs[0], f"{x}.permute({axes})")


def constant_axes(node: ir.Node) -> list[int] | None:
    """The axes of a Squeeze or Unsqueeze; None where the node has none."""
    if len(node.inputs) < 2 or node.inputs[1] is None:
        return None
    array = constant(node.inputs[1])
    if array is None:
        raise ConversionError(f"{node.op_type} {node.name!r}: axes that are computed at run time have no PyTorch form")
    return [int(axis) for axis in array.reshape(-1)]


@to_torch("Squeeze")
def squeeze_to_torch(node: ir.Node, t: TorchCode) -> None:
    axes, ints = constant_axes(node), t.ints(node.inputs[0])
    if ints is not None and int_lists.is_list(ints) and axes in ([0], [-1], None):
        t.assign_ints(node.outputs[0], int_lists.pick(ints, 0))
        return
    x = t.arg(node.inputs[0])
    if axes is None:
        t.assign(node.outputs[0], f"{x}.squeeze()")
    else:
        t.assign(node.outputs[0], f"{x}.squeeze({axes[0] if len(axes) == 1 else tuple(axes)})")


@to_torch("Unsqueeze")
def unsqueeze_to_torch(node: ir.Node, t: TorchCode) -> None:
    axes, ints = constant_axes(node) or [], t.ints(node.inputs[0])
    if ints is not None and not int_lists.is_list(ints) and axes in ([0], [-1]):
        t.assign_ints(node.outputs[0], f"[{ints}]")
        return
    x, found = t.arg(node.inputs[0]), known_rank(node.inputs[0])
    if len(axes) > 1 and min(axes) < 0:
        if found is None:
            raise ConversionError(f"Unsqueeze {node.name!r}: negative axes need an operand of known rank")
        axes = [axis % (found + len(axes)) for axis in axes]
    t.assign(node.outputs[0], x + "".join(f".unsqueeze({axis})" for axis in sorted(axes)))
