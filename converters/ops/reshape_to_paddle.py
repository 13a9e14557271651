"""Reshape and Flatten, written to Paddle.

In Paddle's reshape2 a 0 copies the dimension at its place, as in ONNX without ``allowzero``. Source: Paddle 3.3.1
``reshape2``, ``flatten_contiguous_range``.
"""

from __future__ import annotations

import math

from facecvt.converters.graph import constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.ops.runtime_squeeze import squeezed_axes
from facecvt.converters.paddle_nodes import UNKNOWN, PaddleNodes


@to_paddle("Flatten")
def flatten_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    """Ranges of axes merged from both sides of ``axis``."""
    x, result, count = node.inputs[0], node.outputs[0], p.rank(node.inputs[0])
    axis = p.attribute("axis", 1)
    axis = axis + count if axis < 0 else axis
    if axis in (0, count):
        p.emit("reshape2", {"X": x}, result, shape=[1, -1] if axis == 0 else [-1, 1])
        return
    name, shape = p.arg(x), p.shape(x)
    if axis > 1:
        merged = UNKNOWN if UNKNOWN in shape[:axis] else math.prod(shape[:axis])
        last = axis == count - 1
        options = {"start_axis": 0, "stop_axis": axis - 1}
        name = p.emit(
            "flatten_contiguous_range", {"X": name}, result if last else None, sized=(merged, *shape[axis:]), **options
        )
        if last:
            return
    p.emit("flatten_contiguous_range", {"X": name}, result, start_axis=1, stop_axis=-1)


@to_paddle("Reshape")
def reshape_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    x, result, squeezed = node.inputs[0], node.outputs[0], squeezed_axes(node)
    if squeezed is not None:
        p.emit("squeeze2", {"X": x}, result, axes=squeezed)
        return
    target = constant(node.inputs[1])
    if p.attribute("allowzero", 0) and (target is None or 0 in target):
        raise p.refuse("allowzero asks for an empty tensor, or may do so")
    if target is None:
        open_shape = [UNKNOWN] * p.rank(result)  # not looked at, but more than one -1 keeps a oneDNN fusion away
        p.emit("reshape2", {"X": x, "Shape": node.inputs[1]}, result, shape=open_shape)
    else:
        p.emit("reshape2", {"X": x}, result, shape=[int(size) for size in target.reshape(-1)])
