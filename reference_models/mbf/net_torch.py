"""MobileFaceNet of InsightFace's arcface_torch in PyTorch: get_mbf and get_mbf_large, aligned 112x112 faces to 512.

With c = 64 * scale and the four counts ``blocks``, the ModuleList ``layers`` holds

    0  3x3, stride 2, 3 -> c          1  3x3 in 64 groups where blocks[0] is 1, else blocks[0] units c (128)
    2  unit c -> c (128), stride 2    3  blocks[1] units c (128)
    4  unit c -> 2c (256), stride 2   5  blocks[2] units 2c (256)
    6  unit 2c -> 2c (512), stride 2  7  blocks[3] units 2c (256)

and ``conv_sep`` (1x1 to 512) and ``features`` (7x7 depthwise over the whole map, flatten, Linear without bias,
BatchNorm1d) follow. A unit is 1x1 to the inner width in brackets, which does not grow with ``scale``, 3x3 depthwise and
linear 1x1; the units of a run add their input. Every convolution is without bias and has a BatchNorm behind it.

Source: deepinsight/insightface, recognition/arcface_torch/backbones/mobilefacenet.py; PLSC has the same network and
names in Paddle. Paper: https://arxiv.org/abs/1804.07573
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class ConvBlock(nn.Module):
    """Convolution, BatchNorm and, unless ``linear``, PReLU as ``layers.0`` .. ``layers.2``."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        linear: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False),
            nn.BatchNorm2d(out_channels, eps=eps),
        )
        if not linear:
            self.layers.append(nn.PReLU(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class DepthWise(nn.Module):
    """1x1 to ``inner`` channels, 3x3 depthwise with the stride, linear 1x1; adds its input where ``residual``."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        inner: int,
        stride: int = 2,
        residual: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.residual = residual
        self.layers = nn.Sequential(
            ConvBlock(in_channels, inner, eps=eps),
            ConvBlock(inner, inner, 3, stride, 1, groups=inner, eps=eps),
            ConvBlock(inner, out_channels, linear=True, eps=eps),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class Residual(nn.Module):
    """A run of units that keep the shape."""

    def __init__(self, channels: int, count: int, inner: int, eps: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(DepthWise(channels, channels, inner, 1, True, eps) for _ in range(count)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class GDC(nn.Module):
    """Global depthwise convolution and the embedding, as ``layers.0`` .. ``layers.3``."""

    def __init__(self, num_features: int, eps: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            ConvBlock(512, 512, 7, groups=512, linear=True, eps=eps),
            nn.Flatten(),
            nn.Linear(512, num_features, bias=False),
            nn.BatchNorm1d(num_features, eps=eps),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class MobileFaceNet(nn.Module):
    """Aligned RGB faces (N, 3, 112, 112), float32, (pixel / 255 - 0.5) / 0.5, to embeddings (N, num_features).

    Args:
        num_features: length of the embedding.
        blocks: how many units each of the four runs has; (2, 8, 12, 4) in get_mbf_large.
        scale: width factor; 4 in get_mbf_large.
        fp16: True computes ``layers`` under CUDA autocast, the rest in float32.
        eps: of every BatchNorm.
        normalize: True gives embeddings of length 1.
    """

    def __init__(
        self,
        num_features: int = 512,
        blocks: Sequence[int] = (1, 4, 6, 2),
        scale: int = 2,
        fp16: bool = False,
        eps: float = 1e-5,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.fp16 = fp16
        self.normalize = normalize
        width = 64 * scale
        self.layers = nn.ModuleList(
            [
                ConvBlock(3, width, 3, 2, 1, eps=eps),
                ConvBlock(width, width, 3, 1, 1, groups=64, eps=eps)
                if blocks[0] == 1
                else Residual(width, blocks[0], 128, eps),
                DepthWise(width, width, 128, eps=eps),
                Residual(width, blocks[1], 128, eps),
                DepthWise(width, 2 * width, 256, eps=eps),
                Residual(2 * width, blocks[2], 256, eps),
                DepthWise(2 * width, 2 * width, 512, eps=eps),
                Residual(2 * width, blocks[3], 256, eps),
            ]
        )
        self.conv_sep = ConvBlock(2 * width, 512, eps=eps)
        self.features = GDC(num_features, eps)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cuda", enabled=self.fp16):
            for layer in self.layers:
                x = layer(x)
        x = self.features(self.conv_sep(x.float() if self.fp16 else x))
        return F.normalize(x) if self.normalize else x
