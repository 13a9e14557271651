"""ONNX: activations, arithmetic, comparisons and functions of one element.

Integers stay integers: their division truncates towards zero. Source: the ONNX operator specification,
https://onnx.ai/onnx/operators; the tests hold each against its reference evaluator, its node tests and ONNX Runtime.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle import kernels_elementwise as elementwise
from facecvt.parity_tests.oracle.onnx_attributes import OnnxAttributes, define_plain, onnx_operator, operand
from facecvt.parity_tests.oracle.values import Compute, Value, is_float


def _divide(a: Value, b: Value) -> Value:
    if is_float(a):
        return np.asarray(a / b)
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)), dtype=a.dtype)


PLAIN: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _divide,
    "Pow": lambda x, y: np.power(x, y).astype(x.dtype, copy=False),
    "Equal": np.equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
    "Not": np.logical_not,
    "Where": np.where,
    "PRelu": elementwise.prelu,
    "Relu": elementwise.relu,
    "Sigmoid": elementwise.sigmoid,
    "Tanh": np.tanh,
    "Softplus": elementwise.softplus,
    "Softsign": elementwise.softsign,
    "Mish": elementwise.mish,
    "Sqrt": np.sqrt,
    "Exp": np.exp,
    "Log": np.log,
    "Abs": np.abs,
    "Neg": np.negative,
    "Reciprocal": lambda x: 1 / x,
    "Sign": np.sign,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Round": np.rint,
    "Erf": elementwise.erf,
    "Sin": np.sin,
    "Cos": np.cos,
    "Tan": np.tan,
    "Asin": np.arcsin,
    "Acos": np.arccos,
    "Atan": np.arctan,
    "Sinh": np.sinh,
    "Cosh": np.cosh,
    "Asinh": np.arcsinh,
    "Acosh": np.arccosh,
    "Atanh": np.arctanh,
    "IsNaN": np.isnan,
    "Identity": lambda x: x,
    "Min": lambda *x: functools.reduce(np.minimum, x),
    "Max": lambda *x: functools.reduce(np.maximum, x),
    "Sum": lambda *x: functools.reduce(np.add, x),
    "Mean": lambda *x: functools.reduce(np.add, x) / len(x),
    # Without an attribute since it exists: x * max(0, min(1, x / 6 + 0.5)).
    "HardSwish": elementwise.hard_swish,
}
for _name, _function in PLAIN.items():
    define_plain(_name, _function)


@onnx_operator("Mod")
def define_modulo(attributes: OnnxAttributes) -> Compute:
    """Sign of the divisor, or of the dividend with fmod 1."""
    function = np.fmod if attributes.integer("fmod", 0) else np.mod
    return lambda x: [function(x[0], x[1])]


@onnx_operator("LeakyRelu")
def define_leaky_relu(attributes: OnnxAttributes) -> Compute:
    """alpha 0.01."""
    alpha = attributes.number("alpha", 0.01)
    return lambda x: [elementwise.leaky_relu(x[0], alpha)]


@onnx_operator("ThresholdedRelu")
def define_thresholded_relu(attributes: OnnxAttributes) -> Compute:
    """x above alpha (1), 0 elsewhere."""
    alpha = attributes.number("alpha", 1.0)
    return lambda x: [x[0] * (x[0] > alpha)]


@onnx_operator("HardSigmoid")
def define_hard_sigmoid(attributes: OnnxAttributes) -> Compute:
    """alpha 0.2, beta 0.5."""
    alpha, beta = attributes.number("alpha", 0.2), attributes.number("beta", 0.5)
    return lambda x: [elementwise.hard_sigmoid(x[0], alpha, beta)]


@onnx_operator("Elu")
def define_elu(attributes: OnnxAttributes) -> Compute:
    """alpha 1."""
    alpha = attributes.number("alpha", 1.0)
    return lambda x: [elementwise.elu(x[0], alpha)]


@onnx_operator("Celu")
def define_celu(attributes: OnnxAttributes) -> Compute:
    """alpha 1."""
    alpha = attributes.number("alpha", 1.0)
    return lambda x: [elementwise.celu(x[0], alpha)]


@onnx_operator("Selu")
def define_selu(attributes: OnnxAttributes) -> Compute:
    """alpha and gamma, the usual constants."""
    alpha = attributes.number("alpha", elementwise.SELU_ALPHA)
    gamma = attributes.number("gamma", elementwise.SELU_SCALE)
    return lambda x: [elementwise.selu(x[0], alpha, gamma)]


@onnx_operator("Gelu")
def define_gelu(attributes: OnnxAttributes) -> Compute:
    """approximate none or tanh."""
    kind = attributes.one_of("approximate", "none", ("none", "tanh"))
    function = elementwise.gelu_tanh if kind == "tanh" else elementwise.gelu
    return lambda x: [function(x[0])]


@onnx_operator("Shrink")
def define_shrink(attributes: OnnxAttributes) -> Compute:
    """x moved towards 0 by bias (0) where |x| > lambd (0.5), 0 elsewhere."""
    threshold, bias = attributes.number("lambd", 0.5), attributes.number("bias", 0.0)

    def compute(x: list[Any]) -> Sequence[Any]:
        data = x[0]
        moved = np.where(data < -threshold, data + bias, np.where(data > threshold, data - bias, 0))
        return [moved.astype(data.dtype)]

    return compute


@onnx_operator("Clip")
def define_clip(attributes: OnnxAttributes) -> Compute:
    """Bounds as attributes before opset 11, as operands since."""
    low, high = attributes.raw("min"), attributes.raw("max")

    def compute(x: list[Any]) -> Sequence[Any]:
        below, above = operand(x, 1), operand(x, 2)
        return [elementwise.clip(x[0], low if below is None else below, high if above is None else above)]

    return compute


@onnx_operator("Cast")
def define_cast(attributes: OnnxAttributes) -> Compute:
    """To a numeric type; floating point types are all the oracle's own, without rounding to the narrower one."""
    target = attributes.element_type("to")
    attributes.ignore("saturate", "round_mode")
    return lambda x: [x[0].astype(target)]


@onnx_operator("CastLike")
def define_cast_like(attributes: OnnxAttributes) -> Compute:
    """To the type of the second operand."""
    attributes.ignore("saturate", "round_mode")
    return lambda x: [x[0].astype(x[1].dtype)]
