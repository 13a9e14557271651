"""Steps of a cut layer that move numbers and compute none: what an exporter of a channels-last framework puts around.

moving      Transpose, Reshape and the like on data; what remains of the layer is what it computes
constants   weights that are transposed or reshaped before they are used, as they are then used
orders      the layer with one Transpose of its data turning the axes another way, the batch left where it is
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np

from facecvt.converters.errors import FacecvtError
from facecvt.converters.graph import NumpyArray
from facecvt.parity_tests.diff.layer import CutLayer

MOVING = frozenset(("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"))
USUAL = ((0, 3, 1, 2), (0, 2, 3, 1))  # what is meant more often than any other order
MOST_AXES = 4


def computing(nodes: Sequence[Any]) -> list[Any]:
    """The nodes that compute, without those that move numbers."""
    return [node for node in nodes if node.op_type not in MOVING]


def constant_of(layer: CutLayer, name: str) -> NumpyArray | None:
    """An operand that no fed value decides, as it is used; None for any other."""
    if name in layer.weights:
        return layer.weights[name]
    by_output = {output: node for node in layer.nodes for output in node.output}
    wanted, waiting = set(), [name]
    while waiting:
        read = waiting.pop()
        if read in layer.weights or not read:
            continue
        if read not in by_output:
            return None  # it is fed
        if by_output[read].output[0] not in wanted:
            wanted.add(by_output[read].output[0])
            waiting.extend(by_output[read].input)
    if not wanted:
        return None
    nodes = [node for node in layer.nodes if node.output[0] in wanted]
    try:
        array = CutLayer(nodes, layer.weights, [], [name], layer.types).compute({})
    except FacecvtError:
        return None
    singles = all(weight.dtype != np.float64 for weight in layer.weights.values())
    return array.astype(np.float32) if singles and array.dtype == np.float64 else array


def in_other_orders(layer: CutLayer) -> Iterator[tuple[str, CutLayer]]:
    """The layer with each of its Transposes of data turning the axes another way, and what was changed."""
    turns = [node for node in layer.data_nodes() if node.op_type == "Transpose"]
    for count in range(3, MOST_AXES + 1):
        every = [(0, *rest) for rest in permutations(range(1, count))][1:]  # the first one turns nothing
        for order in sorted(every, key=lambda order: order not in USUAL):
            for node in turns:
                found = order_of(node)
                if len(found) == count and order != found:
                    detail = f"Transpose {node.output[0]} has perm {list(found)}, and {list(order)} is right"
                    yield detail, layer.edited(partial(turn, output=node.output[0], order=order))


def order_of(node: Any) -> tuple[int, ...]:
    """The order of axes of a Transpose; () where it is not said."""
    return next((tuple(each.ints) for each in node.attribute if each.name == "perm"), ())


def turn(layer: CutLayer, output: str, order: Sequence[int]) -> None:
    """Give a Transpose of a layer another order of axes."""
    node = next(node for node in layer.nodes if node.output[0] == output)
    perm = next(each for each in node.attribute if each.name == "perm")
    perm.ints[:] = order
