"""Paddle: normalisations, softmax, norms, dropout.

Source: ``paddle/phi/kernels/cpu`` of Paddle 3.3.1; the tests hold each against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle import kernels_normalise as normalise
from facecvt.parity_tests.oracle.paddle_attributes import Operands, PaddleAttributes, PaddleCompute, paddle_operator


@paddle_operator(
    "batch_norm",
    "sync_batch_norm",
    operands=("X", "Mean", "Variance", "Scale", "Bias", "MomentumTensor"),
    outputs=("Y",),
)
def define_batch_norm(attributes: PaddleAttributes) -> PaddleCompute:
    """epsilon 1e-5; the stored mean and variance, as at inference."""
    epsilon, axis = float(attributes.raw("epsilon", 1e-5)), attributes.channel_axis()
    testing = bool(attributes.raw("is_test", False)) and not attributes.raw("trainable_statistics", False)
    stored = bool(attributes.raw("use_global_stats", False))
    if not testing and not stored:
        raise attributes.refuse("is_test", "the program is one of training; export it for inference")
    attributes.ignore("momentum")

    def compute(x: Operands) -> Sequence[Any]:
        mean, variance = x.one("Mean"), x.one("Variance")
        return [normalise.batch_norm(x.one("X"), x.maybe("Scale"), x.maybe("Bias"), mean, variance, epsilon, axis)]

    return compute


@paddle_operator("instance_norm", operands=("X", "Scale", "Bias"), outputs=("Y",))
def define_instance_norm(attributes: PaddleAttributes) -> PaddleCompute:
    """epsilon 1e-5."""
    epsilon = float(attributes.raw("epsilon", 1e-5))
    attributes.channel_axis()
    return lambda x: [normalise.instance_norm(x.one("X"), x.maybe("Scale"), x.maybe("Bias"), epsilon)]


@paddle_operator("layer_norm", operands=("X", "Scale", "Bias"), outputs=("Y",))
def define_layer_norm(attributes: PaddleAttributes) -> PaddleCompute:
    """Over the axes from begin_norm_axis (1) on; epsilon 1e-5."""
    epsilon, begin = float(attributes.raw("epsilon", 1e-5)), int(attributes.raw("begin_norm_axis", 1))
    attributes.ignore("is_test")
    return lambda x: [normalise.layer_norm(x.one("X"), x.maybe("Scale"), x.maybe("Bias"), epsilon, begin)]


@paddle_operator("group_norm", operands=("X", "Scale", "Bias"), outputs=("Y",))
def define_group_norm(attributes: PaddleAttributes) -> PaddleCompute:
    """groups; epsilon 1e-5."""
    epsilon, groups = float(attributes.raw("epsilon", 1e-5)), int(attributes.required("groups"))
    axis = attributes.channel_axis()

    def compute(x: Operands) -> Sequence[Any]:
        data = np.moveaxis(x.one("X"), axis, 1)
        y = normalise.group_norm(np.ascontiguousarray(data), x.maybe("Scale"), x.maybe("Bias"), groups, epsilon)
        return [np.moveaxis(y, 1, axis)]

    return compute


@paddle_operator(legacy=("affine_channel",), operands=("X", "Scale", "Bias"))
def define_affine_channel(attributes: PaddleAttributes) -> PaddleCompute:
    """x * scale + bias by channel."""
    axis = attributes.channel_axis()
    return lambda x: [normalise.scale_and_shift(x.one("X"), x.one("Scale"), x.one("Bias"), axis)]


@paddle_operator(legacy=("lrn",))
def define_local_response_norm(attributes: PaddleAttributes) -> PaddleCompute:
    """x / (k + alpha * sum of squares of n channels)^beta; alpha is not divided by n."""
    size, bias = int(attributes.raw("n", 5)), float(attributes.raw("k", 2.0))
    alpha, beta = float(attributes.raw("alpha", 1e-4)), float(attributes.raw("beta", 0.75))
    if attributes.channel_axis() != 1:
        raise attributes.refuse("data_format", "the oracle computes it with the channels on axis 1")
    attributes.ignore("is_test")
    return lambda x: [normalise.local_response_norm(x.one("X"), size, alpha * size, beta, bias)]


@paddle_operator("softmax")
def define_softmax(attributes: PaddleAttributes) -> PaddleCompute:
    """axis -1."""
    axis = int(attributes.raw("axis", -1))
    attributes.ignore("data_format", "is_test")
    return lambda x: [normalise.softmax(x.one("X"), axis)]


@paddle_operator("log_softmax")
def define_log_softmax(attributes: PaddleAttributes) -> PaddleCompute:
    """axis -1."""
    axis = int(attributes.raw("axis", -1))
    return lambda x: [normalise.log_softmax(x.one("X"), axis)]


@paddle_operator("p_norm")
def define_p_norm(attributes: PaddleAttributes) -> PaddleCompute:
    """porder 2 over axis -1, or over everything with asvector; epsilon serves the gradient only."""
    order, axis = float(attributes.raw("porder", 2.0)), int(attributes.raw("axis", -1))
    keep, everything = bool(attributes.raw("keepdim", False)), bool(attributes.raw("asvector", False))
    attributes.ignore("epsilon")

    def compute(x: Operands) -> Sequence[Any]:
        data = x.one("X")
        return [normalise.lp_norm(data, order, range(data.ndim) if everything else (axis,), keep)]

    return compute


@paddle_operator("frobenius_norm", operands=("X", "Axes"))
def define_frobenius_norm(attributes: PaddleAttributes) -> PaddleCompute:
    """Square root of the sum of squares over some axes."""
    axes, keep = attributes.integers("dim", "axis", default=()), bool(attributes.raw("keep_dim", False))
    everything = bool(attributes.raw("reduce_all", False))
    attributes.ignore("in_dtype", "out_dtype")

    def compute(x: Operands) -> Sequence[Any]:
        data = x.one("X")
        chosen = x.integers(axes, "Axes")
        return [normalise.lp_norm(data, 2, range(data.ndim) if everything or not chosen else chosen, keep)]

    return compute


@paddle_operator(legacy=("norm",))
def define_norm(attributes: PaddleAttributes) -> PaddleCompute:
    """x / sqrt(sum of x^2 + epsilon) over an axis; the norm, its second result, is not computed."""
    axis, epsilon = int(attributes.required("axis")), float(attributes.raw("epsilon", 1e-10))
    attributes.ignore("is_test")

    def compute(x: Operands) -> Sequence[Any]:
        data = x.one("X")
        return [data / np.sqrt(np.square(data).sum(axis=axis, keepdims=True) + epsilon)]

    return compute


@paddle_operator("dropout", operands=("X", "Seed", "Probability"))
def define_dropout(attributes: PaddleAttributes) -> PaddleCompute:
    """At inference the identity (upscale_in_train), or a factor of 1 - p (downgrade_in_infer, the default)."""
    if not attributes.raw("is_test", False):
        raise attributes.refuse("is_test", "the program is one of training; export it for inference")
    mode = attributes.either("dropout_implementation", "mode", default="downgrade_in_infer")
    if mode not in ("downgrade_in_infer", "upscale_in_train"):
        raise attributes.refuse("dropout_implementation", "the oracle knows downgrade_in_infer and upscale_in_train")
    probability = float(attributes.raw("dropout_prob", 0.5))
    attributes.ignore("seed", "fix_seed")
    if mode == "upscale_in_train":
        return lambda x: [x.one("X")]
    return lambda x: [x.one("X") * (1.0 - x.number(probability, "Probability"))]
