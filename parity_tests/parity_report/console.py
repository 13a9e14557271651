"""What ``facecvt parity`` prints: a row an architecture, what is wrong, and the figures beside their goals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from facecvt.parity_tests.parity_report.figures import HEAD, figures_of
from facecvt.parity_tests.parity_report.markdown import figure, headline, summary_row
from facecvt.parity_tests.parity_report.result import ParityResult
from facecvt.parity_tests.report.tables import plain_table

if TYPE_CHECKING:
    from rich.console import Console

COLORS = {"agree": "green", "differ": "bold red", "not_comparable": "yellow", "not_run": "yellow"}
MOST_REASONS = 4


def render_parity(console: Console, result: ParityResult, files: Sequence[Path], *, verbose: bool = False) -> None:
    """Print a result.

    Args:
        console: where to.
        result: what was found.
        files: that were written.
        verbose: every pair of every architecture, and every reason.
    """
    console.print(Text.assemble((result.verdict.replace("_", " "), COLORS[result.verdict]), f"  {headline(result)}"))
    table = plain_table("architecture", "verdict", "pairs", "layers", "worst pair", "x floor", "at", "1-cos")
    for found in result.architectures:
        name, _, *rest = summary_row(found)
        table.add_row(name, Text(found.verdict.replace("_", " "), style=COLORS[found.verdict]), *rest)
    console.print(table)
    for found in result.architectures:
        if verbose:
            pairs = plain_table("pair", "verdict", "layers", "x floor", "at", "1-cos")
            for pair in found.pairs:
                cosine = pair.embedding.one_minus_cos if pair.embedding is not None else None
                pairs.add_row(
                    pair.key,
                    pair.verdict.replace("_", " "),
                    str(pair.compared),
                    figure(pair.worst_ratio) if pair.compared else "",
                    pair.worst_layer or "",
                    "" if cosine is None else f"{cosine:.1e}",
                )
            console.print(Text(f"\n{found.name}"))
            console.print(pairs)
        shown = found.reasons if verbose else found.reasons[:MOST_REASONS]
        for reason in shown:
            console.print(Text(f"{found.name}: {reason}"))
        if len(found.reasons) > len(shown):
            console.print(Text(f"{found.name}: and {len(found.reasons) - len(shown)} more; -v shows them"))
        first = found.first_divergence
        if first is not None:
            console.print(Text(f"{found.name}: first divergence: {first.layer} ({first.operator}) of {first.side}"))
            console.print(Text(f"  cause: {first.cause or 'not known'}: {first.evidence}"))
            if first.repro is not None:
                console.print(Text(f"  the layer alone, from the folder of the reports: {first.repro}"))
    figures = plain_table(*HEAD)
    for each in figures_of(result):
        figures.add_row(*each.row(), style=None if each.met else COLORS["differ"])
    console.print()
    console.print(figures)
    for path in files:
        console.print(Text(f"wrote {path}"))
