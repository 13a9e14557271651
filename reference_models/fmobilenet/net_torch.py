"""InsightFace's MobileNet V1 for faces, MXNet's ``fmobilenet``, in PyTorch: aligned 112x112 faces to embeddings.

conv_1 (3x3, 32 channels), thirteen pairs conv_K_dw (3x3 depthwise) and conv_K (1x1), K = 2 .. 14, of the widths of
MobileNet V1 with PReLU, then one of the outputs. The original is a symbol: module paths
are its names with a dot in front of conv2d, batchnorm and relu. Pixels are scaled by the caller.

Source: deepinsight/insightface, recognition/arcface_mxnet/symbol/fmobilenet.py; https://arxiv.org/abs/1704.04861
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

# channels at multiplier 1 and stride of the pairs conv_2 .. conv_14
PAIRS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
LAST_EPS = 2e-5  # of the BatchNorms behind the last 1x1 convolution, but for that of GDC
GROUPS = 512  # of GDC and SFC at every width; the length from which GNAP tells its three forms


class Conv(nn.Sequential):
    """Convolution without bias, BatchNorm of scale 1, PReLU; a free scale and no PReLU where ``linear``."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
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
            self.batchnorm.weight.requires_grad_(False)
            self.relu = nn.PReLU(out_channels)


class NormAware(nn.Module):
    """Every pixel's vector times the mean length of the batch's vectors over its own length."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        length = (x * x).sum(dim=1, keepdim=True).sqrt()
        return x * (length.mean() / length)


class FMobileNet(nn.Module):
    """Aligned RGB faces (N, 3, 112, 112), float32, (pixel - 127.5) / 128, to embeddings (N, emb_size).

    Args:
        emb_size: length of the embedding.
        multiplier: width factor.
        output: E, FC (E without dropout, also I), J, F, G, H, Z, GAP, SFC, GDC, GNAP, A, B, C, D, AX, BX, CX or DX.
        stride: of ``conv_1``; 2 takes 224x224.
        dropout: probability in the outputs that have one, while training.
        eps: of the BatchNorms behind convolutions.
        normalize: True gives embeddings of length 1.
    """

    def __init__(
        self,
        emb_size: int = 512,
        multiplier: float = 1.0,
        output: str = "E",
        stride: int = 1,
        dropout: float = 0.4,
        eps: float = 1e-3,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.normalize = normalize
        base = channels = int(32 * multiplier)
        self.conv_1 = Conv(3, base, 3, stride, 1, eps=eps)
        for number, (out_channels, pair_stride) in enumerate(PAIRS, start=2):
            self.add_module(f"conv_{number}_dw", Conv(channels, channels, 3, pair_stride, 1, channels, eps=eps))
            self.add_module(f"conv_{number}", Conv(channels, base * out_channels // 32, 1, eps=eps))
            channels = base * out_channels // 32
        for name, module in output_layers(output, channels, emb_size, dropout, eps):
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
