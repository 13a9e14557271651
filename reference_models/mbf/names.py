"""What the layers of MobileFaceNet (arcface_torch and PLSC form) are called in each framework.

canonical = torch = paddle                mxnet
layers.0.layers.1                         layers0_layers1
layers.3.layers.0.layers.1.layers.0       layers3_layers0_layers1_layers0
layers.3.layers.0, the sum of a unit      layers3_layers0
conv_sep.layers.0, features.layers.2      conv_sep_layers0, features_layers2
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from facecvt.reference_models.layers import Layer
from facecvt.reference_models.naming import FrameworkNames, RenameRules, same


def joined(match: re.Match[str]) -> str:
    """Indices join the word in front of them; the other dots become ``_``."""
    return re.sub(r"\.(\d+)", r"\1", match.group()).replace(".", "_")


MXNET = RenameRules(((r"(layers|conv_sep|features)\..+", joined), ("normalize", "normalize")))


def module_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a module under its own path, but for the normalisation at the end."""
    return {layer.name: layer.name for layer in layers if layer.op != "LpNormalization"}


def symbol_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a node."""
    return {layer.name: f"{MXNET(layer.name)}_output" for layer in layers}


NAMES = {
    "torch": FrameworkNames("torch", same, module_taps),
    "paddle": FrameworkNames("paddle", same, module_taps),
    "mxnet": FrameworkNames("mxnet", MXNET, symbol_taps),
}
