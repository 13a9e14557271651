"""How far one array is from another, in float64.

With the expected array e, the actual array a, d = a - e, and rms(x) = sqrt(mean(x^2)):

    rel_rmse       rms(d) / rms(e)          the gate; 0 where both are zero everywhere, infinite where only e is
    max_abs        max |d|
    one_minus_cos  1 - e.a / (|e| |a|)      over the whole array, flattened; 0 where both are zero, 1 where one is

1 - cos is computed as (|d|^2 - (|a| - |e|)^2) / (2 |e| |a|): the textbook form rounds every value below 1e-16 to zero
and loses digits long before, while the values of interest lie at 1e-12.

Nothing that is not a number ever compares as fine: a NaN or Inf on either side, and arrays of different shapes, give
infinite errors and a ``problem`` that says why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

NumpyArray = np.ndarray[Any, np.dtype[Any]]
BLOCK = 1 << 16  # elements
PIECE = 1 << 13


@dataclass(frozen=True)
class Worst:
    """The element with the greatest difference: its index, and both values."""

    index: tuple[int, ...]
    expected: float
    actual: float


@dataclass(frozen=True)
class Metrics:
    """The distance of one array from another; formulas in the module's docstring.

    Attributes:
        rel_rmse: relative root mean square error.
        max_abs: greatest absolute difference.
        one_minus_cos: one minus the cosine of the two arrays as vectors.
        worst: the element of ``max_abs``, or the first that is not finite; None where there are no elements.
        elements: how many elements were compared; 0 proves nothing.
        scale: rms of the expected array.
        problem: why the two cannot be compared, None where they can.
        expected_is_finite: False where the expected array itself holds NaN or Inf.
    """

    rel_rmse: float
    max_abs: float
    one_minus_cos: float
    worst: Worst | None
    elements: int
    scale: float = 0.0
    problem: str | None = None
    expected_is_finite: bool = True


def compare(expected: NumpyArray, actual: NumpyArray) -> Metrics:
    """Measure ``actual`` against ``expected``.

    Args:
        expected: the reference; any shape, any real dtype.
        actual: the same shape; no broadcasting is done.
    """
    if expected.shape != actual.shape:
        return _incomparable(f"shape {list(actual.shape)} where {list(expected.shape)} is expected", None, 0)
    return compare_each([expected, actual])[0, 1]


def compare_each(arrays: Sequence[NumpyArray]) -> dict[tuple[int, int], Metrics]:
    """Measure every array against every one in front of it, in one pass over all.

    Args:
        arrays: of one shape.

    Returns:
        (place of the expected array, place of the actual one) -> what :func:`compare` gives for the two.
    """
    flat = [array.reshape(-1) for array in arrays]
    shape = arrays[0].shape
    return {(one, other): _metrics(flat[one], flat[other], shape, sums) for (one, other), sums in _sums(flat).items()}


def _metrics(e: NumpyArray, a: NumpyArray, shape: tuple[int, ...], sums: _Sums) -> Metrics:
    if e.size == 0:
        return Metrics(0.0, 0.0, 0.0, None, 0)
    scale = 1.0
    if not math.isfinite(sums.d_square + sums.e_square):
        problem = _describe_not_finite(e, a, shape)
        if problem is not None:
            return problem
        # Finite values whose squares overflow: measure them at another scale.
        e, a = e.astype(np.float64), a.astype(np.float64)
        scale = max(float(np.abs(e).max()), float(np.abs(a).max()))
        sums = _sums([e / scale, a / scale])[0, 1]
    index = tuple(int(i) for i in np.unravel_index(sums.position, shape))
    return Metrics(
        rel_rmse=_ratio(sums.d_square, sums.e_square),
        max_abs=sums.max_abs * scale,
        one_minus_cos=_one_minus_cos(sums),
        worst=Worst(index, float(e[sums.position]), float(a[sums.position])),
        elements=int(e.size),
        scale=math.sqrt(sums.e_square / e.size) * scale,
    )


@dataclass
class _Sums:
    """What one pass over two flat arrays e and a gives, with d = a - e."""

    d_square: float = 0.0
    e_square: float = 0.0
    a_square: float = 0.0
    d_times_e: float = 0.0
    max_abs: float = -1.0
    position: int = 0  # of max_abs


def _sums(flat: Sequence[NumpyArray]) -> dict[tuple[int, int], _Sums]:
    """Sums of every two arrays in float64, block by block so that a block stays in the cache."""
    found = {pair: _Sums() for pair in combinations(range(len(flat)), 2)}
    if not found:
        return found
    with np.errstate(all="ignore"):
        for begin in range(0, flat[0].size, BLOCK):
            parts = [array[begin : begin + BLOCK].astype(np.float64, copy=False) for array in flat]
            squares = [_dot(part, part) for part in parts]
            d = np.empty_like(parts[0])
            for (one, other), sums in found.items():
                np.subtract(parts[other], parts[one], out=d)
                sums.e_square += squares[one]
                sums.a_square += squares[other]
                sums.d_square += _dot(d, d)
                sums.d_times_e += _dot(d, parts[one])
                np.abs(d, out=d)
                position = int(d.argmax())
                if d[position] > sums.max_abs:
                    sums.max_abs, sums.position = float(d[position]), begin + position
    return found


def _dot(one: NumpyArray, other: NumpyArray) -> float:
    """Sum of products, in pieces so short that BLAS takes no threads to them.

    With threads the sum would depend on how many there are, and they get in the way of those of a framework.
    """
    whole = one.size - one.size % PIECE
    rows, columns = one[:whole].reshape(-1, 1, PIECE), other[:whole].reshape(-1, PIECE, 1)
    return float(np.matmul(rows, columns).sum()) + float(one[whole:] @ other[whole:])


def same_bits(one: NumpyArray, other: NumpyArray) -> bool:
    """Whether two arrays have one shape, one dtype and the same bits; NaN and the sign of zero count."""
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    bits = f"u{one.itemsize}"
    return np.array_equal(np.ascontiguousarray(one).view(bits), np.ascontiguousarray(other).view(bits))


def bits_lost(error: float, floor: float) -> float:
    """log2 of an error over the floor of its tap: the bits lost beyond rounding; 0 at or below the floor."""
    if math.isnan(error):
        return math.inf
    return math.log2(error / floor) if error > floor else 0.0


def _ratio(d_square: float, e_square: float) -> float:
    if d_square == 0.0:
        return 0.0
    return math.sqrt(d_square / e_square) if e_square > 0.0 else math.inf


def _one_minus_cos(sums: _Sums) -> float:
    if sums.d_square == 0.0:
        return 0.0
    if sums.e_square == 0.0 or sums.a_square == 0.0:
        return 1.0
    e_norm, a_norm = math.sqrt(sums.e_square), math.sqrt(sums.a_square)
    difference = (2.0 * sums.d_times_e + sums.d_square) / (e_norm + a_norm)  # |a| - |e|, without cancellation
    return max(0.0, (sums.d_square - difference * difference) / (2.0 * e_norm * a_norm))


def _describe_not_finite(e: NumpyArray, a: NumpyArray, shape: tuple[int, ...]) -> Metrics | None:
    """The verdict on arrays of which at least one holds NaN or Inf; None where all values are finite after all."""
    sides = []
    for what, values in (("expected", e), ("actual", a)):
        count = int(values.size - np.isfinite(values).sum())
        if count:
            sides.append(f"{count} of {values.size} {what} values are NaN or Inf")
    if not sides:
        return None
    position = int(np.flatnonzero(~(np.isfinite(e) & np.isfinite(a)))[0])
    index = tuple(int(i) for i in np.unravel_index(position, shape))
    worst = Worst(index, float(e[position]), float(a[position]))
    return _incomparable("; ".join(sides), worst, int(e.size), bool(np.isfinite(e).all()))


def _incomparable(problem: str, worst: Worst | None, elements: int, expected_is_finite: bool = True) -> Metrics:
    return Metrics(
        math.inf, math.inf, math.inf, worst, elements, problem=problem, expected_is_finite=expected_is_finite
    )
