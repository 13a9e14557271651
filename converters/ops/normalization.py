"""Batch normalisation at inference:  y = (x - mean) / sqrt(var + eps) * scale + bias,  per channel (axis 1).

What the sources leave unsaid: MXNet's eps is 1e-3 and ``fix_gamma`` is True unless written, which makes the stored
gamma count as 1; Paddle's epsilon is 1e-5, its PIR operands stand in the order x, mean, variance, scale, bias; ONNX
opsets 7 and 8 have ``spatial``, and ``spatial = 0`` means one mean and variance an element (tensors of shape (C,H,W)),
written here as  (x - mean) * factor + bias  with  factor = scale / sqrt(var + eps)  from float64, rounded once.

Sources: MXNet 1.9.1 ``BatchNormParam``, Paddle 3.3.1 ``batch_norm``, the ONNX operator specification and changelog.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Builder, attribute, constant, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, to_torch
from facecvt.converters.ops.value_facts import known_rank
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp, SourceOp
from facecvt.converters.torch_code import TorchCode


def emit_batch_norm(
    op: SourceOp, b: Builder, x: ir.Value, parameters: list[ir.Value], epsilon: float, momentum: float, axis: int = 1
) -> Any:
    """BatchNormalization over ``axis``; another axis than 1 is moved there and back.

    Args:
        op: the source node, for errors.
        b: the graph that grows.
        x: input.
        parameters: scale, bias, mean, variance, each (C,).
        epsilon: added to the variance.
        momentum: share that the running statistics keep in training, 0.9 in all three sources unless written.
        axis: the channels' axis.
    """
    rank = known_rank(x)
    if axis < 0 and rank is not None:
        axis += rank
    if axis == 1:
        return b.emit("BatchNormalization", [x, *parameters], epsilon=epsilon, momentum=momentum)
    if rank is None:
        raise op.refuse(f"channels at axis {axis} need an input of known rank; give the model an input shape")
    order = list(range(rank))
    order[1], order[axis] = order[axis], order[1]  # swapping is its own inverse
    moved = b.emit("Transpose", [x], perm=order)
    normal = b.emit("BatchNormalization", [moved, *parameters], epsilon=epsilon, momentum=momentum)
    return b.emit("Transpose", [normal], perm=order)


# ---- MXNet -----------------------------------------------------------------------------------------------------------


@from_mxnet("BatchNorm", "BatchNorm_v1", "CuDNNBatchNorm", "SyncBatchNorm", "_contrib_SyncBatchNorm")
def batch_norm_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    if len(op.inputs) != 5:
        raise op.refuse(f"has {len(op.inputs)} inputs; data, gamma, beta, moving mean and variance are expected")
    x, gamma, beta, mean, variance = op.inputs
    if op.boolean("output_mean_var", False):
        raise op.refuse("output_mean_var asks for statistics that inference does not compute")
    op.boolean("use_global_stats", False)  # inference uses the moving statistics either way
    op.raw("key", None)  # SyncBatchNorm: which training processes share statistics
    op.raw("ndev", None)
    for limit in ("min_calib_range", "max_calib_range"):
        if str(op.raw(limit, "None")) != "None":
            raise op.refuse(f"{limit} belongs to a quantised model, which is not supported")
    if op.boolean("fix_gamma", True):
        array = op.weight(gamma, "gamma")
        gamma = b.const(np.ones_like(array), array.dtype, name=f"{name_of(gamma)}/fixed")
    return emit_batch_norm(
        op,
        b,
        x,
        [gamma, beta, mean, variance],
        epsilon=op.number("eps", 1e-3),
        momentum=op.number("momentum", 0.9),
        axis=op.integer("axis", 1),
    )


# ---- Paddle ----------------------------------------------------------------------------------------------------------


@from_paddle("batch_norm", "sync_batch_norm")
def batch_norm_from_paddle(op: PaddleOp, b: Builder) -> Any:
    mean, variance = op.value("Mean", 1), op.value("Variance", 2)
    layout = op.text("data_layout", "NCHW") if op.has("data_layout") else op.text("data_format", "NCHW")
    if layout not in ("NCHW", "NHWC", "AnyLayout", "NC", "NCL", "NCDHW"):
        raise op.refuse(f"data_layout {layout!r} is not known")
    op.boolean("use_global_stats", False)  # inference uses the moving statistics either way
    scale, bias = op.optional("Scale", 3), op.optional("Bias", 4)
    like = op.weight(mean, "mean")
    return emit_batch_norm(
        op,
        b,
        op.value("X", 0),
        [
            b.const(np.ones_like(like), like.dtype) if scale is None else scale,
            b.const(np.zeros_like(like), like.dtype) if bias is None else bias,
            mean,
            variance,
        ],
        epsilon=op.number("epsilon", 1e-5),
        momentum=op.number("momentum", 0.9),
        axis=-1 if layout == "NHWC" else 1,
    )


# ---- ONNX ------------------------------------------------------------------------------------------------------------


@from_onnx("BatchNormalization")
def batch_norm_from_onnx(op: OnnxOp, b: Builder) -> Any:
    """Outputs beyond the first exist in training only; they are left out, and refused where something reads them."""
    epsilon, momentum = float(op.raw("epsilon", 1e-5)), float(op.raw("momentum", 0.9))
    if int(op.raw("training_mode", 0)):
        raise op.refuse("training_mode is on; export the model for inference")
    x, parameters = op.value(0), [op.value(index) for index in range(1, 5)]
    if op.opset < 9 and not int(op.raw("spatial", 1)):
        return per_element_norm(op, b, x, parameters, epsilon)
    return emit_batch_norm(op, b, x, parameters, epsilon, momentum)


def per_element_norm(op: OnnxOp, b: Builder, x: ir.Value, parameters: list[ir.Value], epsilon: float) -> Any:
    """``spatial = 0``: parameters are as large as one sample."""
    scale, bias, mean, variance = parameters
    wide = op.weight(scale, "scale").astype(np.float64)
    factor = wide / np.sqrt(op.weight(variance, "variance").astype(np.float64) + np.float64(np.float32(epsilon)))
    factor_value = b.const(factor, op.weight(scale, "scale").dtype, name=f"{name_of(scale)}/factor")
    return b.emit("Add", [b.emit("Mul", [b.emit("Sub", [x, mean]), factor_value]), bias])


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


@to_torch("BatchNormalization")
def batch_norm_to_torch(node: ir.Node, t: TorchCode) -> None:
    """nn.BatchNorm; PyTorch's momentum is the share of the new value, one minus the sources'."""
    rank = known_rank(node.inputs[0]) or 4
    size = {2: "1d", 3: "1d", 4: "2d", 5: "3d"}.get(rank)
    scale = constant(node.inputs[1])
    if size is None or scale is None:
        raise ConversionError(
            f"BatchNormalization {node.name!r}: PyTorch has none for {rank} dimensions or computed parameters"
        )
    momentum = 1.0 - float(attribute(node, "momentum", 0.9))
    options = f", eps={t.number(attribute(node, 'epsilon', 1e-5))}"
    options += "" if abs(momentum - 0.1) < 1e-6 else f", momentum={t.number(momentum)}"
    weight, bias, mean, variance = node.inputs[1:5]
    state: dict[str, Any] = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}
    layer = t.module(
        node, f"nn.BatchNorm{size}({scale.size}{options})", {**state, "num_batches_tracked": np.array(0, np.int64)}
    )
    t.assign(node.outputs[0], f"{layer}({t.arg(node.inputs[0])})")
