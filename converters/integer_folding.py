"""What an operator gives where all it is fed are small constants of whole numbers: amounts, axes, shapes.

Sources compute such things in the graph, although nothing in them depends on the input: PyTorch's exporter writes the
amounts of every Pad as Concat, Reshape, Slice, Transpose, Reshape and Cast of constants. The builder gives a constant
in place of such a node, so that every rule, shape and recognition behind it sees the numbers. Only integers are
computed here, exactly; numbers that a network computes with are left as they are.

Source: ONNX operator specification, opset 21.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

NumpyArray = np.ndarray[tuple[int, ...], np.dtype[Any]]
Attributes = Mapping[str, Any]

SMALL = 4096  # elements up to which it is done
INTEGER_TYPES: Mapping[int, np.dtype[Any]] = {6: np.dtype(np.int32), 7: np.dtype(np.int64)}  # by ONNX's number
INT64_MAX = 2**63 - 1


def folded(op_type: str, operands: Sequence[NumpyArray | None], attributes: Attributes) -> NumpyArray | None:
    """The output of an operator fed with constants, or None where it is not computed here.

    Args:
        op_type: ONNX operator of opset 21.
        operands: its inputs; None for one that is computed or left out.
        attributes: Python values; what is None counts as left out.
    """
    rule = INTEGER_RULES.get(op_type)
    arrays = [array for array in operands if array is not None and array.dtype in INTEGER_TYPES.values()]
    if rule is None or not arrays or len(arrays) < len(operands) or sum(array.size for array in arrays) > SMALL:
        return None
    result = rule(arrays, {name: value for name, value in attributes.items() if value is not None})
    return None if result is None or result.size > SMALL else np.ascontiguousarray(result).reshape(result.shape)


def resolved_shape(shape: tuple[int, ...], target: NumpyArray, allowzero: bool) -> tuple[int, ...] | None:
    """The shape that ONNX's Reshape gives: 0 keeps a size, -1 takes the rest; None where it would be an error."""
    wanted = [int(size) for size in target.reshape(-1)]
    if not allowzero:
        if any(size == 0 and axis >= len(shape) for axis, size in enumerate(wanted)):
            return None
        wanted = [shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    if wanted.count(-1) == 1:
        rest = math.prod(size for size in wanted if size != -1)
        if rest == 0:
            return None
        wanted[wanted.index(-1)] = math.prod(shape) // rest
    return tuple(wanted) if min(wanted, default=0) >= 0 and math.prod(wanted) == math.prod(shape) else None


def cast(arrays: Sequence[NumpyArray], attributes: Attributes) -> NumpyArray | None:
    target = INTEGER_TYPES.get(int(attributes["to"]))
    return None if target is None else arrays[0].astype(target)


def concat(arrays: Sequence[NumpyArray], attributes: Attributes) -> NumpyArray | None:
    return np.concatenate(arrays, axis=int(attributes["axis"]))


def expand(arrays: Sequence[NumpyArray], attributes: Attributes) -> NumpyArray | None:
    sizes = [int(size) for size in arrays[1].reshape(-1)]
    if math.prod(sizes) * max(1, arrays[0].size) > SMALL:
        return None
    return np.broadcast_to(arrays[0], np.broadcast_shapes(arrays[0].shape, tuple(sizes)))


def gather(arrays: Sequence[NumpyArray], attributes: Attributes) -> NumpyArray | None:
    return np.take(arrays[0], arrays[1], axis=int(attributes.get("axis", 0)))


def reshape(arrays: Sequence[NumpyArray], attributes: Attributes) -> NumpyArray | None:
    shape = resolved_shape(arrays[0].shape, arrays[1], bool(attributes.get("allowzero", 0)))
    return None if shape is None else arrays[0].reshape(shape)


def take_part(arrays: Sequence[NumpyArray], attributes: Attributes) -> NumpyArray | None:
    """Slice; an end before the first element is None in Python."""
    data, starts, ends = arrays[0], arrays[1].reshape(-1), arrays[2].reshape(-1)
    axes = arrays[3].reshape(-1) if len(arrays) > 3 else np.arange(starts.size)
    steps = arrays[4].reshape(-1) if len(arrays) > 4 else np.ones(starts.size, np.int64)
    parts: list[slice] = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts.tolist(), ends.tolist(), axes.tolist(), steps.tolist(), strict=True):
        before_all = step < 0 and end < -data.shape[axis]
        parts[axis] = slice(start, None if before_all else min(end, INT64_MAX), step)
    return data[tuple(parts)]


def transpose(arrays: Sequence[NumpyArray], attributes: Attributes) -> NumpyArray | None:
    return np.transpose(arrays[0], attributes.get("perm"))


def squeeze(arrays: Sequence[NumpyArray], attributes: Attributes) -> NumpyArray | None:
    axes = tuple(int(axis) for axis in arrays[1].reshape(-1)) if len(arrays) > 1 else None
    return np.squeeze(arrays[0], axes)


def unsqueeze(arrays: Sequence[NumpyArray], attributes: Attributes) -> NumpyArray | None:
    return np.expand_dims(arrays[0], tuple(int(axis) for axis in arrays[1].reshape(-1)))


INTEGER_RULES: Mapping[str, Callable[[Sequence[NumpyArray], Attributes], NumpyArray | None]] = {
    "Add": lambda arrays, attributes: arrays[0] + arrays[1],
    "Cast": cast,
    "Concat": concat,
    "Expand": expand,
    "Gather": gather,
    "Mul": lambda arrays, attributes: arrays[0] * arrays[1],
    "Reshape": reshape,
    "Slice": take_part,
    "Squeeze": squeeze,
    "Sub": lambda arrays, attributes: arrays[0] - arrays[1],
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
