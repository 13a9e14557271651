"""InsightFace's MXNet MobileFaceNet, ``fmobilefacenet``, in PyTorch: aligned 112x112 faces to embeddings.

    conv_1     3x3, stride 2, 3 -> 64       conv_2_dw  3x3 depthwise; res_2, units 64 (64), where blocks[0] is not 1
    dconv_23   unit 64 -> 64 (128), /2      res_3      blocks[1] units 64 (128)
    dconv_34   unit 64 -> 128 (256), /2     res_4      blocks[2] units 128 (256)
    dconv_45   unit 128 -> 128 (512), /2    res_5      blocks[3] units 128 (256)
    conv_6sep  1x1 to 512                   then one of the outputs

A unit is ``conv_sep`` (1x1 to the width in brackets), ``conv_dw`` (3x3 depthwise) and ``conv_proj`` (linear 1x1); the
units of a run add their input. The original is a symbol: module paths are its names with a dot wherever a module
begins, ``res_3_block0_conv_dw_batchnorm`` is ``res_3.block0.conv_dw.batchnorm``. Its scaling of pixels is left to the
caller.

Source: deepinsight/insightface, recognition/arcface_mxnet/symbol/fmobilefacenet.py; https://arxiv.org/abs/1804.07573
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

LAST_EPS = 2e-5  # of the BatchNorms behind the last 1x1 convolution, but for that of GDC
GROUPS = 512  # of GDC and SFC; the length from which GNAP tells its three forms


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
        output: E, FC (E without dropout, also I), J, F, G, H, Z, GAP, SFC, GDC, GNAP, A, B, C, D, AX, BX, CX or DX.
        dropout: probability in the outputs that have one, while training.
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
        for name, module in output_layers(output, 512, emb_size, dropout, eps):
            self.add_module(name, module)
        for name in ("bn6f", "bn6w", "fc1"):  # the original holds their scale at 1
            if isinstance(getattr(self, name, None), (nn.BatchNorm1d, nn.BatchNorm2d)):
                getattr(self, name).weight.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for module in self.children():  # they run in the order in which they are defined
            x = module(x)
        return F.normalize(x) if self.normalize else x


def output_layers(
    output: str, channels: int, length: int, dropout: float, eps: float
) -> Iterator[tuple[str, nn.Module]]:
    """The layers behind the last map of 7x7, in order, with their names."""
    pooled = "C" if output == "GAP" else output[0] if output[0] in "ABCD" else ""
    features = channels * 7 * 7
    if pooled or output in ("E", "FC", "I", "F", "G", "Z", "SFC"):
        yield "bn1", nn.BatchNorm2d(channels, eps=LAST_EPS)
    if output in ("E", "F", "Z"):
        yield "dropout", nn.Dropout(dropout)
    if pooled:
        yield "relu1", nn.PReLU(channels)
        yield "pool1", nn.AdaptiveAvgPool2d(1)
        features = channels
    elif output == "SFC":
        yield "convf", nn.Conv2d(channels, GROUPS, 3, 2, 1, groups=GROUPS, bias=False)
        yield "bnf", nn.BatchNorm2d(GROUPS, eps=LAST_EPS)
        yield "reluf", nn.PReLU(GROUPS)
        yield "convf2", nn.Conv2d(GROUPS, GROUPS, 1)
        yield "bnf2", nn.BatchNorm2d(GROUPS, eps=LAST_EPS)
        yield "reluf2", nn.PReLU(GROUPS)
        features = GROUPS * 4 * 4
    elif output == "GDC":
        yield "conv_6dw7_7", Conv(channels, GROUPS, 7, groups=GROUPS, linear=True, eps=eps)
        features = GROUPS
    elif output == "GNAP":
        features = max(length, GROUPS)
        if length > GROUPS:
            yield "convx", nn.Conv2d(channels, length, 1, bias=False)
            yield "convx_bn", nn.BatchNorm2d(length, eps=LAST_EPS)
            yield "convx_relu", nn.PReLU(length)
        yield "bn6f", nn.BatchNorm2d(features, eps=LAST_EPS)
        yield "norm_aware", NormAware()
        yield "pool", nn.AdaptiveAvgPool2d(1)
        if length < GROUPS:
            yield "bn6w", nn.BatchNorm2d(GROUPS, eps=LAST_EPS)
    if output == "Z":
        return
    yield "flatten", nn.Flatten()
    if output in ("AX", "BX", "CX", "DX"):
        yield "dropout", nn.Dropout(dropout)
    if output in ("F", "G", "H"):
        yield "fc1", nn.Linear(features, length)
        return
    if pooled != "A" and not (output == "GNAP" and length >= GROUPS):
        yield "pre_fc1", nn.Linear(features, length)
    if pooled in ("A", "B"):
        return
    yield "fc1", nn.BatchNorm1d(length, eps=LAST_EPS)
    if pooled == "D":
        yield "fc1_relu", nn.PReLU(length)
