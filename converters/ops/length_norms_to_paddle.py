"""Division by a length, written to Paddle.

LpNormalization divides by p_norm, held above the least number of float32 so that a length of 0 gives 0. LRN is written
with a pool: the mean of the squares of neighbouring channels, in an image of channels by places, the channels padded.
Source: Paddle 3.3.1 ``p_norm``, ``pool2d``; the ONNX operator specification.
"""

from __future__ import annotations

import numpy as np

from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.paddle_nodes import UNKNOWN, PaddleNodes

LEAST = 1.2e-38


@to_paddle("LpNormalization")
def lp_normalization_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    x, axis, order = node.inputs[0], p.attribute("axis", -1), float(p.attribute("p", 2))
    shape = list(p.shape(x))
    shape[axis] = 1
    length = p.emit("p_norm", {"X": x}, sized=shape, porder=order, axis=axis, keepdim=True)
    divisor = p.emit("elementwise_max", {"X": length, "Y": p.constant(LEAST, p.dtype(x))})
    p.emit("elementwise_div", {"X": x, "Y": divisor}, node.outputs[0])


@to_paddle("LRN")
def lrn_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    """x / (bias + alpha * mean of squares)^beta, the window reaching (size - 1) // 2 channels back."""
    x, size, shape = node.inputs[0], p.attribute("size"), p.shape(node.inputs[0])
    if len(shape) != 4:
        raise p.refuse(f"an input of {len(shape)} dimensions is not supported; 4 are")
    before, behind = (size - 1) // 2, size - 1 - (size - 1) // 2
    batch, channels, height, width = shape
    if channels == UNKNOWN:
        raise p.refuse("the number of channels is not known")
    squares = p.emit("square", {"X": x})
    more, margins = channels + size - 1, [0, 0, before, behind, 0, 0, 0, 0]
    padded = p.emit("pad", {"X": squares}, sized=(batch, more, height, width), paddings=margins)
    area = UNKNOWN if UNKNOWN in (height, width) else height * width
    image = p.emit("reshape2", {"X": padded}, sized=(batch, 1, more, area), shape=[0, 1, more, -1])
    means = p.emit("pool2d", {"X": image}, sized=(batch, 1, channels, area), pooling_type="avg", ksize=[size, 1])
    back = {"X": means, "Shape": p.emit("shape", {"Input": x}, sized=(4,), typed=np.int32)}
    flat = p.emit("reshape2", back, sized=shape, shape=[UNKNOWN] * 4)
    total = p.emit("scale", {"X": flat}, scale=p.attribute("alpha", 1e-4), bias=p.attribute("bias", 1.0))
    divisor = p.emit("pow", {"X": total}, factor=p.attribute("beta", 0.75))
    p.emit("elementwise_div", {"X": x, "Y": divisor}, node.outputs[0])
