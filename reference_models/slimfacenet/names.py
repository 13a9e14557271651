"""What SlimFaceNet's layers are called in each framework.

canonical = torch             paddle's tensors                      mxnet
conv3x3.conv, .bn, .prelu     conv3x3_weights, _bn_scale, _prelu    conv3x3, conv3x3_bn, conv3x3_prelu
residual_unit2.expand.conv    residual_unit2_expand_weights         residual_unit2_expand
residual_unit2.se.conv1       residual_unit2_se_1_weights           residual_unit2_se_1
residual_unit2, the sum       (no parameter)                        residual_unit2

Paddle's layers lie at the canonical paths; its state goes by the names of the tensors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from facecvt.reference_models.layers import Layer
from facecvt.reference_models.naming import FrameworkNames, same

ENDINGS = {
    "weight": "_weights",
    "bias": "_offset",
    "scale": "_scale",
    "shift": "_offset",
    "mean": "_mean",
    "variance": "_variance",
    "slope": "",
}


def flat(name: str) -> str:
    """The name of PaddleSlim's layer, which is that of the MXNet node."""
    name = re.sub(r"\.se\.conv(\d)$", r".se.\1", name)
    return re.sub(r"\.conv$", "", name).replace(".", "_")


def module_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a module under its own path, but for a sum in front of a ReLU and the end."""
    return {layer.name: layer.name for layer in layers if layer.op != "Flatten" and not layer.name.endswith(".add")}


def symbol_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a node."""
    return {layer.name: f"{flat(layer.name)}_output" for layer in layers}


NAMES = {
    "torch": FrameworkNames("torch", same, module_taps),
    "paddle": FrameworkNames("paddle", flat, module_taps, endings=ENDINGS, wide_slopes=True),
    "mxnet": FrameworkNames("mxnet", flat, symbol_taps),
}
