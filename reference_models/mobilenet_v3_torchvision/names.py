"""What the layers of torchvision's MobileNet V3 are called in each framework.

canonical = torch = paddle          mxnet
features.0.0                        features_0_0
features.4.block.1.0                features_4_block_1_0
features.4.block.2.fc1              features_4_block_2_fc1
features.4.block.2, the product     features_4_block_2
features.5, the sum                 features_5
classifier.3                        classifier_3
"""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.reference_models.layers import Layer
from facecvt.reference_models.naming import FrameworkNames, same


def underscored(name: str) -> str:
    """The MXNet node of a layer."""
    return name.replace(".", "_")


def module_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a module under its own path, but for the function in front of the classifier."""
    return {layer.name: layer.name for layer in layers if layer.op != "Flatten"}


def symbol_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a node."""
    return {layer.name: f"{underscored(layer.name)}_output" for layer in layers}


NAMES = {
    "torch": FrameworkNames("torch", same, module_taps),
    "paddle": FrameworkNames("paddle", same, module_taps),
    "mxnet": FrameworkNames("mxnet", underscored, symbol_taps),
}
