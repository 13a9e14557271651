"""What FresResNet's layers are called in each framework.

canonical = torch = paddle        mxnet                         paddle, static graph
conv._conv, conv._batch_norm      conv_conv, conv_batch_norm    conv2d_0, batch_norm_0
block_list.3.conv0._batch_norm    block_list3_conv0_batch_norm  batch_norm_12
block_list.3.prelu                block_list3_prelu             prelu_4
block_list.3, the sum             block_list3                   (elementwise_add_3)
fc._batch_norm_1, fc.fc           fc_batch_norm_1, fc_fc        batch_norm_77, fc_0

Paddle's state holds every unit twice, the second time as ``res<stage 2 to 5><letter>``; that of the static graph holds
tensors by the names that Paddle made up: the layers of a kind are counted in forward order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache

from facecvt.reference_models.layers import Layer
from facecvt.reference_models.naming import FrameworkNames, same

KINDS = {"Conv": "conv2d", "BatchNormalization": "batch_norm", "PRelu": "prelu", "Gemm": "fc"}
CREATED = {"weight": ".w_0", "bias": ".b_0", "scale": ".w_0", "shift": ".b_0", "mean": ".w_1", "variance": ".w_2"}
CREATED["slope"] = ".w_0"
UNIT = re.compile(r"block_list\.(\d+)")


def underscored(name: str) -> str:
    """The MXNet node of a layer."""
    return re.sub(r"\._?", "_", UNIT.sub(r"block_list\1", name))


def module_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a module under its own path; the dropout, idle at inference, hands on the flattened map."""
    taps = {layer.name: layer.name for layer in layers}
    if "fc.flatten" in taps:
        taps["fc.flatten"] = "fc.dropout"
    return taps


def symbol_taps(layers: Sequence[Layer]) -> dict[str, str]:
    """Every layer is a node."""
    return {layer.name: f"{underscored(layer.name)}_output" for layer in layers}


def in_unit(layer: Layer) -> bool:
    """True for what lies in a residual unit."""
    return UNIT.match(layer.name) is not None


def twice(layers: Sequence[Layer]) -> list[Layer]:
    """The units a second time, in front of the head."""
    head = [layer for layer in layers if layer.name.startswith("fc.")]
    body = [layer for layer in layers if not layer.name.startswith("fc.")]
    return [*body, *(layer for layer in body if in_unit(layer)), *head]


@cache
def letters(units: tuple[int, ...]) -> tuple[str, ...]:
    """The second names of all units."""
    return tuple(f"res{stage}{chr(97 + i)}" for stage, count in enumerate(units, start=2) for i in range(count))


def names(layers: Sequence[Layer], units: tuple[int, ...], static: bool) -> dict[str, FrameworkNames]:
    """The names of one architecture; ``units`` are the units of each stage."""

    def second(name: str) -> str:
        return UNIT.sub(lambda match: letters(units)[int(match.group(1))], name)

    paddle = FrameworkNames("paddle", same, module_taps, order=twice, twin=second)
    if static:
        made: Counter[str] = Counter()
        created: dict[str, str] = {}
        for layer in layers:
            if layer.op in KINDS:
                kind = KINDS[layer.op]
                created[layer.name] = f"{kind}_{made[kind]}"
                made[kind] += 1
        paddle = FrameworkNames("paddle", created.__getitem__, module_taps, endings=CREATED)
    return {
        "torch": FrameworkNames("torch", same, module_taps),
        "paddle": paddle,
        "mxnet": FrameworkNames("mxnet", underscored, symbol_taps),
    }
