"""What BlazeFace's layers are called in each framework.

canonical = torch = paddle      mxnet
backbone1.0                     backbone1_0
backbone1.4.convs.1             backbone1_4_convs_1
backbone1.4.add, the sum        backbone1_4_add         what backbone1.4.act is fed in PyTorch
backbone1.4, the ReLU           backbone1_4
regressors, scores              the rows of both maps, joined; no modules
"""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.reference_models.layers import Layer
from facecvt.reference_models.naming import FrameworkNames, same


def underscored(name: str) -> str:
    """The MXNet node of a layer."""
    return name.replace(".", "_")


def module_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Convolutions, ReLUs (a block's has the block's path) and max pools are modules; sums and what moves are not."""
    return {layer.name: layer.name for layer in layers if layer.op in ("Conv", "Relu", "MaxPool")}


def fed_to_relu(layers: Sequence[Layer]) -> dict[str, str]:
    """A block's sum is what its ReLU is fed."""
    return {layer.name: f"{layer.name.removesuffix('.add')}.act" for layer in layers if layer.op == "Add"}


def symbol_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a node."""
    return {layer.name: f"{underscored(layer.name)}_output" for layer in layers}


def as_reached(layers: Sequence[Layer]) -> list[Layer]:
    """The order in which MXNet walks from the outputs to their inputs: the joined regressors first."""
    prefixes = ("backbone.", "backbone1.", "regressor_8", "backbone2.", "final.", "regressor_16", "classifier_")
    places = {prefix: place for place, prefix in enumerate(prefixes)}
    with_state = [layer for layer in layers if layer.parameters]
    return sorted(with_state, key=lambda layer: next(n for p, n in places.items() if layer.name.startswith(p)))


NAMES = {
    "torch": FrameworkNames("torch", same, module_taps, feeds=fed_to_relu),
    "paddle": FrameworkNames("paddle", same, module_taps),
    "mxnet": FrameworkNames("mxnet", underscored, symbol_taps, as_reached),
}
