"""ResNet, ResNeXt, Wide ResNet and FFC's ``resnet_std`` in PaddlePaddle, with torchvision's parameter names and order.

The classifiers are those of ``paddle.vision.models`` too (``resnet18`` .. ``resnet152``, ``resnext50_32x4d``,
``wide_resnet50_2``), whose ``.pdparams`` fit. The face network has no Paddle original: its names follow from FFC's.
Source: PaddlePaddle/Paddle, python/paddle/vision/models/resnet.py; paper https://arxiv.org/abs/1512.03385
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import paddle
import paddle.nn as nn
from paddle.nn.initializer import Constant, KaimingNormal

NormLayer = Callable[..., nn.Layer]


def conv(in_channels, out_channels, kernel, stride=1, groups=1, dilation=1):
    """A convolution that keeps the map's size at stride 1, no bias; He's initialisation by the outputs."""
    weight = paddle.ParamAttr(initializer=KaimingNormal(fan_in=out_channels * kernel * kernel))
    return nn.Conv2D(
        in_channels,
        out_channels,
        kernel,
        stride=stride,
        padding=kernel // 2 * dilation,
        dilation=dilation,
        groups=groups,
        weight_attr=weight,
        bias_attr=False,
    )


def shortcut(in_channels, out_channels, stride, norm):
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(conv(in_channels, out_channels, 1, stride), norm(out_channels))


class BasicBlock(nn.Layer):
    """3x3/s - 3x3."""

    def __init__(self, in_channels, planes, stride, norm):
        super().__init__()
        self.conv1 = conv(in_channels, planes, 3, stride)
        self.bn1 = norm(planes)
        self.relu1 = nn.ReLU()
        self.conv2 = conv(planes, planes, 3)
        self.bn2 = norm(planes)
        self.downsample = shortcut(in_channels, planes, stride, norm)
        self.relu2 = nn.ReLU()

    def forward(self, x):
        branch = self.relu1(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(branch))
        if self.downsample is not None:
            x = self.downsample(x)
        return self.relu2(paddle.add(branch, x))


class Bottleneck(nn.Layer):
    """1x1 - 3x3/s - 1x1 to four times the planes."""

    def __init__(self, in_channels, planes, stride, norm, groups, width_per_group, dilation):
        super().__init__()
        width = int(planes * (width_per_group / 64)) * groups
        self.conv1 = conv(in_channels, width, 1)
        self.bn1 = norm(width)
        self.relu1 = nn.ReLU()
        self.conv2 = conv(width, width, 3, stride, groups, dilation)
        self.bn2 = norm(width)
        self.relu2 = nn.ReLU()
        self.conv3 = conv(width, planes * 4, 1)
        self.bn3 = norm(planes * 4)
        self.downsample = shortcut(in_channels, planes * 4, stride, norm)
        self.relu3 = nn.ReLU()

    def forward(self, x):
        branch = self.relu1(self.bn1(self.conv1(x)))
        branch = self.relu2(self.bn2(self.conv2(branch)))
        branch = self.bn3(self.conv3(branch))
        if self.downsample is not None:
            x = self.downsample(x)
        return self.relu3(paddle.add(branch, x))


class Trunk(nn.Layer):
    """Stem and stages: images (N, 3, H, W) to a map of 512 channels, 2048 with bottlenecks.

    Args:
        units: residual units in each of the four stages.
        bottleneck: True for Bottleneck, False for BasicBlock.
        groups: of the 3x3 convolution of a Bottleneck.
        width_per_group: channels in each group where planes are 64.
        replace_stride_with_dilation: for the second to fourth stage, whether dilation takes the place of its stride.
        norm_layer: channels -> layer; None for BatchNorm2D.
        zero_init_residual: True starts the last norm of every unit's branch with weight 0.
        epsilon: of the BatchNorms that None for ``norm_layer`` means.
    """

    def __init__(
        self,
        units: Sequence[int],
        bottleneck: bool,
        groups: int,
        width_per_group: int,
        replace_stride_with_dilation: Sequence[bool],
        norm_layer: NormLayer | None,
        zero_init_residual: bool,
        epsilon: float,
    ) -> None:
        super().__init__()
        if not bottleneck and (groups != 1 or width_per_group != 64 or any(replace_stride_with_dilation)):
            raise ValueError("BasicBlock has neither groups, nor another width, nor dilation")

        def norm(channels):
            return nn.BatchNorm2D(channels, epsilon=epsilon) if norm_layer is None else norm_layer(channels)

        self.conv1 = conv(3, 64, 7, stride=2)
        self.bn1 = norm(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2D(kernel_size=3, stride=2, padding=1)
        self.channels = 64
        spread = 1
        strides = (1, 2, 2, 2)
        for stage, dilate in enumerate((False, *replace_stride_with_dilation)):
            planes = 64 * 2**stage
            blocks = nn.Sequential()
            for unit in range(units[stage]):
                stride = strides[stage] if unit == 0 and not dilate else 1
                if bottleneck:
                    block = Bottleneck(self.channels, planes, stride, norm, groups, width_per_group, spread)
                    self.channels = planes * 4
                else:
                    block = BasicBlock(self.channels, planes, stride, norm)
                    self.channels = planes
                if dilate and unit == 0:  # from the second unit on
                    spread *= 2
                blocks.add_sublayer(str(unit), block)
            self.add_sublayer(f"layer{stage + 1}", blocks)
        if zero_init_residual:
            for block in self.sublayers():
                last = getattr(block, "bn3" if bottleneck else "bn2", None)
                if last is not None and getattr(last, "weight", None) is not None:
                    Constant(0.0)(last.weight)

    def features_map(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return x


class ResNet(Trunk):
    """Images (N, 3, 224, 224), float32, to logits (N, num_classes); the other arguments are those of Trunk."""

    def __init__(
        self,
        units: Sequence[int] = (3, 4, 6, 3),
        bottleneck: bool = True,
        num_classes: int = 1000,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] = (False, False, False),
        norm_layer: NormLayer | None = None,
        zero_init_residual: bool = False,
        epsilon: float = 1e-5,
    ) -> None:
        kind = (units, bottleneck, groups, width_per_group, replace_stride_with_dilation)
        super().__init__(*kind, norm_layer, zero_init_residual, epsilon)
        self.avgpool = nn.AdaptiveAvgPool2D(1)
        self.fc = nn.Linear(self.channels, num_classes)

    def forward(self, x):
        x = self.avgpool(self.features_map(x))
        return self.fc(paddle.flatten(x, start_axis=1))


class FaceResNet(Trunk):
    """Faces (N, 3, 224, 224), float32, about [-1, 1], to embeddings (N, embedding_size), of length 1 if ``normalize``.

    The other arguments are those of Trunk.
    """

    def __init__(
        self,
        units: Sequence[int] = (3, 4, 6, 3),
        bottleneck: bool = True,
        embedding_size: int = 512,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] = (False, False, False),
        norm_layer: NormLayer | None = None,
        zero_init_residual: bool = False,
        epsilon: float = 1e-5,
        normalize: bool = True,
    ) -> None:
        kind = (units, bottleneck, groups, width_per_group, replace_stride_with_dilation)
        super().__init__(*kind, norm_layer, zero_init_residual, epsilon)
        self.normalize = normalize
        size = 7 * 2 ** sum(replace_stride_with_dilation)
        self.fc = nn.Linear(self.channels * size * size, embedding_size)
        self.features = nn.BatchNorm1D(embedding_size, epsilon=epsilon)

    def forward(self, x):
        x = self.fc(paddle.flatten(self.features_map(x), start_axis=1))
        x = self.features(x)
        if self.normalize:
            # F.normalize in its parts: as it stands it cannot be saved as a .pdmodel by Paddle 3.3
            x = x / paddle.clip(paddle.norm(x, p=2, axis=1, keepdim=True), min=1e-12)
        return x
