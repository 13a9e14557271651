"""Reductions over axes: mean, sum, max, min, product, and the norms of ONNX.

An empty or absent list of axes means all of them. MXNet gives a vector of one element where the others give a scalar,
and may be told which axes to keep (``exclude``). Sources: MXNet 1.9.1 (behaviour), Paddle 3.3.1 operator registrations,
ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Builder, attribute, constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.constants import paddle_type, type_number
from facecvt.converters.ops.paddle_operands import ints_or_value
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, lower, to_torch
from facecvt.converters.ops.rewriting import input_to_attribute
from facecvt.converters.ops.value_facts import element_type, known_rank
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp
from facecvt.converters.torch_code import TorchCode

MXNET_REDUCTIONS = {
    **dict.fromkeys(("sum", "sum_axis"), "ReduceSum"),
    **dict.fromkeys(("max", "max_axis"), "ReduceMax"),
    **dict.fromkeys(("min", "min_axis"), "ReduceMin"),
    "mean": "ReduceMean",
    "prod": "ReduceProd",
}
PADDLE_REDUCTIONS = {
    **dict.fromkeys(("reduce_mean", "mean"), "ReduceMean"),
    **dict.fromkeys(("reduce_max", "max"), "ReduceMax"),
    **dict.fromkeys(("reduce_min", "min"), "ReduceMin"),
    **dict.fromkeys(("reduce_prod", "prod"), "ReduceProd"),
    **dict.fromkeys(("reduce_sum", "sum"), "ReduceSum"),
}
PLAIN = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd")
NORMS = ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp")


def emit_reduction(b: Builder, operator: str, x: ir.Value, axes: Sequence[int], keep: bool) -> Any:
    return b.emit(operator, [x, b.const(axes)] if axes else [x], keepdims=int(keep))


@from_mxnet(*MXNET_REDUCTIONS)
def reduce_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    x, axes, keep = op.inputs[0], op.ints("axis", ()) or [], op.boolean("keepdims", False)
    if op.op == "mean" or op.op == "sum":
        op.text("dtype", "None", allowed=("None",))
    found = known_rank(x)
    if op.boolean("exclude", False) and axes:
        if found is None:
            raise op.refuse("exclude needs an operand of known rank, and a symbol holds no shapes")
        axes = [axis for axis in range(found) if axis not in {given % found for given in axes}]
        if not axes:
            return x
    result = emit_reduction(b, MXNET_REDUCTIONS[op.op], x, axes, keep)
    # A scalar becomes a vector of one; where the rank is not known, all axes may be among the listed ones.
    all_axes = not axes or (found is None and sorted(axes) == list(range(len(axes)))) or len(axes) == found
    return b.emit("Expand", [result, b.const([1])]) if all_axes and not keep else result


@from_mxnet("norm")
def norm_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """Sum of absolute values, or root of the sum of squares; a vector of one element over everything."""
    order, axes, keep = op.integer("ord", 2), op.ints("axis", ()) or [], op.boolean("keepdims", False)
    op.text("out_dtype", "None", allowed=("None",))
    if order not in (1, 2):
        raise op.refuse(f"ord {order} is not supported")
    result = emit_reduction(b, f"ReduceL{order}", op.inputs[0], axes, keep)
    found = known_rank(op.inputs[0])
    everything = not axes or len(axes) == found or (found is None and sorted(axes) == list(range(len(axes))))
    return b.emit("Expand", [result, b.const([1])]) if everything and not keep else result


@from_paddle(*PADDLE_REDUCTIONS)
def reduce_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """``reduce_mean`` and the like; the legacy ``mean`` is over everything, the legacy ``sum`` adds tensors."""
    if op.op == "sum" and not op.pir:
        values = op.many("X", 0)
        return b.emit("Sum", values) if len(values) > 1 else values[0]
    x = op.value("X", 0)
    if op.op == "mean" and not op.pir:
        return emit_reduction(b, "ReduceMean", x, [], False)
    op.raw("in_dtype", None)
    written = op.raw("dtype" if op.pir else "out_dtype", -1)
    if written != -1 and not str(written).lower().startswith("undefined"):  # the operand is cast first
        target = type_number(op, paddle_type(op, "dtype" if op.pir else "out_dtype"))
        x = x if element_type(x) == target else b.emit("Cast", [x], to=target)
    key = "dim" if not op.pir else "dims" if op.has("dims") else "axis"
    axes = ints_or_value(op, b, key, operand=1, default=())
    if isinstance(axes, ir.Value):
        raise op.refuse("the axes must be constant")
    if op.boolean("reduce_all", False):
        axes = []
    keep = op.boolean("keepdim" if op.pir else "keep_dim", False)
    return emit_reduction(b, PADDLE_REDUCTIONS[op.op], x, axes, keep)


@from_paddle("mean_all")
def mean_all_from_paddle(op: PaddleOp, b: Builder) -> Any:
    return emit_reduction(b, "ReduceMean", op.value("X", 0), [], False)


@from_onnx(*PLAIN, *NORMS)
def reduce_from_onnx(op: OnnxOp, b: Builder) -> Any:
    """Axes are an attribute before opset 18 (ReduceSum: 13) and an input from then on."""
    written, given = op.raw("axes", None), op.input(1)
    keep, nothing = int(op.raw("keepdims", 1)), int(op.raw("noop_with_empty_axes", 0))
    if given is not None and constant(given) is None:
        raise op.refuse("axes that are computed at run time are not supported")
    array = constant(given)
    axes = list(written or []) if array is None else [int(axis) for axis in array.reshape(-1)]
    if not axes and nothing:
        if op.op not in PLAIN:
            raise op.refuse("noop_with_empty_axes is not supported here")
        return op.value(0)
    return emit_reduction(b, op.op, op.value(0), axes, bool(keep))


def lower_axes(node: ir.Node, opset: int) -> None:
    input_to_attribute(node, 1, "axes", opset)


lower("ReduceSum", below=13)(lower_axes)
for operator in (*PLAIN, *NORMS):
    if operator != "ReduceSum":
        lower(operator, below=18)(lower_axes)


# ---- PyTorch ---------------------------------------------------------------------------------------------------------

TORCH_REDUCTIONS = {
    "ReduceMean": "{}.mean({})",
    "ReduceSum": "{}.sum({})",
    "ReduceMax": "{}.amax({})",
    "ReduceMin": "{}.amin({})",
    "ReduceL1": "torch.linalg.vector_norm({}, 1, {})",
    "ReduceL2": "torch.linalg.vector_norm({}, 2, {})",
    "ReduceSumSquare": "torch.square({}).sum({})",
    "ReduceLogSumExp": "torch.logsumexp({}, {})",
}


@to_torch(*PLAIN, *NORMS)
def reduce_to_torch(node: ir.Node, t: TorchCode) -> None:
    x, found, keep = t.arg(node.inputs[0]), known_rank(node.inputs[0]), bool(attribute(node, "keepdims", 1))
    array = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if array is None and len(node.inputs) > 1 and node.inputs[1] is not None:
        raise ConversionError(f"{node.op_type} {node.name!r}: axes that are computed have no PyTorch form")
    axes = None if array is None else [int(axis) for axis in array.reshape(-1)]
    if axes is None and found is not None:
        axes = list(range(found))
    if node.op_type == "ReduceProd":
        if axes is None:
            raise ConversionError(f"ReduceProd {node.name!r}: needs an operand of known rank")
        places = sorted((axis if axis >= 0 or found is None else axis + found for axis in axes), reverse=True)
        kept = ", keepdim=True" if keep else ""
        t.assign(node.outputs[0], x + "".join(f".prod({axis}{kept})" for axis in places))
        return
    dim = f"tuple(range({x}.ndim))" if axes is None else str(axes[0] if len(axes) == 1 else tuple(axes))
    options = f"dim={dim}" + (", keepdim=True" if keep else "")
    t.assign(node.outputs[0], TORCH_REDUCTIONS[node.op_type].format(x, options))
