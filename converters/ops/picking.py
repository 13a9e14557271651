"""MXNet's picking by computed places, and repetition: take, gather_nd, sort, argsort, topk, one_hot, repeat, reverse.

    take        places along an axis; beyond its ends clipped (the default) or counted round and round (wrap)
    gather_nd   the coordinates of a place lie along the *first* axis of the indices
    topk        the k first of an axis in order: their places (the default), their values, or both
    one_hot     on_value where a new last axis is at the place, off_value elsewhere
    repeat      every element several times over, one beside the other

MXNet gives places as float32 unless ``dtype`` says otherwise, and reads them as numbers of any type, cut to whole ones.
Sources: MXNet 1.9.1 ``src/operator/tensor/{indexing_op,ordering_op-inl,matrix_op-inl}.h``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facecvt.converters.graph import Builder, constant, dims
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.indexing import emit_slice
from facecvt.converters.ops.registry import from_mxnet
from facecvt.converters.ops.target_shape import INT64_MAX
from facecvt.converters.ops.value_facts import element_type, known_rank
from facecvt.converters.source_ops import MxnetOp

TYPES = ("float32", "float64", "float16", "int32", "int64", "uint8", "int8")


def places_of(b: Builder, value: ir.Value) -> ir.Value:
    """Indices of any type as int64."""
    array = constant(value)
    if array is not None:
        fixed: ir.Value = b.const(array.astype(np.int64))
        return fixed
    if element_type(value) == ir.DataType.INT64:
        return value
    whole: ir.Value = b.emit("Cast", [value], to=int(ir.DataType.INT64))
    return whole


def length(b: Builder, value: ir.Value, axis: int) -> ir.Value:
    """The size of an axis, a vector of one; a constant where it is known."""
    shape = dims(value)
    known = shape[axis] if shape is not None else None
    if known is not None:
        return b.const([known])
    size: ir.Value = b.emit("Gather", [b.emit("Shape", [value]), b.const([axis])], axis=0)
    return size


@from_mxnet("take")
def take_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    data, axis = op.inputs[0], op.integer("axis", 0)
    wrap = op.text("mode", "clip", allowed=("clip", "wrap")) == "wrap"
    places, size = places_of(b, op.inputs[1]), length(b, data, axis)
    count, array = constant(size), constant(places)
    if count is not None and array is not None:
        last = int(count[0])
        fixed = array % last if wrap else array.clip(0, last - 1)
        return b.emit("Gather", [data, b.const(fixed)], axis=axis)
    if wrap:  # the remainder keeps its sign, and Gather counts negative places from the end
        whole = b.emit("Mul", [b.emit("Div", [places, size]), size])
        places = b.emit("Sub", [places, whole])
    else:
        first, last = b.const([0]), b.emit("Sub", [size, b.const([1])])
        places = b.emit("Where", [b.emit("Less", [places, first]), first, places])
        places = b.emit("Where", [b.emit("Less", [last, places]), last, places])
    return b.emit("Gather", [data, places], axis=axis)


@from_mxnet("gather_nd")
def gather_nd_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    places = places_of(b, op.inputs[1])
    width = known_rank(op.inputs[1])
    if width is None:
        raise op.refuse("the number of dimensions of the indices is not known; give the input shapes")
    if width > 1:
        places = b.emit("Transpose", [places], perm=[*range(1, width), 0])
    return b.emit("GatherND", [op.inputs[0], places])


def in_order(op: MxnetOp, b: Builder, count: ir.Value | None, ascending: bool) -> tuple[ir.Value, ir.Value]:
    """Values and places (int64) of the first of an axis; all where no count is given."""
    axis = op.ints("axis", (-1,))
    if axis is None:
        raise op.refuse("without an axis is not supported")
    x = op.inputs[0]
    wanted = length(b, x, axis[0]) if count is None else count
    values, places = b.emit("TopK", [x, wanted], outputs=2, axis=axis[0], largest=int(not ascending), sorted=1)
    return values, places


def numbered(op: MxnetOp, b: Builder, places: ir.Value) -> Any:
    """Places in the type that ``dtype`` asks for."""
    kind = op.text("dtype", "float32", allowed=TYPES)
    return places if kind == "int64" else b.emit("Cast", [places], to=int(ir.DataType.from_numpy(np.dtype(kind))))


@from_mxnet("sort")
def sort_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return in_order(op, b, None, op.boolean("is_ascend", True))[0]


@from_mxnet("argsort")
def argsort_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return numbered(op, b, in_order(op, b, None, op.boolean("is_ascend", True))[1])


@from_mxnet("topk")
def topk_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    kind = op.text("ret_typ", "indices", allowed=("indices", "value", "both"))
    count = op.integer("k", 1)
    values, places = in_order(op, b, b.const([count]) if count > 0 else None, op.boolean("is_ascend", False))
    if kind == "value":
        op.raw("dtype", None)
        return values
    return numbered(op, b, places) if kind == "indices" else [values, numbered(op, b, places)]


@from_mxnet("one_hot")
def one_hot_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    kind = np.dtype(op.text("dtype", "float32", allowed=TYPES))
    there, elsewhere = (b.const(op.number(key, value), kind) for key, value in (("on_value", 1), ("off_value", 0)))
    places = b.emit("Unsqueeze", [places_of(b, op.inputs[0]), b.const([-1])])
    return b.emit("Where", [b.emit("Equal", [places, b.const(np.arange(op.integer("depth")))]), there, elsewhere])


@from_mxnet("repeat")
def repeat_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """A new axis behind the repeated one, widened and joined with it."""
    x, times, axes = op.inputs[0], op.integer("repeats"), op.ints("axis", None)
    if axes is None:
        column = b.emit("Reshape", [x, b.const([-1, 1])])
        return b.emit("Reshape", [b.emit("Tile", [column, b.const([1, times])]), b.const([-1])])
    found = known_rank(x)
    if found is None:
        raise op.refuse("the number of dimensions of the operand is not known; give the input shapes")
    axis, behind = axes[0] % found, found - axes[0] % found - 1
    wide = b.emit("Unsqueeze", [x, b.const([axis + 1])])
    wide = b.emit("Tile", [wide, b.const([*[1] * (axis + 1), times, *[1] * behind])])
    sizes = [b.const([0] * axis + [-1]), *(length(b, x, axis + 1 + place) for place in range(behind))]
    return b.emit("Reshape", [wide, b.emit("Concat", sizes, axis=0) if behind else sizes[0]])


@from_mxnet("reverse", "flip")
def reverse_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    axes = op.ints("axis")
    count = len(axes)
    return emit_slice(b, op.inputs[0], [INT64_MAX] * count, [-INT64_MAX] * count, axes, [-1] * count)
