"""Figures that tests measure on the way: told at the end of a session, kept in its JUnit XML.

A test tells a total, to which every test adds, or a worst, of which the greatest counts. In a report both are
properties of the test, "total: NAME" and "worst: NAME", so that they survive workers and ``--junitxml``. Only tests
that passed count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

TOTAL, WORST = "total: ", "worst: "
Told = tuple[str, str, str]  # test, property, value


@dataclass(frozen=True)
class MeasuredFigure:
    """What the tests of a session found together.

    Attributes:
        name: what was measured.
        value: the sum, or the greatest.
        times: how often it was told.
        where: name of the test that has the greatest, "" for a sum.
    """

    name: str
    value: float
    times: int
    where: str = ""

    def line(self) -> str:
        """For people."""
        how = f"the worst of {self.times}: {self.where}" if self.where else f"the sum of {self.times}"
        return f"{self.name}: {self.value:g} ({how})"


class FigureTeller:
    """What a test is given to tell figures.

    Args:
        record: keeps a property of the test.
    """

    def __init__(self, record: Callable[[str, object], None]) -> None:
        self._record = record

    def total(self, name: str, value: float) -> None:
        """Add to a sum."""
        self._record(TOTAL + name, repr(float(value)))

    def worst(self, name: str, value: float) -> None:
        """One of many values, of which the greatest counts."""
        self._record(WORST + name, repr(float(value)))


def summarised(told: Iterable[Told]) -> list[MeasuredFigure]:
    """Every figure once, by name."""
    totals: dict[str, list[float]] = {}
    greatest: dict[str, list[tuple[float, str]]] = {}
    for test, key, value in told:
        if key.startswith(TOTAL):
            totals.setdefault(key.removeprefix(TOTAL), []).append(float(value))
        elif key.startswith(WORST):
            greatest.setdefault(key.removeprefix(WORST), []).append((float(value), test))
    found = [MeasuredFigure(name, sum(values), len(values)) for name, values in totals.items()]
    for name, each in greatest.items():
        worst, where = max(each, key=lambda one: one[0])
        found.append(MeasuredFigure(name, worst, len(each), where))
    return sorted(found, key=lambda figure: figure.name)


def not_passed(path: str | Path) -> list[str]:
    """Module and name of the tests of a ``--junitxml`` that failed or were skipped."""
    return [
        f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name', '')}"
        for case in ElementTree.parse(path).getroot().iter("testcase")
        if not _passed(case)
    ]


def told_in_junit(path: str | Path) -> list[Told]:
    """What the tests of a ``--junitxml`` told that neither failed nor were skipped."""
    told = []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if _passed(case):
            for kept in case.iter("property"):
                told.append((case.get("name", ""), kept.get("name", ""), kept.get("value", "")))
    return told


def _passed(case: ElementTree.Element) -> bool:
    return all(case.find(outcome) is None for outcome in ("failure", "error", "skipped"))
