"""Paddle operands that are ints: an attribute, one tensor, or a list of one-element tensors, constant or computed."""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.converters.graph import Builder, constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.value_facts import element_type, known_rank
from facecvt.converters.source_ops import REQUIRED, PaddleOp


def as_int64(b: Builder, value: ir.Value) -> ir.Value:
    """The value as int64, which ONNX wants for shapes and axes where Paddle also has int32."""
    if element_type(value) == ir.DataType.INT64:
        return value
    array = constant(value)
    if array is not None:
        made: ir.Value = b.const(array)
        return made
    result: ir.Value = b.emit("Cast", [value], to=int(ir.DataType.INT64))
    return result


def ints_or_value(
    op: PaddleOp,
    b: Builder,
    attribute: str,
    *,
    tensor: str | None = None,
    parts: str | None = None,
    operand: int | None = None,
    default: Sequence[int] = REQUIRED,
) -> list[int] | ir.Value:
    """Ints of a Paddle operator, as numbers where they are constant, else as an int64 vector.

    Args:
        op: the source node.
        b: the graph that grows.
        attribute: the attribute that holds them where no input does.
        tensor: legacy slot of one tensor that holds them all; it goes before ``parts``.
        parts: legacy slot of a list of one-element tensors.
        operand: position of the operand in PIR, a tensor or a list of one-element tensors.
        default: for a missing attribute.
    """
    if op.pir:
        given = [] if operand is None else op.many("", operand)
    else:
        given = op.many(tensor, 0) if tensor else []
        given = given or (op.many(parts, 0) if parts else [])
    written = op.ints(attribute, default if not given else (), operand=None)
    if not given:
        return written
    arrays = [constant(value) for value in given]
    if all(array is not None for array in arrays):
        return [int(item) for array in arrays if array is not None for item in array.reshape(-1)]
    vectors = [as_int64(b, value) for value in given]
    flat = [as_vector(b, value) for value in vectors]
    result: ir.Value = b.emit("Concat", flat, axis=0) if len(flat) > 1 else flat[0]
    return result


def as_vector(b: Builder, value: ir.Value) -> ir.Value:
    """The value with one dimension, which a single number of a program may lack."""
    array = constant(value)
    if known_rank(value) == 1:
        return value
    result: ir.Value = b.emit("Reshape", [value, b.const([-1])]) if array is None else b.const(array.reshape(-1))
    return result
