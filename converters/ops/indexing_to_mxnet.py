"""Slice, Gather, ArgMax, ArgMin, TopK as slice, slice_like, take, gather_nd, argmax, argmin, sort and argsort.

MXNet gives places as float32, which is exact up to 2**24. Source: MXNet 1.9.1 ``SliceParam``, ``SliceLikeParam``,
``TakeParam``, ``ReduceAxisParam``.
"""

from __future__ import annotations

import numpy as np

from facecvt.converters.graph import attribute, constant
from facecvt.converters.mxnet_nodes import MxnetNodes
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.indexing import FAR
from facecvt.converters.ops.registry import to_mxnet
from facecvt.converters.ops.runtime_squeeze import serves_squeeze
from facecvt.converters.sizes import Size, Sizes, subtracted

EXACT = 2**24  # whole numbers up to here are exact in float32


@to_mxnet("Slice")
def slice_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """Numbers by slice; an end that is known at run time only by the value that has as many places."""
    x = node.inputs[0]
    starts, ends, axes, steps = (m.sizes(value) for value in [*node.inputs[1:], None, None][:4])
    inner = m.sizes(x)
    if (
        x is None
        or starts is None
        or ends is None
        or (len(node.inputs) > 3 and node.inputs[3] is not None and axes is None)
    ):
        raise m.refuse(node, "bounds that are computed at run time have no MXNet form")
    if len(node.inputs) > 4 and node.inputs[4] is not None and (steps is None or steps.numbers is None):
        raise m.refuse(node, "steps that are computed at run time have no MXNet form")
    count = len(starts.items)
    by = [1] * count if steps is None or steps.numbers is None else steps.numbers
    if inner is not None and constant(x) is None:
        if starts.numbers is None or ends.numbers is None:
            raise m.refuse(node, "a part of a shape between bounds known at run time has no MXNet form")
        m.assign_sizes(node.outputs[0], Sizes(inner.items[bounds(starts.numbers[0], ends.numbers[0], by[0], None)]))
        return
    places = list(range(count)) if axes is None else axes.numbers
    if places is None:
        raise m.refuse(node, "axes that are computed at run time have no MXNet form")
    places = [m.axis(x, axis, node) for axis in places]
    wanted = {axis: (starts.items[i], ends.items[i], by[i]) for i, axis in enumerate(places)}
    cut(node, m, x, wanted)


def bounds(start: int, end: int, step: int, size: int | None) -> slice:
    """ONNX's bounds as Python's: None where they lie beyond any tensor, clamped where the size is known."""
    first = None if start >= FAR and step < 0 else start
    last = None if abs(end) >= FAR and (end > 0) == (step > 0) else end
    if size is None:
        return slice(None if (first == 0 and step > 0) or (first is not None and first <= -FAR) else first, last, step)
    begin, stop, _ = slice(first, last, step).indices(size)
    return slice(begin, None if step < 0 and stop < 0 else stop, step)


def cut(node: ir.Node, m: MxnetNodes, x: ir.Value, wanted: dict[int, tuple[Size, Size, int]]) -> None:
    """The slice, and slice_like behind it where an end is that of another value."""
    width = max(wanted, default=0) + 1
    begin: list[int | None] = [None] * width
    end: list[int | None] = [None] * width
    step: list[int] = [1] * width
    likes: dict[int, Size] = {}
    for axis, (start, stop, by) in wanted.items():
        size = m.dim(x, axis)
        if start.number is None or (stop.number is None and by != 1):
            raise m.refuse(node, f"a start at {start} that is known at run time only has no MXNet form")
        if stop.number is None:
            length = subtracted(stop, start)
            if length != subtracted(size, start):
                likes[axis] = length
            begin[axis] = start.factor or None
            continue
        part = bounds(start.factor, stop.factor, by, size.number)
        if size.number is not None and not range(size.number)[part]:
            raise m.refuse(node, f"nothing is left of axis {axis}, and MXNet has no empty tensors")
        begin[axis], end[axis], step[axis] = part.start, part.stop, by
    whole = all(first is None and last is None and by == 1 for first, last, by in zip(begin, end, step, strict=True))
    if not likes:
        m.assign(node.outputs[0], "slice", [m.arg(x)], begin=begin, end=end, step=step)
        return
    data = m.arg(x) if whole else m.node("slice", [m.arg(x)], begin=begin, end=end, step=step)
    slice_like(node, m, data, likes)


def slice_like(node: ir.Node, m: MxnetNodes, data: tuple[int, int], likes: dict[int, Size]) -> None:
    """Cut from 0 on to sizes of other values, at the axis at which those have them."""
    groups: dict[str, tuple[ir.Value, list[int]]] = {}
    for axis, size in likes.items():
        holder = m.holder(size)
        if holder is None or holder[1] != axis:
            raise m.refuse(node, f"an end at {size}, known at run time only, has no MXNet form; give fixed input sizes")
        groups.setdefault(str(holder[0].name), (holder[0], []))[1].append(axis)
    *before, (last, axes) = groups.values()
    for value, some in before:
        data = m.node("slice_like", [data, m.arg(value)], axes=some)
    m.assign(node.outputs[0], "slice_like", [data, m.arg(last)], axes=axes)
    shape = m.shape(node.inputs[0]) or ()
    x = node.inputs[0]
    if x is not None:
        m.set_shape(node.outputs[0], [likes.get(axis, m.dim(x, axis)) for axis in range(len(shape))])


@to_mxnet("Gather")
def gather_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """One place by slice_axis, constant ones by take; of computed ones a negative is counted from the end."""
    x, indices, axis = node.inputs[0], node.inputs[1], attribute(node, "axis", 0)
    whole, wanted = m.sizes(x), m.sizes(indices)
    if whole is not None and constant(x) is None and wanted is not None and wanted.numbers is not None:
        picked = tuple(whole.items[number] for number in wanted.numbers)
        m.assign_sizes(node.outputs[0], Sizes(picked, scalar=wanted.scalar))
        return
    if x is None or indices is None:
        raise m.refuse(node, "it lacks an operand")
    data, array, result = m.arg(x), constant(indices), node.outputs[0]
    axis = m.axis(x, axis, node)
    if array is None:
        places = m.arg(indices)
        if m.rank(indices) != 0:
            m.assign(result, "take", [data, places], axis=axis, mode="wrap")
            return
        m.assign(result, "squeeze", [m.node("take", [data, places], axis=axis, mode="wrap")], axis=[axis])
        return
    if array.size == 1:
        place = int(array.reshape(-1)[0])
        options: dict[str, object] = {"axis": axis, "begin": place, "end": place + 1 if place != -1 else None}
        if array.ndim == 1:
            m.assign(result, "slice_axis", [data], **options)
            return
        if m.rank(x) == 1 and array.ndim == 0:  # rank 0, a vector of one element
            m.assign(result, "slice_axis", [data], **options)
            return
        part = m.node("slice_axis", [data], **options)
        if array.ndim == 0:
            m.assign(result, "squeeze", [part], axis=[axis])
            return
    size = m.dim(x, axis).number
    if (array < 0).any() and size is None:
        m.assign(result, "take", [data, m.arg(indices)], axis=axis, mode="wrap")
        return
    if size is not None and (array < 0).any():
        places = m.weight(indices, np.where(array < 0, array + size, array), "positive")
    else:
        places = m.arg(indices)
    m.assign(result, "take", [data, places], axis=axis, mode="clip")


@to_mxnet("ArgMax", "ArgMin")
def argmax_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    x, axis = node.inputs[0], attribute(node, "axis", 0)
    if attribute(node, "select_last_index", 0):
        raise m.refuse(node, "select_last_index has no MXNet form")
    shape = m.shape(x)
    size = shape[axis] if shape is not None else None
    if isinstance(size, int) and size > EXACT:
        raise m.refuse(node, f"MXNet gives places as float32, which is not exact for {size} of them")
    options: dict[str, object] = {"axis": axis, "keepdims": bool(attribute(node, "keepdims", 1))}
    place = m.node("argmax" if node.op_type == "ArgMax" else "argmin", [m.arg(x)], **options)
    m.assign(node.outputs[0], "Cast", [place], dtype="int64")


@to_mxnet("Compress")
def compress_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """Only as a step of Paddle's squeeze; a result of unknown size has no MXNet form."""
    if not serves_squeeze(node):
        raise m.refuse(node, "how much it keeps is known at run time only, for which MXNet has no form")
    m.assign_sizes(node.outputs[0], Sizes(()))


@to_mxnet("TopK")
def top_k_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """The first places of everything in order: a whole sort keeps the order of equal numbers, MXNet's topk does not."""
    data, found = m.arg(node.inputs[0]), m.sizes(node.inputs[1])
    if found is None or found.numbers is None:
        raise m.refuse(node, "how many it keeps must be known")
    axis, count = attribute(node, "axis", -1), found.numbers[0]
    options: dict[str, object] = {"axis": axis, "is_ascend": not attribute(node, "largest", 1)}
    part: dict[str, object] = {"axis": axis, "begin": 0, "end": count}
    m.assign(node.outputs[0], "slice_axis", [m.node("sort", [data], **options)], **part)
    if len(node.outputs) > 1:
        places = m.node("argsort", [data], dtype="int64", **options)
        m.assign(node.outputs[1], "slice_axis", [places], **part)


@to_mxnet("GatherND")
def gather_nd_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """MXNet has the coordinates of a place along the first axis of the indices, not along the last."""
    indices = node.inputs[1]
    if attribute(node, "batch_dims", 0):
        raise m.refuse(node, "batch_dims has no MXNet form")
    width = m.whole_rank(indices, node)
    order = [width - 1, *range(width - 1)]
    turned = m.node("transpose", [m.arg(indices)], axes=order) if width > 1 else m.arg(indices)
    m.assign(node.outputs[0], "gather_nd", [m.arg(node.inputs[0]), turned])
