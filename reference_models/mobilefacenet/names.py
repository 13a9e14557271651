"""What MobileFaceNet's layers are called in each framework.

canonical = torch = paddle      mxnet
conv1.conv, linear7.bn          conv1_conv, linear7_bn
blocks.3.conv.6                 blocks3_conv6
blocks.3, the sum               blocks3
"""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.reference_models.layers import Layer
from facecvt.reference_models.naming import FrameworkNames, RenameRules, same

MXNET = RenameRules(
    (
        (r"blocks\.(\d+)\.conv\.(\d)", r"blocks\1_conv\2"),
        (r"blocks\.(\d+)", r"blocks\1"),
        (r"(\w+)\.(\w+)", r"\1_\2"),
        (r"flatten|normalize", r"\g<0>"),
    )
)


def module_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a module under its own path, but for the functions at the end."""
    return {layer.name: layer.name for layer in layers if layer.op not in ("Flatten", "LpNormalization")}


def symbol_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a node."""
    return {layer.name: f"{MXNET(layer.name)}_output" for layer in layers}


NAMES = {
    "torch": FrameworkNames("torch", same, module_taps),
    "paddle": FrameworkNames("paddle", same, module_taps),
    "mxnet": FrameworkNames("mxnet", MXNET, symbol_taps),
}
