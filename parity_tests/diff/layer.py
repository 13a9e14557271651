"""Layers cut out of a canonical graph: the nodes between the nearest aligned values and the values they compute.

A layer is small: its own nodes and weights, its inputs under the names they have in the graph. It can be edited,
computed in float64 by the oracle of ONNX models, and written as a model of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from facecvt.converters.graph import CANONICAL_OPSET, Graph, NumpyArray, constant, forget, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.writers.to_onnx import IR_VERSIONS, element_type, element_types

GIVEN = "given.bin"
LEAST_GIVEN = 1 << 12  # bytes; what decides how an operator computes (sizes, axes) is small, and stays in the model
PLAIN = (np.dtype(np.float32), np.dtype(np.float64))


@dataclass
class CutLayers:
    """Layers that were cut out together; the nodes are ``onnx.NodeProto`` in topological order.

    Attributes:
        nodes: their nodes.
        weights: constants that they read, by name.
        inputs: names of what is fed.
        outputs: names of what they compute.
        types: ONNX element type of inputs and outputs by name; float32 where it is not here.
    """

    nodes: list[Any]
    weights: dict[str, NumpyArray]
    inputs: list[str]
    outputs: list[str]
    types: dict[str, int] = field(default_factory=dict)

    def proto(self, prefix: str = "", outside: Collection[str] = ()) -> Any:
        """The layers as an ``onnx.ModelProto`` whose inputs have any shape.

        Args:
            prefix: put before the names of what is fed, where one layer computes what another is fed.
            outside: constants that whoever runs the model gives: they are external data of no file.
        """
        import onnx

        def declared(name: str, before: str = "") -> Any:
            value = onnx.ValueInfoProto(name=before + name)
            value.type.tensor_type.elem_type = self.types.get(name, onnx.TensorProto.FLOAT)
            return value

        model = onnx.ModelProto(ir_version=IR_VERSIONS[CANONICAL_OPSET], producer_name="facecvt")
        model.opset_import.append(onnx.helper.make_opsetid("", CANONICAL_OPSET))
        graph = model.graph
        graph.name = self.outputs[0]
        graph.node.extend(self.nodes)
        fed = set(self.inputs) if prefix else set()
        for node in graph.node:
            for place, name in enumerate(node.input):
                if name in fed:
                    node.input[place] = prefix + name
        graph.input.extend(declared(name, prefix) for name in self.inputs)
        graph.output.extend(declared(name) for name in self.outputs)
        for name, array in self.weights.items():
            if name in outside:
                kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
                tensor = onnx.TensorProto(name=name, dims=array.shape, data_type=kind)
                tensor.data_location = onnx.TensorProto.EXTERNAL
                tensor.external_data.add(key="location", value=GIVEN)
            else:
                tensor = onnx.numpy_helper.from_array(np.asarray(array, order="C"), name)
            graph.initializer.append(tensor)
        return model

    def given(self) -> dict[str, NumpyArray]:
        """Constants that are worth giving a runtime as arrays, by name: :meth:`proto` would copy them."""
        return {
            name: np.ascontiguousarray(array)
            for name, array in self.weights.items()
            if array.nbytes >= LEAST_GIVEN and array.dtype in PLAIN
        }


class CutLayer(CutLayers):
    """One layer, which computes one value."""

    @property
    def output(self) -> str:
        """Name of what it computes."""
        (name,) = self.outputs
        return name

    def copy(self) -> CutLayer:
        """A copy whose nodes can be edited."""
        nodes = []
        for node in self.nodes:
            other = type(node)()
            other.CopyFrom(node)
            nodes.append(other)
        return CutLayer(nodes, dict(self.weights), list(self.inputs), list(self.outputs), dict(self.types))

    def edited(self, edit: Callable[[CutLayer], None]) -> CutLayer:
        """A copy with one thing changed."""
        other = self.copy()
        edit(other)
        return other

    def data_nodes(self) -> list[Any]:
        """Nodes that depend on what is fed."""
        known = set(self.inputs)
        found = []
        for node in self.nodes:
            if node.op_type != "Shape" and known.intersection(node.input):
                known.update(node.output)
                found.append(node)
        return found

    def without(self, node: Any) -> list[CutLayer]:
        """The layer with a step left out, once for each of its operands that may take its place."""
        known = {*self.inputs, *(name for other in self.nodes for name in other.output)}
        found = []
        for operand in dict.fromkeys(name for name in node.input if name in known):
            other = self.copy()
            other.nodes = [kept for kept in other.nodes if list(kept.output) != list(node.output)]
            for kept in other.nodes:
                for place, name in enumerate(kept.input):
                    if name == node.output[0]:
                        kept.input[place] = operand
            found.append(other)
        return found

    def compute(self, feeds: Mapping[str, NumpyArray]) -> NumpyArray:
        """The layer in float64.

        Raises:
            ConversionError: it cannot be computed on these.
        """
        from facecvt.parity_tests.oracle.onnx_model import OnnxOracle

        oracle = OnnxOracle(self.proto(), np.float64)
        return oracle.run({name: feeds[name] for name in oracle.input_names})[self.output]


class Cutter:
    """Cuts layers out of one canonical graph.

    Args:
        graph: not changed.
    """

    def __init__(self, graph: Graph) -> None:
        self._nodes = list(graph.body)
        self._values = {name_of(value): value for node in self._nodes for value in node.outputs if value.name}
        self._fed = {name_of(value): value for value in graph.inputs}
        self._graph = graph

    @cached_property
    def _types(self) -> dict[str, ir.DataType]:
        return {name: element_type(value) for name, value in self._fed.items()} | element_types(self._graph)

    def needs(self, names: Sequence[str], ends: Collection[str]) -> tuple[set[str], int]:
        """What the layers that compute these values are fed, and the bytes of the constants that they read."""
        _, inputs, constants = self._walk(names, ends)
        tensors = (value.const_value for value in constants.values())
        return set(inputs), sum(tensor.nbytes for tensor in tensors if tensor is not None)

    def forget(self, names: Sequence[str], ends: Collection[str]) -> None:
        """Give the memory of these layers' constants back where the model's file holds them."""
        forget(self._walk(names, ends)[2].values())

    def cut(self, names: Sequence[str], ends: Collection[str]) -> CutLayers:
        """Cut layers out.

        Args:
            names: the values that they compute.
            ends: names of values at which a layer ends, where it is fed.
        """
        wanted, inputs, constants = self._walk(names, ends)
        weights = {}
        for name, value in constants.items():
            array = constant(value)
            assert array is not None
            weights[name] = array
        nodes = [ir.serde.serialize_node(node) for node in self._nodes if id(node) in wanted]
        types = {name: int(self._types[name]) for name in (*inputs, *names)}
        return CutLayers(nodes, weights, list(inputs), list(names), types)

    def _walk(
        self, names: Sequence[str], ends: Collection[str]
    ) -> tuple[set[int], dict[str, ir.Value], dict[str, ir.Value]]:
        """Ids of the nodes, the values that are fed, and the constants."""
        wanted: set[int] = set()
        inputs: dict[str, ir.Value] = {}
        constants: dict[str, ir.Value] = {}
        waiting = [self._values[name] for name in names]
        while waiting:
            node = waiting.pop().producer()
            if node is None or id(node) in wanted:
                continue
            wanted.add(id(node))
            for value in node.inputs:
                if value is None or not value.name:
                    continue
                if value.const_value is not None:
                    constants[value.name] = value
                elif value.name in self._fed or value.name in ends:
                    inputs.setdefault(value.name, value)
                else:
                    waiting.append(value)
        return wanted, inputs, constants


def cut(graph: Graph, name: str, ends: Collection[str]) -> CutLayer:
    """Cut one layer out of a graph.

    Args:
        graph: the canonical graph; not changed.
        name: the value that the layer computes.
        ends: names of values at which the layer ends, where it is fed.
    """
    found = Cutter(graph).cut((name,), ends)
    return CutLayer(found.nodes, found.weights, found.inputs, found.outputs, found.types)
