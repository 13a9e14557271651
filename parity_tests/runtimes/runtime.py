"""The contract of every runtime: open a model as its users would, feed it, take outputs and inner values.

    with OrtRuntime(path) as runtime:
        capture = runtime.run({"data": array}, taps=["conv0_output"])
        capture.outputs["fc1_output"], capture.taps["conv0_output"]

Two rules hold for all of them. The outputs come from the model exactly as it is deployed, with the runtime's default
settings: whatever is done to reach inner values is done to a second instance, because looking inside switches off the
very optimisations that a user will run with. And every array that is returned is an array of its own.

A runtime overrides :meth:`Runtime._open`, :meth:`Runtime._run_impl` and, where it holds something,
:meth:`Runtime._close`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar

import numpy as np

from facecvt.converters.errors import FacecvtError, UsageError

NumpyArray = np.ndarray[Any, np.dtype[Any]]


class RunFailedError(FacecvtError):
    """The framework cannot open or run the model; the message names the runtime, the model and the inputs' shapes."""


@dataclass(frozen=True)
class Capture:
    """What one run gave.

    Attributes:
        outputs: the model's outputs by name, in the model's order.
        taps: inner values by tap, for exactly the taps that were asked for.
    """

    outputs: dict[str, NumpyArray]
    taps: dict[str, NumpyArray] = field(default_factory=dict)


class Runtime(ABC):
    """One model, opened by one framework. A context manager; nothing is imported or loaded before it is entered.

    Attributes:
        framework: import name of the framework.
        input_names: names under which :meth:`run` is fed, in the model's order; set once the runtime is entered.
        output_names: names of the outputs, in the model's order; set once the runtime is entered.
    """

    framework: ClassVar[str]

    def __init__(self, model: str) -> None:
        self.model = model
        self.input_names: list[str] = []
        self.output_names: list[str] = []
        self._is_open = False

    def __enter__(self) -> Runtime:
        """Import the framework and load the model.

        Raises:
            FrameworkMissingError: the framework is not installed; names the pip command.
            RunFailedError: the framework refuses the model.
        """
        try:
            self._open()
        except FacecvtError:
            self._close()
            raise
        except Exception as error:  # whatever a framework raises, the user is told which model it was
            self._close()
            raise RunFailedError(f"{self.framework} cannot open {self.model}: {first_line(error)}") from error
        self._is_open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        self._close()

    def run(self, inputs: Mapping[str, NumpyArray], taps: Sequence[str] = ()) -> Capture:
        """Run the model once.

        Args:
            inputs: one array for each input, by name, in the dtype that the model expects.
            taps: inner values that are wanted as well, in the runtime's own spelling.

        Returns:
            Outputs and taps; every array belongs to the caller.

        Raises:
            UsageError: the runtime is not entered, or an input is missing or unknown.
            RunFailedError: the framework refuses these inputs, or a tap does not exist.
        """
        self._check(inputs)
        wanted = list(dict.fromkeys(taps))
        try:
            capture = self._run_impl(inputs, wanted)
        except FacecvtError:
            raise
        except Exception as error:
            raise self._refused(inputs, error) from error
        lost = [tap for tap in wanted if tap not in capture.taps]
        if lost:
            raise RunFailedError(f"{self.framework} gave no value for {len(lost)} tap(s) of {self.model}: {lost[:5]}")
        return capture

    def _check(self, inputs: Mapping[str, NumpyArray]) -> None:
        """Raise a UsageError where the runtime is not entered, or the inputs are not its own."""
        if not self._is_open:
            raise UsageError(f"{type(self).__name__}({self.model}) is used outside its `with` block")
        missing = [name for name in self.input_names if name not in inputs]
        unknown = [name for name in inputs if name not in self.input_names]
        if missing or unknown:
            raise UsageError(f"{self.model}: inputs are {self.input_names}; missing {missing}, unknown {unknown}")

    def _refused(self, inputs: Mapping[str, NumpyArray], error: Exception) -> RunFailedError:
        """Whatever a framework raised, with the model and the shapes of what it was fed."""
        shapes = ", ".join(f"{name} {list(np.shape(array))}" for name, array in inputs.items())
        return RunFailedError(f"{self.framework} cannot run {self.model} on {shapes}: {first_line(error)}")

    def in_parts(self, nbytes: int) -> bool:
        """Whether :meth:`walk` spares memory that matters.

        Args:
            nbytes: of the inner values that are wanted of a run.
        """
        return False

    def walk(self, inputs: Mapping[str, NumpyArray], taps: Sequence[str]) -> Iterator[tuple[str, NumpyArray]]:
        """Inner values of one run, each as soon as it is computed where the runtime can do that, else all at once.

        Args:
            inputs, taps: as in :meth:`run`.

        Yields:
            Name and array of every tap, once, in the order of computation; the array belongs to the caller.

        Raises:
            UsageError, RunFailedError: as in :meth:`run`, when the first value is asked for or later.
        """
        taken = self.run(inputs, taps).taps
        for tap in list(taken):
            yield tap, taken.pop(tap)

    def release(self) -> None:  # noqa: B027 - most runtimes hold one instance for everything
        """Give back what is needed for outputs alone, until they are asked for again."""

    @abstractmethod
    def _open(self) -> None:
        """Import the framework, load the model, set ``input_names`` and ``output_names``."""

    @abstractmethod
    def _run_impl(self, inputs: Mapping[str, NumpyArray], taps: Sequence[str]) -> Capture:
        """One run; the inputs are complete and the taps distinct. May raise anything."""

    def _close(self) -> None:  # noqa: B027 - most runtimes hold nothing that needs closing
        """Release what :meth:`_open` took; called once, also after a failed opening."""


def first_line(error: BaseException) -> str:
    """The first line of an error that says something; frameworks append pages of C++ stack to it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:500]}" if lines else type(error).__name__


def named_outputs(names: Sequence[str], arrays: Sequence[NumpyArray], model: str) -> dict[str, NumpyArray]:
    """Outputs by name.

    Raises:
        RunFailedError: another number of arrays than of names; nothing is cut to fit.
    """
    if len(names) != len(arrays):
        raise RunFailedError(f"{model} gives {len(arrays)} output(s), but {len(names)} are expected: {list(names)}")
    return dict(zip(names, arrays, strict=True))
