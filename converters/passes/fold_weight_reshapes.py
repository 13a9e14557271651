"""A weight that its source reshapes at run time becomes a weight of that shape: the same bytes, one node less.

Paddle 3 writes the bias of every convolution as reshape(bias, [1, C, 1, 1]) and add; as long as the bias is the result
of a node, it can neither move into the convolution nor be the bias of a layer in PyTorch.
"""

from __future__ import annotations

from facecvt.converters.graph import Graph, attribute, constant, name_of, reshape_weight
from facecvt.converters.integer_folding import resolved_shape


def fold_weight_reshapes(graph: Graph) -> None:
    """Replace every Reshape of an initializer to a constant shape by the reshaped initializer."""
    outputs = {name_of(value) for value in graph.outputs}
    for node in list(graph.body):
        if node.op_type != "Reshape" or name_of(node.outputs[0]) in outputs:
            continue
        weight, array, target = node.inputs[0], constant(node.inputs[0]), constant(node.inputs[1])
        if weight is None or array is None or target is None:
            continue
        shape = resolved_shape(array.shape, target, bool(attribute(node, "allowzero", 0)))
        if shape is None:
            continue
        result = node.outputs[0]
        reshaped = reshape_weight(graph, weight, shape, reader=node)
        result.replace_all_uses_with(reshaped)
        for alias, name in graph.aliases.items():
            if name == name_of(result):
                graph.aliases[alias] = name_of(reshaped)
        graph.aliases[name_of(result)] = name_of(reshaped)
        graph.origins.pop(name_of(result), None)
        graph.body.remove(node, safe=True)
