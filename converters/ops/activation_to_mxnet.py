"""Activations as MXNet's Activation, LeakyReLU, clip and hard_sigmoid, and what these do not have written out.

Sources: MXNet 1.9.1 ``ActivationParam``, ``LeakyReLUParam``, ``HardSigmoidParam``.
"""

from __future__ import annotations

import numpy as np

from facecvt.converters.graph import attribute, constant
from facecvt.converters.mxnet_nodes import Edge, MxnetNodes
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.activation import MXNET_ACTIVATIONS, SELU_ALPHA, SELU_GAMMA
from facecvt.converters.ops.prelu import is_per_channel
from facecvt.converters.ops.registry import to_mxnet

ACTIVATIONS = {operator: kind for kind, operator in MXNET_ACTIVATIONS.items() if operator != "Softplus"}
RANDOM_BOUNDS = {"lower_bound": 0.125, "upper_bound": 0.334}  # of act_type rrelu; MXNet's defaults


def times(m: MxnetNodes, data: Edge, number: float) -> Edge:
    """The product with a number."""
    return m.node("_mul_scalar", [data], scalar=float(number), is_int=False)


def plus(m: MxnetNodes, data: Edge, number: float) -> Edge:
    """The sum with a number."""
    return m.node("_plus_scalar", [data], scalar=float(number), is_int=False)


@to_mxnet(*ACTIVATIONS)
def plain_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    m.assign(node.outputs[0], "Activation", [m.arg(node.inputs[0])], act_type=ACTIVATIONS[node.op_type])


@to_mxnet("Softplus")
def softplus_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """max(x, 0) + log(1 + exp(-|x|)): MXNet's softrelu has no right digit left from x = -20 downward."""
    data = m.arg(node.inputs[0])
    power = m.node("exp", [m.node("negative", [m.node("abs", [data])])])
    above = m.node("Activation", [data], act_type="relu")
    m.assign(node.outputs[0], "elemwise_add", [above, m.node("log1p", [power])])


@to_mxnet("LeakyRelu", "Elu")
def leaky_relu_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    kind, default = ("leaky", 0.01) if node.op_type == "LeakyRelu" else ("elu", 1.0)
    slope = float(attribute(node, "alpha", default))
    m.assign(node.outputs[0], "LeakyReLU", [m.arg(node.inputs[0])], act_type=kind, slope=slope, **RANDOM_BOUNDS)


@to_mxnet("Selu")
def selu_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """MXNet's own where the constants are the paper's, else the scaled ELU itself."""
    alpha, gamma = attribute(node, "alpha", SELU_ALPHA), attribute(node, "gamma", SELU_GAMMA)
    data = m.arg(node.inputs[0])
    if np.allclose((alpha, gamma), (SELU_ALPHA, SELU_GAMMA), rtol=1e-6, atol=0.0):
        m.assign(node.outputs[0], "LeakyReLU", [data], act_type="selu", slope=0.25, **RANDOM_BOUNDS)
        return
    curve = m.node("LeakyReLU", [data], act_type="elu", slope=float(alpha), **RANDOM_BOUNDS)
    m.assign(node.outputs[0], "_mul_scalar", [curve], scalar=float(gamma), is_int=False)


@to_mxnet("Gelu")
def gelu_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """MXNet's own is the form with erf; that with tanh is written out."""
    form, data = attribute(node, "approximate", "none"), m.arg(node.inputs[0])
    if form == "none":
        m.assign(node.outputs[0], "LeakyReLU", [data], act_type="gelu", slope=0.25, **RANDOM_BOUNDS)
        return
    if form != "tanh":
        raise m.refuse(node, f"approximate {form!r} is not known")
    cube = m.node("elemwise_mul", [m.node("square", [data]), data])
    bent = m.node("elemwise_add", [data, times(m, cube, 0.044715)])
    curve = plus(m, m.node("tanh", [times(m, bent, np.sqrt(2 / np.pi))]), 1.0)
    m.assign(node.outputs[0], "elemwise_mul", [times(m, data, 0.5), curve])


@to_mxnet("Mish")
def mish_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """x * n / (n + 2) with n = e (e + 2), e = exp(x): tanh(log(1 + e)) without the digits that MXNet's softrelu loses.

    From 20 on the quotient is 1 in float32, and e is kept from growing further.
    """
    data = m.arg(node.inputs[0])
    power = m.node("exp", [m.node("_minimum_scalar", [data], scalar=20.0, is_int=False)])
    part = m.node("elemwise_mul", [power, plus(m, power, 2.0)])
    quotient = m.node("elemwise_div", [part, plus(m, part, 2.0)])
    m.assign(node.outputs[0], "elemwise_mul", [data, quotient])


@to_mxnet("HardSigmoid")
def hard_sigmoid_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    alpha, beta = float(attribute(node, "alpha", 0.2)), float(attribute(node, "beta", 0.5))
    m.assign(node.outputs[0], "hard_sigmoid", [m.arg(node.inputs[0])], alpha=alpha, beta=beta)


@to_mxnet("HardSwish")
def hard_swish_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """x * clip(x + 3, 0, 6) / 6."""
    data = m.arg(node.inputs[0])
    gate = m.node("clip", [plus(m, data, 3.0)], a_min=0.0, a_max=6.0)
    gated = m.node("elemwise_mul", [data, gate])
    m.assign(node.outputs[0], "_div_scalar", [gated], scalar=6.0, is_int=False)


@to_mxnet("Clip")
def clip_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """``clip`` for two numbers, the greater or smaller of two otherwise; the upper bound counts last."""
    x, low, high = [*node.inputs, None, None][:3]
    floor, ceiling = m.number(low), m.number(high)
    data = m.arg(x)
    whole = isinstance(floor if floor is not None else ceiling, int)
    if floor is not None and ceiling is not None and floor <= ceiling:
        m.assign(node.outputs[0], "clip", [data], a_min=floor, a_max=ceiling)
        return
    bounds = [item for item in ((low, floor, "maximum"), (high, ceiling, "minimum")) if item[0] is not None]
    if not bounds:
        m.alias(node.outputs[0], data)
        return
    for position, (bound, number, name) in enumerate(bounds):
        scalar: dict[str, object] = {} if number is None else {"scalar": number, "is_int": whole}
        operator = f"broadcast_{name}" if number is None else f"_{name}_scalar"
        inputs = [data] if number is not None else [data, m.arg(bound)]
        if position == len(bounds) - 1:
            m.assign(node.outputs[0], operator, inputs, **scalar)
        else:
            data = m.node(operator, inputs, **scalar)


@to_mxnet("PRelu")
def prelu_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """LeakyReLU for one slope or one a channel; any other slope multiplies the negative part."""
    x, slope = node.inputs[0], node.inputs[1]
    array, data = constant(slope), m.arg(x)
    if array is not None and slope is not None and (array.size == 1 or is_per_channel(array, m.rank(x))):
        flat = array.reshape(-1)
        factor = m.arg(slope) if array.shape == flat.shape else m.weight(slope, flat, "flat")
        m.assign(node.outputs[0], "LeakyReLU", [data, factor], act_type="prelu", slope=0.25, **RANDOM_BOUNDS)
        return
    below = m.node("broadcast_mul", [m.node("_minimum_scalar", [data], scalar=0.0, is_int=False), m.arg(slope)])
    above = m.node("Activation", [data], act_type="relu")
    m.assign(node.outputs[0], "broadcast_add", [above, below])


@to_mxnet("Softmax", "LogSoftmax")
def softmax_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    m.assign(
        node.outputs[0],
        "softmax" if node.op_type == "Softmax" else "log_softmax",
        [m.arg(node.inputs[0])],
        axis=attribute(node, "axis", -1),
        temperature=None,
        dtype=None,
        use_length=False,
    )
