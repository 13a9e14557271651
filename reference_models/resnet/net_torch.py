"""ResNet, ResNeXt and Wide ResNet in PyTorch: torchvision's classifiers, and FFC's face network on the same trunk.

Stem conv 7x7/2 - bn - relu - max pool 3x3/2, then four stages of residual units, the last three of which halve the map
in their first unit. A BasicBlock is conv 3x3/s - bn - relu - conv 3x3 - bn, a Bottleneck conv 1x1 - bn - relu -
conv 3x3/s - bn - relu - conv 1x1 - bn; both add the shortcut and end with a relu. The Bottleneck has its stride on the
3x3 convolution ("v1.5"). Names and order of the parameters are those of torchvision's ``resnet18`` .. ``resnet152``,
``resnext50_32x4d`` and ``wide_resnet50_2``, and of FFC's ``resnet_std``, so their checkpoints load with
``strict=True``.

Papers: He et al., "Deep Residual Learning for Image Recognition", https://arxiv.org/abs/1512.03385; ResNeXt,
https://arxiv.org/abs/1611.05431; Wide ResNet, https://arxiv.org/abs/1605.07146
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

NormLayer = Callable[[int], nn.Module]


def shortcut(in_channels: int, out_channels: int, stride: int, norm: NormLayer) -> nn.Sequential | None:
    """A projection where the unit changes the map's size or width; None where it adds its own input."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), norm(out_channels))


class BasicBlock(nn.Module):
    """Residual unit of two 3x3 convolutions, the stride on the first."""

    def __init__(self, in_channels: int, planes: int, stride: int, norm: NormLayer) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = norm(planes)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = norm(planes)
        self.downsample = shortcut(in_channels, planes, stride, norm)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return self.relu2(x + identity)


class Bottleneck(nn.Module):
    """Residual unit 1x1 - 3x3 - 1x1 to 4 * planes channels; stride, groups and dilation on the 3x3 convolution."""

    def __init__(
        self,
        in_channels: int,
        planes: int,
        stride: int,
        norm: NormLayer,
        groups: int,
        width_per_group: int,
        dilation: int,
    ) -> None:
        super().__init__()
        width = int(planes * (width_per_group / 64)) * groups
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = norm(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(
            width, width, 3, stride=stride, padding=dilation, dilation=dilation, groups=groups, bias=False
        )
        self.bn2 = norm(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, 4 * planes, 1, bias=False)
        self.bn3 = norm(4 * planes)
        self.downsample = shortcut(in_channels, 4 * planes, stride, norm)
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.relu2(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        return self.relu3(x + identity)


class Trunk(nn.Module):
    """Stem and stages: images (N, 3, H, W) to a map of 512 channels, 2048 with bottlenecks.

    Args:
        units: residual units in each of the four stages; (3, 4, 6, 3) is ResNet-50, and ResNet-34 without bottlenecks.
        bottleneck: True for Bottleneck, False for BasicBlock.
        groups: of the 3x3 convolution of a Bottleneck.
        width_per_group: channels in each group where planes are 64.
        replace_stride_with_dilation: for the second to fourth stage, whether it keeps the map's size and spreads its
            3x3 convolutions instead.
        norm_layer: channels -> module; None for BatchNorm2d.
        zero_init_residual: True starts the last norm of every unit's branch with weight 0.
        eps: of the BatchNorms that None for ``norm_layer`` means.
    """

    def __init__(
        self,
        units: Sequence[int],
        bottleneck: bool,
        groups: int,
        width_per_group: int,
        replace_stride_with_dilation: Sequence[bool],
        norm_layer: NormLayer | None,
        eps: float,
    ) -> None:
        super().__init__()
        if not bottleneck and (groups != 1 or width_per_group != 64 or any(replace_stride_with_dilation)):
            raise ValueError("BasicBlock has neither groups, nor another width, nor dilation")
        norm = partial(nn.BatchNorm2d, eps=eps) if norm_layer is None else norm_layer
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = norm(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.channels, dilation = 64, 1
        for stage, (count, dilate) in enumerate(zip(units, (False, *replace_stride_with_dilation), strict=True)):
            planes, stride = 64 << stage, 1 if stage == 0 else 2
            blocks: list[nn.Module] = []
            for index in range(count):
                step = stride if index == 0 and not dilate else 1
                if bottleneck:
                    # a stage that is spread starts with a unit that is not yet
                    block = Bottleneck(self.channels, planes, step, norm, groups, width_per_group, dilation)
                else:
                    block = BasicBlock(self.channels, planes, step, norm)
                if index == 0 and dilate:
                    dilation *= stride
                self.channels = 4 * planes if bottleneck else planes
                blocks.append(block)
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))

    def features_map(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def initialise(self, zero_init_residual: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if zero_init_residual:
            for module in self.modules():
                if isinstance(module, (BasicBlock, Bottleneck)):
                    last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
                    if last.weight is not None:  # a norm without scale has nothing to set
                        nn.init.zeros_(last.weight)


class ResNet(Trunk):
    """Images (N, 3, 224, 224), float32, ImageNet's mean and deviation taken off, to logits (N, num_classes).

    Args other than ``num_classes`` are those of :class:`Trunk`. Any height and width above 32 will do.
    """

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
        eps: float = 1e-5,
    ) -> None:
        super().__init__(units, bottleneck, groups, width_per_group, replace_stride_with_dilation, norm_layer, eps)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(self.channels, num_classes)
        self.initialise(zero_init_residual)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.avgpool(self.features_map(x)), 1))


class FaceResNet(Trunk):
    """Faces (N, 3, 224, 224), float32, about [-1, 1], to embeddings (N, embedding_size): FFC's ``resnet_std``.

    No pooling at the end: the whole last map goes into the fully connected layer.

    Args other than ``embedding_size`` and ``normalize`` are those of :class:`Trunk`; ``normalize`` True gives
    embeddings of length 1.
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
        eps: float = 1e-5,
        normalize: bool = True,
    ) -> None:
        super().__init__(units, bottleneck, groups, width_per_group, replace_stride_with_dilation, norm_layer, eps)
        self.normalize = normalize
        size = 7 << sum(replace_stride_with_dilation)
        self.fc = nn.Linear(self.channels * size * size, embedding_size)
        self.features = nn.BatchNorm1d(embedding_size, eps=eps)
        self.initialise(zero_init_residual)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(self.fc(torch.flatten(self.features_map(x), 1)))
        return F.normalize(x) if self.normalize else x
