"""BlazeFace (MediaPipe) in PyTorch: an RGB image to 896 anchors, each with a box, six keypoints and a raw score.

Front camera: 128x128 image, 101 390 parameters; back camera: 256x256, 136 240. Every convolution has a bias and there
is no BatchNorm. A block is a 3x3 depthwise and a 1x1 convolution beside a shortcut, with one ReLU after the sum; where
a block widens, the shortcut gets channels of zeros behind its own. Padding at stride 2 is that of TensorFlow, more on
the right and at the bottom. Names and order of the parameters are those of hollance/BlazeFace-PyTorch.

Paper: Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs",
https://arxiv.org/abs/1907.05047
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class BlazeBlock(nn.Module):
    """ReLU(1x1(depthwise 3x3(x)) + shortcut(x)); at stride 2 the shortcut is a 2x2 max pool."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.extra = out_channels - in_channels
        self.convs = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, stride, 1 if stride == 1 else 0, groups=in_channels),
            nn.Conv2d(in_channels, out_channels, 1),
        )
        if stride == 2:
            self.max_pool = nn.MaxPool2d(2, 2)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 2:
            branch, shortcut = functional.pad(x, (0, 2, 0, 2)), self.max_pool(x)
        else:
            branch, shortcut = x, x
        if self.extra:
            shortcut = functional.pad(shortcut, (0, 0, 0, 0, 0, self.extra))
        return self.act(self.convs(branch) + shortcut)


class FinalBlazeBlock(nn.Module):
    """The back model's last step to half the size: ReLU(1x1(depthwise 3x3(x))), no shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 2, groups=channels), nn.Conv2d(channels, channels, 1)
        )
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.convs(functional.pad(x, (0, 2, 0, 2))))


def chain(channels: int, rows: Sequence[tuple[int, int]]) -> list[nn.Module]:
    """Blocks one behind the other; a row is what a block puts out and its stride."""
    blocks: list[nn.Module] = []
    for out_channels, stride in rows:
        blocks.append(BlazeBlock(channels, out_channels, stride))
        channels = out_channels
    return blocks


class BlazeFace(nn.Module):
    """Images (N, 3, S, S), RGB as pixel / 127.5 - 1, to (regressors (N, 896, 16), raw scores (N, 896, 1)), float32.

    S is 128 for the front model and 256 for the back model. Anchors 0 to 511 lie on the 16x16 map, two a cell, the
    others on the 8x8 map, six a cell. Regressors are in input pixels relative to the anchor: centre x, y, width,
    height, then x, y of six keypoints. A score becomes a probability by the sigmoid.

    Args:
        back_model: True for the back camera.
    """

    def __init__(self, back_model: bool = False) -> None:
        super().__init__()
        self.back_model = back_model
        stem = [nn.Conv2d(3, 24, 5, 2), nn.ReLU()]
        if back_model:
            rows = [(24, 1)] * 7 + [(24, 2)] + [(24, 1)] * 7 + [(48, 2)] + [(48, 1)] * 7 + [(96, 2)] + [(96, 1)] * 7
            self.backbone = nn.Sequential(*stem, *chain(24, rows))
            self.final = FinalBlazeBlock(96)
            fine = 96
        else:
            growing = [(28, 1), (32, 2), (36, 1), (42, 1), (48, 2), (56, 1), (64, 1), (72, 1), (80, 1), (88, 1)]
            self.backbone1 = nn.Sequential(*stem, *chain(24, [(24, 1), *growing]))
            self.backbone2 = nn.Sequential(*chain(88, [(96, 2), (96, 1), (96, 1), (96, 1), (96, 1)]))
            fine = 88
        self.classifier_8 = nn.Conv2d(fine, 2, 1)
        self.classifier_16 = nn.Conv2d(96, 6, 1)
        self.regressor_8 = nn.Conv2d(fine, 32, 1)
        self.regressor_16 = nn.Conv2d(96, 96, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.pad(x, (1, 2, 1, 2))
        if self.back_model:
            fine = self.backbone(x)
            coarse = self.final(fine)
        else:
            fine = self.backbone1(x)
            coarse = self.backbone2(fine)
        scores = (anchor_rows(self.classifier_8(fine), 1), anchor_rows(self.classifier_16(coarse), 1))
        regressors = (anchor_rows(self.regressor_8(fine), 16), anchor_rows(self.regressor_16(coarse), 16))
        return torch.cat(regressors, dim=1), torch.cat(scores, dim=1)


def anchor_rows(maps: Tensor, width: int) -> Tensor:
    """(N, anchors * width, H, W) to (N, H * W * anchors, width)."""
    return maps.permute(0, 2, 3, 1).reshape(maps.shape[0], -1, width)
