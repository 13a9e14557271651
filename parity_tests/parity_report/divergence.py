"""The first layer that is off while what it is computed from agrees, and what the figures say of why.

A side is held against the oracle; without one, against the first side that ran. Of all sides the one whose layer comes
first in the listing is named. Read off the figures is that the layer's weights, read back from the side, are not the
seeded ones; and, for an ONNX model, that the layer is off by itself where teacher forcing says so. What was done to it
is found by :mod:`facecvt.parity_tests.parity_report.causes`.
"""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.parity_tests.parity_report.native import FRAMEWORKS
from facecvt.parity_tests.parity_report.result import (
    Divergence,
    InputInfo,
    LayerInfo,
    PairResult,
    SideInfo,
    WeightsOfSide,
)
from facecvt.parity_tests.parity_report.runs import inputs_of
from facecvt.parity_tests.tolerance import K


def command_of(name: str, seed: int, sides: Sequence[SideInfo], infos: tuple[InputInfo, ...]) -> str:
    """What shows the divergences of an architecture again.

    Args:
        name: of the architecture.
        seed: of weights and inputs.
        sides: those that were asked for.
        infos: inputs.
    """
    asked = [side.id for side in sides if side.id in FRAMEWORKS]
    asked += ["onnx"] if any(side.id.startswith("onnx_") for side in sides) else []
    words = ["facecvt parity", name, f"--seed {seed}"]
    words += [f"--frameworks {','.join(asked)}"] if asked != [*FRAMEWORKS, "onnx"] else []
    words += ["--quick"] if infos == inputs_of(quick=True) else []
    return " ".join([*words, "-v"])


def first_divergence(
    layers: Sequence[LayerInfo], pairs: Sequence[PairResult], weights: Sequence[WeightsOfSide], command: str
) -> Divergence | None:
    """See the module's docstring.

    Args:
        layers: of the architecture.
        pairs: every pair that ran.
        weights: what each side runs with.
        command: what shows it again.
    """
    reference = pairs[0].a if pairs else ""
    found = [(_first(layers, pair), pair) for pair in pairs if pair.a == reference and pair.differ]
    if not found:  # two others may differ while each is near enough to the reference
        found = [(_first(layers, pair), pair) for pair in pairs if pair.differ]
    if not found:
        return None
    (number, alone), pair = min(found, key=lambda each: each[0][0])
    layer = layers[number]
    own = pair.figures.get("own_rel_rmse", (None,) * len(layers))[number]
    also = [other.b for (place, _), other in found if place == number and other is not pair]
    cause, evidence = _cause(layer, pair, weights, own)
    if also:
        evidence += f"; at the same layer: {', '.join(also)}"
    return Divergence(
        side=pair.b,
        against=pair.a,
        layer=layer.name,
        operator=layer.operator,
        rel_rmse=pair.figures["rel_rmse"][number],
        own_rel_rmse=own,
        floor=layer.floor,
        ratio=pair.figures["ratio"][number],
        worst=pair.worst[number],
        inputs_agree=alone,
        cause=cause,
        evidence=evidence,
        command=command,
    )


def _first(layers: Sequence[LayerInfo], pair: PairResult) -> tuple[int, bool]:
    """Number of the first differing layer of which all operands agree, and True; else of the first, and False."""
    numbers = {layer.name: number for number, layer in enumerate(layers)}
    off = set(pair.differ)
    agree = set(range(len(layers))) - off - set(pair.unclear) - set(pair.missing)
    for number in sorted(pair.differ, key=lambda each: layers[each].depth):
        operands = [numbers[name] for name in layers[number].inputs if name in numbers]
        if all(operand in agree for operand in operands):
            return number, True
    return min(pair.differ), False


def _cause(
    layer: LayerInfo, pair: PairResult, weights: Sequence[WeightsOfSide], own: float | None
) -> tuple[str | None, str]:
    for found in weights:
        wrong = [name for name in found.other if name.rpartition(".")[0] == layer.name]
        if found.side == pair.b and wrong:
            return "weights", f"{' and '.join(wrong)} of {pair.b} are not the seeded ones, read back bit by bit"
    if own is not None and layer.floor:
        alone = own > K * layer.floor
        return None, (
            f"fed with the oracle's values the layer is {'still' if alone else 'not'} off: "
            f"own rel-RMSE {own:.1e}, floor {layer.floor:.1e}"
        )
    return None, pair.reason
