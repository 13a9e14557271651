"""What ``facecvt selftest`` prints: the JSON document (schema docs/schemas/selftest.schema.json), and the text.

JSON has no number for NaN and Inf: they are null.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rich.text import Text

from facecvt.parity_tests.metrics import bits_lost
from facecvt.parity_tests.report.console import scientific
from facecvt.parity_tests.report.tables import plain_table

if TYPE_CHECKING:
    from rich.console import Console

    from facecvt.parity_tests.selftest.result import FaultRun, Selftest

FIGURES = ("detected", "localised", "named")


def selftest_document(found: Selftest) -> dict[str, Any]:
    """The JSON object, without its envelope."""
    return {
        "reached": bool(found),
        "shortfalls": found.shortfalls,
        "faults": len(found.injected),
        "different_faults": len(found.names),
        **{figure: sum(getattr(run, figure) for run in found.injected) for figure in FIGURES},
        "clean_variants": len(found.variants),
        "false_alarms": len(found.alarms),
        "misses": [_miss(run) for run in found.misses],
        "alarms": [
            {"net": run.net, "variant": run.variant, "verdict": run.verdict, "reasons": list(run.reasons)}
            for run in found.alarms
        ],
        "nets": [_net(found, net) for net in nets_of(found)],
        "not_injectable": [
            {"net": run.net, "fault": run.fault, "reason": reason_of(run)} for run in found.faults if not run.injected
        ],
    }


def nets_of(found: Selftest) -> list[str]:
    """The nets, in order."""
    return list(dict.fromkeys(run.net for run in found.faults))


def reason_of(run: FaultRun) -> str:
    """Why a fault is none in a net."""
    if not run.layers:
        return "the net has no place for it"
    return f"it changes nothing there: {run.size:.1e} in float64, float32 costs {run.floor:.1e}"


def render_selftest(console: Console, found: Selftest, *, verbose: bool = False) -> None:
    """Print a selftest.

    Args:
        console: where to.
        found: what was found.
        verbose: also the faults that a net has no place for.
    """
    console.print(
        Text("reached" if found else "not reached", "bold green" if found else "bold red"),
        f" {len(found.injected)} faults ({len(found.names)} different ones), {len(found.variants)} harmless variants",
        sep="",
    )
    for shortfall in found.shortfalls:
        console.print(Text(f"  {shortfall}"))
    console.print()
    table = plain_table("net", "faults", *FIGURES, "variants", "false alarms")
    for net in [*nets_of(found), None]:
        runs = [run for run in found.injected if net in (None, run.net)]
        variants = [run for run in found.variants if net in (None, run.net)]
        table.add_row(
            net or "all",
            str(len(runs)),
            *(f"{sum(getattr(run, figure) for run in runs)} ({found.share(figure, net):.1%})" for figure in FIGURES),
            str(len(variants)),
            str(sum(run.alarmed for run in variants)),
        )
    console.print(table)
    if found.misses:
        console.print()
        missed = plain_table("missed in", "fault", "size", "floor", "bits", "detected", "layer named", "cause named")
        for run in found.misses:
            missed.add_row(
                run.net,
                Text(run.fault),
                scientific(run.size),
                scientific(run.floor),
                f"{bits_lost(run.size, run.floor):.1f}",
                "yes" if run.detected else "no",
                Text(run.found or "none" if not run.localised else "right"),
                Text(run.found_cause or "none" if not run.named else "right"),
            )
        console.print(missed)
    for alarm in found.alarms:
        console.print(Text(f"false alarm: {alarm.variant} of {alarm.net}: {alarm.verdict}: {'; '.join(alarm.reasons)}"))
    if verbose:
        for run in found.faults:
            if not run.injected:
                console.print(Text(f"not injected: {run.fault} in {run.net}: {reason_of(run)}"))


def _net(found: Selftest, net: str) -> dict[str, Any]:
    runs = [run for run in found.injected if run.net == net]
    variants = [run for run in found.variants if run.net == net]
    return {
        "net": net,
        "faults": len(runs),
        **{figure: sum(getattr(run, figure) for run in runs) for figure in FIGURES},
        "clean_variants": len(variants),
        "false_alarms": sum(run.alarmed for run in variants),
    }


def _miss(run: FaultRun) -> dict[str, Any]:
    return {
        "net": run.net,
        "fault": run.fault,
        "layers": list(run.layers),
        "cause": run.cause,
        "own_error": _number(run.size),
        "floor": _number(run.floor),
        "bits": _number(bits_lost(run.size, run.floor)),
        "verdict": run.verdict,
        "detected": run.detected,
        "localised": run.localised,
        "named": run.named,
        "found_layer": run.found,
        "found_cause": run.found_cause,
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
