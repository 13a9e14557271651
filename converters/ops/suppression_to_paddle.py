"""Picking and placing by lists of places, written to Paddle.

NonMaxSuppression has no Paddle form: multiclass_nms chooses among all classes together. TopK is the begin of a stable
argsort, because top_k_v2 leaves open which of equal numbers comes first. Source: Paddle 3.3.1 ``argsort``,
``gather_nd`` and ``put_along_axis``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facecvt.converters.graph import constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.paddle_nodes import UNKNOWN, PaddleNodes

INT64 = np.dtype(np.int64)


@to_paddle("TopK")
def top_k_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    """How many may be computed."""
    x, wanted = node.inputs[0], node.inputs[1]
    shape = p.shape(x)
    axis, falling = p.attribute("axis", -1) % len(shape), bool(p.attribute("largest", 1))
    steps = [p.step("argsort", shape, kind) for kind in (p.dtype(x), INT64)]
    ordered = p.emit_slots("argsort", {"X": x}, steps, axis=axis, descending=falling, stable=True)
    options: dict[str, Any] = {"axes": [axis], "starts": [0]}
    if constant(wanted) is None:
        slots, options = {"EndsTensor": wanted}, {**options, "ends": [UNKNOWN], "infer_flags": [-1]}
    else:
        slots, options = {}, {**options, "ends": p.ints(wanted, "how many"), "infer_flags": [1]}
    for step, result in zip(ordered, node.outputs, strict=False):
        p.emit("slice", {"Input": step, **slots}, result, **options)


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
