"""AdaFace's IR and IR-SE face recognition networks in PaddlePaddle, with the parameter names and order of PaddleClas.

Aligned BGR faces to embeddings. PaddleClas keeps the module paths of mk-minchul/AdaFace and leaves the division by the
length to its margin head (``normalize=False``); with ``normalize=True`` the network itself gives (feature, norm).
Source: PaddlePaddle/PaddleClas, ``AdaFace_IR_18`` .. ``AdaFace_IR_SE_200``; paper https://arxiv.org/abs/2204.00964
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn as nn


def conv(in_channels, out_channels, kernel, stride=1):
    return nn.Conv2D(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias_attr=False)


class SEModule(nn.Layer):
    """Squeeze and excitation over channels // 16 numbers."""

    def __init__(self, channels):
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2D(1)
        self.fc1 = conv(channels, channels // 16, 1)
        self.relu = nn.ReLU()
        self.fc2 = conv(channels // 16, channels, 1)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x):
        squeezed = self.relu(self.fc1(self.avg_pool(x)))
        return x * self.sigmoid(self.fc2(squeezed))


class IRUnit(nn.Layer):
    """BatchNorm first, the stride on the last convolution, nothing after the sum."""

    def __init__(self, in_channels, out_channels, stride, bottleneck, se, epsilon):
        super().__init__()
        if in_channels == out_channels:
            self.shortcut_layer = nn.MaxPool2D(kernel_size=1, stride=stride)
        else:
            projection = conv(in_channels, out_channels, 1, stride)
            self.shortcut_layer = nn.Sequential(projection, nn.BatchNorm2D(out_channels, epsilon=epsilon))
        # (kernel, width, stride) of the branch's convolutions
        steps = [(3, out_channels, 1), (3, out_channels, stride)]
        if bottleneck:
            steps = [(1, out_channels // 4, 1), (3, out_channels // 4, 1), (1, out_channels, stride)]
        layers = [nn.BatchNorm2D(in_channels, epsilon=epsilon)]
        for index, (kernel, width, step) in enumerate(steps):
            layers += [conv(in_channels, width, kernel, step), nn.BatchNorm2D(width, epsilon=epsilon)]
            if index + 1 < len(steps):
                layers.append(nn.PReLU(width))
            in_channels = width
        self.res_layer = nn.Sequential(*layers)
        if se:
            self.res_layer.add_sublayer("se_block", SEModule(out_channels))

    def forward(self, x):
        return paddle.add(self.res_layer(x), self.shortcut_layer(x))


class AdaFaceIR(nn.Layer):
    """Aligned faces (N, 3, S, S), BGR, float32, [-1, 1], to embeddings (N, embedding_size), or (feature, norm).

    Args:
        units: residual units in each of the four stages.
        bottleneck: True for units 1x1 - 3x3 - 1x1 and four times the width.
        se: True for squeeze and excitation at the end of every unit's branch.
        input_size: height and width S.
        embedding_size: length of the embedding.
        dropout: probability in front of the fully connected layer, while training.
        epsilon: of every BatchNorm.
        normalize: True gives (feature, norm), of shapes (N, embedding_size) and (N, 1).
    """

    def __init__(
        self,
        units: Sequence[int] = (3, 4, 14, 3),
        bottleneck: bool = False,
        se: bool = False,
        input_size: int = 112,
        embedding_size: int = 512,
        dropout: float = 0.4,
        epsilon: float = 1e-5,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.normalize = normalize
        expansion = 4 if bottleneck else 1
        self.input_layer = nn.Sequential(conv(3, 64, 3), nn.BatchNorm2D(64, epsilon=epsilon), nn.PReLU(64))
        # ahead of the body, as upstream has it: the state is in this order
        self.output_layer = nn.Sequential(
            nn.BatchNorm2D(512 * expansion, epsilon=epsilon),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(512 * expansion * (input_size // 16) ** 2, embedding_size),
            nn.BatchNorm1D(embedding_size, epsilon=epsilon, weight_attr=False, bias_attr=False),
        )
        body, width = [], 64
        for stage, count in enumerate(units):
            out = expansion * 64 * 2**stage
            body.append(IRUnit(width, out, 2, bottleneck, se, epsilon))
            body.extend(IRUnit(out, out, 1, bottleneck, se, epsilon) for _ in range(count - 1))
            width = out
        self.body = nn.Sequential(*body)

    def forward(self, x):
        x = self.output_layer(self.body(self.input_layer(x)))
        if not self.normalize:
            return x
        norm = paddle.norm(x, p=2, axis=1, keepdim=True)
        return paddle.divide(x, norm), norm
