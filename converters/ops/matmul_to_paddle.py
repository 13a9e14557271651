"""Fully connected layers and matrix products, written to Paddle as matmul_v2.

Paddle's layers hold a weight as (in, out); one that its source holds as (out, in) is turned, under its own name, so
that the program reads like Paddle's own. Source: Paddle 3.3.1 ``matmul_v2``, ``paddle.nn.Linear``.
"""

from __future__ import annotations

import numpy as np

from facecvt.converters.graph import constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.paddle_nodes import PaddleNodes


@to_paddle("Gemm")
def gemm_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    x, weight = node.inputs[0], node.inputs[1]
    added = node.inputs[2] if len(node.inputs) > 2 else None
    turned, matrix = bool(p.attribute("transB", 0)), constant(weight)
    second = p.arg(weight) if matrix is None or weight is None or not turned else ""
    if not second and matrix is not None and weight is not None:
        second, turned = p.weight(weight, "transposed", np.ascontiguousarray(matrix.T)), False
    shape, result = p.shape(node.outputs[0]), node.outputs[0]
    slots = {"X": x, "Y": second}
    product = p.emit("matmul_v2", slots, result if added is None else None, sized=shape, trans_y=turned)
    if added is not None:
        p.emit("elementwise_add", {"X": product, "Y": added}, result)


@to_paddle("MatMul")
def matmul_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    p.emit("matmul_v2", {"X": node.inputs[0], "Y": node.inputs[1]}, node.outputs[0])
