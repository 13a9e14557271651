"""Normalisations, softmax and norms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facecvt.parity_tests.oracle.values import Value, along_axis, normal_axis


def scale_and_shift(x: Value, scale: Value, shift: Value, axis: int) -> Value:
    """x * scale + shift, with one scale and one shift for each position of an axis."""
    y = x * along_axis(scale, axis, x.ndim)
    y += along_axis(shift, axis, x.ndim)
    return y


def batch_norm(
    x: Value, gamma: Value | None, beta: Value | None, mean: Value, variance: Value, epsilon: float, axis: int = 1
) -> Value:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta over an axis; absent gamma is 1, absent beta 0."""
    scale = 1 / np.sqrt(variance + epsilon)
    if gamma is not None:
        scale = scale * gamma
    shift = -mean * scale
    if beta is not None:
        shift = shift + beta
    return scale_and_shift(x, scale, shift, axis)


def moments(x: Value, axes: Sequence[int]) -> tuple[Value, Value]:
    """Mean and biased variance over some axes, kept as axes of length one."""
    mean = x.mean(axis=tuple(axes), keepdims=True)
    return mean, np.square(x - mean).mean(axis=tuple(axes), keepdims=True)


def standardise(x: Value, axes: Sequence[int], epsilon: float) -> Value:
    """(x - mean) / sqrt(variance + epsilon), mean and biased variance over some axes."""
    mean, variance = moments(x, axes)
    y = x - mean
    y /= np.sqrt(variance + epsilon)
    return y


def instance_norm(x: Value, gamma: Value | None, beta: Value | None, epsilon: float) -> Value:
    """Standardised over the spatial axes of each sample and channel, then scaled and shifted by channel (axis 1)."""
    y = standardise(x, range(2, x.ndim), epsilon)
    if gamma is not None:
        y *= along_axis(gamma, 1, x.ndim)
    if beta is not None:
        y += along_axis(beta, 1, x.ndim)
    return y


def group_norm(x: Value, gamma: Value | None, beta: Value | None, groups: int, epsilon: float) -> Value:
    """Standardised over each group of channels with its spatial axes, then scaled and shifted by channel (axis 1)."""
    split = x.reshape(x.shape[0], groups, -1)
    y = standardise(split, (2,), epsilon).reshape(x.shape)
    if gamma is not None:
        y *= along_axis(gamma, 1, x.ndim)
    if beta is not None:
        y += along_axis(beta, 1, x.ndim)
    return y


def softmax(x: Value, axis: int) -> Value:
    """exp(x) / sum of exp(x) over an axis, shifted by the maximum."""
    y = np.exp(x - x.max(axis=axis, keepdims=True))
    y /= y.sum(axis=axis, keepdims=True)
    return np.asarray(y)


def log_softmax(x: Value, axis: int) -> Value:
    """x - log(sum of exp(x)) over an axis, shifted by the maximum."""
    y = x - x.max(axis=axis, keepdims=True)
    y -= np.log(np.exp(y).sum(axis=axis, keepdims=True))
    return np.asarray(y)


def lp_norm(x: Value, power: float, axes: Sequence[int], keepdims: bool) -> Value:
    """(sum of |x|^p)^(1/p) over some axes; p may be 0 (count of non-zero elements) and infinite."""
    axes = tuple(axes)
    if power == np.inf:
        return np.asarray(np.abs(x).max(axis=axes, keepdims=keepdims))
    if power == -np.inf:
        return np.asarray(np.abs(x).min(axis=axes, keepdims=keepdims))
    if power == 0:
        return np.asarray((x != 0).sum(axis=axes, keepdims=keepdims), dtype=x.dtype)
    if power == 1:
        return np.asarray(np.abs(x).sum(axis=axes, keepdims=keepdims))
    if power == 2:
        return np.asarray(np.sqrt(np.asarray(np.square(x).sum(axis=axes, keepdims=keepdims))))
    return np.asarray((np.abs(x) ** power).sum(axis=axes, keepdims=keepdims) ** (1 / power), dtype=x.dtype)


def local_response_norm(x: Value, size: int, alpha: float, beta: float, bias: float) -> Value:
    """x / (bias + alpha / size * sum of x^2 over ``size`` neighbouring channels)^beta; an odd size is centred."""
    before, after = (size - 1) // 2, size // 2
    squares = np.square(x)
    total = np.zeros_like(x)
    channels = x.shape[1]
    for offset in range(-before, after + 1):
        low, high = max(0, -offset), min(channels, channels - offset)
        if low < high:
            total[:, low:high] += squares[:, low + offset : high + offset]
    return np.asarray(x / (bias + alpha / size * total) ** beta)


def layer_norm(x: Value, gamma: Value | None, beta: Value | None, epsilon: float, begin_axis: int) -> Value:
    """Standardised over all axes from ``begin_axis`` on; gamma and beta have those axes' shape (or its flattening)."""
    begin = normal_axis(begin_axis, x.ndim)
    y = standardise(x, range(begin, x.ndim), epsilon)
    if gamma is not None:
        y *= gamma.reshape(x.shape[begin:])
    if beta is not None:
        y += beta.reshape(x.shape[begin:])
    return y
