"""Activations with straight pieces and bounds.

    Clip         min(max(x, low), high), either bound may be absent          relu6 = Clip(x, 0, 6)
    HardSigmoid  Clip(alpha*x + beta, 0, 1)
    HardSwish    x * Clip(x + 3, 0, 6) / 6

HardSigmoid's constants are each source's own: MXNet 0.2 and 0.5, a Paddle program's ``hard_sigmoid`` slope 0.2 and
offset 0.5 unless written, ``paddle.nn.functional`` and PyTorch 1/6 and 0.5, ONNX 0.2 and 0.5. Constants of Paddle's
``hard_swish`` and ``relu6`` that Paddle 3.3.1 was seen to ignore, while older releases read them, are refused unless
they are the usual ones. Sources: MXNet 1.9.1, Paddle 3.3.1, the ONNX specification.
"""

from __future__ import annotations

from typing import Any

from facecvt.converters.graph import Builder, attribute, constant, dims
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, lower, to_torch
from facecvt.converters.ops.rewriting import become, insert_before
from facecvt.converters.ops.unchanged import unchanged
from facecvt.converters.ops.value_facts import element_type, number_like
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp
from facecvt.converters.torch_code import TorchCode

HARD_SWISH = {"threshold": 6.0, "scale": 6.0, "offset": 3.0}
UNBOUNDED = 3.4028234e38  # what opsets before 11 write for a bound that is not there


def emit_clip(b: Builder, x: ir.Value, low: float | None, high: float | None) -> Any:
    """Clip between numbers; None is no bound."""
    bounds = [None if bound is None else number_like(b, x, bound) for bound in (low, high)]
    return b.emit("Clip", [x, *bounds])


# ---- MXNet -----------------------------------------------------------------------------------------------------------


@from_mxnet("clip")
def clip_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return emit_clip(b, op.inputs[0], op.number("a_min"), op.number("a_max"))


@from_mxnet("hard_sigmoid")
def hard_sigmoid_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit("HardSigmoid", op.inputs, alpha=op.number("alpha", 0.2), beta=op.number("beta", 0.5))


# ---- Paddle ----------------------------------------------------------------------------------------------------------


@from_paddle("clip")
def clip_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """Bounds are attributes or inputs in a legacy program, operands 1 and 2 in PIR."""
    x = op.value("X", 0)
    given = [op.optional("Min", 1), op.optional("Max", 2)]
    low, high = (
        bound if bound is not None else number_like(b, x, op.number(key))
        for bound, key in zip(given, ("min", "max"), strict=True)
    )
    for key in ("min", "max"):
        op.raw(key, None)  # an input takes precedence over the attribute beside it
    return b.emit("Clip", [x, *(scalar(op, b, bound, x) for bound in (low, high))])


def scalar(op: PaddleOp, b: Builder, bound: ir.Value, x: ir.Value) -> ir.Value:
    """A bound as ONNX wants it: rank 0 and of the input's type, a constant where it is one."""
    array = constant(bound)
    if array is not None:
        return number_like(b, x, float(array.reshape(-1)[0]))
    target = element_type(x) or ir.DataType.FLOAT
    number = bound if element_type(bound) == target else b.emit("Cast", [bound], to=int(target))
    single: ir.Value = number if dims(number) == () else b.emit("Reshape", [number, b.const([])])
    return single


@from_paddle("brelu", "hardtanh")
def hard_tanh_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """The oldest form's bounds are 0 and 24 unless said otherwise."""
    low, high = op.number("t_min", -1.0 if op.pir else 0.0), op.number("t_max", 1.0 if op.pir else 24.0)
    return emit_clip(b, op.value("X", 0), low, high)


@from_paddle("relu6")
def relu6_from_paddle(op: PaddleOp, b: Builder) -> Any:
    threshold = op.number("threshold", 6.0)
    if threshold != 6.0:
        raise op.refuse(
            f"threshold {threshold} is read by old Paddle releases and ignored by new ones; only 6 is clear"
        )
    return emit_clip(b, op.value("X", 0), 0.0, 6.0)


@from_paddle("hard_sigmoid", "hardsigmoid")
def hard_sigmoid_from_paddle(op: PaddleOp, b: Builder) -> Any:
    slope, offset = op.number("slope", 0.2), op.number("offset", 0.5)
    return b.emit("HardSigmoid", [op.value("X", 0)], alpha=slope, beta=offset)


@from_paddle("hard_swish", "hardswish")
def hard_swish_from_paddle(op: PaddleOp, b: Builder) -> Any:
    constants = {key: op.number(key, default) for key, default in HARD_SWISH.items()}
    if constants != HARD_SWISH:
        raise op.refuse(
            f"{constants} is read by old Paddle releases and ignored by new ones; only {HARD_SWISH} is clear"
        )
    return b.emit("HardSwish", [op.value("X", 0)])


# ---- ONNX ------------------------------------------------------------------------------------------------------------


@from_onnx("HardSigmoid")
def hard_sigmoid_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b, "alpha", "beta")


@from_onnx("HardSwish")
def hard_swish_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b)


@from_onnx("Clip")
def clip_from_onnx(op: OnnxOp, b: Builder) -> Any:
    """Bounds are attributes before opset 11, inputs from there on."""
    if op.opset >= 11:
        return b.emit("Clip", [op.value(0), op.input(1), op.input(2)])
    low, high = op.raw("min", None), op.raw("max", None)
    low = None if low is None or low <= -UNBOUNDED else float(low)
    high = None if high is None or high >= UNBOUNDED else float(high)
    return emit_clip(b, op.value(0), low, high)


@lower("HardSwish", below=14)
def lower_hard_swish(node: ir.Node, opset: int) -> None:
    """x * HardSigmoid(x; 1/6, 1/2)."""
    x = node.inputs[0]
    become(node, "Mul", [x, insert_before(node, "HardSigmoid", [x], alpha=1 / 6, beta=0.5)])


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


@to_torch("HardSwish")
def hard_swish_to_torch(node: ir.Node, t: TorchCode) -> None:
    t.assign(node.outputs[0], f"{t.module(node, 'nn.Hardswish()')}({t.arg(node.inputs[0])})")


@to_torch("HardSigmoid")
def hard_sigmoid_to_torch(node: ir.Node, t: TorchCode) -> None:
    """nn.Hardsigmoid has 1/6 and 1/2 built in; other constants are written out."""
    alpha, beta = attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5)
    data = t.arg(node.inputs[0])
    if abs(alpha - 1 / 6) < 1e-7 and beta == 0.5:
        t.assign(node.outputs[0], f"{t.module(node, 'nn.Hardsigmoid()')}({data})")
        return
    t.assign(node.outputs[0], f"torch.clamp({data} * {t.number(alpha)} + {t.number(beta)}, 0.0, 1.0)")


@to_torch("Clip")
def clip_to_torch(node: ir.Node, t: TorchCode) -> None:
    """nn.ReLU6 for 0 and 6; numbers for constant bounds, tensors for computed ones."""
    bounds = [*node.inputs[1:], None, None][:2]
    data = t.arg(node.inputs[0])
    if [t.scalar(bound) for bound in bounds] == [0.0, 6.0]:
        t.assign(node.outputs[0], f"{t.module(node, 'nn.ReLU6()')}({data})")
        return
    texts = [bound_text(bound, t) for bound in bounds]
    options = "".join(f", {key}={text}" for key, text in zip(("min", "max"), texts, strict=True) if text is not None)
    mixed = any(bound is not None and constant(bound) is None for bound in bounds) and None not in bounds
    if mixed and any(constant(bound) is not None for bound in bounds):
        options = f", {t.arg(bounds[0])}, {t.arg(bounds[1])}"  # torch.clamp takes numbers or tensors, not one of each
    t.assign(node.outputs[0], f"torch.clamp({data}{options})" if options else data)


def bound_text(bound: ir.Value | None, t: TorchCode) -> str | None:
    """A bound as a literal where it is constant, as an expression where it is computed."""
    if bound is None:
        return None
    number = t.scalar(bound)
    if number is None:
        return t.arg(bound)
    return t.number(number) if isinstance(number, float) else str(number)
