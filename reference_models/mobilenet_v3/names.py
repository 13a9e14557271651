"""What the layers of this MobileNet V3 are called in each framework.

canonical = torch = paddle          mxnet
conv1, linear3                      conv1, linear3
bneck.3.conv2                       bneck_3_conv2
bneck.3.se.se.1                     bneck_3_se_se_1
bneck.3.se, the product             bneck_3_se
bneck.4.shortcut.1                  bneck_4_shortcut_1
bneck.4, the sum                    bneck_4

PyTorch and Paddle register a block's ``se`` ahead of its convolutions; their states are in that order.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from facecvt.reference_models.layers import Layer
from facecvt.reference_models.naming import FrameworkNames, same


def underscored(name: str) -> str:
    """The MXNet node of a layer."""
    return name.replace(".", "_")


def module_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a module under its own path, but for the function in front of ``linear3``."""
    return {layer.name: layer.name for layer in layers if layer.op != "Flatten"}


def symbol_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a node."""
    return {layer.name: f"{underscored(layer.name)}_output" for layer in layers}


def block_of(layer: Layer) -> str:
    """``bneck.<N>`` for what lies in a block, else nothing."""
    match = re.match(r"bneck\.\d+", layer.name)
    return match.group() if match else ""


def registered(layers: Sequence[Layer]) -> list[Layer]:
    """The layers as the modules register them: within a block its squeeze and excitation first."""
    blocks = (list(group) for _, group in itertools.groupby(layers, block_of))
    return [layer for block in blocks for layer in sorted(block, key=lambda layer: ".se.se." not in layer.name)]


NAMES = {
    "torch": FrameworkNames("torch", same, module_taps, registered),
    "paddle": FrameworkNames("paddle", same, module_taps, registered),
    "mxnet": FrameworkNames("mxnet", underscored, symbol_taps),
}
