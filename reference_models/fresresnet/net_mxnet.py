"""FresResNet as an MXNet symbol: LResNet-E-IR with one slope per PReLU, fed as its PaddlePaddle original is.

It has no MXNet original. The graph is fed with faces scaled outside, BatchNorm has eps 1e-5 and no fix_gamma; names
follow from the module paths: dots become ``_``, leading underscores are dropped, a unit's index joins its word:
``block_list.3.conv0._batch_norm.bias`` is ``block_list3_conv0_batch_norm_beta``; the sum that closes unit 3 is the node
``block_list3``. A slope is a variable of shape (1,), which LeakyReLU applies to every channel. (InsightFace's own
``fresnet`` has a slope a channel, eps 2e-5 and the scaling inside the graph.)
Paper: https://arxiv.org/abs/1801.07698
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet

mx = import_mxnet("build a reference network in MXNet")


def batch_norm(data, name, eps):
    return mx.sym.BatchNorm(data, eps=eps, momentum=0.9, fix_gamma=False, name=name)


def conv_bn(data, filters, kernel, stride, name, eps):
    """``<name>_conv`` without bias and ``<name>_batch_norm``."""
    pad = kernel // 2
    data = mx.sym.Convolution(
        data,
        num_filter=filters,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        pad=(pad, pad),
        no_bias=True,
        name=f"{name}_conv",
    )
    return batch_norm(data, f"{name}_batch_norm", eps)


def prelu(data, name):
    slope = mx.sym.Variable(f"{name}_gamma", shape=(1,), init=mx.init.Constant(0.25))
    return mx.sym.LeakyReLU(data, gamma=slope, act_type="prelu", name=name)


def residual_unit(data, filters, stride, name, eps):
    """The stride is on the second convolution and, where it is 2, on the shortcut's."""
    body = batch_norm(data, f"{name}_batch_norm", eps)
    body = prelu(conv_bn(body, filters, 3, 1, f"{name}_conv0", eps), f"{name}_prelu")
    body = conv_bn(body, filters, 3, stride, f"{name}_conv1", eps)
    aside = conv_bn(data, filters, 1, stride, f"{name}_short", eps) if stride == 2 else data
    return mx.sym.elemwise_add(body, aside, name=name)


def fresresnet(
    units: Sequence[int] = (3, 4, 14, 3),
    emb_size: int = 512,
    fc_type: str = "E",
    dropout: float = 0.4,
    flatten: bool = True,
    eps: float = 1e-5,
) -> Any:
    """The symbol: input ``data`` (N, 3, 112, 112) of about [-1, 1], output (N, emb_size), float32.

    Args:
        units: residual units in each of the four stages.
        emb_size: length of the embedding.
        fc_type: E: BatchNorm, dropout, fully connected, BatchNorm; FC: without dropout; Z: the map behind the dropout.
        dropout: probability in the head, while training.
        flatten: False leaves the map of Z as (N, 512, 7, 7).
        eps: of every BatchNorm.
    """
    body = prelu(conv_bn(mx.sym.Variable("data"), 64, 3, 1, "conv", eps), "prelu")
    block = 0
    for filters, count in zip((64, 128, 256, 512), units, strict=True):
        for index in range(count):
            body = residual_unit(body, filters, 1 if index else 2, f"block_list{block}", eps)
            block += 1
    body = batch_norm(body, "fc_batch_norm_1", eps)
    if flatten:
        body = mx.sym.Flatten(body, name="fc_flatten")
    if fc_type != "FC":
        body = mx.sym.Dropout(body, p=dropout, name="fc_dropout")
    if fc_type == "Z":
        return body
    body = mx.sym.FullyConnected(body, num_hidden=emb_size, name="fc_fc")
    return batch_norm(body, "fc_batch_norm_2", eps)
