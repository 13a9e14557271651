"""The outputs and inner values of one run of a model, the inner values taken as they are asked for.

Where a runtime computes its inner values part by part, only what was computed and not yet asked for is held. The
outputs of all runs are then taken first: what computes them holds all weights in a form of its own, and is closed
before the inner values are computed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from facecvt.converters.graph import Graph, dims
from facecvt.parity_tests.memory import trim_memory
from facecvt.parity_tests.runtimes.runtime import Capture, NumpyArray, RunFailedError, Runtime

Feeds = Mapping[str, NumpyArray]
Outputs = dict[str, NumpyArray]


class Runs(Protocol):
    """Something that runs a model."""

    def run(self, inputs: Feeds, taps: Sequence[str] = ()) -> Capture:
        """Outputs and wanted values; raises RunFailedError."""


def outputs_first(model: Runs, runs: Iterable[Feeds], nbytes: int) -> list[Outputs | RunFailedError | None]:
    """Outputs of all runs, or why there are none, where the inner values are taken by themselves; else None of each.

    Args:
        model: what runs.
        runs: what is fed.
        nbytes: of the greatest run's inner values.
    """
    if not (isinstance(model, Runtime) and model.in_parts(nbytes)):
        return [None for _ in runs]
    found: list[Outputs | RunFailedError | None] = []
    for feeds in runs:
        try:
            found.append(model.run(feeds).outputs)
        except RunFailedError as error:
            found.append(error)
    model.release()
    return found


def inner_bytes(graph: Graph, names: Collection[str], batch: int) -> int:
    """Of float32 values of a graph, as far as their sizes are known.

    Args:
        graph: the canonical graph.
        names: of the values; what is not in the graph counts nothing.
        batch: taken for every size that is free.
    """
    values = (value for node in graph.body for value in node.outputs if value.name in names)
    sizes = (dims(value) or () for value in values)
    return sum(4 * math.prod(batch if dim is None else dim for dim in size) for size in sizes)


class InTurn:
    """One run.

    Args:
        model: what runs.
        feeds: its inputs.
        taps: the inner values that will be asked for, each as often as it will be.
        outputs: what :func:`outputs_first` gave for this run.

    Attributes:
        outputs: by name.

    Raises:
        RunFailedError: the model cannot be run on these inputs.
    """

    def __init__(
        self, model: Runs, feeds: Feeds, taps: Sequence[str], outputs: Outputs | RunFailedError | None
    ) -> None:
        if isinstance(outputs, RunFailedError):
            raise outputs
        self._uses = Counter(taps)
        self._held: dict[str, NumpyArray] = {}
        self._values: Iterator[tuple[str, NumpyArray]] = iter(())
        wanted = list(self._uses)
        if outputs is not None:
            assert isinstance(model, Runtime)
            trim_memory()
            self.outputs = outputs
            self._values = model.walk(feeds, wanted)
        else:
            capture = model.run(feeds, wanted)
            self.outputs, self._held = capture.outputs, capture.taps

    def tap(self, name: str) -> NumpyArray:
        """An inner value; it is dropped when it is asked for the last time.

        Raises:
            RunFailedError: it could not be computed.
        """
        while name not in self._held:
            found = next(self._values, None)
            if found is None:
                raise RunFailedError(f"the value {name} was not given")
            self._held[found[0]] = found[1]
        self._uses[name] -= 1
        return self._held[name] if self._uses[name] else self._held.pop(name)
