"""Figures that tests tell: summed, or the greatest of all; the same at the end of a session and in its JUnit XML."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import facecvt
from facecvt.parity_tests.measured_figures import (
    FigureTeller,
    MeasuredFigure,
    not_passed,
    summarised,
    told_in_junit,
)

TESTS = """
import pytest

@pytest.mark.parametrize("value", [0.25, 0.5, 0.125])
def test_it(value, figure):
    figure.total("tensors", 3)
    figure.worst("error", value)

def test_that_fails(figure):
    figure.worst("error", 9.0)
    assert False

def test_that_is_skipped(figure):
    figure.worst("error", 8.0)
    pytest.skip("not here")
"""
EXPECTED = [MeasuredFigure("error", 0.5, 3, "test_it[0.5]"), MeasuredFigure("tensors", 9.0, 3)]


def test_a_session_ends_with_its_figures(tmp_path: Path) -> None:
    file, report = tmp_path / "test_figures_in_here.py", tmp_path / "report.xml"
    file.write_text(TESTS)
    configuration = Path(facecvt.__path__[0]) / "pyproject.toml"
    command = [sys.executable, "-m", "pytest", "-c", str(configuration), "--rootdir", str(tmp_path), "-q"]
    command += ["-p", "no:cacheprovider", f"--junitxml={report}", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    first = next(place for place, line in enumerate(lines) if " figures " in line)
    assert lines[first + 1 : first + 3] == [
        "error: 0.5 (the worst of 3: test_it[0.5])",
        "tensors: 9 (the sum of 3)",
    ]
    assert summarised(told_in_junit(report)) == EXPECTED
    module = "test_figures_in_here"
    assert not_passed(report) == [f"{module}::test_that_fails", f"{module}::test_that_is_skipped"]


def test_numbers_come_back_as_they_are() -> None:
    told: list[tuple[str, object]] = []
    FigureTeller(lambda name, value: told.append((name, value))).worst("error", 1 / 3)
    FigureTeller(lambda name, value: told.append((name, value))).total("rows", 2)
    rows = [("test", name, str(value)) for name, value in told] + [("test", "another property", "x")]
    assert [(each.name, each.value) for each in summarised(rows)] == [("error", 1 / 3), ("rows", 2.0)]
