"""Other ways of running one ONNX file, none of which may change what it computes beyond rounding.

threads     another number than the comparison takes by default, so that sums are split elsewhere
unchanged   ONNX Runtime leaves the graph as it is written: no layers fused, other kernels
row by row  a batch of N as N batches of 1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from facecvt.parity_tests.runtimes.runtime import Capture, NumpyArray, Runtime
from facecvt.parity_tests.runtimes.runtime_ort import THREADS, OrtRuntime


def with_other_threads(path: Path) -> Runtime:
    """On two threads where one is the default, else on one."""
    return OrtRuntime(path, threads=2 if THREADS == 1 else 1)


def without_optimisation(path: Path) -> Runtime:
    """Exactly the operators that are written."""
    return OrtRuntime(path, optimised=False)


class RowByRow(Runtime):
    """An ONNX file that is given one sample at a time; what the samples give is put together along the first axis.

    Args:
        path: the ``.onnx`` file; its batch is free.
    """

    framework: ClassVar[str] = OrtRuntime.framework

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._one = OrtRuntime(path)

    def _open(self) -> None:
        self._one.__enter__()
        self.input_names, self.output_names = self._one.input_names, self._one.output_names

    def _run_impl(self, inputs: Mapping[str, NumpyArray], taps: Sequence[str]) -> Capture:
        rows = range(max(len(array) for array in inputs.values()))
        runs = [self._one.run({name: array[row : row + 1] for name, array in inputs.items()}, taps) for row in rows]
        return Capture(together([run.outputs for run in runs]), together([run.taps for run in runs]))

    def _close(self) -> None:
        self._one.__exit__(None, None, None)


def together(runs: Sequence[Mapping[str, NumpyArray]]) -> dict[str, NumpyArray]:
    """Values of several runs, one behind the other; what is the same whatever is fed, as priors are, has no rows."""
    return {name: joined([run[name] for run in runs]) for name in runs[0]}


def joined(arrays: Sequence[NumpyArray]) -> NumpyArray:
    """One array of those of several runs."""
    first, *others = arrays
    if others and all(np.array_equal(first, other) for other in others):
        return first
    return np.concatenate(arrays)
