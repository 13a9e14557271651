"""MobileNet V1 in PyTorch: 224x224 images to 1000 classes, 4.2 million parameters.

A 3x3 convolution at stride 2, then thirteen pairs of a 3x3 depthwise and a 1x1 convolution, each with its BatchNorm and
ReLU; average pooling over the 7x7 map; one linear layer. Names and order of the parameters are those of the widespread
implementation whose layers all lie in one ``model``.

Paper: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
https://arxiv.org/abs/1704.04861
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# channels and stride of every depthwise separable pair
PAIRS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1)),
)


def conv_bn_relu(in_channels: int, out_channels: int, kernel: int, stride: int, groups: int, eps: float) -> list:
    """The three modules of one convolution."""
    return [
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels, eps=eps),
        nn.ReLU(),
    ]


class MobileNetV1(nn.Module):
    """Images (N, 3, 224, 224), float32, to logits (N, num_classes).

    Args:
        num_classes: length of the output.
        eps: of every BatchNorm.
    """

    def __init__(self, num_classes: int = 1000, eps: float = 1e-5) -> None:
        super().__init__()
        steps = [nn.Sequential(*conv_bn_relu(3, 32, 3, 2, 1, eps))]
        channels = 32
        for out_channels, stride in PAIRS:
            depthwise = conv_bn_relu(channels, channels, 3, stride, channels, eps)
            steps.append(nn.Sequential(*depthwise, *conv_bn_relu(channels, out_channels, 1, 1, 1, eps)))
            channels = out_channels
        self.model = nn.Sequential(*steps, nn.AvgPool2d(7))
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.model(x), 1))
