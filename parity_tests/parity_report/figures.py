"""What a result reached beside what is to be reached, over all its architectures; every report shows it.

Against float64 means every output of every implementation against the oracle: over all inputs in floors, over all but
the extremes in numbers. A figure that nothing was measured of is not reached, and one that is infinite is the worst.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from facecvt.parity_tests.judge import LEAST_PARAMETRIC, LEAST_TAPS
from facecvt.parity_tests.parity_report.measured import ORACLE
from facecvt.parity_tests.parity_report.result import ParityResult

NOTHING = "nothing measured"
HEAD = ("figure", "goal", "reached", "worst at")
Measure = tuple[float | None, str]  # a figure, None where infinite, and where it was found


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: what is measured.
        goal: what is to be reached.
        reached: the worst of all, or a count.
        where: what has the worst; "" where nothing is worse than another.
        met: whether the goal is reached.
    """

    name: str
    goal: str
    reached: str
    where: str
    met: bool

    def row(self) -> tuple[str, str, str, str]:
        """Cells in the order of HEAD; what is beyond its goal says so."""
        return self.name, self.goal, self.reached if self.met else f"{self.reached} (not reached)", self.where


def figures_of(result: ParityResult) -> tuple[Figure, ...]:
    """Every figure of a result, in the order of the reports."""
    found, limits = result.architectures, result.limits
    pairs = [(architecture, pair) for architecture in found for pair in architecture.pairs]
    outputs = [
        (output, f"{architecture.name}, {pair.b}, {output.layer}")
        for architecture, pair in pairs
        if pair.a == ORACLE
        for output in pair.outputs
    ]
    compared = sum(pair.compared for _, pair in pairs)
    beyond = [(len(pair.differ), f"{architecture.name}, {pair.key}") for architecture, pair in pairs if pair.differ]
    weights = [
        (side, f"{architecture.name}, {side.side}") for architecture in found for side in architecture.weights_of
    ]
    covered = [(side, f"{architecture.name}, {side.side}") for architecture in found for side in architecture.coverage]
    checks = [
        (check.verdict == "agree", f"{architecture.name}, {check.side}, {check.check}")
        for architecture in found
        for check in architecture.checks
    ]
    return (
        _counted("architectures that agree", [(one.verdict == "agree", one.name) for one in found]),
        _greatest("outputs against float64, rel-RMSE", limits.output_rel_rmse, ".1e",
                  [(output.rel_rmse, where) for output, where in outputs]),
        _greatest("outputs against float64, 1 - cos", limits.output_one_minus_cos, ".1e",
                  [(output.one_minus_cos, where) for output, where in outputs]),
        _greatest("outputs against float64, x floor", limits.k, ".1f",
                  [(output.ratio, where) for output, where in outputs]),
        _greatest("any layer of any two implementations, x floor", limits.k, ".1f",
                  [(pair.worst_ratio, f"{architecture.name}, {pair.key}, {pair.worst_layer}")
                   for architecture, pair in pairs if pair.compared]),
        Figure("pairs of layers beyond their tolerance, as a wrong pair is", "0",
               f"{sum(count for count, _ in beyond)} of {compared}" if compared else NOTHING,
               beyond[0][1] if beyond else "", bool(compared) and not beyond),
        _least("layers with weights that were compared", LEAST_PARAMETRIC,
               [(side.parametric, where) for side, where in covered]),
        _least("all layers that were compared", LEAST_TAPS, [(side.layers, where) for side, where in covered]),
        _summed("tensors bit-identical, read back", [(side.identical, side.tensors, where) for side, where in weights]),
        _counted("checks of one implementation by itself", checks),
    )  # fmt: skip


def _greatest(name: str, limit: float, form: str, measured: Iterable[Measure]) -> Figure:
    found = [(math.inf if value is None else value, where) for value, where in measured]
    goal = f"<= {limit:g}"
    if not found:
        return Figure(name, goal, NOTHING, "", False)
    worst, where = max(found, key=lambda one: one[0])
    reached = "beyond measure" if math.isinf(worst) else f"{max(worst, 0.0):{form}}"
    return Figure(name, goal, reached, where, worst <= limit)


def _least(name: str, limit: float, measured: Iterable[tuple[float, str]]) -> Figure:
    found, goal = list(measured), f">= {limit:.0%}"
    if not found:
        return Figure(name, goal, NOTHING, "", False)
    least, where = min(found, key=lambda one: one[0])
    return Figure(name, goal, f"{math.floor(1000 * least) / 10:g}%", "" if least == 1 else where, least >= limit)


def _summed(name: str, parts: Iterable[tuple[int, int, str]]) -> Figure:
    found = list(parts)
    good, every = sum(part[0] for part in found), sum(part[1] for part in found)
    if not every:
        return Figure(name, "all", NOTHING, "", False)
    short = [where for some, total, where in found if some < total]
    return Figure(name, "all", f"{good} of {every}", short[0] if short else "", good == every)


def _counted(name: str, found: Iterable[tuple[bool, str]]) -> Figure:
    return _summed(name, ((int(good), 1, where) for good, where in found))
