"""From the figures of one architecture to the verdict on every pair.

    a layer   within K floors on every input; shapes fit, nothing is NaN or Inf
    an output besides that within the absolute limits of an output, which are against float64 and hold for what a net
              is fed in use: how much float32 loses on the extremes is the net's own affair, and their floors say it
    a pair    every layer that both sides show, every output; enough of the layers; else nothing is proven

A layer's floor is measured by the oracle (:mod:`facecvt.parity_tests.tolerance`). One that the oracle does not show has
the greatest floor of what it is computed from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from facecvt.parity_tests.judge import LEAST_PARAMETRIC, LEAST_TAPS
from facecvt.parity_tests.metrics import Metrics, bits_lost
from facecvt.parity_tests.parity_report.measured import ORACLE, Measured
from facecvt.parity_tests.parity_report.native import output_layers
from facecvt.parity_tests.parity_report.result import (
    Coverage,
    LayerInfo,
    OutputFigures,
    PairResult,
    Verdict,
    rounded,
)
from facecvt.parity_tests.parity_report.runs import EXTREME
from facecvt.parity_tests.source import SHAPE_ONLY
from facecvt.parity_tests.tolerance import FEW as FEW_NUMBERS
from facecvt.parity_tests.tolerance import OUTPUT_ONE_MINUS_COS, OUTPUT_REL_RMSE, Gate, floor_of
from facecvt.reference_models.layers import INPUT
from facecvt.reference_models.spec import ArchitectureSpec

# Moves numbers about and computes none, so that a net need not have a name for it.
MOVING = ("Flatten", "Reshape", "Transpose", "Concat", "Pad", "Resize")
SUM_IN_FRONT = ".add"  # of an activation; a net of modules has no module that gives it
CONSTANT = ("PriorBox", *SHAPE_ONLY)


@dataclass(frozen=True)
class Judged:
    """One layer of one pair: its verdict, why, and the figures of its worst input."""

    verdict: Verdict
    reason: str
    fed: str
    ratio: float
    floor: float
    rel_rmse: float
    max_abs: float
    one_minus_cos: float
    worst: tuple[int, ...] | None


def layers_of(arch: ArchitectureSpec, measured: Measured) -> list[LayerInfo]:
    """Every layer that at least two sides show and every output, in the listing's order, the outputs last."""
    listing = arch.layers()
    outputs = output_layers(arch)
    shown = measured.shown() | set(outputs)  # also one that nobody gives: it is missed then
    depth: dict[str, int] = {INPUT: 0}
    behind: dict[str, tuple[str, ...]] = {INPUT: (INPUT,)}
    floors: dict[str, float] = {INPUT: 0.0}
    found: list[LayerInfo] = []
    for layer in listing:
        depth[layer.name] = 1 + max((depth[name] for name in layer.inputs), default=0)
        operands = tuple(dict.fromkeys(name for each in layer.inputs for name in behind[each]))
        behind[layer.name] = (layer.name,) if layer.name in shown else operands
        floors[layer.name] = _floor(measured, layer.name, depth[layer.name], max(floors[name] for name in operands))
        if layer.name not in shown:
            continue
        found.append(
            LayerInfo(
                name=layer.name,
                operator=layer.op,
                inputs=operands,
                shape=measured.shapes.get(layer.name, ()),
                depth=depth[layer.name],
                parametric=bool(layer.parameters),
                output=outputs.index(layer.name) if layer.name in outputs else None,
                floor=rounded(floors[layer.name]),
            )
        )
    return sorted(found, key=lambda info: -1 if info.output is None else info.output)


def _floor(measured: Measured, layer: str, depth: int, inherited: float) -> float:
    clean = measured.clean.get(layer, [])
    if not clean:
        return floor_of([inherited], depth)
    few = min(sample.metrics.elements / sample.batch for sample in clean) < FEW_NUMBERS
    return floor_of([sample.metrics.rel_rmse for sample in clean], depth, inherited if few else 0.0)


def computed_outputs(arch: ArchitectureSpec) -> list[bool]:
    """Of every output whether it is computed from the input's values, not from sizes alone."""
    computed = {INPUT: True}
    for layer in arch.layers():
        computed[layer.name] = layer.op not in CONSTANT and any(computed[name] for name in layer.inputs)
    return [computed[name] for name in output_layers(arch)]


def judge_layer(measured: Measured, a: str, b: str, layer: LayerInfo) -> Judged | None:
    """The verdict on one layer of a pair; None where it was not compared."""
    measurements = measured.pairs.get((a, b, layer.name), [])
    if not measurements:
        return None
    floor = math.inf if layer.floor is None else layer.floor
    evidence = measured.evidence(a, b, layer.name)
    gates = [Gate(found.sample.metrics.rel_rmse, evidence.floor_of(found.sample, floor)) for found in measurements]
    place = max(range(len(gates)), key=lambda index: (gates[index].ratio, gates[index].rel_rmse))
    metrics, gate = measurements[place].sample.metrics, gates[place]
    verdict, reason = _verdict(metrics, gate)
    if verdict == "agree" and layer.output is not None and a == ORACLE:
        for found, own in zip(measurements, gates, strict=True):
            beyond = found.sample.metrics
            if found.sample.kind == EXTREME:
                continue
            if beyond.rel_rmse > OUTPUT_REL_RMSE or beyond.one_minus_cos > OUTPUT_ONE_MINUS_COS:
                loud = own.floor > OUTPUT_REL_RMSE
                verdict = "not_comparable" if loud else "differ"
                reason = (
                    f"beyond the limits of an output: rel-RMSE {beyond.rel_rmse:.1e} (limit {OUTPUT_REL_RMSE:.0e}), "
                    f"1-cos {beyond.one_minus_cos:.1e} (limit {OUTPUT_ONE_MINUS_COS:.0e})"
                    + (f"; float32 alone costs {own.floor:.1e} here" if loud else "")
                )
    return Judged(
        verdict, reason, measurements[place].fed, gate.ratio, gate.floor, metrics.rel_rmse, metrics.max_abs,
        metrics.one_minus_cos, None if metrics.worst is None else metrics.worst.index,
    )  # fmt: skip


def _verdict(metrics: Metrics, gate: Gate) -> tuple[Verdict, str]:
    if not metrics.expected_is_finite:
        return "not_comparable", "the side it is held against gives NaN or Inf"
    if metrics.problem is not None:
        return "differ", metrics.problem
    if metrics.elements == 0:
        return "not_comparable", "it has no elements"
    if math.isinf(gate.floor):
        return "not_comparable", "float32 overflows here in the oracle as well"
    if not gate:
        return "differ", f"rel-RMSE {gate.rel_rmse:.1e} is {gate.ratio:.0f} times the floor of {gate.floor:.1e}"
    return "agree", ""


def coverage_of(arch: ArchitectureSpec, measured: Measured, shown: Mapping[str, frozenset[str]]) -> list[Coverage]:
    """What every side shows of the listing.

    Args:
        arch: the architecture.
        measured: whose sides are meant.
        shown: side -> layers that it has a value for; the outputs need not be among them.
    """
    outputs = set(output_layers(arch))
    listing = [
        layer
        for layer in arch.layers()
        if layer.op not in (*MOVING, *CONSTANT) and not layer.name.endswith(SUM_IN_FRONT)
    ]
    found = []
    for side in measured.sides:
        seen = shown[side] | outputs
        parametric = [layer.name in seen for layer in listing if layer.parameters]
        every = [layer.name in seen for layer in listing]
        missing = tuple(layer.name for layer in arch.layers() if layer.name not in seen)
        found.append(Coverage(side, _share(parametric), _share(every), missing))
    return found


def _share(found: Sequence[bool]) -> float:
    return round(sum(found) / len(found), 4) if found else 0.0


def judge_pairs(
    measured: Measured, layers: Sequence[LayerInfo], coverage: Sequence[Coverage], inputs: Sequence[str]
) -> list[PairResult]:
    """Every pair of sides that ran.

    Args:
        measured: the figures.
        layers: of :func:`layers_of`.
        coverage: of :func:`coverage_of`.
        inputs: names of the inputs, in the order of the report.
    """
    least = {item.side: (item.parametric, item.layers) for item in coverage}
    return [_judge_pair(measured, a, b, layers, least, inputs) for a, b in combinations(measured.sides, 2)]


def _judge_pair(
    measured: Measured, a: str, b: str, layers: Sequence[LayerInfo], coverage: Mapping[str, tuple[float, float]],
    inputs: Sequence[str],
) -> PairResult:  # fmt: skip
    judged = [judge_layer(measured, a, b, layer) for layer in layers]
    differ = tuple(number for number, found in enumerate(judged) if found is not None and found.verdict == "differ")
    unclear = tuple(
        number for number, found in enumerate(judged) if found is not None and found.verdict == "not_comparable"
    )
    missing = tuple(number for number, found in enumerate(judged) if found is None)
    compared = [number for number, found in enumerate(judged) if found is not None and number not in unclear]
    verdict, reason = _pair_verdict(a, b, layers, judged, differ, unclear, compared, coverage)
    worst = max(compared, key=lambda number: _of(judged[number]).ratio, default=None)
    columns = {
        "rel_rmse": tuple(None if found is None else rounded(found.rel_rmse) for found in judged),
        "max_abs": tuple(None if found is None else rounded(found.max_abs) for found in judged),
        "one_minus_cos": tuple(None if found is None else rounded(found.one_minus_cos) for found in judged),
        "ratio": tuple(None if found is None else rounded(found.ratio) for found in judged),
        "bits_lost": tuple(
            None if found is None else rounded(bits_lost(found.rel_rmse, found.floor)) if found.floor else None
            for found in judged
        ),
    }
    own = measured.own.get(b, {}) if a == ORACLE else {}
    if own:
        columns["own_rel_rmse"] = tuple(rounded(own.get(layer.name)) for layer in layers)
    return PairResult(
        a=a,
        b=b,
        verdict=verdict,
        reason=reason,
        compared=len(compared),
        worst_ratio=None if worst is None else rounded(_of(judged[worst]).ratio),
        worst_layer=None if worst is None else layers[worst].name,
        outputs=tuple(_figures_of_outputs(measured, a, b, layers, judged)),
        figures=columns,
        worst=tuple(None if found is None else found.worst for found in judged),
        input=tuple(None if found is None else inputs.index(found.fed) for found in judged),
        differ=differ,
        unclear=unclear,
        missing=missing,
    )


def _of(found: Judged | None) -> Judged:
    assert found is not None
    return found


def _pair_verdict(
    a: str, b: str, layers: Sequence[LayerInfo], judged: Sequence[Judged | None], differ: Sequence[int],
    unclear: Sequence[int], compared: Sequence[int], coverage: Mapping[str, tuple[float, float]],
) -> tuple[Verdict, str]:  # fmt: skip
    if differ:
        first = differ[0]
        return (
            "differ",
            f"{len(differ)} of {len(compared)} layers, first {layers[first].name}: {_of(judged[first]).reason}",
        )
    outputs = [number for number, layer in enumerate(layers) if layer.output is not None]
    lost = [number for number in outputs if number not in compared]
    if not outputs or lost:
        name = layers[lost[0]].name if lost else "every output"
        found = judged[lost[0]] if lost else None
        return "not_comparable", f"{name}: {found.reason if found is not None else 'not compared'}"
    if len(unclear) > (1 - LEAST_TAPS) * len(layers):
        return "not_comparable", f"nothing can be said of {len(unclear)} of {len(layers)} layers"
    for side in (a, b):
        parametric, every = coverage[side]
        if parametric < LEAST_PARAMETRIC or every < LEAST_TAPS:
            return "not_comparable", (
                f"{side} shows {parametric:.0%} of the layers with weights "
                f"(at least {LEAST_PARAMETRIC:.0%} are wanted) and {every:.0%} of all ({LEAST_TAPS:.0%})"
            )
    return "agree", ""


def _figures_of_outputs(
    measured: Measured, a: str, b: str, layers: Sequence[LayerInfo], judged: Sequence[Judged | None]
) -> Iterator[OutputFigures]:
    for layer, found in zip(layers, judged, strict=True):
        if layer.output is None or found is None:
            continue
        every = [e.sample.metrics for e in measured.pairs[a, b, layer.name] if e.sample.kind != EXTREME]
        yield OutputFigures(
            layer=layer.name,
            rel_rmse=rounded(max((metrics.rel_rmse for metrics in every), default=math.inf)),
            max_abs=rounded(max((metrics.max_abs for metrics in every), default=math.inf)),
            one_minus_cos=rounded(max((metrics.one_minus_cos for metrics in every), default=math.inf)),
            ratio=rounded(found.ratio),
            input=found.fed,
        )
