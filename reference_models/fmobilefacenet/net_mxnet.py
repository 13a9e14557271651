"""InsightFace's MXNet MobileFaceNet: the symbol ``fmobilefacenet``, at every choice of blocks and outputs.

Fed with RGB pixels 0..255: the graph computes (pixel - 127.5) * 0.0078125. Node, argument and automatic names
(``_plus0`` .. for the sums) are those of the original. A block is ``_conv2d`` without bias, ``_batchnorm`` (MXNet's
default eps 1e-3, no fix_gamma) and ``_relu`` (PReLU); what follows the last block has eps 2e-5, but for GDC.
Source: deepinsight/insightface, recognition/arcface_mxnet/symbol/fmobilefacenet.py and, with GNAP as its default
output, src/symbols/fmobilefacenet.py of 2018; paper https://arxiv.org/abs/1804.07573
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet
from facecvt.reference_models.outputs_mxnet import embedding

mx = import_mxnet("build a reference network in MXNet")


def linear(data, filters, name, eps, kernel=1, stride=1, pad=0, groups=1):
    """``<name>_conv2d`` and ``<name>_batchnorm``."""
    data = mx.sym.Convolution(
        data,
        num_filter=filters,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        pad=(pad, pad),
        num_group=groups,
        no_bias=True,
        name=f"{name}_conv2d",
    )
    return mx.sym.BatchNorm(data, eps=eps, momentum=0.9, fix_gamma=False, name=f"{name}_batchnorm")


def conv(data, filters, name, eps, **shape):
    """The same and ``<name>_relu``."""
    return mx.sym.LeakyReLU(linear(data, filters, name, eps, **shape), act_type="prelu", name=f"{name}_relu")


def dconv(data, filters, groups, name, eps, stride=2):
    """1x1 to ``groups`` channels, 3x3 depthwise with the stride, linear 1x1."""
    data = conv(data, groups, f"{name}_conv_sep", eps)
    data = conv(data, groups, f"{name}_conv_dw", eps, kernel=3, stride=stride, pad=1, groups=groups)
    return linear(data, filters, f"{name}_conv_proj", eps)


def residual(data, filters, count, groups, name, eps):
    """A run of units that are summed up."""
    for index in range(count):
        data = dconv(data, filters, groups, f"{name}_block{index}", eps, stride=1) + data
    return data


def fmobilefacenet(
    emb_size: int = 512,
    blocks: Sequence[int] = (1, 4, 6, 2),
    kind: str = "E",
    dropout: float = 0.4,
    eps: float = 1e-3,
    normalize: bool = False,
) -> Any:
    """The symbol: input ``data`` (N, 3, 112, 112), output ``fc1_output`` (N, emb_size), float32.

    Args:
        emb_size: length of the embedding.
        blocks: units in each of the four runs; a first run of one is a depthwise convolution instead.
        kind: E, FC, I, J, F, G, H, Z, GAP, SFC, GDC, GNAP, A, B, C, D, AX, BX, CX or DX.
        dropout: probability in the outputs that have one, while training.
        eps: of the BatchNorms behind convolutions.
        normalize: True appends ``normalize``, which gives embeddings of length 1.
    """
    with mx.name.NameManager():  # automatic names count from 0, whatever the process built before
        body = (mx.sym.Variable("data") - 127.5) * 0.0078125
        body = conv(body, 64, "conv_1", eps, kernel=3, stride=2, pad=1)
        if blocks[0] == 1:
            body = conv(body, 64, "conv_2_dw", eps, kernel=3, pad=1, groups=64)
        else:
            body = residual(body, 64, blocks[0], 64, "res_2", eps)
        body = dconv(body, 64, 128, "dconv_23", eps)
        body = residual(body, 64, blocks[1], 128, "res_3", eps)
        body = dconv(body, 128, 256, "dconv_34", eps)
        body = residual(body, 128, blocks[2], 256, "res_4", eps)
        body = dconv(body, 128, 512, "dconv_45", eps)
        body = residual(body, 128, blocks[3], 256, "res_5", eps)
        body = conv(body, 512, "conv_6sep", eps)
        body = embedding(body, kind, emb_size, "prelu", dropout, gdc_eps=eps)
        if normalize:
            # sqrt(sum + eps): the square of the 1e-12 that guards the division elsewhere
            body = mx.sym.L2Normalization(body, mode="instance", eps=1e-24, name="normalize")
        return body
