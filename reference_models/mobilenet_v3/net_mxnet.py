"""MobileNet V3 small and large as MXNet symbols, the form with squeeze and excitation behind the projection.

There is no MXNet original of this form: names follow from the module paths of the PyTorch one with ``_`` for dots
(``bneck_3_se_se_1_weight``). A block's sum is ``bneck_<N>``, its product ``bneck_<N>_se``. MXNet 1.9 has no hard swish:
it is x times the node ``<name>_gate``, a hard_sigmoid with slope 1/6. BatchNorm has eps 1e-5 and no fix_gamma.
Paper: https://arxiv.org/abs/1905.02244
"""

from __future__ import annotations

from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet

mx = import_mxnet("build a reference network in MXNet")

# one row a block: kernel, expanded, out, stride and what it has: R ReLU, H hard swish, S squeeze and excitation
SMALL = (
    "3 16 16 2 RS, 3 72 24 2 R, 3 88 24 1 R, 5 96 40 2 HS, 5 240 40 1 HS, 5 240 40 1 HS, 5 120 48 1 HS, 5 144 48 1 HS, "
    "5 288 96 2 HS, 5 576 96 1 HS, 5 576 96 1 HS"
)
LARGE = (
    "3 16 16 1 R, 3 64 24 2 R, 3 72 24 1 R, 5 72 40 2 RS, 5 120 40 1 RS, 5 120 40 1 RS, 3 240 80 2 H, 3 200 80 1 H, "
    "3 184 80 1 H, 3 184 80 1 H, 3 480 112 1 HS, 3 672 112 1 HS, 5 672 160 1 HS, 5 672 160 2 HS, 5 960 160 1 HS"
)


def convolution(data, filters, name, kernel=1, stride=1, groups=1):
    return mx.sym.Convolution(
        data,
        num_filter=filters,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        pad=(kernel // 2, kernel // 2),
        num_group=groups,
        no_bias=True,
        name=name,
    )


def batch_norm(data, name, eps):
    return mx.sym.BatchNorm(data, eps=eps, momentum=0.9, fix_gamma=False, name=name)


def hard_sigmoid(data, name):
    return mx.sym.hard_sigmoid(data, alpha=1 / 6, beta=0.5, name=name)


def activation(data, kind, name):
    """ReLU for R, hard swish for H."""
    if kind == "R":
        return mx.sym.Activation(data, act_type="relu", name=name)
    return mx.sym.elemwise_mul(data, hard_sigmoid(data, f"{name}_gate"), name=name)


def squeeze_and_excitation(data, filters, name, eps):
    """Over a quarter of the channels, a BatchNorm behind either convolution."""
    body = mx.sym.Pooling(data, global_pool=True, kernel=(1, 1), pool_type="avg", name=f"{name}_se_0")
    body = batch_norm(convolution(body, filters // 4, f"{name}_se_1"), f"{name}_se_2", eps)
    body = mx.sym.Activation(body, act_type="relu", name=f"{name}_se_3")
    body = batch_norm(convolution(body, filters, f"{name}_se_4"), f"{name}_se_5", eps)
    return mx.sym.broadcast_mul(data, hard_sigmoid(body, f"{name}_se_6"), name=name)


def block(data, channels, kernel, expanded, filters, stride, has, name, eps):
    body = batch_norm(convolution(data, expanded, f"{name}_conv1"), f"{name}_bn1", eps)
    body = activation(body, has[0], f"{name}_nolinear1")
    body = convolution(body, expanded, f"{name}_conv2", kernel, stride, expanded)
    body = activation(batch_norm(body, f"{name}_bn2", eps), has[0], f"{name}_nolinear2")
    body = batch_norm(convolution(body, filters, f"{name}_conv3"), f"{name}_bn3", eps)
    if "S" in has:
        body = squeeze_and_excitation(body, filters, f"{name}_se", eps)
    if stride == 2:
        return body
    aside = data
    if channels != filters:
        aside = batch_norm(convolution(data, filters, f"{name}_shortcut_0"), f"{name}_shortcut_1", eps)
    return mx.sym.elemwise_add(body, aside, name=name)


def mobilenet_v3(large: bool, num_classes: int = 1000, eps: float = 1e-5) -> Any:
    """The symbol: input ``data`` (N, 3, 224, 224), output ``linear4_output`` (N, num_classes), float32.

    Args:
        large: True for MobileNetV3-Large, False for Small.
        num_classes: length of the output.
        eps: of every BatchNorm.
    """
    body = convolution(mx.sym.Variable("data"), 16, "conv1", 3, 2)
    body = activation(batch_norm(body, "bn1", eps), "H", "hswish1")
    width = 16
    for index, row in enumerate((LARGE if large else SMALL).split(", ")):
        *numbers, has = row.split()
        kernel, expanded, filters, stride = map(int, numbers)
        body = block(body, width, kernel, expanded, filters, stride, has, f"bneck_{index}", eps)
        width = filters
    body = batch_norm(convolution(body, 6 * width, "conv2"), "bn2", eps)
    body = activation(body, "H", "hswish2")
    body = mx.sym.Pooling(body, kernel=(7, 7), stride=(7, 7), pool_type="avg", name="avgpool")
    body = mx.sym.FullyConnected(mx.sym.Flatten(body, name="flatten"), num_hidden=1280, name="linear3")
    body = activation(batch_norm(body, "bn3", eps), "H", "hswish3")
    return mx.sym.FullyConnected(body, num_hidden=num_classes, name="linear4")
