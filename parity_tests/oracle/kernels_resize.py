"""Resampling along axes: nearest and linear, with the coordinate rules of all frameworks.

An output position o of an axis meets the input coordinate

    asymmetric               o / scale
    half_pixel               (o + 0.5) / scale - 0.5
    half_pixel_symmetric     the same, centred anew where the output length is not length * scale
    pytorch_half_pixel       the same as half_pixel, but 0 where the output has one element
    align_corners            o * (length - 1) / (out - 1), 0 where the output has one element
    tf_half_pixel_for_nn     (o + 0.5) / scale
    tf_crop_and_resize       start * (length - 1) + o * (end - start) * (length - 1) / (out - 1)

Coordinates are computed in double precision for every dtype: they are geometry, not data.
"""

from __future__ import annotations

import numpy as np

from facecvt.converters.errors import AttributeValueError
from facecvt.parity_tests.oracle.values import Value, along_axis


def coordinates(
    mode: str, length: int, out: int, scale: float, region: tuple[float, float] | None = None
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Input coordinate of every output position of an axis; (out,) float64.

    Raises:
        AttributeValueError: a mode that is not in the table above.
    """
    positions = np.arange(out, dtype=np.float64)
    if mode == "asymmetric":
        return positions / scale
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and out > 1):
        return (positions + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        adjustment = out / (scale * length)
        return length / 2 * (1 - adjustment) + (positions + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return np.zeros(out)
    if mode == "align_corners":
        return positions * ((length - 1) / (out - 1)) if out > 1 else np.zeros(out)
    if mode == "tf_half_pixel_for_nn":
        return (positions + 0.5) / scale
    if mode == "tf_crop_and_resize" and region is not None:
        start, end = region
        if out > 1:
            return start * (length - 1) + positions * ((end - start) * (length - 1) / (out - 1))
        return np.full(out, 0.5 * (start + end) * (length - 1))
    raise AttributeValueError(f"unknown coordinate rule {mode!r}")


def rounded(position: np.ndarray[tuple[int], np.dtype[np.float64]], rule: str) -> Value:
    """Coordinates as integers: round_prefer_floor, round_prefer_ceil, floor, ceil.

    Raises:
        AttributeValueError: another rule.
    """
    if rule == "round_prefer_floor":
        return np.asarray(np.ceil(position - 0.5).astype(np.int64))
    if rule == "round_prefer_ceil":
        return np.asarray(np.floor(position + 0.5).astype(np.int64))
    if rule == "floor":
        return np.floor(position).astype(np.int64)
    if rule == "ceil":
        return np.ceil(position).astype(np.int64)
    raise AttributeValueError(f"unknown rounding rule {rule!r}")


def nearest_axis(x: Value, axis: int, position: np.ndarray[tuple[int], np.dtype[np.float64]], rule: str) -> Value:
    """The element nearest to each coordinate of an axis, clamped to the axis."""
    return np.take(x, np.clip(rounded(position, rule), 0, x.shape[axis] - 1), axis=axis)


def linear_axis(x: Value, axis: int, position: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Value:
    """Linear interpolation at each coordinate of an axis; beyond its ends the end values continue."""
    last = x.shape[axis] - 1
    position = np.clip(position, 0, last)
    low = np.floor(position).astype(np.int64)
    high = np.minimum(low + 1, last)
    share = along_axis((position - low).astype(x.dtype), axis, x.ndim)
    return np.asarray(np.take(x, low, axis=axis) * (1 - share) + np.take(x, high, axis=axis) * share)


def antialiased_axis(
    x: Value, axis: int, position: np.ndarray[tuple[int], np.dtype[np.float64]], scale: float
) -> Value:
    """Linear interpolation whose triangle is widened by 1 / scale where an axis shrinks.

    The weights of one output sum to 1; those that fall beyond an end of the axis go to the element at that end.
    """
    last = x.shape[axis] - 1
    reach = int(np.ceil(1 / min(scale, 1.0)))
    taps = np.floor(position)[:, None] + np.arange(1 - reach, reach + 1)[None, :]
    weights = np.maximum(1 - np.abs(taps - position[:, None]) * min(scale, 1.0), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((position.size, last + 1))
    np.add.at(matrix, (np.arange(position.size)[:, None], np.clip(taps, 0, last).astype(np.int64)), weights)
    return np.moveaxis(np.moveaxis(x, axis, -1) @ matrix.T.astype(x.dtype), -1, axis)
