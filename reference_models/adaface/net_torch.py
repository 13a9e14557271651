"""AdaFace's IR and IR-SE face recognition networks in PyTorch: aligned BGR faces to embeddings and their quality.

``input_layer`` 3x3 at stride 1, ``body`` with the residual units of four stages, each of which halves the map in its
first unit, then ``output_layer``: BatchNorm - dropout - flatten - fully connected - BatchNorm without scale and shift.
The stride of a unit sits on its last convolution; a shortcut between equal widths only picks every second element.
Names and order of the parameters are those of mk-minchul/AdaFace, ``ir_18`` .. ``ir_se_200``, so that its checkpoints
load with ``strict=True``. With ``normalize=True`` the network gives (feature, norm) as there: the embedding divided by
its length, and that length, which says how good the image is; with ``normalize=False`` the embedding as it is, as
PaddleClas does. Fed with BGR, (pixel - 127.5) / 127.5.

Paper: Kim et al., "AdaFace: Quality Adaptive Margin for Face Recognition", https://arxiv.org/abs/2204.00964
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class SEModule(nn.Module):
    """Squeeze and excitation: every channel times a number in (0, 1) that is computed from the means of all."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.relu = nn.ReLU()
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=False)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        weights = self.fc1(self.avg_pool(x))
        weights = self.sigmoid(self.fc2(self.relu(weights)))
        return x * weights


class IRUnit(nn.Module):
    """Residual unit of two 3x3 convolutions, or as a bottleneck 1x1 - 3x3 - 1x1 with a quarter of the width inside."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, bottleneck: bool, se: bool, eps: float
    ) -> None:
        super().__init__()
        if in_channels == out_channels:
            self.shortcut_layer = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels, eps=eps)
            )
        if bottleneck:
            inner = out_channels // 4
            self.res_layer = nn.Sequential(
                nn.BatchNorm2d(in_channels, eps=eps),
                nn.Conv2d(in_channels, inner, 1, bias=False),
                nn.BatchNorm2d(inner, eps=eps),
                nn.PReLU(inner),
                nn.Conv2d(inner, inner, 3, padding=1, bias=False),
                nn.BatchNorm2d(inner, eps=eps),
                nn.PReLU(inner),
                nn.Conv2d(inner, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels, eps=eps),
            )
        else:
            self.res_layer = nn.Sequential(
                nn.BatchNorm2d(in_channels, eps=eps),
                nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(out_channels, eps=eps),
                nn.PReLU(out_channels),
                nn.Conv2d(out_channels, out_channels, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(out_channels, eps=eps),
            )
        if se:
            self.res_layer.add_module("se_block", SEModule(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


class AdaFaceIR(nn.Module):
    """Aligned faces (N, 3, S, S), BGR, float32, scaled to [-1, 1], to (feature, norm): (N, embedding_size) and (N, 1).

    Args:
        units: residual units in each of the four stages; (3, 4, 14, 3) is IR-50.
        bottleneck: True for units 1x1 - 3x3 - 1x1 and four times the width, as in IR-152 and IR-200.
        se: True for squeeze and excitation at the end of every unit's branch.
        input_size: height and width S, 112 or 224.
        embedding_size: length of the embedding.
        dropout: probability in front of the fully connected layer, while training.
        eps: of every BatchNorm.
        normalize: True gives (feature, norm), False the embedding as it is.
    """

    def __init__(
        self,
        units: Sequence[int] = (3, 4, 14, 3),
        bottleneck: bool = False,
        se: bool = False,
        input_size: int = 112,
        embedding_size: int = 512,
        dropout: float = 0.4,
        eps: float = 1e-5,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64, eps=eps), nn.PReLU(64)
        )
        widths = (256, 512, 1024, 2048) if bottleneck else (64, 128, 256, 512)
        last, size = widths[-1], input_size // 16
        # ahead of the body, as upstream has it: the state_dict is in this order
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(last, eps=eps),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(last * size * size, embedding_size),
            nn.BatchNorm1d(embedding_size, eps=eps, affine=False),
        )
        body = []
        channels = 64
        for width, count in zip(widths, units, strict=True):
            for index in range(count):
                body.append(IRUnit(channels, width, 2 if index == 0 else 1, bottleneck, se, eps))
                channels = width
        self.body = nn.Sequential(*body)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.output_layer(self.body(self.input_layer(x)))
        if not self.normalize:
            return x
        norm = torch.norm(x, p=2, dim=1, keepdim=True)
        return x / norm, norm
