"""The hand-written nets behind one contract: weights in, named layers and outputs out.

    with open_native("torch", arch, arrays) as net:
        outputs = net.run(x, on_value)      on_value(canonical layer name, array) for every layer that the net names
        net.weights()                       read back from the net, in canonical layout
        net.export(folder)                  the files that facecvt converts

Every net computes in float32 and has one eps, that of the PyTorch upstream, because a bare state of PyTorch, from which
facecvt makes an ONNX model, cannot say otherwise.
"""

from __future__ import annotations

import importlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from facecvt.converters.errors import FacecvtError
from facecvt.parity_tests.runtimes.runtime import RunFailedError, first_line
from facecvt.reference_models.frameworks import require
from facecvt.reference_models.spec import ArchitectureSpec

NumpyArray = np.ndarray[Any, np.dtype[Any]]
OnValue = Callable[[str, NumpyArray], None]
FRAMEWORKS = ("torch", "paddle", "mxnet")


class NativeNet(ABC):
    """One architecture in one framework.

    Args:
        arch: with the options that :func:`with_common_eps` gives.
        arrays: weights by canonical name.

    Attributes:
        shown: canonical names of the layers that it can show, without the outputs.
    """

    framework: ClassVar[str]
    shown: frozenset[str]

    def __init__(self, arch: ArchitectureSpec, arrays: Mapping[str, NumpyArray]) -> None:
        self.arch = arch

    @abstractmethod
    def run(self, x: NumpyArray, on_value: OnValue | None = None) -> list[NumpyArray]:
        """Run once, as the framework's users do.

        Args:
            x: float32, as the framework's input contract says.
            on_value: called with name and value of every layer that is shown; an array that may be kept.

        Returns:
            The outputs in order, as the framework hands them out: nothing is copied that it does not copy.
        """

    @abstractmethod
    def weights(self) -> Mapping[str, NumpyArray]:
        """The weights that it runs with, by canonical name, in canonical layout; each is read when it is asked for."""

    @abstractmethod
    def export(self, folder: Path) -> Path:
        """Save it as the framework's users do; returns the file to convert."""

    def program(self) -> Any:
        """The net as code that facecvt can read, where the saved files hold its weights alone; else None."""
        return None


def with_common_eps(arch: ArchitectureSpec) -> ArchitectureSpec:
    """The architecture with the eps of its PyTorch upstream in every framework."""
    if "eps" not in arch.options or arch.options["eps"] is not None:
        return arch
    return arch.with_options(eps=arch.eps["torch"])


@contextmanager
def open_native(framework: str, arch: ArchitectureSpec, arrays: Mapping[str, NumpyArray]) -> Iterator[NativeNet]:
    """A net for as long as the block lasts; its memory is free once nobody holds it.

    Raises:
        FrameworkMissingError: the framework is not installed.
        RunFailedError: the framework refuses the net or its weights.
    """
    require(framework, f"run {arch.name} in it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Paddle's, about compilers that nobody needs here
        module = importlib.import_module(f"facecvt.parity_tests.parity_report.native_{framework}")
    with told(f"{framework} cannot build {arch.name}"):
        net: NativeNet = module.Net(arch, arrays)
    yield net


@contextmanager
def told(what: str) -> Iterator[None]:
    """Whatever a framework raises inside is told as :class:`RunFailedError`."""
    try:
        yield
    except FacecvtError:
        raise
    except Exception as error:
        raise RunFailedError(f"{what}: {first_line(error)}") from error


def output_layers(arch: ArchitectureSpec) -> list[str]:
    """Names of the layers that give the net's outputs, in order: those that feed no other."""
    listing = arch.layers()
    fed = {name for layer in listing for name in layer.inputs}
    return [layer.name for layer in listing if layer.name not in fed]


def flat(values: Any) -> list[Any]:
    """Tensors of nested tuples and lists, in order."""
    if not isinstance(values, Sequence) or hasattr(values, "shape"):
        return [values]
    return [each for value in values for each in flat(value)]
