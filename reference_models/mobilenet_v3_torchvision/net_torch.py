"""MobileNet V3 small and large in PyTorch, torchvision's form: 224x224 images to 1000 classes.

A 3x3 convolution at stride 2, inverted residuals (1x1 expand, depthwise, perhaps squeeze and excitation on the expanded
width, linear 1x1), a 1x1 convolution, the mean of every map and two linear layers. A residual adds its input where the
shapes allow and has no expansion where the width stays the same. BatchNorm has eps 1e-3 and momentum 0.01. Names and
order of the parameters are torchvision's.

Paper: Howard et al., "Searching for MobileNetV3", https://arxiv.org/abs/1905.02244
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

# kernel, expanded width, channels, squeeze and excitation, hard swish (else ReLU), stride
SMALL = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)
LARGE = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)


def rounded(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of the divisor, one more where that would take away over a tenth."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest


class ConvBN(nn.Sequential):
    """Convolution - BatchNorm - activation, if any; the map keeps its size at stride 1."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activation: type[nn.Module] | None = None,
        eps: float = 1e-3,
    ) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(out_channels, eps=eps, momentum=0.01),
            *([] if activation is None else [activation()]),
        )


class SqueezeExcitation(nn.Module):
    """The map times one number a channel, computed from the means of all channels over ``squeezed`` numbers."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.activation = nn.ReLU()
        self.scale_activation = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        scale = self.activation(self.fc1(self.avgpool(x)))
        return x * self.scale_activation(self.fc2(scale))


class InvertedResidual(nn.Module):
    """1x1 expand, depthwise with the stride, squeeze and excitation, linear 1x1."""

    def __init__(
        self,
        in_channels: int,
        kernel: int,
        expanded: int,
        out_channels: int,
        squeeze: bool,
        hard_swish: bool,
        stride: int,
        eps: float,
    ) -> None:
        super().__init__()
        self.use_shortcut = stride == 1 and in_channels == out_channels
        activated = partial(ConvBN, activation=nn.Hardswish if hard_swish else nn.ReLU, eps=eps)
        layers: list[nn.Module] = [] if expanded == in_channels else [activated(in_channels, expanded, 1)]
        layers.append(activated(expanded, expanded, kernel, stride, expanded))
        if squeeze:
            layers.append(SqueezeExcitation(expanded, rounded(expanded // 4)))
        layers.append(ConvBN(expanded, out_channels, 1, eps=eps))
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.use_shortcut else self.block(x)


class MobileNetV3(nn.Module):
    """Images (N, 3, 224, 224), float32, to logits (N, num_classes); other sizes that 32 divides work too.

    Args:
        large: True for MobileNetV3-Large, False for Small.
        num_classes: length of the output.
        dropout: probability in front of the last linear layer, while training.
        eps: of every BatchNorm.
    """

    def __init__(self, large: bool, num_classes: int = 1000, dropout: float = 0.2, eps: float = 1e-3) -> None:
        super().__init__()
        channels = 16
        features: list[nn.Module] = [ConvBN(3, channels, 3, 2, activation=nn.Hardswish, eps=eps)]
        for kernel, expanded, out_channels, squeeze, hard_swish, stride in LARGE if large else SMALL:
            features.append(
                InvertedResidual(channels, kernel, expanded, out_channels, squeeze, hard_swish, stride, eps)
            )
            channels = out_channels
        features.append(ConvBN(channels, 6 * channels, 1, activation=nn.Hardswish, eps=eps))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        hidden = 1280 if large else 1024
        self.classifier = nn.Sequential(
            nn.Linear(6 * channels, hidden), nn.Hardswish(), nn.Dropout(dropout), nn.Linear(hidden, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))
