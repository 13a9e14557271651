"""Tile in its plainest form, once ranks are known: Tile(x, constant).

MXNet's ``tile`` counts its repeats from the last axis, but a symbol does not tell how many axes there are. Its rule
therefore computes them, in a form that holds for every rank n:

    Tile(Expand(x, [1] * k), Concat(Expand(1, n - k), repeats))    k repeats, n = Shape(Shape(x))

With n known, Concat is a constant, and where n >= k the Expand leaves x as it is. No other format has a word for the
general form, and a graph is not recognised by it.
"""

from __future__ import annotations

import numpy as np

from facecvt.converters.graph import Graph, NumpyArray, attribute, constant, rank
from facecvt.converters.integer_folding import INTEGER_RULES, folded
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.rewriting import add_constant
from facecvt.converters.passes.infer_shapes import infer_shapes


def settle_tiles(graph: Graph) -> None:
    """Give every Tile whose repeats follow from ranks alone constant repeats; shapes behind it are told anew."""
    changed = False
    for node in graph.body:
        if node.op_type != "Tile" or constant(node.inputs[1]) is not None:
            continue
        repeats = numbers_by_rank(node.inputs[1])
        if repeats is None:
            continue
        node.replace_input_with(1, add_constant(node, repeats.tolist(), np.int64))
        node.replace_input_with(0, without_ones(node.inputs[0]))
        changed = True
    if changed:
        infer_shapes(graph)


def numbers_by_rank(value: ir.Value | None) -> NumpyArray | None:
    """What whole numbers a value holds for every input, where constants and ranks alone determine them."""
    array, node = constant(value), value.producer() if value is not None else None
    if array is not None or node is None:
        return array
    attributes = {name: attribute(node, name) for name in node.attributes}
    if node.op_type == "Shape" and not attributes:
        shape = node.inputs[0].producer() if node.inputs[0] is not None else None
        if shape is None or shape.op_type != "Shape" or shape.attributes or shape.inputs[0] is None:
            return None
        found = rank(shape.inputs[0])
        return None if found is None else np.array([found], dtype=np.int64)
    if node.op_type not in INTEGER_RULES:
        return None
    return folded(node.op_type, [numbers_by_rank(operand) for operand in node.inputs], attributes)


def without_ones(value: ir.Value | None) -> ir.Value | None:
    """The operand of an Expand to ones, of which it has as many axes; any other value as it is."""
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "Expand" or node.inputs[0] is None:
        return value
    target, found = constant(node.inputs[1]), rank(node.inputs[0])
    plain = target is not None and found is not None and found >= target.size and (target == 1).all()
    return node.inputs[0] if plain else value
