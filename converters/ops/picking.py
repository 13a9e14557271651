"""Picking by computed places and by rank, one-hot vectors, repetition and reversal.

MXNet:

    take        places along an axis; beyond its ends clipped (the default) or counted round and round (wrap)
    gather_nd   the coordinates of a place lie along the *first* axis of the indices
    topk        the k first of an axis in order: their places (the default), their values, or both
    pick        one element of every row, by its place along an axis; beyond the ends as with take
    one_hot     on_value where a new last axis is at the place, off_value elsewhere
    repeat      every element several times over, one beside the other

MXNet gives places as float32 unless ``dtype`` says otherwise, and reads them as numbers of any type, cut to whole ones.

Paddle (legacy operator / PIR operator):

    top_k, top_k_v2 / topk    values and places (int64) of the k first of an axis in order; top_k takes the last axis
    argsort                   the same of all
    one_hot, one_hot_v2 / one_hot   a new last axis; the oldest form puts it in the place of a last axis of length 1
    where_index / nonzero     (n, rank): the coordinates of every element that is not 0, a row each
    put_along_axis            values written to places along an axis, the others as they were; ``assign`` alone is read

Of equal numbers the first comes first. Sources: MXNet 1.9.1
``src/operator/tensor/{indexing_op,ordering_op-inl,matrix_op-inl}.h``, Paddle 3.3.1 operator registrations.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facecvt.converters.graph import Builder, constant, dims
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.constants import filled_like, paddle_type
from facecvt.converters.ops.indexing import emit_slice
from facecvt.converters.ops.paddle_operands import as_int64, ints_or_value
from facecvt.converters.ops.registry import from_mxnet, from_paddle
from facecvt.converters.ops.target_shape import INT64_MAX
from facecvt.converters.ops.value_facts import element_type, known_rank, number_like
from facecvt.converters.source_ops import MxnetOp, PaddleOp

# ---- MXNet -----------------------------------------------------------------------------------------------------------

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
        places = clipped(b, places, size)
    return b.emit("Gather", [data, places], axis=axis)


def clipped(b: Builder, places: ir.Value, size: ir.Value) -> ir.Value:
    """Places before the first and behind the last of an axis moved to these."""
    first, last = b.const([0]), b.emit("Sub", [size, b.const([1])])
    places = b.emit("Where", [b.emit("Less", [places, first]), first, places])
    result: ir.Value = b.emit("Where", [b.emit("Less", [last, places]), last, places])
    return result


@from_mxnet("gather_nd")
def gather_nd_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    places = places_of(b, op.inputs[1])
    width = known_rank(op.inputs[1])
    if width is None:
        raise op.refuse("the number of dimensions of the indices is not known; give the input shapes")
    if width > 1:
        places = b.emit("Transpose", [places], perm=[*range(1, width), 0])
    return b.emit("GatherND", [op.inputs[0], places])


def ordered_axis(op: MxnetOp, b: Builder) -> tuple[ir.Value, int]:
    """What is put in order and along which axis: all elements in a row where ``axis`` is None."""
    axis, x = op.ints("axis", (-1,)), op.inputs[0]
    return (b.emit("Reshape", [x, b.const([-1])]), 0) if axis is None else (x, axis[0])


def in_order(op: MxnetOp, b: Builder, count: ir.Value | None, ascending: bool) -> tuple[ir.Value, ir.Value]:
    """Values and places (int64) of the first of an axis; all where no count is given."""
    x, axis = ordered_axis(op, b)
    wanted = length(b, x, axis) if count is None else count
    values, places = b.emit("TopK", [x, wanted], outputs=2, axis=axis, largest=int(not ascending), sorted=1)
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
    kind = op.text("ret_typ", "indices", allowed=("indices", "value", "both", "mask"))
    count = op.integer("k", 1)
    values, places = in_order(op, b, b.const([count]) if count > 0 else None, op.boolean("is_ascend", False))
    if kind in ("value", "mask"):
        op.raw("dtype", None)
        return values if kind == "value" else marked(op, b, places)
    return numbered(op, b, places) if kind == "indices" else [values, numbered(op, b, places)]


def marked(op: MxnetOp, b: Builder, places: ir.Value) -> Any:
    """1 at the places of an axis, 0 elsewhere."""
    x, axis = ordered_axis(op, b)
    ones = b.emit("Expand", [number_like(b, x, 1.0), b.emit("Shape", [places])])
    mask = b.emit("ScatterElements", [filled_like(b, x, 0.0), places, ones], axis=axis)
    return mask if x is op.inputs[0] else b.emit("Reshape", [mask, b.emit("Shape", [op.inputs[0]])])


@from_mxnet("pick", "choose_element_0index", "batch_take")
def pick_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """One element of every row: where the place along the axis is the wanted one; the old names take the last axis."""
    data, axis = op.inputs[0], op.integer("axis", -1)
    wrap, keep = op.text("mode", "clip", allowed=("clip", "wrap")) == "wrap", op.boolean("keepdims", False)
    rank, given = known_rank(data), known_rank(op.inputs[1])
    if rank is None or given is None:
        raise op.refuse("the number of dimensions of its inputs is not known; give the input shapes")
    axis %= rank
    places, size = places_of(b, op.inputs[1]), length(b, data, axis)
    if given < rank:
        places = b.emit("Unsqueeze", [places, b.const([axis])])
    if wrap:
        places = b.emit("Sub", [places, b.emit("Mul", [b.emit("Div", [places, size]), size])])
        places = b.emit("Where", [b.emit("Less", [places, b.const([0])]), b.emit("Add", [places, size]), places])
    else:
        places = clipped(b, places, size)
    count = b.emit("Gather", [b.emit("Shape", [data]), b.const(axis)], axis=0)
    line = b.emit("Range", [b.const(0), count, b.const(1)])
    line = b.emit("Reshape", [line, b.const([-1, *[1] * (rank - axis - 1)])])
    chosen = b.emit("Where", [b.emit("Equal", [places, line]), data, number_like(b, data, 0.0)])
    return b.emit("ReduceSum", [chosen, b.const([axis])], keepdims=int(keep))


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
    return reversed_along(b, op.inputs[0], op.ints("axis"))


def reversed_along(b: Builder, x: ir.Value, axes: list[int]) -> Any:
    """The last element of each of these axes first."""
    count = len(axes)
    return emit_slice(b, x, [INT64_MAX] * count, [-INT64_MAX] * count, axes, [-1] * count)


# ---- Paddle ----------------------------------------------------------------------------------------------------------


@from_paddle("flip")
def flip_from_paddle(op: PaddleOp, b: Builder) -> Any:
    return reversed_along(b, op.value("X", 0), op.ints("axis"))


@from_paddle("top_k", "top_k_v2", "topk")
def top_k_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """How many is an attribute or a tensor; Paddle leaves the order open without ``sorted``, so that any will do."""
    x, wanted = op.value("X", 0), ints_or_value(op, b, "k", tensor="K", operand=1, default=(1,))
    axis, largest = op.integer("axis", -1), op.boolean("largest", True)
    op.boolean("sorted", True)
    count = wanted if isinstance(wanted, ir.Value) else b.const(wanted)
    if known_rank(x) == 0:
        raise op.refuse("a number without axes has no order")
    return b.emit("TopK", [x, count], outputs=2, axis=axis, largest=int(largest), sorted=1)


@from_paddle("argsort")
def argsort_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """The values in order, and their places."""
    x, axis = op.value("X", 0), op.integer("axis", -1)
    falling = op.boolean("descending", False)
    op.boolean("stable", False)  # without it the order of equal numbers is open
    return b.emit("TopK", [x, length(b, x, axis)], outputs=2, axis=axis, largest=int(falling), sorted=1)


@from_paddle("one_hot", "one_hot_v2")
def one_hot_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """PIR always gives float32."""
    x, depth = op.value("X", 0), ints_or_value(op, b, "depth", tensor="depth_tensor", operand=1, default=(1,))
    op.boolean("allow_out_of_range", False)  # a place that is not there: all zeros, or an error of Paddle's
    if isinstance(depth, ir.Value):
        raise op.refuse("the depth must be constant")
    places = as_int64(b, x)
    if op.pir or op.op == "one_hot_v2":
        places = b.emit("Unsqueeze", [places, b.const([-1])])
    kind = np.dtype(np.float32 if op.pir else paddle_type(op, "dtype", "float32"))
    there = b.emit("Equal", [places, b.const(np.arange(depth[0]))])
    return b.emit("Cast", [there], to=int(ir.DataType.from_numpy(kind)))


@from_paddle("where_index", "nonzero")
def non_zero_from_paddle(op: PaddleOp, b: Builder) -> Any:
    return b.emit("Transpose", [b.emit("NonZero", [op.value("Condition", 0)])], perm=[1, 0])


@from_paddle("put_along_axis")
def put_along_axis_from_paddle(op: PaddleOp, b: Builder) -> Any:
    names = ("axis", "reduce", "include_self") if op.pir else ("Axis", "Reduce", "Include_self")
    axis, how = op.integer(names[0]), op.text(names[1], "assign")
    op.boolean(names[2], True)  # matters to sums and the like only
    if how != "assign":
        raise op.refuse(f"{names[1]} {how!r} is not supported; 'assign' is")
    places = as_int64(b, op.value("Index", 1))
    return b.emit("ScatterElements", [op.value("Input", 0), places, op.value("Value", 2)], axis=axis)
