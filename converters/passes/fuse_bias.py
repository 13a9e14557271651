"""Moves a bias that is added by an operator of its own into the Conv, ConvTranspose or Gemm before it.

Paddle writes conv2d and elementwise_add, matmul and elementwise_add. The sum is the same in exact arithmetic and is
rounded the same way in every runtime that adds the bias last; the value between the two no longer exists. It is
recorded in ``Graph.absorbed``, so that nobody looks for it.
"""

from __future__ import annotations

from facecvt.converters.graph import Graph, constant, name_of, rank, reshape_weight
from facecvt.converters.onnx_ir_lazy import ir


def fuse_bias(graph: Graph) -> None:
    """Fuse every Add of a constant per-channel vector to a bias-free Conv or MatMul that is used nowhere else."""
    outputs = {name_of(value) for value in graph.outputs}
    for add in list(graph.body):
        if add.op_type != "Add":
            continue
        for product, bias in ((add.inputs[0], add.inputs[1]), (add.inputs[1], add.inputs[0])):
            if product is None or bias is None or constant(bias) is None or product.producer() is None:
                continue
            if name_of(product) in outputs or len(product.uses()) != 1:
                continue
            if fuse_one(graph, product, bias, add):
                break


def fuse_one(graph: Graph, product: ir.Value, bias: ir.Value, add: ir.Node) -> bool:
    """Fuse one pair where shapes allow; True where it was done."""
    node = product.producer()
    if node is None or bias.shape is None:
        return False
    shape = tuple(int(dim) for dim in bias.shape)  # type: ignore[arg-type]  # a constant has whole dimensions
    if node.op_type in ("Conv", "ConvTranspose") and (len(node.inputs) == 2 or node.inputs[2] is None):
        channels = channel_count(node)
        spatial = (rank(product) or 4) - 2
        if channels is None or shape not in ((channels, *[1] * spatial), (1, channels, *[1] * spatial)):
            return False
        vector = reshape_weight(graph, bias, (channels,), reader=add)
    elif node.op_type == "MatMul" and rank(node.inputs[0]) == 2 and is_matrix(node.inputs[1]):  # type: ignore[arg-type]
        columns = int(node.inputs[1].shape[1])  # type: ignore[union-attr,index,arg-type]
        if shape not in ((columns,), (1, columns)):
            return False
        vector = reshape_weight(graph, bias, (columns,), reader=add)
    elif node.op_type == "Gemm" and len(node.inputs) == 2:
        transposed = "transB" in node.attributes and node.attributes["transB"].as_int() == 1
        columns = int(node.inputs[1].shape[0 if transposed else 1])  # type: ignore[union-attr,index,arg-type]
        if shape not in ((columns,), (1, columns)):
            return False
        vector = reshape_weight(graph, bias, (columns,), reader=add)
    else:
        return False
    fused = ir.Node(
        "",
        "Gemm" if node.op_type == "MatMul" else node.op_type,
        [node.inputs[0], node.inputs[1], vector],
        list(node.attributes.values()),
        name=node.name,
        metadata_props=dict(node.metadata_props),
    )
    result, old = fused.outputs[0], add.outputs[0]
    result.name, result.shape, result.type = name_of(old), old.shape, old.type
    graph.body.insert_before(add, fused)
    old.replace_all_uses_with(result, replace_graph_outputs=True)
    graph.body.remove(add, safe=True)
    graph.body.remove(node, safe=True)
    graph.absorbed[name_of(product)] = name_of(result)
    graph.origins[name_of(result)] = graph.origins.pop(name_of(product))
    return True


def channel_count(node: ir.Node) -> int | None:
    """Output channels of a Conv or ConvTranspose with a constant weight."""
    weight = constant(node.inputs[1])
    if weight is None:
        return None
    group = node.attributes["group"].as_int() if "group" in node.attributes else 1
    return int(weight.shape[0]) if node.op_type == "Conv" else int(weight.shape[1]) * group


def is_matrix(value: ir.Value) -> bool:
    """Whether a value is a constant of two dimensions."""
    array = constant(value)
    return array is not None and array.ndim == 2
