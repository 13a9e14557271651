"""Converts every real model in every direction, verifies each, and fills docs/real-models.md and README.md.

    python benchmarks/real_models.py [--only TEXT] [--again] [--page]

The models are those of ``facecvt.parity_tests.support.real_models``; they lie in ../shared/models, or where
FACECVT_REAL_MODELS says. What stands in the page and agrees is not run again, so a run may be stopped and taken up;
``--again`` runs it anew, ``--page`` only writes the page again. Exit status 1 where a verdict is not "agree" or a
figure is beyond its goal.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from readme_block import fill_block

from facecvt.converters.errors import FacecvtError
from facecvt.parity_tests.support.real_models import (
    LARGEST_ONE_MINUS_COS,
    LARGEST_REL_RMSE,
    REAL_MODELS,
    RealModel,
    conversions,
    worst_of,
)
from facecvt.parity_tests.verify import verify

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "real-models.md"
HEADER = [
    "| model | conversion | verdict | layers compared | coverage | rel-RMSE | 1 - cos | x fp32 floor |",
    "|---|---|---|---|---|---|---|---|",
]


@dataclass(frozen=True)
class Row:
    """One line of the table, and whether it is as it should be."""

    markdown: str
    passed: bool

    @property
    def cells(self) -> list[str]:
        return [cell.strip() for cell in self.markdown.strip("|").split("|")]


def convert_one(model: RealModel, target: str, models: Path) -> Row:
    """Convert and verify in a folder that is removed again."""
    direction = f"{model.framework}2{target}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = verify(model.convert(target, models, Path(folder)), batches=model.batches)
        except FacecvtError as error:
            print(f"{model.title}, {direction}: {error}", file=sys.stderr)
            return Row(f"| {model.title} | {direction} | {type(error).__name__} | | | | | |", False)
    worst = worst_of(found)
    passed = bool(found) and worst.within_goals
    if not passed:
        print(f"{model.title}, {direction}: {'; '.join(found.reasons)}", file=sys.stderr)
    verdict = found.verdict.replace("_", " ")
    coverage = f"{found.layers_compared} | {found.coverage.parametric:.0%} / {found.coverage.taps:.0%}"
    figures = f"{worst.rel_rmse:.1e} | {max(worst.one_minus_cos, 0.0):.1e} | {worst.ratio:.1f}"
    return Row(f"| {model.title} | {direction} | {verdict} | {coverage} | {figures} |", passed)


def key_of(model: RealModel, target: str) -> tuple[str, str]:
    """What tells a row from others: the model's title and the direction."""
    return model.title, f"{model.framework}2{target}"


def load() -> dict[tuple[str, str], Row]:
    """The rows of the page that pass."""
    rows = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines() if PAGE.is_file() else ():
        row = Row(line, True)
        if line.startswith("| ") and len(row.cells) == 8 and row.cells[2] == "agree":
            rows[row.cells[0], row.cells[1]] = row
    return rows


def save(rows: dict[tuple[str, str], Row]) -> str:
    """Write the page; returns its summary."""
    wanted = [key_of(model, target) for model, target in conversions()]
    shown = [rows[key] for key in wanted if key in rows]
    lines = [
        "# Real models in every direction",
        "",
        "Made by `make real-models-table`; do not edit. Public model files, each converted to every other format, run "
        "in the target's framework and held against the float64 oracle of the source: batches of 1, 2 and 3 where the "
        "batch is free, noise and face-like images. rel-RMSE and 1 - cos are the worst over all outputs and batches. "
        "Coverage: of the layers with weights / of all floating point values. Floor: what float32 itself costs there.",
        "",
        summary(rows),
        "",
        *HEADER,
        *(row.markdown for row in shown),
    ]
    lost = [key for key in wanted if key not in rows]
    if lost:
        lines += ["", "Not run: " + "; ".join(f"{title}, {direction}" for title, direction in lost) + "."]
    refused = [(model, target, why) for model in REAL_MODELS for target, why in model.refused.items()]
    if refused:
        lines += ["", "Refused by name:", ""]
        lines += [f"- {model.title}, {model.framework}2{target}: {why}" for model, target, why in refused]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return summary(rows)


def summary(rows: dict[tuple[str, str], Row]) -> str:
    """One line for README.md."""
    wanted = [key_of(model, target) for model, target in conversions()]
    shown = [rows[key] for key in wanted if key in rows]
    words = (
        f"{sum(row.passed for row in shown)} of {len(shown)} conversions of {len(REAL_MODELS)} models agree with "
        f"rel-RMSE <= {LARGEST_REL_RMSE:g} and 1 - cos <= {LARGEST_ONE_MINUS_COS:g}"
    )
    if len(shown) < len(wanted):
        words += f"; {len(wanted) - len(shown)} were not run"
    passed = [row.cells for row in shown if row.passed]
    if passed:
        (parametric, taps), (rel_rmse, cosine, floors) = extremes(passed)
        words += (
            f". Worst rel-RMSE {rel_rmse}, 1 - cos {cosine}, {floors} floors; least coverage {parametric} of the "
            f"layers with weights, {taps} of all values"
        )
    return f"{words}."


def extremes(rows: Sequence[Sequence[str]]) -> tuple[tuple[str, str], tuple[str, str, str]]:
    """The least coverage, of layers with weights and of all values, and the worst rel-RMSE, 1 - cos and floors."""
    shares = [[float(share.strip(" %")) for share in cells[4].split("/")] for cells in rows]
    parametric, taps = (f"{min(share):.0f}%" for share in zip(*shares, strict=True))
    rel_rmse, cosine, floors = (max((cells[place] for cells in rows), key=float) for place in (5, 6, 7))
    return (parametric, taps), (rel_rmse, cosine, floors)


def by_direction(rows: dict[tuple[str, str], Row]) -> list[str]:
    """The short table of README.md: a line a direction, the worst figures of all its models."""
    lines = [
        "| conversion | models that agree | coverage, the least | rel-RMSE, the worst | 1 - cos | x fp32 floor |",
        "|---|---|---|---|---|---|",
    ]
    wanted = [key_of(model, target) for model, target in conversions()]
    for direction in dict.fromkeys(direction for _, direction in wanted):
        own = [rows[key] for key in wanted if key[1] == direction and key in rows]
        passed = [row.cells for row in own if row.passed]
        if not passed:
            continue
        least, worst = extremes(passed)
        lines.append(f"| {direction} | {len(passed)} of {len(own)} | {' / '.join(least)} | {' | '.join(worst)} |")
    return lines


def main() -> int:
    """Fill the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="models whose key or title holds this text")
    parser.add_argument("--again", action="store_true", help="run what is there and agrees as well")
    parser.add_argument("--page", action="store_true", help="run nothing; write the page from what is in it")
    options = parser.parse_args()
    models = Path(os.environ.get("FACECVT_REAL_MODELS", PROJECT.parent / "shared" / "models"))
    if not options.page and not models.is_dir():
        print(f"error: no folder {models}; set FACECVT_REAL_MODELS to where the real models lie", file=sys.stderr)
        return 2
    rows = load()
    for model, target in [] if options.page else conversions():
        key = key_of(model, target)
        if (options.only in model.key or options.only in model.title) and (options.again or key not in rows):
            begin = time.perf_counter()
            rows[key] = convert_one(model, target, models)
            print(f"{rows[key].markdown} {time.perf_counter() - begin:.1f} s", file=sys.stderr, flush=True)
            save(rows)
    line = save(rows)
    fill_block("real-models", [line, "", *by_direction(rows)])
    print(line)
    return 0 if rows and all(row.passed for row in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
