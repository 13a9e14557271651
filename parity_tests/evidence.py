"""What the runs of a verification gave, small enough to keep: figures of every value, rows of the outputs.

Nothing is judged here; :mod:`facecvt.parity_tests.judge` does that once all runs are done, because a tap's floor is
the greatest of its clean runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facecvt.parity_tests.inputs import sample_numbers
from facecvt.parity_tests.metrics import Metrics, compare
from facecvt.parity_tests.tolerance import Gate, floor_of_run

NumpyArray = np.ndarray[Any, np.dtype[Any]]

# Rows of the float64 oracle that differ by less are the same row: only the order of summation may differ.
SAME_ROW = 1e-12


@dataclass(frozen=True)
class Sample:
    """The figures of one value in one run."""

    kind: str
    batch: int
    metrics: Metrics


@dataclass
class ValueEvidence:
    """The figures of one value over all runs.

    Attributes:
        samples: one for each run.
        clean: float32 against float64 in the oracle, one for each clean run.
        exact: the source's values are not floating point numbers, so they must be equal.
    """

    samples: list[Sample] = field(default_factory=list)
    clean: list[Sample] = field(default_factory=list)
    exact: bool = False

    def add(self, kind: str, batch: int, expected: NumpyArray, actual: NumpyArray) -> None:
        """Measure one run."""
        self.exact = self.exact or expected.dtype.kind != "f"
        self.samples.append(Sample(kind, batch, compare(expected, actual)))

    def add_clean(self, kind: str, batch: int, expected: NumpyArray, single: NumpyArray) -> None:
        """Measure what float32 costs in one run."""
        self.clean.append(Sample(kind, batch, compare(expected, single)))

    def floor_of(self, sample: Sample, floor: float) -> float:
        """Floor of one run, given that of the value."""
        scales = [clean.metrics.scale for clean in self.clean if clean.kind == sample.kind]
        return floor_of_run(floor, max(scales, default=0.0), sample.metrics.scale)

    def worst(self, floor: float) -> Sample | None:
        """The run that is furthest beyond its floor."""

        def ratio(sample: Sample) -> tuple[float, float]:
            return Gate(sample.metrics.rel_rmse, self.floor_of(sample, floor)).ratio, sample.metrics.rel_rmse

        return max(self.samples, key=ratio, default=None)

    @property
    def numbers_a_sample(self) -> float:
        """Elements of the value for one sample of the batch."""
        return min((sample.metrics.elements / sample.batch for sample in self.samples), default=0.0)


@dataclass
class Spread:
    """Whether an array takes more than one value over all runs."""

    least: float = np.inf
    greatest: float = -np.inf
    elements: int = 0

    def add(self, array: NumpyArray) -> None:
        if array.size:
            self.least = min(self.least, float(array.min()))
            self.greatest = max(self.greatest, float(array.max()))
            self.elements += array.size

    @property
    def is_constant(self) -> bool:
        """One value, everywhere and always; also where there were no elements at all."""
        return not self.least < self.greatest


@dataclass
class OutputEvidence:
    """One output over all runs.

    Attributes:
        figures: its errors.
        expected: spread of the oracle's values.
        actual: spread of the target's values.
        depends_on_input: whether two different inputs of one shape ever gave different oracle values.
        inputs_compared: how many pairs of different inputs of one shape there were.
        row_errors: rms between the target's rows for one sample in two batches, where the oracle's rows are equal.
    """

    figures: ValueEvidence = field(default_factory=ValueEvidence)
    expected: Spread = field(default_factory=Spread)
    actual: Spread = field(default_factory=Spread)
    depends_on_input: bool = False
    inputs_compared: int = 0
    row_errors: list[float] = field(default_factory=list)
    _seen: dict[Any, NumpyArray] = field(default_factory=dict)
    _rows: dict[Any, tuple[NumpyArray, NumpyArray]] = field(default_factory=dict)

    def add(self, kind: str, batch: int, expected: NumpyArray, actual: NumpyArray, shapes: tuple[Any, ...]) -> None:
        """Take in one run.

        Args:
            kind, batch: of the run.
            expected: the oracle's output.
            actual: the target's output.
            shapes: shapes of what was fed, without the batch axis: rows are only compared at equal sizes.
        """
        self.figures.add(kind, batch, expected, actual)
        self.expected.add(expected)
        self.actual.add(actual)
        other = self._seen.setdefault(batch, expected)
        if other is not expected:
            self.inputs_compared += 1
            self.depends_on_input |= not np.array_equal(other, expected)
        if expected.ndim and expected.shape == actual.shape and expected.shape[0] == batch:
            self._add_rows(kind, batch, expected, actual, shapes)

    def _add_rows(
        self, kind: str, batch: int, expected: NumpyArray, actual: NumpyArray, shapes: tuple[Any, ...]
    ) -> None:
        for row, number in enumerate(sample_numbers(batch)):
            key = (kind, number, shapes)
            if key not in self._rows:
                self._rows[key] = (expected[row], actual[row])
                continue
            ours, theirs = self._rows[key]
            if compare(ours, expected[row]).rel_rmse <= SAME_ROW:
                difference = np.asarray(theirs, np.float64) - actual[row]
                self.row_errors.append(float(np.sqrt(np.mean(difference * difference))) if difference.size else 0.0)


@dataclass
class Evidence:
    """Everything that the runs gave.

    Attributes:
        batches: batch sizes, in order; ``kinds`` likewise.
        values: figures by source value name, for compared values.
        floating: names of the source's values that are floating point numbers.
        outputs: by output number.
        failures: runs that the target refused, as messages.
        warnings: what the user should know.
    """

    batches: tuple[int, ...]
    kinds: tuple[str, ...]
    values: dict[str, ValueEvidence] = field(default_factory=dict)
    floating: set[str] = field(default_factory=set)
    outputs: dict[int, OutputEvidence] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def value(self, name: str) -> ValueEvidence:
        return self.values.setdefault(name, ValueEvidence())

    def output(self, position: int) -> OutputEvidence:
        return self.outputs.setdefault(position, OutputEvidence())


def shapes_without_batch(feeds: Mapping[str, NumpyArray]) -> tuple[Any, ...]:
    """Shapes of what is fed, one for each input, without the first axis."""
    return tuple(array.shape[1:] for array in feeds.values())
