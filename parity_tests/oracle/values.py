"""What the oracle computes with: numpy arrays, and the shape of an operator's computation.

Every kernel is generic over the floating dtype of its arrays: float64 is the oracle, float32 the clean variant whose
error against float64 serves as a floor. Shapes, indices and other integers stay integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from facecvt.converters.errors import AttributeValueError

Value = np.ndarray[Any, Any]
Compute = Callable[[list[Any]], Sequence[Any]]


def per_axis(values: Sequence[int] | int, rank: int, default: int, what: str) -> tuple[int, ...]:
    """One integer for each spatial axis.

    Args:
        values: one integer for all axes, one for each axis, or none at all.
        rank: number of spatial axes.
        default: what an absent value means.
        what: name of the attribute, for the error.

    Raises:
        AttributeValueError: another number of values.
    """
    listed = (values,) if isinstance(values, int) else tuple(values)
    if not listed:
        return (default,) * rank
    if len(listed) == 1:
        return listed * rank
    if len(listed) != rank:
        raise AttributeValueError(f"{what} holds {len(listed)} values {listed} for {rank} spatial axes")
    return listed


def normal_axis(axis: int, rank: int) -> int:
    """A non-negative axis.

    Raises:
        AttributeValueError: the axis lies outside the rank.
    """
    if not -rank <= axis < rank:
        raise AttributeValueError(f"axis {axis} lies outside a tensor of rank {rank}")
    return axis % rank


def normal_axes(axes: Sequence[int] | int | None, rank: int) -> tuple[int, ...]:
    """Non-negative axes; None or nothing means all of them."""
    if axes is None:
        return tuple(range(rank))
    listed = (axes,) if isinstance(axes, int) else tuple(axes)
    return tuple(normal_axis(int(axis), rank) for axis in listed) if listed else tuple(range(rank))


def along_axis(vector: Value, axis: int, rank: int) -> Value:
    """A vector as a view that broadcasts along one axis of a tensor of the given rank."""
    shape = [1] * rank
    shape[normal_axis(axis, rank)] = vector.size
    return vector.reshape(shape)


def is_float(array: Value) -> bool:
    """Whether an array holds floating point numbers (bfloat16 included)."""
    return bool(array.dtype.kind == "f" or array.dtype.name == "bfloat16")


def in_dtype(array: Value, dtype: np.dtype[Any]) -> Value:
    """Floating point numbers in the oracle's dtype, without a copy where they already are; everything else as it is."""
    return array.astype(dtype, copy=False) if is_float(array) else array
