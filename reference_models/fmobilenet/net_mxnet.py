"""InsightFace's MobileNet V1 for faces as an MXNet symbol: ``fmobilenet``, with PReLU and every output.

Fed with RGB pixels 0..255: the graph computes (pixel - 127.5) * 0.0078125. Names are those of the original. Every
BatchNorm behind a convolution has MXNet's defaults, eps 1e-3 and fix_gamma, so that its stored gamma is never used; the
one of GDC has a gamma of its own. Those of the other outputs have eps 2e-5.
Source: deepinsight/insightface, recognition/arcface_mxnet/symbol/fmobilenet.py; https://arxiv.org/abs/1704.04861
"""

from __future__ import annotations

from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet
from facecvt.reference_models.outputs_mxnet import embedding

mx = import_mxnet("build a reference network in MXNet")

# channels at multiplier 1 and stride of the pairs conv_2 .. conv_14
PAIRS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))


def conv_bn(data, filters, name, eps, fix_gamma, kernel, stride=1, pad=0, groups=1):
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
    return mx.sym.BatchNorm(data, eps=eps, momentum=0.9, fix_gamma=fix_gamma, name=f"{name}_batchnorm")


def conv(data, filters, name, eps, **shape):
    """The same and ``<name>_relu``."""
    return mx.sym.LeakyReLU(conv_bn(data, filters, name, eps, True, **shape), act_type="prelu", name=f"{name}_relu")


def fmobilenet(
    emb_size: int = 512,
    multiplier: float = 1.0,
    kind: str = "E",
    stride: int = 1,
    dropout: float = 0.4,
    eps: float = 1e-3,
    normalize: bool = False,
) -> Any:
    """The symbol: input ``data`` (N, 3, 112, 112), output ``fc1_output`` (N, emb_size), float32.

    Args:
        emb_size: length of the embedding.
        multiplier: width factor.
        kind: output E, FC, I, J, F, G, H, Z, GAP, SFC, GDC, GNAP, A, B, C, D, AX, BX, CX or DX.
        stride: of ``conv_1``; 2 takes 224x224.
        dropout: probability in the outputs that have one, while training.
        eps: of the BatchNorms behind convolutions.
        normalize: True appends ``normalize``, which gives embeddings of length 1.
    """
    with mx.name.NameManager():  # automatic names count from 0, whatever the process built before
        body = (mx.sym.Variable("data") - 127.5) * 0.0078125
        channels = int(32 * multiplier)
        body = conv(body, channels, "conv_1", eps, kernel=3, stride=stride, pad=1)
        for number, (filters, pair_stride) in enumerate(PAIRS, start=2):
            body = conv(body, channels, f"conv_{number}_dw", eps, kernel=3, stride=pair_stride, pad=1, groups=channels)
            channels = int(32 * multiplier) * filters // 32
            body = conv(body, channels, f"conv_{number}", eps, kernel=1)
        body = embedding(body, kind, emb_size, "prelu", dropout, gdc_eps=eps)
        if normalize:
            # sqrt(sum + eps): the square of the 1e-12 that guards the division elsewhere
            body = mx.sym.L2Normalization(body, mode="instance", eps=1e-24, name="normalize")
        return body
