"""Paddle: activations and functions of one element.

Source: ``paddle/phi/kernels/funcs/activation_functor.h`` of Paddle 3.3.1; the tests hold each against it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle import kernels_elementwise as elementwise
from facecvt.parity_tests.oracle.paddle_attributes import Operands, PaddleAttributes, PaddleCompute, paddle_operator
from facecvt.parity_tests.oracle.values import Value

ONE_ELEMENT: dict[str, Callable[[Value], Any]] = {
    "relu": elementwise.relu,
    "sigmoid": elementwise.sigmoid,
    "tanh": np.tanh,
    "silu": elementwise.swish,
    "softsign": elementwise.softsign,
    "logsigmoid": lambda x: -elementwise.softplus(-x),
    "tanh_shrink": lambda x: x - np.tanh(x),
    "abs": np.abs,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "square": np.square,
    "reciprocal": lambda x: 1 / x,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": elementwise.erf,
    "logical_not": np.logical_not,
    "assign": lambda x: x,
}


def _define_plain(name: str, function: Callable[[Value], Any]) -> None:
    @paddle_operator(name)
    def define(attributes: PaddleAttributes) -> PaddleCompute:
        attributes.ignore("is_test")
        return lambda x: [function(x.one("X"))]


for _name, _function in ONE_ELEMENT.items():
    _define_plain(_name, _function)


@paddle_operator("prelu", operands=("X", "Alpha"))
def define_prelu(attributes: PaddleAttributes) -> PaddleCompute:
    """mode all: one slope; channel: one for each channel; element: one for each element of a sample."""
    mode = attributes.one_of("mode", "all", ("all", "channel", "element"))
    axis = attributes.channel_axis("data_format")
    attributes.ignore("is_test")

    def compute(x: Operands) -> Sequence[Any]:
        data, slope = x.one("X"), x.one("Alpha")
        if mode == "element":
            return [elementwise.prelu(data, slope.reshape(1, *data.shape[1:]))]
        return [elementwise.prelu(data, elementwise.channel_slope(slope, data.ndim, axis))]

    return compute


@paddle_operator("leaky_relu")
def define_leaky_relu(attributes: PaddleAttributes) -> PaddleCompute:
    """Slope alpha (PIR: negative_slope), 0.02."""
    slope = float(attributes.either("alpha", "negative_slope", default=0.02))
    return lambda x: [elementwise.leaky_relu(x.one("X"), slope)]


@paddle_operator("relu6")
def define_relu6(attributes: PaddleAttributes) -> PaddleCompute:
    """threshold 6."""
    threshold = float(attributes.raw("threshold", 6.0))
    return lambda x: [elementwise.clip(x.one("X"), 0.0, threshold)]


@paddle_operator(legacy=("brelu",), pir=("hardtanh",))
def define_hard_tanh(attributes: PaddleAttributes) -> PaddleCompute:
    """t_min 0 to t_max 24."""
    low, high = float(attributes.raw("t_min", 0.0)), float(attributes.raw("t_max", 24.0))
    return lambda x: [elementwise.clip(x.one("X"), low, high)]


@paddle_operator(legacy=("hard_sigmoid",), pir=("hardsigmoid",))
def define_hard_sigmoid(attributes: PaddleAttributes) -> PaddleCompute:
    """slope 0.2, offset 0.5."""
    slope, offset = float(attributes.raw("slope", 0.2)), float(attributes.raw("offset", 0.5))
    return lambda x: [elementwise.hard_sigmoid(x.one("X"), slope, offset)]


@paddle_operator(legacy=("hard_swish",), pir=("hardswish",))
def define_hard_swish(attributes: PaddleAttributes) -> PaddleCompute:
    """threshold 6, scale 6, offset 3; Paddle 3 ignores other values, which older versions honoured: refused."""
    for name, usual in (("threshold", 6.0), ("scale", 6.0), ("offset", 3.0)):
        if float(attributes.raw(name, usual)) != usual:
            raise attributes.refuse(name, f"Paddle 3 computes with {usual}, older versions with what is written")
    return lambda x: [elementwise.hard_swish(x.one("X"))]


@paddle_operator("swish")
def define_swish(attributes: PaddleAttributes) -> PaddleCompute:
    """beta 1."""
    beta = float(attributes.raw("beta", 1.0))
    return lambda x: [elementwise.swish(x.one("X"), beta)]


@paddle_operator("mish")
def define_mish(attributes: PaddleAttributes) -> PaddleCompute:
    """Above its threshold (20) softplus is x itself."""
    threshold = float(attributes.either("threshold", "lambda", default=20.0))

    def compute(x: Operands) -> Sequence[Any]:
        data = x.one("X")
        return [data * np.tanh(np.where(data > threshold, data, elementwise.softplus(data)))]

    return compute


@paddle_operator("softplus")
def define_softplus(attributes: PaddleAttributes) -> PaddleCompute:
    """log(1 + exp(beta x)) / beta, and x itself where beta x is above the threshold (20)."""
    beta, threshold = float(attributes.raw("beta", 1.0)), float(attributes.raw("threshold", 20.0))

    def compute(x: Operands) -> Sequence[Any]:
        data = x.one("X")
        return [np.where(data * beta > threshold, data, elementwise.softplus(data * beta) / beta)]

    return compute


@paddle_operator("elu")
def define_elu(attributes: PaddleAttributes) -> PaddleCompute:
    """alpha 1."""
    alpha = float(attributes.raw("alpha", 1.0))
    return lambda x: [elementwise.elu(x.one("X"), alpha)]


@paddle_operator("celu")
def define_celu(attributes: PaddleAttributes) -> PaddleCompute:
    """alpha 1."""
    alpha = float(attributes.raw("alpha", 1.0))
    return lambda x: [elementwise.celu(x.one("X"), alpha)]


@paddle_operator("selu")
def define_selu(attributes: PaddleAttributes) -> PaddleCompute:
    """scale and alpha, the usual constants."""
    scale = float(attributes.raw("scale", elementwise.SELU_SCALE))
    alpha = float(attributes.raw("alpha", elementwise.SELU_ALPHA))
    return lambda x: [elementwise.selu(x.one("X"), alpha, scale)]


@paddle_operator("gelu")
def define_gelu(attributes: PaddleAttributes) -> PaddleCompute:
    """Exact, or the tanh approximation."""
    function = elementwise.gelu_tanh if attributes.raw("approximate", False) else elementwise.gelu
    return lambda x: [function(x.one("X"))]


@paddle_operator("thresholded_relu")
def define_thresholded_relu(attributes: PaddleAttributes) -> PaddleCompute:
    """x above the threshold (1), value (0) elsewhere."""
    threshold, value = float(attributes.raw("threshold", 1.0)), float(attributes.raw("value", 0.0))
    return lambda x: [np.where(x.one("X") > threshold, x.one("X"), value).astype(x.one("X").dtype)]


@paddle_operator(legacy=("hard_shrink",), pir=("hardshrink",))
def define_hard_shrink(attributes: PaddleAttributes) -> PaddleCompute:
    """0 where |x| <= threshold (0.5), x elsewhere."""
    threshold = float(attributes.raw("threshold", 0.5))
    return lambda x: [x.one("X") * (np.abs(x.one("X")) > threshold)]


@paddle_operator("softshrink")
def define_soft_shrink(attributes: PaddleAttributes) -> PaddleCompute:
    """x moved towards 0 by lambda (PIR: threshold), 0.5."""
    threshold = float(attributes.either("lambda", "threshold", default=0.5))
    return lambda x: [np.sign(x.one("X")) * np.maximum(np.abs(x.one("X")) - threshold, 0)]


@paddle_operator("round")
def define_round(attributes: PaddleAttributes) -> PaddleCompute:
    """Halves to even; decimals 0."""
    decimals = int(attributes.raw("decimals", 0))
    return lambda x: [np.round(x.one("X"), decimals)]


@paddle_operator("pow", operands=("X", "FactorTensor"))
def define_power(attributes: PaddleAttributes) -> PaddleCompute:
    """Exponent factor (PIR: y), 1."""
    exponent = float(attributes.either("factor", "y", default=1.0))
    return lambda x: [x.one("X") ** x.number(exponent, "FactorTensor")]


@paddle_operator("clip", operands=("X", "Min", "Max"))
def define_clip(attributes: PaddleAttributes) -> PaddleCompute:
    """Bounds as attributes or operands."""
    low, high = float(attributes.raw("min", -np.inf)), float(attributes.raw("max", np.inf))
    return lambda x: [elementwise.clip(x.one("X"), x.number(low, "Min"), x.number(high, "Max"))]


@paddle_operator("scale", operands=("X", "ScaleTensor", "BiasTensor"))
def define_scale(attributes: PaddleAttributes) -> PaddleCompute:
    """scale * x + bias, or scale * (x + bias) without bias_after_scale."""
    scale, bias = float(attributes.raw("scale", 1.0)), float(attributes.raw("bias", 0.0))
    after = bool(attributes.raw("bias_after_scale", True))

    def compute(x: Operands) -> Sequence[Any]:
        data = x.one("X")
        factor, shift = x.number(scale, "ScaleTensor"), x.number(bias, "BiasTensor")
        y = data * factor + shift if after else (data + shift) * factor
        return [y.astype(data.dtype, copy=False)]

    return compute


@paddle_operator("cast")
def define_cast(attributes: PaddleAttributes) -> PaddleCompute:
    """To out_dtype (PIR: dtype); floating point types are all the oracle's own."""
    target = attributes.element_type("out_dtype", "dtype")
    attributes.ignore("in_dtype")
    if target is None:
        raise attributes.refuse("out_dtype", "a type is required")
    return lambda x: [x.one("X").astype(target)]
