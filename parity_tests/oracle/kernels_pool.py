"""Pooling over any number of spatial axes, as a running maximum or sum over the taps of the window.

The frameworks agree on what lies in a window and differ in two places, which are arguments here: how many windows an
axis has, and which positions a mean counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from facecvt.parity_tests.oracle.kernels_conv import pad_spatial, taps
from facecvt.parity_tests.oracle.values import Value, along_axis


def _window_input(
    x: Value,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    begin: Sequence[int],
    out: Sequence[int],
    value: float,
) -> Value:
    """``x`` padded by ``value`` as far as the last window reaches."""
    end = [
        max((o - 1) * s + d * (k - 1) + 1 - n - b, 0)
        for o, s, d, k, n, b in zip(out, strides, dilations, kernel, x.shape[2:], begin, strict=True)
    ]
    return pad_spatial(x, begin, end, value)


def max_pool(
    x: Value,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    begin: Sequence[int],
    out: Sequence[int],
) -> Value:
    """Maximum over each window; padding never wins. x (N, C, *spatial) -> (N, C, *out)."""
    padded = _window_input(x, kernel, strides, dilations, begin, out, -math.inf)
    y: Value | None = None
    for window in taps(kernel, strides, dilations, out):
        tap = padded[(slice(None), slice(None), *window)]
        y = tap.copy() if y is None else np.maximum(y, tap, out=y)
    assert y is not None
    return y


def sum_pool(
    x: Value,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    begin: Sequence[int],
    out: Sequence[int],
) -> Value:
    """Sum over each window; padding counts as zero. x (N, C, *spatial) -> (N, C, *out)."""
    padded = _window_input(x, kernel, strides, dilations, begin, out, 0.0)
    y = np.zeros(x.shape[:2] + tuple(out), dtype=x.dtype)
    for window in taps(kernel, strides, dilations, out):
        y += padded[(slice(None), slice(None), *window)]
    return y


def window_counts(
    kernel: int, stride: int, dilation: int, begin: int, out: int, lower: int, upper: int, dtype: np.dtype[np.generic]
) -> Value:
    """How many positions of each window lie in [lower, upper), in coordinates of the unpadded axis; (out,)."""
    starts = np.arange(out) * stride - begin
    positions = starts[:, None] + np.arange(kernel)[None, :] * dilation
    return np.asarray(((positions >= lower) & (positions < upper)).sum(axis=1).astype(dtype))


def mean_pool(
    x: Value,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    begin: Sequence[int],
    out: Sequence[int],
    counted: Sequence[tuple[int, int]],
) -> Value:
    """Sum over each window divided by the number of counted positions.

    Args:
        counted: for each spatial axis the half-open range of positions, in coordinates of the unpadded axis, that a
            mean divides by: (0, length) leaves padding out, (-begin, length + end) counts it.
    """
    y = sum_pool(x, kernel, strides, dilations, begin, out)
    for index in range(len(kernel)):
        counts = window_counts(
            kernel[index], strides[index], dilations[index], begin[index], out[index], *counted[index], dtype=x.dtype
        )
        y /= along_axis(counts, 2 + index, y.ndim)
    return y


def power_pool(
    x: Value,
    power: float,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    begin: Sequence[int],
    out: Sequence[int],
) -> Value:
    """Lp pooling: (sum of |x|^p)^(1/p) over each window."""
    total = sum_pool(np.abs(x) ** power, kernel, strides, dilations, begin, out)
    return np.asarray(total ** (1.0 / power), dtype=x.dtype)


def adaptive_bounds(length: int, out: int) -> list[tuple[int, int]]:
    """Bounds [start, end) of the windows of an adaptive pooling: floor(i n / out), ceil((i + 1) n / out)."""
    return [(i * length // out, -(-(i + 1) * length // out)) for i in range(out)]


def adaptive_pool(x: Value, out: Sequence[int], *, maximum: bool) -> Value:
    """Adaptive mean or maximum pooling of (N, C, *spatial) to (N, C, *out), one axis after the other.

    The windows of an axis do not depend on the other axes, so mean and maximum separate over the axes.
    """
    y = x
    for axis, length in enumerate(out, start=2):
        parts = []
        for start, end in adaptive_bounds(y.shape[axis], length):
            window = y[(slice(None),) * axis + (slice(start, end),)]
            parts.append(window.max(axis=axis) if maximum else window.mean(axis=axis))
        y = np.stack(parts, axis=axis)
    return y
