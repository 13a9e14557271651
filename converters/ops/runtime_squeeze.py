"""Squeeze of the listed axes that have size 1 at run time, and of no others: what Paddle means by squeeze with axes.

ONNX's own Squeeze fails where a listed axis has another size, so the new shape is computed, in operators that every
opset from 11 on has::

    Shape -> Equal 1 -> And listed -> Not -> Compress of Shape -> Reshape

torch.Tensor.squeeze means exactly this. Its writer therefore recognises the six nodes and writes one call.
"""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.converters.graph import Builder, NumpyArray, constant
from facecvt.converters.onnx_ir_lazy import ir


def squeeze_where_one(b: Builder, x: ir.Value, listed: Sequence[bool]) -> ir.Value:
    """Emit the six nodes.

    Args:
        b: the graph that grows.
        x: the operand.
        listed: for every axis whether it may go.
    """
    shape = b.emit("Shape", [x])
    gone = b.emit("And", [b.emit("Equal", [shape, b.const([1])]), b.const(list(listed), bool)])
    kept = b.emit("Compress", [shape, b.emit("Not", [gone])], axis=0)
    result: ir.Value = b.emit("Reshape", [x, kept])
    return result


def squeezed_axes(reshape: ir.Node) -> list[int] | None:
    """The axes that a Reshape drops where they are 1; None for a Reshape that is not the last of the six nodes."""
    compress = made_by(reshape.inputs[1], "Compress")
    negation = made_by(compress.inputs[1], "Not") if compress else None
    both = made_by(negation.inputs[0], "And") if negation else None
    equal = made_by(both.inputs[0], "Equal") if both else None
    shape = made_by(equal.inputs[0], "Shape") if equal else None
    if shape is None or equal is None or both is None or compress is None:
        return None
    same = shape.inputs[0] is reshape.inputs[0] and compress.inputs[0] is shape.outputs[0] and not shape.attributes
    one, listed = constant(equal.inputs[1]), constant(both.inputs[1])
    if not same or one is None or one.tolist() != [1] or listed is None or listed.dtype != bool:
        return None
    return [axis for axis, may_go in enumerate(flat(listed)) if may_go]


def serves_squeeze(node: ir.Node) -> bool:
    """Whether a node is one of the six and read by them alone, so that it needs no code of its own."""
    while node.op_type in ("Equal", "And", "Not", "Compress"):
        uses = list(node.outputs[0].uses())
        if len(uses) != 1 or node.outputs[0].is_graph_output():
            return False
        node = uses[0].node
    return node.op_type == "Reshape" and squeezed_axes(node) is not None


def made_by(value: ir.Value | None, operator: str) -> ir.Node | None:
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type == operator else None


def flat(array: NumpyArray) -> list[bool]:
    return [bool(item) for item in array.reshape(-1)]
