"""A canonical graph as alignment sees it: which values are data, who reads them, and the weights in one layout.

    data       a value that depends on what is fed, and not through a Shape alone
    kernel     weights of Conv, ConvTranspose, Gemm and MatMul as (outputs, ...), whatever the layout they are stored in
    tail       BatchNormalization, and arithmetic with a constant, that follow a layer and nobody else reads into:
               what an exporter may have folded into that layer's weights
    gate       g in x * g(x), which other exporters write as one operator (HardSwish, Swish): the product stands for it

Weights that a model stores in another layout and transposes before use are followed back through the Transpose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from facecvt.converters.graph import Graph, NumpyArray, attribute, constant, forget, name_of
from facecvt.converters.onnx_ir_lazy import ir

LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")
ARITHMETIC = ("Add", "Sub", "Mul", "Div")
GATES = ("HardSigmoid", "Sigmoid", "Tanh", "Softplus")
COMMUTATIVE = ("Add", "Mul", "Max", "Min", "Sum")
KINDS = {
    **dict.fromkeys(("Gemm", "MatMul"), "matrix product"),
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), "reshape"),
    **dict.fromkeys(
        ("MaxPool", "GlobalMaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum"), "pool"
    ),
    **dict.fromkeys(
        ("Relu", "PRelu", "LeakyRelu", "Elu", "Clip", "HardSwish", "Sigmoid", "HardSigmoid", "Swish"), "activation"
    ),
}


def kind_of(node: ir.Node) -> str:
    """What a node is, so that two spellings of one layer, and a layer read as its neighbour, are of one kind."""
    return KINDS.get(node.op_type, node.op_type)


class Network:
    """The data flow of a canonical graph.

    Args:
        graph: the graph; not changed.

    Attributes:
        nodes: nodes that compute data, in topological order.
        position: id of a node -> its place in ``nodes``.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._data = {id(value) for value in graph.inputs}
        self.nodes: list[ir.Node] = []
        for node in graph.body:
            if node.op_type != "Shape" and any(self.is_data(value) for value in node.inputs):
                self.nodes.append(node)
                self._data.update(id(value) for value in node.outputs)
        self.position = {id(node): place for place, node in enumerate(self.nodes)}
        self._outputs = {id(value) for value in graph.outputs}
        self._gates: set[int] = set()
        self._products: dict[int, ir.Node] = {}  # id of a product -> its gate
        for node in self.nodes:
            gate = self._gate_of(node)
            if gate is not None:
                self._gates.add(id(gate))
                self._products[id(node)] = gate

    def _gate_of(self, node: ir.Node) -> ir.Node | None:
        if node.op_type != "Mul" or len(node.inputs) != 2:
            return None
        for value, other in (node.inputs, node.inputs[::-1]):
            gate = value.producer() if value is not None else None
            if value is None or gate is None or gate.op_type not in GATES or len(value.uses()) != 1:
                continue
            if gate.inputs[0] is other and id(value) not in self._outputs:
                return gate
        return None

    def product_of(self, node: ir.Node) -> ir.Value | None:
        """What a gate's product computes; None where the node is no gate."""
        return next(iter(node.outputs[0].uses())).node.outputs[0] if id(node) in self._gates else None

    def kind(self, node: ir.Node) -> str:
        """:func:`kind_of`, where a gate is no activation and its product is one."""
        if id(node) in self._gates:
            return "gate"
        return "activation" if id(node) in self._products else kind_of(node)

    def is_data(self, value: ir.Value | None) -> bool:
        return value is not None and id(value) in self._data

    def data_inputs(self, node: ir.Node) -> list[ir.Value]:
        """Operands that are data, in order; of a gated product what is gated."""
        node = self._products.get(id(node), node)
        return [value for value in node.inputs if value is not None and self.is_data(value)]

    def readers(self, value: ir.Value) -> list[ir.Node]:
        """Nodes that read a value, each once, in topological order."""
        found = {id(use.node): use.node for use in value.uses() if id(use.node) in self.position}
        return sorted(found.values(), key=lambda node: self.position[id(node)])

    def parameters(self, node: ir.Node) -> list[NumpyArray]:
        """Floating point constants that a node reads, in order."""
        found = [resolved(value) for value in node.inputs if value is not None and not self.is_data(value)]
        return [array for array in found if array is not None and array.dtype.kind == "f"]

    def is_parametric(self, node: ir.Node) -> bool:
        """Whether a node reads an array of more than one number, or a slope."""
        slope = node.op_type == "PRelu"
        return any(slope or array.size > 1 for array in self.parameters(node))

    def kernel(self, node: ir.Node) -> NumpyArray | None:
        """Weights of a linear layer as (outputs, ...); None where it is another operator, or they are computed."""
        if node.op_type not in LINEAR or len(node.inputs) < 2:
            return None
        weight = resolved(node.inputs[1])
        if weight is None or weight.ndim < 2 or weight.dtype.kind != "f":
            return None
        if node.op_type == "Conv" or (node.op_type == "Gemm" and attribute(node, "transB", 0)):
            return weight
        if node.op_type == "ConvTranspose":
            group = attribute(node, "group", 1)
            split = weight.reshape(group, weight.shape[0] // group, *weight.shape[1:])
            return np.moveaxis(split, 2, 1).reshape(
                group * weight.shape[1], weight.shape[0] // group, *weight.shape[2:]
            )
        return np.swapaxes(weight, -1, -2)

    def forget_weights(self, node: ir.Node) -> None:
        """Give the memory of a node's weights back where the model's file holds them."""
        forget(node.inputs)

    def has_bias(self, node: ir.Node) -> bool:
        return len(node.inputs) > 2 and node.inputs[2] is not None

    def tail(self, node: ir.Node) -> list[ir.Node]:
        """See the module's docstring."""
        found: list[ir.Node] = []
        value = node.outputs[0]
        while id(value) not in self._outputs:
            readers = self.readers(value)
            if len(readers) != 1 or len(value.uses()) != 1:
                break
            reader = readers[0]
            affine = reader.op_type == "BatchNormalization" or (
                reader.op_type in ARITHMETIC and len(self.data_inputs(reader)) == 1
            )
            if not affine:
                break
            found.append(reader)
            value = reader.outputs[0]
        return found

    def ancestors(self) -> list[int]:
        """For each node the set of nodes before it, as the bits of a whole number; bit n is ``nodes[n]``."""
        found: list[int] = []
        for node in self.nodes:
            bits = 0
            for value in self.data_inputs(node):
                producer = value.producer()
                if producer is not None:
                    place = self.position[id(producer)]
                    bits |= found[place] | 1 << place
            found.append(bits)
        return found

    def signature(self, node: ir.Node) -> tuple[Any, ...]:
        """What tells a node from its siblings: operator, attributes, and the constants that it reads."""
        attributes = tuple(sorted((name, str(attr.value)) for name, attr in node.attributes.items()))
        constants = tuple(
            (array.shape, array.tobytes())
            for array in (resolved(value) for value in node.inputs if value is not None and not self.is_data(value))
            if array is not None and array.size <= 64
        )
        return node.op_type, attributes, constants


def resolved(value: ir.Value | None) -> NumpyArray | None:
    """The array of a constant, also of one that is transposed, reshaped or repeated before it is used; else None."""
    array = constant(value)
    if array is not None or value is None:
        return array
    node = value.producer()
    if node is None or not node.inputs:
        return None
    source = resolved(node.inputs[0])
    if source is None:
        return None
    if node.op_type == "Identity":
        return source
    if node.op_type == "Transpose":
        return source.transpose(attribute(node, "perm", list(range(source.ndim))[::-1]))
    if node.op_type == "Reshape":
        shape = constant(node.inputs[1])
        return None if shape is None else reshaped(source, shape.tolist())
    return None


def reshaped(array: NumpyArray, shape: Sequence[int]) -> NumpyArray | None:
    """ONNX Reshape: 0 keeps a dimension, -1 is what is left."""
    sizes = [array.shape[axis] if size == 0 and axis < array.ndim else size for axis, size in enumerate(shape)]
    known = math.prod(size for size in sizes if size != -1)
    if (-1 in sizes and (known == 0 or array.size % known)) or (-1 not in sizes and known != array.size):
        return None
    return array.reshape(sizes)


def value_names(graph: Graph) -> set[str]:
    """Names of everything that a graph computes."""
    return {name_of(value) for node in graph.body for value in node.outputs}
