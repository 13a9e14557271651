"""What SSD detectors do with boxes: prior boxes over the cells of a map, and boxes that are told as moves of priors.

    prior_box   for every cell (row, column) of a map and every kind of box (width, height in pixels):
                middle = ((column + offset) * step_w, (row + offset) * step_h); corners over the image's size
                kinds: per min_size s: s * sqrt(r), s / sqrt(r) for r in 1 and the aspect ratios (1 / r as well where
                flip), then sqrt(s * max_size) squared; min_max_aspect_ratios_order puts that behind r = 1
    box_coder   decode_center_size: middle = move * variance * size of the prior + its middle,
                size = exp(move * variance) * size of the prior; encode_center_size is the reverse, of all pairs.
                Boxes in pixels (not box_normalized) are one pixel larger than the difference of their corners.

Where the sizes of map and image are known the priors are constants; where they are free, they are computed from both
shapes. Sources: Paddle 3.3.1, ``phi/kernels/cpu/{prior_box,box_coder}_kernel.cc``; ONNX has none of them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from facecvt.converters.graph import Builder, NumpyArray, constant, dims
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.ranges import counted, length
from facecvt.converters.ops.registry import from_paddle
from facecvt.converters.source_ops import PaddleOp

FLOAT = np.dtype(np.float32)
CLOSE = 1e-6  # aspect ratios that differ by less are one


@from_paddle("prior_box")
def prior_box_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """Boxes and variances, both (rows, columns, kinds, 4)."""
    feature, image = op.value("Input", 0), op.value("Image", 1)
    kinds = kinds_of_boxes(op)
    offset, clip = op.number("offset", 0.5), op.boolean("clip", True)
    step = (op.number("step_w", 0.0), op.number("step_h", 0.0))
    if 0.0 in step:
        step = (0.0, 0.0)  # one that is missing leaves both to the ratio of the sizes
    spread = np.array(op.raw("variances", None) or (0.1, 0.1, 0.2, 0.2), FLOAT)
    rows_and_columns, extents = spatial(feature), spatial(image)
    if rows_and_columns is not None and extents is not None:
        boxes = constant_boxes(kinds, rows_and_columns, extents, step, offset, clip)
        return [b.const(boxes, FLOAT), b.const(np.broadcast_to(spread, boxes.shape), FLOAT)]
    found = computed_boxes(b, kinds, feature, image, step, offset)
    if clip:
        found = b.emit("Clip", [found, b.const(0.0, FLOAT), b.const(1.0, FLOAT)])
    return [found, b.emit("Expand", [b.const(spread, FLOAT), b.emit("Shape", [found])])]


def kinds_of_boxes(op: PaddleOp) -> NumpyArray:
    """Half the width and half the height of the boxes of one cell, in pixels, (kinds, 2)."""
    smallest, largest = list(op.raw("min_sizes")), list(op.raw("max_sizes", None) or ())
    if largest and len(largest) != len(smallest):
        raise op.refuse(f"{len(largest)} max_sizes for {len(smallest)} min_sizes")
    flip, square_first = op.boolean("flip", True), op.boolean("min_max_aspect_ratios_order", False)
    ratios = [1.0]
    for ratio in op.raw("aspect_ratios", None) or ():
        if all(abs(ratio - known) >= CLOSE for known in ratios):
            ratios += [ratio, 1.0 / ratio] if flip else [ratio]
    kinds: list[tuple[float, float]] = []
    for index, size in enumerate(smallest):
        square = [(math.sqrt(size * largest[index]) / 2,) * 2] if largest else []
        shaped = [(size * math.sqrt(ratio) / 2, size / math.sqrt(ratio) / 2) for ratio in ratios]
        kinds += [shaped[0], *square, *shaped[1:]] if square_first else [*shaped, *square]
    return np.array(kinds, np.float64)


def spatial(value: ir.Value) -> tuple[int, int] | None:
    """Height and width of a value, None where they are free."""
    sizes = dims(value)
    if sizes is None or len(sizes) != 4 or not all(isinstance(size, int) and size > 0 for size in sizes[2:]):
        return None
    return int(sizes[2] or 0), int(sizes[3] or 0)


def step_of_cells(cells: tuple[int, int], extents: tuple[int, int], step: tuple[float, float]) -> tuple[float, float]:
    """Width and height of a cell in pixels: what is given, or the image divided by the map where that is 0."""
    (rows, columns), (height, width) = cells, extents
    return step if step[0] else (width / columns, height / rows)


def cell_middles(cells: tuple[int, int], step: tuple[float, float], offset: float) -> NumpyArray:
    """The middles (x, y) of the cells of a map in pixels, (rows, columns, 1, 2), float64."""
    rows, columns = cells
    middle = np.empty((rows, columns, 1, 2))
    middle[..., 0] = ((np.arange(columns) + offset) * step[0])[None, :, None]
    middle[..., 1] = ((np.arange(rows) + offset) * step[1])[:, None, None]
    return middle


def constant_boxes(
    kinds: NumpyArray, cells: tuple[int, int], extents: tuple[int, int], step: tuple[float, float], offset: float,
    clip: bool,
) -> NumpyArray:  # fmt: skip
    """The prior boxes of a map of known size, (rows, columns, kinds, 4), float32."""
    height, width = extents
    middle = cell_middles(cells, step_of_cells(cells, extents, step), offset)
    corners = np.concatenate([middle - kinds, middle + kinds], axis=-1) / (width, height, width, height)
    boxes: NumpyArray = (np.clip(corners, 0, 1) if clip else corners).astype(FLOAT)
    return boxes


def computed_boxes(
    b: Builder, kinds: NumpyArray, feature: ir.Value, image: ir.Value, step: tuple[float, float], offset: float
) -> ir.Value:
    """The same, from the shapes that map and image have at run time."""
    extents = [length(b, image, axis) for axis in (3, 2)]
    middles = []
    for place, (axis, grid, corner) in enumerate(((3, [1, -1, 1, 1], [1, 0, 1, 0]), (2, [-1, 1, 1, 1], [0, 1, 0, 1]))):
        cells = b.emit("Add", [counted(b, feature, axis), b.const(offset, FLOAT)])
        pixels = b.const(step[place], FLOAT) if step[0] else b.emit("Div", [extents[place], length(b, feature, axis)])
        line = b.emit("Reshape", [b.emit("Mul", [cells, pixels]), b.const(grid)])
        middles.append(b.emit("Mul", [line, b.const(corner, FLOAT)]))
    corners = b.emit("Add", [b.emit("Add", middles), b.const(np.concatenate([-kinds, kinds], axis=-1), FLOAT)])
    parts = [b.emit("Reshape", [extent, b.const([1])]) for extent in extents]
    boxes: ir.Value = b.emit("Div", [corners, b.emit("Concat", [*parts, *parts], axis=0)])
    return boxes


# ---- box_coder -------------------------------------------------------------------------------------------------------


@from_paddle("box_coder")
def box_coder_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """Encoding (targets, priors, 4) from (targets, 4); decoding (N, priors, 4), the priors along ``axis`` less one."""
    prior, target = op.value("PriorBox", 0), op.value("TargetBox", 2)
    encode, decode = "encode_center_size", "decode_center_size"
    how = op.text("code_type", encode, allowed=(encode, decode))
    extra = 0.0 if op.boolean("box_normalized", True) else 1.0
    axis = op.integer("axis", 0)
    given, written = op.optional("PriorBoxVar", 1), op.raw("variance", None)
    spread = given if given is not None else b.const(written, FLOAT) if written else None
    place, size = middle_and_size(b, prior, extra)
    if how == encode:
        return encoded(b, target, place, size, spread, extra)
    around = [b.const([1 if axis else 0])]
    place, size = (b.emit("Unsqueeze", [value, *around]) for value in (place, size))
    if given is not None:
        spread = b.emit("Unsqueeze", [given, *around])
    moved = target if spread is None else b.emit("Mul", [target, spread])
    middle = b.emit("Add", [b.emit("Mul", [half(b, moved, 0), size]), place])
    wide = b.emit("Mul", [b.emit("Exp", [half(b, moved, 2)]), size])
    reach = b.emit("Mul", [wide, b.const(0.5, FLOAT)])
    low, high = b.emit("Sub", [middle, reach]), b.emit("Add", [middle, reach])
    if extra:
        high = b.emit("Sub", [high, b.const(extra, FLOAT)])
    return b.emit("Concat", [low, high], axis=-1)


def half(b: Builder, boxes: ir.Value, start: int) -> ir.Value:
    """Two of the four numbers of every box."""
    part: ir.Value = b.emit("Slice", [boxes, b.const([start]), b.const([start + 2]), b.const([-1])])
    return part


def middle_and_size(b: Builder, boxes: ir.Value, extra: float) -> tuple[ir.Value, ir.Value]:
    """Of boxes (n, 4): middles and sizes, (n, 2) each."""
    array = constant(boxes)
    if array is not None:
        sizes = array[:, 2:] - array[:, :2] + FLOAT.type(extra)
        return b.const(array[:, :2] + sizes * FLOAT.type(0.5), FLOAT), b.const(sizes, FLOAT)
    low, high = half(b, boxes, 0), half(b, boxes, 2)
    size = b.emit("Sub", [high, low])
    if extra:
        size = b.emit("Add", [size, b.const(extra, FLOAT)])
    return b.emit("Add", [low, b.emit("Mul", [size, b.const(0.5, FLOAT)])]), size


def encoded(
    b: Builder, target: ir.Value, place: ir.Value, size: ir.Value, spread: ir.Value | None, extra: float
) -> ir.Value:
    """Every target told as a move of every prior."""
    low, high = (b.emit("Unsqueeze", [half(b, target, start), b.const([1])]) for start in (0, 2))
    middle = b.emit("Mul", [b.emit("Add", [low, high]), b.const(0.5, FLOAT)])
    own = b.emit("Sub", [high, low])
    if extra:
        own = b.emit("Add", [own, b.const(extra, FLOAT)])
    move = b.emit("Div", [b.emit("Sub", [middle, place]), size])
    growth = b.emit("Log", [b.emit("Abs", [b.emit("Div", [own, size])])])
    result: ir.Value = b.emit("Concat", [move, growth], axis=-1)
    return result if spread is None else b.emit("Div", [result, spread])
