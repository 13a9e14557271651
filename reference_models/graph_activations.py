"""Hard activations in a canonical graph, in whichever operators their source spells them.

    relu6          Clip(x, 0, 6)
    hard sigmoid   HardSigmoid(x, 1/6, 1/2) = relu6(x + 3) / 6; HardSigmoid(x, a, b) = Clip(a x + b, 0, 1)
    hard swish     HardSwish(x) = x * hard sigmoid(x) = x * relu6(x + 3) / 6, the factors in any order

Each function takes a value and gives the value that it is the activation of, or None where it is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from facecvt.converters.graph import attribute, constant
from facecvt.converters.onnx_ir_lazy import ir

SLOPE, OFFSET = 1 / 6, 0.5
CLOSE = 1e-6  # a float32 sixth, and what text makes of it


def number(value: ir.Value | None) -> float | None:
    """The number that a constant of one element holds."""
    array = constant(value)
    return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None


def bounds(node: ir.Node) -> dict[str, float] | None:
    """The bounds of a Clip as ``min`` and ``max``, those that it has; None where they are computed."""
    found: dict[str, float] = {}
    for name, value in zip(("min", "max"), node.inputs[1:], strict=False):
        if value is not None:
            bound = number(value)
            if bound is None:
                return None
            found[name] = bound
    return found


def operands(value: ir.Value | None, op: str) -> tuple[ir.Value, float] | None:
    """x and the number where the value is x <op> number; of a sum or product in either order."""
    node = value.producer() if value is not None else None
    if node is None or node.op_type != op or len(node.inputs) != 2:
        return None
    pairs = [(node.inputs[0], node.inputs[1])] + [(node.inputs[1], node.inputs[0])] * (op in ("Add", "Mul"))
    for x, other in pairs:
        found = number(other)
        if found is not None and x is not None and constant(x) is None:
            return x, found
    return None


def with_number(value: ir.Value | None, op: str, wanted: float) -> ir.Value | None:
    """x where the value is x <op> wanted; of a sum or product in either order."""
    found = operands(value, op)
    return found[0] if found is not None and math.isclose(found[1], wanted, rel_tol=CLOSE) else None


def clipped_line(value: ir.Value) -> tuple[ir.Value, float, float] | None:
    """x, slope and offset where the value is slope * x + offset within 0 .. 1."""
    node = value.producer()
    if node is None or node.op_type != "Clip" or bounds(node) != {"min": 0.0, "max": 1.0}:
        return None
    line = operands(node.inputs[0], "Add")
    product = operands(line[0], "Mul") if line is not None else None
    return None if line is None or product is None else (product[0], product[1], line[1])


def sixth(value: ir.Value) -> ir.Value | None:
    """x where the value is x / 6."""
    return with_number(value, "Div", 6.0) or with_number(value, "Mul", SLOPE)


def shifted_relu6(value: ir.Value | None) -> ir.Value | None:
    """x where the value is relu6(x + 3)."""
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "Clip" or bounds(node) != {"min": 0.0, "max": 6.0}:
        return None
    return with_number(node.inputs[0], "Add", 3.0)


def hard_sigmoid(value: ir.Value | None) -> ir.Value | None:
    """x where the value is the hard sigmoid of x with slope 1/6."""
    node = value.producer() if value is not None else None
    if value is None or node is None:
        return None
    if node.op_type == "HardSigmoid":
        constants = (attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5))
        usual = all(math.isclose(a, b, rel_tol=CLOSE) for a, b in zip(constants, (SLOPE, OFFSET), strict=True))
        return node.inputs[0] if usual else None
    return shifted_relu6(sixth(value))


def hard_swish(value: ir.Value) -> ir.Value | None:
    """x where the value is the hard swish of x."""
    node = value.producer()
    if node is None:
        return None
    if node.op_type == "HardSwish":
        return node.inputs[0]
    product = sixth(value)
    return times_itself(value, hard_sigmoid) or (times_itself(product, shifted_relu6) if product else None)


def times_itself(value: ir.Value, gate: Callable[[ir.Value | None], ir.Value | None]) -> ir.Value | None:
    """x where the value is x * gate(x)."""
    node = value.producer()
    if node is None or node.op_type != "Mul" or len(node.inputs) != 2:
        return None
    first, second = node.inputs
    if gate(second) is first:
        return first
    return second if gate(first) is second else None
