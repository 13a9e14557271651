"""IResNet (LResNet-E-IR) face recognition network in PyTorch: aligned 112x112 faces to embeddings.

Stem 3x3 at stride 1, four stages of residual units whose first unit halves the map (56, 28, 14, 7), then
bn2 - flatten - dropout - fc - features. A unit is bn1 - conv1 - bn2 - prelu - conv2 - bn3 plus the shortcut, with
nothing after the sum; its stride sits on conv2. Names and order of the parameters are those of InsightFace's
arcface_torch ``iresnet18`` .. ``iresnet200``, so its checkpoints load with ``strict=True``; FFC's ``resnet_arcface`` is
the same network with ``normalize=True``.

Paper: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", https://arxiv.org/abs/1801.07698
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class IRUnit(nn.Module):
    """Residual unit "v3": bn1 - conv1 - bn2 - prelu - conv2 - bn3, plus the shortcut of the unit's raw input."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, eps: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels, eps=eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels, eps=eps)
        self.prelu = nn.PReLU(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels, eps=eps)
        if stride == 1 and in_channels == out_channels:
            self.downsample = None
        else:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
                nn.BatchNorm2d(out_channels, eps=eps),
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.conv1(self.bn1(x))
        x = self.prelu(self.bn2(x))
        x = self.bn3(self.conv2(x))
        return x + shortcut


class IResNet(nn.Module):
    """Aligned faces (N, 3, 112, 112), float32, scaled to about [-1, 1], to embeddings (N, embedding_size).

    Args:
        units: residual units in each of the four stages; (3, 4, 14, 3) is iresnet50.
        embedding_size: length of the embedding.
        dropout: probability in front of the fully connected layer, while training.
        eps: of every BatchNorm; 1e-5 in arcface_torch, 2e-5 in the MXNet original.
        normalize: True gives embeddings of length 1.
    """

    def __init__(
        self,
        units: Sequence[int] = (3, 4, 14, 3),
        embedding_size: int = 512,
        dropout: float = 0.0,
        eps: float = 1e-5,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64, eps=eps)
        self.prelu = nn.PReLU(64)
        self.layer1 = self._stage(64, 64, units[0], eps)
        self.layer2 = self._stage(64, 128, units[1], eps)
        self.layer3 = self._stage(128, 256, units[2], eps)
        self.layer4 = self._stage(256, 512, units[3], eps)
        self.bn2 = nn.BatchNorm2d(512, eps=eps)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(512 * 7 * 7, embedding_size)
        self.features = nn.BatchNorm1d(embedding_size, eps=eps)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.1)
        self.features.weight.requires_grad_(False)  # stays 1: the margin losses only see the embedding's direction

    @staticmethod
    def _stage(in_channels: int, out_channels: int, units: int, eps: float) -> nn.Sequential:
        first = IRUnit(in_channels, out_channels, 2, eps)
        return nn.Sequential(first, *(IRUnit(out_channels, out_channels, 1, eps) for _ in range(units - 1)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = self.dropout(torch.flatten(self.bn2(x), 1))
        x = self.features(self.fc(x))
        return F.normalize(x) if self.normalize else x
