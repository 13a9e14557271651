"""MXNet: normalisations, softmax, and the loss operators as they act at inference.

BatchNorm's defaults are eps 1e-3, fix_gamma True (gamma counts as 1 whatever is stored), axis 1. A loss operator
passes its prediction on, after the function that its loss contains; its label is no input at inference.
Source: ``src/operator/nn``, ``src/operator`` of MXNet 1.9.1; the tests hold each against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle import kernels_elementwise as elementwise
from facecvt.parity_tests.oracle import kernels_normalise as normalise
from facecvt.parity_tests.oracle.mxnet_attributes import MxnetAttributes, mxnet_operator
from facecvt.parity_tests.oracle.values import Compute, Value


def _batch_norm_suffixes(attributes: MxnetAttributes) -> tuple[str, ...]:
    return ("output", "mean", "var") if attributes.flag("output_mean_var", False) else ("output",)


@mxnet_operator("BatchNorm", "BatchNorm_v1", "CuDNNBatchNorm", suffixes=_batch_norm_suffixes)
def define_batch_norm(attributes: MxnetAttributes) -> Compute:
    """data, gamma, beta, moving_mean, moving_var.

    With output_mean_var also the moving mean, and 1 / sqrt(variance + eps) in the result that is called "var".
    """
    epsilon, axis = attributes.number("eps", 1e-3), attributes.integer("axis", 1)
    fixed = attributes.flag("fix_gamma", True)
    attributes.ignore("momentum", "use_global_stats", "output_mean_var")

    def compute(x: list[Any]) -> Sequence[Any]:
        data, gamma, beta, mean, variance = x
        y = normalise.batch_norm(data, None if fixed else gamma, beta, mean, variance, epsilon, axis)
        return [y, mean, 1 / np.sqrt(variance + epsilon)]

    return compute


@mxnet_operator("_contrib_SyncBatchNorm", "SyncBatchNorm", suffixes=_batch_norm_suffixes)
def define_sync_batch_norm(attributes: MxnetAttributes) -> Compute:
    """As BatchNorm over axis 1; what synchronises the devices in training does not matter here."""
    attributes.ignore("ndev", "key")
    return define_batch_norm(attributes)


@mxnet_operator("InstanceNorm")
def define_instance_norm(attributes: MxnetAttributes) -> Compute:
    """data, gamma, beta; eps 1e-3."""
    epsilon = attributes.number("eps", 1e-3)
    return lambda x: [normalise.instance_norm(x[0], x[1], x[2], epsilon)]


def _layer_norm_suffixes(attributes: MxnetAttributes) -> tuple[str, ...]:
    return ("output", "mean", "std") if attributes.flag("output_mean_var", False) else ("output",)


@mxnet_operator("LayerNorm", suffixes=_layer_norm_suffixes)
def define_layer_norm(attributes: MxnetAttributes) -> Compute:
    """data, gamma, beta over one axis (-1); eps 1e-5; with output_mean_var also mean and standard deviation."""
    epsilon, axis = attributes.number("eps", 1e-5), attributes.integer("axis", -1)
    attributes.ignore("output_mean_var")

    def compute(x: list[Any]) -> Sequence[Any]:
        data, gamma, beta = x
        mean, variance = normalise.moments(data, (axis,))
        deviation = np.sqrt(variance + epsilon)
        y = normalise.scale_and_shift((data - mean) / deviation, gamma, beta, axis)
        return [y, mean, deviation]

    return compute


@mxnet_operator("GroupNorm")
def define_group_norm(attributes: MxnetAttributes) -> Compute:
    """data, and gamma and beta of the groups; num_groups 1, eps 1e-5; its other results are refused."""
    groups, epsilon = attributes.integer("num_groups", 1), attributes.number("eps", 1e-5)
    if attributes.flag("output_mean_var", False):
        raise attributes.refuse("output_mean_var", "the oracle computes the normalised data only")

    def compute(x: list[Any]) -> Sequence[Any]:
        data, gamma, beta = x
        parts = data.reshape(len(data), groups, -1)
        mean, variance = parts.mean(axis=2, keepdims=True), parts.var(axis=2, keepdims=True)
        y = (parts - mean) / np.sqrt(variance + epsilon) * gamma[:, None] + beta[:, None]
        return [y.reshape(data.shape)]

    return compute


@mxnet_operator("L2Normalization")
def define_l2_normalisation(attributes: MxnetAttributes) -> Compute:
    """x / sqrt(sum of x^2 + eps): over all but the batch (instance), over axis 1 (channel), over axes 2.. (spatial)."""
    epsilon = attributes.number("eps", 1e-10)
    mode = attributes.one_of("mode", "instance", ("instance", "channel", "spatial"))

    def compute(x: list[Any]) -> Sequence[Any]:
        data: Value = x[0]
        axes = {"instance": tuple(range(1, data.ndim)), "channel": (1,), "spatial": tuple(range(2, data.ndim))}[mode]
        return [data / np.sqrt(np.square(data).sum(axis=axes, keepdims=True) + epsilon)]

    return compute


@mxnet_operator("LRN")
def define_local_response_norm(attributes: MxnetAttributes) -> Compute:
    """alpha 1e-4, beta 0.75, knorm 2; alpha is divided by nsize."""
    alpha, beta, bias = attributes.number("alpha", 1e-4), attributes.number("beta", 0.75), attributes.number("knorm", 2)
    size = attributes.integer("nsize")
    return lambda x: [normalise.local_response_norm(x[0], size, alpha, beta, bias)]


def _rows_softmax(x: Value) -> Value:
    return normalise.softmax(x.reshape(x.shape[0], -1), 1).reshape(x.shape)


@mxnet_operator("SoftmaxActivation")
def define_softmax_activation(attributes: MxnetAttributes) -> Compute:
    """Over the last axis (instance; the documentation says "each instance", the kernel says otherwise), or axis 1."""
    axis = {"instance": -1, "channel": 1}[attributes.one_of("mode", "instance", ("instance", "channel"))]
    return lambda x: [normalise.softmax(x[0], axis)]


@mxnet_operator("SoftmaxOutput", "Softmax", operands=1)
def define_softmax_output(attributes: MxnetAttributes) -> Compute:
    """Over axis 1 with multi_output, over the last with preserve_shape, else over everything but the batch."""
    channel, last = attributes.flag("multi_output", False), attributes.flag("preserve_shape", False)
    attributes.ignore("grad_scale", "ignore_label", "use_ignore", "normalization", "out_grad", "smooth_alpha")
    if channel:
        return lambda x: [normalise.softmax(x[0], 1)]
    return lambda x: [normalise.softmax(x[0], -1) if last else _rows_softmax(x[0])]


def _softmax_like(attributes: MxnetAttributes, sign: float, logarithm: bool) -> Compute:
    axis, temperature = attributes.integer("axis", -1), attributes.number("temperature", 1.0)
    if attributes.flag("use_length", False):
        raise attributes.refuse("use_length", "MXNet has it of softmax alone")
    attributes.result_dtype("dtype")
    function = normalise.log_softmax if logarithm else normalise.softmax
    return lambda x: [function(x[0] * (sign / temperature), axis)]


@mxnet_operator("softmax")
def define_softmax(attributes: MxnetAttributes) -> Compute:
    """axis -1, temperature 1; with use_length only as many of the axis count as the second operand says."""
    if not attributes.flag("use_length", False):
        return _softmax_like(attributes, 1.0, False)
    axis, temperature = attributes.integer("axis", -1), attributes.number("temperature", 1.0)
    attributes.result_dtype("dtype")

    def compute(x: list[Any]) -> Sequence[Any]:
        rows, lengths = np.moveaxis(x[0], axis, -1), x[1].astype(np.int64)
        y = np.zeros_like(rows)
        for place in np.ndindex(*lengths.shape):
            powers = np.exp((rows[place][: lengths[place]] - rows[place].max()) / temperature)
            y[place][: lengths[place]] = powers / powers.sum()
        return [np.moveaxis(y, -1, axis)]

    return compute


@mxnet_operator("softmin")
def define_softmin(attributes: MxnetAttributes) -> Compute:
    """softmax of the negative."""
    return _softmax_like(attributes, -1.0, False)


@mxnet_operator("log_softmax")
def define_log_softmax(attributes: MxnetAttributes) -> Compute:
    """axis -1, temperature 1."""
    return _softmax_like(attributes, 1.0, True)


@mxnet_operator("LinearRegressionOutput", "MAERegressionOutput", operands=1)
def define_regression_output(attributes: MxnetAttributes) -> Compute:
    """The prediction itself."""
    attributes.ignore("grad_scale")
    return lambda x: [x[0]]


@mxnet_operator("LogisticRegressionOutput", operands=1)
def define_logistic_output(attributes: MxnetAttributes) -> Compute:
    """The sigmoid of the prediction."""
    attributes.ignore("grad_scale")
    return lambda x: [elementwise.sigmoid(x[0])]


@mxnet_operator("SVMOutput", operands=1)
def define_svm_output(attributes: MxnetAttributes) -> Compute:
    """The prediction itself."""
    attributes.ignore("margin", "regularization_coefficient", "use_linear")
    return lambda x: [x[0]]


@mxnet_operator("MakeLoss")
def define_make_loss(attributes: MxnetAttributes) -> Compute:
    """The loss itself."""
    attributes.ignore("grad_scale", "valid_thresh", "normalization")
    return lambda x: [x[0]]
