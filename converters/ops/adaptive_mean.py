"""Means over as many windows as positions are wanted, whatever the size of the input.

    window p of an axis   from floor(p * size / positions) up to ceil((p + 1) * size / positions)

One position is a GlobalAveragePool; windows of one size are an AveragePool; others are two matrix products with rows
of equal shares of 1. Source: MXNet 1.9.1 ``src/operator/contrib/adaptive_avg_pooling.cc``; ONNX has no such operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facecvt.converters.graph import Builder, NumpyArray
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import from_mxnet
from facecvt.converters.ops.windows import spatial_sizes
from facecvt.converters.source_ops import MxnetOp, SourceOp


@from_mxnet("_contrib_AdaptiveAvgPooling2D")
def adaptive_mean_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    wanted = op.ints("output_size", ()) or [1]
    return adaptive_mean(op, b, op.inputs[0], wanted * 2 if len(wanted) == 1 else wanted)


def adaptive_mean(op: SourceOp, b: Builder, x: ir.Value, positions: Sequence[int]) -> Any:
    """Means of (N, C, H, W) at so many rows and columns."""
    if all(count == 1 for count in positions):
        return b.emit("GlobalAveragePool", [x])
    sizes = [size for size in spatial_sizes(x) or () if size is not None]
    if len(sizes) != 2:
        raise op.refuse(f"adaptive pooling to {tuple(positions)} needs an input of known size; give the input shapes")
    if all(size % count == 0 for size, count in zip(sizes, positions, strict=True)):
        window = [size // count for size, count in zip(sizes, positions, strict=True)]
        return b.emit("AveragePool", [x], kernel_shape=window, strides=window, pads=[0] * 4)
    rows, columns = (shares(size, count) for size, count in zip(sizes, positions, strict=True))
    across = b.emit("MatMul", [x, b.const(columns.T, np.float32)])
    return b.emit("MatMul", [b.const(rows, np.float32), across])


def shares(size: int, positions: int) -> NumpyArray:
    """(positions, size): what each element counts in each mean."""
    matrix = np.zeros((positions, size))
    for place in range(positions):
        start, end = place * size // positions, -(-(place + 1) * size // positions)
        matrix[place, start:end] = 1.0 / (end - start)
    return matrix
