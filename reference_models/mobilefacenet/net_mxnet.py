"""MobileFaceNet as an MXNet symbol: the network of FFC and arcface_paddle, which have no MXNet twin.

Structure and input are theirs: the graph is fed with faces scaled outside, BatchNorm has eps 1e-5 and no fix_gamma.
Names follow from their module paths: dots between words become ``_``, a block's index joins its word, and the
parameters have MXNet's own endings: ``conv1.conv.weight`` is ``conv1_conv_weight``, ``blocks.0.conv.1.running_var`` is
``blocks0_conv1_moving_var``; the sum that closes block 3 is the node ``blocks3``. (InsightFace's own ``fmobilefacenet``
has other names, eps 1e-3, scaling inside the graph and a fully connected layer at its end.)
Paper: https://arxiv.org/abs/1804.07573
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet

mx = import_mxnet("build a reference network in MXNet")

# expansion, channels, bottlenecks, stride of the first one
SETTING = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


def conv_bn(data, filters, kernel, conv, bn, eps, stride=1, pad=0, groups=1):
    """A convolution without bias and its BatchNorm, under the two node names given."""
    data = mx.sym.Convolution(
        data,
        num_filter=filters,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        pad=(pad, pad),
        num_group=groups,
        no_bias=True,
        name=conv,
    )
    return mx.sym.BatchNorm(data, eps=eps, momentum=0.9, fix_gamma=False, name=bn)


def conv_block(data, filters, kernel, name, eps, linear=False, **shape):
    """``<name>_conv``, ``<name>_bn`` and, unless linear, ``<name>_prelu``."""
    data = conv_bn(data, filters, kernel, f"{name}_conv", f"{name}_bn", eps, **shape)
    return data if linear else mx.sym.LeakyReLU(data, act_type="prelu", name=f"{name}_prelu")


def bottleneck(data, channels, filters, stride, expansion, name, eps):
    """``<name>_conv0`` .. ``<name>_conv7`` in the order of the Sequential; its sum, if any, is ``<name>``."""
    hidden = channels * expansion
    body = conv_bn(data, hidden, 1, f"{name}_conv0", f"{name}_conv1", eps)
    body = mx.sym.LeakyReLU(body, act_type="prelu", name=f"{name}_conv2")
    body = conv_bn(body, hidden, 3, f"{name}_conv3", f"{name}_conv4", eps, stride=stride, pad=1, groups=hidden)
    body = mx.sym.LeakyReLU(body, act_type="prelu", name=f"{name}_conv5")
    body = conv_bn(body, filters, 1, f"{name}_conv6", f"{name}_conv7", eps)
    if stride == 1 and channels == filters:
        body = mx.sym.elemwise_add(body, data, name=name)
    return body


def mobilefacenet(
    emb_size: int = 128,
    setting: Sequence[tuple[int, int, int, int]] = SETTING,
    eps: float = 1e-5,
    normalize: bool = False,
) -> Any:
    """The symbol: input ``data`` (N, 3, 112, 112) of about [-1, 1], output (N, emb_size), float32.

    Args:
        emb_size: length of the embedding.
        setting: rows of expansion, channels, bottlenecks, stride of the first.
        eps: of every BatchNorm.
        normalize: True appends ``normalize``, which gives embeddings of length 1.
    """
    body = conv_block(mx.sym.Variable("data"), 64, 3, "conv1", eps, stride=2, pad=1)
    body = conv_block(body, 64, 3, "dw_conv1", eps, pad=1, groups=64)
    channels, block = 64, 0
    for expansion, filters, count, first_stride in setting:
        for index in range(count):
            stride = 1 if index else first_stride
            body = bottleneck(body, channels, filters, stride, expansion, f"blocks{block}", eps)
            channels, block = filters, block + 1
    body = conv_block(body, 512, 1, "conv2", eps)
    body = conv_block(body, 512, 7, "linear7", eps, linear=True, groups=512)
    body = conv_block(body, emb_size, 1, "linear1", eps, linear=True)
    body = mx.sym.Flatten(body, name="flatten")
    if normalize:
        # sqrt(sum + eps): the square of the 1e-12 that guards the division elsewhere
        body = mx.sym.L2Normalization(body, mode="instance", eps=1e-24, name="normalize")
    return body
