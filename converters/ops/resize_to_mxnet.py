"""Resize as MXNet's UpSampling, repeat and BilinearResize2D, or, at known sizes, as a sum of picked pixels.

    UpSampling, repeat             nearest, where every pixel becomes a block of one whole size
    _contrib_BilinearResize2D      linear, half_pixel or align_corners, from the sizes before and after
    take, along one axis a time    anything at known sizes: y[i] = sum over k of x[index_k(i)] * weight_k(i), with one
                                   pixel for nearest, two for linear, four for cubic
    take of computed places        nearest, asymmetric and rounded down, to the size of another value at run time:
                                   y[i] = x[floor(i * before / after)], exact while i * before is below 2^24

Sources: MXNet 1.9.1 ``UpSamplingParam`` and ``BilinearSampleParam`` with its CPU kernel, the ONNX operator
specification (Resize).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from facecvt.converters.graph import NumpyArray, attribute, constant
from facecvt.converters.mxnet_nodes import Edge, MxnetNodes
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.nearest_maps import SIZES_TRIED, onnx_indices
from facecvt.converters.ops.registry import to_mxnet
from facecvt.converters.sizes import Size, divided


@dataclass(frozen=True)
class AxisMap:
    """How one axis is resized.

    Attributes:
        axis: which.
        before: its size, None where that is known at run time only.
        after: the new size, None likewise.
        scale: the factor that the node says or that follows from both sizes; None where it is not known.
        like: a value that has the new size as a dimension, and which; None where none is known.
    """

    axis: int
    before: int | None
    after: int | None
    scale: Fraction | None
    like: tuple[ir.Value, int] | None = None

    @property
    def block(self) -> int | None:
        """The factor where it is a whole number."""
        return int(self.scale) if self.scale is not None and self.scale.denominator == 1 and self.scale >= 1 else None


@to_mxnet("Resize")
def resize_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    x, mode = node.inputs[0], attribute(node, "mode", "nearest")
    if x is None or attribute(node, "antialias", 0):
        raise m.refuse(node, "antialias has no MXNet form")
    data, count = m.arg(x), m.whole_rank(x, node)
    axes = axis_maps(node, m, x)
    if not axes:
        m.assign(node.outputs[0], "identity", [data])
    elif mode == "nearest" and all(is_block_map(node, axis) for axis in axes):
        repeat_pixels(node, m, data, axes, count)
    elif mode == "linear" and is_bilinear(node, axes, count):
        resize_bilinear(node, m, data, axes)
    else:
        pick_pixels(node, m, data, axes, count)
    if all(axis.after is not None for axis in axes):
        new = {axis.axis: Size(axis.after or 0) for axis in axes}
        m.set_shape(node.outputs[0], [new.get(axis, m.dim(x, axis)) for axis in range(count)])


def axis_maps(node: ir.Node, m: MxnetNodes, x: ir.Value) -> list[AxisMap]:
    """The axes whose size changes."""
    own = [m.dim(x, axis) for axis in range(m.whole_rank(x, node))]
    scales = node.inputs[2] if len(node.inputs) > 2 else None
    result = []
    if scales is not None:
        factors = constant(scales)
        if factors is None:
            raise m.refuse(node, "scales that are computed at run time have no MXNet form")
        for axis, (size, factor) in enumerate(zip(own, factors.tolist(), strict=True)):
            after = None if size.number is None else int(size.number * factor)
            if factor != 1:
                result.append(AxisMap(axis, size.number, after, Fraction(factor)))
        return result
    wanted = m.sizes(node.inputs[3])
    if wanted is None:
        raise m.refuse(node, "sizes that are computed at run time have no MXNet form")
    for axis, (size, new) in enumerate(zip(own, wanted.items, strict=True)):
        if size == new:
            continue
        if size.number is not None and new.number is not None:
            result.append(AxisMap(axis, size.number, new.number, Fraction(new.number, size.number)))
        else:
            ratio = divided(new, size).number
            scale = None if ratio is None else Fraction(ratio)
            result.append(AxisMap(axis, size.number, new.number, scale, m.holder(new)))
    return result


# ---- nearest, in blocks ----------------------------------------------------------------------------------------------


def is_block_map(node: ir.Node, axis: AxisMap) -> bool:
    """Whether every pixel becomes a block of one whole size."""
    block = axis.block
    if block is None:
        return False
    mapping = attribute(node, "coordinate_transformation_mode", "half_pixel")
    rounding = attribute(node, "nearest_mode", "round_prefer_floor")
    return all(
        onnx_indices(mapping, rounding, size, size * block, Fraction(block))
        == [i // block for i in range(size * block)]
        for size in ([axis.before] if axis.before is not None else SIZES_TRIED)
    )


def repeat_pixels(node: ir.Node, m: MxnetNodes, data: Edge, axes: Sequence[AxisMap], count: int) -> None:
    """UpSampling where height and width grow alike, else one repeat an axis."""
    blocks = [axis.block for axis in axes]
    if count == 4 and [axis.axis for axis in axes] == [2, 3] and blocks[0] == blocks[1]:
        options: dict[str, object] = {"scale": blocks[0], "sample_type": "nearest", "num_args": 1, "workspace": 512}
        m.assign(node.outputs[0], "UpSampling", [data], num_filter=0, multi_input_mode="concat", **options)
        return
    for axis, block in zip(axes[:-1], blocks[:-1], strict=True):
        data = m.node("repeat", [data], repeats=block, axis=axis.axis)
    m.assign(node.outputs[0], "repeat", [data], repeats=blocks[-1], axis=axes[-1].axis)


# ---- linear, by MXNet's own ------------------------------------------------------------------------------------------


def is_bilinear(node: ir.Node, axes: Sequence[AxisMap], count: int) -> bool:
    """Whether MXNet's map, which follows from the sizes alone, is the node's."""
    mapping = attribute(node, "coordinate_transformation_mode", "half_pixel")
    if count != 4 or any(axis.axis < 2 for axis in axes):
        return False
    if all(axis.like is not None for axis in axes) and any(axis.scale is None for axis in axes):
        same = len({id(axis.like[0]) for axis in axes if axis.like}) == 1
        placed = [axis.like[1] for axis in axes if axis.like] == [axis.axis for axis in axes] == [2, 3]
        return same and placed and mapping in ("align_corners", "pytorch_half_pixel")
    if any(axis.after is None and axis.block is None for axis in axes):
        return False
    if any(axis.scale is not None and axis.before is None and axis.block is None for axis in axes):
        return False
    exact = all(axis.scale is None or axis.before is None or axis.after == axis.before * axis.scale for axis in axes)
    if any(axis.before is None for axis in axes) and len(axes) < 2:
        return False  # the other axis would need its size, or a factor, as well
    if all(axis.before is not None for axis in axes) and not all(is_exact(axis, mapping) for axis in axes):
        return False  # MXNet computes places in float32, which loses digits that the sum of picked pixels keeps
    if mapping == "align_corners":
        return True
    if mapping == "half_pixel":
        return exact and all(axis.after is None or axis.after > 1 for axis in axes)
    return mapping == "pytorch_half_pixel" and exact


def is_exact(axis: AxisMap, mapping: str) -> bool:
    """Whether the step from place to place is exact in binary."""
    before, after = axis.before or 1, axis.after or 1
    less = 1 if mapping == "align_corners" and after > 1 else 0
    denominator = Fraction(before - less, after - less).denominator
    return denominator & (denominator - 1) == 0


def resize_bilinear(node: ir.Node, m: MxnetNodes, data: Edge, axes: Sequence[AxisMap]) -> None:
    corners = attribute(node, "coordinate_transformation_mode", "half_pixel") == "align_corners"
    x, by_axis = node.inputs[0], {axis.axis: axis for axis in axes}
    inputs = [data]
    options: dict[str, object] = {"height": 1, "width": 1, "scale_height": None, "scale_width": None}
    mode = "size"
    sizes = [by_axis[axis].after if axis in by_axis else m.dim(x, axis).number for axis in (2, 3) if x is not None]
    if None not in sizes:
        options |= {"height": sizes[0], "width": sizes[1]}
    elif any(axis.scale is None for axis in axes) and axes[0].like is not None:
        inputs, mode = [data, m.arg(axes[0].like[0])], "like"
    else:
        blocks = [by_axis[axis].block if axis in by_axis else 1 for axis in (2, 3)]
        options |= {"scale_height": float(blocks[0] or 1), "scale_width": float(blocks[1] or 1)}
    m.assign(node.outputs[0], "_contrib_BilinearResize2D", inputs, mode=mode, align_corners=corners, **options)


# ---- anything, at known sizes ----------------------------------------------------------------------------------------


def pick_pixels(node: ir.Node, m: MxnetNodes, data: Edge, axes: Sequence[AxisMap], count: int) -> None:
    """One axis after the other."""
    for position, axis in enumerate(axes):
        if axis.before is None or axis.after is None:
            places = running_places(node, m, data, axis)
            if position == len(axes) - 1:
                m.assign(node.outputs[0], "take", [data, places], axis=axis.axis, mode="clip")
            else:
                data = m.node("take", [data, places], axis=axis.axis, mode="clip")
            continue
        taps = (
            nearest_taps(node, axis) if attribute(node, "mode", "nearest") == "nearest" else weighted_taps(node, axis)
        )
        if taps is None:
            mapping = attribute(node, "coordinate_transformation_mode", "half_pixel")
            raise m.refuse(node, f"coordinate_transformation_mode {mapping!r} has no MXNet form")
        last = position == len(axes) - 1
        emit = partial(m.assign, node.outputs[0]) if last else m.node
        data = one_axis(m, data, axis.axis, taps, count, emit)


def running_places(node: ir.Node, m: MxnetNodes, data: Edge, axis: AxisMap) -> Edge:
    """floor(i * before / after) for every place i of the new axis, whose length another value has at run time."""
    floors = (attribute(node, "mode", "nearest"), attribute(node, "nearest_mode", "round_prefer_floor"))
    mapping = attribute(node, "coordinate_transformation_mode", "half_pixel")
    if (*floors, mapping) != ("nearest", "floor", "asymmetric") or axis.like is None:
        raise m.refuse(node, "this kind of it has an MXNet form at known sizes only; give the model fixed input sizes")
    value, place = axis.like
    like = m.arg(value)

    def size(edge: Edge, at: int) -> Edge:
        sizes = m.node("slice_axis", [m.node("shape_array", [edge])], axis=0, begin=at, end=at + 1)
        return m.node("Cast", [sizes], dtype="float32")

    places = m.node("_contrib_arange_like", [like], start=0.0, step=1.0, repeat=1, axis=place)
    places = m.node("broadcast_mul", [places, size(data, axis.axis)])
    return m.node("floor", [m.node("broadcast_div", [places, size(like, place)])])


Taps = list[tuple[NumpyArray, NumpyArray | None]]


def one_axis(m: MxnetNodes, data: Edge, axis: int, taps: Taps, count: int, emit: Callable[..., Any]) -> Any:
    """The weighted sum of picked pixels; ``emit`` makes the last node."""
    total: Edge | None = None
    for place, (indices, weights) in enumerate(taps):
        places = m.variable("pixels", indices)
        if weights is None:
            return emit("take", [data, places], axis=axis, mode="clip")
        picked = m.node("take", [data, places], axis=axis, mode="clip")
        factors = m.variable("weights", weights.reshape(-1, *[1] * (count - axis - 1)).astype(np.float32))
        part = m.node("broadcast_mul", [picked, factors])
        if total is None:
            total = part
        elif place < len(taps) - 1:
            total = m.node("elemwise_add", [total, part])
        else:
            return emit("elemwise_add", [total, part])
    raise ValueError("a map of one pixel has no weights")


def nearest_taps(node: ir.Node, axis: AxisMap) -> Taps | None:
    mapping = attribute(node, "coordinate_transformation_mode", "half_pixel")
    rounding = attribute(node, "nearest_mode", "round_prefer_floor")
    indices = onnx_indices(mapping, rounding, axis.before or 0, axis.after or 0, axis.scale or Fraction(1))
    return None if indices is None else [(np.array(indices, np.int64), None)]


def weighted_taps(node: ir.Node, axis: AxisMap) -> Taps | None:
    """Two pixels with linear weights, or four with those of the cubic of the node's coefficient."""
    places = source_places(attribute(node, "coordinate_transformation_mode", "half_pixel"), axis)
    if places is None:
        return None
    whole = np.floor(places)
    rest = places - whole
    if attribute(node, "mode") == "linear":
        offsets, weights = [0, 1], np.stack([1 - rest, rest])
    else:
        offsets = [-1, 0, 1, 2]
        weights = np.stack(
            [cubic(np.abs(rest - offset), attribute(node, "cubic_coeff_a", -0.75)) for offset in offsets]
        )
    indices = np.stack([whole + offset for offset in offsets]).astype(np.int64)
    size = axis.before or 0
    if attribute(node, "exclude_outside", 0):
        weights = np.where((indices < 0) | (indices >= size), 0.0, weights)
        weights = weights / weights.sum(axis=0)
    return list(zip(np.clip(indices, 0, size - 1), weights, strict=True))


def source_places(mapping: str, axis: AxisMap) -> NumpyArray | None:
    """Where in the operand each place of the result lies; None for a map that is not known here."""
    before, after, scale = axis.before or 0, axis.after or 0, float(axis.scale or 1)
    x = np.arange(after, dtype=np.float64)
    if mapping == "asymmetric":
        return x / scale
    if mapping == "half_pixel" or (mapping == "pytorch_half_pixel" and after > 1):
        return (x + 0.5) / scale - 0.5
    if mapping == "half_pixel_symmetric":
        adjustment = after / (before * scale)
        return before / 2 * (1 - adjustment) + (x + 0.5) / scale - 0.5
    if mapping == "align_corners" and after > 1:
        return x * (before - 1) / (after - 1)
    return np.zeros(after) if mapping in ("pytorch_half_pixel", "align_corners") else None


def cubic(distance: NumpyArray, a: float) -> NumpyArray:
    """Weights of Keys' cubic convolution."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
