"""ResNet, ResNeXt, Wide ResNet and FFC's ``resnet_std`` as MXNet symbols.

There is no MXNet original of these units (MXNet's own ResNet v1 has the stride elsewhere, and biases): the structure is
torchvision's, and names follow from its module paths with underscores for dots (``layer1_0_downsample_0_weight``). The
sum that closes a unit is ``layer1_0_add``, the ReLU behind it ``layer1_0``. Fed as the other frameworks' nets are.
Paper: https://arxiv.org/abs/1512.03385
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from facecvt.converters.compat_mxnet import import_mxnet

mx = import_mxnet("build a reference network in MXNet")

NormLayer = Callable[..., Any]


class Layers:
    """The layers of one network: what its options make of them."""

    def __init__(self, eps: float, norm_layer: NormLayer | None, zero_init_residual: bool) -> None:
        self.bn = {"eps": eps, "momentum": 0.9, "fix_gamma": False}
        self.norm_layer = norm_layer
        self.zero_init_residual = zero_init_residual

    def conv(self, data, filters, kernel, name, stride=1, group=1, dilate=1):
        pad = kernel // 2 * dilate
        return mx.sym.Convolution(
            data,
            num_filter=filters,
            kernel=(kernel, kernel),
            stride=(stride, stride),
            pad=(pad, pad),
            dilate=(dilate, dilate),
            num_group=group,
            no_bias=True,
            name=name,
        )

    def norm(self, data, name, last=False):
        """``last`` is True at the end of a unit's branch, whose gamma may start as 0."""
        if self.norm_layer is not None:
            return self.norm_layer(data, name)
        if last and self.zero_init_residual:
            gamma = mx.sym.Variable(f"{name}_gamma", init=mx.init.Zero())
            return mx.sym.BatchNorm(data, gamma, name=name, **self.bn)
        return mx.sym.BatchNorm(data, name=name, **self.bn)

    def relu(self, data, name):
        return mx.sym.Activation(data, act_type="relu", name=name)

    def close(self, branch, data, filters, stride, match, name):
        """Add the shortcut; ``match`` is True where that is the unit's own input."""
        if not match:
            data = self.conv(data, filters, 1, f"{name}_downsample_0", stride)
            data = self.norm(data, f"{name}_downsample_1")
        return self.relu(mx.sym.elemwise_add(branch, data, name=f"{name}_add"), name)

    def basic(self, data, planes, stride, match, name):
        body = self.relu(self.norm(self.conv(data, planes, 3, f"{name}_conv1", stride), f"{name}_bn1"), f"{name}_relu1")
        body = self.norm(self.conv(body, planes, 3, f"{name}_conv2"), f"{name}_bn2", last=True)
        return self.close(body, data, planes, stride, match, name)

    def bottleneck(self, data, planes, stride, match, name, group, width_per_group, dilate):
        width = int(planes * (width_per_group / 64)) * group
        body = self.relu(self.norm(self.conv(data, width, 1, f"{name}_conv1"), f"{name}_bn1"), f"{name}_relu1")
        body = self.conv(body, width, 3, f"{name}_conv2", stride, group, dilate)
        body = self.relu(self.norm(body, f"{name}_bn2"), f"{name}_relu2")
        body = self.norm(self.conv(body, planes * 4, 1, f"{name}_conv3"), f"{name}_bn3", last=True)
        return self.close(body, data, planes * 4, stride, match, name)


def trunk(
    net: Layers,
    units: Sequence[int],
    bottleneck: bool,
    groups: int,
    width_per_group: int,
    replace_stride_with_dilation: Sequence[bool],
) -> Any:
    """The symbol of the last map: stem and four stages over ``data``."""
    if not bottleneck and (groups != 1 or width_per_group != 64 or any(replace_stride_with_dilation)):
        raise ValueError("basic units have neither groups, nor another width, nor dilation")
    body = mx.sym.Variable("data")
    body = net.relu(net.norm(net.conv(body, 64, 7, "conv1", stride=2), "bn1"), "relu")
    body = mx.sym.Pooling(body, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max", name="maxpool")
    dilate = 1
    for stage, count in enumerate(units, start=1):
        planes = 32 * 2**stage
        spread = stage > 1 and replace_stride_with_dilation[stage - 2]
        for unit in range(count):
            stride = 2 if stage > 1 and unit == 0 and not spread else 1
            name = f"layer{stage}_{unit}"
            if bottleneck:
                body = net.bottleneck(body, planes, stride, unit > 0, name, groups, width_per_group, dilate)
            else:
                # the first stage has the stem's width and no stride
                body = net.basic(body, planes, stride, unit > 0 or stage == 1, name)
            if spread and unit == 0:
                dilate *= 2
    return body


def resnet(
    units: Sequence[int] = (3, 4, 6, 3),
    bottleneck: bool = True,
    num_classes: int = 1000,
    groups: int = 1,
    width_per_group: int = 64,
    replace_stride_with_dilation: Sequence[bool] = (False, False, False),
    norm_layer: NormLayer | None = None,
    zero_init_residual: bool = False,
    eps: float = 1e-5,
) -> Any:
    """The symbol of a classifier: input ``data`` (N, 3, 224, 224), output ``fc_output`` (N, num_classes), float32.

    Args:
        units: residual units in each of the four stages.
        bottleneck: True for units 1x1 - 3x3 - 1x1 and four times the width.
        num_classes: length of the output.
        groups: of the 3x3 convolution of a bottleneck.
        width_per_group: channels in each group in the first stage.
        replace_stride_with_dilation: for the second to fourth stage, whether dilation takes the place of its stride.
        norm_layer: (data, name) -> symbol; None for BatchNorm.
        zero_init_residual: True gives the last gamma of every unit's branch the initial value 0.
        eps: of the BatchNorms that None for ``norm_layer`` means.
    """
    with mx.name.NameManager():
        net = Layers(eps, norm_layer, zero_init_residual)
        body = trunk(net, units, bottleneck, groups, width_per_group, replace_stride_with_dilation)
        body = mx.sym.Pooling(body, global_pool=True, kernel=(1, 1), pool_type="avg", name="avgpool")
        body = mx.sym.Flatten(body, name="flatten")
        return mx.sym.FullyConnected(body, num_hidden=num_classes, name="fc")


def face_resnet(
    units: Sequence[int] = (3, 4, 6, 3),
    bottleneck: bool = True,
    embedding_size: int = 512,
    groups: int = 1,
    width_per_group: int = 64,
    replace_stride_with_dilation: Sequence[bool] = (False, False, False),
    norm_layer: NormLayer | None = None,
    zero_init_residual: bool = False,
    eps: float = 1e-5,
    normalize: bool = True,
) -> Any:
    """The symbol of FFC's face network: ``data`` (N, 3, 224, 224) to embeddings (N, embedding_size), float32.

    Args other than ``embedding_size`` and ``normalize``, which gives embeddings of length 1, are those of ``resnet``.
    """
    with mx.name.NameManager():
        net = Layers(eps, norm_layer, zero_init_residual)
        body = trunk(net, units, bottleneck, groups, width_per_group, replace_stride_with_dilation)
        body = mx.sym.Flatten(body, name="flatten")
        body = mx.sym.FullyConnected(body, num_hidden=embedding_size, name="fc")
        body = mx.sym.BatchNorm(body, name="features", **net.bn)
        if normalize:
            # sqrt(sum + eps): the square of the 1e-12 that guards the division elsewhere
            body = mx.sym.L2Normalization(body, mode="instance", eps=1e-24, name="normalize")
        return body
