"""Activations and other functions of one element, by their definitions.

Constants are Python floats, so that a float32 array stays float32. In-place steps act only on arrays made here.
"""

from __future__ import annotations

import math

import numpy as np

from facecvt.parity_tests.oracle.values import Value, along_axis

# Constants of self-normalising networks (Klambauer et al. 2017), which make mean 0 and variance 1 a fixed point.
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def relu(x: Value) -> Value:
    """max(x, 0)."""
    return np.maximum(x, 0)


def sigmoid(x: Value) -> Value:
    """1 / (1 + exp(-x)), without overflow on either side."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1, small) / (1 + small))


def softplus(x: Value) -> Value:
    """log(1 + exp(x)), without overflow."""
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def softsign(x: Value) -> Value:
    """x / (1 + |x|)."""
    return np.asarray(x / (1 + np.abs(x)))


def clip(x: Value, low: float | Value | None, high: float | Value | None) -> Value:
    """min(max(x, low), high) in this order, as ONNX defines it for low > high; None leaves a side open."""
    y = x if low is None else np.maximum(x, np.asarray(low, dtype=x.dtype))
    return y if high is None else np.minimum(y, np.asarray(high, dtype=x.dtype))


def hard_sigmoid(x: Value, slope: float, offset: float) -> Value:
    """min(max(slope * x + offset, 0), 1)."""
    y = x * slope
    y += offset
    return np.clip(y, 0, 1, out=y)


def hard_swish(x: Value, threshold: float = 6.0, scale: float = 6.0, offset: float = 3.0) -> Value:
    """x * min(max(x + offset, 0), threshold) / scale."""
    y = np.clip(x + offset, 0, threshold)
    y *= x
    y /= scale
    return y


def swish(x: Value, beta: float = 1.0) -> Value:
    """x * sigmoid(beta * x)."""
    return x * sigmoid(x if beta == 1.0 else x * beta)


def mish(x: Value) -> Value:
    """x * tanh(softplus(x))."""
    return np.asarray(x * np.tanh(softplus(x)))


def elu(x: Value, alpha: float = 1.0) -> Value:
    """x where x > 0, alpha * (exp(x) - 1) elsewhere."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def celu(x: Value, alpha: float = 1.0) -> Value:
    """max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0)."""
    return np.asarray(np.maximum(x, 0) + np.minimum(alpha * np.expm1(x / alpha), 0))


def selu(x: Value, alpha: float = SELU_ALPHA, scale: float = SELU_SCALE) -> Value:
    """scale * elu(x, alpha)."""
    return scale * elu(x, alpha)


def erf(x: Value) -> Value:
    """The error function, element by element in double precision (numpy has none)."""
    if not x.size:
        return x.copy()
    exact = np.fromiter(map(math.erf, x.ravel().tolist()), dtype=np.float64, count=x.size)
    return exact.reshape(x.shape).astype(x.dtype, copy=False)


def gelu(x: Value) -> Value:
    """x * Phi(x), with the exact normal distribution function."""
    return x * 0.5 * (1 + erf(x * math.sqrt(0.5)))


def gelu_tanh(x: Value) -> Value:
    """The tanh approximation of gelu."""
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


def leaky_relu(x: Value, slope: float) -> Value:
    """x where x >= 0, slope * x elsewhere."""
    y = np.minimum(x, 0)
    y *= slope
    y += np.maximum(x, 0)
    return y


def prelu(x: Value, slope: Value) -> Value:
    """x where x >= 0, slope * x elsewhere; ``slope`` broadcasts against ``x``."""
    y = np.minimum(x, 0)
    y *= slope
    y += np.maximum(x, 0)
    return y


def channel_slope(slope: Value, rank: int, axis: int = 1) -> Value:
    """A PReLU slope as a view that broadcasts: one value for all, or one for each channel."""
    return slope.reshape(-1) if slope.size == 1 else along_axis(slope, axis, rank)


def logical_cast(x: Value, like: Value) -> Value:
    """A comparison's result as numbers 0 and 1 of another array's dtype."""
    return x.astype(like.dtype)
