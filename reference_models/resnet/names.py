"""What the layers of the ResNets are called in each framework.

canonical = torch = paddle      mxnet
conv1, bn1, relu, maxpool       the same
layer1.0.conv1, layer1.0.bn1    layer1_0_conv1, layer1_0_bn1
layer1.0.relu1                  layer1_0_relu1
layer1.0.downsample.0           layer1_0_downsample_0
layer1.0.add, the sum           layer1_0_add
layer1.0, ReLU of the sum       layer1_0
avgpool, fc, features           the same

torchvision has one ReLU module a unit, which is called two or three times and whose value at each call has no name;
here every call has a module of its own, which changes nothing in the state.
"""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.reference_models.layers import Layer
from facecvt.reference_models.naming import FrameworkNames, same

FUNCTIONS = ("Add", "Flatten", "LpNormalization")


def underscored(name: str) -> str:
    """The MXNet node of a layer."""
    return name.replace(".", "_")


def module_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a module under its own path, but for sums and the functions at the end."""
    return {layer.name: layer.name for layer in layers if layer.op not in FUNCTIONS}


def symbol_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a node."""
    return {layer.name: f"{underscored(layer.name)}_output" for layer in layers}


NAMES = {
    "torch": FrameworkNames("torch", same, module_taps),
    "paddle": FrameworkNames("paddle", same, module_taps),
    "mxnet": FrameworkNames("mxnet", underscored, symbol_taps),
}
