"""Paddle's density_prior_box: in every cell of a map each size several times, spread evenly over a square.

    middle of a cell = ((column + offset) * step_w, (row + offset) * step_h)
    side of the square = whole part of (step_w + step_h) / 2;  shift = whole part of side / density
    kinds: per size s and its density d, per ratio r: d * d boxes of s * sqrt(r), s / sqrt(r), row by row, with the
    middle moved by shift * (place + 1/2) - side / 2 along each axis
    corners over the image's size; the lower ones not below 0, the upper ones not above 1, with ``clip`` all within both

Where the sizes of map and image are known the priors are constants; where they are free, they are computed from both
shapes. Paddle 3 has this operator no more; it was held against Paddle 2.6.2, the last release that has it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from facecvt.converters.graph import Builder, NumpyArray
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.detection import FLOAT, cell_middles, spatial, step_of_cells
from facecvt.converters.ops.ranges import counted, length
from facecvt.converters.ops.registry import from_paddle
from facecvt.converters.source_ops import PaddleOp

X_AXIS, Y_AXIS = 3, 2


@from_paddle("density_prior_box")
def density_prior_box_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """Boxes and variances, both (rows, columns, kinds, 4), or (all, 4) where ``flatten_to_2d``."""
    feature, image = op.value("Input", 0), op.value("Image", 1)
    kinds = kinds_of_boxes(op)
    offset, clip, flat = op.number("offset", 0.5), op.boolean("clip", False), op.boolean("flatten_to_2d", False)
    steps = (op.number("step_w", 0.0), op.number("step_h", 0.0))
    if 0.0 in steps:
        steps = (0.0, 0.0)  # one that is missing leaves both to the ratio of the sizes
    spread = np.array(op.raw("variances", None) or (0.1, 0.1, 0.2, 0.2), FLOAT)
    cells, extents = spatial(feature), spatial(image)
    if cells is not None and extents is not None:
        boxes = constant_boxes(kinds, cells, extents, steps, offset, clip)
        boxes = boxes.reshape(-1, 4) if flat else boxes
        return [b.const(boxes, FLOAT), b.const(np.broadcast_to(spread, boxes.shape), FLOAT)]
    found = computed_boxes(b, kinds, feature, image, steps, offset, clip)
    if flat:
        found = b.emit("Reshape", [found, b.const([-1, 4])])
    return [found, b.emit("Expand", [b.const(spread, FLOAT), b.emit("Shape", [found])])]


def kinds_of_boxes(op: PaddleOp) -> NumpyArray:
    """(kinds, 5): density, place along x and y among the boxes of one density, half of width and height in pixels."""
    sizes, densities = list(op.raw("fixed_sizes")), [int(count) for count in op.raw("densities")]
    if len(sizes) != len(densities):
        raise op.refuse(f"{len(densities)} densities for {len(sizes)} fixed_sizes")
    ratios = list(op.raw("fixed_ratios"))
    kinds = [
        (density, column, row, size * math.sqrt(ratio) / 2, size / math.sqrt(ratio) / 2)
        for size, density in zip(sizes, densities, strict=True)
        for ratio in ratios
        for row in range(density)
        for column in range(density)
    ]
    return np.array(kinds, np.float64)


def constant_boxes(
    kinds: NumpyArray, cells: tuple[int, int], extents: tuple[int, int], steps: tuple[float, float], offset: float,
    clip: bool,
) -> NumpyArray:  # fmt: skip
    """The boxes of a map of known size, (rows, columns, kinds, 4), float32."""
    height, width = extents
    step = step_of_cells(cells, extents, steps)
    side = int((step[0] + step[1]) * 0.5)
    move = (side // kinds[:, :1]) * (kinds[:, 1:3] + 0.5) - side / 2
    centre, image = cell_middles(cells, step, offset) + move, np.array((width, height))
    low, high = (centre - kinds[:, 3:]) / image, (centre + kinds[:, 3:]) / image
    low, high = np.maximum(low, 0), np.minimum(high, 1)
    if clip:
        low, high = np.minimum(low, 1), np.maximum(high, 0)
    boxes: NumpyArray = np.concatenate([low, high], axis=-1).astype(FLOAT)
    return boxes


def computed_boxes(
    b: Builder, kinds: NumpyArray, feature: ir.Value, image: ir.Value, steps: tuple[float, float], offset: float,
    clip: bool,
) -> ir.Value:  # fmt: skip
    """The same, from the shapes that map and image have at run time."""
    half = b.const(0.5, FLOAT)
    extents = [length(b, image, axis) for axis in (X_AXIS, Y_AXIS)]
    if steps[0]:
        pixels = [b.const(step, FLOAT) for step in steps]
        side = b.const(float(int((steps[0] + steps[1]) * 0.5)), FLOAT)
    else:
        pixels = [
            b.emit("Div", [extent, length(b, feature, axis)])
            for extent, axis in zip(extents, (X_AXIS, Y_AXIS), strict=True)
        ]
        side = b.emit("Floor", [b.emit("Mul", [b.emit("Add", pixels), half])])
    shift = b.emit("Floor", [b.emit("Div", [side, b.const(kinds[:, :1], FLOAT)])])
    reach = b.emit("Mul", [shift, b.const(kinds[:, 1:3] + 0.5, FLOAT)])
    move = b.emit("Sub", [reach, b.emit("Mul", [side, half])])
    middles = []
    for step, axis, grid, along in (
        (pixels[0], X_AXIS, [1, -1, 1, 1], [1, 0]),
        (pixels[1], Y_AXIS, [-1, 1, 1, 1], [0, 1]),
    ):
        cells = b.emit("Add", [counted(b, feature, axis), b.const(offset, FLOAT)])
        line = b.emit("Reshape", [b.emit("Mul", [cells, step]), b.const(grid)])
        middles.append(b.emit("Mul", [line, b.const(along, FLOAT)]))
    centre = b.emit("Add", [b.emit("Add", middles), move])
    size = b.emit("Concat", [b.emit("Reshape", [extent, b.const([1])]) for extent in extents], axis=0)
    sizes, zero, one = b.const(kinds[:, 3:], FLOAT), b.const(0.0, FLOAT), b.const(1.0, FLOAT)
    low, high = (b.emit("Div", [b.emit(operator, [centre, sizes]), size]) for operator in ("Sub", "Add"))
    low, high = b.emit("Max", [low, zero]), b.emit("Min", [high, one])
    if clip:
        low, high = b.emit("Min", [low, one]), b.emit("Max", [high, zero])
    boxes: ir.Value = b.emit("Concat", [low, high], axis=-1)
    return boxes
