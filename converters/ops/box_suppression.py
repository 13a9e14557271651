"""The last step of MXNet's detectors: boxes from moves of priors, by falling score, the weaker of two alike struck out.

    _contrib_MultiBoxDetection   (N, A, 6): class, score, corners. Of every prior the best class but the first, which is
        the background; those below ``threshold`` go, the others move to the front: by falling score where there is
        suppression (0 < nms_threshold <= 1), else as they are. A row that is suppressed (overlap >= nms_threshold with
        a better row of its class, or of any) keeps its place and its class becomes -1; so do all from nms_topk on,
        which are not even ordered.
    _contrib_box_nms   (..., A, K): rows of any width by falling score; those suppressed (overlap > overlap_thresh) or
        below valid_thresh go, the others close up; the rest is -1 throughout. Where out_format differs from in_format,
        a box whose first number is below 0 stays as it is.

ONNX's NonMaxSuppression orders by score and breaks ties by itself; it is given the rank in place of the score, so that
the order is this module's alone. It counts a box turned inside out as its mirror image, MXNet as one without an area:
such boxes are made flat before. Sources: MXNet 1.9.1 ``src/operator/contrib/{multibox_detection.cc,
bounding_box-inl.h}`` and its behaviour at ties, limits and empty results; the ONNX operator specification.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facecvt.converters.graph import Builder, dims
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.multibox import numbers
from facecvt.converters.ops.picking import length
from facecvt.converters.ops.ranges import counted
from facecvt.converters.ops.registry import from_mxnet
from facecvt.converters.ops.suppression import ALL, NEVER
from facecvt.converters.ops.value_facts import known_rank
from facecvt.converters.source_ops import MxnetOp

FLOAT = np.dtype(np.float32)
MOST_CLASSES = 2048  # rows up to which each may be of a class of its own


def columns(b: Builder, rows: ir.Value, start: int, end: int) -> ir.Value:
    """Columns ``start`` up to ``end`` of rows."""
    part: ir.Value = b.emit("Slice", [rows, b.const([start]), b.const([end]), b.const([-1])])
    return part


def last_axis(b: Builder, value: ir.Value) -> ir.Value:
    """A value with a new last axis of length 1."""
    wide: ir.Value = b.emit("Unsqueeze", [value, b.const([-1])])
    return wide


def number(b: Builder, value: float) -> ir.Value:
    """A float32 scalar."""
    constant: ir.Value = b.const(value, FLOAT)
    return constant


def image_offsets(b: Builder, key: ir.Value) -> ir.Value:
    """Where each image's rows begin among the rows of all, (N, 1)."""
    images = b.emit("Gather", [b.emit("Shape", [key]), b.const(0)], axis=0)
    places = b.emit("Unsqueeze", [b.emit("Range", [b.const(0), images, b.const(1)]), b.const([1])])
    offsets: ir.Value = b.emit("Mul", [places, length(b, key, 1)])
    return offsets


def in_order(b: Builder, key: ir.Value, rows: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Keys (N, A) from the greatest down, of equals the first first, and the rows (N, A, K) in the same order."""
    keys, places = b.emit("TopK", [key, length(b, key, 1)], outputs=2, axis=-1, largest=1, sorted=1)
    width = (dims(rows) or (None,))[-1]
    target = b.const([-1, width]) if width else b.emit("Concat", [b.const([-1]), length(b, rows, 2)], axis=0)
    flat = b.emit("Reshape", [rows, target])
    return keys, b.emit("Gather", [flat, b.emit("Add", [places, image_offsets(b, key)])], axis=0)


def survivors(b: Builder, corners: ir.Value, ranks: ir.Value, candidates: ir.Value, overlap: float) -> ir.Value:
    """Which rows of an order survive, (N, A).

    Args:
        b: the graph that grows.
        corners: (N, A, 4), in order.
        ranks: (A,) float32, falling.
        candidates: (N, C, A) boolean, which rows compete in each class.
        overlap: intersection over union above which the lesser row goes.
    """
    low, high = columns(b, corners, 0, 2), columns(b, corners, 2, 4)
    boxes = b.emit("Concat", [low, b.emit("Max", [low, high])], axis=-1)
    scores = b.emit("Where", [candidates, ranks, number(b, 0.0)])
    limits = [b.const([ALL]), b.const([overlap], FLOAT), b.const([0.5], FLOAT)]
    chosen = b.emit("NonMaxSuppression", [boxes, scores, *limits])
    image, place = (b.emit("Gather", [chosen, b.const(column)], axis=1) for column in (0, 2))
    place = b.emit("Add", [b.emit("Mul", [image, length(b, corners, 1)]), place])
    shape = b.emit("Slice", [b.emit("Shape", [corners]), b.const([0]), b.const([2]), b.const([0])])
    nothing = b.emit("Reshape", [b.emit("Expand", [number(b, 0.0), shape]), b.const([-1])])
    marks = b.emit("Expand", [number(b, 1.0), b.emit("Shape", [place])])
    marked = b.emit("Reshape", [b.emit("ScatterElements", [nothing, place, marks], axis=0), shape])
    kept: ir.Value = b.emit("Greater", [marked, number(b, 0.5)])
    return kept


def falling_ranks(b: Builder, key: ir.Value) -> ir.Value:
    """The number of rows, one less, and so on down to 1."""
    count = b.emit("Cast", [length(b, key, 1)], to=int(ir.DataType.FLOAT))
    ranks: ir.Value = b.emit("Sub", [count, counted(b, key, 1)])
    return ranks


def before(b: Builder, key: ir.Value, limit: int) -> ir.Value:
    """Whether a place comes before a limit, (A,)."""
    early: ir.Value = b.emit("Less", [counted(b, key, 1), number(b, float(limit))])
    return early


# ---- MultiBoxDetection -----------------------------------------------------------------------------------------------


def moved_priors(b: Builder, moves: ir.Value, priors: ir.Value, variances: list[float], clip: bool) -> ir.Value:
    """Corners (N, A, 4) of priors that are moved by shares of their size and stretched by powers of e."""
    moves = b.emit("Reshape", [moves, b.const([0, -1, 4])])
    low, high = columns(b, priors, 0, 2), columns(b, priors, 2, 4)
    size, half = b.emit("Sub", [high, low]), number(b, 0.5)
    shift, stretch = (
        b.emit("Mul", [columns(b, moves, start, start + 2), b.const(variances[start : start + 2], FLOAT)])
        for start in (0, 2)
    )
    middle = b.emit("Add", [b.emit("Mul", [shift, size]), b.emit("Mul", [b.emit("Add", [low, high]), half])])
    reach = b.emit("Mul", [b.emit("Mul", [b.emit("Exp", [stretch]), size]), half])
    corners = b.emit("Concat", [b.emit("Sub", [middle, reach]), b.emit("Add", [middle, reach])], axis=-1)
    if clip:
        corners = b.emit("Clip", [corners, number(b, 0.0), number(b, 1.0)])
    result: ir.Value = corners
    return result


@from_mxnet("_contrib_MultiBoxDetection")
def multibox_detection_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    scores, moves, priors = op.inputs
    threshold, overlap = op.number("threshold", 0.01), op.number("nms_threshold", 0.5)
    top, every = op.integer("nms_topk", -1), op.boolean("force_suppress", False)
    variances, clip = numbers(op, "variances", (0.1, 0.1, 0.2, 0.2)), op.boolean("clip", True)
    op.integer("background_id", 0)  # MXNet takes the first class whatever this says
    if len(variances) != 4:
        raise op.refuse(f"{len(variances)} variances where 4 are expected")
    found = b.emit("Slice", [scores, b.const([1]), b.const([ALL]), b.const([1])])
    best = b.emit("ReduceMax", [found, b.const([1])], keepdims=0)
    kind = b.emit("Cast", [b.emit("ArgMax", [found], axis=1, keepdims=0)], to=int(ir.DataType.FLOAT))
    valid = b.emit("GreaterOrEqual", [best, number(b, threshold)])
    if threshold <= -1.0:  # MXNet begins its search for the best class at -1
        valid = b.emit("And", [valid, b.emit("Greater", [best, number(b, -1.0)])])
    corners = moved_priors(b, moves, priors, variances, clip)
    rows = b.emit("Concat", [last_axis(b, kind), last_axis(b, best), corners], axis=-1)
    present = b.emit("Cast", [valid], to=int(ir.DataType.FLOAT))
    if not 0.0 < overlap <= 1.0:
        there, rows = in_order(b, present, rows)
        return b.emit("Where", [last_axis(b, b.emit("Greater", [there, number(b, 0.5)])), rows, number(b, -1.0)])
    keys, ordered = in_order(b, b.emit("Where", [valid, best, number(b, NEVER)]), rows)
    there = b.emit("Greater", [keys, number(b, NEVER)])
    candidates = there
    if top > 0:
        early = before(b, keys, top)
        candidates = b.emit("And", [there, early])
        ordered = b.emit("Where", [last_axis(b, early), ordered, in_order(b, present, rows)[1]])
    kinds = columns(b, ordered, 0, 1)
    across = b.emit("Unsqueeze", [candidates, b.const([1])])
    if not every:
        alike = b.emit("Equal", [b.emit("Transpose", [kinds], perm=[0, 2, 1]), last_axis(b, counted(b, found, 1))])
        across = b.emit("And", [across, alike])
    limit = float(np.nextafter(FLOAT.type(overlap), FLOAT.type(0)))  # an overlap that is equal suppresses here
    kept = survivors(b, columns(b, ordered, 2, 6), falling_ranks(b, keys), across, limit)
    kinds = b.emit("Where", [last_axis(b, kept), kinds, number(b, -1.0)])
    whole = b.emit("Concat", [kinds, columns(b, ordered, 1, 6)], axis=-1)
    return b.emit("Where", [last_axis(b, there), whole, number(b, -1.0)])


# ---- box_nms ---------------------------------------------------------------------------------------------------------


def as_format(b: Builder, boxes: ir.Value, center: bool) -> ir.Value:
    """Corners from middle and size, or (``center``) middle and size from corners."""
    first, second, half = columns(b, boxes, 0, 2), columns(b, boxes, 2, 4), number(b, 0.5)
    if center:
        middle = b.emit("Mul", [b.emit("Add", [first, second]), half])
        parts = [middle, b.emit("Sub", [second, first])]
    else:
        reach = b.emit("Mul", [second, half])
        parts = [b.emit("Sub", [first, reach]), b.emit("Add", [first, reach])]
    result: ir.Value = b.emit("Concat", parts, axis=-1)
    return result


@from_mxnet("_contrib_box_nms", "_contrib_box_non_maximum_suppression")
def box_nms_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    data, overlap = op.inputs[0], op.number("overlap_thresh", 0.5)
    least, top = op.number("valid_thresh", 0.0), op.integer("topk", -1)
    first, score = op.integer("coord_start", 2), op.integer("score_index", 1)
    kind, background = op.integer("id_index", -1), op.integer("background_id", -1)
    every = op.boolean("force_suppress", False) or kind < 0
    formats = ("corner", "center")
    center, wanted = (op.text(key, "corner", allowed=formats) == "center" for key in ("in_format", "out_format"))
    if top == 0:
        return data
    if overlap < 0:
        raise op.refuse(f"overlap_thresh {overlap} is below 0")
    rank, width = known_rank(data), (dims(data) or (None,))[-1]
    if rank is None or width is None:
        raise op.refuse("the number of dimensions and of columns is not known; give the input shapes")
    rows = data if rank == 3 else b.emit("Reshape", [data, whole_batch(b, data, width)])
    marks = b.emit("Squeeze", [columns(b, rows, score, score + 1), b.const([2])])
    valid = b.emit("Greater", [marks, number(b, least)])
    if kind >= 0:
        own = b.emit("Squeeze", [columns(b, rows, kind, kind + 1), b.const([2])])
        valid = b.emit("And", [valid, b.emit("Not", [b.emit("Equal", [own, number(b, float(background))])])])
    keys, rows = in_order(b, b.emit("Where", [valid, marks, number(b, NEVER)]), rows)
    candidates = b.emit("Greater", [keys, number(b, NEVER)])
    if top > 0:
        candidates = b.emit("And", [candidates, before(b, keys, top)])
    boxes = columns(b, rows, first, first + 4)
    corners = as_format(b, boxes, center=False) if center else boxes
    across = b.emit("Unsqueeze", [candidates, b.const([1])])
    count = (dims(data) or (None, None))[-2]
    rivals = top if count is None or 0 < top < count else count
    if not every:
        across = of_one_class(op, b, across, columns(b, rows, kind, kind + 1), rivals)
    ranks = falling_ranks(b, keys)
    kept = survivors(b, corners, ranks, across, min(overlap, 1.0))
    if center != wanted:
        left = b.emit("Less", [columns(b, boxes, 0, 1), number(b, 0.0)])  # of -1 MXNet thinks that there is no box
        boxes = b.emit("Where", [left, boxes, as_format(b, boxes, center=wanted)])
        beside = [columns(b, rows, start, end) for start, end in ((0, first), (first + 4, width)) if start < end]
        rows = b.emit("Concat", [*beside[: first > 0], boxes, *beside[first > 0 :]], axis=-1)
    places, rows = in_order(b, b.emit("Where", [kept, ranks, number(b, 0.0)]), rows)
    result = b.emit("Where", [last_axis(b, b.emit("Greater", [places, number(b, 0.5)])), rows, number(b, -1.0)])
    return result if rank == 3 else b.emit("Reshape", [result, b.emit("Shape", [data])])


def whole_batch(b: Builder, data: ir.Value, width: int) -> ir.Value:
    """The target of a Reshape to (N, A, K), all leading axes taken as one."""
    target: ir.Value = b.emit("Concat", [b.const([-1]), length(b, data, -2), b.const([width])], axis=0)
    return target


def of_one_class(op: MxnetOp, b: Builder, across: ir.Value, kinds: ir.Value, most: int) -> ir.Value:
    """Who competes with whom, (N, C, A): a class for every row that is the first of its number, whatever numbers occur.

    Only rows that compete found a class, so that ``topk`` bounds their number, ``most``.
    """
    if not 0 < most <= MOST_CLASSES:
        rows = most if most > 0 else "an unknown number"
        raise op.refuse(f"id_index is supported for {MOST_CLASSES} rows at most, not for {rows}; topk bounds it")
    founders = b.emit("Slice", [kinds, b.const([0]), b.const([most]), b.const([1])])
    alike = b.emit("Equal", [founders, b.emit("Transpose", [kinds], perm=[0, 2, 1])])
    places = counted(b, founders, 1)
    earlier = b.emit("Less", [places, last_axis(b, places)])
    squares = b.emit("Slice", [alike, b.const([0]), b.const([most]), b.const([2])])
    again = b.emit("Cast", [b.emit("And", [squares, earlier])], to=int(ir.DataType.FLOAT))
    first = b.emit("Less", [b.emit("ReduceMax", [again, b.const([2])], keepdims=1), number(b, 0.5)])
    result: ir.Value = b.emit("And", [b.emit("And", [alike, first]), across])
    return result
