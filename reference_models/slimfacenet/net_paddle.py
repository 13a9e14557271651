"""SlimFaceNet in PaddlePaddle, with the tensor names, shapes and order of PaddleSlim.

The original is a static graph, whose parameters have names and no paths: ``conv3x3_weights``, ``conv3x3_bn_scale``,
``residual_unit2_se_1_offset``. Every tensor here has that name, and the names are the keys of ``state_dict`` and what
``set_state_dict`` goes by, so that a checkpoint of the original fits. Slopes have the shape (1, C, 1, 1), as there.
Source: PaddlePaddle/PaddleSlim, demo/models/slimfacenet.py
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle.nn as nn
import paddle.nn.functional as F  # noqa: N812

# width -> channels of the first row of units and of the others
CHANNELS = {1.0: (64, 128), 0.9: (56, 116), 0.75: (48, 96), 0.6: (40, 76)}
# units and stride of the first, for each row
ROWS = ((5, 2), (1, 2), (6, 1), (1, 2), (2, 1))
# code of a unit -> expansion, squeeze and excitation
TABLE = ((2, False), (2, True), (4, False), (4, True), (6, False), (6, True))
A_X0_60 = (0, 1, 5, 1, 0, 2, 1, 2, 0, 1, 2, 1, 1, 0, 1)


class PReLU(nn.Layer):
    """One slope a channel, kept as (1, C, 1, 1)."""

    def __init__(self, channels, name):
        super().__init__()
        start = nn.initializer.Constant(0.25)
        self.slope = self.create_parameter([1, channels, 1, 1], default_initializer=start)
        self.slope.name = name

    def forward(self, x):
        return F.prelu(x, self.slope.reshape([-1]))


class ConvBlock(nn.Layer):
    """``<name>_weights``, ``<name>_bn_*`` and, unless linear, ``<name>_prelu``."""

    def __init__(self, inp, oup, name, kernel=1, stride=1, padding=0, groups=1, linear=False, epsilon=1e-5):
        super().__init__()
        self.conv = nn.Conv2D(
            inp,
            oup,
            kernel,
            stride=stride,
            padding=padding,
            groups=groups,
            weight_attr=nn.initializer.KaimingUniform(),
            bias_attr=False,
        )
        self.bn = nn.BatchNorm2D(oup, epsilon=epsilon)
        self.conv.weight.name = f"{name}_weights"
        self.bn.weight.name, self.bn.bias.name = f"{name}_bn_scale", f"{name}_bn_offset"
        self.bn._mean.name, self.bn._variance.name = f"{name}_bn_mean", f"{name}_bn_variance"
        self.prelu = nn.Identity() if linear else PReLU(oup, f"{name}_prelu")

    def forward(self, x):
        return self.prelu(self.bn(self.conv(x)))


class HardSigmoid(nn.Layer):
    """0.2 x + 0.5 within 0 .. 1; ``nn.Hardsigmoid`` has a slope of 1/6."""

    def forward(self, x):
        return F.hardsigmoid(x, slope=0.2, offset=0.5)


class SEBlock(nn.Layer):
    """One factor for every channel, over a quarter of them."""

    def __init__(self, channels, name):
        super().__init__()
        squeezed = channels // 4
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.conv1 = nn.Conv2D(channels, squeezed, 1)
        self.prelu = PReLU(squeezed, f"{name}_prelu")
        self.conv2 = nn.Conv2D(squeezed, channels, 1)
        self.gate = HardSigmoid()
        for number, conv in ((1, self.conv1), (2, self.conv2)):
            conv.weight.name, conv.bias.name = f"{name}_{number}_weights", f"{name}_{number}_offset"

    def forward(self, x):
        return x * self.gate(self.conv2(self.prelu(self.conv1(self.pool(x)))))


class ResidualUnit(nn.Layer):
    """1x1 expansion, 3x3 depthwise, perhaps SE, linear 1x1; the input is added where nothing changes shape."""

    def __init__(self, inp, oup, stride, code, relu, name, epsilon):
        super().__init__()
        expansion, has_se = TABLE[code]
        hidden = inp * expansion
        self.connect = stride == 1 and inp == oup
        self.expand = ConvBlock(inp, hidden, f"{name}_expand", epsilon=epsilon)
        self.depthwise = ConvBlock(hidden, hidden, f"{name}_depthwise", 3, stride, 1, hidden, epsilon=epsilon)
        self.se = SEBlock(hidden, f"{name}_se") if has_se else nn.Identity()
        self.linear = ConvBlock(hidden, oup, f"{name}_linear", linear=True, epsilon=epsilon)
        self.relu = nn.ReLU() if relu else nn.Identity()

    def forward(self, x):
        y = self.linear(self.se(self.depthwise(self.expand(x))))
        return self.relu(x + y) if self.connect else y


class SlimFaceNet(nn.Layer):
    """Faces (N, 3, 112, 96), float32, (pixel - 127.5) / 128, to embeddings (N, embedding_size).

    Args:
        width: 1.0, 0.9, 0.75 or 0.6.
        arch: one code for each of the fifteen units.
        embedding_size: length of the embedding.
        relu: True for the form with a ReLU after every sum.
        epsilon: of every BatchNorm.
    """

    def __init__(
        self,
        width: float = 0.6,
        arch: Sequence[int] = A_X0_60,
        embedding_size: int = 128,
        relu: bool = False,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        first, others = CHANNELS[width]
        rows = [(others if row else first, *counts) for row, counts in enumerate(ROWS)]
        plan = [(oup, 1 if index else stride) for oup, count, stride in rows for index in range(count)]
        self.conv3x3 = ConvBlock(3, 64, "conv3x3", 3, 2, 1, epsilon=epsilon)
        self.dw_conv3x3 = ConvBlock(64, 64, "dw_conv3x3", 3, 1, 1, 64, epsilon=epsilon)
        inp, names = 64, []
        for place, ((oup, stride), code) in enumerate(zip(plan, arch, strict=True), start=1):
            names.append(f"residual_unit{place}")
            self.add_sublayer(names[-1], ResidualUnit(inp, oup, stride, code, relu, names[-1], epsilon))
            inp = oup
        self.units = tuple(names)
        self.conv1x1 = ConvBlock(inp, 512, "conv1x1", epsilon=epsilon)
        self.global_dw_conv7x7 = ConvBlock(
            512, 512, "global_dw_conv7x7", (7, 6), groups=512, linear=True, epsilon=epsilon
        )
        self.linear_conv1x1 = ConvBlock(512, embedding_size, "linear_conv1x1", linear=True, epsilon=epsilon)

    def state_dict(self, *args, **kwargs):
        """Every tensor by its own name."""
        return {tensor.name: tensor for tensor in super().state_dict(*args, **kwargs).values()}

    def set_state_dict(self, state_dict, use_structured_name=False):
        """Take the tensors over by their own names."""
        return super().set_state_dict(state_dict, use_structured_name)

    def forward(self, x):
        x = self.dw_conv3x3(self.conv3x3(x))
        for name in self.units:
            x = getattr(self, name)(x)
        x = self.linear_conv1x1(self.global_dw_conv7x7(self.conv1x1(x)))
        return x.flatten(1)
