"""One run of a source's oracle for all the targets that were made from it.

The oracle costs most of a verification, and several targets of one source are held against the same numbers. A
:class:`RecordedSource` gives each verification an oracle that computes a walk once and then repeats it: the same feeds
give the same values. What was recorded is kept until the record itself goes, all activations in float64: 8 bytes a
number of every layer, for every batch and kind of input.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from facecvt.parity_tests.source import Layer, NumpyArray, Oracle, Walk, open_oracle

if TYPE_CHECKING:
    from facecvt.converters.conversion import Conversion

Recording = tuple[list[tuple[str, NumpyArray]], dict[str, NumpyArray]]


class RecordedSource:
    """The oracles of one source model, each computed once for each feed.

    Args:
        open_source: makes the oracle of a conversion's source, in a dtype.
    """

    def __init__(self, open_source: Callable[[Conversion, Any], Oracle] = open_oracle) -> None:
        self._open_source = open_source
        self._oracles: dict[str, RecordedOracle] = {}
        self._files: dict[str, tuple[Any, ...]] = {}

    def open(self, conversion: Conversion, dtype: Any) -> Oracle:
        """The oracle of a conversion's source; the one that is there for every further conversion of these files.

        Args:
            conversion: all that are given to one record have the same source files.
            dtype: numpy.float64, or numpy.float32.

        Raises:
            ValueError: a conversion of other files.
        """
        name = np.dtype(dtype).name
        files = (conversion.source_framework, *conversion.source_files)
        if self._files.setdefault(name, files) != files:
            raise ValueError(f"a record of {self._files[name]} is asked for {files}")
        if name not in self._oracles:
            self._oracles[name] = RecordedOracle(self._open_source(conversion, dtype))
        return self._oracles[name]


class RecordedOracle:
    """An oracle that computes each walk once.

    Args:
        oracle: what computes.
    """

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self._recordings: dict[str, Recording] = {}
        self.computed = 0  # walks that were computed, not repeated

    @property
    def input_names(self) -> list[str]:
        return self._oracle.input_names

    @property
    def output_names(self) -> list[str]:
        return self._oracle.output_names

    @property
    def layers(self) -> list[Layer]:
        return self._oracle.layers

    def walk(self, feeds: Mapping[str, NumpyArray]) -> Walk:
        """See :class:`facecvt.parity_tests.source.Oracle`; a walk that was left early is computed again."""
        key = digest_of(feeds)
        if key in self._recordings:
            values, outputs = self._recordings[key]
            yield from values
            return outputs
        self.computed += 1
        recorded: list[tuple[str, NumpyArray]] = []
        outputs = yield from keeping(self._oracle.walk(feeds), recorded)
        self._recordings[key] = (recorded, outputs)
        return outputs


def keeping(walk: Walk, recorded: list[tuple[str, NumpyArray]]) -> Walk:
    """The same walk, its values kept in a list."""
    while True:
        try:
            value = next(walk)
        except StopIteration as end:
            outputs: dict[str, NumpyArray] = end.value
            return outputs
        recorded.append(value)
        yield value


def digest_of(feeds: Mapping[str, NumpyArray]) -> str:
    """What tells one set of feeds from another: names, types, shapes and every byte."""
    found = hashlib.sha256()
    for name in sorted(feeds):
        array = np.ascontiguousarray(feeds[name])
        found.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        found.update(array.tobytes())
    return found.hexdigest()
