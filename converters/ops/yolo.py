"""Paddle's yolo_box: what a YOLOv3 head says of every cell and anchor, as boxes in pixels and scores of classes.

    x (N, anchors * (5 + classes), rows, columns): per anchor tx, ty, tw, th, objectness and the classes; with iou_aware
    one channel of IoU per anchor in front of them all. img_size (N, 2): height and width of each picture.

    middle = (cell + sigmoid(t) * scale_x_y - (scale_x_y - 1) / 2) * picture / cells          along each axis
    size   = exp(t) * anchor * picture / (downsample_ratio * cells)
    confidence = sigmoid(objectness), with iou_aware to the power 1 - f, times sigmoid(IoU) to the power f
    scores = confidence * sigmoid(classes)

Boxes are corners, with clip_bbox the lower ones not below 0 and the upper ones not above the picture's last pixel; a
confidence below conf_thresh makes box and scores 0. Boxes (N, anchors * rows * columns, 4) and scores
(N, anchors * rows * columns, classes) run anchor by anchor, then row by row. Where the map's size is known its grid is
a constant, else it is computed from the shape. Source: Paddle 3.3.1, ``phi/kernels/funcs/yolo_box_util.h``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facecvt.converters.graph import Builder
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.detection import FLOAT, spatial
from facecvt.converters.ops.ranges import counted, length
from facecvt.converters.ops.registry import from_paddle
from facecvt.converters.source_ops import PaddleOp


@from_paddle("yolo_box")
def yolo_box_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """Boxes and scores."""
    x, picture = op.value("X", 0), op.value("ImgSize", 1)
    anchors = np.array(op.ints("anchors"), FLOAT).reshape(-1, 2)
    classes, down, scale = op.integer("class_num"), op.integer("downsample_ratio", 32), op.number("scale_x_y", 1.0)
    least, clip = op.number("conf_thresh"), op.boolean("clip_bbox", True)
    aware, share = op.boolean("iou_aware", False), op.number("iou_aware_factor", 0.5)
    count = len(anchors)
    heads = part(b, x, 1, count, count * (6 + classes)) if aware else x
    heads = cell_by_cell(b, heads, count, 5 + classes)
    confidence = b.emit("Sigmoid", [part(b, heads, -1, 4, 5)])
    if aware:
        overlap = b.emit("Sigmoid", [cell_by_cell(b, part(b, x, 1, 0, count), count, 1)])
        powers = [(confidence, 1.0 - share), (overlap, share)]
        confidence = b.emit("Mul", [b.emit("Pow", [value, b.const(power, FLOAT)]) for value, power in powers])
    extent = extent_of_pictures(b, picture)
    grid, cells = cells_of(b, x)
    place = b.emit("Sigmoid", [part(b, heads, -1, 0, 2)])
    if scale != 1.0:
        place = b.emit("Mul", [place, b.const(scale, FLOAT)])
        place = b.emit("Sub", [place, b.const((scale - 1.0) / 2, FLOAT)])
    middle = b.emit("Div", [b.emit("Mul", [b.emit("Add", [place, grid]), extent]), cells])
    wide = b.emit("Mul", [b.emit("Exp", [part(b, heads, -1, 2, 4)]), b.const(anchors[:, None], FLOAT)])
    wide = b.emit("Div", [b.emit("Mul", [wide, extent]), b.emit("Mul", [cells, b.const(float(down), FLOAT)])])
    reach = b.emit("Mul", [wide, b.const(0.5, FLOAT)])
    low, high = b.emit("Sub", [middle, reach]), b.emit("Add", [middle, reach])
    if clip:
        low = b.emit("Max", [low, b.const(0.0, FLOAT)])
        high = b.emit("Min", [high, b.emit("Sub", [extent, b.const(1.0, FLOAT)])])
    scores = b.emit("Mul", [b.emit("Sigmoid", [part(b, heads, -1, 5, 5 + classes)]), confidence])
    found, nothing = b.emit("GreaterOrEqual", [confidence, b.const(least, FLOAT)]), b.const(0.0, FLOAT)
    results = []
    for value, width in ((b.emit("Concat", [low, high], axis=-1), 4), (scores, classes)):
        kept = b.emit("Where", [found, value, nothing])
        results.append(b.emit("Reshape", [kept, b.const([0, -1, width])]))
    return results


def part(b: Builder, value: ir.Value, axis: int, start: int, end: int) -> ir.Value:
    """Some places of an axis."""
    found: ir.Value = b.emit("Slice", [value, b.const([start]), b.const([end]), b.const([axis])])
    return found


def cell_by_cell(b: Builder, value: ir.Value, anchors: int, numbers: int) -> ir.Value:
    """(N, anchors * numbers, rows, columns) as (N, anchors, rows * columns, numbers)."""
    split = b.emit("Reshape", [value, b.const([0, anchors, numbers, -1])])
    turned: ir.Value = b.emit("Transpose", [split], perm=[0, 1, 3, 2])
    return turned


def extent_of_pictures(b: Builder, picture: ir.Value) -> ir.Value:
    """Width and height of every picture as float32, (N, 1, 1, 2)."""
    sizes = b.emit("Cast", [picture], to=int(ir.DataType.FLOAT))
    turned = b.emit("Concat", [part(b, sizes, 1, 1, 2), part(b, sizes, 1, 0, 1)], axis=1)
    extent: ir.Value = b.emit("Unsqueeze", [turned, b.const([1, 2])])
    return extent


def cells_of(b: Builder, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Column and row of every cell, (rows * columns, 2), and how many columns and rows there are, (2,); float32."""
    known = spatial(x)
    if known is not None:
        rows, columns = known
        grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)
        return b.const(grid, FLOAT), b.const([columns, rows], FLOAT)
    lines = [
        b.emit("Mul", [b.emit("Reshape", [counted(b, x, axis), b.const(shape)]), b.const(along, FLOAT)])
        for axis, shape, along in ((3, [1, -1, 1], [1, 0]), (2, [-1, 1, 1], [0, 1]))
    ]
    sizes = [b.emit("Reshape", [length(b, x, axis), b.const([1])]) for axis in (3, 2)]
    return b.emit("Reshape", [b.emit("Add", lines), b.const([-1, 2])]), b.emit("Concat", sizes, axis=0)
