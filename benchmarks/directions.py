"""Every reference architecture in every direction, proven; fills docs/directions.json and docs/directions.md.

    python benchmarks/directions.py [--only TEXT] [--again] [--page] [--take FOLDER]

The smallest architectures come first. What is in the JSON and agrees is not run again, so a run may be stopped and
taken up; ``--again`` runs it anew, ``--page`` only writes the page from the JSON, ``--take`` first adds what a run of
the suite has left in FOLDER (FACECVT_DIRECTIONS), and runs nothing. Exit status 1 where a conversion that was run does
not agree.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from readme_block import fill_block

from facecvt.parity_tests.support.directions import BATCHES, DIRECTIONS, KINDS, DirectionResult, results_of
from facecvt.parity_tests.tolerance import OUTPUT_ONE_MINUS_COS, OUTPUT_REL_RMSE, K
from facecvt.reference_models import names, spec
from facecvt.reference_models.costs import costs

DOCS = Path(__file__).resolve().parents[1] / "docs"
DATA, PAGE = DOCS / "directions.json", DOCS / "directions.md"
COLUMNS = [f"{source}2{target}" for source, targets in DIRECTIONS.items() for target in targets]
Results = dict[tuple[str, str], DirectionResult]


def smallest_first() -> list[str]:
    """Every architecture, by the multiply-adds of one image."""
    return sorted(names(), key=lambda name: (costs(spec(name)).multiply_adds, name))


def load() -> Results:
    """What was run before."""
    if not DATA.is_file():
        return {}
    rows = json.loads(DATA.read_text(encoding="utf-8"))["results"]
    known = {field.name for field in fields(DirectionResult)}
    results = [DirectionResult(**{key: unpacked(value) for key, value in row.items() if key in known}) for row in rows]
    return {(result.architecture, result.direction): result for result in results}


def save(results: Results) -> None:
    """Write the JSON and the page; the order is that of the architectures."""
    order = {name: number for number, name in enumerate(names())}
    rows = sorted(results.values(), key=lambda row: (order[row.architecture], COLUMNS.index(row.direction)))
    document = {"batches": BATCHES, "kinds": KINDS, "results": [packed(row) for row in rows]}
    lines = [json.dumps(row, allow_nan=False) for row in document.pop("results")]  # type: ignore[attr-defined]
    head = json.dumps(document)[1:-1]
    DATA.write_text(f'{{{head}, "results": [\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")
    PAGE.write_text("\n".join(page(load())) + "\n", encoding="utf-8")  # of the rounded figures


def packed(result: DirectionResult) -> dict[str, Any]:
    """A row of the JSON: three digits, and null for what was not measured."""
    return {
        key: (float(f"{value:.3g}") if math.isfinite(value) else None) if isinstance(value, float) else value
        for key, value in asdict(result).items()
    }


def unpacked(value: Any) -> Any:
    return math.inf if value is None else value


def cell(result: DirectionResult | None) -> str:
    """Times the floor, or why there is no such figure."""
    if result is None:
        return "not run"
    return f"{result.floors:.1f}" if result.verdict == "agree" else f"**{result.verdict.replace('_', ' ')}**"


def summary(results: Results) -> str:
    """One line for README.md."""
    agree = [result for result in results.values() if result.verdict == "agree"]
    total = len(names()) * len(COLUMNS)
    words = f"{len(agree)} of {len(results)} conversions agree"
    if len(results) < total:
        words += f"; {total - len(results)} of {total} were not run"
    if agree:
        words += (
            f". Worst rel-RMSE {max(row.rel_rmse for row in agree):.1e}, 1 - cos "
            f"{max(row.one_minus_cos for row in agree):.1e}, {max(row.floors for row in agree):.1f} floors; least "
            f"coverage {min(row.parametric for row in agree):.0%} of the layers with weights, "
            f"{min(row.taps for row in agree):.0%} of all values"
        )
    return words + "."


def page(results: Results) -> list[str]:
    """The page's lines."""
    lines = [
        "# Every architecture in every direction",
        "",
        "Made by `make directions-table`; do not edit. Each reference architecture, with seeded weights in the files "
        "of PyTorch, Paddle and MXNet, is converted to each of the other formats. The result runs in its own "
        "framework and is held against the float64 oracle of the source: batches of "
        f"{' and '.join(str(batch) for batch in BATCHES)}, {' and '.join(KINDS)} inputs, outputs and inner layers. "
        f'"Agree" takes at most {K:.0f} floors everywhere, rel-RMSE <= {OUTPUT_REL_RMSE:g} and 1 - cos <= '
        f"{OUTPUT_ONE_MINUS_COS:g} at the outputs, 95 % of the layers with weights and 80 % of all values compared.",
        "",
        summary(results),
        "",
        "A direction's cell is the worst output's error over its floor, which is what float32 itself costs there. The "
        "three columns behind it are the worst of the row. Coverage: of the layers with weights / of all values.",
        "",
        "| architecture | " + " | ".join(COLUMNS) + " | rel-RMSE | 1 - cos | coverage |",
        "|---|" + "---:|" * (len(COLUMNS) + 3),
    ]
    for name in names():
        row = [results.get((name, column)) for column in COLUMNS]
        lines.append(f"| {name} | " + " | ".join([*(cell(each) for each in row), *worst(row)]) + " |")
    failed = [result for result in results.values() if result.verdict != "agree"]
    if failed:
        lines += ["", "## What does not agree", ""]
        lines += [f"- `{row.architecture}`, {row.direction}: {row.reason}" for row in failed]
    return lines


def worst(row: Sequence[DirectionResult | None]) -> list[str]:
    """rel-RMSE, 1 - cos and coverage over the directions of one architecture that were run."""
    run = [result for result in row if result is not None]
    measured = [result for result in run if math.isfinite(result.rel_rmse)]
    if not measured:
        return ["", "", ""]
    return [
        f"{max(result.rel_rmse for result in measured):.1e}",
        f"{max(result.one_minus_cos for result in measured):.1e}",
        f"{min(result.parametric for result in measured):.0%} / {min(result.taps for result in measured):.0%}",
    ]


def main() -> int:
    """Fill the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="architectures whose name holds this text")
    parser.add_argument("--again", action="store_true", help="run what is there and agrees as well")
    parser.add_argument("--page", action="store_true", help="run nothing; write the page from the JSON")
    parser.add_argument("--take", type=Path, metavar="FOLDER", help="run nothing; add what the suite left there")
    options = parser.parse_args()
    results = load()
    for path in sorted(options.take.glob("*.json")) if options.take else ():
        result = DirectionResult(**json.loads(path.read_text(encoding="utf-8")))
        results[result.architecture, result.direction] = result
    for name in [] if options.page or options.take else smallest_first():
        if options.only not in name:
            continue
        for source, targets in DIRECTIONS.items():
            wanted = [
                target
                for target in targets
                if options.again or not ((found := results.get((name, f"{source}2{target}"))) and found.agrees)
            ]
            for result in results_of(name, source, wanted) if wanted else ():
                results[name, result.direction] = result
                print(f"{name} {result.direction} {cell(result)} {result.reason}", file=sys.stderr, flush=True)
                save(results)
    save(results)
    results = load()
    fill_block("directions", [summary(results)])
    print(summary(results))
    return 0 if results and all(result.agrees for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
