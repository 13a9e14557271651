"""The ONNX model that facecvt makes from a framework's files: converted, read back, run by ONNX Runtime.

What a layer is called in it, is found by structure: the graph that is read back from the file is compared with the
architecture's listing piece by piece. Where layers are wanted, its nodes run without optimisation, some at a time;
everything else comes from the file itself as ONNX Runtime runs it by default.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from facecvt.converters.conversion import convert_files
from facecvt.converters.errors import NotComparableError, UsageError
from facecvt.converters.formats.locate import Framework, located
from facecvt.converters.formats.model_files import TorchFiles
from facecvt.converters.graph import Graph, forget, name_of
from facecvt.converters.readers.from_onnx import read_onnx
from facecvt.parity_tests.diff.their_runtime import onnx_values
from facecvt.parity_tests.parity_report.native import NumpyArray, OnValue
from facecvt.parity_tests.parity_report.one_by_one import OneByOne
from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime
from facecvt.reference_models.graph_skeleton import WeightSource, from_graph
from facecvt.reference_models.recognise import Recognition
from facecvt.reference_models.recognise import compare as recognised_as
from facecvt.reference_models.spec import ArchitectureSpec
from facecvt.reference_models.state_source import read_state, state_graph


def make(framework: Framework, source: Path, target: Path, arch: ArchitectureSpec) -> None:
    """Convert, as the command line does.

    Args:
        framework: of the source.
        source: the file that a native net's ``export`` gave.
        target: the ``.onnx`` file.
        arch: what a bare state of PyTorch is of.

    Raises:
        ConversionError: facecvt cannot convert it.
    """
    with located(framework, source) as files:
        reader = None
        if framework == "torch":
            if not isinstance(files, TorchFiles):
                raise UsageError(f"{source}: not the files of a PyTorch model")
            model = read_state(files, arch.name)
            reader = lambda: (model, state_graph(model))  # noqa: E731
        convert_files(framework, files, "onnx", target, reader=reader)


class OnnxNet:
    """An ONNX model of an architecture; a context manager, as its runtime is.

    Args:
        path: the file.
        arch: what it is a model of.

    Attributes:
        graph: what is in the file.
        values: canonical layer name -> the file's name of its value.
        shown: canonical names of the layers that it shows.

    Raises:
        NotComparableError: the graph in the file does not have the architecture's structure.
    """

    def __init__(self, path: Path, arch: ArchitectureSpec) -> None:
        self.graph: Graph = read_onnx(path)
        skeleton = from_graph(self.graph)
        found: Recognition | None = None if skeleton is None else recognised_as(arch, skeleton)
        if found is None:
            raise NotComparableError(f"{path.name}: the graph in it does not have the structure of {arch.name}")
        self._recognised = found
        held = onnx_values(path)
        values = {layer: name_of(node.outputs[0]) for layer, node in found.layers.items()}
        self.values = {layer: value for layer, value in values.items() if value in held}
        self.shown = frozenset(self.values)
        self._runtime = OrtRuntime(path)

    def __enter__(self) -> OnnxNet:
        self._runtime.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self._runtime.__exit__(None, None, None)

    def run(self, x: NumpyArray, on_value: OnValue | None = None) -> list[NumpyArray]:
        """As :meth:`facecvt.parity_tests.parity_report.native.NativeNet.run`."""
        fed = {self._runtime.input_names[0]: x}
        if on_value is None:
            return list(self._runtime.run(fed).outputs.values())
        self._runtime.release()  # what runs part by part needs no second copy of all weights
        outputs: dict[str, NumpyArray] = {}
        layers: dict[str, list[str]] = {}
        for layer, value in self.values.items():
            layers.setdefault(value, []).append(layer)
        for value, array in self._runtime.walk(fed, [*self._runtime.output_names, *layers]):
            if value in self._runtime.output_names:
                outputs[value] = array
            for layer in layers.get(value, ()):
                on_value(layer, array)
        return [outputs[name] for name in self._runtime.output_names]

    def weights(self) -> Mapping[str, NumpyArray]:
        """The weights in the file, by canonical name; each is read when it is asked for."""
        return OneByOne(self._recognised.parameters, WeightSource.numpy, lambda weight: forget([weight.value]))
