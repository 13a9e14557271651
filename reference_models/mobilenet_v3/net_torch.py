"""MobileNet V3 small and large in PyTorch, the form with squeeze and excitation behind the projection.

224x224 images to 1000 classes. A 3x3 convolution at stride 2; blocks of a 1x1 convolution, a depthwise one with the
stride and a linear 1x1 one, perhaps squeeze and excitation on what that gives; a 1x1 convolution, average pooling over
the 7x7 map, two linear layers with a BatchNorm between. At stride 1 a block adds its input, through a 1x1 convolution
where the width changes; at stride 2 nothing is added. Names and order of the parameters are those of the widespread
implementation with ``bneck``; torchvision's MobileNetV3 is another network.

Paper: Howard et al., "Searching for MobileNetV3", https://arxiv.org/abs/1905.02244
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# kernel, expanded channels, channels, activation, squeeze and excitation, stride
SMALL = (
    (3, 16, 16, nn.ReLU, True, 2),
    (3, 72, 24, nn.ReLU, False, 2),
    (3, 88, 24, nn.ReLU, False, 1),
    (5, 96, 40, nn.Hardswish, True, 2),
    (5, 240, 40, nn.Hardswish, True, 1),
    (5, 240, 40, nn.Hardswish, True, 1),
    (5, 120, 48, nn.Hardswish, True, 1),
    (5, 144, 48, nn.Hardswish, True, 1),
    (5, 288, 96, nn.Hardswish, True, 2),
    (5, 576, 96, nn.Hardswish, True, 1),
    (5, 576, 96, nn.Hardswish, True, 1),
)
LARGE = (
    (3, 16, 16, nn.ReLU, False, 1),
    (3, 64, 24, nn.ReLU, False, 2),
    (3, 72, 24, nn.ReLU, False, 1),
    (5, 72, 40, nn.ReLU, True, 2),
    (5, 120, 40, nn.ReLU, True, 1),
    (5, 120, 40, nn.ReLU, True, 1),
    (3, 240, 80, nn.Hardswish, False, 2),
    (3, 200, 80, nn.Hardswish, False, 1),
    (3, 184, 80, nn.Hardswish, False, 1),
    (3, 184, 80, nn.Hardswish, False, 1),
    (3, 480, 112, nn.Hardswish, True, 1),
    (3, 672, 112, nn.Hardswish, True, 1),
    (5, 672, 160, nn.Hardswish, True, 1),
    (5, 672, 160, nn.Hardswish, True, 2),
    (5, 960, 160, nn.Hardswish, True, 1),
)


class SqueezeExcitation(nn.Module):
    """The map times one number a channel, computed from the means over a quarter of the channels."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.se = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // 4, 1, bias=False),
            nn.BatchNorm2d(channels // 4, eps=eps),
            nn.ReLU(),
            nn.Conv2d(channels // 4, channels, 1, bias=False),
            nn.BatchNorm2d(channels, eps=eps),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.se(x)


class Block(nn.Module):
    """1x1 expand, depthwise with the stride, linear 1x1, squeeze and excitation; the input is added at stride 1."""

    def __init__(
        self,
        kernel: int,
        in_channels: int,
        expanded: int,
        out_channels: int,
        activation: type[nn.Module],
        squeeze: bool,
        stride: int,
        eps: float,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.se = SqueezeExcitation(out_channels, eps) if squeeze else None  # first, as the state has it
        self.conv1 = nn.Conv2d(in_channels, expanded, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(expanded, eps=eps)
        self.nolinear1 = activation()
        self.conv2 = nn.Conv2d(expanded, expanded, kernel, stride, kernel // 2, groups=expanded, bias=False)
        self.bn2 = nn.BatchNorm2d(expanded, eps=eps)
        self.nolinear2 = activation()
        self.conv3 = nn.Conv2d(expanded, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels, eps=eps)
        self.shortcut = nn.Sequential()
        if stride == 1 and in_channels != out_channels:
            self.shortcut.append(nn.Conv2d(in_channels, out_channels, 1, bias=False))
            self.shortcut.append(nn.BatchNorm2d(out_channels, eps=eps))

    def forward(self, x: Tensor) -> Tensor:
        y = self.nolinear1(self.bn1(self.conv1(x)))
        y = self.nolinear2(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        if self.se is not None:
            y = self.se(y)
        return y + self.shortcut(x) if self.stride == 1 else y


class MobileNetV3(nn.Module):
    """Images (N, 3, 224, 224), float32, to logits (N, num_classes).

    Args:
        large: True for MobileNetV3-Large, False for Small.
        num_classes: length of the output.
        eps: of every BatchNorm.
    """

    def __init__(self, large: bool, num_classes: int = 1000, eps: float = 1e-5) -> None:
        super().__init__()
        channels = 16
        self.conv1 = nn.Conv2d(3, channels, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels, eps=eps)
        self.hswish1 = nn.Hardswish()
        blocks = []
        for kernel, expanded, out_channels, activation, squeeze, stride in LARGE if large else SMALL:
            blocks.append(Block(kernel, channels, expanded, out_channels, activation, squeeze, stride, eps))
            channels = out_channels
        self.bneck = nn.Sequential(*blocks)
        self.conv2 = nn.Conv2d(channels, 6 * channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(6 * channels, eps=eps)
        self.hswish2 = nn.Hardswish()
        self.avgpool = nn.AvgPool2d(7)
        self.linear3 = nn.Linear(6 * channels, 1280)
        self.bn3 = nn.BatchNorm1d(1280, eps=eps)
        self.hswish3 = nn.Hardswish()
        self.linear4 = nn.Linear(1280, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bneck(self.hswish1(self.bn1(self.conv1(x))))
        x = self.avgpool(self.hswish2(self.bn2(self.conv2(x))))
        x = self.hswish3(self.bn3(self.linear3(torch.flatten(x, 1))))
        return self.linear4(x)
