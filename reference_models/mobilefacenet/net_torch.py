"""MobileFaceNet in PyTorch: aligned 112x112 faces to embeddings, about one million parameters.

conv1 (3x3, stride 2) - dw_conv1 (3x3 depthwise) - 15 inverted bottlenecks (1x1 expand, 3x3 depthwise, 1x1 project) -
conv2 (1x1 to 512) - linear7 (7x7 depthwise over the whole map) - linear1 (1x1 to the embedding) - flatten. No
convolution has a bias, each has a BatchNorm behind it; a bottleneck adds its input where the shapes allow. Names and
order of the parameters are those of FFC's ``mobilefacenet_def.py``, whose output is normalised; InsightFace's
arcface_paddle has the same network without that.

Paper: Chen et al., "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices",
https://arxiv.org/abs/1804.07573
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

# expansion, channels, bottlenecks, stride of the first one
SETTING = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


class ConvBlock(nn.Module):
    """Convolution - BatchNorm - PReLU; without the PReLU where ``linear``."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        depthwise: bool = False,
        linear: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        groups = in_channels if depthwise else 1
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=eps)
        self.prelu = None if linear else nn.PReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return x if self.prelu is None else self.prelu(x)


class Bottleneck(nn.Module):
    """Inverted bottleneck: 1x1 to ``expansion`` times the width, 3x3 depthwise with the stride, linear 1x1."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int, eps: float) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.residual = stride == 1 and in_channels == out_channels
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, inner, 1, bias=False),
            nn.BatchNorm2d(inner, eps=eps),
            nn.PReLU(inner),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False),
            nn.BatchNorm2d(inner, eps=eps),
            nn.PReLU(inner),
            nn.Conv2d(inner, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels, eps=eps),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileFaceNet(nn.Module):
    """Aligned faces (N, 3, 112, 112), float32, scaled to about [-1, 1], to embeddings (N, embedding_size).

    Args:
        embedding_size: length of the embedding.
        setting: one row for each run of bottlenecks: expansion, channels, how many, stride of the first.
        eps: of every BatchNorm.
        normalize: True gives embeddings of length 1.
        fp16: True computes everything, the normalisation included, under CUDA autocast; no effect on a CPU.
    """

    def __init__(
        self,
        embedding_size: int = 128,
        setting: Sequence[tuple[int, int, int, int]] = SETTING,
        eps: float = 1e-5,
        normalize: bool = False,
        fp16: bool = False,
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.fp16 = fp16
        self.conv1 = ConvBlock(3, 64, 3, stride=2, padding=1, eps=eps)
        self.dw_conv1 = ConvBlock(64, 64, 3, padding=1, depthwise=True, eps=eps)
        blocks: list[nn.Module] = []
        channels = 64
        for expansion, out_channels, count, first_stride in setting:
            for index in range(count):
                stride = first_stride if index == 0 else 1
                blocks.append(Bottleneck(channels, out_channels, stride, expansion, eps))
                channels = out_channels
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = ConvBlock(channels, 512, 1, eps=eps)
        self.linear7 = ConvBlock(512, 512, 7, depthwise=True, linear=True, eps=eps)
        self.linear1 = ConvBlock(512, embedding_size, 1, linear=True, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cuda", enabled=self.fp16):
            x = self.blocks(self.dw_conv1(self.conv1(x)))
            x = self.linear1(self.linear7(self.conv2(x)))
            x = torch.flatten(x, 1)
            return F.normalize(x) if self.normalize else x
