"""A converted model in the making: a copy of a canonical graph that one fault, or one harmless change, is made to.

Values keep their names while it is edited, so that what changed can be told by name; they are renamed when it is
written, so that no name helps the comparison.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from facecvt.converters.formats.onnx_file import LARGEST_MESSAGE
from facecvt.converters.graph import Graph, NumpyArray, constant, make_attributes, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.writers.to_onnx import write_onnx

PREFIX = "b/"


@dataclass
class Draft:
    """A graph to be edited.

    Attributes:
        graph: a copy; the weights are shared until they are replaced.
        salt: tells which of several places a fault takes.
        shapes: shape of every value of the graph as it was on the input that is run.
    """

    graph: Graph
    salt: str = ""
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Graph, salt: str = "", shapes: dict[str, tuple[int, ...]] | None = None) -> Draft:
        return cls(replace(graph, body=graph.body.clone(), aliases={}, absorbed={}, warnings=[]), salt, shapes or {})

    def nodes(self, *operators: str) -> list[ir.Node]:
        """Nodes of these operators that compute with a value that is not a constant."""
        return [node for node in self.graph.body if node.op_type in operators and node.inputs[0] is not None]

    def pick(self, nodes: Sequence[ir.Node]) -> ir.Node | None:
        """One of several nodes: always the same one for a fault, another for each fault."""
        return nodes[zlib.crc32(self.salt.encode()) % len(nodes)] if nodes else None

    def shape(self, value: ir.Value | None) -> tuple[int, ...]:
        """Shape of a value of the graph as it was."""
        return () if value is None else self.shapes.get(value.name or "", ())

    def weight(self, node: ir.Node, place: int) -> NumpyArray | None:
        """A constant operand in float32."""
        return constant(node.inputs[place]) if place < len(node.inputs) else None

    def constant(self, array: Any, name: str) -> ir.Value:
        """A new constant; float64 becomes float32."""
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        name = f"edited/{name}/{len(self.graph.body.initializers)}"
        tensor = ir.Tensor(array, name=name)
        value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        self.graph.body.register_initializer(value)
        return value

    def set_weight(self, node: ir.Node, place: int, array: Any) -> str:
        """Give a node another constant; other readers of the old one keep it."""
        node.replace_input_with(place, self.constant(array, f"{node.op_type}{place}"))
        return self.value(node)

    def change(self, node: ir.Node | None, place: int, edit: Callable[[NumpyArray], Any]) -> str | None:
        """Edit a constant operand of a node; None where there is no node."""
        array = None if node is None else self.weight(node, place)
        if node is None or array is None:
            return None
        return self.set_weight(node, place, edit(array.astype(np.float32)))

    def set(self, node: ir.Node | None, **attributes: Any) -> str | None:
        """Give a node other attributes."""
        if node is None:
            return None
        for item in make_attributes(attributes):
            node.attributes[item.name] = item
        return self.value(node)

    def value(self, node: ir.Node) -> str:
        """Name of what a node computes."""
        return name_of(node.outputs[0])

    def become(self, node: ir.Node | None, operator: str, operands: int = 1, **attributes: Any) -> str | None:
        """Make a node another operator that keeps its first operands."""
        if node is None:
            return None
        other = ir.Node("", operator, list(node.inputs[:operands]), make_attributes(attributes), num_outputs=1)
        return self._replace(node, other)

    def rewrite(self, node: ir.Node | None, build: Callable[[ir.Value], ir.Node]) -> str | None:
        """Put another node, made from the first operand, in a node's place."""
        if node is None or node.inputs[0] is None:
            return None
        return self._replace(node, build(node.inputs[0]))

    def put(self, node: ir.Node, operator: str, inputs: Sequence[ir.Value | None]) -> str:
        """Put another node in a node's place."""
        return self._replace(node, ir.Node("", operator, list(inputs), num_outputs=1))

    def insert(self, operator: str, inputs: Sequence[ir.Value | None], before: ir.Node, **attributes: Any) -> ir.Value:
        """A new node before another one."""
        node = ir.Node("", operator, list(inputs), make_attributes(attributes), num_outputs=1)
        node.outputs[0].name = f"edited/{operator}/{sum(1 for _ in self.graph.body)}"
        self.graph.body.insert_before(before, node)
        return node.outputs[0]

    def append_after(self, node: ir.Node, operator: str, operand: Any = None, **attributes: Any) -> str:
        """A new node behind another one, read by all that read that; returns the name of what it computes."""
        value = node.outputs[0]
        other = ir.Node(
            "",
            operator,
            [value] if operand is None else [value, self.constant(operand, operator)],
            make_attributes(attributes),
            num_outputs=1,
        )
        other.outputs[0].name = f"edited/{operator}"
        value.replace_all_uses_with(other.outputs[0], replace_graph_outputs=True)
        other.replace_input_with(0, value)
        self.graph.body.insert_after(node, other)
        return name_of(other.outputs[0])

    def bypass(self, node: ir.Node | None, operand: int = 0) -> str | None:
        """Leave a node out: its readers read one of its operands."""
        if node is None or node.inputs[operand] is None:
            return None
        gone, kept = node.outputs[0], node.inputs[operand]
        if any(value is gone for value in self.graph.body.outputs) or kept is None or kept.producer() is None:
            return None
        name = name_of(gone)
        gone.replace_all_uses_with(kept)
        self.graph.body.remove(node, safe=True)
        return name

    def _replace(self, node: ir.Node, other: ir.Node) -> str:
        old, name = node.outputs[0], self.value(node)
        self.graph.body.insert_before(node, other)
        old.name = f"gone/{name}"
        other.outputs[0].name = name
        old.replace_all_uses_with(other.outputs[0], replace_graph_outputs=True)
        self.graph.body.remove(node, safe=True)
        return name

    def write(
        self, path: Path, *, opset: int = 17, external: bool = False, rename: Callable[[str], str] | None = None
    ) -> Path:
        """Write the model under names that say nothing; the inputs keep theirs, the contracts go by them."""
        other = Draft.of(self.graph)
        drop_unread(other.graph.body)
        for number, node in enumerate(other.graph.body):
            node.name = f"n{number}"
            for value in node.outputs:
                value.name = (rename or renamed)(name_of(value))
        write_onnx(other.graph, path, opset, largest_message=0 if external else LARGEST_MESSAGE)
        return path


def renamed(name: str) -> str:
    """Name in the written model of what has a name in the draft."""
    return PREFIX + name


def drop_unread(body: ir.Graph) -> None:
    """Remove nodes and constants that nobody reads any more."""
    outputs = {id(value) for value in body.outputs}
    for node in reversed(list(body)):
        if not any(value.uses() or id(value) in outputs for value in node.outputs):
            body.remove(node, safe=True)
    for name, value in list(body.initializers.items()):
        if not value.uses() and id(value) not in outputs:
            del body.initializers[name]


def changed_values(before: Graph, after: Graph) -> Iterator[str]:
    """Names of values that both graphs have and that are computed in another way, from the nodes alone."""
    old = {name_of(value): node for node in before.body for value in node.outputs}
    for node in after.body:
        for value in node.outputs:
            name = name_of(value)
            if name in old and _described(old[name]) != _described(node):
                yield name


def _described(node: ir.Node) -> tuple[Any, ...]:
    attributes = tuple(sorted((name, str(item.value)) for name, item in node.attributes.items()))
    return node.op_type, attributes, tuple(None if value is None else value.name for value in node.inputs)
