"""LResNet-E-IR as an MXNet symbol: the ``fresnet`` of InsightFace with unit 3, input 1 and output E.

Fed with RGB pixels 0..255: the graph itself computes (pixel - 127.5) * 0.0078125. Node, argument and automatic names
(``_plus0`` .. for the sums) are those of the original, so its ``.params`` files fit. BatchNorm has eps 2e-5; the last
one, ``fc1``, has fix_gamma, so that its stored gamma is never used.
Source: deepinsight/insightface, recognition/arcface_mxnet/symbol/fresnet.py; paper https://arxiv.org/abs/1801.07698
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet

mx = import_mxnet("build a reference network in MXNet")


def residual_unit(data, filters, stride, match, name, bn):
    """Unit 3. ``match`` is True where input and output have one shape, so that the shortcut is the input itself."""
    body = mx.sym.BatchNorm(data, name=f"{name}_bn1", **bn)
    body = mx.sym.Convolution(
        body, num_filter=filters, kernel=(3, 3), stride=(1, 1), pad=(1, 1), no_bias=True, name=f"{name}_conv1"
    )
    body = mx.sym.BatchNorm(body, name=f"{name}_bn2", **bn)
    body = mx.sym.LeakyReLU(body, act_type="prelu", name=f"{name}_relu1")
    body = mx.sym.Convolution(
        body, num_filter=filters, kernel=(3, 3), stride=stride, pad=(1, 1), no_bias=True, name=f"{name}_conv2"
    )
    body = mx.sym.BatchNorm(body, name=f"{name}_bn3", **bn)
    if match:
        return body + data
    shortcut = mx.sym.Convolution(
        data, num_filter=filters, kernel=(1, 1), stride=stride, no_bias=True, name=f"{name}_conv1sc"
    )
    return body + mx.sym.BatchNorm(shortcut, name=f"{name}_sc", **bn)


def iresnet(
    units: Sequence[int] = (3, 4, 14, 3),
    emb_size: int = 512,
    dropout: float = 0.4,
    eps: float = 2e-5,
    normalize: bool = False,
) -> Any:
    """The symbol of one network: input ``data`` (N, 3, 112, 112), output ``fc1_output`` (N, emb_size), float32.

    Args:
        units: residual units in each of the four stages.
        emb_size: length of the embedding.
        dropout: probability in front of ``pre_fc1``, while training.
        eps: of every BatchNorm.
        normalize: True appends ``normalize``, which gives embeddings of length 1.
    """
    bn = {"eps": eps, "momentum": 0.9, "fix_gamma": False}
    with mx.name.NameManager():  # automatic names count from 0, whatever the process built before
        body = mx.sym.identity(mx.sym.Variable("data"), name="id")
        body = (body - 127.5) * 0.0078125
        body = mx.sym.Convolution(
            body, num_filter=64, kernel=(3, 3), stride=(1, 1), pad=(1, 1), no_bias=True, name="conv0"
        )
        body = mx.sym.BatchNorm(body, name="bn0", **bn)
        body = mx.sym.LeakyReLU(body, act_type="prelu", name="relu0")
        for stage, (filters, count) in enumerate(zip((64, 128, 256, 512), units, strict=True), start=1):
            for unit in range(1, count + 1):
                stride = (2, 2) if unit == 1 else (1, 1)
                body = residual_unit(body, filters, stride, unit > 1, f"stage{stage}_unit{unit}", bn)
        body = mx.sym.BatchNorm(body, name="bn1", **bn)
        body = mx.sym.Dropout(body, p=dropout)
        body = mx.sym.FullyConnected(body, num_hidden=emb_size, name="pre_fc1")
        body = mx.sym.BatchNorm(body, name="fc1", eps=eps, momentum=0.9, fix_gamma=True)
        if normalize:
            # sqrt(sum + eps): the square of the 1e-12 that guards the division elsewhere
            body = mx.sym.L2Normalization(body, mode="instance", eps=1e-24, name="normalize")
        return body
