"""SlimFaceNet as an MXNet symbol, fed as its PaddlePaddle original is.

It has no MXNet original. Nodes have the names of the original's layers, ``residual_unit2_depthwise_bn``,
``residual_unit2_se_1``, and their parameters MXNet's endings; a sum is ``residual_unit2``, with a ReLU behind it
``residual_unit2_add``, which leaves the plain name to the ReLU. BatchNorm has eps 1e-5 and no fix_gamma.
Source of the structure: PaddlePaddle/PaddleSlim, demo/models/slimfacenet.py
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet

mx = import_mxnet("build a reference network in MXNet")

# width -> filters of the first row of units and of the others
FILTERS = {1.0: (64, 128), 0.9: (56, 116), 0.75: (48, 96), 0.6: (40, 76)}
STRIDES = (2, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1)
FIRST_ROW = 5
A_X0_60 = (0, 1, 5, 1, 0, 2, 1, 2, 0, 1, 2, 1, 1, 0, 1)


def prelu(data, name):
    return mx.sym.LeakyReLU(data, act_type="prelu", name=name)


def linear_block(data, filters, name, eps, kernel=(1, 1), stride=1, pad=0, groups=1):
    """``<name>`` without bias and ``<name>_bn``."""
    data = mx.sym.Convolution(
        data,
        num_filter=filters,
        kernel=kernel,
        stride=(stride, stride),
        pad=(pad, pad),
        num_group=groups,
        no_bias=True,
        name=name,
    )
    return mx.sym.BatchNorm(data, eps=eps, momentum=0.9, fix_gamma=False, name=f"{name}_bn")


def conv_block(data, filters, name, eps, **shape):
    """The same and ``<name>_prelu``."""
    return prelu(linear_block(data, filters, name, eps, **shape), f"{name}_prelu")


def squeeze_and_excitation(data, filters, name):
    """Over a quarter of the channels, with biases; the gate is 0.2 x + 0.5 within 0 .. 1."""
    body = mx.sym.Pooling(data, global_pool=True, kernel=(1, 1), pool_type="avg", name=f"{name}_pool")
    body = mx.sym.Convolution(body, num_filter=filters // 4, kernel=(1, 1), name=f"{name}_1")
    body = mx.sym.Convolution(prelu(body, f"{name}_prelu"), num_filter=filters, kernel=(1, 1), name=f"{name}_2")
    gate = mx.sym.hard_sigmoid(body, alpha=0.2, beta=0.5, name=f"{name}_gate")
    return mx.sym.broadcast_mul(data, gate, name=name)


def residual_unit(data, channels, filters, stride, code, relu, name, eps):
    expansion, has_se = (2, 4, 6)[code // 2], code % 2 == 1
    hidden = channels * expansion
    body = conv_block(data, hidden, f"{name}_expand", eps)
    body = conv_block(body, hidden, f"{name}_depthwise", eps, kernel=(3, 3), stride=stride, pad=1, groups=hidden)
    if has_se:
        body = squeeze_and_excitation(body, hidden, f"{name}_se")
    body = linear_block(body, filters, f"{name}_linear", eps)
    if stride != 1 or channels != filters:
        return body
    if not relu:
        return mx.sym.elemwise_add(data, body, name=name)
    return mx.sym.Activation(mx.sym.elemwise_add(data, body, name=f"{name}_add"), act_type="relu", name=name)


def slimfacenet(
    width: float = 0.6,
    arch: Sequence[int] = A_X0_60,
    emb_size: int = 128,
    relu: bool = False,
    eps: float = 1e-5,
) -> Any:
    """The symbol: input ``data`` (N, 3, 112, 96), (pixel - 127.5) / 128, output (N, emb_size), float32.

    Args:
        width: 1.0, 0.9, 0.75 or 0.6.
        arch: one code for each of the fifteen units: 2 * (expansion / 2 - 1), and 1 more with squeeze and excitation.
        emb_size: length of the embedding.
        relu: True for the form with a ReLU after every sum.
        eps: of every BatchNorm.
    """
    first, others = FILTERS[width]
    body = conv_block(mx.sym.Variable("data"), 64, "conv3x3", eps, kernel=(3, 3), stride=2, pad=1)
    body = conv_block(body, 64, "dw_conv3x3", eps, kernel=(3, 3), pad=1, groups=64)
    channels = 64
    for index, (stride, code) in enumerate(zip(STRIDES, arch, strict=True)):
        filters = first if index < FIRST_ROW else others
        body = residual_unit(body, channels, filters, stride, code, relu, f"residual_unit{index + 1}", eps)
        channels = filters
    body = conv_block(body, 512, "conv1x1", eps)
    body = linear_block(body, 512, "global_dw_conv7x7", eps, kernel=(7, 6), groups=512)
    body = linear_block(body, emb_size, "linear_conv1x1", eps)
    return mx.sym.Flatten(body, name="flatten")
