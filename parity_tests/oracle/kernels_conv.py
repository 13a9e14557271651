"""Convolution and its transpose, over any number of spatial axes.

    y[n, m, o] = b[m] + sum over c, k of w[m, c, k] * x[n, c, o * stride + k * dilation - pad]      (c within m's group)
    transpose: y[n, m, i * stride + k * dilation - pad] += w[c, m, k] * x[n, c, i]

Cross-correlation, as every framework here means it (the kernel is not flipped). Computed as a matrix product: the
windows of some output rows are copied into a bounded column buffer, sample by sample, so that memory does not grow with
the kernel; a kernel of one element is a plain matrix product; a depthwise kernel is a sum over its taps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from facecvt.converters.errors import WeightsError
from facecvt.parity_tests.oracle.values import Value

COLUMN_BYTES = 6 << 20  # of one column buffer: near the size of a last-level cache, so that the product finds it there
TAP_BYTES = 1 << 19  # of the running sum of a depthwise convolution, which should stay in a core's own cache


def output_length(length: int, kernel: int, stride: int, dilation: int, begin: int, end: int) -> int:
    """Number of windows that fit entirely into a padded axis."""
    return (length + begin + end - (dilation * (kernel - 1) + 1)) // stride + 1


def same_padding(
    length: int, kernel: int, stride: int, dilation: int, *, more_at_begin: bool = False
) -> tuple[int, int]:
    """Padding with which an axis gives ceil(length / stride) windows; an odd element goes to the end unless asked."""
    windows = -(-length // stride)
    total = max((windows - 1) * stride + dilation * (kernel - 1) + 1 - length, 0)
    small, large = total // 2, total - total // 2
    return (large, small) if more_at_begin else (small, large)


def pad_spatial(x: Value, begin: Sequence[int], end: Sequence[int], value: float = 0.0) -> Value:
    """``x`` with its last axes padded by a constant; ``x`` itself where there is nothing to pad."""
    if not any(begin) and not any(end):
        return x
    lead = x.ndim - len(begin)
    shape = x.shape[:lead] + tuple(b + n + e for b, n, e in zip(begin, x.shape[lead:], end, strict=True))
    padded = np.full(shape, value, dtype=x.dtype) if value else np.zeros(shape, dtype=x.dtype)
    inner = tuple(slice(b, b + n) for b, n in zip(begin, x.shape[lead:], strict=True))
    padded[(..., *inner)] = x
    return padded


def taps(
    kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], out: Sequence[int]
) -> list[tuple[slice, ...]]:
    """For each element of a kernel, in C order: the slices of a padded input that it meets over all outputs."""
    return [
        tuple(
            slice(k * d, k * d + (o - 1) * s + 1, s)
            for k, d, s, o in zip(offsets, dilations, strides, out, strict=True)
        )
        for offsets in itertools.product(*(range(k) for k in kernel))
    ]


def convolution(
    x: Value,
    weight: Value,
    bias: Value | None,
    *,
    strides: Sequence[int],
    dilations: Sequence[int],
    begin: Sequence[int],
    end: Sequence[int],
    groups: int = 1,
) -> Value:
    """Convolution.

    Args:
        x: (N, C, *spatial).
        weight: (M, C / groups, *kernel).
        bias: (M,) or None.
        strides: step, one for each spatial axis; ``dilations`` likewise.
        begin: zeros before each spatial axis; ``end``: zeros behind it.
        groups: number of groups.

    Returns:
        (N, M, *output).

    Raises:
        WeightsError: weight, groups and input channels do not fit.
    """
    kernel = weight.shape[2:]
    maps, group_channels = weight.shape[:2]
    if x.shape[1] != group_channels * groups or maps % groups:
        raise WeightsError(
            f"a weight of shape {weight.shape} in {groups} group(s) does not fit an input of shape {x.shape}"
        )
    out = tuple(map(output_length, x.shape[2:], kernel, strides, dilations, begin, end))
    y = np.empty((x.shape[0], maps, *out), dtype=x.dtype)
    if math.prod(kernel) == 1:
        _pointwise(pad_spatial(x, begin, end), weight, y, strides, groups)
    elif group_channels == 1 and groups > 1:
        _depthwise(pad_spatial(x, begin, end), weight, y, strides, dilations)
    else:
        _by_columns(x, weight, y, strides, dilations, begin, end, groups)
    if bias is not None:
        y += bias.reshape((1, -1) + (1,) * len(kernel))
    return y


def _pointwise(x: Value, weight: Value, y: Value, strides: Sequence[int], groups: int) -> None:
    step = tuple(slice(None, None, s) for s in strides)
    rows = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1])
    for sample, result in zip(x, y, strict=True):
        columns = np.ascontiguousarray(sample[(slice(None), *step)]).reshape(groups, weight.shape[1], -1)
        np.matmul(rows, columns, out=result.reshape(groups, rows.shape[1], -1))


def _depthwise(x: Value, weight: Value, y: Value, strides: Sequence[int], dilations: Sequence[int]) -> None:
    channels, multiplier = x.shape[1], weight.shape[0] // x.shape[1]
    kernel, out = weight.shape[2:], y.shape[2:]
    factors = weight.reshape(channels, multiplier, -1)
    windows = taps(kernel, strides, dilations, out)
    # Some channels at a time, so that sum and product stay in the cache from one tap to the next.
    block = max(1, TAP_BYTES // max(1, multiplier * math.prod(out) * x.itemsize))
    product = np.empty((min(block, channels), multiplier, *out), dtype=x.dtype)
    for sample, result in zip(x, y, strict=True):
        sums = result.reshape(channels, multiplier, *out)
        for first in range(0, channels, block):
            part, total = sample[first : first + block], sums[first : first + block]
            for index, window in enumerate(windows):
                factor = factors[first : first + block, :, index].reshape((-1, multiplier) + (1,) * len(out))
                target = product[: len(total)] if index else total
                np.multiply(part[(slice(None), None, *window)], factor, out=target)
                if index:
                    total += target


def _by_columns(
    x: Value,
    weight: Value,
    y: Value,
    strides: Sequence[int],
    dilations: Sequence[int],
    begin: Sequence[int],
    end: Sequence[int],
    groups: int,
) -> None:
    kernel, out = weight.shape[2:], y.shape[2:]
    group_channels, group_maps = weight.shape[1], weight.shape[0] // groups
    depth = group_channels * math.prod(kernel)
    across = math.prod(out[1:])
    block = min(out[0], max(1, COLUMN_BYTES // (depth * max(across, 1) * x.itemsize)))
    # Equal blocks: a last one of a single row would waste the matrix product.
    block = -(-out[0] // -(-out[0] // block)) if out[0] else 1
    buffer = np.empty((group_channels, *kernel, block, *out[1:]), dtype=x.dtype)
    rows = np.ascontiguousarray(weight).reshape(groups, group_maps, depth)
    for n in range(x.shape[0]):
        sample = np.ascontiguousarray(pad_spatial(x[n : n + 1], begin, end)[0])
        for group in range(groups):
            part = sample[group * group_channels : (group + 1) * group_channels]
            windows = np.lib.stride_tricks.as_strided(
                part,
                shape=(group_channels, *kernel, *out),
                strides=(
                    part.strides[0],
                    *(s * d for s, d in zip(part.strides[1:], dilations, strict=True)),
                    *(s * d for s, d in zip(part.strides[1:], strides, strict=True)),
                ),
                writeable=False,
            )
            result = y[n, group * group_maps : (group + 1) * group_maps].reshape(group_maps, -1)
            for first in range(0, out[0], block):
                last = min(first + block, out[0])
                here = (slice(None),) * (1 + len(kernel)) + (slice(0, last - first),)
                target = buffer if last - first == block else np.empty_like(buffer[here])
                np.copyto(target, windows[(slice(None),) * (1 + len(kernel)) + (slice(first, last),)])
                result[:, first * across : last * across] = rows[group] @ target.reshape(depth, -1)


def transposed_convolution(
    x: Value,
    weight: Value,
    bias: Value | None,
    *,
    strides: Sequence[int],
    dilations: Sequence[int],
    begin: Sequence[int],
    out: Sequence[int],
    groups: int = 1,
) -> Value:
    """Transposed convolution (the gradient of a convolution with respect to its input).

    Args:
        x: (N, C, *spatial).
        weight: (C, M / groups, *kernel).
        bias: (M,) or None.
        strides: step of the output for one step of the input; ``dilations``: step between kernel elements.
        begin: output positions cut off before each spatial axis.
        out: output length of each spatial axis; positions that no window reaches hold the bias.
        groups: number of groups.

    Returns:
        (N, M, *out).

    Raises:
        WeightsError: weight, groups and input channels do not fit.
    """
    kernel, spatial = weight.shape[2:], x.shape[2:]
    channels, group_maps = weight.shape[:2]
    if x.shape[1] != channels or channels % groups:
        raise WeightsError(
            f"a weight of shape {weight.shape} in {groups} group(s) does not fit an input of shape {x.shape}"
        )
    needed = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(spatial, strides, dilations, kernel, strict=True)]
    full = [max(n, b + o) for n, b, o in zip(needed, begin, out, strict=True)]
    y = np.zeros((x.shape[0], groups * group_maps, *out), dtype=x.dtype)
    group_channels = channels // groups
    rows = weight.reshape(groups, group_channels, -1).transpose(0, 2, 1)
    whole = np.empty((groups, group_maps, *full), dtype=x.dtype)
    inner = tuple(slice(b, b + o) for b, o in zip(begin, out, strict=True))
    for n in range(x.shape[0]):
        columns = (rows @ x[n].reshape(groups, group_channels, -1)).reshape(groups, group_maps, -1, *spatial)
        whole[...] = 0
        for index, window in enumerate(taps(kernel, strides, dilations, spatial)):
            whole[(slice(None), slice(None), *window)] += columns[:, :, index]
        y[n] = whole[(slice(None), slice(None), *inner)].reshape(y.shape[1:])
    if bias is not None:
        y += bias.reshape((1, -1) + (1,) * len(kernel))
    return y
