"""InsightFace's MobileNet V1 for faces, MXNet's ``fmobilenet``, in PyTorch: aligned 112x112 faces to embeddings.

conv_1 (3x3, 32 channels), thirteen pairs conv_K_dw (3x3 depthwise) and conv_K (1x1), K = 2 .. 14, of the widths of
MobileNet V1 with PReLU, then one of the outputs E (bn1, dropout, pre_fc1, fc1), FC (E without dropout), J (pre_fc1,
fc1) and GDC (conv_6dw7_7, which has 512 groups at every width, pre_fc1, fc1). The original is a symbol: module paths
are its names with a dot in front of conv2d, batchnorm and relu. Pixels are scaled by the caller.

Source: deepinsight/insightface, recognition/arcface_mxnet/symbol/fmobilenet.py; https://arxiv.org/abs/1704.04861
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

# channels at multiplier 1 and stride of the pairs conv_2 .. conv_14
PAIRS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
LAST_EPS = 2e-5  # of bn1 and fc1


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


class FMobileNet(nn.Module):
    """Aligned RGB faces (N, 3, 112, 112), float32, (pixel - 127.5) / 128, to embeddings (N, emb_size).

    Args:
        emb_size: length of the embedding.
        multiplier: width factor.
        output: E, FC, J or GDC.
        stride: of ``conv_1``; 2 takes 224x224.
        dropout: probability in front of ``pre_fc1``, in E.
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
        features = channels * 7 * 7
        if output == "GDC":
            self.conv_6dw7_7 = Conv(channels, 512, 7, groups=512, linear=True, eps=eps)
            features = 512
        elif output != "J":
            self.bn1 = nn.BatchNorm2d(channels, eps=LAST_EPS)
            if output == "E":
                self.dropout = nn.Dropout(dropout)
        self.flatten = nn.Flatten()
        self.pre_fc1 = nn.Linear(features, emb_size)
        self.fc1 = nn.BatchNorm1d(emb_size, eps=LAST_EPS)
        self.fc1.weight.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for module in self.children():  # they run in the order in which they are defined
            x = module(x)
        return F.normalize(x) if self.normalize else x
