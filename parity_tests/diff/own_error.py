"""The error that each layer makes by itself: every layer of B is fed what A computes, all of them in one run.

From B's canonical graph one ONNX graph is made in which every aligned value is a graph output, and every node that
reads an aligned value reads a graph input instead, which is fed with A's float64 value rounded to float32. So no layer
sees the error of another, and a run costs what B itself costs.

A value of another arrangement (NHWC for NCHW, or with axes of size 1 more or fewer) is brought into B's before it is
fed, and B's result back into A's before it is held against A's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from facecvt.converters.errors import FrameworkMissingError
from facecvt.converters.graph import CANONICAL_OPSET, Graph, NumpyArray, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.writers.to_onnx import IR_VERSIONS, declare_outputs, element_type
from facecvt.parity_tests.runtimes.runtime import RunFailedError, first_line
from facecvt.parity_tests.runtimes.runtime_ort import PIP_COMMAND, SEVERITY_ERROR, THREADS

PREFIX = "given/"


class ForcedGraph:
    """B's graph with every aligned value forced; see the module's docstring.

    Args:
        graph: B's canonical graph; not changed.
        forced: names of values that are replaced by inputs where they are read.
        wanted: names of values to compute.

    Raises:
        FrameworkMissingError: ONNX Runtime is not installed.
        RunFailedError: ONNX Runtime refuses the graph.
    """

    def __init__(self, graph: Graph, forced: Collection[str], wanted: Sequence[str]) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise FrameworkMissingError("onnxruntime", "compute each layer's own error", PIP_COMMAND) from error
        self.wanted = list(wanted)
        model = forced_model(graph, forced, wanted)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.log_severity_level = SEVERITY_ERROR
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise RunFailedError(f"onnxruntime cannot open {graph.name} layer by layer: {first_line(error)}") from error
        self._dtypes = {value.name: value.type for value in self._session.get_inputs()}

    def run(self, feeds: Mapping[str, NumpyArray], given: Mapping[str, NumpyArray]) -> dict[str, NumpyArray]:
        """Compute every wanted value from what is given.

        Args:
            feeds: B's inputs by name.
            given: forced values by name, in B's arrangement.

        Raises:
            RunFailedError: ONNX Runtime refuses these values.
        """
        arrays = dict(feeds) | {PREFIX + name: np.asarray(array, np.float32) for name, array in given.items()}
        arrays = {name: array for name, array in arrays.items() if name in self._dtypes}
        try:
            results = self._session.run(self.wanted, arrays)
        except Exception as error:
            raise RunFailedError(f"onnxruntime cannot run B layer by layer: {first_line(error)}") from error
        return dict(zip(self.wanted, results, strict=True))


def forced_model(graph: Graph, forced: Collection[str], wanted: Sequence[str]) -> Any:
    """The onnx_ir model of a :class:`ForcedGraph`."""
    body = graph.body.clone()
    values = {name_of(value): value for node in body for value in node.outputs}
    body.outputs.clear()
    for name in forced:
        value = values[name]
        if not value.uses():
            continue
        given = ir.Value(name=PREFIX + name, type=ir.TensorType(ir.DataType.FLOAT))
        value.replace_all_uses_with(given)
        body.inputs.append(given)
    body.outputs.extend(values[name] for name in wanted)
    for value in body.inputs:
        if value.type is None:
            value.type = ir.TensorType(element_type(value))
    declare_outputs(body)
    for value in body.outputs:
        value.shape = None
    return ir.Model(body, ir_version=IR_VERSIONS[CANONICAL_OPSET])


def is_forcible(graph: Graph) -> set[str]:
    """Names of the values that hold float32 numbers."""
    return {
        name_of(value)
        for node in graph.body
        for value in node.outputs
        if value.name and element_type(value) == ir.DataType.FLOAT
    }


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
