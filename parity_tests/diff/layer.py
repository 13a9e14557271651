"""One layer cut out of a canonical graph: the nodes between the nearest aligned values and one value.

A layer is small: its own nodes and weights, its inputs under the names they have in the graph. It can be edited,
computed in float64 by the oracle of ONNX models, and written as a model of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from facecvt.converters.graph import CANONICAL_OPSET, Graph, NumpyArray, constant, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.writers.to_onnx import IR_VERSIONS


@dataclass
class CutLayer:
    """A layer; the nodes are ``onnx.NodeProto`` in topological order.

    Attributes:
        nodes: its nodes.
        weights: constants that they read, by name.
        inputs: names of what is fed.
        output: name of what it computes.
    """

    nodes: list[Any]
    weights: dict[str, NumpyArray]
    inputs: list[str]
    output: str

    def copy(self) -> CutLayer:
        """A copy whose nodes can be edited."""
        nodes = []
        for node in self.nodes:
            other = type(node)()
            other.CopyFrom(node)
            nodes.append(other)
        return CutLayer(nodes, dict(self.weights), list(self.inputs), self.output)

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

    def proto(self) -> Any:
        """The layer as an ``onnx.ModelProto`` whose inputs have any shape."""
        import onnx

        def declared(name: str) -> Any:
            value = onnx.ValueInfoProto(name=name)
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
            return value

        graph = onnx.GraphProto(name=self.output, node=self.nodes)
        graph.input.extend(declared(name) for name in self.inputs)
        graph.output.append(declared(self.output))
        graph.initializer.extend(
            onnx.numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in self.weights.items()
        )
        return onnx.helper.make_model(
            graph,
            opset_imports=[onnx.helper.make_opsetid("", CANONICAL_OPSET)],
            ir_version=IR_VERSIONS[CANONICAL_OPSET],
            producer_name="facecvt",
        )

    def compute(self, feeds: Mapping[str, NumpyArray]) -> NumpyArray:
        """The layer in float64.

        Raises:
            ConversionError: it cannot be computed on these.
        """
        from facecvt.parity_tests.oracle.onnx_model import OnnxOracle

        oracle = OnnxOracle(self.proto(), np.float64)
        return oracle.run({name: feeds[name] for name in oracle.input_names})[self.output]


def cut(graph: Graph, name: str, ends: Collection[str]) -> CutLayer:
    """Cut a layer out of a graph.

    Args:
        graph: the canonical graph; not changed.
        name: the value that the layer computes.
        ends: names of values at which the layer ends, where it is fed.
    """
    values = {name_of(value): value for node in graph.body for value in node.outputs if value.name}
    fed = {name_of(value) for value in graph.inputs}
    wanted: dict[int, ir.Node] = {}
    weights: dict[str, NumpyArray] = {}
    inputs: list[str] = []
    waiting = [values[name]]
    while waiting:
        node = waiting.pop().producer()
        if node is None or id(node) in wanted:
            continue
        wanted[id(node)] = node
        for value in node.inputs:
            if value is None or not value.name:
                continue
            array = constant(value)
            if array is not None:
                weights[value.name] = array
            elif value.name in fed or value.name in ends:
                if value.name not in inputs:
                    inputs.append(value.name)
            else:
                waiting.append(value)
    nodes = [ir.serde.serialize_node(node) for node in graph.body if id(node) in wanted]
    return CutLayer(nodes, weights, inputs, name)
