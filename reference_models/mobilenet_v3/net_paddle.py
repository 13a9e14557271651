"""MobileNet V3 small and large in PaddlePaddle, the form with squeeze and excitation behind the projection.

There is no Paddle original of this form: the module paths are those of the PyTorch one (``bneck.3.se.se.1.weight``),
statistics are called ``_mean`` and ``_variance``. Paper: https://arxiv.org/abs/1905.02244
"""

from __future__ import annotations

import paddle.nn as nn
import paddle.nn.functional as F  # noqa: N812


def conv(inp, oup, kernel=1, stride=1, groups=1):
    return nn.Conv2D(inp, oup, kernel, stride=stride, padding=kernel // 2, groups=groups, bias_attr=False)


class HardSigmoid(nn.Layer):
    """relu6(x + 3) / 6; ``nn.Hardsigmoid`` computes with 0.1666667 for the sixth, in every precision."""

    def forward(self, x):
        return F.relu6(x + 3) / 6


class SEModule(nn.Layer):
    """One factor for every channel, over a quarter of them; a BatchNorm behind either convolution."""

    def __init__(self, channels, epsilon):
        super().__init__()
        squeezed = channels // 4
        self.se = nn.Sequential(
            nn.AdaptiveAvgPool2D(1),
            conv(channels, squeezed),
            nn.BatchNorm2D(squeezed, epsilon=epsilon),
            nn.ReLU(),
            conv(squeezed, channels),
            nn.BatchNorm2D(channels, epsilon=epsilon),
            HardSigmoid(),
        )

    def forward(self, x):
        return x * self.se(x)


class Bottleneck(nn.Layer):
    """Expansion, depthwise, projection, perhaps SE; with stride 1 the input is added, projected where it has to be."""

    def __init__(self, inp, row, epsilon):
        super().__init__()
        kernel, hidden, oup, act, has_se, self.stride = row
        self.has_se = has_se
        if has_se:
            self.se = SEModule(oup, epsilon)  # ahead of the convolutions: the state is in this order
        self.conv1 = conv(inp, hidden)
        self.bn1 = nn.BatchNorm2D(hidden, epsilon=epsilon)
        self.nolinear1 = act()
        self.conv2 = conv(hidden, hidden, kernel, self.stride, hidden)
        self.bn2 = nn.BatchNorm2D(hidden, epsilon=epsilon)
        self.nolinear2 = act()
        self.conv3 = conv(hidden, oup)
        self.bn3 = nn.BatchNorm2D(oup, epsilon=epsilon)
        self.projects = self.stride == 1 and inp != oup
        if self.projects:
            self.shortcut = nn.Sequential(conv(inp, oup), nn.BatchNorm2D(oup, epsilon=epsilon))

    def forward(self, x):
        y = self.nolinear1(self.bn1(self.conv1(x)))
        y = self.nolinear2(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        if self.has_se:
            y = self.se(y)
        if self.stride == 2:
            return y
        return y + (self.shortcut(x) if self.projects else x)


# rows of (kernel, expanded, out, activation, squeeze and excitation, stride)
SMALL = [
    (3, 16, 16, nn.ReLU, True, 2),
    (3, 72, 24, nn.ReLU, False, 2),
    (3, 88, 24, nn.ReLU, False, 1),
    (5, 96, 40, nn.Hardswish, True, 2),
    *[(5, 240, 40, nn.Hardswish, True, 1)] * 2,
    (5, 120, 48, nn.Hardswish, True, 1),
    (5, 144, 48, nn.Hardswish, True, 1),
    (5, 288, 96, nn.Hardswish, True, 2),
    *[(5, 576, 96, nn.Hardswish, True, 1)] * 2,
]
LARGE = [
    (3, 16, 16, nn.ReLU, False, 1),
    (3, 64, 24, nn.ReLU, False, 2),
    (3, 72, 24, nn.ReLU, False, 1),
    (5, 72, 40, nn.ReLU, True, 2),
    *[(5, 120, 40, nn.ReLU, True, 1)] * 2,
    (3, 240, 80, nn.Hardswish, False, 2),
    (3, 200, 80, nn.Hardswish, False, 1),
    *[(3, 184, 80, nn.Hardswish, False, 1)] * 2,
    (3, 480, 112, nn.Hardswish, True, 1),
    (3, 672, 112, nn.Hardswish, True, 1),
    (5, 672, 160, nn.Hardswish, True, 1),
    (5, 672, 160, nn.Hardswish, True, 2),
    (5, 960, 160, nn.Hardswish, True, 1),
]


class MobileNetV3(nn.Layer):
    """Images (N, 3, 224, 224), float32, to logits (N, num_classes).

    Args:
        large: True for MobileNetV3-Large, False for Small.
        num_classes: length of the output.
        epsilon: of every BatchNorm.
    """

    def __init__(self, large: bool, num_classes: int = 1000, epsilon: float = 1e-5) -> None:
        super().__init__()
        rows = LARGE if large else SMALL
        self.conv1 = conv(3, 16, 3, 2)
        self.bn1 = nn.BatchNorm2D(16, epsilon=epsilon)
        self.hswish1 = nn.Hardswish()
        inputs = [16] + [row[2] for row in rows[:-1]]
        self.bneck = nn.Sequential(*[Bottleneck(inp, row, epsilon) for inp, row in zip(inputs, rows, strict=True)])
        last = 960 if large else 576
        self.conv2 = conv(rows[-1][2], last)
        self.bn2 = nn.BatchNorm2D(last, epsilon=epsilon)
        self.hswish2 = nn.Hardswish()
        self.avgpool = nn.AvgPool2D(7)
        self.linear3 = nn.Linear(last, 1280)
        self.bn3 = nn.BatchNorm1D(1280, epsilon=epsilon)
        self.hswish3 = nn.Hardswish()
        self.linear4 = nn.Linear(1280, num_classes)

    def forward(self, x):
        x = self.hswish1(self.bn1(self.conv1(x)))
        x = self.bneck(x)
        x = self.hswish2(self.bn2(self.conv2(x)))
        x = self.avgpool(x).flatten(1)
        x = self.hswish3(self.bn3(self.linear3(x)))
        return self.linear4(x)
