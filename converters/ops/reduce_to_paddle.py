"""Reductions over axes, written to Paddle; the norms of ONNX are put together from them.

Without axes all of them are meant, which Paddle says by ``reduce_all``. Source: Paddle 3.3.1 ``reduce_*``.
"""

from __future__ import annotations

import numpy as np

from facecvt.converters.formats.paddle_schema import number_of_dtype
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.paddle_nodes import PaddleNodes

REDUCTIONS = {
    "ReduceMean": "reduce_mean",
    "ReduceSum": "reduce_sum",
    "ReduceMax": "reduce_max",
    "ReduceMin": "reduce_min",
    "ReduceProd": "reduce_prod",
}


def reduced(p: PaddleNodes, operator: str, name: str, axes: list[int], keep: bool, into: ir.Value | None = None) -> str:
    """One reduction; a sum or product of whole numbers keeps their type."""
    shape = p.shape(name)
    if keep:
        left = [1 if axis in axes else size for axis, size in enumerate(shape)]
    else:
        left = [size for axis, size in enumerate(shape) if axis not in axes]
    options: dict[str, object] = {"keep_dim": keep, "dim": axes or [0], "reduce_all": len(axes) == len(shape)}
    if operator in ("reduce_sum", "reduce_prod") and p.dtype(name) == np.int32:
        options["in_dtype"] = options["out_dtype"] = number_of_dtype(np.dtype(np.int32))
    return p.emit(operator, {"X": name}, into, sized=left, **options)


def axes_of(node: ir.Node, p: PaddleNodes) -> list[int]:
    """The axes that are reduced, all of them where the node names none."""
    count = p.rank(node.inputs[0])
    if len(node.inputs) < 2 or node.inputs[1] is None:
        return list(range(count))
    return sorted({axis % count for axis in p.ints(node.inputs[1], "axes")}) or list(range(count))


@to_paddle(*REDUCTIONS)
def reduce_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    keep = bool(p.attribute("keepdims", 1))
    reduced(p, REDUCTIONS[node.op_type], p.arg(node.inputs[0]), axes_of(node, p), keep, node.outputs[0])


@to_paddle("ReduceL1", "ReduceL2", "ReduceSumSquare")
def norm_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    keep, root = bool(p.attribute("keepdims", 1)), node.op_type == "ReduceL2"
    terms = p.emit("abs" if node.op_type == "ReduceL1" else "square", {"X": node.inputs[0]})
    total = reduced(p, "reduce_sum", terms, axes_of(node, p), keep, None if root else node.outputs[0])
    if root:
        p.emit("sqrt", {"X": total}, node.outputs[0])


@to_paddle("ReduceLogSumExp")
def log_sum_exp_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    """max + log(sum(exp(x - max)))."""
    axes, keep, x = axes_of(node, p), bool(p.attribute("keepdims", 1)), p.arg(node.inputs[0])
    greatest = reduced(p, "reduce_max", x, axes, keep=True)
    powers = p.emit("exp", {"X": p.emit("elementwise_sub", {"X": x, "Y": greatest})})
    total = p.emit("log", {"X": reduced(p, "reduce_sum", powers, axes, keep)})
    if not keep:
        greatest = reduced(p, "reduce_max", x, axes, keep=False)
    p.emit("elementwise_add", {"X": total, "Y": greatest}, node.outputs[0])
