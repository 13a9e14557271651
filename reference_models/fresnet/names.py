"""What fresnet's layers are called in each framework.

The original is MXNet's. PyTorch and Paddle take the names of iresnet, of which they are the general form, wherever it
has the layer; beyond it they keep the original's, with ``prelu`` where it says ``relu``. An activation is called so
whatever the option makes of it, so that names do not depend on it; one that is no PReLU has no parameters.

canonical = torch = paddle           mxnet
bn_data                              the same
conv1, bn1, prelu                    conv0, bn0, relu0
layerS.U.bn1 .. bn4, conv1 .. conv3  stageS_unit<U+1>_bn1 .. bn4, conv1 .. conv3
layerS.U.prelu, prelu2, prelu3       stageS_unit<U+1>_relu1, relu2, relu3
layerS.U.se.conv1, prelu, conv2      stageS_unit<U+1>_se_conv1, se_relu1, se_conv2
layerS.0.downsample.0, .1            stageS_unit1_conv1sc, stageS_unit1_sc
layerS.0.downsample (of unit 2)      stageS_unit1_sc, a convolution alone
layerS.U, the sum (U.add in unit 1)  _plus<k>, counted from 0 in forward order
layerS.U.se, the product             broadcast_mul<k>, likewise
bn2, fc, features                    bn1, pre_fc1, fc1 (in F, G and H the fully connected layer)
prelu1, fc1_prelu                    relu1, fc1_relu
preluf, preluf2, convx_prelu         reluf, reluf2, convx_relu
conv_6dw7_7.conv2d, .batchnorm       conv_6dw7_7_conv2d, conv_6dw7_7_batchnorm
norm_aware, pool                     _mul1, pooling0
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from facecvt.reference_models.layers import Layer
from facecvt.reference_models.naming import FrameworkNames, RenameRules, same

# the layers of an output that are not called what upstream calls them
OUTPUT_NAMES = {
    "bn1": "bn2",
    "relu1": "prelu1",
    "pre_fc1": "fc",
    "fc1": "features",
    "fc1_relu": "fc1_prelu",
    "reluf": "preluf",
    "reluf2": "preluf2",
    "convx_relu": "convx_prelu",
}
IN_UNITS = {
    "prelu": "relu1",
    "prelu2": "relu2",
    "prelu3": "relu3",
    "downsample": "sc",
    "downsample.0": "conv1sc",
    "downsample.1": "sc",
    "se.pool": "se_pool1",
    "se.prelu": "se_relu1",
}
AUTOMATIC = {"norm_aware": "_mul1", "pool": "pooling0", "flatten": "flatten0"}


def unit(match: re.Match[str]) -> str:
    """MXNet counts the units of a stage from 1."""
    stage, index, layer = match.groups()
    return f"stage{stage}_unit{int(index) + 1}_{IN_UNITS.get(layer, layer.replace('.', '_'))}"


def of_output(match: re.Match[str]) -> str:
    """The layers of an output, all of which upstream names."""
    canonical = match.group()
    return {ours: theirs for theirs, ours in OUTPUT_NAMES.items()}.get(canonical, canonical.replace(".", "_"))


MXNET = RenameRules(
    (
        (r"(conv|bn)1", r"\g<1>0"),
        ("prelu", "relu0"),
        (r"layer(\d)\.(\d+)\.(.+)", unit),
        (r"[\w.]+", of_output),
    )
)


def module_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a module under its own path, but for the sums in units of version 1 and a normalisation."""
    return {
        layer.name: layer.name for layer in layers if layer.op != "LpNormalization" and not layer.name.endswith(".add")
    }


def symbol_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Internal outputs; FullyConnected flattens by itself where no pooling is in front of it."""
    taps: dict[str, str] = {}
    count = {"Add": 0, "Mul": 0}
    for layer in layers:
        if layer.op in count:
            name = "_plus" if layer.op == "Add" else "broadcast_mul"
            taps[layer.name] = f"{name}{count[layer.op]}_output"
            count[layer.op] += 1
        elif layer.op != "Flatten" or layer.inputs[0] in ("pool", "pool1"):
            taps[layer.name] = f"{AUTOMATIC.get(layer.name) or MXNET(layer.name)}_output"
    return taps


NAMES = {
    "torch": FrameworkNames("torch", same, module_taps),
    "paddle": FrameworkNames("paddle", same, module_taps),
    "mxnet": FrameworkNames("mxnet", MXNET, symbol_taps),
}
