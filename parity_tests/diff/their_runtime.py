"""What runs B: B's own framework where it is here, so that the numbers are those that B's users get.

    ONNX      ONNX Runtime on the file
    MXNet     MXNet on symbol and weights
    Paddle    Paddle on program and weights, in a process of its own
    PyTorch   PyTorch, in float32: the architecture's net with the state's weights; or the exported program, of which
              PyTorch computes the outputs and facecvt's oracle the inner values

Where MXNet or Paddle is not installed, or cannot open the files, facecvt's oracle of that format computes B in float32
instead, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from facecvt.converters.errors import FacecvtError, FrameworkMissingError
from facecvt.converters.formats.model_files import MxnetFiles, PaddleFiles
from facecvt.converters.formats.onnx_skeleton import read_skeleton
from facecvt.converters.graph import NumpyArray, name_of
from facecvt.parity_tests.diff.model import Side
from facecvt.parity_tests.environment import FRAMEWORK_PACKAGES, installed_version
from facecvt.parity_tests.runtimes.in_turn import Runs
from facecvt.parity_tests.runtimes.runtime import Capture, RunFailedError, Runtime
from facecvt.parity_tests.source import Oracle, open_oracle

ORACLE = "facecvt's oracle in float32"


class TheirOracle:
    """An oracle behind the contract of a runtime.

    Args:
        oracle: of B, in float32.
    """

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle

    def run(self, inputs: Mapping[str, NumpyArray], taps: Sequence[str] = ()) -> Capture:
        """Outputs and wanted values.

        Raises:
            RunFailedError: it cannot be evaluated on these inputs.
        """
        wanted, found = set(taps), {}
        walk = self.oracle.walk(inputs)
        try:
            while True:
                name, value = next(walk)
                if name in wanted:
                    found[name] = value
        except StopIteration as end:
            return Capture(end.value, found)
        except FacecvtError as error:
            raise RunFailedError(f"B cannot be evaluated: {error}") from error


class TheirRuntime:
    """Which values of B can be shown, and who runs it.

    Args:
        side: B.

    Attributes:
        shown: names of B's values that can be taken.
        output_names: of B's outputs, in order.
        ran_by: what ran it, with its version; set when it is opened.
        warnings: why it was not B's own framework; and what keeps B from running, where that is known.

    Raises:
        ConversionError: B needs an oracle, and none can compute it.
    """

    def __init__(self, side: Side) -> None:
        self.side = side
        self.warnings = [f"in B sizes do not fit each other: {misfit}" for misfit in side.misfits]
        self._oracle: Oracle | None = None
        if side.source_framework == "onnx":
            self.shown = onnx_values(side.files[0])
            self.output_names = [name_of(value) for value in side.graph.outputs]
            self.ran_by = described("onnxruntime")
        else:
            self._oracle = open_oracle(side, np.float32)
            self.shown = {layer.value for layer in self._oracle.layers}
            self.output_names = list(self._oracle.output_names)
            self.ran_by = described("torch") if side.source_framework == "torch" else ORACLE

    @contextmanager
    def opened(self) -> Iterator[Runs]:
        """B, ready to run, for as long as the block lasts.

        Raises:
            FrameworkMissingError: ONNX Runtime is not installed.
            RunFailedError: ONNX Runtime cannot open B.
        """
        runtime = self._own_runtime()
        if self._oracle is None:
            assert runtime is not None
            with runtime:
                yield runtime
            return
        if runtime is not None:
            try:
                runtime.__enter__()
            except (FrameworkMissingError, RunFailedError) as error:
                self.warnings.append(f"B was run by {ORACLE}, not by its own framework: {error}")
            else:
                self.ran_by = described(runtime.framework)
                try:
                    yield _Renamed(runtime, self.output_names)
                finally:
                    runtime.__exit__(None, None, None)
                return
        yield TheirOracle(self._oracle)

    def _own_runtime(self) -> Runtime | None:
        if self.side.runtime is not None:
            return self.side.runtime()
        files, inputs = self.side.located, [name_of(value) for value in self.side.graph.inputs]
        if self.side.source_framework == "onnx":
            from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime

            return OrtRuntime(self.side.files[0])
        if isinstance(files, MxnetFiles):
            from facecvt.parity_tests.runtimes.runtime_mxnet import MxnetRuntime

            return MxnetRuntime(files.symbol, files.params, inputs)
        if isinstance(files, PaddleFiles) and files.program is not None and files.layout != "pdparams":
            from facecvt.parity_tests.runtimes.runtime_paddle import PaddleRuntime

            return PaddleRuntime(files.program, files.weights)
        return None


class _Renamed:
    """A runtime whose outputs bear the names that B's record gives them; they correspond by position."""

    def __init__(self, runtime: Runtime, names: Sequence[str]) -> None:
        self._runtime, self._names = runtime, names

    def run(self, inputs: Mapping[str, NumpyArray], taps: Sequence[str] = ()) -> Capture:
        """See :meth:`Runtime.run`."""
        capture = self._runtime.run(inputs, taps)
        if len(capture.outputs) != len(self._names):
            raise RunFailedError(
                f"{self._runtime.model} gives {len(capture.outputs)} output(s) in {self._runtime.framework}, "
                f"and {len(self._names)} are expected: {list(self._names)}"
            )
        return Capture(dict(zip(self._names, capture.outputs.values(), strict=True)), capture.taps)


def described(framework: str) -> str:
    """A framework's name with its version."""
    package = FRAMEWORK_PACKAGES.get(framework, framework)
    return f"{framework} {installed_version(package) or ''}".strip()


def onnx_values(path: Any) -> set[str]:
    """Names of everything that an ONNX file computes."""
    import onnx

    skeleton = read_skeleton(path)
    model = onnx.load(str(path), load_external_data=False) if skeleton is None else skeleton.proto()
    return {name for node in model.graph.node for name in node.output if name}
