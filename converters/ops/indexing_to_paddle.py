"""Parts of tensors, written to Paddle: slices, gathers, places.

Paddle's bounds have 32 bits, which is as good as ONNX's 64 where they mean "to the end". Its gather takes one axis of
indices; more of them are flattened and their shape is put back. Source: Paddle 3.3.1 ``slice``, ``strided_slice``,
``gather``, ``where_index``, ``arg_max``.
"""

from __future__ import annotations

import math

import numpy as np

from facecvt.converters.graph import constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.indexing import vector_length
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.ops.runtime_squeeze import serves_squeeze
from facecvt.converters.paddle_nodes import UNKNOWN, PaddleNodes

FAR = 2**31 - 1
INT64 = np.dtype(np.int64)


@to_paddle("Slice")
def slice_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    x, starts, ends, axes_value, steps_value = [*node.inputs, None, None][:5]
    if axes_value is None:
        known = [length for length in map(vector_length, (starts, ends)) if length is not None]
        if not known:
            raise p.refuse("how many axes it cuts is not known")
        axes = list(range(known[0]))
    else:
        axes = [axis % p.rank(x) for axis in p.ints(axes_value, "axes")]
    steps = [1] * len(axes) if steps_value is None else p.ints(steps_value, "steps")
    slots: dict[str, ir.Value | None] = {"Input": x}
    bounds: dict[str, list[int]] = {}
    for key, slot, value in (("starts", "StartsTensor", starts), ("ends", "EndsTensor", ends)):
        array = constant(value)
        if array is None:
            slots[slot], bounds[key] = value, [UNKNOWN] * len(axes)
        else:
            bounds[key] = [max(-FAR, min(FAR, int(bound))) for bound in array.reshape(-1)]
    flags = [1 if len(slots) == 1 else -1] * len(axes)
    if set(steps) <= {1}:
        p.emit("slice", slots, node.outputs[0], axes=axes, infer_flags=flags, **bounds)
    else:
        p.emit("strided_slice", slots, node.outputs[0], axes=axes, strides=steps, infer_flags=flags, **bounds)


@to_paddle("Gather")
def gather_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    x, indices, result = node.inputs[0], node.inputs[1], node.outputs[0]
    shape, array = p.shape(x), constant(indices)
    axis = p.attribute("axis", 0) % len(shape)
    if array is not None and array.ndim == 0:  # one place: its axis goes
        place = int(array)
        end = FAR if place == -1 else place + 1
        options = {"axes": [axis], "starts": [place], "ends": [end], "decrease_axis": [axis], "infer_flags": [1]}
        p.emit("slice", {"Input": x}, result, **options)
        return
    wanted = p.shape(indices)
    flat = flat_indices(p, indices, shape[axis])
    if len(wanted) == 1:
        p.emit("gather", {"X": x, "Index": flat}, result, axis=axis)
        return
    count = UNKNOWN if UNKNOWN in wanted else math.prod(wanted)
    rows = p.emit("gather", {"X": x, "Index": flat}, sized=(*shape[:axis], count, *shape[axis + 1 :]), axis=axis)
    target = [0] * axis + [*wanted, *shape[axis + 1 :]]
    if target.count(UNKNOWN) > 1:
        raise p.refuse(f"indices of shape {wanted} into {shape} leave more than one dimension open")
    if not wanted:
        p.emit("squeeze2", {"X": rows}, result, axes=[axis])
    else:
        p.emit("reshape2", {"X": rows}, result, shape=target)


def flat_indices(p: PaddleNodes, indices: ir.Value | None, size: int) -> str:
    """Indices with one axis, those of a constant counted from the begin where the axis' size is known."""
    array = constant(indices)
    if array is None:
        name = p.arg(indices)
        wanted = p.shape(name)
        if len(wanted) == 1:
            return name
        count = UNKNOWN if UNKNOWN in wanted else math.prod(wanted)
        return p.emit("reshape2", {"X": name}, sized=(count,), shape=[-1])
    flat = array.reshape(-1)
    if (flat < 0).any():
        if size == UNKNOWN:
            raise p.refuse("indices that count from the end need an axis of known size")
        flat = np.where(flat < 0, flat + size, flat).astype(array.dtype)
        return p.constant(flat, array.dtype)
    return p.arg(indices) if array.ndim == 1 else p.constant(flat, array.dtype)


@to_paddle("ArgMax", "ArgMin")
def argmax_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    if p.attribute("select_last_index", 0):
        raise p.refuse("select_last_index has no Paddle form")
    operator = "arg_max" if node.op_type == "ArgMax" else "arg_min"
    axis, keep = p.attribute("axis", 0), bool(p.attribute("keepdims", 1))
    p.emit(operator, {"X": node.inputs[0]}, node.outputs[0], axis=axis, keepdims=keep)


@to_paddle("NonZero")
def non_zero_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    count = p.rank(node.inputs[0])
    places = p.emit("where_index", {"Condition": node.inputs[0]}, sized=(UNKNOWN, count), typed=INT64)
    p.emit("transpose2", {"X": places}, node.outputs[0], axis=[1, 0])


@to_paddle("Compress")
def compress_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    """The places where the condition holds, gathered."""
    if serves_squeeze(node):
        return
    axis = p.attribute("axis")
    x = p.arg(node.inputs[0])
    if axis is None:
        x, axis = p.emit("reshape2", {"X": x}, sized=(UNKNOWN,), shape=[-1]), 0
    places = p.emit("where_index", {"Condition": node.inputs[1]}, sized=(UNKNOWN, 1), typed=INT64)
    flat = p.emit("reshape2", {"X": places}, sized=(UNKNOWN,), shape=[-1])
    p.emit("gather", {"X": x, "Index": flat}, node.outputs[0], axis=axis % p.rank(x))
