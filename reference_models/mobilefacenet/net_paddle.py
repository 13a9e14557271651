"""MobileFaceNet in PaddlePaddle, with the parameter names and order of InsightFace's arcface_paddle.

Aligned 112x112 faces to the raw embedding; ``normalize`` gives the form of FFC's twin in PyTorch.
Source: deepinsight/insightface, recognition/arcface_paddle; paper https://arxiv.org/abs/1804.07573
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn as nn

# expansion, channels, bottlenecks, stride of the first one
SETTING = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


class ConvBlock(nn.Layer):
    """conv, bn and, unless the block is linear, prelu."""

    def __init__(self, inp, oup, k, s=1, p=0, groups=1, linear=False, epsilon=1e-5):
        super().__init__()
        self.linear = linear
        self.conv = nn.Conv2D(inp, oup, k, stride=s, padding=p, groups=groups, bias_attr=False)
        self.bn = nn.BatchNorm2D(oup, epsilon=epsilon)
        if not linear:
            self.prelu = nn.PReLU(oup)

    def forward(self, x):
        x = self.bn(self.conv(x))
        if self.linear:
            return x
        return self.prelu(x)


class Bottleneck(nn.Layer):
    """1x1 expansion, 3x3 depthwise, linear 1x1; the input is added where nothing changes shape."""

    def __init__(self, inp, oup, stride, expansion, epsilon):
        super().__init__()
        self.connect = inp == oup and stride == 1
        hidden = inp * expansion
        layers = [nn.Conv2D(inp, hidden, 1, bias_attr=False), nn.BatchNorm2D(hidden, epsilon=epsilon), nn.PReLU(hidden)]
        layers += [
            nn.Conv2D(hidden, hidden, 3, stride=stride, padding=1, groups=hidden, bias_attr=False),
            nn.BatchNorm2D(hidden, epsilon=epsilon),
            nn.PReLU(hidden),
        ]
        layers += [nn.Conv2D(hidden, oup, 1, bias_attr=False), nn.BatchNorm2D(oup, epsilon=epsilon)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x):
        y = self.conv(x)
        if self.connect:
            y = x + y
        return y


class MobileFaceNet(nn.Layer):
    """Aligned faces (N, 3, 112, 112), float32, about [-1, 1], to embeddings (N, embedding_size).

    Args:
        embedding_size: length of the embedding.
        setting: rows of expansion, channels, bottlenecks, stride of the first.
        epsilon: of every BatchNorm.
        normalize: True gives embeddings of length 1.
    """

    def __init__(
        self,
        embedding_size: int = 128,
        setting: Sequence[tuple[int, int, int, int]] = SETTING,
        epsilon: float = 1e-5,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.conv1 = ConvBlock(3, 64, 3, s=2, p=1, epsilon=epsilon)
        self.dw_conv1 = ConvBlock(64, 64, 3, p=1, groups=64, epsilon=epsilon)
        self.blocks = self._bottlenecks(64, setting, epsilon)
        self.conv2 = ConvBlock(setting[-1][1], 512, 1, epsilon=epsilon)
        self.linear7 = ConvBlock(512, 512, 7, groups=512, linear=True, epsilon=epsilon)
        self.linear1 = ConvBlock(512, embedding_size, 1, linear=True, epsilon=epsilon)

    def _bottlenecks(self, inp, setting, epsilon):
        layers = []
        for t, c, n, s in setting:
            strides = [s] + [1] * (n - 1)
            for stride in strides:
                layers.append(Bottleneck(inp, c, stride, t, epsilon))
                inp = c
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.conv1(x)
        x = self.dw_conv1(x)
        x = self.blocks(x)
        x = self.conv2(x)
        x = self.linear7(x)
        x = self.linear1(x)
        x = x.flatten(1)
        if self.normalize:
            # F.normalize in its parts: as it stands it cannot be saved as a .pdmodel by Paddle 3.3
            x = x / paddle.clip(paddle.norm(x, p=2, axis=1, keepdim=True), min=1e-12)
        return x
