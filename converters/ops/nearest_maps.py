"""Which pixel "nearest" means: ONNX's maps in exact arithmetic, PyTorch's two in float32 as its kernels compute them.

    nearest         floor(x in/out)
    nearest-exact   floor((x + 0.5) in/out)

A Resize may be written as F.interpolate where one of the two picks the same pixels, at the sizes at hand or, where
those are dynamic, at every size up to a bound. Sources: the ONNX operator specification (Resize), ATen's
UpSampleKernel (nearest index functions).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

SIZES_TRIED = range(1, 65)


def onnx_indices(mapping: str, rounding: str, before: int, after: int, scale: Fraction) -> list[int] | None:
    """The pixel of every place of the result; None for a map that is not known here."""
    indices = []
    for x in range(after):
        if mapping == "asymmetric":
            place = x / scale
        elif mapping == "half_pixel" or (mapping == "pytorch_half_pixel" and after > 1):
            place = (x + Fraction(1, 2)) / scale - Fraction(1, 2)
        elif mapping == "pytorch_half_pixel":
            place = Fraction(0)
        elif mapping == "align_corners":
            place = Fraction(x * (before - 1), after - 1) if after > 1 else Fraction(0)
        else:
            return None
        whole = math.floor(place)
        rest = place - whole
        if rounding == "ceil":
            index = math.ceil(place)
        elif rounding == "floor":
            index = whole
        else:
            up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and rounding == "round_prefer_ceil")
            index = whole + up
        indices.append(min(max(index, 0), before - 1))
    return indices


def torch_indices(mode: str, before: int, after: int, factor: float | None) -> list[int]:
    """The same for F.interpolate, in float32."""
    step = np.float32(1.0 / factor) if factor is not None else np.float32(before) / np.float32(after)
    places = np.arange(after, dtype=np.float32) + np.float32(0.5 if mode == "nearest-exact" else 0.0)
    picked = np.floor(places * step).astype(np.int64)
    return [int(index) for index in np.minimum(picked, before - 1)]


def same_pixels(mode: str, mapping: str, rounding: str, before: int, after: int, factor: float | None) -> bool:
    scale = Fraction(factor) if factor is not None else Fraction(after, before)
    return onnx_indices(mapping, rounding, before, after, scale) == torch_indices(mode, before, after, factor)


def torch_mode_of_nearest(
    mapping: str, rounding: str, factors: Sequence[float] | None, pairs: Sequence[tuple[int, int]] | None
) -> str | None:
    """The mode of F.interpolate that picks the same pixels, None where neither does.

    Args:
        mapping: ONNX coordinate_transformation_mode.
        rounding: ONNX nearest_mode.
        factors: constant factors of the spatial axes, None where sizes are given.
        pairs: sizes before and after, None where they are dynamic.
    """
    tried: list[tuple[int, int, float | None]] = []
    for axis in range(len(factors or pairs or ())):
        factor = factors[axis] if factors is not None else None
        if pairs is not None:
            tried.append((*pairs[axis], factor))
        elif factor is not None:
            tried += [(size, math.floor(size * factor), factor) for size in SIZES_TRIED if size * factor >= 1]
    if not tried:  # dynamic sizes: only maps that are the same by definition
        by_definition = {("asymmetric", "floor"): "nearest", ("half_pixel", "round_prefer_ceil"): "nearest-exact"}
        return by_definition.get((mapping, rounding))
    for mode in ("nearest", "nearest-exact"):
        if all(same_pixels(mode, mapping, rounding, *case) for case in tried):
            return mode
    return None
