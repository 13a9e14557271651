"""Small steps that lowering rules share: put a node before another, turn a constant input into an attribute."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import constant, make_attributes, name_of
from facecvt.converters.onnx_ir_lazy import ir


def insert_before(node: ir.Node, op_type: str, inputs: Iterable[ir.Value | None], **attributes: Any) -> ir.Value:
    """Compute one more value right before a node, for that node to read.

    Args:
        node: the node that is being rewritten; it lies in a graph.
        op_type: operator of the inserted node.
        inputs: its inputs.
        attributes: Python values.

    Returns:
        The inserted node's one output, named after the rewritten node.
    """
    name = unused_name(graph_of(node), f"{node.name}/{op_type}")
    added = ir.Node(
        "",
        op_type,
        list(inputs),
        make_attributes(attributes),
        num_outputs=1,
        name=name,
        metadata_props=dict(node.metadata_props),
    )
    added.outputs[0].name = name
    graph_of(node).insert_before(node, added)
    return added.outputs[0]


def add_constant(node: ir.Node, values: Any, dtype: Any) -> ir.Value:
    """An initializer for a node that is being rewritten."""
    graph = graph_of(node)
    name = unused_name(graph, f"{node.name}/const")
    tensor = ir.Tensor(np.array(values, dtype=dtype), name=name)
    value = ir.Value(name=name, shape=ir.Shape(tensor.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def input_to_attribute(node: ir.Node, index: int, attribute_name: str, opset: int) -> None:
    """Make a constant input the attribute that an older opset has in its place, and drop it and what follows it.

    Raises:
        ConversionError: the input is computed at run time, which the older opset cannot express.
    """
    if len(node.inputs) > index and node.inputs[index] is not None:
        array = constant(node.inputs[index])
        if array is None:
            raise ConversionError(
                f"{node.op_type} {node.name!r}: opset {opset} needs {attribute_name} as an attribute, but "
                f"{name_of(node.inputs[index])!r} is computed at run time. Choose a newer --opset."  # type: ignore[arg-type]
            )
        for attr in make_attributes({attribute_name: [int(item) for item in array.reshape(-1)]}):
            node.attributes[attr.name] = attr
    node.resize_inputs(min(len(node.inputs), index))


def graph_of(node: ir.Node) -> ir.Graph:
    """The graph a node lies in."""
    if not isinstance(node.graph, ir.Graph):
        raise ValueError(f"node {node.name!r} lies in no graph")
    return node.graph


def unused_name(graph: ir.Graph, name: str) -> str:
    """``name``, or ``name_2``, ``name_3``, ... where a value or node of the graph bears it already."""
    taken = {value.name for node in graph for value in node.outputs} | {node.name for node in graph}
    taken |= set(graph.initializers) | {value.name for value in graph.inputs}
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    return candidate


def drop_attribute(node: ir.Node, attribute_name: str, opset: int, *, harmless: int | str) -> None:
    """Leave out an attribute that the older opset lacks, where its value means what the older opset does anyway.

    Raises:
        ConversionError: it has another value.
    """
    found = node.attributes.pop(attribute_name, None)
    if found is not None and found.value != harmless and found.value not in (0, ""):
        raise ConversionError(
            f"{node.op_type} {node.name!r}: {attribute_name} = {found.value!r} cannot be expressed at opset {opset}. "
            "Choose a newer --opset."
        )


def become(node: ir.Node, op_type: str, inputs: Sequence[ir.Value | None], **attributes: Any) -> None:
    """Turn a node into another one that computes the same output value; its old attributes go."""
    node.op_type = op_type
    node.resize_inputs(len(inputs))
    for index, value in enumerate(inputs):
        node.replace_input_with(index, value)
    node.attributes.clear()
    for attr in make_attributes(attributes):
        node.attributes[attr.name] = attr
