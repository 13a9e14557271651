"""From the figures of all runs to a verdict, so that nothing passes for want of evidence.

"agree" takes all of this:

* every output has a partner, of the same position and name, and there is at least one;
* at every compared inner value and output the error is within 10 floors; at the outputs rel-RMSE and 1 - cos are also
  within their absolute limits; values that are not floating point numbers are equal;
* nothing that was compared holds NaN or Inf, and the target ran every batch;
* coverage is at least 95 % of the layers with weights and 80 % of all values;
* every output that depends on its input shows it: an output of the oracle that is one constant, or that does not change
  with the input, would be matched by a target that computes nothing. An output that by the source's structure depends
  on no input (anchors, priors), and one of whole numbers (a count, an index), is excepted, as long as another output
  shows something.

A difference outweighs what could not be compared: "differ" is a fact, "not_comparable" the lack of one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from facecvt.parity_tests.align import Alignment, OutputPair, Pair, Unmapped, coverage_of
from facecvt.parity_tests.evidence import Evidence, OutputEvidence, Sample, ValueEvidence
from facecvt.parity_tests.source import Layer
from facecvt.parity_tests.tolerance import FEW, FLOAT32, OUTPUT_REL_RMSE, Gate, K, Precision, floor_of
from facecvt.parity_tests.verification import TensorResult, Verdict, Verification

LEAST_PARAMETRIC = 0.95
LEAST_TAPS = 0.80


def judge(
    layers: Sequence[Layer], alignment: Alignment, evidence: Evidence, precision: Precision = FLOAT32
) -> Verification:
    """The verdict on all runs.

    Args:
        layers: what the source computes.
        alignment: what was to be compared.
        evidence: what the runs gave.
        precision: what the target computes in.
    """
    by_value = {layer.value: layer for layer in layers}
    floors = floors_of(layers, alignment, evidence, precision)
    taps = [
        _judge_tap(pair, evidence.values.get(pair.layer.value), floors.get(pair.layer.value, math.inf), precision)
        for pair in alignment.pairs
    ]
    outputs = [
        _judge_output(
            pair,
            evidence.outputs.get(pair.position),
            by_value.get(pair.source or ""),
            floors.get(pair.source or "", math.inf),
            precision,
        )
        for pair in alignment.outputs
    ]
    lost = [Unmapped(tap.name, tap.reason) for tap in taps if tap.verdict == "not_comparable"]
    compared = {tap.name for tap in taps if tap.verdict != "not_comparable"}
    coverage = coverage_of(layers, evidence.floating, compared, alignment.absorbed)

    differ = list(evidence.failures)
    differ += [f"output {result.name}: {result.reason}" for result in outputs if result.verdict == "differ"]
    first = next((tap for tap in taps if tap.verdict == "differ"), None)
    if first is not None:
        count = sum(tap.verdict == "differ" for tap in taps)
        differ.append(f"{count} inner value(s) differ, first {first.name} ({first.operator}): {first.reason}")

    unclear = [f"output {result.name}: {result.reason}" for result in outputs if result.verdict == "not_comparable"]
    if not outputs:
        unclear.append("the source has no output")
    elif not any(_shows_something(evidence.outputs.get(result.position)) for result in outputs):
        unclear.append("no output changes with what is fed, so equal outputs prove nothing")
    if coverage.parametric < LEAST_PARAMETRIC or coverage.taps < LEAST_TAPS:
        unclear.append(
            f"too little was compared: {coverage.parametric:.0%} of the layers with weights "
            f"(at least {LEAST_PARAMETRIC:.0%} are wanted) and {coverage.taps:.0%} of all values ({LEAST_TAPS:.0%})"
        )
    verdict: Verdict = "differ" if differ else "not_comparable" if unclear else "agree"
    return Verification(
        verdict=verdict,
        reasons=(*differ, *unclear),
        batches=evidence.batches,
        kinds=evidence.kinds,
        outputs=tuple(outputs),
        layers=tuple(taps),
        unmapped=(*alignment.unmapped, *lost),
        coverage=coverage,
        rows_compared=sum(len(output.row_errors) for output in evidence.outputs.values()),
        warnings=tuple(evidence.warnings),
    )


def floors_of(
    layers: Sequence[Layer], alignment: Alignment, evidence: Evidence, precision: Precision = FLOAT32
) -> dict[str, float]:
    """Floor of every value that was measured, and of those between them that pass theirs on.

    Args:
        layers: what the source computes, in order.
        alignment: which output is which value.
        evidence: what the runs gave.
        precision: what the target computes in.
    """
    figures = dict(evidence.values)
    for output in alignment.outputs:
        if output.source is not None and output.position in evidence.outputs:
            figures.setdefault(output.source, evidence.outputs[output.position].figures)
    depths = {layer.value: layer.depth for layer in layers}
    operands = {layer.value: layer.operands for layer in layers}
    floors: dict[str, float] = {}
    for name in dict.fromkeys([*depths, *figures]):
        above = max((floors.get(operand, 0.0) for operand in operands.get(name, ())), default=0.0)
        found = figures.get(name)
        if found is None:
            floors[name] = above
        elif found.exact:
            # What float16 makes choose otherwise (an index, a count) has no floor, and proves nothing.
            chosen = name in precision.rounded and any(clean.metrics.rel_rmse > 0.0 for clean in found.clean)
            floors[name] = math.inf if chosen else 0.0
        else:
            inherited = above if found.numbers_a_sample < FEW else 0.0
            measured = [clean.metrics.rel_rmse for clean in found.clean]
            floors[name] = precision.floor(name, floor_of(measured, depths.get(name, 1), inherited))
    return floors


def _judge_tap(pair: Pair, figures: ValueEvidence | None, floor: float, precision: Precision) -> TensorResult:
    layer = pair.layer
    worst = figures.worst(floor) if figures is not None else None
    if figures is not None and worst is not None:
        floor = figures.floor_of(worst, floor)
    verdict: Verdict = "agree"
    reason = ""
    if figures is None or worst is None:
        verdict, reason = "not_comparable", "no run gave this value"
    elif not worst.metrics.expected_is_finite:
        verdict, reason = "not_comparable", "the source itself computes NaN or Inf here"
    elif worst.metrics.problem is not None:
        verdict, reason = "differ", worst.metrics.problem
    elif all(sample.metrics.elements == 0 for sample in figures.samples):
        verdict, reason = "not_comparable", "it has no elements"
    elif precision.costs_too_much(floor):
        verdict, reason = "not_comparable", _without_floor(floor, precision)
    elif not Gate(worst.metrics.rel_rmse, floor):
        verdict, reason = "differ", _beyond(worst.metrics.rel_rmse, floor)
    return TensorResult(
        name=layer.value,
        target=pair.tap,
        operator=layer.operator,
        node=layer.node,
        position=pair.position,
        parametric=layer.parametric,
        verdict=verdict,
        reason=reason,
        metrics=worst.metrics if worst is not None else None,
        kind=worst.kind if worst is not None else "",
        batch=worst.batch if worst is not None else 0,
        floor=floor,
    )


def _judge_output(
    pair: OutputPair, evidence: OutputEvidence | None, layer: Layer | None, floor: float, precision: Precision
) -> TensorResult:
    worst = evidence.figures.worst(floor) if evidence is not None else None
    verdict, reason = _verdict_on_output(pair, evidence, worst, floor, precision, layer is None or layer.computed)
    if evidence is not None and worst is not None:
        floor = evidence.figures.floor_of(worst, floor)
    return TensorResult(
        name=pair.source if pair.source is not None else str(pair.position),
        target=pair.target,
        operator=layer.operator if layer is not None else "",
        node=layer.node if layer is not None else "",
        position=pair.position,
        parametric=layer.parametric if layer is not None else False,
        verdict=verdict,
        reason=reason,
        metrics=worst.metrics if worst is not None else None,
        kind=worst.kind if worst is not None else "",
        batch=worst.batch if worst is not None else 0,
        floor=floor,
    )


def _verdict_on_output(
    pair: OutputPair,
    evidence: OutputEvidence | None,
    worst: Sample | None,
    floor: float,
    precision: Precision,
    is_computed: bool,
) -> tuple[Verdict, str]:
    """Verdict and reason; the first rule that holds."""
    if pair.reason is not None:
        return "differ", pair.reason
    if evidence is None or worst is None:
        return "not_comparable", "no run gave this output"
    metrics = worst.metrics
    if not metrics.expected_is_finite:
        return "not_comparable", f"the source itself gives NaN or Inf for {worst.kind} input of batch {worst.batch}"
    if metrics.problem is not None:
        return "differ", metrics.problem
    if evidence.expected.elements == 0:
        return "not_comparable", "it has no elements in any run"
    if evidence.actual.is_constant and not evidence.expected.is_constant:
        return "differ", "the target gives one constant"
    if precision.costs_too_much(floor):
        return "not_comparable", _without_floor(floor, precision)
    gate = Gate(metrics.rel_rmse, evidence.figures.floor_of(worst, floor))
    if not gate:
        return "differ", _beyond(gate.rel_rmse, gate.floor)
    scale = max(sample.metrics.scale for sample in evidence.figures.samples)
    if evidence.row_errors and max(evidence.row_errors) > 2.0 * K * floor * scale:  # both rows may be off, by K floors
        return (
            "differ",
            f"its rows depend on the batch they are in: rms of the difference {max(evidence.row_errors):.1e}",
        )
    samples = [sample.metrics for sample in evidence.figures.samples]
    rel_rmse, one_minus_cos = max(m.rel_rmse for m in samples), max(m.one_minus_cos for m in samples)
    greatest = max(evidence.figures.floor_of(sample, floor) for sample in evidence.figures.samples)
    most_rel_rmse, most_one_minus_cos = precision.output_limits(greatest)
    if rel_rmse > most_rel_rmse or one_minus_cos > most_one_minus_cos:
        limits = (
            f"rel-RMSE {rel_rmse:.1e} (limit {most_rel_rmse:.0e}), "
            f"1-cos {one_minus_cos:.1e} (limit {most_one_minus_cos:.0e})"
        )
        if precision is FLOAT32 and greatest > OUTPUT_REL_RMSE:
            return "not_comparable", f"float32 alone costs {greatest:.1e} here, so the limits cannot be met: {limits}"
        return "differ", f"beyond the limits of an output: {limits}"
    if is_computed and not evidence.figures.exact:
        if evidence.expected.is_constant:
            return "not_comparable", "the source gives one constant, which proves nothing"
        if evidence.inputs_compared and not evidence.depends_on_input:
            return "not_comparable", "the source gives the same for different inputs, which proves nothing"
    return "agree", ""


def _shows_something(evidence: OutputEvidence | None) -> bool:
    """Whether an output changes with what is fed, or at least holds different values where only one input was fed."""
    if evidence is None:
        return False
    return evidence.depends_on_input or (evidence.inputs_compared == 0 and not evidence.expected.is_constant)


def _without_floor(floor: float, precision: Precision) -> str:
    if precision.name == "float32":
        return "float32 overflows here in the source as well"
    if math.isfinite(floor):
        return f"float16 alone costs {floor:.1e} here, so that nothing can be proven"
    return "float16 overflows here, or makes the model choose otherwise, so that nothing can be proven"


def _beyond(rel_rmse: float, floor: float) -> str:
    if floor == 0.0:
        return f"the values must be equal, but rel-RMSE is {rel_rmse:.1e}"
    return f"rel-RMSE {rel_rmse:.1e} is {rel_rmse / floor:.0f} times the floor of {floor:.1e} ({K:.0f} are allowed)"
