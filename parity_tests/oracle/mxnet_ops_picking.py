"""MXNet: elements picked by computed places, orders, blocks of pixels as channels and parts between places.

Source: ``src/operator/tensor/{indexing_op,ordering_op-inl,matrix_op-inl}.h`` of MXNet 1.9.1; the tests hold each
against it.
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


def _is_flat(attributes: MxnetAttributes) -> bool:
    """Whether there is no axis, so that all elements count as one row."""
    return str(attributes.raw("axis", -1)).strip() == "None"


def _row(attributes: MxnetAttributes, x: Value) -> Value:
    return x.reshape(-1) if _is_flat(attributes) else x


def _order(attributes: MxnetAttributes, default_ascending: bool) -> tuple[Any, int]:
    """A function that gives the places of an axis in order, and that axis."""
    axis = 0 if _is_flat(attributes) else attributes.integer("axis", -1)
    ascending = attributes.flag("is_ascend", default_ascending)
    return lambda x: np.argsort(x if ascending else -x, axis=axis, kind="stable"), axis


@mxnet_operator("sort", suffixes=lambda attributes: ("output0",))
def define_sort(attributes: MxnetAttributes) -> Compute:
    """The elements of an axis in order."""
    order, axis = _order(attributes, True)
    return lambda x: [np.take_along_axis(_row(attributes, x[0]), order(_row(attributes, x[0])), axis)]


@mxnet_operator("argsort")
def define_argsort(attributes: MxnetAttributes) -> Compute:
    """Their places."""
    order, _ = _order(attributes, True)
    dtype = attributes.result_dtype("dtype") or attributes.dtype
    return lambda x: [order(_row(attributes, x[0])).astype(dtype)]


def _topk_suffixes(attributes: MxnetAttributes) -> tuple[str, ...]:
    kind = attributes.text("ret_typ", "indices")
    return ("output0", "output1")[: 2 if kind == "both" else 1] if kind in ("both", "value") else ("output",)


@mxnet_operator("topk", suffixes=_topk_suffixes)
def define_topk(attributes: MxnetAttributes) -> Compute:
    """The k first of an axis, the greatest by default: places, values or both; k 0 is all of them."""
    kind = attributes.one_of("ret_typ", "indices", ("indices", "value", "both", "mask"))
    count, (order, axis) = attributes.integer("k", 1), _order(attributes, False)
    dtype = attributes.result_dtype("dtype") or attributes.dtype

    def compute(x: list[Any]) -> Sequence[Any]:
        data = _row(attributes, x[0])
        places: Value = order(data)
        places = places.take(np.arange(count or data.shape[axis]), axis=axis)
        values = np.take_along_axis(data, places, axis)
        if kind == "mask":
            mask = np.zeros_like(data)
            np.put_along_axis(mask, places, 1, axis)
            return [mask.reshape(x[0].shape)]
        return {"indices": [places.astype(dtype)], "value": [values], "both": [values, places.astype(dtype)]}[kind]

    return compute


@mxnet_operator("pick", "choose_element_0index", "batch_take")
def define_pick(attributes: MxnetAttributes) -> Compute:
    """One element of every row of an axis (-1); places outside are clipped, or counted round and round (wrap)."""
    axis, keep = attributes.integer("axis", -1), attributes.flag("keepdims", False)
    wrap = attributes.one_of("mode", "clip", ("clip", "wrap")) == "wrap"

    def compute(x: list[Any]) -> Sequence[Any]:
        data, places = x[0], x[1].astype(np.int64)
        if places.ndim < data.ndim:
            places = np.expand_dims(places, axis)
        count = data.shape[axis]
        picked = np.take_along_axis(data, places % count if wrap else places.clip(0, count - 1), axis)
        return [picked if keep else picked.squeeze(axis)]

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


@mxnet_operator("depth_to_space")
def define_depth_to_space(attributes: MxnetAttributes) -> Compute:
    """Channel (i * block + j) * C + c becomes the pixel (i, j) of a block of channel c."""
    block = attributes.integer("block_size")

    def compute(x: list[Any]) -> Sequence[Any]:
        n, channels, height, width = x[0].shape
        inner = channels // block**2
        y = np.empty((n, inner, height * block, width * block), x[0].dtype)
        for i, j in np.ndindex(block, block):
            start = (i * block + j) * inner
            y[:, :, i::block, j::block] = x[0][:, start : start + inner]
        return [y]

    return compute


@mxnet_operator("space_to_depth")
def define_space_to_depth(attributes: MxnetAttributes) -> Compute:
    """The pixels (i, j) of all blocks become the channels from (i * block + j) * C on."""
    block = attributes.integer("block_size")
    return lambda x: [np.concatenate([x[0][:, :, i::block, j::block] for i, j in np.ndindex(block, block)], axis=1)]


def _split_at_suffixes(attributes: MxnetAttributes) -> tuple[str, ...]:
    count = attributes.integer("sections", 0) or len(attributes.integers("indices"))
    return tuple(f"output{index}" for index in range(count)) if count > 1 else ("output",)


@mxnet_operator("_split_v2", suffixes=_split_at_suffixes)
def define_split_at(attributes: MxnetAttributes) -> Compute:
    """Equal sections of axis 1, or parts that begin at indices."""
    axis, sections = attributes.integer("axis", 1), attributes.integer("sections", 0)
    indices, squeeze = attributes.integers("indices"), attributes.flag("squeeze_axis", False)

    def compute(x: list[Any]) -> Sequence[Any]:
        pieces = np.split(x[0], sections or list(indices[1:]), axis=axis)
        return [np.squeeze(piece, axis=axis) for piece in pieces] if squeeze else pieces

    return compute
