"""Finds input normalisation inside the graph: (pixel - mean) * scale as the first operators behind an image input.

InsightFace's MXNet graphs begin ``data``, optionally a copy, minus 127.5, times 0.0078125. The structure is looked at,
never a node's name; what is found is recorded in the input's contract.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from facecvt.converters.graph import Graph, NumpyArray, constant, name_of
from facecvt.converters.onnx_ir_lazy import ir


def find_preprocessing(graph: Graph) -> None:
    """Record mean and scale of every input whose first operators subtract and multiply by constants."""
    for index, contract in enumerate(graph.contracts):
        value = next((item for item in graph.inputs if name_of(item) == contract.name), None)
        if value is None:
            continue
        mean, scale = normalisation_behind(value)
        if mean is not None or scale is not None:
            graph.contracts[index] = replace(contract, mean=mean or (0.0,), scale=scale or (1.0,), in_graph=True)


def normalisation_behind(value: ir.Value) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """(mean, scale) applied by Sub/Add and Mul/Div chains directly behind a value, None where there is none."""
    return followed(value)[:2]


def normalising_nodes(value: ir.Value) -> list[ir.Node]:
    """The nodes that do so, in order, copies between them included; empty where there are none."""
    return followed(value)[2]


def followed(
    value: ir.Value,
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None, list[ir.Node]]:
    """(mean, scale, nodes) of the normalisation directly behind a value."""
    passed: list[ir.Node] = []
    found: list[ir.Node] = []
    mean: NumpyArray | None = None
    scale: NumpyArray | None = None
    while len(value.uses()) == 1:
        node = next(iter(value.uses())).node
        passed.append(node)
        if node.op_type == "Identity":
            value = node.outputs[0]
            continue
        if node.op_type not in ("Sub", "Add", "Mul", "Div") or node.inputs[0] is not value:
            break
        operand = constant(node.inputs[1])
        if operand is None or not (operand.size == 1 or operand.ndim >= 3):
            break  # more than one number a channel is no normalisation
        if node.op_type in ("Sub", "Add") and mean is None and scale is None:
            mean = operand if node.op_type == "Sub" else -operand
        elif node.op_type in ("Mul", "Div") and scale is None:
            scale = operand if node.op_type == "Mul" else np.reciprocal(operand)
        else:
            break
        found = list(passed)
        value = node.outputs[0]
    return as_floats(mean), as_floats(scale), found


def as_floats(array: NumpyArray | None) -> tuple[float, ...] | None:
    """The distinct values as a tuple: one number, or one a channel."""
    if array is None:
        return None
    values = [float(item) for item in array.reshape(-1)]
    return (values[0],) if len(set(values)) == 1 else tuple(values)
