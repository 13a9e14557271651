"""A copy under another name, written to Paddle: for an output that is an input, a weight or another output."""

from __future__ import annotations

from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.paddle_nodes import PaddleNodes


@to_paddle("Identity")
def identity_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    p.emit("assign", {"X": node.inputs[0]}, node.outputs[0])
