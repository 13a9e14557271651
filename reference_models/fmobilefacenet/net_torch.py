"""InsightFace's MXNet MobileFaceNet, ``fmobilefacenet``, in PyTorch: aligned 112x112 faces to embeddings.

    conv_1     3x3, stride 2, 3 -> 64       conv_2_dw  3x3 depthwise; res_2, units 64 (64), where blocks[0] is not 1
    dconv_23   unit 64 -> 64 (128), /2      res_3      blocks[1] units 64 (128)
    dconv_34   unit 64 -> 128 (256), /2     res_4      blocks[2] units 128 (256)
    dconv_45   unit 128 -> 128 (512), /2    res_5      blocks[3] units 128 (256)
    conv_6sep  1x1 to 512                   then one of the outputs E, FC, J, GDC, GNAP

A unit is ``conv_sep`` (1x1 to the width in brackets), ``conv_dw`` (3x3 depthwise) and ``conv_proj`` (linear 1x1); the
units of a run add their input. The original is a symbol: module paths are its names with a dot wherever a module
begins, ``res_3_block0_conv_dw_batchnorm`` is ``res_3.block0.conv_dw.batchnorm``. Its scaling of pixels is left to the
caller.

Source: deepinsight/insightface, recognition/arcface_mxnet/symbol/fmobilefacenet.py; https://arxiv.org/abs/1804.07573
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

LAST_EPS = 2e-5  # of the BatchNorms behind the last 1x1 convolution


class Conv(nn.Sequential):
    """Convolution without bias, BatchNorm and, unless ``linear``, PReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        linear: bool = False,
        eps: float = 1e-3,
    ) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False)
        self.batchnorm = nn.BatchNorm2d(out_channels, eps=eps)
        if not linear:
            self.relu = nn.PReLU(out_channels)


class DConv(nn.Module):
    """A unit; adds its input where ``residual``."""

    def __init__(
        self, in_channels: int, out_channels: int, inner: int, stride: int, residual: bool, eps: float
    ) -> None:
        super().__init__()
        self.residual = residual
        self.conv_sep = Conv(in_channels, inner, eps=eps)
        self.conv_dw = Conv(inner, inner, 3, stride, 1, groups=inner, eps=eps)
        self.conv_proj = Conv(inner, out_channels, linear=True, eps=eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv_proj(self.conv_dw(self.conv_sep(x)))
        return y + x if self.residual else y


class Residual(nn.Sequential):
    """A run of units, ``block0`` and so on."""

    def __init__(self, channels: int, count: int, inner: int, eps: float) -> None:
        super().__init__()
        for index in range(count):
            self.add_module(f"block{index}", DConv(channels, channels, inner, 1, True, eps))


class NormAware(nn.Module):
    """Every pixel's vector times the mean length of the batch's vectors over its own length."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        length = (x * x).sum(dim=1, keepdim=True).sqrt()
        return x * (length.mean() / length)


class FMobileFaceNet(nn.Module):
    """Aligned RGB faces (N, 3, 112, 112), float32, (pixel - 127.5) / 128, to embeddings (N, emb_size).

    Args:
        emb_size: length of the embedding.
        blocks: units in each of the four runs; a first run of one is a depthwise convolution instead.
        output: E, FC (E without dropout), J, GDC or GNAP (at most 512 numbers).
        dropout: probability in front of ``pre_fc1``, in E.
        eps: of the BatchNorms behind convolutions.
        normalize: True gives embeddings of length 1.
    """

    def __init__(
        self,
        emb_size: int = 512,
        blocks: Sequence[int] = (1, 4, 6, 2),
        output: str = "E",
        dropout: float = 0.4,
        eps: float = 1e-3,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.conv_1 = Conv(3, 64, 3, 2, 1, eps=eps)
        if blocks[0] == 1:
            self.conv_2_dw = Conv(64, 64, 3, 1, 1, groups=64, eps=eps)
        else:
            self.res_2 = Residual(64, blocks[0], 64, eps)
        self.dconv_23 = DConv(64, 64, 128, 2, False, eps)
        self.res_3 = Residual(64, blocks[1], 128, eps)
        self.dconv_34 = DConv(64, 128, 256, 2, False, eps)
        self.res_4 = Residual(128, blocks[2], 256, eps)
        self.dconv_45 = DConv(128, 128, 512, 2, False, eps)
        self.res_5 = Residual(128, blocks[3], 256, eps)
        self.conv_6sep = Conv(128, 512, eps=eps)
        features, fully_connected = 512, True
        if output == "GDC":
            self.conv_6dw7_7 = Conv(512, 512, 7, groups=512, linear=True, eps=eps)
        elif output == "GNAP":
            self.bn6f = nn.BatchNorm2d(512, eps=LAST_EPS)
            self.norm_aware = NormAware()
            self.pool = nn.AdaptiveAvgPool2d(1)
            fully_connected = emb_size != 512
            if fully_connected:
                self.bn6w = nn.BatchNorm2d(512, eps=LAST_EPS)
        else:
            features = 512 * 7 * 7
            if output in ("E", "FC"):
                self.bn1 = nn.BatchNorm2d(512, eps=LAST_EPS)
            if output == "E":
                self.dropout = nn.Dropout(dropout)
        self.flatten = nn.Flatten()
        if fully_connected:
            self.pre_fc1 = nn.Linear(features, emb_size)
        self.fc1 = nn.BatchNorm1d(emb_size, eps=LAST_EPS)
        for name in ("bn6f", "bn6w", "fc1"):  # the original holds their scale at 1
            if hasattr(self, name):
                getattr(self, name).weight.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for module in self.children():  # they run in the order in which they are defined
            x = module(x)
        return F.normalize(x) if self.normalize else x
