"""MobileNet V1 in PaddlePaddle, with the module paths of the PyTorch form: ``model.5.3.weight``, ``fc.weight``.

There is no Paddle original of this form; statistics are called ``_mean`` and ``_variance``, as Paddle has them.
Paper: https://arxiv.org/abs/1704.04861
"""

from __future__ import annotations

import paddle.nn as nn


class DepthwiseSeparable(nn.Sequential):
    """3x3 depthwise with the stride, then 1x1 to the new width."""

    def __init__(self, inp, oup, stride, epsilon):
        super().__init__(
            nn.Conv2D(inp, inp, 3, stride=stride, padding=1, groups=inp, bias_attr=False),
            nn.BatchNorm2D(inp, epsilon=epsilon),
            nn.ReLU(),
            nn.Conv2D(inp, oup, 1, bias_attr=False),
            nn.BatchNorm2D(oup, epsilon=epsilon),
            nn.ReLU(),
        )


class MobileNetV1(nn.Layer):
    """Images (N, 3, 224, 224), float32, to logits (N, num_classes).

    Args:
        num_classes: length of the output.
        epsilon: of every BatchNorm.
    """

    def __init__(self, num_classes: int = 1000, epsilon: float = 1e-5) -> None:
        super().__init__()
        first = nn.Conv2D(3, 32, 3, stride=2, padding=1, bias_attr=False)
        self.model = nn.Sequential(
            nn.Sequential(first, nn.BatchNorm2D(32, epsilon=epsilon), nn.ReLU()),
            DepthwiseSeparable(32, 64, 1, epsilon),
            DepthwiseSeparable(64, 128, 2, epsilon),
            DepthwiseSeparable(128, 128, 1, epsilon),
            DepthwiseSeparable(128, 256, 2, epsilon),
            DepthwiseSeparable(256, 256, 1, epsilon),
            DepthwiseSeparable(256, 512, 2, epsilon),
            *[DepthwiseSeparable(512, 512, 1, epsilon) for _ in range(5)],
            DepthwiseSeparable(512, 1024, 2, epsilon),
            DepthwiseSeparable(1024, 1024, 1, epsilon),
            nn.AvgPool2D(7),
        )
        self.fc = nn.Linear(1024, num_classes)

    def forward(self, x):
        x = self.model(x)
        return self.fc(x.flatten(1))
