"""The reference side on one input: its float64 values, and what float32 costs at each of them, computed once.

Several models can be held against one reference on the same inputs (``facecvt selftest`` does). A :class:`Reference`
that is told to keep gives the values of an input that it has seen without evaluating anything again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from facecvt.converters.graph import NumpyArray
from facecvt.parity_tests.diff.model import Side
from facecvt.parity_tests.metrics import Metrics, compare
from facecvt.parity_tests.source import Oracle, open_oracle
from facecvt.parity_tests.verify import walk_together

Feeds = dict[str, NumpyArray]


@dataclass
class Walked:
    """One input's values.

    Attributes:
        values: float64 value of everything computed, in order.
        clean: float32 against float64, of the same names.
        outputs, clean_outputs: the same of the outputs.
    """

    values: dict[str, NumpyArray] = field(default_factory=dict)
    clean: dict[str, Metrics] = field(default_factory=dict)
    outputs: dict[str, NumpyArray] = field(default_factory=dict)
    clean_outputs: dict[str, Metrics] = field(default_factory=dict)


class Reference:
    """The oracles of a side in float64 and float32.

    Args:
        side: the model.
        keep: keep the values of every input; of a deep net on large inputs that is a lot of memory.

    Raises:
        ConversionError: no oracle can compute it.
    """

    def __init__(self, side: Side, *, keep: bool = False) -> None:
        self.exact: Oracle = open_oracle(side, np.float64)
        self.clean: Oracle = open_oracle(side, np.float32)
        self._kept: dict[bytes, Walked] | None = {} if keep else None
        self._own: dict[tuple[bytes, frozenset[str]], Mapping[str, Metrics]] = {}

    def walk(self, fed: Feeds, on_value: Callable[[str, NumpyArray, Metrics], None]) -> Walked:
        """Every value of one input, in the order of computation.

        Args:
            fed: array of each input.
            on_value: called with a value's name, its float64 array, and the float32 array's metrics against it.

        Returns:
            The outputs; the values too where they are kept.
        """
        mark = mark_of(fed)
        if self._kept is not None and mark in self._kept:
            walked = self._kept[mark]
            for name, value in walked.values.items():
                on_value(name, value, walked.clean[name])
            return walked
        walked = Walked()

        def measure(name: str, value: NumpyArray, single: NumpyArray | None) -> None:
            if single is None:
                raise RuntimeError(f"{name} was not computed in float32")
            metrics = compare(value, single)
            if self._kept is not None:
                walked.values[name], walked.clean[name] = value, metrics
            on_value(name, value, metrics)

        walked.outputs, singles = walk_together(self.exact, self.clean, fed, measure)
        walked.clean_outputs = {name: compare(value, singles[name]) for name, value in walked.outputs.items()}
        if self._kept is not None:
            self._kept[mark] = walked
        return walked

    def own_errors(self, fed: Feeds, between: Iterable[str]) -> Mapping[str, Metrics] | None:
        """Own error in float32 of each layer between these values on one input, where it was kept."""
        return self._own.get((mark_of(fed), frozenset(between))) if self._own else None

    def keep_own_errors(self, fed: Feeds, between: Iterable[str], found: Mapping[str, Metrics]) -> None:
        """Keep what :meth:`own_errors` gives, where values are kept."""
        if self._kept is not None:
            self._own[mark_of(fed), frozenset(between)] = found

    def values(self, fed: Feeds) -> Any:
        """Pairs of name and float64 value of everything computed on one input."""
        mark = mark_of(fed)
        if self._kept is not None and mark in self._kept:
            return self._kept[mark].values.items()
        return self.exact.walk(fed)


def mark_of(fed: Feeds) -> bytes:
    """What tells one input from another."""
    mark = blake2b()
    for name, array in fed.items():
        mark.update(f"{name} {array.dtype} {array.shape} ".encode())
        mark.update(np.ascontiguousarray(array).tobytes())
    return mark.digest()
