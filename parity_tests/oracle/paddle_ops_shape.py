"""Paddle: shapes, joins and parts.

Source: ``paddle/phi/infermeta`` and ``paddle/fluid/operators`` of Paddle 3.3.1; the tests hold each against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle import kernels_shape as shapes
from facecvt.parity_tests.oracle.paddle_attributes import Operands, PaddleAttributes, PaddleCompute, paddle_operator
from facecvt.parity_tests.oracle.values import Value


@paddle_operator(legacy=("reshape", "reshape2"), pir=("reshape",), operands=("X", "Shape", "ShapeTensor"))
def define_reshape(attributes: PaddleAttributes) -> PaddleCompute:
    """0 copies a dimension, -1 is inferred; a tensor, or a list of them, replaces the attribute."""
    shape = attributes.integers("shape", default=())
    return lambda x: [shapes.reshape_copying(x.one("X"), x.integers(shape, "Shape", "ShapeTensor"))]


@paddle_operator(legacy=("flatten", "flatten2"))
def define_flatten_to_matrix(attributes: PaddleAttributes) -> PaddleCompute:
    """A matrix, split at axis (1)."""
    axis = int(attributes.raw("axis", 1))
    return lambda x: [shapes.flatten_to_matrix(x.one("X"), axis)]


@paddle_operator(legacy=("flatten_contiguous_range",), pir=("flatten",))
def define_flatten_range(attributes: PaddleAttributes) -> PaddleCompute:
    """Axes start_axis (1) to stop_axis (1), both included, joined."""
    start, stop = int(attributes.raw("start_axis", 1)), int(attributes.raw("stop_axis", 1))
    return lambda x: [shapes.flatten_range(x.one("X"), start, stop)]


@paddle_operator(legacy=("squeeze", "squeeze2"), pir=("squeeze",), operands=("X", "Axes"))
def define_squeeze(attributes: PaddleAttributes) -> PaddleCompute:
    """The given axes removed where their length is one, others left alone; without axes all of length one."""
    axes = attributes.integers("axes", default=())

    def compute(x: Operands) -> Sequence[Any]:
        data = x.one("X")
        chosen = [axis % data.ndim for axis in x.integers(axes, "Axes")] or range(data.ndim)
        return [np.squeeze(data, axis=tuple({axis for axis in chosen if data.shape[axis] == 1}))]

    return compute


@paddle_operator(legacy=("unsqueeze", "unsqueeze2"), pir=("unsqueeze",), operands=("X", "AxesTensor", "AxesTensorList"))
def define_unsqueeze(attributes: PaddleAttributes) -> PaddleCompute:
    """New axes of length one, inserted one after the other."""
    axes = attributes.integers("axes", default=())

    def compute(x: Operands) -> Sequence[Any]:
        y = x.one("X")
        for axis in x.integers(axes, "AxesTensor", "AxesTensorList"):
            y = np.expand_dims(y, axis)
        return [y]

    return compute


@paddle_operator(legacy=("transpose", "transpose2"), pir=("transpose",))
def define_transpose(attributes: PaddleAttributes) -> PaddleCompute:
    """axis (PIR: perm)."""
    order = attributes.integers("axis", "perm")
    attributes.ignore("data_format")
    return lambda x: [np.transpose(x.one("X"), order)]


@paddle_operator("concat", operands=("X", "AxisTensor"))
def define_concat(attributes: PaddleAttributes) -> PaddleCompute:
    """Along axis (0)."""
    axis = int(attributes.raw("axis", 0))
    return lambda x: [np.concatenate(x.many("X"), axis=int(x.number(axis, "AxisTensor")))]


@paddle_operator("stack", outputs=("Y",))
def define_stack(attributes: PaddleAttributes) -> PaddleCompute:
    """Along a new axis (0)."""
    axis = int(attributes.raw("axis", 0))
    return lambda x: [np.stack(x.many("X"), axis=axis)]


@paddle_operator("unstack", outputs=("Y",))
def define_unstack(attributes: PaddleAttributes) -> PaddleCompute:
    """Each element of an axis (0), the axis removed."""
    axis = int(attributes.raw("axis", 0))
    attributes.ignore("num")
    return lambda x: [[np.take(x.one("X"), index, axis=axis) for index in range(x.one("X").shape[axis])]]


@paddle_operator("split", operands=("X", "SectionsTensorList", "AxisTensor"))
def define_split(attributes: PaddleAttributes) -> PaddleCompute:
    """Into num equal parts, or sections, one of which may be -1; along axis (0)."""
    axis, parts = int(attributes.raw("axis", 0)), int(attributes.raw("num", 0))
    sections = attributes.integers("sections", default=())

    def compute(x: Operands) -> Sequence[Any]:
        data = x.one("X")
        along = int(x.number(axis, "AxisTensor"))
        sizes = x.integers(sections, "SectionsTensorList")
        if not sizes:
            return [np.split(data, parts, axis=along)]
        if -1 in sizes:
            sizes[sizes.index(-1)] = data.shape[along] - sum(sizes) - 1
        return [shapes.split_at(data, sizes, along)]

    return compute


@paddle_operator(pir=("split_with_num",), operands=("X", "AxisTensor"))
def define_split_evenly(attributes: PaddleAttributes) -> PaddleCompute:
    """Into num equal parts along an axis that is an operand."""
    parts = int(attributes.required("num"))
    return lambda x: [np.split(x.one("X"), parts, axis=int(x.number(0, "AxisTensor")))]


@paddle_operator("slice", operands=("Input", "StartsTensor", "EndsTensor", "StartsTensorList", "EndsTensorList"))
def define_slice(attributes: PaddleAttributes) -> PaddleCompute:
    """starts to ends of some axes; the axes in decrease_axis, of length one by then, are removed."""
    axes = attributes.integers("axes")
    starts, ends = attributes.integers("starts", default=()), attributes.integers("ends", default=())
    removed = attributes.integers("decrease_axis", default=())
    attributes.ignore("infer_flags")

    def compute(x: Operands) -> Sequence[Any]:
        begin, end = (
            x.integers(starts, "StartsTensor", "StartsTensorList"),
            x.integers(ends, "EndsTensor", "EndsTensorList"),
        )
        y = shapes.slice_axes(x.one("Input"), begin, end, axes)
        return [np.squeeze(y, axis=removed) if removed else y]

    return compute


@paddle_operator(
    "strided_slice",
    operands=(
        "Input", "StartsTensor", "EndsTensor", "StridesTensor", "StartsTensorList",
        "EndsTensorList", "StridesTensorList",
    ),
)  # fmt: skip
def define_strided_slice(attributes: PaddleAttributes) -> PaddleCompute:
    """As slice, with steps, which may be negative."""
    axes = attributes.integers("axes")
    starts, ends = attributes.integers("starts", default=()), attributes.integers("ends", default=())
    strides = attributes.integers("strides", default=())
    removed = attributes.integers("decrease_axis", default=())
    attributes.ignore("infer_flags")

    def compute(x: Operands) -> Sequence[Any]:
        begin = x.integers(starts, "StartsTensor", "StartsTensorList")
        end = x.integers(ends, "EndsTensor", "EndsTensorList")
        y = shapes.slice_axes(
            x.one("Input"), begin, end, axes, x.integers(strides, "StridesTensor", "StridesTensorList")
        )
        return [np.squeeze(y, axis=removed) if removed else y]

    return compute


@paddle_operator("tile", operands=("X", "RepeatTimes", "repeat_times_tensor"))
def define_tile(attributes: PaddleAttributes) -> PaddleCompute:
    """As numpy's tile."""
    repeats = attributes.integers("repeat_times", default=())
    return lambda x: [np.tile(x.one("X"), x.integers(repeats, "RepeatTimes", "repeat_times_tensor"))]


@paddle_operator(legacy=("expand",), operands=("X", "ExpandTimes", "expand_times_tensor"))
def define_old_expand(attributes: PaddleAttributes) -> PaddleCompute:
    """Each axis repeated."""
    repeats = attributes.integers("expand_times", default=())
    return lambda x: [np.tile(x.one("X"), x.integers(repeats, "ExpandTimes", "expand_times_tensor"))]


def _expanded(x: Value, shape: Sequence[int]) -> Value:
    lead = len(shape) - x.ndim
    target = [x.shape[i - lead] if dim == -1 and i >= lead else dim for i, dim in enumerate(shape)]
    return np.broadcast_to(x, target)


@paddle_operator(legacy=("expand_v2",), pir=("expand",), operands=("X", "Shape", "expand_shapes_tensor"))
def define_expand(attributes: PaddleAttributes) -> PaddleCompute:
    """Broadcast to a shape, in which -1 keeps a dimension."""
    shape = attributes.integers("shape", default=())
    return lambda x: [_expanded(x.one("X"), x.integers(shape, "Shape", "expand_shapes_tensor"))]


@paddle_operator(legacy=("expand_as_v2",), pir=("expand_as",), operands=("X", "Y"))
def define_expand_as(attributes: PaddleAttributes) -> PaddleCompute:
    """Broadcast to the shape of a second operand, or to target_shape."""
    shape = attributes.integers("target_shape", default=())

    def compute(x: Operands) -> Sequence[Any]:
        like = x.maybe("Y")
        return [_expanded(x.one("X"), shape if like is None else like.shape)]

    return compute


@paddle_operator("flip")
def define_flip(attributes: PaddleAttributes) -> PaddleCompute:
    """The given axes reversed."""
    axes = attributes.integers("axis")
    return lambda x: [np.flip(x.one("X"), axes)]


@paddle_operator("roll", operands=("X", "ShiftsTensor"))
def define_roll(attributes: PaddleAttributes) -> PaddleCompute:
    """Elements moved along axes, around the end."""
    axes, shifts = attributes.integers("axis", default=()), attributes.integers("shifts", default=())
    return lambda x: [np.roll(x.one("X"), x.integers(shifts, "ShiftsTensor"), axes or None)]


@paddle_operator("pad", operands=("X", "PadValue"))
def define_pad(attributes: PaddleAttributes) -> PaddleCompute:
    """paddings holds (before, after) of every axis."""
    widths, value = attributes.integers("paddings"), float(attributes.raw("pad_value", 0.0))
    return lambda x: [shapes.pad_any(x.one("X"), widths[::2], widths[1::2], "constant", x.number(value, "PadValue"))]


PAD_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "edge": "edge", "circular": "wrap"}


@paddle_operator("pad3d", operands=("X", "Paddings"))
def define_pad3d(attributes: PaddleAttributes) -> PaddleCompute:
    """paddings (left, right, top, bottom, front, back) of the spatial axes."""
    axis, widths = attributes.channel_axis(), attributes.integers("paddings", default=())
    value = float(attributes.either("value", "pad_value", default=0.0))
    mode = PAD_MODES[attributes.one_of("mode", "constant", PAD_MODES)]

    def compute(x: Operands) -> Sequence[Any]:
        amounts = x.integers(widths, "Paddings")
        pairs = [(amounts[i], amounts[i + 1]) for i in range(0, len(amounts), 2)][::-1]
        outside = [(0, 0)]
        every = outside * 2 + pairs if axis == 1 else outside + pairs + outside
        return [shapes.pad_any(x.one("X"), [b for b, _ in every], [e for _, e in every], mode, value)]

    return compute


@paddle_operator("pixel_shuffle")
def define_pixel_shuffle(attributes: PaddleAttributes) -> PaddleCompute:
    """(N, C r^2, H, W) -> (N, C, H r, W r)."""
    factor, axis = int(attributes.raw("upscale_factor", 1)), attributes.channel_axis()

    def compute(x: Operands) -> Sequence[Any]:
        data = np.moveaxis(x.one("X"), axis, 1)
        n, c, h, w = data.shape
        split = data.reshape(n, c // factor**2, factor, factor, h, w)
        y = split.transpose(0, 1, 4, 2, 5, 3).reshape(n, c // factor**2, h * factor, w * factor)
        return [np.moveaxis(y, 1, axis)]

    return compute


@paddle_operator("pixel_unshuffle")
def define_pixel_unshuffle(attributes: PaddleAttributes) -> PaddleCompute:
    """(N, C, H r, W r) -> (N, C r^2, H, W)."""
    factor, axis = int(attributes.raw("downscale_factor", 1)), attributes.channel_axis()

    def compute(x: Operands) -> Sequence[Any]:
        data = np.moveaxis(x.one("X"), axis, 1)
        n, c, h, w = data.shape
        split = data.reshape(n, c, h // factor, factor, w // factor, factor)
        y = split.transpose(0, 1, 3, 5, 2, 4).reshape(n, c * factor**2, h // factor, w // factor)
        return [np.moveaxis(y, 1, axis)]

    return compute


@paddle_operator("channel_shuffle")
def define_channel_shuffle(attributes: PaddleAttributes) -> PaddleCompute:
    """Channels taken in turn from each group."""
    groups, axis = int(attributes.raw("groups", 1)), attributes.channel_axis()

    def compute(x: Operands) -> Sequence[Any]:
        data = np.moveaxis(x.one("X"), axis, 1)
        split = data.reshape(data.shape[0], groups, -1, *data.shape[2:])
        return [np.moveaxis(split.swapaxes(1, 2).reshape(data.shape), 1, axis)]

    return compute
