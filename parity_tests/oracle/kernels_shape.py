"""Shapes: reshaping with copied and inferred dimensions, slices, padding, flattening."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from facecvt.converters.errors import AttributeValueError
from facecvt.parity_tests.oracle.values import Value, normal_axis


def reshape_copying(x: Value, shape: Sequence[int], *, zero_copies: bool = True) -> Value:
    """Reshape with ONNX's and Paddle's codes: 0 copies the input's dimension (unless told not to), one -1 is inferred.

    Raises:
        AttributeValueError: a 0 beyond the input's rank.
    """
    dims = []
    for index, dim in enumerate(shape):
        if dim == 0 and zero_copies:
            if index >= x.ndim:
                raise AttributeValueError(f"shape {list(shape)} copies dimension {index} of a tensor of rank {x.ndim}")
            dims.append(x.shape[index])
        else:
            dims.append(int(dim))
    return x.reshape(dims)


def reshape_special(shape: Sequence[int], source: Sequence[int], *, reverse: bool = False) -> list[int]:
    """MXNet's target shape: 0 copies, -1 infers, -2 copies all that is left, -3 merges two, -4 splits one into two.

    Args:
        shape: the codes; after -4 follow the two factors, one of which may be -1.
        source: dimensions of the input.
        reverse: match codes and dimensions from the right. The whole list is reversed, so that a split stands
            as (second, first, -4).

    Raises:
        AttributeValueError: codes that do not fit the input.
    """
    codes, dims = list(shape), list(source)
    if reverse:
        codes, dims = codes[::-1], dims[::-1]
    target: list[int] = []
    taken = position = 0
    while position < len(codes):
        code = codes[position]
        if code == 0:
            target.append(_dimension(dims, taken, shape, source))
            taken += 1
        elif code == -2:
            target.extend(dims[taken:])
            taken = len(dims)
        elif code == -3:
            target.append(_dimension(dims, taken, shape, source) * _dimension(dims, taken + 1, shape, source))
            taken += 2
        elif code == -4:
            whole = _dimension(dims, taken, shape, source)
            first, second = codes[position + 1 : position + 3]
            first = whole // second if first == -1 else first
            second = whole // first if second == -1 else second
            if first * second != whole:
                raise AttributeValueError(f"shape {tuple(shape)} splits {whole} into {first} x {second}")
            target.extend((first, second))
            taken, position = taken + 1, position + 2
        else:  # a number, or -1: both stand for one dimension of the input
            target.append(code)
            taken += 1
        position += 1
    if reverse:
        target.reverse()
    if target.count(-1) == 1:
        known = -math.prod(target)
        target[target.index(-1)] = math.prod(source) // known if known else 0
    return target


def _dimension(dims: list[int], index: int, shape: Sequence[int], source: Sequence[int]) -> int:
    if index >= len(dims):
        raise AttributeValueError(f"shape {tuple(shape)} takes more dimensions than {tuple(source)} has")
    return dims[index]


def flatten_to_matrix(x: Value, axis: int) -> Value:
    """(product of the dimensions before axis, product of the rest); axis may equal the rank."""
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def flatten_range(x: Value, start: int, stop: int) -> Value:
    """Axes start to stop, both included, merged into one."""
    if x.ndim == 0:
        return x.reshape(1)
    start, stop = normal_axis(start, x.ndim), normal_axis(stop, x.ndim)
    return x.reshape((*x.shape[:start], math.prod(x.shape[start : stop + 1]), *x.shape[stop + 1 :]))


def slice_axes(
    x: Value,
    starts: Sequence[int | None],
    ends: Sequence[int | None],
    axes: Sequence[int],
    steps: Sequence[int | None] | None = None,
) -> Value:
    """Half-open ranges along some axes; negative bounds count from the end, bounds beyond it are clamped."""
    index: list[slice] = [slice(None)] * x.ndim
    for position, axis in enumerate(axes):
        step = (steps[position] if steps else None) or 1
        length = x.shape[normal_axis(axis, x.ndim)]
        start, end = starts[position], ends[position]
        if step < 0 and end is not None and end < 0:
            # numpy reads a negative end as counted from the back; one that lies before the first element means "all".
            end = None if end + length < 0 else end
        index[normal_axis(axis, x.ndim)] = slice(start, end, step)
    return x[tuple(index)]


def pad_any(x: Value, begin: Sequence[int], end: Sequence[int], mode: str, value: object = 0) -> Value:
    """Padding by constant, edge, reflect or wrap; negative amounts cut elements off.

    Raises:
        AttributeValueError: another mode.
    """
    if mode not in ("constant", "edge", "reflect", "wrap"):
        raise AttributeValueError(f"unknown padding mode {mode!r}")
    cut = tuple(slice(max(-b, 0), n - max(-e, 0)) for b, e, n in zip(begin, end, x.shape, strict=True))
    widths = [(max(b, 0), max(e, 0)) for b, e in zip(begin, end, strict=True)]
    if mode == "constant":
        return np.pad(x[cut], widths, mode="constant", constant_values=value)  # type: ignore[call-overload,no-any-return]
    return np.pad(x[cut], widths, mode=mode)  # type: ignore[call-overload,no-any-return]


def split_at(x: Value, sizes: Sequence[int], axis: int) -> list[Value]:
    """Consecutive parts of the given sizes along an axis.

    Raises:
        AttributeValueError: the sizes do not add up to the axis.
    """
    axis = normal_axis(axis, x.ndim)
    if sum(sizes) != x.shape[axis]:
        raise AttributeValueError(f"parts {list(sizes)} do not add up to the {x.shape[axis]} elements of axis {axis}")
    return list(np.split(x, np.cumsum(sizes)[:-1], axis=axis))


def even_sizes(length: int, parts: int) -> list[int]:
    """Equal parts; the last is smaller where the length does not divide."""
    size = -(-length // parts)
    return [min(size, length - size * index) for index in range(parts)]


def leading(x: Value, count: int, axis: int, *, largest: bool) -> tuple[Value, Value]:
    """The greatest (or smallest) elements of an axis in order, of equals the first, and their indices (int64)."""
    if largest:  # an ascending stable sort of the flipped axis, read from its end, has the first of equals in front
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
    else:
        order = np.argsort(x, axis=axis, kind="stable")
    index = np.take(order, np.arange(count), axis=axis).astype(np.int64)
    return np.take_along_axis(x, index, axis=axis), index


def extreme_index(x: Value, axis: int, keepdims: bool, *, last: bool = False, smallest: bool = False) -> Value:
    """Index of the greatest (or smallest) element of an axis, the first or the last of equals; int64."""
    axis = normal_axis(axis, x.ndim)
    pick = np.argmin if smallest else np.argmax
    index = x.shape[axis] - 1 - pick(np.flip(x, axis), axis=axis) if last else pick(x, axis=axis)
    index = np.asarray(index, dtype=np.int64)
    return np.expand_dims(index, axis) if keepdims else index
