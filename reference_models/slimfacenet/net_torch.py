"""SlimFaceNet in PyTorch: faces 112 high and 96 wide to 128 numbers, 0.6 to 1.0 million parameters.

conv3x3 (stride 2) - dw_conv3x3 (depthwise) - residual_unit1 .. residual_unit15 - conv1x1 (to 512) - global_dw_conv7x7
(depthwise over the whole map, which is 7 high and 6 wide) - linear_conv1x1 - flatten. No convolution outside the
squeeze and excitation has a bias, each has a BatchNorm behind it. A unit is 1x1 to ``expansion`` times the width, 3x3
depthwise, perhaps squeeze and excitation, linear 1x1; the input is added where nothing changes shape. An architecture
is a width and one code a unit, found by a search:

    code            0  1  2  3  4  5
    expansion       2  2  4  4  6  6
    with SE         -  x  -  x  -  x

Published as a static graph in PaddlePaddle alone (PaddleSlim, demo/models/slimfacenet.py): modules are called as its
tensors are, ``residual_unit2_se_1_weights`` is ``residual_unit2.se.conv1.weight``. Paper of the network it was searched
from (MobileFaceNet): https://arxiv.org/abs/1804.07573
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# width -> channels of the first row of units and of the others
CHANNELS = {1.0: (64, 128), 0.9: (56, 116), 0.75: (48, 96), 0.6: (40, 76)}
# units and stride of the first, for each row
ROWS = ((5, 2), (1, 2), (6, 1), (1, 2), (2, 1))
A_X0_60 = (0, 1, 5, 1, 0, 2, 1, 2, 0, 1, 2, 1, 1, 0, 1)


class ConvBlock(nn.Module):
    """Convolution, BatchNorm and, unless ``linear``, PReLU with one slope a channel."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        linear: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=eps)
        self.prelu = None if linear else nn.PReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return x if self.prelu is None else self.prelu(x)


class HardSigmoid(nn.Module):
    """0.2 x + 0.5 within 0 .. 1; ``nn.Hardsigmoid`` has a slope of 1/6."""

    def __init__(self, slope: float = 0.2) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return torch.clamp(x * self.slope + 0.5, 0.0, 1.0)


class SqueezeExcitation(nn.Module):
    """One factor for every channel, over a quarter of them; both convolutions with bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv1 = nn.Conv2d(channels, channels // 4, 1)
        self.prelu = nn.PReLU(channels // 4)
        self.conv2 = nn.Conv2d(channels // 4, channels, 1)
        self.gate = HardSigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.conv2(self.prelu(self.conv1(self.pool(x)))))


class ResidualUnit(nn.Module):
    """Inverted bottleneck with the expansion and squeeze and excitation of ``code``."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, code: int, relu: bool, eps: float) -> None:
        super().__init__()
        inner = in_channels * (2, 4, 6)[code // 2]
        self.residual = stride == 1 and in_channels == out_channels
        self.expand = ConvBlock(in_channels, inner, eps=eps)
        self.depthwise = ConvBlock(inner, inner, 3, stride, 1, groups=inner, eps=eps)
        self.se = SqueezeExcitation(inner) if code % 2 else nn.Identity()
        self.linear = ConvBlock(inner, out_channels, linear=True, eps=eps)
        self.relu = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(self.se(self.depthwise(self.expand(x))))
        return self.relu(x + y) if self.residual else y


class SlimFaceNet(nn.Module):
    """Faces (N, 3, 112, 96), float32, (pixel - 127.5) / 128, to embeddings (N, embedding_size).

    Args:
        width: 1.0, 0.9, 0.75 or 0.6.
        arch: one code for each of the fifteen units.
        embedding_size: length of the embedding.
        relu: True for the form with a ReLU after every sum; the published weights are those of the form without.
        eps: of every BatchNorm.
    """

    def __init__(
        self,
        width: float = 0.6,
        arch: Sequence[int] = A_X0_60,
        embedding_size: int = 128,
        relu: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        first, others = CHANNELS[width]
        self.conv3x3 = ConvBlock(3, 64, 3, 2, 1, eps=eps)
        self.dw_conv3x3 = ConvBlock(64, 64, 3, 1, 1, groups=64, eps=eps)
        channels, place = 64, 0
        for row, (count, first_stride) in enumerate(ROWS):
            out = others if row else first
            for index in range(count):
                unit = ResidualUnit(channels, out, 1 if index else first_stride, arch[place], relu, eps)
                channels, place = out, place + 1
                self.add_module(f"residual_unit{place}", unit)
        self.conv1x1 = ConvBlock(channels, 512, eps=eps)
        self.global_dw_conv7x7 = ConvBlock(512, 512, (7, 6), groups=512, linear=True, eps=eps)
        self.linear_conv1x1 = ConvBlock(512, embedding_size, linear=True, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dw_conv3x3(self.conv3x3(x))
        for place in range(1, 16):
            x = self.get_submodule(f"residual_unit{place}")(x)
        x = self.linear_conv1x1(self.global_dw_conv7x7(self.conv1x1(x)))
        return torch.flatten(x, 1)
