"""An ONNX model run part by part, so that the inner values and weights of a few layers are in memory, not all of them.

The nodes of an ONNX graph are listed in an order in which they can be computed. A part is some of them in a row:

    fed        what they read and other parts compute, and the model's inputs
    gives      the inner values that are wanted, and what later parts read

Nothing is optimised, so each node is computed by itself whether its neighbours are in the same session or not, and the
numbers are those of the whole model. How many nodes make a part is decided on the way, from what the last part gave.

Some models cannot be cut: where nodes hold graphs of their own, where values are no tensors, and where types are
narrower than float32, for which ONNX Runtime inserts and removes conversions between nodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.runtimes.runtime import NumpyArray

MOST_BYTES = 1 << 25  # of values that a part gives
MOST_WEIGHT_BYTES = 1 << 24  # of a part's weights, unless one alone is more
NO_TENSORS = ("Sequence", "Optional", "SplitToSequence", "ConcatFromSequence", "StringSplit")
Run = Callable[[bytes, Sequence[str], Mapping[str, NumpyArray]], list[NumpyArray]]


def can_be_cut(model: Any) -> bool:
    """Whether parts of an ``onnx.ModelProto`` give the numbers of the whole; see the module's docstring."""
    import onnx

    kinds = onnx.TensorProto
    wide = (kinds.FLOAT, kinds.DOUBLE, kinds.INT32, kinds.INT64, kinds.UINT32, kinds.UINT64, kinds.BOOL)
    small = (kinds.INT8, kinds.UINT8, kinds.INT16, kinds.UINT16)
    if model.functions or model.graph.sparse_initializer:
        return False
    types = [tensor.data_type for tensor in model.graph.initializer]
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        if value.type.WhichOneof("value") not in (None, "tensor_type"):
            return False
        types.append(value.type.tensor_type.elem_type or kinds.FLOAT)
    for node in model.graph.node:
        if node.op_type.startswith(NO_TENSORS) or "Optional" in node.op_type:
            return False
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                return False
            if attribute.HasField("t"):
                types.append(attribute.t.data_type)
            if attribute.name in ("to", "dtype"):
                types.append(attribute.i)
    return all(kind in (*wide, *small) for kind in types)


class OrtParts:
    """A model in parts.

    Args:
        model: an ``onnx.ModelProto`` that can be cut; greater weights may be external data.
        run: opens a serialised model without optimisation, and gives values of these names on what is fed.
    """

    def __init__(self, model: Any, run: Run) -> None:
        self._model, self._run = model, run
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._sizes = {name: _bytes_of(tensor) for name, tensor in self._weights.items()}

    def walk(self, inputs: Mapping[str, NumpyArray], taps: Collection[str]) -> Iterator[tuple[str, NumpyArray]]:
        """Inner values in the order in which they are computed.

        Args:
            inputs: one array for each input of the model, by name.
            taps: names of what is wanted.

        Yields:
            Name and array of each tap, which belongs to the caller.

        Raises:
            ValueError: the model computes no such value.
            Exception: whatever ONNX Runtime raises.
        """
        nodes = self._needed(taps)
        lost = set(taps).difference(*(node.output for node in nodes)) if nodes else set(taps)
        if lost:
            raise ValueError(f"it computes no value of the name {sorted(lost)[0]!r}")
        last = {name: place for place, node in enumerate(nodes) for name in node.input}
        values = dict(inputs)
        begin, count = 0, 1
        while begin < len(nodes):
            end = self._end(nodes, begin, count)
            wanted = [
                name
                for node in nodes[begin:end]
                for name in node.output
                if name and (name in taps or last.get(name, -1) >= end)
            ]
            fed = self._read(nodes[begin:end], values)
            arrays = self._run(self._part(nodes[begin:end], fed, wanted), wanted, fed)
            del fed
            found = dict(zip(wanted, arrays, strict=True))
            nbytes = sum(array.nbytes for array in arrays)
            del arrays
            values = {name: array for name, array in {**values, **found}.items() if last.get(name, -1) >= end}
            for name in wanted:
                array = found.pop(name)
                if name in taps:
                    yield name, array
                del array
            count = max(1, min(2 * (end - begin), int(MOST_BYTES * (end - begin) / max(nbytes, 1))))
            begin = end

    def _needed(self, taps: Collection[str]) -> list[Any]:
        needed, kept = set(taps), []
        for node in reversed(self._model.graph.node):
            if not needed.isdisjoint(node.output):
                kept.append(node)
                needed.update(name for name in node.input if name)
        return kept[::-1]

    def _end(self, nodes: Sequence[Any], begin: int, count: int) -> int:
        """Where the part ends that begins here and has at most so many nodes."""
        known: set[str] = set()
        nbytes = 0
        for place in range(begin, min(begin + count, len(nodes))):
            more = {name for name in nodes[place].input if name in self._sizes} - known
            nbytes += sum(self._sizes[name] for name in more)
            if place > begin and nbytes > MOST_WEIGHT_BYTES:
                return place
            known |= more
        return min(begin + count, len(nodes))

    def _read(self, nodes: Sequence[Any], values: Mapping[str, NumpyArray]) -> dict[str, NumpyArray]:
        """What a part is fed."""
        made = {name for node in nodes for name in node.output}
        read = dict.fromkeys(name for node in nodes for name in node.input if name and name not in made)
        return {name: values[name] for name in read if name not in self._weights}

    def _part(self, nodes: Sequence[Any], fed: Mapping[str, NumpyArray], wanted: Sequence[str]) -> bytes:
        import onnx

        model = onnx.ModelProto(ir_version=self._model.ir_version)
        model.opset_import.extend(self._model.opset_import)
        graph = model.graph
        graph.name = self._model.graph.name or "part"
        graph.node.extend(nodes)
        for name in dict.fromkeys(name for node in nodes for name in node.input):
            if name in self._weights:
                graph.initializer.append(self._weights[name])
        for name, array in fed.items():
            value = graph.input.add(name=name)
            value.type.tensor_type.elem_type = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        for name in wanted:
            graph.output.add(name=name)
        serialised: bytes = model.SerializeToString()
        return serialised


def _bytes_of(tensor: Any) -> int:
    import onnx

    dtype: np.dtype[Any] = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return int(math.prod(tensor.dims)) * dtype.itemsize
