"""IResNet (LResNet-E-IR) face recognition network in PaddlePaddle, with the parameter names and order of PLSC.

Aligned 112x112 faces to embeddings. PLSC keeps the module paths of arcface_torch; Paddle itself stores a Linear weight
as (in, out), running statistics as ``_mean`` and ``_variance`` and PReLU slopes as ``_weight``.
Source: PaddlePaddle/PLSC, ``iresnet18`` .. ``iresnet200``; paper https://arxiv.org/abs/1801.07698
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn as nn

from facecvt.reference_models.unit_scale_paddle import UnitScaleBatchNorm1D


class IRUnit(nn.Layer):
    """BatchNorm first, the stride on the second convolution, nothing after the sum."""

    def __init__(self, in_channels, out_channels, stride, epsilon):
        super().__init__()
        self.bn1 = nn.BatchNorm2D(in_channels, epsilon=epsilon)
        self.conv1 = nn.Conv2D(in_channels, out_channels, kernel_size=3, padding=1, bias_attr=False)
        self.bn2 = nn.BatchNorm2D(out_channels, epsilon=epsilon)
        self.prelu = nn.PReLU(out_channels)
        self.conv2 = nn.Conv2D(out_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias_attr=False)
        self.bn3 = nn.BatchNorm2D(out_channels, epsilon=epsilon)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            projection = nn.Conv2D(in_channels, out_channels, kernel_size=1, stride=stride, bias_attr=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2D(out_channels, epsilon=epsilon))

    def forward(self, x):
        branch = self.conv1(self.bn1(x))
        branch = self.conv2(self.prelu(self.bn2(branch)))
        branch = self.bn3(branch)
        if self.downsample is not None:
            x = self.downsample(x)
        return paddle.add(branch, x)


class IResNet(nn.Layer):
    """Aligned faces (N, 3, 112, 112), float32, about [-1, 1], to embeddings (N, embedding_size).

    Args:
        units: residual units in each of the four stages.
        embedding_size: length of the embedding.
        dropout: probability in front of the fully connected layer, while training.
        epsilon: of every BatchNorm.
        normalize: True gives embeddings of length 1.
    """

    def __init__(
        self,
        units: Sequence[int] = (3, 4, 14, 3),
        embedding_size: int = 512,
        dropout: float = 0.0,
        epsilon: float = 1e-5,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.conv1 = nn.Conv2D(3, 64, kernel_size=3, padding=1, bias_attr=False)
        self.bn1 = nn.BatchNorm2D(64, epsilon=epsilon)
        self.prelu = nn.PReLU(64)
        width = 64
        for stage, (out, count) in enumerate(zip((64, 128, 256, 512), units, strict=True), start=1):
            layers = [IRUnit(width, out, 2, epsilon)]
            while len(layers) < count:
                layers.append(IRUnit(out, out, 1, epsilon))
            self.add_sublayer(f"layer{stage}", nn.Sequential(*layers))
            width = out
        self.bn2 = nn.BatchNorm2D(512, epsilon=epsilon)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(512 * 7 * 7, embedding_size)
        self.features = UnitScaleBatchNorm1D(embedding_size, epsilon)

    def forward(self, x):
        x = self.prelu(self.bn1(self.conv1(x)))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        x = self.dropout(paddle.flatten(self.bn2(x), start_axis=1))
        x = self.features(self.fc(x))
        if self.normalize:
            # F.normalize in its parts: as it stands it cannot be saved as a .pdmodel by Paddle 3.3
            x = x / paddle.clip(paddle.norm(x, p=2, axis=1, keepdim=True), min=1e-12)
        return x
