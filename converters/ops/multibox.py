"""The prior boxes of MXNet's SSD detectors.

    _contrib_MultiBoxPrior   (1, rows * columns * kinds, 4), corners as shares of the image. Middle of a cell:
                             ((column + offset_x) * step_x, (row + offset_y) * step_y), steps 1 / columns and 1 / rows
                             unless both are given. Kinds: every size s at the first ratio r, then the first size at
                             every other ratio: width s * rows / columns * sqrt(r), height s / sqrt(r)

Where the map's size is known the boxes are a constant, else they are computed from its shape. Source: MXNet 1.9.1
``src/operator/contrib/multibox_prior.cc``; ONNX has no such operator.
"""

from __future__ import annotations

import ast
from typing import Any

import numpy as np

from facecvt.converters.graph import Builder, NumpyArray, dims
from facecvt.converters.ops.ranges import counted, length
from facecvt.converters.ops.registry import from_mxnet
from facecvt.converters.source_ops import MxnetOp

FLOAT = np.dtype(np.float32)
ACROSS, DOWN = np.array([1, 0, 1, 0], FLOAT), np.array([0, 1, 0, 1], FLOAT)


def numbers(op: MxnetOp, key: str, default: tuple[float, ...]) -> list[float]:
    """A tuple of numbers."""
    text = op.raw(key, default)
    value = ast.literal_eval(text) if isinstance(text, str) else text
    return [float(item) for item in (value if isinstance(value, (tuple, list)) else (value,))]


@from_mxnet("_contrib_MultiBoxPrior")
def multibox_prior_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    sizes, ratios = numbers(op, "sizes", (1.0,)), numbers(op, "ratios", (1.0,))
    steps, offsets = numbers(op, "steps", (-1.0, -1.0)), numbers(op, "offsets", (0.5, 0.5))
    clip, x = op.boolean("clip", False), op.inputs[0]
    kinds = [(size, ratios[0]) for size in sizes] + [(sizes[0], ratio) for ratio in ratios[1:]]
    wide = np.array([size * np.sqrt(ratio) / 2 for size, ratio in kinds])[:, None] * (-1, 0, 1, 0)
    tall = np.array([size / np.sqrt(ratio) / 2 for size, ratio in kinds])[:, None] * (0, -1, 0, 1)
    given = steps if min(steps) > 0 else None
    shape = dims(x) or ()
    if len(shape) == 4 and shape[2] is not None and shape[3] is not None:
        boxes = fixed_boxes(shape[2], shape[3], wide, tall, given, offsets)
        return b.const(boxes.clip(0, 1) if clip else boxes, FLOAT)
    aspect = b.emit("Div", [length(b, x, 2), length(b, x, 3)])
    found = b.emit("Add", [b.emit("Mul", [b.const(wide, FLOAT), aspect]), b.const(tall, FLOAT)])
    for place, (axis, grid, corner) in enumerate(((2, [-1, 1, 1, 1], DOWN), (3, [1, -1, 1, 1], ACROSS))):
        line = b.emit("Add", [counted(b, x, axis), b.const(offsets[place], FLOAT)])
        if given is None:
            line = b.emit("Div", [line, length(b, x, axis)])
        else:
            line = b.emit("Mul", [line, b.const(given[place], FLOAT)])
        middle = b.emit("Mul", [b.emit("Reshape", [line, b.const(grid)]), b.const(corner, FLOAT)])
        found = b.emit("Add", [found, middle])
    if clip:
        found = b.emit("Clip", [found, b.const(0.0, FLOAT), b.const(1.0, FLOAT)])
    return b.emit("Reshape", [found, b.const([1, -1, 4])])


def fixed_boxes(
    rows: int, columns: int, wide: NumpyArray, tall: NumpyArray, steps: list[float] | None, offsets: list[float]
) -> NumpyArray:
    """The boxes of a map of known size, (1, rows * columns * kinds, 4)."""
    down, across = steps or (1 / rows, 1 / columns)
    y, x = (np.arange(rows) + offsets[0]) * down, (np.arange(columns) + offsets[1]) * across
    middle = y[:, None, None, None] * DOWN + x[None, :, None, None] * ACROSS
    boxes: NumpyArray = (middle + wide * (rows / columns) + tall).reshape(1, -1, 4)
    return boxes
