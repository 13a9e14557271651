"""Normalisation by statistics of the sample itself, written to Paddle.

Paddle's layer_norm holds scale and bias flat; where they do not have the normalised shape they are applied behind it.
Paddle refuses an epsilon above 1e-3; the normalisation is written out then. Source: Paddle 3.3.1 ``instance_norm`` and
``layer_norm``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from facecvt.converters.graph import constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.normalization_to_paddle import LARGEST_EPSILON
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.paddle_nodes import PaddleNodes


def centred_over_spread(p: PaddleNodes, x: str, axes: Sequence[int], epsilon: float, into: ir.Value | None) -> str:
    """(x - mean) / sqrt(var + epsilon) over some axes."""
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(p.shape(x)))
    mean = p.emit("reduce_mean", {"X": x}, sized=shape, dim=list(axes), keep_dim=True)
    centred = p.emit("elementwise_sub", {"X": x, "Y": mean})
    squares = p.emit("square", {"X": centred})
    variance = p.emit("reduce_mean", {"X": squares}, sized=shape, dim=list(axes), keep_dim=True)
    spread = p.emit("sqrt", {"X": p.emit("scale", {"X": variance}, bias=epsilon)})
    return p.emit("elementwise_div", {"X": centred, "Y": spread}, into)


@to_paddle("InstanceNormalization")
def instance_norm_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    x, scale, bias = node.inputs
    epsilon = p.attribute("epsilon", 1e-5)
    if np.float32(epsilon) <= LARGEST_EPSILON and p.rank(x) in (3, 4, 5):
        p.emit("instance_norm", {"X": x, "Scale": scale, "Bias": bias}, node.outputs[0], epsilon=epsilon)
        return
    normal = centred_over_spread(p, p.arg(x), range(2, p.rank(x)), epsilon, None)
    scaled = p.emit("elementwise_mul", {"X": normal, "Y": scale}, axis=1)
    p.emit("elementwise_add", {"X": scaled, "Y": bias}, node.outputs[0], axis=1)


@to_paddle("LayerNormalization")
def layer_norm_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    x, scale, bias = [*node.inputs, None][:3]
    if len(node.outputs) > 1:
        raise p.refuse("its statistics are not supported as outputs")
    epsilon, shape = p.attribute("epsilon", 1e-5), p.shape(x)
    axis = p.attribute("axis", -1) % len(shape)
    small, parameters = np.float32(epsilon) <= LARGEST_EPSILON, (scale, bias)
    slots, later = {"X": p.arg(x)}, [(scale, "elementwise_mul"), (bias, "elementwise_add")]
    if small and all(value is None or has_shape(value, shape[axis:]) for value in parameters):
        for slot, value in zip(("Scale", "Bias"), parameters, strict=True):
            if value is not None:
                slots[slot] = p.reshaped(value, (math.prod(shape[axis:]),))
        later = []
    steps = [(value, operator) for value, operator in later if value is not None]
    into = None if steps else node.outputs[0]
    if small:
        normal = p.emit("layer_norm", slots, into, epsilon=epsilon, begin_norm_axis=axis)
    else:
        normal = centred_over_spread(p, slots["X"], range(axis, len(shape)), epsilon, into)
    for index, (value, operator) in enumerate(steps):
        into = node.outputs[0] if index == len(steps) - 1 else None
        normal = p.emit(operator, {"X": normal, "Y": value}, into)


def has_shape(value: ir.Value, shape: Sequence[int]) -> bool:
    """Whether a value is a weight of just this shape."""
    array = constant(value)
    return array is not None and array.shape == tuple(shape)
