"""Picking and placing by lists of places, written to Paddle.

NonMaxSuppression and TopK have no Paddle form: multiclass_nms chooses among all classes together, and top_k_v2 leaves
open which of equal numbers comes first. Source: Paddle 3.3.1 ``gather_nd`` and ``put_along_axis``.
"""

from __future__ import annotations

from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.paddle_nodes import PaddleNodes


@to_paddle("GatherND")
def gather_nd_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    if p.attribute("batch_dims", 0):
        raise p.refuse("batch_dims has no Paddle form")
    p.emit("gather_nd", {"X": node.inputs[0], "Index": node.inputs[1]}, node.outputs[0])


@to_paddle("ScatterElements")
def scatter_elements_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    if p.attribute("reduction", "none") != "none":
        raise p.refuse("a reduction is not supported")
    slots = {"Input": node.inputs[0], "Index": node.inputs[1], "Value": node.inputs[2]}
    p.emit("put_along_axis", slots, node.outputs[0], Axis=p.attribute("axis", 0))
