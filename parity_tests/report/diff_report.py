"""What ``facecvt diff`` prints: the JSON document (schema docs/schemas/diff.schema.json), and the text.

JSON has no number for NaN and Inf: they are null.
"""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from facecvt.parity_tests.report.console import STYLES, figures_table, scientific
from facecvt.parity_tests.report.tables import plain_table
from facecvt.parity_tests.verification import TensorResult

if TYPE_CHECKING:
    from rich.console import Console

    from facecvt.parity_tests.diff.difference import Difference
    from facecvt.parity_tests.metrics import Metrics

WORST_SHOWN = 8
MOST_NAMES = 5


def diff_document(found: Difference) -> dict[str, Any]:
    """The JSON object, without its envelope."""
    verification = found.verification
    return {
        "verdict": verification.verdict,
        "a": {"model": found.a, "framework": found.frameworks[0]},
        "b": {"model": found.b, "framework": found.frameworks[1]},
        "reasons": list(verification.reasons),
        "coverage": {"parametric": verification.coverage.parametric, "taps": verification.coverage.taps},
        "aligned_by_weights": found.anchors,
        "outputs": [_row(result) for result in verification.outputs],
        "layers": [_layer(result, found) for result in shown_layers(found)],
        "first_divergence": _divergence(found),
        "divergences": [
            {
                "a": each.fault.a,
                "b": each.fault.b,
                "operator": each.fault.result.operator,
                "own_rel_rmse": _number(each.fault.own.rel_rmse),
                "floor": _number(each.fault.floor),
                "cause": each.cause.name if each.cause is not None else None,
                "detail": each.cause.detail if each.cause is not None else None,
                "was_tried": each.was_tried,
            }
            for each in found.divergences
        ],
        "causes": found.causes,
        "repro": {"folder": found.repro, "command": repro_command(found.repro)} if found.repro is not None else None,
        "unmapped": [
            *({"side": "a", "name": item.value, "reason": item.reason} for item in verification.unmapped),
            *({"side": "b", "name": name, "reason": reason} for name, reason in found.unmapped_b.items()),
        ],
        "warnings": list(verification.warnings),
        "environment": dict(found.environment),
    }


def enveloped(found: Difference) -> dict[str, Any]:
    """The JSON object as ``facecvt diff --json`` prints it."""
    from facecvt.parity_tests.report.reporter import SCHEMA_VERSION

    return {"schema_version": SCHEMA_VERSION, "command": "diff", **diff_document(found)}


def shown_layers(found: Difference) -> list[TensorResult]:
    """The layers that ``--layers`` lets through."""
    return [layer for layer in found.verification.layers if found.shown is None or layer.name in found.shown]


def render_diff(console: Console, found: Difference, *, quiet: bool = False, verbose: bool = False) -> None:
    """Print a difference.

    Args:
        console: where to.
        found: what was found.
        quiet: no warnings.
        verbose: every layer, and what was not compared.
    """
    verification = found.verification
    console.print(headline(found))
    for reason in verification.reasons:
        console.print(Text(f"  {reason}"))
    if verification.outputs:
        console.print()
        console.print(figures_table(verification.outputs, "output"))
    if found.of_outputs is not None:
        console.print(Text(f"  cause: {found.of_outputs.name}: {found.of_outputs.detail}"))
    if found.fault is not None:
        console.print()
        console.print(Text("\n".join([*divergence_lines(found), *other_faults(found)])))
    if found.repro is not None:
        console.print(Text(f"\nthe first of them alone: {repro_command(found.repro)}"))
    layers = shown_layers(found)
    if not (verbose or found.shown is not None):
        layers = [layer for layer in layers if layer.verdict == "differ"][:WORST_SHOWN]
    if layers:
        console.print()
        console.print(layers_table(found, layers))
    if verbose:
        for item in verification.unmapped:
            console.print(Text(f"not compared: {item.value} of A: {item.reason}"))
        for name, reason in found.unmapped_b.items():
            console.print(Text(f"not compared: {name} of B: {reason}"))
    if not quiet:
        for warning in verification.warnings:
            console.print(Text.assemble(("warning: ", "yellow"), warning))


def headline(found: Difference) -> Text:
    """Verdict, what was compared, and how much of it."""
    verification = found.verification
    text = Text.assemble(
        (verification.verdict.replace("_", " "), STYLES[verification.verdict]),
        f"  A {found.a} ({found.frameworks[0]}), B {found.b} ({found.frameworks[1]})",
    )
    if verification.batches:
        text.append(
            f"\n{verification.layers_compared} layers compared: {verification.coverage.parametric:.0%} of those with "
            f"weights, {verification.coverage.taps:.0%} of all; {found.anchors} aligned by their weights, "
            f"{len(verification.unmapped)} of A and {len(found.unmapped_b)} of B unmapped"
        )
    return text


def divergence_lines(found: Difference) -> list[str]:
    """The layer at fault, its own error, and why."""
    fault = found.fault
    if fault is None:
        return []
    lines = [
        f"first divergence: {found.diverges_at} in A, {fault.b} in B",
        f"  fed what A computes, {fault.b} ({fault.result.operator} in A) is off by rel-RMSE "
        f"{scientific(fault.own.rel_rmse)} "
        f"(floor {scientific(fault.floor)})" + (f": {fault.own.problem}" if fault.own.problem else ""),
    ]
    lines += [f"  {text}" for text in structure(found)]
    if found.cause is not None:
        lines.append(f"  cause: {found.cause.name}: {found.cause.detail}")
        lines.append(f"  proof: {found.cause.proof}")
    return lines


def structure(found: Difference) -> list[str]:
    """What one side computes on the way to the layer at fault and the other does not."""
    fault = found.fault
    if fault is None:
        return []
    lines = []
    if fault.skipped:
        lines.append(f"A computes on the way to it what B does not: {', '.join(fault.skipped)}")
    if fault.added:
        lines.append(f"B computes on the way to it what A does not: {', '.join(fault.added)}")
    return lines


def layers_table(found: Difference, layers: list[TensorResult]) -> Any:
    """A row a layer: where it is in B, cumulative and own error."""
    table = plain_table("layer of A", "of B", "told by", "rel-RMSE", "own", "floor", "x floor", "worst at", "")
    for layer in layers:
        metrics = layer.metrics
        own = layer.own_rel_rmse
        table.add_row(
            Text(layer.name),
            Text(layer.target or ""),
            found.how.get(layer.name, "data flow"),
            scientific(metrics.rel_rmse) if metrics is not None else "",
            scientific(own) if own is not None else "",
            scientific(layer.floor),
            f"{layer.ratio:.1f}" if layer.ratio < 1e4 else scientific(layer.ratio),
            str(list(metrics.worst.index)) if metrics is not None and metrics.worst is not None else "",
            Text(layer.verdict.replace("_", " "), style=STYLES[layer.verdict]),
        )
    return table


def other_faults(found: Difference) -> list[str]:
    """The layers at fault behind the first one, a line a cause."""
    by_cause: dict[str, list[str]] = {}
    for each in found.divergences[1:]:
        cause = each.cause.name if each.cause is not None else "no known cause" if each.was_tried else "not looked into"
        by_cause.setdefault(cause, []).append(each.fault.a)
    lines = []
    for cause, names in by_cause.items():
        shown = ", ".join(names[:MOST_NAMES]) + (
            f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        )
        lines.append(f"also wrong by itself: {cause}: {shown}")
    return lines


def repro_command(folder: str) -> str:
    """What runs a repro."""
    return shlex.join(["python", str(Path(folder) / "run.py")])


def _row(result: TensorResult) -> dict[str, Any]:
    metrics = result.metrics
    return {
        "a": result.name,
        "b": result.target,
        "verdict": result.verdict,
        "reason": result.reason,
        "rel_rmse": _number(metrics.rel_rmse) if metrics is not None else None,
        "own_rel_rmse": _number(result.own_rel_rmse) if result.own_rel_rmse is not None else None,
        "max_abs": _number(metrics.max_abs) if metrics is not None else None,
        "one_minus_cos": _number(metrics.one_minus_cos) if metrics is not None else None,
        "floor": _number(result.floor),
        "ratio": _number(result.ratio),
        "bits_lost": _number(result.bits_lost),
        "worst": _worst(metrics),
    }


def _worst(metrics: Metrics | None) -> dict[str, Any] | None:
    """The element that is furthest off, or the first that is no number."""
    if metrics is None or metrics.worst is None:
        return None
    worst = metrics.worst
    return {"index": list(worst.index), "expected": _number(worst.expected), "actual": _number(worst.actual)}


def _layer(result: TensorResult, found: Difference) -> dict[str, Any]:
    return {
        **_row(result),
        "operator": result.operator,
        "parametric": result.parametric,
        "aligned_by": found.how.get(result.name, "data flow"),
    }


def _divergence(found: Difference) -> dict[str, Any] | None:
    fault, cause = found.fault, found.cause
    if fault is None:
        first = found.verification.first_divergence
        if first is None:
            return None
        evidence = {"reason": first.reason, **({"detail": cause.detail} if cause is not None else {})}
        name = cause.name if cause is not None else None
        return {"a": first.name, "b": first.target, "cause": name, "evidence": evidence}
    return {
        "a": found.diverges_at,
        "b": fault.b,
        "cause": cause.name if cause is not None else None,
        "evidence": {
            "reason": fault.own.problem or f"own rel-RMSE {fault.own.rel_rmse:.3e}, floor {fault.floor:.3e}",
            "operator": fault.result.operator,
            "own_rel_rmse": _number(fault.own.rel_rmse),
            "only_in_a": list(fault.skipped),
            "only_in_b": list(fault.added),
            "detail": cause.detail if cause is not None else None,
            "own_rel_rmse_put_right": _number(cause.after) if cause is not None else None,
        },
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
