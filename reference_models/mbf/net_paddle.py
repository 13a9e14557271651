"""MobileFaceNet of PLSC in PaddlePaddle: MobileFaceNet_base (get_mbf) and MobileFaceNet_large, 112x112 faces to 512.

Parameter paths are those of InsightFace's arcface_torch, where the network comes from. PLSC's own MobileFaceNet_large
cannot be constructed; here it has the numbers of get_mbf_large.
Source: PaddlePaddle/PLSC, plsc/models/mobilefacenet.py; paper https://arxiv.org/abs/1804.07573
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn as nn


def conv_bn(inp, oup, k=1, s=1, p=0, groups=1, epsilon=1e-5):
    """Convolution without bias and BatchNorm."""
    return [
        nn.Conv2D(inp, oup, k, stride=s, padding=p, groups=groups, bias_attr=False),
        nn.BatchNorm2D(oup, epsilon=epsilon),
    ]


class ConvBlock(nn.Layer):
    def __init__(self, inp, oup, k=1, s=1, p=0, groups=1, epsilon=1e-5):
        super().__init__()
        self.layers = nn.Sequential(*conv_bn(inp, oup, k, s, p, groups, epsilon), nn.PReLU(oup))

    def forward(self, x):
        return self.layers(x)


class LinearBlock(nn.Layer):
    def __init__(self, inp, oup, k=1, s=1, p=0, groups=1, epsilon=1e-5):
        super().__init__()
        self.layers = nn.Sequential(*conv_bn(inp, oup, k, s, p, groups, epsilon))

    def forward(self, x):
        return self.layers(x)


class DepthWise(nn.Layer):
    """The unit: 1x1 to ``groups`` channels, 3x3 depthwise, linear 1x1, and the sum where ``residual``."""

    def __init__(self, inp, oup, groups, s=2, residual=False, epsilon=1e-5):
        super().__init__()
        self.residual = residual
        self.layers = nn.Sequential(
            ConvBlock(inp, groups, epsilon=epsilon),
            ConvBlock(groups, groups, 3, s, 1, groups, epsilon=epsilon),
            LinearBlock(groups, oup, epsilon=epsilon),
        )

    def forward(self, x):
        y = self.layers(x)
        if self.residual:
            y = x + y
        return y


class Residual(nn.Layer):
    def __init__(self, c, num_block, groups, epsilon):
        super().__init__()
        units = [DepthWise(c, c, groups, s=1, residual=True, epsilon=epsilon) for _ in range(num_block)]
        self.layers = nn.Sequential(*units)

    def forward(self, x):
        return self.layers(x)


class GDC(nn.Layer):
    """7x7 depthwise convolution over the whole map, flatten, Linear, BatchNorm1D."""

    def __init__(self, embedding_size, epsilon):
        super().__init__()
        self.layers = nn.Sequential(
            LinearBlock(512, 512, k=7, groups=512, epsilon=epsilon),
            nn.Flatten(),
            nn.Linear(512, embedding_size, bias_attr=False),
            nn.BatchNorm1D(embedding_size, epsilon=epsilon),
        )

    def forward(self, x):
        return self.layers(x)


class MobileFaceNet(nn.Layer):
    """Aligned RGB faces (N, 3, 112, 112), float32, (pixel / 255 - 0.5) / 0.5, to embeddings (N, num_features).

    Args:
        num_features: length of the embedding.
        blocks: units in each of the four runs.
        scale: width factor; the first width is 64 times it.
        epsilon: of every BatchNorm.
        normalize: True gives embeddings of length 1.
    """

    def __init__(
        self,
        num_features: int = 512,
        blocks: Sequence[int] = (1, 4, 6, 2),
        scale: int = 2,
        epsilon: float = 1e-5,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.normalize = normalize
        c = 64 * scale
        self.layers = nn.LayerList()
        self.layers.append(ConvBlock(3, c, 3, 2, 1, epsilon=epsilon))
        if blocks[0] == 1:
            self.layers.append(ConvBlock(c, c, 3, 1, 1, groups=64, epsilon=epsilon))
        else:
            self.layers.append(Residual(c, blocks[0], 128, epsilon))
        self.layers.append(DepthWise(c, c, 128, epsilon=epsilon))
        self.layers.append(Residual(c, blocks[1], 128, epsilon))
        self.layers.append(DepthWise(c, c * 2, 256, epsilon=epsilon))
        self.layers.append(Residual(c * 2, blocks[2], 256, epsilon))
        self.layers.append(DepthWise(c * 2, c * 2, 512, epsilon=epsilon))
        self.layers.append(Residual(c * 2, blocks[3], 256, epsilon))
        self.conv_sep = ConvBlock(c * 2, 512, epsilon=epsilon)
        self.features = GDC(num_features, epsilon)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        x = self.conv_sep(x)
        x = self.features(x)
        if self.normalize:
            # F.normalize in its parts: as it stands it cannot be saved as a .pdmodel by Paddle 3.3
            x = x / paddle.clip(paddle.norm(x, p=2, axis=1, keepdim=True), min=1e-12)
        return x
