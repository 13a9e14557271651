"""A conversion and its proof on a console: verdict, outputs, where it first parts, warnings, files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from facecvt.parity_tests.report.tables import plain_table
from facecvt.parity_tests.verification import Float16Proof, TensorResult, Verdict, Verification

if TYPE_CHECKING:
    from rich.console import Console

    from facecvt.converters.conversion import Conversion

STYLES: dict[Verdict, str] = {
    "agree": "bold green",
    "differ": "bold red",
    "not_comparable": "bold yellow",
    "not_verified": "bold yellow",
}
KIND_NAMES = {"normal": "random", "image": "image-like"}
UNMAPPED_SHOWN = 20


def render_conversion(
    console: Console,
    conversion: Conversion,
    found: Verification,
    quiet: bool = False,
    verbose: bool = False,
) -> None:
    """Print a conversion.

    Args:
        console: where to.
        conversion: what was converted.
        found: how both sides compare.
        quiet: no warnings.
        verbose: every compared layer, and what was not compared.
    """
    console.print(headline(conversion, found))
    for reason in found.reasons:
        console.print(Text(f"  {reason}"))
    if found.outputs:
        console.print()
        console.print(figures_table(found.outputs, "output"))
    if found.float16 is not None:
        console.print()
        console.print(float16_text(found.float16))
    divergence = found.first_divergence
    if divergence is not None:
        console.print()
        console.print(Text.from_markup(divergence_text(divergence)))
    if verbose and found.layers:
        console.print()
        console.print(figures_table(found.layers, "layer"))
    if verbose and found.unmapped:
        console.print("\nnot compared:")
        for unmapped in found.unmapped[:UNMAPPED_SHOWN]:
            console.print(Text(f"  {unmapped.value}: {unmapped.reason}"))
        if len(found.unmapped) > UNMAPPED_SHOWN:
            console.print(f"  and {len(found.unmapped) - UNMAPPED_SHOWN} more")
    warnings = [*conversion.warnings, *found.warnings]
    if warnings and not quiet:
        console.print()
        for warning in warnings:
            console.print(Text.assemble(("warning: ", "yellow"), warning))
    console.print()
    for path in conversion.files:
        console.print(Text(str(path)))


def headline(conversion: Conversion, found: Verification) -> Text:
    """Verdict, direction, what was run and how much of the source was compared."""
    text = Text.assemble(
        (found.verdict.replace("_", " "), STYLES[found.verdict]),
        f"  {conversion.source_framework} -> {conversion.target_framework}",
    )
    if conversion.recognised is not None:
        text.append(f" ({conversion.recognised})")
    if found.batches:
        kinds = " and ".join(KIND_NAMES.get(kind, kind) for kind in found.kinds)
        text.append(f", batches {', '.join(map(str, found.batches))}, {kinds} inputs")
        text.append(
            f"\n{found.layers_compared} layers compared: {found.coverage.parametric:.0%} of those with weights, "
            f"{found.coverage.taps:.0%} of all"
        )
    return text


def float16_text(proof: Float16Proof) -> Text:
    """What a verdict on a target in float16 rests on besides the figures, whose floors are float16's."""
    ratio = max((result.ratio for result in proof.single.outputs), default=0.0)
    same = "is that model, rounded" if not proof.differences else "is not that model"
    limits = ", ".join(f"{name} {rel:.1e} / {cos:.1e}" for name, rel, cos in proof.limits)
    return Text(
        f"float16: {proof.plan.nodes} operators, {len(proof.plan.kept)} stay in float32; the same model in float32: "
        f"{proof.single.verdict.replace('_', ' ')} ({ratio:.1f} x its floor); the file {same}\n"
        f"limits of rel-RMSE / 1 - cos, 10 x the floor of float16: {limits}"
    )


def figures_table(results: Sequence[TensorResult], what: str) -> Table:
    """A row a result: error, floor, their ratio."""
    table = plain_table(what, "rel-RMSE", "1 - cos", "max error", "floor", "x floor", "")
    for column in table.columns[1:6]:
        column.justify = "right"
    for result in results:
        metrics = result.metrics
        figures = ["", "", ""]
        if metrics is not None:
            figures = [scientific(value) for value in (metrics.rel_rmse, metrics.one_minus_cos, metrics.max_abs)]
        ratio = f"{result.ratio:.1f}" if result.ratio < 1e4 else scientific(result.ratio)
        verdict = Text(result.verdict.replace("_", " "), style=STYLES[result.verdict])
        table.add_row(escape(result.name), *figures, scientific(result.floor), ratio, verdict)
    return table


def divergence_text(result: TensorResult) -> str:
    """Where both sides first part, as markup."""
    where = f" ({escape(result.operator)} {escape(result.node)})" if result.operator else ""
    lines = [f"first divergence: [bold]{escape(result.name)}[/bold]{where}: {escape(result.reason)}"]
    if result.target is not None:
        lines.append(f"  in the target: {escape(result.target)}")
    worst = result.metrics.worst if result.metrics is not None else None
    if worst is not None:
        lines.append(
            f"  worst element {list(worst.index)}: {worst.actual:.9g} where {worst.expected:.9g} is expected "
            f"({KIND_NAMES.get(result.kind, result.kind)} input, batch {result.batch})"
        )
    return "\n".join(lines)


def scientific(value: float) -> str:
    """A figure in two digits; 0 and inf as they are."""
    if value == 0.0:
        return "0"
    return f"{value:.1e}" if math.isfinite(value) else "inf"
