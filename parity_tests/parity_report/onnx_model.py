"""The ONNX model that facecvt makes from a framework's files: converted, read back, run by ONNX Runtime.

What a layer is called in it, is found by structure: the graph that is read back from the file is compared with the
architecture's listing piece by piece.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from facecvt.converters.conversion import convert_files
from facecvt.converters.errors import NotComparableError, UsageError
from facecvt.converters.formats.locate import Framework, located
from facecvt.converters.formats.model_files import TorchFiles
from facecvt.converters.graph import Graph, name_of
from facecvt.converters.readers.from_onnx import read_onnx
from facecvt.parity_tests.diff.own_error import ForcedGraph, arranged, is_forcible
from facecvt.parity_tests.diff.their_runtime import onnx_values
from facecvt.parity_tests.metrics import compare
from facecvt.parity_tests.parity_report.native import NumpyArray, OnValue
from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime
from facecvt.reference_models.graph_skeleton import from_graph
from facecvt.reference_models.recognise import Recognition
from facecvt.reference_models.recognise import compare as recognised_as
from facecvt.reference_models.spec import ArchitectureSpec
from facecvt.reference_models.state_source import read_state, state_graph
from facecvt.reference_models.weights import State


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
        self._values = {layer: value for layer, value in values.items() if value in held}
        self.shown = frozenset(self._values)
        self._runtime = OrtRuntime(path)

    def __enter__(self) -> OnnxNet:
        self._runtime.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self._runtime.__exit__(None, None, None)

    def run(self, x: NumpyArray, on_value: OnValue | None = None) -> list[NumpyArray]:
        """As :meth:`facecvt.parity_tests.parity_report.native.NativeNet.run`."""
        taps = [] if on_value is None else list(dict.fromkeys(self._values.values()))
        capture = self._runtime.run({self._runtime.input_names[0]: x}, taps)
        if on_value is not None:
            for layer, value in self._values.items():
                on_value(layer, capture.taps[value])
        return list(capture.outputs.values())

    def weights(self) -> State:
        """The weights in the file, by canonical name."""
        return self._recognised.arrays()

    def own_errors(self, x: NumpyArray, expected: Mapping[str, NumpyArray]) -> dict[str, float]:
        """Every layer fed with the oracle's values: layer -> its own rel-RMSE. The net need not be entered.

        Args:
            x: what the model is fed.
            expected: layer -> the oracle's value.

        Raises:
            RunFailedError: the graph cannot be run layer by layer.
        """
        floats = is_forcible(self.graph)
        given: dict[str, NumpyArray] = {}
        layers = {layer: value for layer, value in self._values.items() if layer in expected and value in floats}
        shapes = {name_of(value): value.shape for node in self.graph.body for value in node.outputs}
        for layer, value in list(layers.items()):
            shape, array = shapes[value], expected[layer]
            wanted = array.shape if shape is None else _filled(tuple(shape), array.shape)
            fitting = arranged(array, wanted)
            if fitting is None:
                del layers[layer]
            else:
                given[value] = np.ascontiguousarray(fitting, dtype=np.float32)
        results = ForcedGraph(self.graph, given, list(given)).run({name_of(self.graph.inputs[0]): x}, given)
        found = {}
        for layer, value in layers.items():
            back = arranged(results[value], expected[layer].shape)
            if back is not None:
                found[layer] = compare(expected[layer], back).rel_rmse
        return found


def _filled(shape: tuple[object, ...], like: tuple[int, ...]) -> tuple[int, ...]:
    """A shape with its free dimensions taken from an array of the same number of axes; else the array's own."""
    if len(shape) != len(like):
        free = [size for size in shape if not isinstance(size, int)]
        return tuple(size if isinstance(size, int) else like[0] for size in shape) if len(free) <= 1 else like
    return tuple(size if isinstance(size, int) else other for size, other in zip(shape, like, strict=True))
