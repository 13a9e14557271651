"""What the layers of AdaFace's networks are called in each framework.

canonical = torch = paddle          mxnet
input_layer.0                       input_layer_0
body.3.shortcut_layer.1             body_3_shortcut_layer_1
body.3.res_layer.se_block.fc1       body_3_res_layer_se_block_fc1
body.3, the sum                     body_3
feature, norm                       feature, norm

PyTorch and Paddle register ``output_layer`` ahead of ``body``; their states are in that order.
"""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.reference_models.layers import Layer
from facecvt.reference_models.naming import FrameworkNames, same

OUTPUTS = ("feature", "norm")


def underscored(name: str) -> str:
    """The MXNet node of a layer."""
    return name.replace(".", "_")


def module_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a module under its own path, but for the two functions at the end."""
    return {layer.name: layer.name for layer in layers if layer.name not in OUTPUTS}


def symbol_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a node."""
    return {layer.name: f"{underscored(layer.name)}_output" for layer in layers}


def registered(layers: Sequence[Layer]) -> list[Layer]:
    """The layers as the modules register them: stem, head, body."""
    parts = ("input_layer.", "output_layer.", "body.")
    return [layer for part in parts for layer in layers if f"{layer.name}.".startswith(part)]


NAMES = {
    "torch": FrameworkNames("torch", same, module_taps, registered),
    "paddle": FrameworkNames("paddle", same, module_taps, registered),
    "mxnet": FrameworkNames("mxnet", underscored, symbol_taps),
}
