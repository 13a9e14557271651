"""MobileNet V1 as an MXNet symbol, named after the module paths of the PyTorch form.

There is no MXNet original of this form (InsightFace's ``fmobilenet`` and Gluon's ``mobilenet1_0`` have other names and
heads): dots become ``_``, parameters have MXNet's own endings: ``model_5_3_weight``, ``model_5_4_moving_var``.
BatchNorm has eps 1e-5 and no fix_gamma; images are scaled outside the graph.
Paper: https://arxiv.org/abs/1704.04861
"""

from __future__ import annotations

from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet

mx = import_mxnet("build a reference network in MXNet")

WIDTHS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
HALVED = (2, 4, 6, 12)  # the steps whose depthwise convolution has stride 2


def conv_bn_relu(data, filters, kernel, stride, groups, step, first, eps):
    """``model_<step>_<first>``, the convolution, and the two nodes behind it."""
    data = mx.sym.Convolution(
        data,
        num_filter=filters,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        pad=(kernel // 2, kernel // 2),
        num_group=groups,
        no_bias=True,
        name=f"model_{step}_{first}",
    )
    data = mx.sym.BatchNorm(data, eps=eps, momentum=0.9, fix_gamma=False, name=f"model_{step}_{first + 1}")
    return mx.sym.Activation(data, act_type="relu", name=f"model_{step}_{first + 2}")


def mobilenet_v1(num_classes: int = 1000, eps: float = 1e-5) -> Any:
    """The symbol: input ``data`` (N, 3, 224, 224), output ``fc_output`` (N, num_classes), float32.

    Args:
        num_classes: length of the output.
        eps: of every BatchNorm.
    """
    body = conv_bn_relu(mx.sym.Variable("data"), 32, 3, 2, 1, 0, 0, eps)
    width = 32
    for step, filters in enumerate(WIDTHS, 1):
        body = conv_bn_relu(body, width, 3, 2 if step in HALVED else 1, width, step, 0, eps)
        body = conv_bn_relu(body, filters, 1, 1, 1, step, 3, eps)
        width = filters
    body = mx.sym.Pooling(body, kernel=(7, 7), stride=(7, 7), pool_type="avg", name="model_14")
    return mx.sym.FullyConnected(mx.sym.Flatten(body, name="flatten"), num_hidden=num_classes, name="fc")
