"""MobileNet V2 in PyTorch: 224x224 images to 1000 classes, 3.5 million parameters at full width.

A 3x3 convolution at stride 2, seventeen inverted residuals (1x1 expand, 3x3 depthwise, linear 1x1), a 1x1 convolution,
the mean of every map, dropout and one linear layer. An inverted residual adds its input where the shapes allow; the
first one has no expansion. Names and order of the parameters are torchvision's.

Paper: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", https://arxiv.org/abs/1801.04381
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# expansion, channels, inverted residuals, stride of the first one
SETTING = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def rounded(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of the divisor, one more where that would take away over a tenth."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest


class ConvBNReLU(nn.Sequential):
    """Convolution - BatchNorm - ReLU6; the map keeps its size at stride 1."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1, eps: float = 1e-5
    ) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(out_channels, eps=eps),
            nn.ReLU6(),
        )


class InvertedResidual(nn.Module):
    """1x1 to ``expansion`` times the width (none for 1), 3x3 depthwise with the stride, linear 1x1."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int, eps: float) -> None:
        super().__init__()
        self.use_shortcut = stride == 1 and in_channels == out_channels
        inner = in_channels * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [ConvBNReLU(in_channels, inner, 1, eps=eps)]
        layers += [
            ConvBNReLU(inner, inner, 3, stride, inner, eps),
            nn.Conv2d(inner, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels, eps=eps),
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_shortcut else self.conv(x)


class MobileNetV2(nn.Module):
    """Images (N, 3, 224, 224), float32, to logits (N, num_classes); other sizes that 32 divides work too.

    Args:
        num_classes: length of the output.
        alpha: factor on every width.
        narrow_last: True makes the last convolution narrower too where alpha is below 1.
        dropout: probability in front of the linear layer, while training.
        eps: of every BatchNorm.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        alpha: float = 1.0,
        narrow_last: bool = False,
        dropout: float = 0.2,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        channels = rounded(32 * alpha)
        last = rounded(1280 * (alpha if narrow_last else max(1.0, alpha)))
        features: list[nn.Module] = [ConvBNReLU(3, channels, 3, 2, eps=eps)]
        for expansion, width, count, first_stride in SETTING:
            out_channels = rounded(width * alpha)
            for index in range(count):
                stride = first_stride if index == 0 else 1
                features.append(InvertedResidual(channels, out_channels, stride, expansion, eps))
                channels = out_channels
        features.append(ConvBNReLU(channels, last, 1, eps=eps))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))
