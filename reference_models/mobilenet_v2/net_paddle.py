"""MobileNet V2 in PaddlePaddle, with torchvision's module paths; statistics are called ``_mean`` and ``_variance``.

Those are the paths of ``paddle.vision.models.MobileNetV2`` too. Paper: https://arxiv.org/abs/1801.04381
"""

from __future__ import annotations

import paddle.nn as nn

# expansion, channels, inverted residuals, stride of the first one
SETTING = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def multiple_of_8(width):
    """The nearest multiple of 8, at least 8 and never below nine tenths of the width."""
    nearest = max(8, int(width + 4) // 8 * 8)
    if nearest < 0.9 * width:
        nearest += 8
    return nearest


def conv_bn_relu6(inp, oup, kernel, stride, groups, epsilon):
    return nn.Sequential(
        nn.Conv2D(inp, oup, kernel, stride=stride, padding=kernel // 2, groups=groups, bias_attr=False),
        nn.BatchNorm2D(oup, epsilon=epsilon),
        nn.ReLU6(),
    )


class InvertedResidual(nn.Layer):
    """Expansion (none for 1), depthwise, linear projection; the input is added where nothing changes shape."""

    def __init__(self, inp, oup, stride, expansion, epsilon):
        super().__init__()
        self.connect = stride == 1 and inp == oup
        hidden = inp * expansion
        layers = []
        if expansion != 1:
            layers.append(conv_bn_relu6(inp, hidden, 1, 1, 1, epsilon))
        layers.append(conv_bn_relu6(hidden, hidden, 3, stride, hidden, epsilon))
        layers.append(nn.Conv2D(hidden, oup, 1, bias_attr=False))
        layers.append(nn.BatchNorm2D(oup, epsilon=epsilon))
        self.conv = nn.Sequential(*layers)

    def forward(self, x):
        y = self.conv(x)
        if self.connect:
            y = x + y
        return y


class MobileNetV2(nn.Layer):
    """Images (N, 3, 224, 224), float32, to logits (N, num_classes); other sizes that 32 divides work too.

    Args:
        num_classes: length of the output.
        alpha: factor on every width.
        narrow_last: True makes the last convolution narrower too where alpha is below 1.
        dropout: probability in front of the linear layer, while training.
        epsilon: of every BatchNorm.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        alpha: float = 1.0,
        narrow_last: bool = False,
        dropout: float = 0.2,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        inp = multiple_of_8(32 * alpha)
        features = [conv_bn_relu6(3, inp, 3, 2, 1, epsilon)]
        for t, c, n, s in SETTING:
            oup = multiple_of_8(c * alpha)
            strides = [s] + [1] * (n - 1)
            for stride in strides:
                features.append(InvertedResidual(inp, oup, stride, t, epsilon))
                inp = oup
        last = 1280 if alpha < 1 and not narrow_last else multiple_of_8(1280 * alpha)
        features.append(conv_bn_relu6(inp, last, 1, 1, 1, epsilon))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2D(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))

    def forward(self, x):
        x = self.features(x)
        x = self.avgpool(x)
        return self.classifier(x.flatten(1))
