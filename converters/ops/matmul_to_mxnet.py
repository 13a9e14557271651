"""Matrix products as MXNet's FullyConnected, whose weight is (out, in), as dot, batch_dot and linalg_gemm2.

Source: MXNet 1.9.1 ``FullyConnectedParam`` and the shape functions of the products.
"""

from __future__ import annotations

import numpy as np

from facecvt.converters.graph import NumpyArray, attribute, constant
from facecvt.converters.mxnet_nodes import Edge, MxnetNodes
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import to_mxnet


def turned(m: MxnetNodes, weight: ir.Value) -> Edge:
    """A matrix as its transpose; a weight is stored so."""
    array = constant(weight)
    if array is None:
        return m.node("transpose", [m.arg(weight)], axes=[1, 0])
    return m.weight(weight, np.ascontiguousarray(array.T), "transposed")


def bias_vector(array: NumpyArray | None, count: int) -> NumpyArray | None:
    """What is added, as one number a feature; None where it differs from row to row."""
    if array is None or array.size not in (1, count) or (array.ndim and array.shape[-1] != array.size):
        return None
    return np.ascontiguousarray(np.broadcast_to(array.reshape(-1), (count,)))


@to_mxnet("Gemm")
def gemm_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    x, weight, added = [*node.inputs, None][:3]
    if weight is None:
        raise m.refuse(node, "it has no second operand")
    transposed, shape = bool(attribute(node, "transB", 0)), m.shape(weight)
    count = None if shape is None else shape[0 if transposed else 1]
    if not isinstance(count, int):
        raise m.refuse(node, "the number of its features must be known")
    matrix = m.arg(weight) if transposed else turned(m, weight)
    options: dict[str, object] = {"num_hidden": count, "flatten": True}
    vector = bias_vector(constant(added), count)
    if added is None or vector is None:
        if added is None:
            m.assign(node.outputs[0], "FullyConnected", [m.arg(x), matrix], no_bias=True, **options)
            return
        product = m.node("FullyConnected", [m.arg(x), matrix], no_bias=True, **options)
        m.assign(node.outputs[0], "broadcast_add", [product, m.arg(added)])
        return
    array = constant(added)
    bias = m.arg(added) if array is not None and array.shape == vector.shape else m.weight(added, vector, "vector")
    m.assign(node.outputs[0], "FullyConnected", [m.arg(x), matrix, bias], no_bias=False, **options)


@to_mxnet("MatMul")
def matmul_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """A product with a matrix that is a weight is a FullyConnected over the last axis."""
    x, weight = node.inputs
    left, right = m.rank(x), m.rank(weight)
    matrix = constant(weight)
    if matrix is not None and weight is not None and matrix.ndim == 2 and left != 1 and constant(x) is None:
        options: dict[str, object] = {"num_hidden": matrix.shape[1], "no_bias": True, "flatten": False}
        m.assign(node.outputs[0], "FullyConnected", [m.arg(x), turned(m, weight)], **options)
        return
    inputs = [m.arg(x), m.arg(weight)]
    shapes = m.shape(x), m.shape(weight)
    if left == right == 2:
        m.assign(node.outputs[0], "dot", inputs, transpose_a=False, transpose_b=False)
        return
    batches = [None if shape is None else shape[:-2] for shape in shapes]
    if left == right and left and left > 2 and batches[0] == batches[1] and None not in (batches[0] or (None,)):
        if left == 3:
            m.assign(node.outputs[0], "batch_dot", inputs, transpose_a=False, transpose_b=False)
        else:
            options = {"transpose_a": False, "transpose_b": False, "alpha": 1.0, "axis": -2}
            m.assign(node.outputs[0], "linalg_gemm2", inputs, **options)
        return
    m.assign(node.outputs[0], "_npi_matmul", inputs)
