"""Resize, written to Paddle as nearest_interp_v2 and bilinear_interp_v2.

Paddle's maps from a place of the result to one of the operand (x: place, r: ratio of the sizes):

    nearest                    floor(x r)           with align_corners  floor(x (in - 1) / (out - 1) + 0.5)
    bilinear, align_mode 0     (x + 0.5) r - 0.5    not below 0; 0 for one pixel
    bilinear, align_mode 1     x r
    bilinear, align_corners    x (in - 1) / (out - 1)

ONNX's nearest is written where its map picks the same pixels, at the sizes at hand or at all up to a bound. Source:
Paddle 3.3.1 ``interpolate_kernel``; the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facecvt.converters.graph import constant, dims
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.elementwise_to_paddle import as_type
from facecvt.converters.ops.nearest_maps import torch_mode_of_nearest
from facecvt.converters.ops.paddle_images import as_image, as_sequence, image_shape
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.ops.resize import never_one_pixel
from facecvt.converters.paddle_nodes import PaddleNodes

FAR = 2**31 - 1
Pairs = list[tuple[int | None, int | None]]


@to_paddle("Resize")
def resize_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    x, result, mode = node.inputs[0], node.outputs[0], p.attribute("mode", "nearest")
    count = p.rank(x) - 2
    if p.attribute("antialias", 0):
        raise p.refuse("antialias has no Paddle form")
    if mode not in ("nearest", "linear") or count not in (1, 2):
        raise p.refuse(f"mode {mode!r} of {count} spatial axes is not supported")
    factors, sizes = factors_of(node, p), node.inputs[3] if len(node.inputs) > 3 else None
    pairs = spatial_pairs(node, sizes)
    options = nearest_options(p, factors, pairs) if mode == "nearest" else linear_options(p, factors, pairs)
    slots: dict[str, Any] = {"X": as_image(p, p.arg(x))}
    if factors is not None:
        options["scale"] = [1.0, *factors] if count == 1 else factors
    else:
        size = constant_sizes(sizes, count)
        if size is not None:
            options["out_h"], options["out_w"] = [1, *size] if count == 1 else size
        else:
            slots["OutSize"] = size_operand(p, sizes, count)
    options["interp_method"] = "nearest" if mode == "nearest" else "bilinear"
    operator = f"{options['interp_method']}_interp_v2"
    image = p.emit(operator, slots, result if count == 2 else None, sized=image_shape(p.shape(result)), **options)
    if count == 1:
        as_sequence(p, image, result)


def factors_of(node: ir.Node, p: PaddleNodes) -> list[float] | None:
    """Constant factors of the spatial axes; None where sizes are given."""
    scales = node.inputs[2] if len(node.inputs) > 2 else None
    if scales is None:
        return None
    array = constant(scales)
    if array is None:
        raise p.refuse("scales that are computed at run time have no Paddle form")
    if (array[:2] != 1).any():
        raise p.refuse(f"scales {array.tolist()} also resize batch or channels")
    return [float(factor) for factor in array[2:]]


def constant_sizes(sizes: ir.Value | None, count: int) -> list[int] | None:
    """Spatial sizes that are constant, be it as the last part of a Concat; else None."""
    node, array = None if sizes is None else sizes.producer(), constant(sizes)
    if array is not None:
        return [int(size) for size in array.reshape(-1)[-count:]]
    if node is None or node.op_type != "Concat":
        return None
    tail = constant(node.inputs[-1])
    return [int(size) for size in tail] if tail is not None and tail.shape == (count,) else None


def spatial_pairs(node: ir.Node, sizes: ir.Value | None) -> Pairs:
    """Sizes before and after of every spatial axis, None where they are dynamic."""
    after: Sequence[int | None]
    before, after = (dims(node.inputs[0]) or ())[2:], (dims(node.outputs[0]) or ())[2:]
    count = max(len(before), len(after))
    after = constant_sizes(sizes, count) or after
    return list(zip(before or (None,) * count, after or (None,) * count, strict=True))


def size_operand(p: PaddleNodes, sizes: ir.Value | None, count: int) -> str:
    """Height and width, in int32, out of the sizes of all axes; the first two are taken to be those of the operand."""
    name = as_type(p, p.arg(sizes), np.dtype(np.int32))
    options: dict[str, Any] = {"axes": [0], "starts": [2], "ends": [FAR], "infer_flags": [1]}
    spatial = p.emit("slice", {"Input": name}, sized=(count,), **options)
    if count == 2:
        return spatial
    return p.emit("concat", {"X": [p.constant([1], p.dtype(spatial)), spatial]}, sized=(2,), axis=0)


def nearest_options(p: PaddleNodes, factors: list[float] | None, pairs: Pairs) -> dict[str, Any]:
    mapping = p.attribute("coordinate_transformation_mode", "half_pixel")
    rounding = p.attribute("nearest_mode", "round_prefer_floor")
    if mapping == "align_corners" and rounding == "round_prefer_ceil":
        return {"align_corners": True}
    static = [(before, after) for before, after in pairs if before is not None and after is not None]
    same = torch_mode_of_nearest(mapping, rounding, factors, static if len(static) == len(pairs) and static else None)
    if same != "nearest":
        raise p.refuse(f"nearest with {mapping}, {rounding} picks other pixels than Paddle at these sizes")
    return {"align_corners": False}


def linear_options(p: PaddleNodes, factors: Sequence[float] | None, pairs: Pairs) -> dict[str, Any]:
    mapping = p.attribute("coordinate_transformation_mode", "half_pixel")
    if mapping == "half_pixel" and never_one_pixel(None if factors is None else list(factors), pairs):
        mapping = "pytorch_half_pixel"
    known: dict[str, dict[str, Any]] = {
        "align_corners": {"align_corners": True},
        "pytorch_half_pixel": {"align_corners": False, "align_mode": 0},
        "asymmetric": {"align_corners": False, "align_mode": 1},
    }
    if mapping not in known:
        raise p.refuse(f"linear with {mapping} has no exact Paddle form")
    return known[mapping]
