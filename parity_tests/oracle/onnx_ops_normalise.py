"""ONNX: normalisations, softmax, dropout.

Source: the ONNX operator specification, https://onnx.ai/onnx/operators; the tests hold each against its reference
evaluator, its node tests and ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle import kernels_normalise as normalise
from facecvt.parity_tests.oracle.kernels_shape import flatten_to_matrix
from facecvt.parity_tests.oracle.onnx_attributes import OnnxAttributes, onnx_operator, operand
from facecvt.parity_tests.oracle.values import Compute, Value, normal_axis


@onnx_operator("BatchNormalization")
def define_batch_norm(attributes: OnnxAttributes) -> Compute:
    """X, scale, B, mean, var; epsilon 1e-5. Before opset 9 ``spatial`` 0 means statistics of shape (C, H, W)."""
    epsilon, spatial = attributes.number("epsilon", 1e-5), attributes.integer("spatial", 1)
    if attributes.integer("training_mode", 0):
        raise attributes.refuse("training_mode", "the model is one of training; export it for inference")
    attributes.ignore("momentum")

    def compute(x: list[Any]) -> Sequence[Any]:
        data, scale, shift, mean, variance = x
        if spatial:
            return [normalise.batch_norm(data, scale, shift, mean, variance, epsilon)]
        return [(data - mean) / np.sqrt(variance + epsilon) * scale + shift]

    return compute


@onnx_operator("InstanceNormalization")
def define_instance_norm(attributes: OnnxAttributes) -> Compute:
    """input, scale, B; epsilon 1e-5."""
    epsilon = attributes.number("epsilon", 1e-5)
    return lambda x: [normalise.instance_norm(x[0], x[1], x[2], epsilon)]


@onnx_operator("GroupNormalization")
def define_group_norm(attributes: OnnxAttributes) -> Compute:
    """X, scale, bias; scale and bias by group before opset 21, by channel since; epsilon 1e-5."""
    epsilon, groups = attributes.number("epsilon", 1e-5), int(attributes.required("num_groups"))
    by_group = attributes.opset < 21
    attributes.ignore("stash_type")

    def compute(x: list[Any]) -> Sequence[Any]:
        repeat = x[0].shape[1] // groups if by_group else 1
        return [normalise.group_norm(x[0], x[1].repeat(repeat), x[2].repeat(repeat), groups, epsilon)]

    return compute


@onnx_operator("LayerNormalization")
def define_layer_norm(attributes: OnnxAttributes) -> Compute:
    """X, Scale[, B] over the axes from axis (-1) on; also the mean and 1 / standard deviation; epsilon 1e-5."""
    epsilon, axis = attributes.number("epsilon", 1e-5), attributes.integer("axis", -1)
    attributes.ignore("stash_type")

    def compute(x: list[Any]) -> Sequence[Any]:
        data, scale, shift = x[0], x[1], operand(x, 2)
        axes = tuple(range(normal_axis(axis, data.ndim), data.ndim))
        mean, variance = normalise.moments(data, axes)
        inverse = 1 / np.sqrt(variance + epsilon)
        y = (data - mean) * inverse * scale
        return [y if shift is None else y + shift, mean, inverse]

    return compute


@onnx_operator("LpNormalization")
def define_lp_normalisation(attributes: OnnxAttributes) -> Compute:
    """x / p-norm over axis -1, p 2; where the norm is 0 the result is 0."""
    axis, power = attributes.integer("axis", -1), attributes.integer("p", 2)

    def compute(x: list[Any]) -> Sequence[Any]:
        norm = normalise.lp_norm(x[0], power, (axis,), True)
        return [np.divide(x[0], norm, out=np.zeros_like(x[0]), where=norm != 0)]

    return compute


@onnx_operator("LRN")
def define_local_response_norm(attributes: OnnxAttributes) -> Compute:
    """size; alpha 1e-4 (divided by size), beta 0.75, bias 1."""
    alpha, beta = attributes.number("alpha", 1e-4), attributes.number("beta", 0.75)
    bias, size = attributes.number("bias", 1.0), int(attributes.required("size"))
    return lambda x: [normalise.local_response_norm(x[0], size, alpha, beta, bias)]


def _hardmax(x: Value, axis: int) -> Value:
    first = np.expand_dims(np.argmax(x, axis=axis), axis)
    y = np.zeros_like(x)
    np.put_along_axis(y, first, 1, axis)
    return y


def _define_softmax(name: str, function: Callable[[Value, int], Value]) -> None:
    @onnx_operator(name)
    def define(attributes: OnnxAttributes) -> Compute:
        """Over one axis (-1) since opset 13; before, over everything from axis (1) on."""
        flattened = attributes.opset < 13
        axis = attributes.integer("axis", 1 if flattened else -1)
        if not flattened:
            return lambda x: [function(x[0], axis)]
        return lambda x: [function(flatten_to_matrix(x[0], axis), 1).reshape(x[0].shape)]


_define_softmax("Softmax", normalise.softmax)
_define_softmax("LogSoftmax", normalise.log_softmax)
_define_softmax("Hardmax", _hardmax)


@onnx_operator("Dropout")
def define_dropout(attributes: OnnxAttributes) -> Compute:
    """The identity, and a mask of all True."""
    attributes.ignore("ratio", "seed")

    def compute(x: list[Any]) -> Sequence[Any]:
        training = operand(x, 2)
        if training is not None and bool(training):
            raise attributes.refuse("training_mode", "the model is one of training; export it for inference")
        return [x[0], np.ones(x[0].shape, dtype=bool)]

    return compute
