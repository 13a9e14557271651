"""BlazeFace (MediaPipe) in PaddlePaddle; there is no Paddle original, the paths are those of the PyTorch port.

Paper: https://arxiv.org/abs/1907.05047
"""

from __future__ import annotations

import paddle
import paddle.nn as nn
from paddle.nn import functional

STEM = 24
# channels and stride of the blocks
FRONT_FINE = ((24, 1), (28, 1), (32, 2), (36, 1), (42, 1), (48, 2), (56, 1), (64, 1), (72, 1), (80, 1), (88, 1))
FRONT_COARSE = ((96, 2), (96, 1), (96, 1), (96, 1), (96, 1))
BACK = ((24, 1),) * 7 + ((24, 2),) + ((24, 1),) * 7 + ((48, 2),) + ((48, 1),) * 7 + ((96, 2),) + ((96, 1),) * 7


def separable(inp, oup, stride):
    """Depthwise 3x3 (at stride 2 the caller pads) and pointwise convolution, both with bias."""
    return nn.Sequential(
        nn.Conv2D(inp, inp, 3, stride=stride, padding=2 - stride, groups=inp),
        nn.Conv2D(inp, oup, 1),
    )


def pad_right_and_bottom(x):
    return functional.pad(x, [0, 2, 0, 2])


class BlazeBlock(nn.Layer):
    def __init__(self, inp, oup, stride):
        super().__init__()
        self.convs = separable(inp, oup, stride)
        self.max_pool = nn.MaxPool2D(2, stride=2) if stride == 2 else None
        self.new_channels = oup - inp
        self.act = nn.ReLU()

    def forward(self, x):
        y = x
        if self.max_pool is not None:
            y = pad_right_and_bottom(x)
            x = self.max_pool(x)
        if self.new_channels > 0:
            x = functional.pad(x, [0, 0, 0, self.new_channels, 0, 0, 0, 0])
        return self.act(self.convs(y) + x)


class FinalBlazeBlock(nn.Layer):
    """No shortcut."""

    def __init__(self, channels):
        super().__init__()
        self.convs = separable(channels, channels, 2)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.convs(pad_right_and_bottom(x)))


def blocks(inp, rows):
    layers = []
    for oup, stride in rows:
        layers.append(BlazeBlock(inp, oup, stride))
        inp = oup
    return layers


class BlazeFace(nn.Layer):
    """Images (N, 3, S, S), RGB as pixel / 127.5 - 1, to (regressors (N, 896, 16), raw scores (N, 896, 1)), float32.

    Args:
        back_model: True for the back camera (S = 256), False for the front camera (S = 128).
    """

    def __init__(self, back_model: bool = False) -> None:
        super().__init__()
        first = [nn.Conv2D(3, STEM, 5, stride=2), nn.ReLU()]
        if back_model:
            self.backbone = nn.Sequential(*first, *blocks(STEM, BACK))
            self.final = FinalBlazeBlock(96)
        else:
            self.backbone1 = nn.Sequential(*first, *blocks(STEM, FRONT_FINE))
            self.backbone2 = nn.Sequential(*blocks(88, FRONT_COARSE))
        self.back_model = back_model
        channels = 96 if back_model else 88
        self.classifier_8 = nn.Conv2D(channels, 2, 1)
        self.classifier_16 = nn.Conv2D(96, 6, 1)
        self.regressor_8 = nn.Conv2D(channels, 32, 1)
        self.regressor_16 = nn.Conv2D(96, 96, 1)

    def forward(self, x):
        x = functional.pad(x, [1, 2, 1, 2])
        fine = self.backbone(x) if self.back_model else self.backbone1(x)
        coarse = self.final(fine) if self.back_model else self.backbone2(fine)
        scores = [self.one_row_an_anchor(self.classifier_8(fine), 1)]
        scores.append(self.one_row_an_anchor(self.classifier_16(coarse), 1))
        boxes = [self.one_row_an_anchor(self.regressor_8(fine), 16)]
        boxes.append(self.one_row_an_anchor(self.regressor_16(coarse), 16))
        return paddle.concat(boxes, axis=1), paddle.concat(scores, axis=1)

    @staticmethod
    def one_row_an_anchor(maps, width):
        """(N, anchors * width, H, W) to (N, H * W * anchors, width)."""
        return paddle.reshape(paddle.transpose(maps, [0, 2, 3, 1]), [0, -1, width])
