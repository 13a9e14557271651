"""AdaFace's IR and IR-SE face recognition networks as MXNet symbols.

There is no MXNet original: the structure is that of mk-minchul/AdaFace, and names follow from its module paths with
underscores for dots (``body_3_res_layer_4_weight``). The sum that closes a unit is ``body_<N>``. Fed with BGR,
(pixel - 127.5) / 127.5, as the others are. The last BatchNorm has neither scale nor shift: its gamma and beta are
constants of the graph (``_ones``, ``_zeros``), so that no file holds them and no training step moves them.
Paper: https://arxiv.org/abs/2204.00964
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet

mx = import_mxnet("build a reference network in MXNet")


def convolution(data, filters, kernel, stride, name):
    pad = (kernel // 2, kernel // 2)
    return mx.sym.Convolution(
        data, num_filter=filters, kernel=(kernel, kernel), stride=(stride, stride), pad=pad, no_bias=True, name=name
    )


def squeeze_and_excitation(data, filters, name):
    """The map times one number a channel, over filters // 16 numbers."""
    body = mx.sym.Pooling(data, global_pool=True, kernel=(1, 1), pool_type="avg", name=f"{name}_avg_pool")
    body = mx.sym.Activation(convolution(body, filters // 16, 1, 1, f"{name}_fc1"), "relu", name=f"{name}_relu")
    body = mx.sym.Activation(convolution(body, filters, 1, 1, f"{name}_fc2"), "sigmoid", name=f"{name}_sigmoid")
    return mx.sym.broadcast_mul(data, body, name=name)


def residual_unit(data, filters, stride, match, bottleneck, se, name, bn):
    """``match`` is True where input and output have one width, so that the shortcut has no convolution."""
    shortcut = f"{name}_shortcut_layer"
    if match:
        aside = mx.sym.Pooling(data, kernel=(1, 1), stride=(stride, stride), pool_type="max", name=shortcut)
    else:
        aside = convolution(data, filters, 1, stride, f"{shortcut}_0")
        aside = mx.sym.BatchNorm(aside, name=f"{shortcut}_1", **bn)
    res = f"{name}_res_layer"
    inner = filters // 4 if bottleneck else filters
    body = mx.sym.BatchNorm(data, name=f"{res}_0", **bn)
    body = convolution(body, inner, 1 if bottleneck else 3, 1, f"{res}_1")
    body = mx.sym.BatchNorm(body, name=f"{res}_2", **bn)
    body = mx.sym.LeakyReLU(body, act_type="prelu", name=f"{res}_3")
    if bottleneck:
        body = convolution(body, inner, 3, 1, f"{res}_4")
        body = mx.sym.BatchNorm(body, name=f"{res}_5", **bn)
        body = mx.sym.LeakyReLU(body, act_type="prelu", name=f"{res}_6")
        body = convolution(body, filters, 1, stride, f"{res}_7")
        body = mx.sym.BatchNorm(body, name=f"{res}_8", **bn)
    else:
        body = convolution(body, filters, 3, stride, f"{res}_4")
        body = mx.sym.BatchNorm(body, name=f"{res}_5", **bn)
    if se:
        body = squeeze_and_excitation(body, filters, f"{res}_se_block")
    return mx.sym.elemwise_add(aside, body, name=name)


def adaface(
    units: Sequence[int] = (3, 4, 14, 3),
    bottleneck: bool = False,
    se: bool = False,
    emb_size: int = 512,
    dropout: float = 0.4,
    eps: float = 1e-5,
    normalize: bool = True,
) -> Any:
    """The symbol of one network: input ``data`` (N, 3, 112, 112) or (N, 3, 224, 224), float32.

    Args:
        units: residual units in each of the four stages.
        bottleneck: True for units 1x1 - 3x3 - 1x1 and four times the width.
        se: True for squeeze and excitation at the end of every unit's branch.
        emb_size: length of the embedding.
        dropout: probability in front of the fully connected layer, while training.
        eps: of every BatchNorm.
        normalize: True gives ``feature_output`` (N, emb_size) and ``norm_output`` (N, 1), False the embedding itself,
            ``output_layer_4_output``.
    """
    bn = {"eps": eps, "momentum": 0.9, "fix_gamma": False}
    with mx.name.NameManager():  # automatic names count from 0, whatever the process built before
        body = convolution(mx.sym.Variable("data"), 64, 3, 1, "input_layer_0")
        body = mx.sym.BatchNorm(body, name="input_layer_1", **bn)
        body = mx.sym.LeakyReLU(body, act_type="prelu", name="input_layer_2")
        index, width = 0, 64
        for stage, count in enumerate(units):
            filters = (256 if bottleneck else 64) << stage
            for unit in range(count):
                stride = 2 if unit == 0 else 1
                body = residual_unit(body, filters, stride, width == filters, bottleneck, se, f"body_{index}", bn)
                index, width = index + 1, filters
        body = mx.sym.BatchNorm(body, name="output_layer_0", **bn)
        body = mx.sym.Dropout(body, p=dropout, name="output_layer_1")
        body = mx.sym.Flatten(body, name="output_layer_2")
        body = mx.sym.FullyConnected(body, num_hidden=emb_size, name="output_layer_3")
        body = mx.sym.BatchNorm(
            body,
            gamma=mx.sym.ones((emb_size,), name="output_layer_4_ones"),
            beta=mx.sym.zeros((emb_size,), name="output_layer_4_zeros"),
            name="output_layer_4",
            eps=eps,
            momentum=0.9,
            fix_gamma=True,
        )
        if not normalize:
            return body
        norm = mx.sym.sqrt(mx.sym.sum(mx.sym.square(body), axis=1, keepdims=True), name="norm")
        return mx.sym.Group([mx.sym.broadcast_div(body, norm, name="feature"), norm])
