"""What fmobilefacenet's layers are called in each framework.

canonical = torch = paddle            mxnet
conv_1.conv2d                         conv_1_conv2d
res_3.block0.conv_dw.batchnorm        res_3_block0_conv_dw_batchnorm
res_3.block0, the sum                 _plus<k>, counted from 0 in forward order
bn1, pre_fc1, fc1, bn6f, bn6w         the same
norm_aware                            _mul1
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from facecvt.reference_models.layers import Layer
from facecvt.reference_models.naming import FrameworkNames, RenameRules, same


def joined(match: re.Match[str]) -> str:
    """Dots become ``_``."""
    return match.group().replace(".", "_")


MXNET = RenameRules(((r"[\w.]+", joined),))
AUTOMATIC = {"norm_aware": "_mul1", "pool": "pooling0"}


def module_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a module under its own path, but for the normalisation at the end."""
    return {layer.name: layer.name for layer in layers if layer.op != "LpNormalization"}


def symbol_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Internal outputs; FullyConnected flattens by itself."""
    taps: dict[str, str] = {}
    sums = 0
    for layer in layers:
        if layer.op == "Add":
            taps[layer.name] = f"_plus{sums}_output"
            sums += 1
        elif layer.op != "Flatten":
            taps[layer.name] = f"{AUTOMATIC.get(layer.name) or MXNET(layer.name)}_output"
    return taps


NAMES = {
    "torch": FrameworkNames("torch", same, module_taps),
    "paddle": FrameworkNames("paddle", same, module_taps),
    "mxnet": FrameworkNames("mxnet", MXNET, symbol_taps),
}
