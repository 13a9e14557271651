"""The figures of the parity suite beside their goals, with the command that prints each; fills README.md.

    facecvt parity --out FOLDER
    facecvt selftest --json > FOLDER/selftest.json
    cd parity_tests/suite; pytest test_detections.py test_chains.py test_training.py --junitxml FOLDER/suites.xml
    python benchmarks/check_cost.py --readme > FOLDER/cost.md
    python benchmarks/parity_figures.py FOLDER [--readme]

docs/directions.json and docs/real-models.md are read besides. Nothing is measured here: a figure stands in one of these
files because its command prints it; what a suite did not run says so. ``--readme`` takes a whole run only: every
architecture, every input. Exit status 1 where a goal is not reached.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import directions
import real_models
from readme_block import fill_block

from facecvt.parity_tests.measured_figures import MeasuredFigure, not_passed, summarised, told_in_junit
from facecvt.parity_tests.parity_report.figures import figures_of
from facecvt.parity_tests.parity_report.result import ParityResult
from facecvt.parity_tests.parity_report.result_json import read_json
from facecvt.parity_tests.selftest.result import LEAST_DETECTED, LEAST_FAULTS, LEAST_LOCALISED, LEAST_NAMED
from facecvt.parity_tests.support.detections import PHOTOS, REAL_DETECTORS, REFERENCE_DETECTORS
from facecvt.parity_tests.tolerance import K
from facecvt.reference_models import names

PARITY, SELFTEST = "facecvt parity", "facecvt selftest"
DETECTIONS, CHAINS, TRAINING = "test_detections", "test_chains", "test_training"
NOT_RUN = "not run"
FILES = ("parity.json", "selftest.json", "suites.xml", "cost.md")
MOST_MINUTES, MOST_GIGABYTES = 30, 4  # of a whole run of facecvt parity
MOST_SECONDS, MOST_RATIO = 60, 2  # of the check of every layer, which check_cost.py fails beyond


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    figure: str
    goal: str
    reached: str
    command: str
    met: bool

    def markdown(self) -> str:
        reached = self.reached if self.met else f"**{self.reached}**"
        return f"| {self.figure} | {self.goal} | {reached} | `{self.command}` |"


def parity_rows(result: ParityResult) -> list[Row]:
    """What ``facecvt parity`` ends with, and what it took."""
    minutes, gigabytes = result.run["seconds"] / 60, result.run["peak_memory_mb"] / 1000
    cores = result.environment["cores"]
    return [
        *(
            Row(each.name, each.goal, each.reached + (f" ({each.where})" if each.where else ""), PARITY, each.met)
            for each in figures_of(result)
        ),
        Row("time of that run", f"<= {MOST_MINUTES:g} min", f"{minutes:.1f} min on {cores} cores", PARITY,
            minutes <= MOST_MINUTES),
        Row("peak memory of all its processes, libraries once", f"<= {MOST_GIGABYTES:g} GB", f"{gigabytes:.1f} GB",
            PARITY, gigabytes <= MOST_GIGABYTES),
    ]  # fmt: skip


def conversion_rows() -> list[Row]:
    """What the tables of conversions sum up."""
    every = directions.load()
    real = real_models.load()
    wanted = len(directions.COLUMNS) * len(names())
    return [
        Row("every architecture in every direction", f"all; <= {K:g} floors", directions.summary(every).rstrip("."),
            "make directions-table", len(every) == wanted and all(each.agrees for each in every.values())),
        Row("every real model in every direction", f"all; <= {K:g} floors", real_models.summary(real).rstrip("."),
            "make real-models-table", bool(real) and all(row.passed for row in real.values())),
    ]  # fmt: skip


def selftest_rows(document: dict[str, Any]) -> list[Row]:
    """What ``facecvt selftest`` counts."""
    faults, variants, alarms = (document[key] for key in ("faults", "clean_variants", "false_alarms"))
    different = document["different_faults"]
    rows = [
        Row("harmless variants that raise an alarm", "0", f"{alarms} of {variants}", SELFTEST,
            variants > 0 and not alarms),
        Row("different faults put in", f">= {LEAST_FAULTS}", f"{different}; {faults} over all nets", SELFTEST,
            different >= LEAST_FAULTS),
    ]  # fmt: skip
    for what, least in (("detected", LEAST_DETECTED), ("localised", LEAST_LOCALISED), ("named", LEAST_NAMED)):
        count = document[what]
        share = count / faults if faults else 0.0
        rows.append(
            Row(f"faults {what}", f">= {least:.0%}", f"{share:.1%} ({count} of {faults})", SELFTEST, share >= least)
        )
    return rows


def suite_rows(figures: Sequence[MeasuredFigure], others: Sequence[str]) -> list[Row]:
    """What the suites told.

    Args:
        figures: what was measured.
        others: tests that did not pass, module first.
    """
    found = {each.name: each for each in figures}
    boxes = found.get("boxes that are the same after suppression")
    apart = found.get("corners of the same box apart, pixels")
    around = found.get("tensors byte-identical once around")
    gradients = found.get("gradients of a training step in float32, x floor")
    real = sum(len(model.targets) for model in real_models.REAL_MODELS if model.key in REAL_DETECTORS)
    wanted = len(PHOTOS) * (real + len(directions.COLUMNS) * len(REFERENCE_DETECTORS))
    return [
        suite_row("detectors after suppression", "the same boxes", DETECTIONS, others,
            f"{boxes.value:.0f} boxes in {boxes.times} of {wanted} runs, corners at most "
            f"{apart.value:.1e} pixels apart" if boxes and apart else "",
            boxes is not None and boxes.times == wanted),
        suite_row("a state through MXNet, Paddle, ONNX and back to PyTorch", "byte-identical", CHAINS, others,
            f"{around.value:.0f} tensors, {around.times} of {len(names())} architectures" if around else "",
            around is not None and around.times == len(names())),
        suite_row("gradients of a training step, x floor", f"<= {K:g}", TRAINING, others,
            f"{gradients.value:.2f}, the worst of {gradients.times} nets and heads" if gradients else "",
            gradients is not None and gradients.value <= K),
    ]  # fmt: skip


def suite_row(figure: str, goal: str, suite: str, others: Sequence[str], reached: str, met: bool) -> Row:
    """A row of one suite; its tests that did not pass are told."""
    lost = sum(name.startswith(f"{suite}::") for name in others)
    told = "; ".join(part for part in (reached or NOT_RUN, f"{lost} tests did not pass" if lost else "") if part)
    return Row(figure, goal, told, f"pytest parity_tests/suite/{suite}.py", met and not lost)


def cost_rows(printed: str) -> list[Row]:
    """What check_cost.py prints of ``facecvt diff``.

    Args:
        printed: its table.
    """
    lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in printed.splitlines()]
    name, *titles = lines[0]
    cells = next((dict(zip(titles, line[1:], strict=True)) for line in lines if line[0].startswith("facecvt diff")), {})
    wall, ratio = cells.get("wall time", ""), cells.get("ratio", "")
    command = "python benchmarks/check_cost.py"
    return [
        Row(f"per-layer check of {name} at batch 4", f"<= {MOST_SECONDS:g} s",
            wall or NOT_RUN, command, bool(wall) and float(wall.removesuffix(" s")) <= MOST_SECONDS),
        Row("peak memory over model + largest activation", f"<= {MOST_RATIO:g}",
            f"{ratio} ({cells['peak']} over {cells['model + largest activation']})" if ratio else NOT_RUN,
            command, bool(ratio) and float(ratio) <= MOST_RATIO),
    ]  # fmt: skip


def table(rows: Sequence[Row]) -> list[str]:
    """The lines of README.md."""
    return ["| figure | goal | reached | command |", "|---|---|---|---|", *(row.markdown() for row in rows)]


def is_whole(result: ParityResult) -> bool:
    """Whether a run took every architecture, implementation and input."""
    every = {found.name for found in result.architectures} == set(names())
    return every and not result.settings.quick and len(result.settings.frameworks) == 4


def main() -> int:
    """Print the table, fill README.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help=f"holds {', '.join(FILES)}")
    parser.add_argument("--readme", action="store_true", help="fill README.md as well")
    options = parser.parse_args()
    missing = [name for name in FILES if not (options.folder / name).is_file()]
    if missing:
        print(f"error: {options.folder} holds no {', '.join(missing)}; --help says what writes them", file=sys.stderr)
        return 2
    result = read_json(options.folder)
    if options.readme and not is_whole(result):
        print("error: README.md takes a `facecvt parity` of all architectures, without --quick", file=sys.stderr)
        return 2
    suites = options.folder / "suites.xml"
    rows = [
        *parity_rows(result),
        *conversion_rows(),
        *suite_rows(summarised(told_in_junit(suites)), not_passed(suites)),
        *selftest_rows(json.loads((options.folder / "selftest.json").read_text(encoding="utf-8"))),
        *cost_rows((options.folder / "cost.md").read_text(encoding="utf-8")),
    ]
    print("\n".join(table(rows)))
    if options.readme:
        fill_block("figures", table(rows))
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
