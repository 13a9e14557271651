"""InsightFace's MobileNet V1 for faces, MXNet's ``fmobilenet``, in PaddlePaddle: aligned faces to embeddings.

The original is a symbol: parameter paths are its names with a dot in front of conv2d, batchnorm and relu. Pixels are
scaled by the caller.
Source: deepinsight/insightface, recognition/arcface_mxnet/symbol/fmobilenet.py; https://arxiv.org/abs/1704.04861
"""

from __future__ import annotations

import paddle
import paddle.nn as nn

from facecvt.reference_models.outputs_paddle import output_layers
from facecvt.reference_models.unit_scale_paddle import UnitScaleBatchNorm2D


class Conv(nn.Layer):
    """Convolution without bias, BatchNorm and, unless linear, slopes."""

    def __init__(self, inp, oup, k, s=1, p=0, groups=1, linear=False, epsilon=1e-3):
        super().__init__()
        self.conv2d = nn.Conv2D(inp, oup, k, stride=s, padding=p, groups=groups, bias_attr=False)
        self.batchnorm = (nn.BatchNorm2D if linear else UnitScaleBatchNorm2D)(oup, epsilon=epsilon)
        self.linear = linear
        if not linear:
            self.relu = nn.PReLU(oup)

    def forward(self, x):
        x = self.batchnorm(self.conv2d(x))
        return x if self.linear else self.relu(x)


class FMobileNet(nn.Layer):
    """Aligned RGB faces (N, 3, 112, 112), float32, (pixel - 127.5) / 128, to embeddings (N, embedding_size).

    Args:
        embedding_size: length of the embedding.
        multiplier: width factor.
        output: E, FC, I, J, F, G, H, Z, GAP, SFC, GDC, GNAP, A, B, C, D, AX, BX, CX or DX.
        stride: of ``conv_1``; 2 takes 224x224.
        dropout: probability in the outputs that have one, while training.
        epsilon: of the BatchNorms behind convolutions and of GDC; those of other outputs have 2e-5.
        normalize: True gives embeddings of length 1.
    """

    def __init__(
        self,
        embedding_size: int = 512,
        multiplier: float = 1.0,
        output: str = "E",
        stride: int = 1,
        dropout: float = 0.4,
        epsilon: float = 1e-3,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.sequence = []
        c = int(32 * multiplier)
        widths = [c * times for times in (2, 4, 4, 8, 8, 16, 16, 16, 16, 16, 16, 32, 32)]
        self.append("conv_1", Conv(3, c, 3, stride, 1, epsilon=epsilon))
        for number, width in enumerate(widths, start=2):
            s = 2 if number in (3, 5, 7, 13) else 1
            self.append(f"conv_{number}_dw", Conv(c, c, 3, s, 1, c, epsilon=epsilon))
            self.append(f"conv_{number}", Conv(c, width, 1, epsilon=epsilon))
            c = width
        for name, layer in output_layers(output, c, 7, embedding_size, dropout=dropout, gdc_epsilon=epsilon):
            self.append(name, layer)

    def append(self, name, layer):
        """Put a layer behind the others."""
        self.sequence.append(name)
        self.add_sublayer(name, layer)

    def forward(self, x):
        for name in self.sequence:
            x = getattr(self, name)(x)
        if self.normalize:
            # F.normalize in its parts: as it stands it cannot be saved as a .pdmodel by Paddle 3.3
            x = x / paddle.clip(paddle.norm(x, p=2, axis=1, keepdim=True), min=1e-12)
        return x
