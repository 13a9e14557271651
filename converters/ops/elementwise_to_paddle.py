"""Arithmetic, element by element, written to Paddle.

A number that is added to, subtracted from or multiplied with float32 becomes Paddle's ``scale`` (x * scale + bias,
exact where one of the two does nothing); all else is elementwise_* with a second operand, which broadcasts as in ONNX.
``where`` takes operands of one shape, so they are multiplied with ones of the shape that they broadcast to.

Source: Paddle 3.3.1 operator registrations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from facecvt.converters.formats.paddle_schema import number_of_dtype
from facecvt.converters.graph import constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.ops.runtime_squeeze import serves_squeeze
from facecvt.converters.paddle_nodes import UNKNOWN, PaddleNodes

BINARY = {
    "Add": "elementwise_add",
    "Sub": "elementwise_sub",
    "Mul": "elementwise_mul",
    "Div": "elementwise_div",
    "Max": "elementwise_max",
    "Min": "elementwise_min",
    "Sum": "elementwise_add",
}
COMPARISONS = {
    "Equal": "equal",
    "Less": "less_than",
    "Greater": "greater_than",
    "LessOrEqual": "less_equal",
    "GreaterOrEqual": "greater_equal",
}
UNARY = {
    "Sqrt": "sqrt",
    "Exp": "exp",
    "Log": "log",
    "Abs": "abs",
    "Reciprocal": "reciprocal",
    "Floor": "floor",
    "Ceil": "ceil",
}


def broadcast_shape(shapes: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The shape that operands broadcast to, as far as it is known."""
    count = max(len(shape) for shape in shapes)
    aligned = [(*[1] * (count - len(shape)), *shape) for shape in shapes]
    result = []
    for sizes in zip(*aligned, strict=True):
        others = [size for size in sizes if size != 1]
        result.append(next((size for size in others if size != UNKNOWN), UNKNOWN) if others else 1)
    return tuple(result)


def plain_number(p: PaddleNodes, value: ir.Value | None, other: ir.Value | None) -> float | None:
    """The number of a finite float32 constant that does not widen the other operand, which is computed."""
    array = constant(value)
    if array is None or array.size != 1 or array.dtype != np.float32 or constant(other) is not None:
        return None
    number = float(array.reshape(-1)[0])
    return number if math.isfinite(number) and array.ndim <= p.rank(other) else None


def with_number(node: ir.Node, p: PaddleNodes) -> tuple[ir.Value | None, float, float] | None:
    """(operand, scale, bias) where a node of two operands is the ``scale`` of one of them, else None."""
    if len(node.inputs) != 2:
        return None
    left, right = node.inputs
    number = plain_number(p, right, left)
    if number is not None:
        if node.op_type == "Mul":
            return left, number, 0.0
        if node.op_type in ("Add", "Sum"):
            return left, 1.0, number
        if node.op_type == "Sub":
            return left, 1.0, -number
        if node.op_type == "Div" and abs(math.frexp(number)[0]) == 0.5:  # the reciprocal of a power of 2 is exact
            return left, 1.0 / number, 0.0
    number = plain_number(p, left, right)
    if number is not None:
        if node.op_type == "Mul":
            return right, number, 0.0
        if node.op_type in ("Add", "Sum"):
            return right, 1.0, number
        if node.op_type == "Sub":
            return right, -1.0, number
    return None


@to_paddle(*BINARY)
def arithmetic_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    """Operands are taken together from the left; one alone is copied."""
    found = with_number(node, p)
    if found is not None:
        operand, scale, bias = found
        p.emit("scale", {"X": operand}, node.outputs[0], scale=scale, bias=bias)
        return
    total, *rest = [p.arg(value) for value in node.inputs]
    if not rest:
        p.emit("assign", {"X": total}, node.outputs[0])
    for index, operand_name in enumerate(rest):
        last = index == len(rest) - 1
        shape = broadcast_shape([p.shape(total), p.shape(operand_name)])
        slots = {"X": total, "Y": operand_name}
        total = p.emit(BINARY[node.op_type], slots, node.outputs[0] if last else None, sized=shape)


@to_paddle("Pow")
def pow_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    """The result has the base's type; whole numbers are raised as float64."""
    base, exponent = node.inputs[0], node.inputs[1]
    kind = p.dtype(base)
    number = plain_number(p, exponent, base)
    if kind == np.float32 and number is not None:
        p.emit("pow", {"X": base}, node.outputs[0], factor=number)
        return
    inner = kind if kind.kind == "f" else np.dtype(np.float64)
    left, right = (as_type(p, p.arg(value), inner) for value in (base, exponent))
    if inner == kind:
        p.emit("elementwise_pow", {"X": left, "Y": right}, node.outputs[0])
        return
    shape = broadcast_shape([p.shape(left), p.shape(right)])
    as_type(p, p.emit("elementwise_pow", {"X": left, "Y": right}, sized=shape), kind, node.outputs[0])


def as_type(p: PaddleNodes, name: str, dtype: np.dtype[np.generic], into: ir.Value | None = None) -> str:
    """A variable in another element type; itself where it has that type and no name is asked for."""
    if into is None and p.dtype(name) == dtype:
        return name
    numbers: dict[str, Any] = {
        "in_dtype": number_of_dtype(p.dtype(name)),
        "out_dtype": number_of_dtype(np.dtype(dtype)),
    }
    return p.emit("cast", {"X": name}, into, typed=dtype, **numbers)


@to_paddle(*COMPARISONS)
def comparison_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    if not serves_squeeze(node):
        p.emit(COMPARISONS[node.op_type], {"X": node.inputs[0], "Y": node.inputs[1]}, node.outputs[0])


@to_paddle("And", "Or")
def logic_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    if not serves_squeeze(node):
        operator = "logical_and" if node.op_type == "And" else "logical_or"
        p.emit(operator, {"X": node.inputs[0], "Y": node.inputs[1]}, node.outputs[0])


@to_paddle("Not")
def not_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    if not serves_squeeze(node):
        p.emit("logical_not", {"X": node.inputs[0]}, node.outputs[0])


@to_paddle("Where")
def where_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    condition, x, y = (p.arg(value) for value in node.inputs)
    shapes = [p.shape(name) for name in (condition, x, y)]
    if len(set(shapes)) > 1:
        shape, kind = broadcast_shape(shapes), p.dtype(x)
        inner = np.dtype(np.int32) if kind.kind == "b" else kind
        ones = ones_like(p, (condition, x, y), shape, inner)
        widened = (
            p.emit("elementwise_mul", {"X": as_type(p, name, inner), "Y": ones}, sized=shape)
            for name in (condition, x, y)
        )
        condition, x, y = (
            as_type(p, name, dtype) for name, dtype in zip(widened, (np.dtype(np.bool_), kind, kind), strict=True)
        )
    p.emit("where", {"Condition": condition, "X": x, "Y": y}, node.outputs[0])


def ones_like(p: PaddleNodes, names: Sequence[str], shape: Sequence[int], kind: np.dtype[Any]) -> str:
    """Ones of the shape that variables broadcast to; what is multiplied with them broadcasts and keeps its numbers."""
    number = number_of_dtype(kind)
    total = ""
    for name in names:
        if UNKNOWN in p.shape(name):
            sizes = p.emit("shape", {"Input": name}, sized=(p.rank(name),), typed=np.dtype(np.int32))
            operands: dict[str, str] = {"ShapeTensor": sizes}
            options: dict[str, Any] = {}
        else:
            operands, options = {}, {"shape": list(p.shape(name))}
        one = p.emit("fill_constant", operands, sized=p.shape(name), typed=kind, value=1.0, dtype=number, **options)
        total = one if not total else p.emit("elementwise_mul", {"X": total, "Y": one}, sized=shape)
    return total


@to_paddle("Neg")
def neg_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    p.emit("scale", {"X": node.inputs[0]}, node.outputs[0], scale=-1.0)


@to_paddle(*UNARY)
def unary_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    p.emit(UNARY[node.op_type], {"X": node.inputs[0]}, node.outputs[0])
