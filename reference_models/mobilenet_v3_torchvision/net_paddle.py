"""MobileNet V3 small and large in PaddlePaddle: torchvision's network with torchvision's module paths.

``paddle.vision.models`` has a MobileNetV3 with other paths; this one exchanges weights with torchvision's by name, its
statistics are called ``_mean`` and ``_variance``. BatchNorm: epsilon 1e-3, momentum 0.99 (torch's 0.01).
Paper: https://arxiv.org/abs/1905.02244
"""

from __future__ import annotations

import paddle.nn as nn
import paddle.nn.functional as F  # noqa: N812

# rows of (kernel, expanded, out, squeeze and excitation, activation, stride)
SMALL = [
    (3, 16, 16, True, nn.ReLU, 2),
    (3, 72, 24, False, nn.ReLU, 2),
    (3, 88, 24, False, nn.ReLU, 1),
    (5, 96, 40, True, nn.Hardswish, 2),
    *[(5, 240, 40, True, nn.Hardswish, 1)] * 2,
    (5, 120, 48, True, nn.Hardswish, 1),
    (5, 144, 48, True, nn.Hardswish, 1),
    (5, 288, 96, True, nn.Hardswish, 2),
    *[(5, 576, 96, True, nn.Hardswish, 1)] * 2,
]
LARGE = [
    (3, 16, 16, False, nn.ReLU, 1),
    (3, 64, 24, False, nn.ReLU, 2),
    (3, 72, 24, False, nn.ReLU, 1),
    (5, 72, 40, True, nn.ReLU, 2),
    *[(5, 120, 40, True, nn.ReLU, 1)] * 2,
    (3, 240, 80, False, nn.Hardswish, 2),
    (3, 200, 80, False, nn.Hardswish, 1),
    *[(3, 184, 80, False, nn.Hardswish, 1)] * 2,
    (3, 480, 112, True, nn.Hardswish, 1),
    (3, 672, 112, True, nn.Hardswish, 1),
    (5, 672, 160, True, nn.Hardswish, 2),
    *[(5, 960, 160, True, nn.Hardswish, 1)] * 2,
]


def multiple_of_8(width):
    """The nearest multiple of 8, at least 8 and never below nine tenths of the width."""
    nearest = max(8, (width + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * width else nearest


def conv_bn(inp, oup, kernel, epsilon, stride=1, groups=1, activation=None):
    """conv, bn and, if given, the activation, as 0, 1 and 2."""
    layers = [
        nn.Conv2D(inp, oup, kernel, stride=stride, padding=kernel // 2, groups=groups, bias_attr=False),
        nn.BatchNorm2D(oup, momentum=0.99, epsilon=epsilon),
    ]
    if activation is not None:
        layers.append(activation())
    return nn.Sequential(*layers)


class HardSigmoid(nn.Layer):
    """relu6(x + 3) / 6; ``nn.Hardsigmoid`` computes with 0.1666667 for the sixth, in every precision."""

    def forward(self, x):
        return F.relu6(x + 3) / 6


class SqueezeExcitation(nn.Layer):
    """One factor for every channel; both convolutions have a bias."""

    def __init__(self, channels):
        super().__init__()
        squeezed = multiple_of_8(channels // 4)
        self.avgpool = nn.AdaptiveAvgPool2D(1)
        self.fc1 = nn.Conv2D(channels, squeezed, 1)
        self.fc2 = nn.Conv2D(squeezed, channels, 1)
        self.activation = nn.ReLU()
        self.scale_activation = HardSigmoid()

    def forward(self, x):
        factors = self.avgpool(x)
        factors = self.activation(self.fc1(factors))
        factors = self.scale_activation(self.fc2(factors))
        return x * factors


class InvertedResidual(nn.Layer):
    def __init__(self, inp, kernel, expanded, oup, squeeze, activation, stride, epsilon):
        super().__init__()
        self.connect = stride == 1 and inp == oup
        self.block = nn.Sequential()
        steps = []
        if expanded != inp:
            steps.append(conv_bn(inp, expanded, 1, epsilon, activation=activation))
        steps.append(conv_bn(expanded, expanded, kernel, epsilon, stride, expanded, activation))
        if squeeze:
            steps.append(SqueezeExcitation(expanded))
        steps.append(conv_bn(expanded, oup, 1, epsilon))
        for place, step in enumerate(steps):
            self.block.add_sublayer(str(place), step)

    def forward(self, x):
        y = self.block(x)
        if self.connect:
            y = x + y
        return y


class MobileNetV3(nn.Layer):
    """Images (N, 3, 224, 224), float32, to logits (N, num_classes); other sizes that 32 divides work too.

    Args:
        large: True for MobileNetV3-Large, False for Small.
        num_classes: length of the output.
        dropout: probability in front of the last linear layer, while training.
        epsilon: of every BatchNorm.
    """

    def __init__(self, large: bool, num_classes: int = 1000, dropout: float = 0.2, epsilon: float = 1e-3) -> None:
        super().__init__()
        features = [conv_bn(3, 16, 3, epsilon, stride=2, activation=nn.Hardswish)]
        inp = 16
        for kernel, expanded, oup, squeeze, activation, stride in LARGE if large else SMALL:
            features.append(InvertedResidual(inp, kernel, expanded, oup, squeeze, activation, stride, epsilon))
            inp = oup
        features.append(conv_bn(inp, inp * 6, 1, epsilon, activation=nn.Hardswish))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2D(1)
        hidden = 1280 if large else 1024
        self.classifier = nn.Sequential(
            nn.Linear(inp * 6, hidden), nn.Hardswish(), nn.Dropout(dropout), nn.Linear(hidden, num_classes)
        )

    def forward(self, x):
        x = self.features(x)
        x = self.avgpool(x)
        return self.classifier(x.flatten(1))
