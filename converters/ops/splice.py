"""Replaces one node of a finished graph by several: what a lowering rule writes with.

    with_splice = Splice(node)
    y = with_splice.emit("Sigmoid", [x])
    with_splice.finish(with_splice.emit("Mul", [x, y]))

The last value takes over the name, the uses and the place among the graph's outputs of the node's first output.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from facecvt.converters.graph import make_attributes, name_of
from facecvt.converters.onnx_ir_lazy import ir


class Splice:
    """Nodes that stand in for one node.

    Args:
        node: the node that is replaced; it must lie in a graph and have one output.
    """

    def __init__(self, node: ir.Node) -> None:
        graph = node.graph
        if not isinstance(graph, ir.Graph):
            raise ValueError(f"{node.op_type} {node.name!r} lies in no graph")
        self.node = node
        self.graph = graph
        self._count = 0

    def emit(self, op_type: str, inputs: Iterable[ir.Value | None], **attributes: Any) -> ir.Value:
        """Insert a node before the one that is replaced; returns its output."""
        node = ir.Node(
            "",
            op_type,
            list(inputs),
            make_attributes(attributes),
            name=f"{self.node.name}/{self._next()}",
            metadata_props=dict(self.node.metadata_props),
        )
        value = node.outputs[0]
        value.name = f"{name_of(self.node.outputs[0])}/{op_type}_{self._count}"
        value.dtype = self.node.outputs[0].dtype
        self.graph.insert_before(self.node, node)
        return value

    def const(self, values: Any, dtype: Any = np.int64) -> ir.Value:
        """A constant as an initializer."""
        name = f"{name_of(self.node.outputs[0])}/const_{self._next()}"
        tensor = ir.Tensor(np.asarray(values, dtype=dtype), name=name)
        value = ir.Value(name=name, shape=ir.Shape(tensor.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        self.graph.register_initializer(value)
        return value

    def finish(self, value: ir.Value) -> None:
        """Let ``value`` stand for the node's output, and remove the node."""
        old = self.node.outputs[0]
        name, shape, dtype = name_of(old), old.shape, old.dtype
        for user, index in list(old.uses()):
            user.replace_input_with(index, value)
        for index, output in enumerate(self.graph.outputs):
            if output is old:
                self.graph.outputs[index] = value
        self.graph.remove(self.node, safe=True)
        old.name = None
        value.name = name
        value.shape = shape
        value.dtype = dtype

    def _next(self) -> int:
        self._count += 1
        return self._count
