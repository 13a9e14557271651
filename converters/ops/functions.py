"""Functions of single numbers (error function, sign, angles, rounding, roots, logarithms) and remainders.

    canonical   Erf Sign Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh Round (halves to the even number) Mod

What MXNet has beyond these is written out so that no digits are lost:

    rint         the nearer of floor and ceiling, of two equally near ones the floor
    round        halves away from zero
    trunc, fix   towards zero
    cbrt         sign(x) * |x| ** (1 / 3)
    expm1        tanh(x / 2) * (exp(x) + 1)
    log1p        log(u) * x / (u - 1), u = 1 + x
    log2, log10  log(x) / log(base)
    hypot        longer * sqrt(1 + (shorter / longer)^2)
    mod          remainder with the divisor's sign, 0 for a divisor of 0
    smooth_l1    (s x)^2 / 2 where |x| < 1 / s^2, |x| - 1 / (2 s^2) elsewhere

Sources: MXNet 1.9.1 ``src/operator/mshadow_op.h`` (its behaviour at halves and at zero was tried), Paddle 3.3.1's
operator registrations, the ONNX operator specification.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from facecvt.converters.graph import Builder, attribute
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, to_torch
from facecvt.converters.ops.unchanged import unchanged
from facecvt.converters.ops.value_facts import is_integer, number_like
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp
from facecvt.converters.torch_code import TorchCode

# canonical operator -> its name in MXNet and PyTorch, None where MXNet has no such function
CANONICAL: dict[str, tuple[str | None, str]] = {
    "Erf": ("erf", "erf"),
    "Sign": ("sign", "sign"),
    "Sin": ("sin", "sin"),
    "Cos": ("cos", "cos"),
    "Tan": ("tan", "tan"),
    "Asin": ("arcsin", "asin"),
    "Acos": ("arccos", "acos"),
    "Atan": ("arctan", "atan"),
    "Sinh": ("sinh", "sinh"),
    "Cosh": ("cosh", "cosh"),
    "Asinh": ("arcsinh", "asinh"),
    "Acosh": ("arccosh", "acosh"),
    "Atanh": ("arctanh", "atanh"),
    "Round": (None, "round"),
}
SAME = {mxnet: operator for operator, (mxnet, _) in CANONICAL.items() if mxnet is not None}
PADDLE_NAMES = {operator: torch for operator, (_, torch) in CANONICAL.items()}  # PyTorch's names
FROM_PADDLE = {name: operator for operator, name in PADDLE_NAMES.items()}
FACTORS = {"degrees": 180.0 / math.pi, "radians": math.pi / 180.0}
LOGARITHMS = {"log2": 1.0 / math.log(2.0), "log10": 1.0 / math.log(10.0)}
HYPOT = ("_hypot", "broadcast_hypot")
REMAINDER = ("_mod", "_Mod", "broadcast_mod")


# ---- MXNet -----------------------------------------------------------------------------------------------------------


@from_mxnet(*SAME)
def same_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit(SAME[op.op], op.inputs)


@from_mxnet(*FACTORS)
def angle_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit("Mul", [op.inputs[0], number_like(b, op.inputs[0], FACTORS[op.op])])


@from_mxnet(*LOGARITHMS)
def logarithm_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit("Mul", [b.emit("Log", op.inputs), number_like(b, op.inputs[0], LOGARITHMS[op.op])])


@from_mxnet("rint")
def rint_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    x = op.inputs[0]
    low, high = b.emit("Floor", [x]), b.emit("Ceil", [x])
    nearer = b.emit("LessOrEqual", [b.emit("Sub", [x, low]), b.emit("Sub", [high, x])])
    return b.emit("Where", [nearer, low, high])


@from_mxnet("round")
def round_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """By what lies behind the point of |x|, which is exact; |x| + 0.5 is not."""
    x = op.inputs[0]
    size = b.emit("Abs", [x])
    whole = b.emit("Floor", [size])
    up = b.emit("GreaterOrEqual", [b.emit("Sub", [size, whole]), number_like(b, x, 0.5)])
    rounded = b.emit("Where", [up, b.emit("Add", [whole, number_like(b, x, 1.0)]), whole])
    return b.emit("Mul", [b.emit("Sign", [x]), rounded])


@from_mxnet("trunc", "fix")
def trunc_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    x = op.inputs[0]
    return b.emit("Mul", [b.emit("Sign", [x]), b.emit("Floor", [b.emit("Abs", [x])])])


@from_mxnet("cbrt", "rcbrt")
def cube_root_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    root = cube_root(b, op.inputs[0])
    return b.emit("Reciprocal", [root]) if op.op == "rcbrt" else root


def cube_root(b: Builder, x: ir.Value) -> ir.Value:
    """The number of x's sign whose third power is x."""
    root = b.emit("Pow", [b.emit("Abs", [x]), number_like(b, x, 1.0 / 3.0)])
    signed: ir.Value = b.emit("Mul", [b.emit("Sign", [x]), root])
    return signed


@from_mxnet("expm1")
def expm1_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    x = op.inputs[0]
    half = b.emit("Tanh", [b.emit("Mul", [x, number_like(b, x, 0.5)])])
    return b.emit("Mul", [half, b.emit("Add", [b.emit("Exp", [x]), number_like(b, x, 1.0)])])


@from_mxnet("log1p")
def log1p_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """The error that rounding makes in u appears in log(u) and in u - 1 alike; where u is 1 the result is x."""
    x, one = op.inputs[0], number_like(b, op.inputs[0], 1.0)
    raised = b.emit("Add", [x, one])
    plain = b.emit("Log", [raised])
    near = b.emit("Div", [b.emit("Mul", [plain, x]), b.emit("Sub", [raised, one])])
    near = b.emit("Where", [b.emit("Equal", [raised, one]), x, near])
    return b.emit("Where", [b.emit("Less", [b.emit("Abs", [x]), one]), near, plain])


@from_mxnet("smooth_l1")
def smooth_l1_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    x, square = op.inputs[0], op.number("scalar", 1.0) ** 2
    op.raw("is_int", None)  # says how the number was written, not how it counts
    size, limit = b.emit("Abs", [x]), number_like(b, x, 1.0 / square)
    curve = b.emit("Mul", [b.emit("Mul", [x, x]), number_like(b, x, 0.5 * square)])
    line = b.emit("Sub", [size, number_like(b, x, 0.5 / square)])
    return b.emit("Where", [b.emit("Less", [size, limit]), curve, line])


def operands(op: MxnetOp, b: Builder) -> tuple[ir.Value, ir.Value]:
    """Both operands: two tensors, or a tensor and a number, the number first in a reversed form."""
    if len(op.inputs) == 2:
        return op.inputs[0], op.inputs[1]
    op.raw("is_int", None)
    x, number = op.inputs[0], number_like(b, op.inputs[0], op.number("scalar", 1.0))
    return (number, x) if op.op in ("_rmod_scalar", "_RModScalar") else (x, number)


@from_mxnet(*HYPOT, "_hypot_scalar", "_HypotScalar")
def hypot_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """The quotient keeps squares from growing beyond what float32 holds."""
    left, right = (b.emit("Abs", [value]) for value in operands(op, b))
    longer, shorter = b.emit("Max", [left, right]), b.emit("Min", [left, right])
    share = b.emit("Div", [shorter, b.emit("Max", [longer, number_like(b, left, float(np.finfo(np.float32).tiny))])])
    inner = b.emit("Add", [b.emit("Mul", [share, share]), number_like(b, left, 1.0)])
    return b.emit("Mul", [longer, b.emit("Sqrt", [inner])])


@from_mxnet(*REMAINDER, "_mod_scalar", "_ModScalar", "_rmod_scalar", "_RModScalar")
def remainder_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    left, right = operands(op, b)
    zero = number_like(b, left, 0.0)
    if is_integer(left):  # divided by 1 in the place of 0, which leaves the 0 that MXNet gives
        one = number_like(b, left, 1.0)
        return b.emit("Mod", [left, b.emit("Where", [b.emit("Equal", [right, zero]), one, right])])
    return b.emit("Where", [b.emit("Equal", [right, zero]), zero, divisor_signed(b, left, right)])


def divisor_signed(b: Builder, left: ir.Value, right: ir.Value) -> ir.Value:
    """The remainder of a division with the divisor's sign, from that with the dividend's, which ONNX has for floats."""
    zero = number_like(b, left, 0.0)
    rest = b.emit("Mod", [left, right], fmod=1)
    agrees = b.emit("Equal", [b.emit("Less", [rest, zero]), b.emit("Less", [right, zero])])
    whole = b.emit("Or", [agrees, b.emit("Equal", [rest, zero])])
    result: ir.Value = b.emit("Where", [whole, rest, b.emit("Add", [rest, right])])
    return result


# ---- Paddle ----------------------------------------------------------------------------------------------------------


@from_paddle(*FROM_PADDLE)
def function_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """``round`` takes halves to the even number here."""
    if op.op == "round" and op.integer("decimals", 0):
        raise op.refuse(f"decimals {op.integer('decimals')} is not supported; 0 is")
    return b.emit(FROM_PADDLE[op.op], [op.value("X", 0)])


@from_paddle("elementwise_mod", "remainder")
def remainder_from_paddle(op: PaddleOp, b: Builder) -> Any:
    left, right = op.value("X", 0), op.value("Y", 1)
    if op.integer("axis", -1) != -1:
        raise op.refuse("only trailing operands, axis -1, are supported")
    return b.emit("Mod", [left, right]) if is_integer(left) else divisor_signed(b, left, right)


# ---- ONNX ------------------------------------------------------------------------------------------------------------


@from_onnx(*CANONICAL)
def function_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b)


@from_onnx("Mod")
def mod_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b, "fmod")


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


def torch_function(name: str) -> Callable[[ir.Node, TorchCode], None]:
    """The rule of a function that PyTorch has under this name."""

    def write(node: ir.Node, t: TorchCode) -> None:
        t.assign(node.outputs[0], f"torch.{name}({t.arg(node.inputs[0])})")

    return write


for _operator, (_, _name) in CANONICAL.items():
    to_torch(_operator)(torch_function(_name))


@to_torch("Mod")
def mod_to_torch(node: ir.Node, t: TorchCode) -> None:
    function = "fmod" if attribute(node, "fmod", 0) else "remainder"
    left, right = (t.arg(value) for value in node.inputs)
    t.assign(node.outputs[0], f"torch.{function}({left}, {right})")
