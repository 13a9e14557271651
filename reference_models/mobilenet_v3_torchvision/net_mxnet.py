"""MobileNet V3 small and large as MXNet symbols: torchvision's network, named after its module paths.

There is no MXNet original of this form: dots become ``_``, parameters have MXNet's own endings
(``features_4_block_2_fc1_weight``). The sum that closes a residual is ``features_<N>``, the product of squeeze and
excitation ``features_<N>_block_<M>``. MXNet 1.9 has no hard swish: it is x times the node ``<name>_gate``, a
hard_sigmoid with slope 1/6. BatchNorm has eps 1e-3, momentum 0.99 (torch's 0.01) and no fix_gamma.
Paper: https://arxiv.org/abs/1905.02244
"""

from __future__ import annotations

from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet

mx = import_mxnet("build a reference network in MXNet")

# one row a residual: kernel, expanded, out, stride and what it has: R ReLU, H hard swish, S squeeze and excitation
SMALL = (
    "3 16 16 2 RS, 3 72 24 2 R, 3 88 24 1 R, 5 96 40 2 HS, 5 240 40 1 HS, 5 240 40 1 HS, 5 120 48 1 HS, 5 144 48 1 HS, "
    "5 288 96 2 HS, 5 576 96 1 HS, 5 576 96 1 HS"
)
LARGE = (
    "3 16 16 1 R, 3 64 24 2 R, 3 72 24 1 R, 5 72 40 2 RS, 5 120 40 1 RS, 5 120 40 1 RS, 3 240 80 2 H, 3 200 80 1 H, "
    "3 184 80 1 H, 3 184 80 1 H, 3 480 112 1 HS, 3 672 112 1 HS, 5 672 160 2 HS, 5 960 160 1 HS, 5 960 160 1 HS"
)


def hard_sigmoid(data, name):
    return mx.sym.hard_sigmoid(data, alpha=1 / 6, beta=0.5, name=name)


def hard_swish(data, name):
    return mx.sym.elemwise_mul(data, hard_sigmoid(data, f"{name}_gate"), name=name)


def activation(data, kind, name):
    return hard_swish(data, name) if kind == "H" else mx.sym.Activation(data, act_type="relu", name=name)


def conv_bn(data, filters, kernel, name, eps, stride=1, groups=1):
    """``<name>_0`` and ``<name>_1``."""
    data = mx.sym.Convolution(
        data,
        num_filter=filters,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        pad=(kernel // 2, kernel // 2),
        num_group=groups,
        no_bias=True,
        name=f"{name}_0",
    )
    return mx.sym.BatchNorm(data, eps=eps, momentum=0.99, fix_gamma=False, name=f"{name}_1")


def squeeze_and_excitation(data, filters, name):
    """Over a quarter of the channels, as a multiple of 8."""
    quarter = filters // 4
    squeezed = max(8, (quarter + 4) // 8 * 8)
    if squeezed < 0.9 * quarter:
        squeezed += 8
    body = mx.sym.Pooling(data, global_pool=True, kernel=(1, 1), pool_type="avg", name=f"{name}_avgpool")
    body = mx.sym.Convolution(body, num_filter=squeezed, kernel=(1, 1), name=f"{name}_fc1")
    body = mx.sym.Activation(body, act_type="relu", name=f"{name}_activation")
    body = mx.sym.Convolution(body, num_filter=filters, kernel=(1, 1), name=f"{name}_fc2")
    return mx.sym.broadcast_mul(data, hard_sigmoid(body, f"{name}_scale_activation"), name=name)


def inverted_residual(data, channels, kernel, expanded, filters, stride, has, name, eps):
    body, place = data, 0
    if expanded != channels:
        body = activation(conv_bn(body, expanded, 1, f"{name}_block_0", eps), has[0], f"{name}_block_0_2")
        place = 1
    depthwise = f"{name}_block_{place}"
    body = conv_bn(body, expanded, kernel, depthwise, eps, stride=stride, groups=expanded)
    body = activation(body, has[0], f"{depthwise}_2")
    if "S" in has:
        place += 1
        body = squeeze_and_excitation(body, expanded, f"{name}_block_{place}")
    body = conv_bn(body, filters, 1, f"{name}_block_{place + 1}", eps)
    if stride == 1 and channels == filters:
        body = mx.sym.elemwise_add(data, body, name=name)
    return body


def mobilenet_v3(large: bool, num_classes: int = 1000, dropout: float = 0.2, eps: float = 1e-3) -> Any:
    """The symbol: input ``data`` (N, 3, 224, 224), output ``classifier_3_output`` (N, num_classes), float32.

    Args:
        large: True for MobileNetV3-Large, False for Small.
        num_classes: length of the output.
        dropout: probability in front of the last fully connected layer, while training.
        eps: of every BatchNorm.
    """
    body = hard_swish(conv_bn(mx.sym.Variable("data"), 16, 3, "features_0", eps, stride=2), "features_0_2")
    width, index = 16, 0
    for row in (LARGE if large else SMALL).split(", "):
        *numbers, has = row.split()
        kernel, expanded, filters, stride = map(int, numbers)
        index += 1
        body = inverted_residual(body, width, kernel, expanded, filters, stride, has, f"features_{index}", eps)
        width = filters
    index += 1
    body = hard_swish(conv_bn(body, 6 * width, 1, f"features_{index}", eps), f"features_{index}_2")
    body = mx.sym.Pooling(body, global_pool=True, kernel=(1, 1), pool_type="avg", name="avgpool")
    body = mx.sym.Flatten(body, name="flatten")
    body = mx.sym.FullyConnected(body, num_hidden=1280 if large else 1024, name="classifier_0")
    body = mx.sym.Dropout(hard_swish(body, "classifier_1"), p=dropout, name="classifier_2")
    return mx.sym.FullyConnected(body, num_hidden=num_classes, name="classifier_3")
