"""InsightFace's MXNet MobileFaceNet, ``fmobilefacenet``, in PaddlePaddle: aligned 112x112 faces to embeddings.

The original is a symbol: parameter paths are its names with a dot wherever a layer begins, so that
``res_3_block0_conv_dw_batchnorm_gamma`` is ``res_3.block0.conv_dw.batchnorm.weight``. Pixels are scaled by the caller.
Source: deepinsight/insightface, recognition/arcface_mxnet/symbol/fmobilefacenet.py; https://arxiv.org/abs/1804.07573
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn as nn

from facecvt.reference_models.outputs_paddle import output_layers


class Linear(nn.Layer):
    """Convolution without bias and BatchNorm."""

    def __init__(self, inp, oup, k=1, s=1, p=0, groups=1, epsilon=1e-3):
        super().__init__()
        self.conv2d = nn.Conv2D(inp, oup, k, stride=s, padding=p, groups=groups, bias_attr=False)
        self.batchnorm = nn.BatchNorm2D(oup, epsilon=epsilon)

    def forward(self, x):
        return self.batchnorm(self.conv2d(x))


class Conv(Linear):
    """The same with slopes behind it."""

    def __init__(self, inp, oup, k=1, s=1, p=0, groups=1, epsilon=1e-3):
        super().__init__(inp, oup, k, s, p, groups, epsilon)
        self.relu = nn.PReLU(oup)

    def forward(self, x):
        return self.relu(super().forward(x))


class DConv(nn.Layer):
    """A unit at stride 2 or, in a run, at stride 1 with its input added."""

    def __init__(self, inp, oup, groups, epsilon, s=2):
        super().__init__()
        self.shortcut = s == 1
        self.conv_sep = Conv(inp, groups, epsilon=epsilon)
        self.conv_dw = Conv(groups, groups, 3, s, 1, groups, epsilon)
        self.conv_proj = Linear(groups, oup, epsilon=epsilon)

    def forward(self, x):
        y = self.conv_proj(self.conv_dw(self.conv_sep(x)))
        if self.shortcut:
            y = y + x
        return y


def residual(c, num_block, groups, epsilon):
    """A run of units."""
    return nn.Sequential(*[(f"block{i}", DConv(c, c, groups, epsilon, s=1)) for i in range(num_block)])


class FMobileFaceNet(nn.Layer):
    """Aligned RGB faces (N, 3, 112, 112), float32, (pixel - 127.5) / 128, to embeddings (N, embedding_size).

    Args:
        embedding_size: length of the embedding.
        blocks: units in each of the four runs; a first run of one is a depthwise convolution instead.
        output: E, FC, I, J, F, G, H, Z, GAP, SFC, GDC, GNAP, A, B, C, D, AX, BX, CX or DX.
        dropout: probability in the outputs that have one, while training.
        epsilon: of the BatchNorms behind convolutions; those at the end have 2e-5.
        normalize: True gives embeddings of length 1.
    """

    def __init__(
        self,
        embedding_size: int = 512,
        blocks: Sequence[int] = (1, 4, 6, 2),
        output: str = "E",
        dropout: float = 0.4,
        epsilon: float = 1e-3,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.conv_1 = Conv(3, 64, 3, 2, 1, epsilon=epsilon)
        if blocks[0] == 1:
            self.conv_2_dw = Conv(64, 64, 3, 1, 1, 64, epsilon)
        else:
            self.res_2 = residual(64, blocks[0], 64, epsilon)
        self.dconv_23 = DConv(64, 64, 128, epsilon)
        self.res_3 = residual(64, blocks[1], 128, epsilon)
        self.dconv_34 = DConv(64, 128, 256, epsilon)
        self.res_4 = residual(128, blocks[2], 256, epsilon)
        self.dconv_45 = DConv(128, 128, 512, epsilon)
        self.res_5 = residual(128, blocks[3], 256, epsilon)
        self.conv_6sep = Conv(128, 512, epsilon=epsilon)
        self.head = []
        for name, layer in output_layers(output, 512, 7, embedding_size, dropout=dropout, gdc_epsilon=epsilon):
            self.head.append(name)
            self.add_sublayer(name, layer)

    def forward(self, x):
        x = self.conv_1(x)
        x = self.conv_2_dw(x) if hasattr(self, "conv_2_dw") else self.res_2(x)
        x = self.res_3(self.dconv_23(x))
        x = self.res_4(self.dconv_34(x))
        x = self.res_5(self.dconv_45(x))
        x = self.conv_6sep(x)
        for name in self.head:
            x = getattr(self, name)(x)
        if self.normalize:
            # F.normalize in its parts: as it stands it cannot be saved as a .pdmodel by Paddle 3.3
            x = x / paddle.clip(paddle.norm(x, p=2, axis=1, keepdim=True), min=1e-12)
        return x
