"""What MobileNet V1's layers are called in each framework.

canonical = torch = paddle      mxnet
model.0.0, fc                   model_0_0, fc
model.5.3                       model_5_3
model.14, the pooling           model_14
"""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.reference_models.layers import Layer
from facecvt.reference_models.naming import FrameworkNames, same


def underscored(name: str) -> str:
    """The MXNet node of a layer."""
    return name.replace(".", "_")


def module_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a module under its own path, but for the function in front of ``fc``."""
    return {layer.name: layer.name for layer in layers if layer.op != "Flatten"}


def symbol_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a node."""
    return {layer.name: f"{underscored(layer.name)}_output" for layer in layers}


NAMES = {
    "torch": FrameworkNames("torch", same, module_taps),
    "paddle": FrameworkNames("paddle", same, module_taps),
    "mxnet": FrameworkNames("mxnet", underscored, symbol_taps),
}
