"""What the layers of PaddleDetection's BlazeFace are called in each framework.

canonical                            paddle                                   mxnet
backbone.conv1._conv                 backbone.conv1._conv                     backbone_conv1_conv
backbone.blaze_.2.conv_dw.0._conv    backbone.blaze_2.blaze_21_dw._conv       backbone_blaze_2_blaze_21_dw_conv
backbone.blaze_.2.conv_dw_pair.1     backbone.blaze_2.blaze_21_dw_2           backbone_blaze_2_blaze_21_dw_2
backbone.double_blaze_.0.conv_dw2.0  backbone.double_blaze_0.double_blaze_02_dw    and so on: underscores for dots
backbone.blaze_.2._shortcut.0        backbone.blaze_2.blaze_2_shortcut_pool
backbone.blaze_.2._shortcut.1        backbone.blaze_2.blaze_2_shortcut_conv
backbone.blaze_.2.add, the sum       no layer                                 backbone_blaze_2_add
backbone.blaze_.2, ReLU of the sum   backbone.blaze_2                         backbone_blaze_2
blaze_head.boxes.0                   blaze_head.boxes0                        blaze_head_boxes0

torch has the canonical names, but for ``_pair``, which tells the two 3x3 convolutions from the 5x5 one that they stand
for: Paddle's names do, torch's do not. The activation of a ConvBNLayer ``X`` is ``X.act`` in torch, and has the name of
X itself in Paddle, where it is a function, and in MXNet.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from facecvt.reference_models.layers import INPUT, Layer
from facecvt.reference_models.naming import FrameworkNames

# layers whose output a module gives in torch and Paddle; sums and what moves or joins values is done by functions
IN_MODULES = ("Conv", "BatchNormalization", "MaxPool", "Relu", "Clip", "LeakyRelu", "HardSwish")
BLOCK = re.compile(r"backbone\.(blaze_|double_blaze_)\.(\d+)(?:\.(.+))?")
HEAD = re.compile(r"blaze_head\.(boxes|scores)\.(\d)")
# of a block's layer: what it is called behind the block's own name
PARTS = {
    "conv_dw.0": "1_dw",
    "conv_dw_pair.0": "1_dw_1",
    "conv_dw_pair.1": "1_dw_2",
    "conv_dw2.0": "2_dw",
    "conv_dw2_pair.0": "2_dw_1",
    "conv_dw2_pair.1": "2_dw_2",
    "_shortcut.0": "_shortcut_pool",
    "_shortcut.1": "_shortcut_conv",
}


def torch_name(name: str) -> str:
    """The module path of a layer in the PyTorch port."""
    return name.replace("_pair.", ".")


def paddle_name(name: str) -> str:
    """PaddleDetection's path of a layer."""
    head, block = HEAD.fullmatch(name), BLOCK.fullmatch(name)
    if head:
        return f"blaze_head.{head[1]}{head[2]}"
    if not block:
        return name
    own = f"{block[1]}{block[2]}"
    path, inside = f"backbone.{own}", block[3]
    for canonical, part in PARTS.items():
        if inside and (inside == canonical or inside.startswith(f"{canonical}.")):
            inside = f"{own}{part}{inside[len(canonical) :]}"
            break
    return f"{path}.{inside}" if inside else path


def mxnet_name(name: str) -> str:
    """The MXNet node of a layer."""
    return paddle_name(name).replace("._", "_").replace(".", "_")


def torch_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Modules under their own paths."""
    return {layer.name: torch_name(layer.name) for layer in layers if layer.op in IN_MODULES}


def paddle_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """As in torch, with the layer that ends in an activation for the activation."""
    return {la.name: paddle_name(la.name.removesuffix(".act")) for la in layers if la.op in IN_MODULES}


def mxnet_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a node, but for the rearranging in front of the outputs, which differs."""
    return {
        layer.name: f"{mxnet_name(layer.name.removesuffix('.act'))}_output"
        for layer in layers
        if layer.op in (*IN_MODULES, "Add", "Resize", "Concat") and not layer.name.startswith("joined")
    }


def head_by_level(layers: Sequence[Layer]) -> list[Layer]:
    """Paddle's order: the head's convolutions level by level, boxes in front of scores."""

    def place(layer: Layer) -> tuple[bool, str]:
        head = HEAD.fullmatch(layer.name)
        return head is not None, head[2] if head else ""

    return sorted(layers, key=place)


def as_reached(layers: Sequence[Layer]) -> list[Layer]:
    """MXNet's order: that of a walk from the outputs to the input which lists a layer behind all that it reads."""
    by_name = {layer.name: layer for layer in layers}
    read = {name for layer in layers for name in layer.inputs}
    reached: dict[str, Layer] = {}

    def walk(name: str) -> None:
        if name != INPUT and name not in reached:
            for source in by_name[name].inputs:
                walk(source)
            reached[name] = by_name[name]

    for layer in layers:
        if layer.name not in read:
            walk(layer.name)
    return list(reached.values())


NAMES = {
    "torch": FrameworkNames("torch", torch_name, torch_taps),
    "paddle": FrameworkNames("paddle", paddle_name, paddle_taps, head_by_level),
    "mxnet": FrameworkNames("mxnet", mxnet_name, mxnet_taps, as_reached),
}
