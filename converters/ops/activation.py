"""Smooth and leaky activations.

    LeakyRelu  x, or alpha*x below 0            Elu   x, or alpha*(exp(x) - 1) below 0
    Selu       gamma * Elu(x, alpha)            Gelu  x/2 * (1 + erf(x / sqrt 2)), or its tanh form
    Sigmoid    1 / (1 + exp(-x))                Softplus  log(1 + exp(x))
    Softsign   x / (1 + |x|)                    Mish  x * tanh(Softplus(x))        Swish  x * Sigmoid(x)

Defaults differ: LeakyReLU's slope is 0.25 in MXNet (for elu too), 0.02 in a Paddle program, 0.01 in ONNX. MXNet's rrelu
is random in training; at inference its slope is the mean of its bounds. Sources: MXNet 1.9.1 ``LeakyReLUParam`` and
``ActivationParam``, Paddle 3.3.1 activation operators, the ONNX operator specification.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Builder, attribute
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.prelu import prelu_from_mxnet
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, lower, to_torch
from facecvt.converters.ops.rewriting import add_constant, become, insert_before
from facecvt.converters.ops.unchanged import unchanged
from facecvt.converters.ops.value_facts import element_type, number_like
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp
from facecvt.converters.torch_code import TorchCode

SELU_ALPHA, SELU_GAMMA = 1.6732632423543772, 1.0507009873554805
MXNET_ACTIVATIONS = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softrelu": "Softplus",
    "softsign": "Softsign",
}
PADDLE_PLAIN = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softsign": "Softsign",
}


# ---- MXNet -----------------------------------------------------------------------------------------------------------


@from_mxnet("Activation")
def activation_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit(MXNET_ACTIVATIONS[op.text("act_type", allowed=tuple(MXNET_ACTIVATIONS))], op.inputs)


@from_mxnet("relu", "sigmoid", "tanh", "softsign")
def plain_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit(MXNET_ACTIVATIONS[op.op], op.inputs)


@from_mxnet("LeakyReLU")
def leaky_relu_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    kind = op.text("act_type", "leaky", allowed=("leaky", "prelu", "elu", "selu", "gelu", "rrelu"))
    slope = op.number("slope", 0.25)
    lower_bound, upper_bound = op.number("lower_bound", 0.125), op.number("upper_bound", 0.334)
    if kind == "prelu":
        return prelu_from_mxnet(op, b)
    if kind == "elu":
        return b.emit("Elu", op.inputs, alpha=slope)
    if kind == "selu":
        return b.emit("Selu", op.inputs, alpha=SELU_ALPHA, gamma=SELU_GAMMA)
    if kind == "gelu":
        return b.emit("Gelu", op.inputs)
    return b.emit("LeakyRelu", op.inputs, alpha=slope if kind == "leaky" else (lower_bound + upper_bound) / 2)


# ---- Paddle ----------------------------------------------------------------------------------------------------------


@from_paddle(*PADDLE_PLAIN)
def plain_from_paddle(op: PaddleOp, b: Builder) -> Any:
    return b.emit(PADDLE_PLAIN[op.op], [op.value("X", 0)])


@from_paddle("logsigmoid")
def log_sigmoid_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """-Softplus(-x), which keeps its digits where log(Sigmoid(x)) has none."""
    return b.emit("Neg", [b.emit("Softplus", [b.emit("Neg", [op.value("X", 0)])])])


@from_paddle("leaky_relu")
def leaky_relu_from_paddle(op: PaddleOp, b: Builder) -> Any:
    key = "negative_slope" if op.has("negative_slope") else "alpha"
    return b.emit("LeakyRelu", [op.value("X", 0)], alpha=op.number(key, 0.02))


@from_paddle("elu")
def elu_from_paddle(op: PaddleOp, b: Builder) -> Any:
    return b.emit("Elu", [op.value("X", 0)], alpha=op.number("alpha", 1.0))


@from_paddle("selu")
def selu_from_paddle(op: PaddleOp, b: Builder) -> Any:
    alpha, scale = op.number("alpha", SELU_ALPHA), op.number("scale", SELU_GAMMA)
    return b.emit("Selu", [op.value("X", 0)], alpha=alpha, gamma=scale)


@from_paddle("gelu")
def gelu_from_paddle(op: PaddleOp, b: Builder) -> Any:
    return b.emit("Gelu", [op.value("X", 0)], approximate="tanh" if op.boolean("approximate", False) else None)


@from_paddle("swish", "silu")
def swish_from_paddle(op: PaddleOp, b: Builder) -> Any:
    x, beta = op.value("X", 0), op.number("beta", 1.0)
    if beta != 1.0:
        raise op.refuse(f"beta {beta} is read by old Paddle releases and ignored by new ones; only 1 is clear")
    return b.emit("Mul", [x, b.emit("Sigmoid", [x])])


def refuse_low_threshold(op: PaddleOp, least: float = 15.0) -> None:
    """Above its threshold Paddle's softplus is x itself, which float32 cannot tell from the formula above 15."""
    threshold = op.number("threshold", 20.0)
    if threshold < least:
        raise op.refuse(f"threshold {threshold} changes the result; {least} or more is supported")


@from_paddle("mish")
def mish_from_paddle(op: PaddleOp, b: Builder) -> Any:
    for key in ("threshold", "lambda"):
        if op.has(key) and op.number(key) < 15.0:
            raise op.refuse(f"{key} {op.number(key)} changes the result; 15 or more is supported")
    return b.emit("Mish", [op.value("X", 0)])


@from_paddle("softplus")
def softplus_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """log(1 + exp(beta * x)) / beta."""
    refuse_low_threshold(op)
    x, beta = op.value("X", 0), op.number("beta", 1.0)
    if beta == 1.0:
        return b.emit("Softplus", [x])
    factor = number_like(b, x, beta)
    return b.emit("Div", [b.emit("Softplus", [b.emit("Mul", [x, factor])]), factor])


# ---- ONNX ------------------------------------------------------------------------------------------------------------


@from_onnx("Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Mish")
def plain_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b)


@from_onnx("LeakyRelu", "Elu")
def with_alpha_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b, "alpha")


@from_onnx("Selu")
def selu_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b, "alpha", "gamma")


@from_onnx("Gelu")
def gelu_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b, "approximate")


def number_for(node: ir.Node, number: float) -> ir.Value:
    """A scalar of the node's element type, float32 where that is not known."""
    found = element_type(node.inputs[0])
    return add_constant(node, number, np.float32 if found is None else found.numpy())


@lower("Gelu", below=20)
def lower_gelu(node: ir.Node, opset: int) -> None:
    """Both forms written out."""
    x, half = node.inputs[0], number_for(node, 0.5)
    if attribute(node, "approximate", "none") == "tanh":
        cube = insert_before(node, "Mul", [insert_before(node, "Mul", [x, x]), x])
        bent = insert_before(node, "Add", [x, insert_before(node, "Mul", [cube, number_for(node, 0.044715)])])
        inner = insert_before(node, "Mul", [bent, number_for(node, float(np.sqrt(2 / np.pi)))])
        curve = insert_before(node, "Tanh", [inner])
    else:
        curve = insert_before(node, "Erf", [insert_before(node, "Div", [x, number_for(node, float(np.sqrt(2)))])])
    raised = insert_before(node, "Add", [curve, number_for(node, 1.0)])
    become(node, "Mul", [insert_before(node, "Mul", [x, half]), raised])


@lower("Mish", below=18)
def lower_mish(node: ir.Node, opset: int) -> None:
    x = node.inputs[0]
    become(node, "Mul", [x, insert_before(node, "Tanh", [insert_before(node, "Softplus", [x])])])


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


TORCH_PLAIN = {
    "Relu": "nn.ReLU()",
    "Sigmoid": "nn.Sigmoid()",
    "Tanh": "nn.Tanh()",
    "Softplus": "nn.Softplus()",
    "Softsign": "nn.Softsign()",
    "Mish": "nn.Mish()",
}


@to_torch(*TORCH_PLAIN)
def plain_to_torch(node: ir.Node, t: TorchCode) -> None:
    t.assign(node.outputs[0], f"{t.module(node, TORCH_PLAIN[node.op_type])}({t.arg(node.inputs[0])})")


@to_torch("LeakyRelu")
def leaky_relu_to_torch(node: ir.Node, t: TorchCode) -> None:
    layer = t.module(node, f"nn.LeakyReLU({t.number(attribute(node, 'alpha', 0.01))})")
    t.assign(node.outputs[0], f"{layer}({t.arg(node.inputs[0])})")


@to_torch("Elu")
def elu_to_torch(node: ir.Node, t: TorchCode) -> None:
    layer = t.module(node, f"nn.ELU({t.number(attribute(node, 'alpha', 1.0))})")
    t.assign(node.outputs[0], f"{layer}({t.arg(node.inputs[0])})")


@to_torch("Selu")
def selu_to_torch(node: ir.Node, t: TorchCode) -> None:
    """nn.SELU where the constants are the paper's, else the scaled ELU itself."""
    alpha, gamma = attribute(node, "alpha", SELU_ALPHA), attribute(node, "gamma", SELU_GAMMA)
    if np.allclose((alpha, gamma), (SELU_ALPHA, SELU_GAMMA), rtol=1e-6, atol=0.0):
        t.assign(node.outputs[0], f"{t.module(node, 'nn.SELU()')}({t.arg(node.inputs[0])})")
        return
    t.assign(node.outputs[0], f"{t.number(gamma)} * F.elu({t.arg(node.inputs[0])}, {t.number(alpha)})")


@to_torch("Gelu")
def gelu_to_torch(node: ir.Node, t: TorchCode) -> None:
    form = attribute(node, "approximate", "none")
    if form not in ("none", "tanh"):
        raise ConversionError(f"Gelu {node.name!r}: approximate {form!r} is not known")
    layer = t.module(node, "nn.GELU()" if form == "none" else 'nn.GELU(approximate="tanh")')
    t.assign(node.outputs[0], f"{layer}({t.arg(node.inputs[0])})")
