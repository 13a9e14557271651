"""Converts every real model in every direction, verifies each, and fills the table of README.md.

    python benchmarks/real_models.py [--only TEXT] [--print]

The models are those of ``facecvt.parity_tests.support.real_models``; they lie in ../shared/models, or where
FACECVT_REAL_MODELS says. Exit status 1 where a verdict is not "agree" or a figure is beyond its goal.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from readme_block import fill_block

from facecvt.converters.errors import FacecvtError
from facecvt.parity_tests.support.real_models import (
    LARGEST_ONE_MINUS_COS,
    LARGEST_REL_RMSE,
    RealModel,
    conversions,
    worst_of,
)
from facecvt.parity_tests.verify import verify

PROJECT = Path(__file__).resolve().parents[1]
HEADER = [
    "| model | conversion | verdict | layers compared | coverage | rel-RMSE | 1 - cos | x fp32 floor |",
    "|---|---|---|---|---|---|---|---|",
]


@dataclass(frozen=True)
class Row:
    """One line of the table, and whether it is as it should be."""

    markdown: str
    passed: bool


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


def main() -> int:
    """Fill the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="models whose key or title holds this text; implies --print")
    parser.add_argument("--print", action="store_true", help="print the table and leave README.md as it is")
    options = parser.parse_args()
    models = Path(os.environ.get("FACECVT_REAL_MODELS", PROJECT.parent / "shared" / "models"))
    if not models.is_dir():
        print(f"error: no folder {models}; set FACECVT_REAL_MODELS to where the real models lie", file=sys.stderr)
        return 2
    rows = []
    for model, target in conversions():
        if options.only in model.key or options.only in model.title:
            begin = time.perf_counter()
            rows.append(convert_one(model, target, models))
            print(f"{rows[-1].markdown} {time.perf_counter() - begin:.1f} s", file=sys.stderr, flush=True)
    summary = (
        f"{sum(row.passed for row in rows)} of {len(rows)} conversions agree with rel-RMSE <= {LARGEST_REL_RMSE:g} and "
        f"1 - cos <= {LARGEST_ONE_MINUS_COS:g}."
    )
    legend = (
        "Coverage: of the layers with weights / of all floating point values. Floor: what float32 itself costs there."
    )
    lines = [summary, legend, "", *HEADER, *(row.markdown for row in rows)]
    print("\n".join(lines))
    if not (options.print or options.only):
        fill_block("real-models", lines)
    return 0 if rows and all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
