"""``parity.md``: a summary with a row an architecture, then a table a architecture; fit for the summary of a CI job.

CI services cut a summary at a megabyte: only the matrix of pairs, the layers that differ, and the first divergence are
here; all layers are in parity.json and parity.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from facecvt.converters.formats.atomic import atomic_file
from facecvt.parity_tests.parity_report.figures import HEAD, figures_of
from facecvt.parity_tests.parity_report.result import ArchitectureResult, PairResult, ParityResult, SideInfo

SIGNS = {"agree": "agree", "differ": "**differ**", "not_comparable": "not comparable", "not_run": "not run"}
MOST_REASONS = 6


def write_markdown(result: ParityResult, path: str | Path) -> None:
    """Write the page."""
    with atomic_file(Path(path)) as stream:
        stream.write(page(result).encode())


def page(result: ParityResult) -> str:
    """The page as text."""
    lines = [f"# Parity: {SIGNS[result.verdict]}", "", headline(result), ""]
    rows = [summary_row(found) for found in result.architectures]
    lines += table(
        ["architecture", "verdict", "pairs", "layers", "worst pair", "x floor", "at", "1-cos of the first output"], rows
    )
    lines += ["", "Figures: error over the float32 floor, which is measured; at most "
              f"{result.limits.k:.0f} agrees. `x floor` is the worst layer of the worst pair; 1-cos is the worst "
              "against the oracle, at most "
              f"{result.limits.output_one_minus_cos:.0e}.", ""]  # fmt: skip
    for found in result.architectures:
        lines += section(found, result.sides)
    lines += ["## Figures", "", *table(HEAD, [each.row() for each in figures_of(result)]), ""]
    lines += ["## Where this was run", ""]
    lines += table(["what", "version"], [[key, value] for key, value in result.environment.items()])
    lines += ["", f"{result.run['started']}, {result.run['seconds']:.0f} s, {result.run['cpu_seconds']:.0f} s of CPU "
              f"time, {result.run['peak_memory_mb']:.0f} MB"]  # fmt: skip
    return "\n".join(lines) + "\n"


def headline(result: ParityResult) -> str:
    """Counts in one sentence."""
    count = len(result.architectures)
    parts = [
        f"{number} {word}"
        for word, number in (
            ("agree", result.count("agree")),
            ("differ", result.count("differ")),
            ("not comparable", result.count("not_comparable")),
            ("not run", result.count("not_run")),
        )
        if number
    ]
    pairs = sum(pair.verdict != "not_run" for found in result.architectures for pair in found.pairs)
    layers = sum(pair.compared for found in result.architectures for pair in found.pairs)
    return (
        f"{count} architecture{'s' if count != 1 else ''}: {', '.join(parts) or 'none'}. "
        f"{pairs} pairs, {layers} comparisons of a layer."
    )


def worst_pair(found: ArchitectureResult) -> PairResult | None:
    """The pair that is furthest beyond its floor; one that differs before one that does not."""
    ran = [pair for pair in found.pairs if pair.compared]
    return max(
        ran,
        key=lambda pair: (pair.verdict == "differ", float("inf") if pair.worst_ratio is None else pair.worst_ratio),
        default=None,
    )


def summary_row(found: ArchitectureResult) -> list[str]:
    """The row of one architecture."""
    worst = worst_pair(found)
    cosines = [
        pair.embedding.one_minus_cos
        for pair in found.pairs
        if pair.a == "oracle" and pair.embedding is not None and pair.embedding.one_minus_cos is not None
    ]
    ran = [pair for pair in found.pairs if pair.verdict != "not_run"]
    return [
        found.name,
        SIGNS[found.verdict],
        f"{sum(pair.verdict == 'agree' for pair in ran)} of {len(found.pairs)}",
        str(len(found.layers)),
        worst.key if worst is not None else "",
        figure(worst.worst_ratio) if worst is not None else "",
        worst.worst_layer or "" if worst is not None else "",
        f"{max(cosines):.1e}" if cosines else "",
    ]


def section(found: ArchitectureResult, sides: Sequence[SideInfo]) -> list[str]:
    """One architecture: the matrix of its pairs, and what is wrong."""
    used = [side for side in sides if any(side.id in (pair.a, pair.b) for pair in found.pairs)]
    lines = [f"## {found.name}: {SIGNS[found.verdict]}", "", f"{found.title}; weights {found.weights[:16]}", ""]
    rows = []
    for b in used[1:]:
        row = [b.label]
        for a in used[:-1]:
            pair = next((each for each in found.pairs if (each.a, each.b) == (a.id, b.id)), None)
            row.append("" if pair is None else cell(pair))
        rows.append(row)
    lines += table(["x floor", *(side.label for side in used[:-1])], rows)
    lines.append("")
    lines += [f"- {reason}" for reason in found.reasons[:MOST_REASONS]]
    if len(found.reasons) > MOST_REASONS:
        lines.append(f"- and {len(found.reasons) - MOST_REASONS} more")
    first = found.first_divergence
    if first is not None:
        lines += ["", f"First divergence: `{first.layer}` ({first.operator}) of {first.side}, against {first.against}: "
                  f"rel-RMSE {figure(first.rel_rmse)}, floor {figure(first.floor)}."]  # fmt: skip
        lines += [f"Cause: {first.cause}. " if first.cause else "", first.evidence, "", f"    {first.command}"]
        if first.repro is not None:
            lines += ["", "The layer alone, from the folder of the reports:", "", f"    {first.repro}"]
    if lines[-1]:
        lines.append("")
    return lines


def cell(pair: PairResult) -> str:
    """A pair in the matrix: its worst error over floor, or its verdict."""
    if pair.verdict == "agree":
        return figure(pair.worst_ratio)
    return f"{SIGNS[pair.verdict]} {figure(pair.worst_ratio) if pair.compared else ''}".strip()


def figure(value: float | None) -> str:
    """A number with three digits at most."""
    return "beyond measure" if value is None else f"{value:.3g}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table's lines."""
    escaped = [[each.replace("|", "\\|") for each in row] for row in rows]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in escaped)]
