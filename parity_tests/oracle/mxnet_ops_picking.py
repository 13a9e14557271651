"""MXNet: elements picked by computed places, and orders.

Source: ``src/operator/tensor/{indexing_op,ordering_op-inl}.h`` of MXNet 1.9.1; the tests hold each against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle.mxnet_attributes import MxnetAttributes, mxnet_operator
from facecvt.parity_tests.oracle.values import Compute, Value


@mxnet_operator("gather_nd")
def define_gather_nd(attributes: MxnetAttributes) -> Compute:
    """indices[:, ...] are the leading coordinates of what is taken."""
    return lambda x: [x[0][tuple(x[1].astype(np.int64))]]


def _order(attributes: MxnetAttributes, default_ascending: bool) -> tuple[Any, int]:
    """A function that gives the places of an axis in order, and that axis."""
    axis, ascending = attributes.integer("axis", -1), attributes.flag("is_ascend", default_ascending)
    return lambda x: np.argsort(x if ascending else -x, axis=axis, kind="stable"), axis


@mxnet_operator("sort", suffixes=lambda attributes: ("output0",))
def define_sort(attributes: MxnetAttributes) -> Compute:
    """The elements of an axis in order."""
    order, axis = _order(attributes, True)
    return lambda x: [np.take_along_axis(x[0], order(x[0]), axis)]


@mxnet_operator("argsort")
def define_argsort(attributes: MxnetAttributes) -> Compute:
    """Their places."""
    order, _ = _order(attributes, True)
    dtype = attributes.result_dtype("dtype") or attributes.dtype
    return lambda x: [order(x[0]).astype(dtype)]


def _topk_suffixes(attributes: MxnetAttributes) -> tuple[str, ...]:
    kind = attributes.text("ret_typ", "indices")
    return ("output0", "output1")[: 2 if kind == "both" else 1] if kind in ("both", "value") else ("output",)


@mxnet_operator("topk", suffixes=_topk_suffixes)
def define_topk(attributes: MxnetAttributes) -> Compute:
    """The k first of an axis, the greatest by default: places, values or both; k 0 is all of them."""
    kind = attributes.one_of("ret_typ", "indices", ("indices", "value", "both"))
    count, (order, axis) = attributes.integer("k", 1), _order(attributes, False)
    dtype = attributes.result_dtype("dtype") or attributes.dtype

    def compute(x: list[Any]) -> Sequence[Any]:
        places: Value = order(x[0])
        places = places.take(np.arange(count or x[0].shape[axis]), axis=axis)
        values = np.take_along_axis(x[0], places, axis)
        return {"indices": [places.astype(dtype)], "value": [values], "both": [values, places.astype(dtype)]}[kind]

    return compute


@mxnet_operator("one_hot")
def define_one_hot(attributes: MxnetAttributes) -> Compute:
    """on_value at the place along a new last axis; nowhere for a place outside of it."""
    depth, on, off = (
        attributes.integer("depth"),
        attributes.number("on_value", 1.0),
        attributes.number("off_value", 0.0),
    )
    dtype = attributes.result_dtype("dtype") or attributes.dtype

    def compute(x: list[Any]) -> Sequence[Any]:
        rows = np.full((depth + 1, depth), off)
        rows[np.arange(depth), np.arange(depth)] = on
        places = x[0].astype(np.int64)
        return [rows[np.where((places >= 0) & (places < depth), places, depth)].astype(dtype)]

    return compute
