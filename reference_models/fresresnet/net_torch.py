"""FresResNet (LResNet-E-IR with one slope per PReLU) in PyTorch: aligned 112x112 faces to embeddings.

Stem 3x3 at stride 1, four stages of residual units whose first unit halves the map (56, 28, 14, 7), then the head
``fc``. A unit is _batch_norm - conv0 (3x3, BatchNorm) - prelu - conv1 (3x3 with the stride, BatchNorm) plus the
shortcut, ``short`` (1x1, BatchNorm) in a stage's first unit, with nothing after the sum. The graph is that of
``iresnet50`` and ``iresnet100``, but every PReLU has one slope for all channels. Published in PaddlePaddle alone
(InsightFace's arcface_paddle): module paths and order are those of that version.

Paper: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", https://arxiv.org/abs/1801.07698
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ConvBN(nn.Module):
    """Convolution without bias and its BatchNorm."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, eps: float) -> None:
        super().__init__()
        self._conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
        self._batch_norm = nn.BatchNorm2d(out_channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        return self._batch_norm(self._conv(x))


class ResidualUnit(nn.Module):
    """BatchNorm first, the stride on the second convolution, nothing after the sum."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, eps: float) -> None:
        super().__init__()
        self._batch_norm = nn.BatchNorm2d(in_channels, eps=eps)
        self.conv0 = ConvBN(in_channels, out_channels, 3, 1, eps)
        self.prelu = nn.PReLU()
        self.conv1 = ConvBN(out_channels, out_channels, 3, stride, eps)
        self.short = ConvBN(in_channels, out_channels, 1, stride, eps) if stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        branch = self.conv0(self._batch_norm(x))
        branch = self.conv1(self.prelu(branch))
        return branch + (x if self.short is None else self.short(x))


class Head(nn.Module):
    """E: BatchNorm, flatten, dropout, fully connected, BatchNorm; FC: without dropout; Z: ends behind the dropout."""

    def __init__(
        self, channels: int, size: int, embedding_size: int, fc_type: str, dropout: float, flatten: bool, eps: float
    ) -> None:
        super().__init__()
        self._batch_norm_1 = nn.BatchNorm2d(channels, eps=eps)
        self.flatten = flatten
        self.dropout = nn.Dropout(0.0 if fc_type == "FC" else dropout)
        self.fc = None
        if fc_type != "Z":
            self.fc = nn.Linear(channels * size * size, embedding_size)
            self._batch_norm_2 = nn.BatchNorm1d(embedding_size, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        x = self._batch_norm_1(x)
        x = self.dropout(torch.flatten(x, 1) if self.flatten else x)
        return x if self.fc is None else self._batch_norm_2(self.fc(x))


class FresResNet(nn.Module):
    """Aligned RGB faces (N, 3, 112, 112), float32, (pixel / 255 - 0.5) / 0.5, to embeddings (N, embedding_size).

    Args:
        units: residual units in each of the four stages; (3, 13, 30, 3) in FresResNet100.
        embedding_size: length of the embedding.
        fc_type: of the head: "E", "FC" or "Z", which gives the last map instead of an embedding.
        dropout: probability in the head, while training.
        flatten: False leaves the map of "Z" as (N, 512, 7, 7), as the static-graph version does.
        eps: of every BatchNorm.
    """

    def __init__(
        self,
        units: Sequence[int] = (3, 4, 14, 3),
        embedding_size: int = 512,
        fc_type: str = "E",
        dropout: float = 0.4,
        flatten: bool = True,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.conv = ConvBN(3, 64, 3, 1, eps)
        self.prelu = nn.PReLU()
        self.block_list = nn.ModuleList()
        channels = 64
        for out_channels, count in zip((64, 128, 256, 512), units, strict=True):
            for index in range(count):
                self.block_list.append(ResidualUnit(channels, out_channels, 2 if index == 0 else 1, eps))
                channels = out_channels
        self.fc = Head(channels, 7, embedding_size, fc_type, dropout, flatten, eps)

    def forward(self, x: Tensor) -> Tensor:
        x = self.prelu(self.conv(x))
        for block in self.block_list:
            x = block(x)
        return self.fc(x)
