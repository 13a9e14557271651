"""Division by a length, and lengths themselves.

    L2Normalization (MXNet)    x / sqrt(sum x^2 + eps)     all axes of a sample, the channels, or height and width
    norm (Paddle)              x / sqrt(sum x^2 + eps)     along one axis
    p_norm (Paddle)            (sum |x|^p)^(1/p)           any p; its epsilon matters to gradients only
    frobenius_norm (Paddle)    (sum x^2)^(1/2)             along some axes
    LpNormalization (ONNX)     x / (sum |x|^p)^(1/p)       p = 1 or 2, 0 where the length is 0
    LRN                        x / (bias + alpha/size * sum of x^2 over ``size`` neighbouring channels)^beta;
                               Paddle's lrn does not divide alpha by the size

MXNet's and Paddle's eps stands under the root, where no ONNX operator has one: they are written out. Sources: MXNet
1.9.1 ``L2NormalizationParam`` and ``LRNParam``, Paddle 3.3.1 ``norm``, ``p_norm``, ``frobenius_norm`` and ``lrn``, the
ONNX operator specification.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Builder, attribute
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.paddle_operands import ints_or_value
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, to_torch
from facecvt.converters.ops.unchanged import unchanged
from facecvt.converters.ops.value_facts import element_type, known_rank, number_like
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp
from facecvt.converters.torch_code import TorchCode

FLOAT = ir.DataType.FLOAT


def emit_unit_length(b: Builder, x: ir.Value, axes: Sequence[int], epsilon: float) -> Any:
    """x / sqrt(sum x^2 + epsilon) over these axes."""
    total = b.emit("ReduceSum", [b.emit("Mul", [x, x]), b.const(list(axes))], keepdims=1)
    return b.emit("Div", [x, b.emit("Sqrt", [b.emit("Add", [total, number_like(b, x, epsilon)])])])


@from_mxnet("L2Normalization")
def l2_normalization_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    x = op.inputs[0]
    mode = op.text("mode", "instance", allowed=("instance", "channel", "spatial"))
    epsilon = op.number("eps", 1e-10)
    if mode == "channel":
        return emit_unit_length(b, x, [1], epsilon)
    rank = known_rank(x)
    if rank is None:
        raise op.refuse(f"mode {mode!r} needs an input of known rank; give the model an input shape")
    return emit_unit_length(b, x, range(1 if mode == "instance" else 2, rank), epsilon)


@from_mxnet("LRN")
def lrn_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit(
        "LRN",
        op.inputs,
        size=op.integer("nsize"),
        alpha=op.number("alpha", 1e-4),
        beta=op.number("beta", 0.75),
        bias=op.number("knorm", 2.0),
    )


@from_paddle("norm")
def norm_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """The second output, the length, is left out, and refused where something reads it."""
    return emit_unit_length(b, op.value("X", 0), [op.integer("axis")], op.number("epsilon", 1e-10))


@from_paddle("p_norm")
def p_norm_from_paddle(op: PaddleOp, b: Builder) -> Any:
    x, order = op.value("X", 0), op.number("porder", 2.0)
    op.raw("epsilon", None)
    keep = int(op.boolean("keepdim", False))
    flat, axis = op.boolean("asvector", False), op.integer("axis", -1)
    rest = [] if flat else [b.const([axis])]
    if order == 2.0:
        return b.emit("Sqrt", [b.emit("ReduceSum", [b.emit("Mul", [x, x]), *rest], keepdims=keep)])
    if order == 1.0:
        return b.emit("ReduceSum", [b.emit("Abs", [x]), *rest], keepdims=keep)
    size = b.emit("Abs", [x])
    if math.isinf(order):
        return b.emit("ReduceMax" if order > 0 else "ReduceMin", [size, *rest], keepdims=keep)
    if order == 0.0:  # how many are not 0
        some = b.emit("Cast", [b.emit("Less", [number_like(b, x, 0.0), size])], to=int(element_type(x) or FLOAT))
        return b.emit("ReduceSum", [some, *rest], keepdims=keep)
    total = b.emit("ReduceSum", [b.emit("Pow", [size, number_like(b, x, order)]), *rest], keepdims=keep)
    return b.emit("Pow", [total, number_like(b, x, 1.0 / order)])


@from_paddle("frobenius_norm")
def frobenius_norm_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """``dim`` in a legacy program, operand 1 in PIR; without axes over everything."""
    x, axes = op.value("X", 0), ints_or_value(op, b, "axis" if op.pir else "dim", operand=1, default=())
    keep, everything = int(op.boolean("keep_dim", False)), op.boolean("reduce_all", False)
    for key in ("in_dtype", "out_dtype"):
        if int(op.raw(key, -1)) != -1:
            raise op.refuse(f"{key} is not supported")
    if isinstance(axes, ir.Value):
        raise op.refuse("the axes must be constant")
    rest = [] if everything or not axes else [b.const(axes)]
    return b.emit("Sqrt", [b.emit("ReduceSum", [b.emit("Mul", [x, x]), *rest], keepdims=keep)])


@from_paddle("lrn")
def lrn_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """The second output, the divisor before its power, is left out, and refused where something reads it."""
    size = op.integer("n", 5)
    op.text("data_format", "NCHW", allowed=("NCHW", "AnyLayout"))
    return b.emit(
        "LRN",
        [op.value("X", 0)],
        size=size,
        alpha=op.number("alpha", 1e-4) * size,
        beta=op.number("beta", 0.75),
        bias=op.number("k", 2.0),
    )


@from_onnx("LpNormalization")
def lp_normalization_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b, "axis", "p")


@from_onnx("LRN")
def lrn_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b, "size", "alpha", "beta", "bias")


@to_torch("LpNormalization")
def lp_normalization_to_torch(node: ir.Node, t: TorchCode) -> None:
    """A length of 0 gives 0; the smallest divisor is the least that float32 can hold, not PyTorch's 1e-12."""
    order, axis = float(attribute(node, "p", 2)), attribute(node, "axis", -1)
    t.assign(node.outputs[0], f"F.normalize({t.arg(node.inputs[0])}, p={order}, dim={axis}, eps=1.2e-38)")


@to_torch("LRN")
def lrn_to_torch(node: ir.Node, t: TorchCode) -> None:
    """An even window lies one channel further forward in PyTorch than in ONNX."""
    size = attribute(node, "size")
    if size % 2 == 0:
        raise ConversionError(f"LRN {node.name!r}: PyTorch places a window of even size ({size}) elsewhere")
    numbers = (attribute(node, "alpha", 1e-4), attribute(node, "beta", 0.75), attribute(node, "bias", 1.0))
    alpha, beta, bias = (t.number(number) for number in numbers)
    layer = t.module(node, f"nn.LocalResponseNorm({size}, alpha={alpha}, beta={beta}, k={bias})")
    t.assign(node.outputs[0], f"{layer}({t.arg(node.inputs[0])})")
