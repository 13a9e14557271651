"""InsightFace's MXNet ``fresnet`` in PyTorch: aligned faces to embeddings, with every unit, input and output.

Stem, four stages whose first unit halves the map, output. Three residual units, each of two 3x3 convolutions or, as a
bottleneck, of 1x1, 3x3 and 1x1 at a quarter of the width:

    unit 1    conv - bn - act - conv - bn, plus shortcut, then act        (post-activation)
    unit 2    bn - act - conv - bn - act - conv, plus shortcut            (pre-activation)
    unit 3    bn - conv - bn - act - conv - bn, plus shortcut             (LResNet-E-IR)

Outputs: E, FC (E without dropout), J, F, G, H, Z (the map), GAP, SFC, GDC, GNAP, and A, B, C, D with a pooled vector,
AX .. DX with dropout behind the pooling. Names are those of iresnet wherever it has the layer; activations are called
prelu even where they are another function. Pixels are scaled by the caller.

Source: deepinsight/insightface, recognition/arcface_mxnet/symbol/fresnet.py; https://arxiv.org/abs/1801.07698
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

GROUPS = 512  # of GDC and SFC; the length from which GNAP tells its three forms
GDC_EPS = 1e-3
ACTIVATIONS = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softrelu": nn.Softplus,
    "softsign": nn.Softsign,
}


def make_activation(kind: str, channels: int) -> nn.Module:
    """PReLU with a slope a channel, or a function without parameters."""
    return nn.PReLU(channels) if kind == "prelu" else ACTIVATIONS[kind]()


def conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the map's size at stride 1, without bias."""
    return nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)


class SqueezeExcitation(nn.Module):
    """Every channel times a factor between 0 and 1 that the means of all channels give."""

    def __init__(self, channels: int, act: str) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv1 = nn.Conv2d(channels, channels // 16, 1)
        self.prelu = make_activation(act, channels // 16)
        self.conv2 = nn.Conv2d(channels // 16, channels, 1)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.sigmoid(self.conv2(self.prelu(self.conv1(self.pool(x)))))


class Unit1(nn.Module):
    """conv1 - bn1 - act - conv2 - bn2 [- act - conv3 - bn3], plus shortcut, then act."""

    def __init__(self, in_channels, channels, stride, act, se, bottleneck, stride_first, eps) -> None:
        super().__init__()
        inner = channels // 4 if bottleneck else channels
        first, last = (stride, 1) if stride_first else (1, stride)
        self.conv1 = conv(in_channels, inner, 1 if bottleneck else 3, first)
        self.bn1 = nn.BatchNorm2d(inner, eps)
        self.prelu = make_activation(act, inner)
        self.conv2 = conv(inner, inner, 3, 1 if bottleneck else last)
        self.bn2 = nn.BatchNorm2d(inner, eps)
        self.bottleneck = bottleneck
        if bottleneck:
            self.prelu2 = make_activation(act, inner)
            self.conv3 = conv(inner, channels, 1, last)
            self.bn3 = nn.BatchNorm2d(channels, eps)
        self.se = SqueezeExcitation(channels, act) if se else nn.Identity()
        self.downsample = projection(in_channels, channels, stride, eps) if stride != 1 else nn.Identity()
        self.prelu3 = make_activation(act, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.prelu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.bottleneck:
            y = self.bn3(self.conv3(self.prelu2(y)))
        return self.prelu3(self.se(y) + self.downsample(x))


class Unit2(nn.Module):
    """bn1 - act - conv1 - bn2 - act - conv2 [- bn3 - act - conv3], plus shortcut, which begins behind the first act."""

    def __init__(self, in_channels, channels, stride, act, se, bottleneck, stride_first, eps) -> None:
        super().__init__()
        inner = channels // 4 if bottleneck else channels
        self.bn1 = nn.BatchNorm2d(in_channels, eps)
        self.prelu = make_activation(act, in_channels)
        self.conv1 = conv(in_channels, inner, 1) if bottleneck else conv(in_channels, inner, 3, stride)
        self.bn2 = nn.BatchNorm2d(inner, eps)
        self.prelu2 = make_activation(act, inner)
        self.conv2 = conv(inner, inner, 3, stride if bottleneck else 1)
        self.bottleneck = bottleneck
        if bottleneck:
            self.bn3 = nn.BatchNorm2d(inner, eps)
            self.prelu3 = make_activation(act, inner)
            self.conv3 = conv(inner, channels, 1)
        self.se = SqueezeExcitation(channels, act) if se else nn.Identity()
        self.downsample = conv(in_channels, channels, 1, stride) if stride != 1 else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.prelu(self.bn1(x))
        shortcut = x if self.downsample is None else self.downsample(y)
        y = self.conv2(self.prelu2(self.bn2(self.conv1(y))))
        if self.bottleneck:
            y = self.conv3(self.prelu3(self.bn3(y)))
        return self.se(y) + shortcut


class Unit3(nn.Module):
    """bn1 - conv1 - bn2 - act - conv2 - bn3 [- act - conv3 - bn4], plus shortcut; the stride is on the last one."""

    def __init__(self, in_channels, channels, stride, act, se, bottleneck, stride_first, eps) -> None:
        super().__init__()
        inner = channels // 4 if bottleneck else channels
        self.bn1 = nn.BatchNorm2d(in_channels, eps)
        self.conv1 = conv(in_channels, inner, 1 if bottleneck else 3)
        self.bn2 = nn.BatchNorm2d(inner, eps)
        self.prelu = make_activation(act, inner)
        self.conv2 = conv(inner, inner, 3, 1 if bottleneck else stride)
        self.bn3 = nn.BatchNorm2d(inner, eps)
        self.bottleneck = bottleneck
        if bottleneck:
            self.prelu2 = make_activation(act, inner)
            self.conv3 = conv(inner, channels, 1, stride)
            self.bn4 = nn.BatchNorm2d(channels, eps)
        self.se = SqueezeExcitation(channels, act) if se else nn.Identity()
        self.downsample = projection(in_channels, channels, stride, eps) if stride != 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        y = self.bn3(self.conv2(y))
        if self.bottleneck:
            y = self.bn4(self.conv3(self.prelu2(y)))
        return self.se(y) + self.downsample(x)


UNITS = {1: Unit1, 2: Unit2, 3: Unit3}


def projection(in_channels: int, channels: int, stride: int, eps: float) -> nn.Sequential:
    """The shortcut of a stage's first unit."""
    return nn.Sequential(conv(in_channels, channels, 1, stride), nn.BatchNorm2d(channels, eps))


class NormAware(nn.Module):
    """Every pixel's vector times the mean length of the batch's vectors over its own length."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        length = (x * x).sum(dim=1, keepdim=True).sqrt()
        return x * (length.mean() / length)


class FResNet(nn.Module):
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
        eps: of every BatchNorm but that of GDC.
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
        eps: float = 2e-5,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.normalize = normalize
        if input == 2:
            self.bn_data = nn.BatchNorm2d(3, eps)
        self.conv1 = conv(3, 64, 7, 2) if input == 0 else conv(3, 64, 3)
        self.bn1 = nn.BatchNorm2d(64, eps)
        self.prelu = make_activation(activation, 64)
        make = partial(UNITS[unit], act=activation, se=se, bottleneck=bottleneck, stride_first=input == 0, eps=eps)
        width = 64
        for stage, count in enumerate(units):
            out = 64 * 2**stage * (4 if bottleneck else 1)
            first, rest = make(width, out, 2), (make(out, out, 1) for _ in range(count - 1))
            self.add_module(f"layer{stage + 1}", nn.Sequential(first, *rest))
            width = out
        act = output_activation or activation
        for name, module in output_layers(output, width, last_size, embedding_size, act, dropout, eps):
            self.add_module(name, module)
        for name in ("bn_data", "bn6f", "bn6w", "features"):  # the original holds their scale at 1
            if isinstance(getattr(self, name, None), (nn.BatchNorm1d, nn.BatchNorm2d)):
                getattr(self, name).weight.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for module in self.children():  # they run in the order in which they are defined
            x = module(x)
        return F.normalize(x) if self.normalize else x


def output_layers(
    output: str, channels: int, size: int, length: int, act: str, dropout: float, eps: float
) -> Iterator[tuple[str, nn.Module]]:
    """The layers behind the last map, in order, with their names."""
    pooled = "C" if output == "GAP" else output[0] if output[0] in "ABCD" else ""
    features, dense = channels * size**2, "E" if pooled else output
    if pooled or output in ("E", "FC", "I", "F", "G", "Z", "SFC"):
        yield "bn2", nn.BatchNorm2d(channels, eps)
    if output in ("E", "F", "Z"):
        yield "dropout", nn.Dropout(dropout)
    if pooled:
        yield "prelu1", make_activation(act, channels)
        yield "pool1", nn.AdaptiveAvgPool2d(1)
        features = channels
    elif output == "SFC":
        yield "convf", nn.Conv2d(channels, GROUPS, 3, 2, 1, groups=GROUPS, bias=False)
        yield "bnf", nn.BatchNorm2d(GROUPS, eps)
        yield "preluf", make_activation(act, GROUPS)
        yield "convf2", nn.Conv2d(GROUPS, GROUPS, 1)
        yield "bnf2", nn.BatchNorm2d(GROUPS, eps)
        yield "preluf2", make_activation(act, GROUPS)
        features = GROUPS * ((size + 1) // 2) ** 2
    elif output == "GDC":
        linear = nn.Sequential()
        linear.conv2d = nn.Conv2d(channels, GROUPS, 7, groups=GROUPS, bias=False)
        linear.batchnorm = nn.BatchNorm2d(GROUPS, GDC_EPS)
        yield "conv_6dw7_7", linear
        features = GROUPS * (size - 6) ** 2
    elif output == "GNAP":
        features = max(length, GROUPS)
        if length > GROUPS:
            yield "convx", conv(channels, length, 1)
            yield "convx_bn", nn.BatchNorm2d(length, eps)
            yield "convx_prelu", make_activation(act, length)
        yield "bn6f", nn.BatchNorm2d(features, eps)
        yield "norm_aware", NormAware()
        yield "pool", nn.AdaptiveAvgPool2d(1)
        if length < GROUPS:
            yield "bn6w", nn.BatchNorm2d(GROUPS, eps)
    if output == "Z":
        return
    yield "flatten", nn.Flatten()
    if output in ("AX", "BX", "CX", "DX"):
        yield "dropout", nn.Dropout(dropout)
    if dense in ("F", "G", "H"):
        yield "features", nn.Linear(features, length)
        return
    if pooled != "A" and not (output == "GNAP" and length >= GROUPS):
        yield "fc", nn.Linear(features, length)
    if pooled in ("A", "B"):
        return
    yield "features", nn.BatchNorm1d(length, eps)
    if pooled == "D":
        yield "fc1_prelu", nn.PReLU(length)
