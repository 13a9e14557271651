"""Reductions as MXNet's sum, mean, max, min and prod, and the norms written out.

Source: MXNet 1.9.1 ``ReduceAxesParam``; no axes are all of them.
"""

from __future__ import annotations

from facecvt.converters.graph import attribute, constant
from facecvt.converters.mxnet_nodes import MxnetNodes
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.elementwise_to_mxnet import is_float
from facecvt.converters.ops.reduce import NORMS, PLAIN
from facecvt.converters.ops.registry import to_mxnet

REDUCTIONS = {
    "ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max", "ReduceMin": "min", "ReduceProd": "prod",
}  # fmt: skip


@to_mxnet(*PLAIN, *NORMS)
def reduce_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    array = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if array is None and len(node.inputs) > 1 and node.inputs[1] is not None:
        raise m.refuse(node, "axes that are computed at run time have no MXNet form")
    axes = [] if array is None else [int(axis) for axis in array.reshape(-1)]
    options: dict[str, object] = {"axis": axes, "keepdims": bool(attribute(node, "keepdims", 1)), "exclude": False}
    data, result = m.arg(node.inputs[0]), node.outputs[0]
    if node.op_type in ("ReduceMean", "ReduceL2", "ReduceLogSumExp") and not is_float(node.inputs[0]):
        raise m.refuse(node, "over whole numbers it has no MXNet form")
    if node.op_type in REDUCTIONS:
        m.assign(result, REDUCTIONS[node.op_type], [data], **options)
    elif node.op_type == "ReduceL1":
        m.assign(result, "sum", [m.node("abs", [data])], **options)
    elif node.op_type == "ReduceSumSquare":
        m.assign(result, "sum", [m.node("square", [data])], **options)
    elif node.op_type == "ReduceL2":
        m.assign(result, "sqrt", [m.node("sum", [m.node("square", [data])], **options)])
    else:  # log(sum(exp(x))) with the greatest taken out, so that no exp overflows
        greatest = m.node("max", [data], **{**options, "keepdims": True})
        powers = m.node("exp", [m.node("broadcast_sub", [data, greatest])])
        logarithm = m.node("log", [m.node("sum", [powers], **options)])
        shift = greatest if options["keepdims"] else m.node("max", [data], **options)
        m.assign(result, "elemwise_add", [logarithm, shift])
