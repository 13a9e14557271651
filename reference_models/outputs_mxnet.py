"""The outputs of InsightFace's networks as MXNet symbols: what lies between the last map and the embedding.

The nets that upstream gives these outputs, fresnet, fmobilefacenet and fmobilenet, share them here as they do there.
Names of nodes and arguments are the original's. ``fc1``, ``bn6f`` and ``bn6w`` have fix_gamma.
Source: deepinsight/insightface, recognition/arcface_mxnet/symbol/symbol_utils.py, src/symbols/symbol_utils.py of 2018
"""

from __future__ import annotations

from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet

mx = import_mxnet("build a reference network in MXNet")

POOLED = ("GAP", "A", "B", "C", "D", "AX", "BX", "CX", "DX")
GROUPS = 512  # of GDC and SFC at every width; the length from which GNAP tells its three forms


def conv(
    data: Any,
    filters: int,
    kernel: int,
    name: str,
    stride: int = 1,
    groups: int = 1,
    pad: int | None = None,
    no_bias: bool = True,
) -> Any:
    """A square convolution, padded to keep the size at stride 1 unless ``pad`` says otherwise."""
    pad = kernel // 2 if pad is None else pad
    return mx.sym.Convolution(
        data,
        num_filter=filters,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        pad=(pad, pad),
        num_group=groups,
        no_bias=no_bias,
        name=name,
    )


def batch_norm(data: Any, name: str, eps: float, fix_gamma: bool = False) -> Any:
    """A BatchNorm."""
    return mx.sym.BatchNorm(data, fix_gamma=fix_gamma, eps=eps, momentum=0.9, name=name)


def activation(data: Any, kind: str, name: str) -> Any:
    """PReLU with a slope a channel, or a function without parameters."""
    if kind == "prelu":
        return mx.sym.LeakyReLU(data, act_type="prelu", name=name)
    return mx.sym.Activation(data, act_type=kind, name=name)


def norm_aware(data: Any, filters: int) -> Any:
    """Every pixel's vector times the mean length of the batch's vectors over its own length."""
    length = mx.sym.sqrt(mx.sym.sum(data * data, axis=1, keepdims=True))
    factor = mx.sym.broadcast_div(mx.sym.mean(length, axis=(0, 1, 2, 3), keepdims=True), length)
    return data * mx.sym.tile(factor, reps=(1, filters, 1, 1))


def embedding(
    body: Any, kind: str, emb_size: int, act: str, dropout: float, eps: float = 2e-5, gdc_eps: float = 1e-3
) -> Any:
    """The symbol of an output.

    Args:
        body: the last map.
        kind: E, FC, I, J, F, G, H, Z, GAP, SFC, GDC, GNAP, A, B, C, D, AX, BX, CX or DX.
        emb_size: length of the embedding.
        act: activation of the outputs that have one: prelu or an act_type of Activation.
        dropout: probability in the outputs that have one, while training.
        eps: of every BatchNorm but that of GDC.
        gdc_eps: of that.
    """
    if kind in ("E", "FC", "I", "F", "G", "Z", "SFC", *POOLED):
        body = batch_norm(body, "bn1", eps)
    if kind in ("E", "F", "Z"):
        body = mx.sym.Dropout(body, p=dropout)
    if kind == "Z":
        return body
    if kind in ("F", "G", "H"):
        return mx.sym.FullyConnected(body, num_hidden=emb_size, name="fc1")
    if kind == "SFC":
        body = conv(body, GROUPS, 3, "convf", 2, groups=GROUPS)
        body = activation(batch_norm(body, "bnf", eps), act, "reluf")
        body = conv(body, GROUPS, 1, "convf2", no_bias=False)
        body = activation(batch_norm(body, "bnf2", eps), act, "reluf2")
    elif kind == "GDC":
        body = conv(body, GROUPS, 7, "conv_6dw7_7_conv2d", groups=GROUPS, pad=0)
        body = batch_norm(body, "conv_6dw7_7_batchnorm", gdc_eps)
    elif kind == "GNAP":
        filters = max(emb_size, GROUPS)
        if emb_size > GROUPS:
            body = batch_norm(conv(body, filters, 1, "convx"), "convx_bn", eps)
            body = activation(body, act, "convx_relu")
        body = norm_aware(batch_norm(body, "bn6f", eps, fix_gamma=True), filters)
        body = mx.sym.Pooling(body, global_pool=True, kernel=(7, 7), pool_type="avg")
        if emb_size >= GROUPS:
            return batch_norm(mx.sym.Flatten(body), "fc1", eps, fix_gamma=True)
        body = batch_norm(body, "bn6w", eps, fix_gamma=True)
    elif kind in POOLED:
        body = activation(body, act, "relu1")
        body = mx.sym.Pooling(body, global_pool=True, kernel=(7, 7), pool_type="avg", name="pool1")
        body = mx.sym.Flatten(body)
        if kind.endswith("X"):
            body = mx.sym.Dropout(body, p=dropout)
        if kind[0] == "A":
            return body
    body = mx.sym.FullyConnected(body, num_hidden=emb_size, name="pre_fc1")
    if kind in ("B", "BX"):
        return body
    body = batch_norm(body, "fc1", eps, fix_gamma=True)
    return activation(body, "prelu", "fc1_relu") if kind in ("D", "DX") else body
