"""What fmobilenet's layers are called in each framework.

canonical = torch = paddle        mxnet
conv_3_dw.batchnorm               conv_3_dw_batchnorm
bn1, pre_fc1, fc1 ..              the same
norm_aware, pool                  _mul1, pooling0
"""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.reference_models.fmobilefacenet.names import AUTOMATIC
from facecvt.reference_models.layers import Layer
from facecvt.reference_models.naming import FrameworkNames, RenameRules, same

MXNET = RenameRules(((r"(\w+)\.(\w+)", r"\1_\2"), (r"\w+", r"\g<0>")))


def module_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a module under its own path, but for the normalisation at the end."""
    return {layer.name: layer.name for layer in layers if layer.op != "LpNormalization"}


def symbol_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a node; FullyConnected flattens by itself."""
    return {
        layer.name: f"{AUTOMATIC.get(layer.name) or MXNET(layer.name)}_output"
        for layer in layers
        if layer.op != "Flatten"
    }


NAMES = {
    "torch": FrameworkNames("torch", same, module_taps),
    "paddle": FrameworkNames("paddle", same, module_taps),
    "mxnet": FrameworkNames("mxnet", MXNET, symbol_taps),
}
