"""Axes reordered, added and taken away, written to Paddle. Source: Paddle 3.3.1 transpose2, squeeze2, unsqueeze2."""

from __future__ import annotations

from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.paddle_nodes import PaddleNodes


@to_paddle("Transpose")
def transpose_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    order = p.attribute("perm", list(range(p.rank(node.inputs[0])))[::-1])
    p.emit("transpose2", {"X": node.inputs[0]}, node.outputs[0], axis=order)


@to_paddle("Squeeze")
def squeeze_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    """Without axes Paddle, too, takes away those that have size 1 at run time."""
    given = node.inputs[1] if len(node.inputs) > 1 else None
    count = p.rank(node.inputs[0])
    axes = [] if given is None else sorted(axis % count for axis in p.ints(given, "axes"))
    p.emit("squeeze2", {"X": node.inputs[0]}, node.outputs[0], axes=axes)


@to_paddle("Unsqueeze")
def unsqueeze_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    """Paddle inserts axes one after the other, which in ascending order is where ONNX's are in the result."""
    given = p.ints(node.inputs[1], "axes")
    axes = sorted(axis % (p.rank(node.inputs[0]) + len(given)) for axis in given)
    p.emit("unsqueeze2", {"X": node.inputs[0]}, node.outputs[0], axes=axes)
