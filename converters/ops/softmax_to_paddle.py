"""Softmax and log-softmax along one axis, written to Paddle.

Paddle's own log_softmax gives nothing below -64 (seen with 3.3.1 on the CPU), so its formula is written out:
(x - max) - log(sum(exp(x - max))).
"""

from __future__ import annotations

from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.reduce_to_paddle import reduced
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.paddle_nodes import PaddleNodes


@to_paddle("Softmax")
def softmax_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    p.emit("softmax", {"X": node.inputs[0]}, node.outputs[0], axis=p.attribute("axis", -1))


@to_paddle("LogSoftmax")
def log_softmax_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    x = p.arg(node.inputs[0])
    axes = [p.attribute("axis", -1) % p.rank(x)]
    shifted = p.emit("elementwise_sub", {"X": x, "Y": reduced(p, "reduce_max", x, axes, keep=True)})
    total = reduced(p, "reduce_sum", p.emit("exp", {"X": shifted}), axes, keep=True)
    p.emit("elementwise_sub", {"X": shifted, "Y": p.emit("log", {"X": total})}, node.outputs[0])
