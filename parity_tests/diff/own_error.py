"""The error that each layer makes by itself: every layer of B is fed what A computes.

Of B's canonical graph parts are run in which every aligned value that is read is a graph input, fed with A's float64
value rounded to float32, and every aligned value of the part is a graph output. So no layer sees the error of another,
and all parts together cost what B itself costs. A layer goes into a part as soon as A has computed what it reads and
what it should give; what nobody reads any more is dropped. So the values and weights of a few layers are in memory, not
those of the model. Weights are given to ONNX Runtime where they lie, without a copy.

A value of another arrangement (NHWC for NCHW, or with axes of size 1 more or fewer) is brought into B's before it is
fed, and B's result back into A's before it is held against A's.

ONNX Runtime computes the parts; one that it refuses is computed in float32 by the oracle of ONNX models. Where that
fails as well, the layers of the part are tried one by one, and one that fails on what A computes is at fault.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from facecvt.converters.errors import FacecvtError, FrameworkMissingError, UnsupportedOperatorsError
from facecvt.converters.graph import Graph, NumpyArray
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.writers.to_onnx import element_types
from facecvt.parity_tests.diff.layer import CutLayers, Cutter
from facecvt.parity_tests.memory import trim_memory
from facecvt.parity_tests.metrics import Metrics, compare
from facecvt.parity_tests.runtimes.runtime import RunFailedError, first_line
from facecvt.parity_tests.runtimes.runtime_ort import PIP_COMMAND, SEVERITY_FATAL, THREADS

PREFIX = "given/"
MOST_BYTES = 1 << 24  # of values that wait for their part
MOST_WEIGHT_BYTES = 1 << 24  # of a part's weights, unless those of one layer are more
TRIMMED_BYTES = 1 << 22  # of a part's weights, of which ONNX Runtime has made copies of its own


class OwnErrors:
    """Own errors of B's layers, computed while A is.

    Args:
        graph: B's canonical graph; not changed.
        shapes: aligned values of B that are forced -> their shapes in B's run.
        feeds: B's inputs.
        wanted: those of them whose layers are computed; all unless it is given.

    Attributes:
        metrics: value of A -> error of the layer of B that computes it.
        by_oracle: why ONNX Runtime could not compute a part, so that the oracle did; empty where it could.
        unknown: operators that neither knows, so that the own errors of their layers are not known.
    """

    def __init__(
        self, graph: Graph, shapes: Mapping[str, Sequence[int]], feeds: Mapping[str, NumpyArray],
        wanted: Collection[str] | None = None,
    ) -> None:  # fmt: skip
        self.metrics: dict[str, Metrics] = {}
        self.by_oracle: list[str] = []
        self.unknown: list[str] = []
        self._shapes, self._feeds = shapes, feeds
        self._cutter = Cutter(graph)
        needs = {name: self._cutter.needs((name,), shapes) for name in (shapes if wanted is None else wanted)}
        self._reads = {name: read - feeds.keys() for name, (read, _) in needs.items()}
        self._weight_bytes = {name: nbytes for name, (_, nbytes) in needs.items()}
        self._readers: dict[str, int] = {}
        for read in self._reads.values():
            for name in read:
                self._readers[name] = self._readers.get(name, 0) + 1
        self._reached: set[str] = set()
        self._given: dict[str, NumpyArray] = {}
        self._waiting: dict[str, tuple[str, NumpyArray]] = {}
        self._part: dict[str, tuple[str, NumpyArray]] = {}
        self._bytes = 0

    def take(self, name: str, tap: str, value: NumpyArray) -> None:
        """Take in a value of A.

        Args:
            name: of A's value.
            tap: the value of B that it is.
            value: A's float64 array.
        """
        if tap in self._reached:  # an operator that B does not need: it gives what A's other value was
            if tap in self._given:
                self.metrics[name] = compare(value, like(self._given[tap], value))
            return
        self._reached.add(tap)
        fitting = arranged(value, self._shapes[tap])
        assert fitting is not None  # who gave the shapes has looked
        if self._readers.get(tap):
            self._given[tap] = fitting.astype(np.float32)
        if tap in self._reads:
            self._waiting[tap] = (name, value)
            self._bytes += value.nbytes
        for known in [known for known in self._waiting if self._reads[known] <= self._given.keys()]:
            self._part[known] = self._waiting.pop(known)
        if self._bytes > MOST_BYTES or sum(self._weight_bytes[known] for known in self._part) > MOST_WEIGHT_BYTES:
            self.flush()

    def flush(self) -> None:
        """Compute what can be computed.

        Raises:
            FrameworkMissingError: ONNX Runtime is not installed.
        """
        part, self._part = self._part, {}
        if not part:
            return
        results = self._results(tuple(part))
        for tap, (name, value) in part.items():
            result = results.pop(tap)
            if isinstance(result, str):
                self.metrics[name] = Metrics(math.inf, math.inf, math.inf, None, value.size, problem=result)
            elif result is not None:
                self.metrics[name] = compare(value, like(result, value))
            self._bytes -= value.nbytes
            for read in self._reads[tap]:
                self._readers[read] -= 1
                if not self._readers[read]:
                    del self._given[read]

    def _results(self, taps: tuple[str, ...]) -> dict[str, NumpyArray | str | None]:
        """What layers give; where one fails on what A computes, why; None where nothing here knows its operator."""
        layers = self._cutter.cut(taps, self._shapes)
        fed = {**self._feeds, **self._given}
        try:
            results, problem = computed(layers, {name: fed[name] for name in layers.inputs})
        except RunFailedError as error:
            if len(taps) > 1:
                return {tap: result for each in taps for tap, result in self._results((each,)).items()}
            return {taps[0]: f"it fails on what A computes: {error}"}
        except UnsupportedOperatorsError as error:
            if len(taps) > 1:
                return {tap: result for each in taps for tap, result in self._results((each,)).items()}
            self.unknown.append(str(error))
            return {taps[0]: None}
        finally:
            self._cutter.forget(taps, self._shapes)
            if sum(self._weight_bytes[tap] for tap in taps) > TRIMMED_BYTES:
                trim_memory()
        if problem:
            self.by_oracle.append(problem)
        return dict(results)


class ForcedGraph:
    """Layers of one graph, each fed what is given, for whoever has all values at hand.

    Args:
        graph: not changed.
        forced: names of values that are fed where they are read.
        wanted: names of values to compute.
    """

    def __init__(self, graph: Graph, forced: Collection[str], wanted: Sequence[str]) -> None:
        self._layers = Cutter(graph).cut(tuple(wanted), set(forced))

    def run(self, feeds: Mapping[str, NumpyArray], given: Mapping[str, NumpyArray]) -> dict[str, NumpyArray]:
        """Compute every wanted value from what is given.

        Args:
            feeds: the graph's inputs by name.
            given: forced values by name, in the graph's arrangement.

        Raises:
            RunFailedError: neither ONNX Runtime nor the oracle can compute them on these.
            UnsupportedOperatorsError: neither knows an operator.
            FrameworkMissingError: ONNX Runtime is not installed.
        """
        fed = {**feeds, **{name: np.asarray(array, np.float32) for name, array in given.items()}}
        return computed(self._layers, {name: fed[name] for name in self._layers.inputs})[0]


def computed(layers: CutLayers, given: Mapping[str, NumpyArray]) -> tuple[dict[str, NumpyArray], str]:
    """Layers on what they are fed, and, where ONNX Runtime refused them, why.

    Args:
        layers: cut out of a graph.
        given: an array for each of their inputs.

    Raises:
        RunFailedError: neither ONNX Runtime nor the oracle can compute them on these.
        UnsupportedOperatorsError: neither knows an operator.
        FrameworkMissingError: ONNX Runtime is not installed.
    """
    weights = layers.given()
    fed = {PREFIX + name: array for name, array in given.items()}
    try:
        model = layers.proto(PREFIX, weights).SerializeToString()
        return run_onnxruntime(model, fed, layers.outputs, weights), ""
    except RunFailedError as error:
        from facecvt.parity_tests.oracle.onnx_model import OnnxOracle

        try:
            results = OnnxOracle(layers.proto(PREFIX), np.float32).run(fed)
        except UnsupportedOperatorsError:
            raise
        except FacecvtError as again:
            raise RunFailedError(f"{error}; the oracle cannot compute it either: {again}") from error
        return {name: np.asarray(results[name]) for name in layers.outputs}, str(error)


def run_onnxruntime(
    model: bytes, feeds: Mapping[str, NumpyArray], wanted: Iterable[str], weights: Mapping[str, NumpyArray]
) -> dict[str, NumpyArray]:
    """A model in ONNX Runtime without any optimisation, once.

    Args:
        model: serialised.
        feeds: its inputs; what it does not read is left out.
        wanted: names of the values that it should give.
        weights: its external data by name; they are not copied.

    Raises:
        RunFailedError: ONNX Runtime refuses the model or these values.
        FrameworkMissingError: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise FrameworkMissingError("onnxruntime", "compute each layer's own error", PIP_COMMAND) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = SEVERITY_FATAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    names = list(wanted)
    given = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
    options.add_external_initializers(list(weights), given)
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        used = {value.name for value in session.get_inputs()}
        arrays = session.run(names, {name: array for name, array in feeds.items() if name in used})
    except Exception as error:
        raise RunFailedError(f"onnxruntime cannot run B layer by layer: {first_line(error)}") from error
    return dict(zip(names, arrays, strict=True))


def is_forcible(graph: Graph) -> set[str]:
    """Names of the values that hold float32 numbers."""
    return {name for name, kind in element_types(graph).items() if kind == ir.DataType.FLOAT}


def like(array: NumpyArray, expected: NumpyArray) -> NumpyArray:
    """B's value in the arrangement of A's; as it is where none fits, so that the shapes are told to differ."""
    fitting = arranged(np.asarray(array), expected.shape)
    return array if fitting is None else fitting


def arranged(array: NumpyArray, shape: Sequence[int]) -> NumpyArray | None:
    """An array in another arrangement of the same numbers; None where no known one fits.

    Args:
        array: any shape.
        shape: the wanted one: the same; with other axes of size 1; or NHWC of an NCHW array and the reverse.
    """
    shape = tuple(shape)
    if array.shape == shape:
        return array
    if [size for size in array.shape if size != 1] == [size for size in shape if size != 1]:
        return array.reshape(shape)
    if array.ndim == len(shape) == 4:
        for order in ((0, 2, 3, 1), (0, 3, 1, 2)):
            if tuple(array.shape[axis] for axis in order) == shape:
                return array.transpose(order)
    return None
