"""Paddle: elements by rank and by place.

Of equal elements the first comes first, which Paddle promises for a stable sort only. Source: operator registrations of
Paddle 3.3.1; the tests hold each against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle.paddle_attributes import Operands, PaddleAttributes, PaddleCompute, paddle_operator


@paddle_operator("argsort", outputs=("Out", "Indices"))
def define_argsort(attributes: PaddleAttributes) -> PaddleCompute:
    """All elements of an axis (-1) in rising or falling order, and where each was."""
    axis, falling = int(attributes.raw("axis", -1)), bool(attributes.raw("descending", False))
    attributes.ignore("stable")

    def compute(x: Operands) -> Sequence[Any]:
        data = x.one("X")
        if falling:  # sorted backwards, so that of equal elements the first comes last, and then turned round
            places = data.shape[axis] - 1 - np.argsort(np.flip(data, axis), axis=axis, kind="stable")
            places = np.flip(places, axis)
        else:
            places = np.argsort(data, axis=axis, kind="stable")
        return [np.take_along_axis(data, places, axis), places.astype(np.int64)]

    return compute


@paddle_operator(legacy=("where_index",), pir=("nonzero",), operands=("Condition",))
def define_non_zero(attributes: PaddleAttributes) -> PaddleCompute:
    """The coordinates of every element that is not 0, a row each."""
    return lambda x: [np.argwhere(x.one("Condition")).astype(np.int64)]


@paddle_operator("put_along_axis", operands=("Input", "Index", "Value"), outputs=("Result",))
def define_put_along_axis(attributes: PaddleAttributes) -> PaddleCompute:
    """Values at places along an axis; of several for one place the last stays."""
    axis = int(attributes.either("Axis", "axis", default=0))
    if str(attributes.either("Reduce", "reduce", default="assign")) != "assign":
        raise attributes.refuse("reduce", "the oracle knows assign")
    attributes.ignore("Include_self", "include_self")

    def compute(x: Operands) -> Sequence[Any]:
        result, places, values = x.one("Input").copy(), x.one("Index"), x.one("Value")
        for where in np.ndindex(places.shape):
            target = list(where)
            target[axis] = int(places[where])
            result[tuple(target)] = values[where]
        return [result]

    return compute


@paddle_operator("unbind")
def define_unbind(attributes: PaddleAttributes) -> PaddleCompute:
    """Each element of an axis (0), the axis removed."""
    axis = int(attributes.raw("axis", 0))
    return lambda x: [[np.take(x.one("X"), place, axis=axis) for place in range(x.one("X").shape[axis])]]


@paddle_operator(legacy=("one_hot",), operands=("X", "depth_tensor"))
def define_old_one_hot(attributes: PaddleAttributes) -> PaddleCompute:
    """Paddle 1.x: the last axis, of length 1, becomes one of length depth with a 1 at each index."""
    depth, dtype = int(attributes.raw("depth", 1)), attributes.element_type("dtype") or attributes.dtype
    attributes.ignore("allow_out_of_range")

    def compute(x: Operands) -> Sequence[Any]:
        return [(x.one("X") == np.arange(int(x.number(depth, "depth_tensor")))).astype(dtype)]

    return compute
