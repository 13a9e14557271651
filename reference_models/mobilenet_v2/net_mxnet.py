"""MobileNet V2 as an MXNet symbol, named after torchvision's module paths.

There is no MXNet original of this form (Gluon's ``mobilenetv2_1.0`` has other names and a convolution for its last
layer): dots become ``_``, parameters have MXNet's own endings: ``features_3_conv_0_1_moving_var``. The sum that closes
an inverted residual is ``features_<N>``. BatchNorm has eps 1e-5 and no fix_gamma; images are scaled outside the graph.
Paper: https://arxiv.org/abs/1801.04381
"""

from __future__ import annotations

from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet

mx = import_mxnet("build a reference network in MXNet")

# one row an inverted residual: expansion, channels, stride
ROWS = (
    (1, 16, 1),
    *((6, 24, 2), (6, 24, 1)),
    *((6, 32, 2), (6, 32, 1), (6, 32, 1)),
    *((6, 64, 2), (6, 64, 1), (6, 64, 1), (6, 64, 1)),
    *((6, 96, 1), (6, 96, 1), (6, 96, 1)),
    *((6, 160, 2), (6, 160, 1), (6, 160, 1)),
    (6, 320, 1),
)


def scaled(width, alpha):
    """``alpha * width`` as a multiple of 8, at least 8 and not under nine tenths of it."""
    exact = alpha * width
    eighths = max(1, int(exact / 8 + 0.5))
    return 8 * (eighths + 1 if 8 * eighths < 0.9 * exact else eighths)


def conv_bn(data, filters, kernel, stride, groups, conv, bn, eps):
    """A convolution without bias and its BatchNorm, under the two node names given."""
    pad = (kernel // 2, kernel // 2)
    data = mx.sym.Convolution(
        data,
        num_filter=filters,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        pad=pad,
        num_group=groups,
        no_bias=True,
        name=conv,
    )
    return mx.sym.BatchNorm(data, eps=eps, momentum=0.9, fix_gamma=False, name=bn)


def conv_bn_relu6(data, filters, kernel, stride, groups, name, eps):
    """``<name>_0``, ``<name>_1`` and ``<name>_2``."""
    data = conv_bn(data, filters, kernel, stride, groups, f"{name}_0", f"{name}_1", eps)
    return mx.sym.clip(data, a_min=0.0, a_max=6.0, name=f"{name}_2")


def inverted_residual(data, channels, filters, stride, expansion, name, eps):
    hidden, body, place = channels * expansion, data, 0
    if expansion != 1:
        body = conv_bn_relu6(body, hidden, 1, 1, 1, f"{name}_conv_0", eps)
        place = 1
    body = conv_bn_relu6(body, hidden, 3, stride, hidden, f"{name}_conv_{place}", eps)
    body = conv_bn(body, filters, 1, 1, 1, f"{name}_conv_{place + 1}", f"{name}_conv_{place + 2}", eps)
    if stride == 1 and channels == filters:
        body = mx.sym.elemwise_add(data, body, name=name)
    return body


def mobilenet_v2(
    num_classes: int = 1000,
    alpha: float = 1.0,
    narrow_last: bool = False,
    dropout: float = 0.2,
    eps: float = 1e-5,
) -> Any:
    """The symbol: input ``data`` (N, 3, 224, 224), output ``classifier_1_output`` (N, num_classes), float32.

    Args:
        num_classes: length of the output.
        alpha: factor on every width.
        narrow_last: True makes the last convolution narrower too where alpha is below 1.
        dropout: probability in front of the fully connected layer, while training.
        eps: of every BatchNorm.
    """
    width = scaled(32, alpha)
    body = conv_bn_relu6(mx.sym.Variable("data"), width, 3, 2, 1, "features_0", eps)
    for index, (expansion, channels, stride) in enumerate(ROWS, 1):
        filters = scaled(channels, alpha)
        body = inverted_residual(body, width, filters, stride, expansion, f"features_{index}", eps)
        width = filters
    last = scaled(1280, alpha if narrow_last or alpha > 1 else 1.0)
    body = conv_bn_relu6(body, last, 1, 1, 1, "features_18", eps)
    body = mx.sym.Pooling(body, global_pool=True, kernel=(1, 1), pool_type="avg", name="avgpool")
    body = mx.sym.Dropout(mx.sym.Flatten(body, name="flatten"), p=dropout, name="classifier_0")
    return mx.sym.FullyConnected(body, num_hidden=num_classes, name="classifier_1")
