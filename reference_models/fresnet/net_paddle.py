"""InsightFace's MXNet ``fresnet`` in PaddlePaddle: aligned faces to embeddings, with every unit, input and output.

The original is a symbol; paths are PLSC's for IResNet wherever that has the layer. Activations are called prelu even
where they are another function. Pixels are scaled by the caller.
Source: deepinsight/insightface, recognition/arcface_mxnet/symbol/fresnet.py; https://arxiv.org/abs/1801.07698
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn as nn

from facecvt.reference_models.fresnet.names import OUTPUT_NAMES
from facecvt.reference_models.outputs_paddle import act_layer, output_layers
from facecvt.reference_models.unit_scale_paddle import UnitScaleBatchNorm2D


def conv(inp, oup, k, s=1, **options):
    return nn.Conv2D(inp, oup, k, stride=s, padding=k // 2, bias_attr=False, **options)


class SEBlock(nn.Layer):
    """Channels times factors that their means give."""

    def __init__(self, c, act):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.conv1 = nn.Conv2D(c, c // 16, 1)
        self.prelu = act_layer(act, c // 16)
        self.conv2 = nn.Conv2D(c // 16, c, 1)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x):
        return x * self.sigmoid(self.conv2(self.prelu(self.conv1(self.pool(x)))))


class ResidualUnit(nn.Layer):
    """What the units share: the options, and the layers behind the branch."""

    def __init__(self, inp, oup, s, options):
        super().__init__()
        self.options = options
        self.inner = oup // 4 if options["bottleneck"] else oup
        self.build_branch(inp, oup, s)
        if options["se"]:
            self.se = SEBlock(oup, options["act"])
        self.downsample = self.shortcut(inp, oup, s) if s != 1 else None

    def bn(self, c):
        return nn.BatchNorm2D(c, epsilon=self.options["epsilon"])

    def act(self, c):
        return act_layer(self.options["act"], c)

    def shortcut(self, inp, oup, s):
        return nn.Sequential(conv(inp, oup, 1, s), self.bn(oup))

    def close(self, branch, shortcut):
        """The sum."""
        if self.options["se"]:
            branch = self.se(branch)
        return paddle.add(branch, shortcut)


class UnitV1(ResidualUnit):
    """An activation behind the sum; at input 0 the stride is on the first convolution."""

    def __init__(self, inp, oup, s, options):
        super().__init__(inp, oup, s, options)
        self.prelu3 = self.act(oup)

    def build_branch(self, inp, oup, s):
        inner, deep = self.inner, self.options["bottleneck"]
        s1, s2 = (s, 1) if self.options["input"] == 0 else (1, s)
        self.conv1 = conv(inp, inner, 1 if deep else 3, s1)
        self.bn1 = self.bn(inner)
        self.prelu = self.act(inner)
        self.conv2 = conv(inner, inner, 3, 1 if deep else s2)
        self.bn2 = self.bn(inner)
        if deep:
            self.prelu2 = self.act(inner)
            self.conv3 = conv(inner, oup, 1, s2)
            self.bn3 = self.bn(oup)

    def forward(self, x):
        y = self.prelu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.options["bottleneck"]:
            y = self.bn3(self.conv3(self.prelu2(y)))
        if self.downsample is not None:
            x = self.downsample(x)
        return self.prelu3(self.close(y, x))


class UnitV2(ResidualUnit):
    """BatchNorm and activation in front of every convolution; the projection takes the first activation."""

    def build_branch(self, inp, oup, s):
        inner, deep = self.inner, self.options["bottleneck"]
        self.bn1 = self.bn(inp)
        self.prelu = self.act(inp)
        self.conv1 = conv(inp, inner, 1) if deep else conv(inp, inner, 3, s)
        self.bn2 = self.bn(inner)
        self.prelu2 = self.act(inner)
        self.conv2 = conv(inner, inner, 3, s if deep else 1)
        if deep:
            self.bn3 = self.bn(inner)
            self.prelu3 = self.act(inner)
            self.conv3 = conv(inner, oup, 1)

    def shortcut(self, inp, oup, s):
        return conv(inp, oup, 1, s)

    def forward(self, x):
        y = self.prelu(self.bn1(x))
        if self.downsample is not None:
            x = self.downsample(y)
        y = self.conv1(y)
        y = self.conv2(self.prelu2(self.bn2(y)))
        if self.options["bottleneck"]:
            y = self.conv3(self.prelu3(self.bn3(y)))
        return self.close(y, x)


class UnitV3(ResidualUnit):
    """BatchNorm first, the stride on the last convolution, nothing behind the sum."""

    def build_branch(self, inp, oup, s):
        inner, deep = self.inner, self.options["bottleneck"]
        self.bn1 = self.bn(inp)
        self.conv1 = conv(inp, inner, 1 if deep else 3)
        self.bn2 = self.bn(inner)
        self.prelu = self.act(inner)
        self.conv2 = conv(inner, inner, 3, 1 if deep else s)
        self.bn3 = self.bn(inner)
        if deep:
            self.prelu2 = self.act(inner)
            self.conv3 = conv(inner, oup, 1, s)
            self.bn4 = self.bn(oup)

    def forward(self, x):
        y = self.conv1(self.bn1(x))
        y = self.conv2(self.prelu(self.bn2(y)))
        y = self.bn3(y)
        if self.options["bottleneck"]:
            y = self.bn4(self.conv3(self.prelu2(y)))
        if self.downsample is not None:
            x = self.downsample(x)
        return self.close(y, x)


class FResNet(nn.Layer):
    """Aligned RGB faces (N, 3, 112, 112), float32, (pixel - 127.5) / 128, to embeddings (N, embedding_size).

    Args:
        units: residual units in each of the four stages.
        embedding_size: length of the embedding; for A and Z the channels of the last map.
        unit: version of the residual unit, 1, 2 or 3.
        input: version of the stem: 1 is 3x3 at stride 1; 0 is 7x7 at stride 2; 2 is 1 behind a BatchNorm of raw pixels.
        output: E, FC, I, J, F, G, H, Z, GAP, SFC, GDC, GNAP, A, B, C, D, AX, BX, CX or DX.
        se: True puts squeeze and excitation at the end of every branch.
        activation: prelu, relu, sigmoid, tanh, softrelu or softsign.
        output_activation: that of the output, where it is another one.
        bottleneck: True for units of three convolutions and four times the width.
        last_size: height of the last map: 7, or 4 for input 0, of pictures of 112x112.
        dropout: probability in the outputs that have one, while training.
        epsilon: of every BatchNorm but that of GDC, which has 1e-3.
        normalize: True gives embeddings of length 1.
    """

    def __init__(
        self,
        units: Sequence[int] = (3, 4, 14, 3),
        embedding_size: int = 512,
        unit: int = 3,
        input: int = 1,
        output: str = "E",
        se: bool = False,
        activation: str = "prelu",
        output_activation: str | None = None,
        bottleneck: bool = False,
        last_size: int = 7,
        dropout: float = 0.4,
        epsilon: float = 2e-5,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.sequence = []
        if input == 2:
            self.append("bn_data", UnitScaleBatchNorm2D(3, epsilon))
        self.append("conv1", conv(3, 64, 7, 2) if input == 0 else conv(3, 64, 3))
        self.append("bn1", nn.BatchNorm2D(64, epsilon=epsilon))
        self.append("prelu", act_layer(activation, 64))
        options = {"act": activation, "se": se, "bottleneck": bottleneck, "input": input, "epsilon": epsilon}
        block = (UnitV1, UnitV2, UnitV3)[unit - 1]
        c = 64
        for stage, (width, count) in enumerate(zip((64, 128, 256, 512), units, strict=True), start=1):
            oup = width * 4 if bottleneck else width
            blocks = [block(c, oup, 2, options)]
            blocks += [block(oup, oup, 1, options) for _ in range(1, count)]
            self.append(f"layer{stage}", nn.Sequential(*blocks))
            c = oup
        act = output_activation or activation
        head = output_layers(output, c, last_size, embedding_size, act, dropout, epsilon, names=OUTPUT_NAMES)
        for name, layer in head:
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
