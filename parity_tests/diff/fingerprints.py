"""Whether two layers own the same weights, told from the numbers alone.

    exact    a sum over a mixed hash of every element's float32 bits: the same for every order of the elements, so for
             every layout, a transposition and a flip
    near     of the kernel as rows, one an output: |w| / |row|, which folding a BatchNormalization into the row does not
             change (it multiplies a row by gamma / sqrt(var + eps)); the rms distance of two such, 0.85 and more for
             kernels that have nothing to do with one another, below 0.1 for the same kernel in fp16 or int8

Only what is the one partner of the other on both sides counts. The mixing function is the finaliser of SplitMix64
(Steele, Lea and Flood 2014).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from facecvt.converters.graph import NumpyArray

NEAR = 0.1
ROWS, COLUMNS = 64, 512  # of a kernel that are looked at; enough to tell kernels apart
BLOCK = 1 << 18


def bits_fingerprint(array: NumpyArray) -> tuple[int, int] | None:
    """Size and order-free hash of an array's elements as float32; None where all elements are equal: such are many."""
    flat = np.asarray(array).reshape(-1)
    if flat.size == 0:
        return None
    total, same, first = 0, True, np.float32(flat[0])
    for begin in range(0, flat.size, BLOCK):
        part = flat[begin : begin + BLOCK].astype(np.float32) + np.float32(0.0)  # -0.0 is 0.0
        same = same and bool((part == first).all())
        mixed = part.view(np.uint32).astype(np.uint64)
        with np.errstate(over="ignore"):
            mixed += np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed ^= mixed >> np.uint64(31)
        total += int(mixed.sum(dtype=np.uint64))
    return None if same else (int(flat.size), total % (1 << 64))


def directions(kernel: NumpyArray) -> NumpyArray | None:
    """A sample of the magnitudes of a kernel's rows, each row of length 1; None where that says nothing.

    Args:
        kernel: (outputs, ...).
    """
    rows = kernel.reshape(kernel.shape[0], -1)
    if rows.shape[1] < 2 or rows.size < 8:
        return None
    rows = rows[:: -(-rows.shape[0] // ROWS)].astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.any():
        return None
    rows = np.abs(rows) / np.where(lengths > 0.0, lengths, 1.0)
    if float(rows.std()) < 1e-6:
        return None
    sample: NumpyArray = rows[:, :: -(-rows.shape[1] // COLUMNS)]
    return sample


def distance(one: NumpyArray, other: NumpyArray) -> float:
    """rms of the difference over the rms of both, of two samples of one shape."""
    scale = float(np.sqrt((one * one).sum() + (other * other).sum()) / np.sqrt(2.0))
    return float(np.linalg.norm(one - other)) / scale if scale > 0.0 else np.inf


def only_partners(ours: Mapping[Any, Hashable], theirs: Mapping[Any, Hashable]) -> list[tuple[Any, Any]]:
    """Pairs of keys whose fingerprints are equal, and those of nothing else; a fingerprint of None is no partner."""
    counts = Counter(ours.values()), Counter(theirs.values())
    back = {mark: key for key, mark in theirs.items() if mark is not None}
    return [
        (key, back[mark])
        for key, mark in ours.items()
        if mark is not None and counts[0][mark] == 1 and counts[1][mark] == 1
    ]


def nearest_partners(ours: Mapping[Any, NumpyArray], theirs: Mapping[Any, NumpyArray]) -> list[tuple[Any, Any]]:
    """Pairs of keys that are nearest to each other, near enough, and clearly nearer than the next.

    Args:
        ours, theirs: samples of :func:`directions`; only those of one shape are held against one another.
    """
    near: dict[Any, list[tuple[float, Any]]] = {}
    back: dict[Any, list[tuple[float, Any]]] = {}
    for key, sample in ours.items():
        for other, its in theirs.items():
            if its.shape == sample.shape:
                far = distance(sample, its)
                near.setdefault(key, []).append((far, other))
                back.setdefault(other, []).append((far, key))
    found = []
    for key, candidates in near.items():
        best = clear_best(candidates)
        if best is not None and clear_best(back[best]) == key:
            found.append((key, best))
    return found


def clear_best(candidates: list[tuple[float, Any]]) -> Any | None:
    """The one candidate below the limit that the next is far behind; None where there is none."""
    ordered = sorted(candidates, key=lambda item: item[0])
    if ordered[0][0] > NEAR or (len(ordered) > 1 and ordered[1][0] < 2.0 * ordered[0][0] + NEAR):
        return None
    return ordered[0][1]
