"""Whether a graph takes any number of samples, and which node keeps it from that where it does not.

A source may declare batch 1 and compute what holds for any batch; then another declaration is enough. Others have the 1
in a node: Reshape to [1, -1, 4], Squeeze of axis 0, a slice of the first sample. So the shapes are told at two batches
side by side, whole numbers that the graph computes from shapes included, and every node is looked at: the samples'
axis, which is where the two shapes differ, must neither vanish, nor move out of the front by a Reshape, nor be worked
along, and every output must have as many samples as were fed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Graph, attribute, constant, name_of
from facecvt.converters.integer_folding import folded
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.passes.infer_shapes import Shape, ShapeMismatchError, infer_nodes, shape_of

BATCHES = (61, 67)  # primes, so that no size of a net is taken for one of them
SHAPES_ONLY = ("Shape", "Size")
WORKS_ALONG = {"Softmax": -1, "LogSoftmax": -1, "ArgMax": 0, "ArgMin": 0, "TopK": -1, "LpNormalization": -1}  # defaults
ADVICE = "so that the model takes no other batch; leave --dynamic-batch out"


def free_shapes(graph: Graph) -> dict[str, tuple[int | str, ...]]:
    """Shapes of the inputs with a free batch, by name, where one of them fixes its first dimension; else nothing."""
    if not any(item.shape and isinstance(item.shape[0], int) for item in graph.contracts):
        return {}
    return {item.name: ("batch", *item.shape[1:]) for item in graph.contracts if item.shape}


def require_free_batch(graph: Graph) -> None:
    """Raise unless every node takes any number of samples.

    An output whose shape cannot be told is left to the verification, and a warning says so.

    Args:
        graph: its inputs leave their first dimension free.

    Raises:
        ConversionError: names the first node that fixes the batch.
    """
    sides = [at_batch(graph, batch) for batch in BATCHES]
    fed = {name_of(value) for value in sides[0].inputs}
    for nodes in zip(*sides, strict=True):
        node = nodes[0]
        if node.op_type not in SHAPES_ONLY and any(name_of(value) in fed for value in node.inputs if value is not None):
            fed.update(name_of(value) for value in node.outputs)
        try:
            infer_nodes(nodes)
        except ShapeMismatchError as error:
            raise ConversionError(f"{error}, {ADVICE}") from error
        for each in nodes:
            compute_numbers(each)
        fault = what_fixes(nodes)
        if fault is not None:
            raise ConversionError(f"{node.op_type} {node.name!r} {fault}, {ADVICE}")
    open_outputs = []
    for values in zip(*(side.outputs for side in sides), strict=True):
        name, shapes = name_of(values[0]), [shape_of(value) for value in values]
        first = [shape[0] if shape else None for shape in shapes]
        if name not in fed:
            continue
        if not all(isinstance(size, int) for size in first):
            open_outputs.append(name)
        elif first != list(BATCHES):
            maker = values[0].producer()
            node_name = f"{maker.op_type} {maker.name!r}" if maker is not None else "the graph"
            raise ConversionError(f"{node_name} gives output {name!r} of other than one row a sample, {ADVICE}")
    if open_outputs:
        graph.warnings.append(
            f"--dynamic-batch: shapes do not tell whether output {', '.join(open_outputs)} has one row a sample"
        )


def at_batch(graph: Graph, batch: int) -> ir.Graph:
    """A copy whose inputs have so many samples; nothing that is computed has a shape yet."""
    body = graph.body.clone()
    for value in body.inputs:
        if value.shape is not None and len(value.shape):
            value.shape = ir.Shape([batch, *list(value.shape)[1:]])
    for node in body:
        for value in node.outputs:
            value.shape = None
    return body


def compute_numbers(node: ir.Node) -> None:
    """Give the output of a node its numbers, where they follow from shapes and constants alone."""
    array = None
    if node.op_type == "Shape":
        shape = shape_of(node.inputs[0]) if node.inputs[0] is not None else None
        part = None if shape is None else shape[attribute(node, "start", 0) : attribute(node, "end", None)]
        if part is not None and all(isinstance(size, int) for size in part):
            array = np.array(part, np.int64)
    else:
        operands = [constant(value) for value in node.inputs]
        array = folded(node.op_type, operands, {name: attribute(node, name) for name in node.attributes})
    if array is not None:
        node.outputs[0].const_value = ir.Tensor(array, name=node.outputs[0].name)
        node.outputs[0].shape = ir.Shape(array.shape)


def what_fixes(nodes: Sequence[ir.Node]) -> str | None:
    """What a node, told at both batches, does that holds for one batch alone; None where it does no such thing."""
    node = nodes[0]
    if node.op_type in SHAPES_ONLY:
        return None
    operands = [sample_axes(values) for values in zip(*(each.inputs for each in nodes), strict=True)]
    results = [sample_axes(values) for values in zip(*(each.outputs for each in nodes), strict=True)]
    axes = operands[0].growing if operands else set()
    if node.op_type == "Squeeze" and axes & squeezed(node):
        return "removes the axis of the samples"
    if node.op_type in ("Reshape", "Flatten") and 0 in axes and 0 in results[0].fixed:
        target = constant(node.inputs[1]) if node.op_type == "Reshape" else None
        wanted = "" if target is None else f" to {target.reshape(-1).tolist()}"
        return f"gives all samples{wanted} as one"
    if node.op_type in WORKS_ALONG and worked_along(node) in axes:
        return "works along the axis of the samples"
    grow = any(each.growing for each in operands)
    if node.op_type == "Concat" and grow and any(each.same for each in operands):
        return "joins values of every sample with values of one"
    if grow and any(each.same for each in results):
        return "gives the same number of values whatever the batch is"
    return None


@dataclass(frozen=True)
class Axes:
    """The axes of a value that grow with the batch, those that do not, and whether it is known to have no other."""

    growing: set[int] = field(default_factory=set)
    fixed: set[int] = field(default_factory=set)
    same: bool = False


def sample_axes(values: Iterable[ir.Value | None]) -> Axes:
    """Which axes of a value grow, from its shapes at both batches."""
    shapes: list[Shape | None] = [None if value is None else shape_of(value) for value in values]
    first, second = shapes
    if first is None or second is None or len(first) != len(second):
        return Axes()
    pairs = list(enumerate(zip(first, second, strict=True)))
    growing = {axis for axis, (one, other) in pairs if None not in (one, other) and one != other}
    fixed = {axis for axis, (one, other) in pairs if one is not None and one == other}
    return Axes(growing, fixed, len(fixed) == len(first))


def squeezed(node: ir.Node) -> set[int]:
    """The axes that a Squeeze removes."""
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    rank = len(shape_of(node.inputs[0]) or ()) if node.inputs[0] is not None else 0
    return set() if axes is None or not rank else {int(axis) % rank for axis in axes.reshape(-1)}


def worked_along(node: ir.Node) -> int:
    """The axis of an operator that mixes what lies along one."""
    rank = len(shape_of(node.inputs[0]) or ()) if node.inputs[0] is not None else 0
    return int(attribute(node, "axis", WORKS_ALONG[node.op_type])) % max(rank, 1)
