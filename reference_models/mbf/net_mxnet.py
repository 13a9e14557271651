"""MobileFaceNet of arcface_torch and PLSC as an MXNet symbol; those two have no MXNet twin at their widths.

Structure and input are theirs: faces are scaled outside, BatchNorm has eps 1e-5 and no fix_gamma, the fully connected
layer has no bias. Names follow from their module paths: an index joins the word in front of it, dots become ``_`` and
parameters have MXNet's endings, so that ``layers.3.layers.0.layers.1.layers.0.weight`` is
``layers3_layers0_layers1_layers0_weight``; the sum that closes that unit is the node ``layers3_layers0``.
InsightFace's own MXNet net, ``fmobilefacenet``, has other names, eps 1e-3, scaling in the graph and a bias.
Paper: https://arxiv.org/abs/1804.07573
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet

mx = import_mxnet("build a reference network in MXNet")


def linear_block(data, filters, name, eps, kernel=1, stride=1, pad=0, groups=1):
    """``<name>_layers0``, a convolution without bias, and ``<name>_layers1``, its BatchNorm."""
    data = mx.sym.Convolution(
        data,
        num_filter=filters,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        pad=(pad, pad),
        num_group=groups,
        no_bias=True,
        name=f"{name}_layers0",
    )
    return mx.sym.BatchNorm(data, eps=eps, momentum=0.9, fix_gamma=False, name=f"{name}_layers1")


def conv_block(data, filters, name, eps, **shape):
    """The same and ``<name>_layers2``, the slopes."""
    data = linear_block(data, filters, name, eps, **shape)
    return mx.sym.LeakyReLU(data, act_type="prelu", name=f"{name}_layers2")


def depth_wise(data, filters, inner, name, eps, stride=2):
    """A unit without its sum."""
    body = conv_block(data, inner, f"{name}_layers0", eps)
    body = conv_block(body, inner, f"{name}_layers1", eps, kernel=3, stride=stride, pad=1, groups=inner)
    return linear_block(body, filters, f"{name}_layers2", eps)


def residual(data, filters, count, inner, name, eps):
    """A run of units with their sums."""
    for index in range(count):
        unit = f"{name}_layers{index}"
        data = mx.sym.elemwise_add(depth_wise(data, filters, inner, unit, eps, stride=1), data, name=unit)
    return data


def mobilefacenet(
    num_features: int = 512,
    blocks: Sequence[int] = (1, 4, 6, 2),
    scale: int = 2,
    eps: float = 1e-5,
    normalize: bool = False,
) -> Any:
    """The symbol: input ``data`` (N, 3, 112, 112) of about [-1, 1], output (N, num_features), float32.

    Args:
        num_features: length of the embedding.
        blocks: units in each of the four runs.
        scale: width factor; the first width is 64 times it.
        eps: of every BatchNorm.
        normalize: True appends ``normalize``, which gives embeddings of length 1.
    """
    width = 64 * scale
    body = conv_block(mx.sym.Variable("data"), width, "layers0", eps, kernel=3, stride=2, pad=1)
    if blocks[0] == 1:
        body = conv_block(body, width, "layers1", eps, kernel=3, pad=1, groups=64)
    else:
        body = residual(body, width, blocks[0], 128, "layers1", eps)
    body = depth_wise(body, width, 128, "layers2", eps)
    body = residual(body, width, blocks[1], 128, "layers3", eps)
    body = depth_wise(body, 2 * width, 256, "layers4", eps)
    body = residual(body, 2 * width, blocks[2], 256, "layers5", eps)
    body = depth_wise(body, 2 * width, 512, "layers6", eps)
    body = residual(body, 2 * width, blocks[3], 256, "layers7", eps)
    body = conv_block(body, 512, "conv_sep", eps)
    body = linear_block(body, 512, "features_layers0", eps, kernel=7, groups=512)
    body = mx.sym.Flatten(body, name="features_layers1")
    body = mx.sym.FullyConnected(body, num_hidden=num_features, no_bias=True, name="features_layers2")
    body = mx.sym.BatchNorm(body, eps=eps, momentum=0.9, fix_gamma=False, name="features_layers3")
    if normalize:
        # sqrt(sum + eps): the square of the 1e-12 that guards the division elsewhere
        body = mx.sym.L2Normalization(body, mode="instance", eps=1e-24, name="normalize")
    return body
