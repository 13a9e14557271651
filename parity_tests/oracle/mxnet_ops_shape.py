"""MXNet: shapes, slices, joins, reductions and constants.

Source: ``src/operator/tensor``, ``src/operator/{crop,pad,slice_channel,swapaxis}-inl.h`` of MXNet 1.9.1; the tests hold
each against it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from facecvt.converters.errors import AttributeValueError
from facecvt.parity_tests.oracle import kernels_shape as shapes
from facecvt.parity_tests.oracle.mxnet_attributes import MxnetAttributes, mxnet_operator
from facecvt.parity_tests.oracle.values import Compute, Value, normal_axes


@mxnet_operator("Flatten", "flatten")
def define_flatten(attributes: MxnetAttributes) -> Compute:
    """All axes but the first joined."""
    return lambda x: [x[0].reshape(x[0].shape[0], -1)]


@mxnet_operator("Reshape", "reshape")
def define_reshape(attributes: MxnetAttributes) -> Compute:
    """shape with the codes 0, -1, -2, -3, -4, from the right with reverse; before 0.9 target_shape, keep_highest."""
    codes, reverse = attributes.integers("shape"), attributes.flag("reverse", False)
    old, keep = attributes.integers("target_shape"), attributes.flag("keep_highest", False)
    if codes:
        return lambda x: [x[0].reshape(shapes.reshape_special(codes, x[0].shape, reverse=reverse))]
    if not old:
        raise attributes.refuse("shape", "a shape is required")

    def compute(x: list[Any]) -> Sequence[Any]:
        target = [dim or -1 for dim in old]  # here 0 stands for the inferred dimension
        if keep:
            target[0] = x[0].shape[0]
        return [x[0].reshape(target)]

    return compute


@mxnet_operator("reshape_like")
def define_reshape_like(attributes: MxnetAttributes) -> Compute:
    """The shape of the second operand, or a range of axes in the shape of a range of the second operand's."""
    names = ("lhs_begin", "lhs_end", "rhs_begin", "rhs_end")
    begin, end, first, last = (attributes.optional_integer(name) for name in names)

    def compute(x: list[Any]) -> Sequence[Any]:
        target = list(x[0].shape)
        target[begin:end] = x[1].shape[first:last]
        return [x[0].reshape(target)]

    return compute


@mxnet_operator("expand_dims")
def define_expand_dims(attributes: MxnetAttributes) -> Compute:
    """A new axis of length one."""
    axis = attributes.integer("axis")
    return lambda x: [np.expand_dims(x[0], axis)]


@mxnet_operator("squeeze")
def define_squeeze(attributes: MxnetAttributes) -> Compute:
    """The given axes of length one removed, all of them when none is given."""
    axes = attributes.integers("axis")
    return lambda x: [np.squeeze(x[0], axis=axes if axes else None)]


@mxnet_operator("transpose")
def define_transpose(attributes: MxnetAttributes) -> Compute:
    """axes, reversed when absent."""
    axes = attributes.integers("axes")
    return lambda x: [np.transpose(x[0], axes or None)]


@mxnet_operator("SwapAxis", "swapaxes")
def define_swap_axis(attributes: MxnetAttributes) -> Compute:
    """dim1 and dim2 exchanged."""
    first, second = attributes.integer("dim1", 0), attributes.integer("dim2", 0)
    return lambda x: [x[0].swapaxes(first, second)]


@mxnet_operator("Concat", "concat")
def define_concat(attributes: MxnetAttributes) -> Compute:
    """Along dim, 1."""
    axis = attributes.integer("dim", 1)
    return lambda x: [np.concatenate(x, axis=axis)]


@mxnet_operator("stack")
def define_stack(attributes: MxnetAttributes) -> Compute:
    """Along a new axis, 0."""
    axis = attributes.integer("axis", 0)
    return lambda x: [np.stack(x, axis=axis)]


def _split_suffixes(attributes: MxnetAttributes) -> tuple[str, ...]:
    return tuple(f"output{index}" for index in range(attributes.integer("num_outputs")))


@mxnet_operator("SliceChannel", "split", suffixes=_split_suffixes)
def define_slice_channel(attributes: MxnetAttributes) -> Compute:
    """Equal parts along axis 1; squeeze_axis removes the axis where each part has length one."""
    parts, axis = attributes.integer("num_outputs"), attributes.integer("axis", 1)
    squeeze = attributes.flag("squeeze_axis", False)

    def compute(x: list[Any]) -> Sequence[Any]:
        pieces = np.split(x[0], parts, axis=axis)
        return [np.squeeze(piece, axis=axis) for piece in pieces] if squeeze else pieces

    return compute


@mxnet_operator("slice", "crop")
def define_slice(attributes: MxnetAttributes) -> Compute:
    """begin, end, step over the leading axes; None is open."""
    begin, end = attributes.optional_integers("begin"), attributes.optional_integers("end")
    step = attributes.optional_integers("step") or (None,) * len(begin)
    return lambda x: [shapes.slice_axes(x[0], begin, end, range(len(begin)), step)]


@mxnet_operator("slice_axis")
def define_slice_axis(attributes: MxnetAttributes) -> Compute:
    """begin to end (None: to the end) of one axis."""
    axis, begin, end = attributes.integer("axis"), attributes.integer("begin"), attributes.optional_integer("end")
    return lambda x: [shapes.slice_axes(x[0], (begin,), (end,), (axis,))]


@mxnet_operator("slice_like")
def define_slice_like(attributes: MxnetAttributes) -> Compute:
    """The given axes (all by default) cut to the lengths of the second operand."""
    axes = attributes.integers("axes")

    def compute(x: list[Any]) -> Sequence[Any]:
        cut = normal_axes(axes, x[0].ndim)
        return [shapes.slice_axes(x[0], (0,) * len(cut), [x[1].shape[axis] for axis in cut], cut)]

    return compute


@mxnet_operator("Crop")
def define_crop(attributes: MxnetAttributes) -> Compute:
    """A window of the last two axes: of size h_w or like a second operand, at offset or in the centre."""
    offset, size = attributes.integers("offset", (0, 0)), attributes.integers("h_w", (0, 0))
    centre = attributes.flag("center_crop", False)

    def compute(x: list[Any]) -> Sequence[Any]:
        height, width = x[1].shape[2:4] if len(x) > 1 else size
        top, left = offset
        if centre:
            top, left = (x[0].shape[2] - height) // 2, (x[0].shape[3] - width) // 2
        if top + height > x[0].shape[2] or left + width > x[0].shape[3]:
            raise AttributeValueError(f"a window of {height} x {width} at ({top}, {left}) leaves {x[0].shape}")
        return [x[0][:, :, top : top + height, left : left + width]]

    return compute


@mxnet_operator("Pad", "pad")
def define_pad(attributes: MxnetAttributes) -> Compute:
    """pad_width holds (before, after) of every axis; mode constant, edge or reflect."""
    mode = attributes.one_of("mode", "", ("constant", "edge", "reflect"))
    widths, value = attributes.integers("pad_width"), attributes.number("constant_value", 0.0)
    return lambda x: [shapes.pad_any(x[0], widths[::2], widths[1::2], mode, value)]


@mxnet_operator("tile")
def define_tile(attributes: MxnetAttributes) -> Compute:
    """As numpy's tile."""
    repeats = attributes.integers("reps")
    return lambda x: [np.tile(x[0], repeats)]


@mxnet_operator("repeat")
def define_repeat(attributes: MxnetAttributes) -> Compute:
    """Each element repeated, along an axis or flattened."""
    repeats, axis = attributes.integer("repeats"), attributes.optional_integer("axis")
    return lambda x: [np.repeat(x[0], repeats, axis=axis)]


@mxnet_operator("reverse", "flip")
def define_reverse(attributes: MxnetAttributes) -> Compute:
    """The given axes reversed."""
    axes = attributes.integers("axis")
    return lambda x: [np.flip(x[0], axes)]


@mxnet_operator("broadcast_like")
def define_broadcast_like(attributes: MxnetAttributes) -> Compute:
    """Axes of length one widened to the second operand's, all or lhs_axes to rhs_axes."""
    left, right = attributes.integers("lhs_axes"), attributes.integers("rhs_axes")

    def compute(x: list[Any]) -> Sequence[Any]:
        if not left:
            return [np.broadcast_to(x[0], x[1].shape)]
        target = list(x[0].shape)
        for axis, other in zip(left, right, strict=True):
            target[axis] = x[1].shape[other]
        return [np.broadcast_to(x[0], target)]

    return compute


@mxnet_operator("broadcast_to")
def define_broadcast_to(attributes: MxnetAttributes) -> Compute:
    """shape; 0 keeps a dimension."""
    shape = attributes.integers("shape")
    return lambda x: [np.broadcast_to(x[0], [d or n for d, n in zip(shape, x[0].shape, strict=True)])]


@mxnet_operator("broadcast_axis", "broadcast_axes")
def define_broadcast_axis(attributes: MxnetAttributes) -> Compute:
    """The given axes of length one widened to the given sizes."""
    axes, sizes = attributes.integers("axis"), attributes.integers("size")

    def compute(x: list[Any]) -> Sequence[Any]:
        target = list(x[0].shape)
        for axis, size in zip(axes, sizes, strict=True):
            target[axis] = size
        return [np.broadcast_to(x[0], target)]

    return compute


@mxnet_operator("shape_array")
def define_shape_array(attributes: MxnetAttributes) -> Compute:
    """Dimensions as int64."""
    return lambda x: [np.array(x[0].shape, dtype=np.int64)]


@mxnet_operator("_contrib_arange_like")
def define_arange_like(attributes: MxnetAttributes) -> Compute:
    """start + step * n, every number repeated, along an axis of the operand or through all of it."""
    start, step = attributes.number("start", 0.0), attributes.number("step", 1.0)
    repeat, axis = attributes.integer("repeat", 1), attributes.optional_integer("axis")
    attributes.ignore("ctx")

    def compute(x: list[Any]) -> Sequence[Any]:
        count = x[0].size if axis is None else x[0].shape[axis]
        line = (start + step * (np.arange(count) // repeat)).astype(x[0].dtype)
        return [line.reshape(x[0].shape) if axis is None else line]

    return compute


@mxnet_operator("take")
def define_take(attributes: MxnetAttributes) -> Compute:
    """Rows of an axis by index; mode clip or wrap."""
    axis = attributes.integer("axis", 0)
    wrap = attributes.one_of("mode", "clip", ("clip", "wrap")) == "wrap"
    return lambda x: [np.take(x[0], x[1].astype(np.int64), axis=axis, mode="wrap" if wrap else "clip")]


REDUCTIONS: dict[tuple[str, ...], Callable[..., Any]] = {
    ("sum", "sum_axis"): np.sum,
    ("mean",): np.mean,
    ("prod",): np.prod,
    ("max", "max_axis"): np.max,
    ("min", "min_axis"): np.min,
}


def _define_reduction(names: tuple[str, ...], function: Callable[..., Any]) -> None:
    @mxnet_operator(*names)
    def define(attributes: MxnetAttributes) -> Compute:
        axes, keep = attributes.integers("axis"), attributes.flag("keepdims", False)
        exclude = attributes.flag("exclude", False)

        def compute(x: list[Any]) -> Sequence[Any]:
            chosen = normal_axes(axes, x[0].ndim)
            if exclude and axes:
                chosen = tuple(axis for axis in range(x[0].ndim) if axis not in chosen)
            result = np.asarray(function(x[0], axis=chosen, keepdims=keep))
            return [result if result.ndim else result.reshape(1)]  # MXNet has no arrays of rank 0

        return compute


for _names, _function in REDUCTIONS.items():
    _define_reduction(_names, _function)


@mxnet_operator("norm")
def define_norm(attributes: MxnetAttributes) -> Compute:
    """Sum of |x| (ord 1) or square root of the sum of squares (ord 2, the default)."""
    order, axes = attributes.integer("ord", 2), attributes.integers("axis")
    keep = attributes.flag("keepdims", False)
    attributes.result_dtype("out_dtype")
    if order not in (1, 2):
        raise attributes.refuse("ord", "MXNet knows 1 and 2")

    def compute(x: list[Any]) -> Sequence[Any]:
        chosen = normal_axes(axes, x[0].ndim)
        powers = np.abs(x[0]) if order == 1 else np.square(x[0])
        total: Value = np.asarray(powers.sum(axis=chosen, keepdims=keep))
        total = total if order == 1 else np.sqrt(total)
        return [total if total.ndim else total.reshape(1)]

    return compute


def _define_extreme(name: str, smallest: bool) -> None:
    @mxnet_operator(name)
    def define(attributes: MxnetAttributes) -> Compute:
        axis, keep = attributes.optional_integer("axis"), attributes.flag("keepdims", False)

        def compute(x: list[Any]) -> Sequence[Any]:
            data = x[0] if axis is not None else x[0].reshape(-1)
            index = shapes.extreme_index(data, axis if axis is not None else 0, keep, smallest=smallest)
            if axis is None and keep:
                index = index.reshape((1,) * x[0].ndim)
            return [(index if index.ndim else index.reshape(1)).astype(attributes.dtype)]

        return compute


@mxnet_operator("argmax_channel")
def define_argmax_channel(attributes: MxnetAttributes) -> Compute:
    """The place of the greatest along axis 1."""
    return lambda x: [x[0].argmax(axis=1).astype(attributes.dtype)]


_define_extreme("argmax", False)
_define_extreme("argmin", True)


def _define_filled(name: str, value: float | None) -> None:
    @mxnet_operator(name)
    def define(attributes: MxnetAttributes) -> Compute:
        shape, dtype = attributes.integers("shape"), attributes.result_dtype("dtype") or attributes.dtype
        filling = attributes.number("value") if value is None else value
        attributes.ignore("ctx")
        return lambda x: [np.full(shape, filling, dtype=dtype)]


_define_filled("_zeros", 0.0)
_define_filled("_ones", 1.0)
_define_filled("_full", None)
