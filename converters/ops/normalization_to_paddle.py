"""Batch normalisation at inference, written to Paddle.

Paddle refuses an epsilon above 1e-3; such a node is written out as (x - mean) * factor + bias, with the factor
scale / sqrt(var + eps) from float64, rounded once. Source: Paddle 3.3.1 ``batch_norm``.
"""

from __future__ import annotations

import numpy as np

from facecvt.converters.graph import constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.paddle_nodes import PaddleNodes

LARGEST_EPSILON = np.float32(1e-3)


@to_paddle("BatchNormalization")
def batch_norm_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    x, scale, bias, mean, variance = node.inputs[:5]
    epsilon, momentum = p.attribute("epsilon", 1e-5), p.attribute("momentum", 0.9)
    if np.float32(epsilon) > LARGEST_EPSILON:
        written_out(node, p, epsilon)
        return
    if p.rank(x) not in (2, 3, 4, 5):
        raise p.refuse(f"Paddle has no batch_norm for {p.rank(x)} dimensions")
    slots = {"X": x, "Scale": scale, "Bias": bias, "Mean": mean, "Variance": variance}
    p.emit("batch_norm", slots, node.outputs[0], epsilon=epsilon, momentum=momentum, is_test=True)


def written_out(node: ir.Node, p: PaddleNodes, epsilon: float) -> None:
    x, scale, bias, mean, variance = node.inputs[:5]
    gamma, spread = constant(scale), constant(variance)
    if gamma is None or spread is None or scale is None:
        raise p.refuse(f"Paddle refuses an epsilon of {epsilon:g}, above 1e-3, and the parameters are computed")
    root = np.sqrt(spread.astype(np.float64) + np.float64(np.float32(epsilon)))
    wide = (gamma.size, *[1] * (p.rank(x) - 2))
    array = (gamma.astype(np.float64) / root).astype(gamma.dtype)
    factor = p.weight(scale, "factor", array.reshape(wide))
    shift, centre = (p.reshaped(value, wide) if constant(value) is not None and value else "" for value in (bias, mean))
    if not (shift and centre):
        raise p.refuse(f"Paddle refuses an epsilon of {epsilon:g}, above 1e-3, and the parameters are computed")
    scaled = p.emit("elementwise_mul", {"X": p.emit("elementwise_sub", {"X": x, "Y": centre}), "Y": factor})
    p.emit("elementwise_add", {"X": scaled, "Y": shift}, node.outputs[0])
