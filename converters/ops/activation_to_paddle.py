"""Smooth and leaky activations, written to Paddle.

Paddle's softplus and mish give x itself above 20, which float32 cannot tell from their formulas. Source: Paddle 3.3.1
operator registrations.
"""

from __future__ import annotations

from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.activation import SELU_ALPHA, SELU_GAMMA
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.paddle_nodes import PaddleNodes

PLAIN = {
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Mish": "mish",
}


@to_paddle(*PLAIN)
def plain_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    p.emit(PLAIN[node.op_type], {"X": node.inputs[0]}, node.outputs[0])


@to_paddle("LeakyRelu")
def leaky_relu_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    p.emit("leaky_relu", {"X": node.inputs[0]}, node.outputs[0], alpha=p.attribute("alpha", 0.01))


@to_paddle("Elu")
def elu_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    p.emit("elu", {"X": node.inputs[0]}, node.outputs[0], alpha=p.attribute("alpha", 1.0))


@to_paddle("Selu")
def selu_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    alpha, gamma = p.attribute("alpha", SELU_ALPHA), p.attribute("gamma", SELU_GAMMA)
    p.emit("selu", {"X": node.inputs[0]}, node.outputs[0], alpha=alpha, scale=gamma)


@to_paddle("Gelu")
def gelu_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    form = p.attribute("approximate", "none")
    if form not in ("none", "tanh"):
        raise p.refuse(f"approximate {form!r} is not known")
    p.emit("gelu", {"X": node.inputs[0]}, node.outputs[0], approximate=form == "tanh")
