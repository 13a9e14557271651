"""What LResNet-E-IR's layers are called in each framework.

canonical = torch = paddle      mxnet (fresnet)
conv1, bn1, prelu               conv0, bn0, relu0
layerS.U.bn1 .. conv2           stageS_unit<U+1>_bn1 .. conv2
layerS.U.prelu                  stageS_unit<U+1>_relu1
layerS.0.downsample.0, .1       stageS_unit1_conv1sc, stageS_unit1_sc
layerS.U, the sum               _plus<k>, counted from 0 in forward order
bn2, fc, features               bn1, pre_fc1, fc1
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from facecvt.reference_models.layers import Layer
from facecvt.reference_models.naming import FrameworkNames, RenameRules, same


def unit(match: re.Match[str]) -> str:
    """MXNet counts the units of a stage from 1."""
    stage, index, layer = match.groups()
    inside = {"prelu": "relu1", "downsample.0": "conv1sc", "downsample.1": "sc"}.get(layer, layer)
    return f"stage{stage}_unit{int(index) + 1}_{inside}"


MXNET = RenameRules(
    (
        (r"(conv|bn)1", r"\g<1>0"),
        ("prelu", "relu0"),
        (r"layer(\d)\.(\d+)\.(.+)", unit),
        ("bn2", "bn1"),
        ("fc", "pre_fc1"),
        ("features", "fc1"),
        ("normalize", "normalize"),
    )
)


def module_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a module under its own path; the dropout, idle at inference, hands on the flattened map."""
    taps = {layer.name: layer.name for layer in layers if layer.op != "LpNormalization"}
    taps["flatten"] = "dropout"
    return taps


def symbol_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Internal outputs; FullyConnected flattens by itself, so that the flattened map has none."""
    taps: dict[str, str] = {}
    sums = 0
    for layer in layers:
        if layer.op == "Add":
            taps[layer.name] = f"_plus{sums}_output"
            sums += 1
        elif layer.op != "Flatten":
            taps[layer.name] = f"{MXNET(layer.name)}_output"
    return taps


NAMES = {
    "torch": FrameworkNames("torch", same, module_taps),
    "paddle": FrameworkNames("paddle", same, module_taps),
    "mxnet": FrameworkNames("mxnet", MXNET, symbol_taps),
}
