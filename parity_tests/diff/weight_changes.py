"""What was done to a weight, told from the weight as it should be and as it is.

Each entry of :data:`CHANGES` is one thing that converters do wrong; it is named only if doing it to the right weight
gives the wrong one exactly, or, where rounding is part of it, to within that rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np

from facecvt.converters.graph import NumpyArray

FEW = 8
SAME = 2e-6  # of the greatest magnitude; a product of float32 numbers rounded once or twice


def same(one: NumpyArray, other: NumpyArray) -> bool:
    """Finite, and equal to within a rounding or two."""
    if one.shape != other.shape or not (np.isfinite(one).all() and np.isfinite(other).all()):
        return False
    return bool(np.abs(one.astype(np.float64) - other).max(initial=0.0) <= SAME * np.abs(one).max(initial=0.0))


def to_bfloat16(array: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
    """float32 rounded to bfloat16, to the nearest and towards zero."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    nearest = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return nearest.view(np.float32), (bits & np.uint32(0xFFFF0000)).view(np.float32)


LEAST_OF_STEP = 8  # numbers that share a step


def rounded_to_int8(right: NumpyArray, wrong: NumpyArray) -> bool:
    """Whether the wrong weight takes whole multiples of a step, one for all or one an output, next to the right one."""
    if not wrong.size or not np.isfinite(wrong).all():
        return False
    for rows in {1, wrong.shape[0]}:
        if wrong.size < LEAST_OF_STEP * rows:  # one number is always a whole multiple of itself
            continue
        given, meant = wrong.reshape(rows, -1).astype(np.float64), right.reshape(rows, -1)
        for levels in (127.0, 128.0):
            step = np.abs(given).max(axis=1, keepdims=True) / levels
            step[step == 0.0] = 1.0
            counts = given / step
            is_whole = np.abs(counts - np.rint(counts)).max() < 1e-3
            if is_whole and (np.abs(given - meant) <= 0.51 * step * 1.01).all():
                return True
    return False


def nhwc_flattened(right: NumpyArray, wrong: NumpyArray) -> bool:
    """Whether the columns (or rows) of a matrix are those for features flattened as NHWC, or the reverse."""
    for meant, given in ((right, wrong), (right.T, wrong.T)):
        features = meant.shape[1]
        for side in range(2, 33):
            if features % (side * side):
                continue
            channels = features // (side * side)
            if channels < 2:
                continue
            forth = meant.reshape(-1, channels, side, side).transpose(0, 2, 3, 1).reshape(meant.shape)
            back = meant.reshape(-1, side, side, channels).transpose(0, 3, 1, 2).reshape(meant.shape)
            if np.array_equal(forth, given) or np.array_equal(back, given):
                return True
    return False


def one_factor(right: NumpyArray, wrong: NumpyArray) -> bool:
    scale = float((right.astype(np.float64) * wrong).sum() / max(float((right.astype(np.float64) ** 2).sum()), 1e-300))
    return abs(scale - 1.0) > SAME and same(right.astype(np.float64) * scale, wrong)


def in_other_order(right: NumpyArray, wrong: NumpyArray) -> bool:
    """Whether the rows are the same rows, in another order."""

    def ordered(array: NumpyArray) -> list[bytes]:
        return sorted(np.ascontiguousarray(row).tobytes() for row in array)

    return right.ndim >= 1 and len(right) > 1 and ordered(right) == ordered(wrong)


def in_other_layout(right: NumpyArray, wrong: NumpyArray) -> bool:
    """Whether the elements are those of another order of the axes, in the shape of the right one."""
    axes = range(right.ndim)
    return right.ndim in (2, 4) and any(
        same(right.transpose(order).reshape(right.shape), wrong) for order in permutations(axes) if order != tuple(axes)
    )


def rows_that_are_zero(right: NumpyArray, wrong: NumpyArray) -> bool:
    """Whether some rows, not all of which are zero in the right weight, are zero and the others right."""
    rows = wrong.reshape(len(wrong), -1).any(axis=1) if wrong.ndim else np.ones(1, bool)
    return not rows.all() and bool(right[~rows].any()) and np.array_equal(right[rows], wrong[rows])


Test = Callable[[NumpyArray, NumpyArray], bool]

KERNEL: dict[str, Test] = {
    "flipped kernel": lambda r, w: r.ndim == 4 and same(r[:, :, ::-1, ::-1], w),
    "kernel height and width exchanged": lambda r, w: r.ndim == 4 and same(r.swapaxes(2, 3), w),
    "kernel inputs and outputs exchanged": lambda r, w: r.ndim == 4 and same(r.swapaxes(0, 1), w),
    "RGB and BGR exchanged": lambda r, w: r.ndim == 4 and r.shape[1] == 3 and same(r[:, ::-1], w),
    "transposed matrix": lambda r, w: r.ndim == 2 and same(r.T, w),
    "weights of another layout": in_other_layout,
    "matrix for NHWC-flattened features": lambda r, w: r.ndim == 2 and nhwc_flattened(r, w),
    "outputs in another order": in_other_order,
    "outputs that are zero": lambda r, w: rows_that_are_zero(r, w),
}
ROUNDED: dict[str, Test] = {
    "weights rounded to fp16": lambda r, w: np.array_equal(r.astype(np.float16).astype(np.float32), w),
    "weights rounded to bf16": lambda r, w: any(np.array_equal(rounded, w) for rounded in to_bfloat16(r)),
    "weights rounded to int8": rounded_to_int8,
    "weights off by one factor": one_factor,
}
BIAS: dict[str, Test] = {
    "dropped bias": lambda r, w: not w.any(),
    "bias twice": lambda r, w: same(2 * r, w),
}
WHOLE = {
    "Reshape": "another shape",
    "ReduceL2": "another axis",
    "ReduceMean": "another axis",
    "ReduceSum": "another axis",
}
# (operator, place of the operand) -> what may have been done to it
SPECIAL: dict[tuple[str, int], dict[str, Test]] = {
    ("BatchNormalization", 1): {
        "gamma is 1 (fix_gamma)": lambda r, w: bool((w == 1.0).all()),
        "fix_gamma ignored": lambda r, w: bool((r == 1.0).all()) and float((w != 1.0).mean()) > 0.5,
    },
    ("BatchNormalization", 2): {"dropped shift": lambda r, w: not w.any()},
    ("BatchNormalization", 3): {
        "dropped mean": lambda r, w: not w.any(),
        "mean of the other sign": lambda r, w: np.array_equal(-r, w),
    },
    ("BatchNormalization", 4): {
        "variance is 1": lambda r, w: bool((w == 1.0).all()),
        "variance is the standard deviation": lambda r, w: same(np.sqrt(np.abs(r)), w),
        "variance off by one factor": one_factor,
    },
    ("PRelu", 1): {
        "slope over the width": lambda r, w: r.shape != w.shape and np.array_equal(r.reshape(-1), w.reshape(-1)),
        "one slope for all channels": lambda r, w: bool((w == w.reshape(-1)[0]).all()),
    },
    ("Conv", 2): BIAS,
    ("ConvTranspose", 2): BIAS,
    ("Gemm", 2): BIAS,
}


def change_of(operator: str, place: int, right: NumpyArray, wrong: NumpyArray) -> str:
    """Name of what makes the right weight the wrong one.

    Args:
        operator: of the node that reads it.
        place: number of the operand.
        right, wrong: the weight of the reference, and of the other side.
    """
    if right.dtype.kind in "iu":
        return WHOLE.get(operator, "other whole numbers")
    if operator == "Clip":
        return "another limit"
    if right.size == wrong.size == 1 and operator in ("Add", "Sub", "Mul", "Div", "Pow"):
        return "another constant"
    tests = {**SPECIAL.get((operator, place), {})}
    if right.shape == wrong.shape:
        if place == 1 and operator != "BatchNormalization" and not same(right, wrong):
            tests |= KERNEL
        tests |= ROUNDED
    for name, test in tests.items():
        if test(right, wrong):
            return name
    if right.shape == wrong.shape:
        changed = int((right != wrong).sum())
        if changed <= max(FEW, right.size // 100):
            return f"{changed} weight{'s' if changed != 1 else ''} changed"
    return "other weights"
