"""The oracle of MXNet symbols: a symbol and its weights evaluated at inference in numpy, float64 by default.

Values have the names that MXNet gives them: ``<node>_output``, ``<node>_output0`` and so on for a split,
``<bn>_mean`` and ``<bn>_var`` where BatchNorm shows them. Labels are not inputs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from facecvt.converters.errors import UnsupportedOperatorsError
from facecvt.converters.formats.mapped import Array
from facecvt.converters.formats.mxnet_model import MxnetModel
from facecvt.parity_tests.oracle import (  # noqa: F401 - importing a family registers it
    mxnet_ops_conv,
    mxnet_ops_detection,
    mxnet_ops_elementwise,
    mxnet_ops_normalise,
    mxnet_ops_picking,
    mxnet_ops_shape,
)
from facecvt.parity_tests.oracle.evaluator import Evaluator, GraphOracle, Key, Step
from facecvt.parity_tests.oracle.mxnet_attributes import MXNET_OPERATORS, MxnetAttributes

WHOLE_TYPES = ("3", "4", "5", "6", "7")  # MXNet's numbers of uint8, int32, int8, int64 and bool


class MxnetOracle(GraphOracle):
    """An MXNet model in numpy.

    Args:
        model: symbol and weights.
        dtype: what floating point numbers are computed in.

    Raises:
        UnsupportedOperatorsError: operators without a definition, all of them.
        AttributeValueError: an attribute that no definition knows.
        ConversionError: two different outputs of one name.
    """

    def __init__(self, model: MxnetModel, dtype: DTypeLike = np.float64) -> None:
        self.dtype = np.dtype(dtype)
        source = str(model.symbol.path)
        nodes = model.symbol.nodes
        weights: dict[str, Array] = {**model.args, **model.aux}
        used = _used_nodes(model)
        unknown: dict[str, list[str]] = {}
        for index in used:
            if nodes[index].op != "null" and MXNET_OPERATORS.get(nodes[index].op) is None:
                unknown.setdefault(nodes[index].op, []).append(nodes[index].name)
        if unknown:
            raise UnsupportedOperatorsError(source, unknown)

        steps: list[Step] = []
        constants: dict[Key, Array] = {}
        inputs: dict[str, Key] = {}
        names: dict[tuple[int, int], str] = {}
        for index in used:
            node = nodes[index]
            if node.op == "null":
                names[(index, 0)] = node.name
                if node.name in weights:
                    constants[(index, 0)] = weights[node.name]
                else:
                    inputs[node.name] = (index, 0)
                continue
            definition = MXNET_OPERATORS.get(node.op)
            assert definition is not None
            attributes = MxnetAttributes(node.op, node.name, node.attrs, len(node.inputs), self.dtype)
            compute = definition.build(attributes)
            suffixes = definition.suffixes(attributes)
            attributes.finish()
            shown = tuple(f"{node.name}_{suffix}" for suffix in suffixes)
            keys = tuple((index, output) for output in range(len(shown)))
            names.update(zip(keys, shown, strict=True))
            steps.append(Step(node.name, node.op, tuple(node.inputs[: definition.operands]), keys, shown, compute))
        outputs = [(names.get(head, nodes[head[0]].name), head) for head in model.symbol.heads]
        # Without a type in the symbol MXNet takes numbers of any type as float32; where one says whole, as they are.
        whole = any(node.user_attrs.get("__dtype__", "") in WHOLE_TYPES for node in nodes if node.name in inputs)
        self.evaluator = Evaluator(source, steps, constants, inputs, outputs, self.dtype, cast_inputs=not whole)


def _used_nodes(model: MxnetModel) -> list[int]:
    """Indices of the nodes that the heads need at inference; labels, and what only feeds them, are not among them."""
    nodes = model.symbol.nodes
    needed = {head[0] for head in model.symbol.heads}
    for index in range(len(nodes) - 1, -1, -1):
        if index in needed:
            definition = MXNET_OPERATORS.get(nodes[index].op)
            operands = nodes[index].inputs[: definition.operands] if definition else nodes[index].inputs
            needed.update(source for source, _ in operands)
    return sorted(needed)
