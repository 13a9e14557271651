"""Folds a BatchNormalization into the Conv, ConvTranspose or Gemm before it.

    BN(W x + b) = W' x + b'      W' = W s     b' = (b - mean) s + beta     s = gamma / sqrt(var + eps)

per output channel; computed in float64 and rounded to float32 once. This is exact in the structure where the layer's
result goes nowhere else and every number is a constant. A BatchNormalization *before* a convolution is left: behind
zero padding its shift would not be the same at the border.

The value between the two no longer exists; ``Graph.absorbed`` says that the BatchNormalization's includes it.
"""

from __future__ import annotations

import numpy as np

from facecvt.converters.graph import Graph, NumpyArray, attribute, constant, name_of
from facecvt.converters.onnx_ir_lazy import ir

FOLDING = ("Conv", "ConvTranspose", "Gemm")
DEFAULT_EPS = 1e-5


def fold_batch_norms(graph: Graph) -> int:
    """Fold every BatchNormalization that can be; the graph is changed in place.

    Returns:
        How many there were.
    """
    outputs = {name_of(value) for value in graph.outputs}
    count = 0
    for norm in list(graph.body):
        if norm.op_type != "BatchNormalization" or norm.inputs[0] is None:
            continue
        product = norm.inputs[0]
        layer = product.producer()
        if layer is None or layer.op_type not in FOLDING:
            continue
        if name_of(product) in outputs or len(product.uses()) != 1:
            continue
        folded = folded_weights(layer, norm)
        if folded is not None:
            replace_both(graph, layer, norm, *folded)
            count += 1
    return count


def folded_weights(layer: ir.Node, norm: ir.Node) -> tuple[NumpyArray, NumpyArray] | None:
    """(weight, bias) in float32 that do the work of both, None where that cannot be."""
    weight = constant(layer.inputs[1])
    statistics = [constant(value) for value in norm.inputs[1:5]]
    has_bias = len(layer.inputs) > 2 and layer.inputs[2] is not None
    bias = constant(layer.inputs[2]) if has_bias else None
    if weight is None or weight.dtype != np.float32 or (has_bias and bias is None):
        return None
    if len(statistics) != 4 or any(array is None for array in statistics):
        return None
    gamma, beta, mean, variance = (np.asarray(array, np.float64) for array in statistics)
    shape = channel_shape(layer, weight, gamma.size)
    if shape is None or (bias is not None and bias.size != gamma.size):
        return None
    eps = float(attribute(norm, "epsilon", DEFAULT_EPS))
    with np.errstate(all="ignore"):
        factor = gamma / np.sqrt(variance + eps)
        shift = (-mean if bias is None else np.asarray(bias, np.float64).reshape(-1) - mean) * factor + beta
        if layer.op_type == "ConvTranspose":
            group = int(attribute(layer, "group", 1))
            # (in, out / group, ...): the inputs of group g lead to the g-th part of the output channels
            factors = np.repeat(factor.reshape(group, -1), weight.shape[0] // group, axis=0).reshape(shape)
        else:
            factors = factor.reshape(shape)
        scaled = (weight.astype(np.float64) * factors).astype(np.float32)
        shifted = shift.astype(np.float32)
    if not (np.isfinite(scaled).all() and np.isfinite(shifted).all()):
        return None  # such a layer is broken already, or would be by the folding
    return scaled, shifted


def channel_shape(layer: ir.Node, weight: NumpyArray, channels: int) -> tuple[int, ...] | None:
    """Shape in which one factor an output channel is multiplied to the weight; None where their counts differ."""
    if layer.op_type == "Conv":
        return (channels, *[1] * (weight.ndim - 1)) if weight.shape[0] == channels else None
    if layer.op_type == "ConvTranspose":
        group = int(attribute(layer, "group", 1))
        fits = weight.shape[1] * group == channels
        return (weight.shape[0], weight.shape[1], *[1] * (weight.ndim - 2)) if fits else None
    if attribute(layer, "transB", 0):
        return (channels, 1) if weight.shape[0] == channels else None
    return (1, channels) if weight.shape[1] == channels else None


def replace_both(graph: Graph, layer: ir.Node, norm: ir.Node, weight: NumpyArray, bias: NumpyArray) -> None:
    """One layer of the same kind in place of two nodes, under the value name of the second."""
    product, result = layer.outputs[0], norm.outputs[0]
    has_bias = len(layer.inputs) > 2 and layer.inputs[2] is not None
    stem = layer.inputs[2] if has_bias else norm.inputs[2]  # the shift takes the place of beta
    operands = [layer.inputs[0], stored(graph, layer.inputs[1], weight), stored(graph, stem, bias)]
    joined = ir.Node(
        "",
        layer.op_type,
        operands,
        list(layer.attributes.values()),
        name=layer.name,
        metadata_props=dict(layer.metadata_props),
    )
    new = joined.outputs[0]
    new.name, new.shape, new.type = name_of(result), result.shape, result.type
    graph.body.insert_before(norm, joined)
    result.replace_all_uses_with(new, replace_graph_outputs=True)
    replaced = [*layer.inputs[1:], *norm.inputs[1:]]  # asked for now: a node that is removed has no operands
    graph.body.remove(norm, safe=True)
    graph.body.remove(layer, safe=True)
    for value in replaced:
        if value is not None and name_of(value) in graph.body.initializers and not value.uses():
            del graph.body.initializers[name_of(value)]
    gone = name_of(product)
    for name, holder in list(graph.absorbed.items()):
        if holder == gone:
            graph.absorbed[name] = name_of(new)
    graph.absorbed[gone] = name_of(new)
    graph.origins[name_of(new)] = graph.origins.pop(gone)


def stored(graph: Graph, value: ir.Value | None, array: NumpyArray) -> ir.Value:
    """A new initializer, named after the one that it stands for."""
    name = f"{value.name if value is not None else 'weight'}/folded"
    unique, count = name, 1
    while unique in graph.body.initializers:
        count += 1
        unique = f"{name}_{count}"
    tensor = ir.Tensor(np.ascontiguousarray(array), name=unique)
    made = ir.Value(name=unique, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.body.register_initializer(made)
    return made
