"""Normalisation by statistics of the sample itself.

    InstanceNormalization  mean and variance of each channel over height and width
    LayerNormalization     mean and variance over the last axes
    group_norm (Paddle)    mean and variance over height, width and the channels of a group; written out as the
                           InstanceNormalization of the groups, then scale and bias of the channels

    y = (x - mean) / sqrt(var + eps) * scale + bias, with the variance divided by the count, not by count - 1

eps: MXNet 1e-3 (InstanceNorm) and 1e-5 (LayerNorm), Paddle 1e-5, ONNX 1e-5. Paddle's layer_norm keeps scale and bias
flat whatever the normalised shape. Sources: MXNet 1.9.1 ``InstanceNormParam`` and ``LayerNormParam``, Paddle 3.3.1
``instance_norm``, ``layer_norm`` and ``group_norm``, the ONNX operator specification.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Builder, attribute, constant, dims
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, lower, to_torch
from facecvt.converters.ops.rewriting import add_constant, become, insert_before
from facecvt.converters.ops.unchanged import unchanged
from facecvt.converters.ops.value_facts import known_rank
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp
from facecvt.converters.torch_code import TorchCode

# ---- MXNet -----------------------------------------------------------------------------------------------------------


@from_mxnet("InstanceNorm")
def instance_norm_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit("InstanceNormalization", op.inputs, epsilon=op.number("eps", 1e-3))


@from_mxnet("LayerNorm")
def layer_norm_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    x, gamma, beta = op.inputs
    axis, epsilon = op.integer("axis", -1), op.number("eps", 1e-5)
    if op.boolean("output_mean_var", False):
        raise op.refuse("output_mean_var is not supported")
    rank = known_rank(x)
    if axis == -1 or (rank is not None and axis % rank == rank - 1):
        return b.emit("LayerNormalization", [x, gamma, beta], axis=-1, epsilon=epsilon)
    if rank is None:
        raise op.refuse(f"axis {axis} needs an input of known rank; give the model an input shape")
    order = list(range(rank))
    order[axis], order[-1] = order[-1], order[axis]  # swapping is its own inverse
    normal = b.emit("LayerNormalization", [b.emit("Transpose", [x], perm=order), gamma, beta], axis=-1, epsilon=epsilon)
    return b.emit("Transpose", [normal], perm=order)


@from_mxnet("GroupNorm")
def group_norm_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """Scale and bias are of the groups here, not of the channels."""
    x, gamma, beta = op.inputs
    if op.boolean("output_mean_var", False):
        raise op.refuse("output_mean_var is not supported")
    flat = b.emit("Reshape", [x, b.const([0, op.integer("num_groups", 1), -1])])
    normal = b.emit("InstanceNormalization", [flat, gamma, beta], epsilon=op.number("eps", 1e-5))
    return b.emit("Reshape", [normal, own_shape(b, x)])


# ---- Paddle ----------------------------------------------------------------------------------------------------------


def filled(b: Builder, given: ir.Value | None, shape: list[int], number: float) -> ir.Value:
    """A parameter in the shape it is used in; where the source has none, all its elements are ``number``."""
    return b.const(np.full(shape, number), np.float32) if given is None else b.reshaped(given, shape)


def whole(op: PaddleOp, sizes: list[int | None], what: str) -> list[int]:
    """Sizes that are all known."""
    if None in sizes:
        raise op.refuse(f"{what} must be known, but is {sizes}")
    return [size for size in sizes if size is not None]


@from_paddle("instance_norm")
def instance_norm_from_paddle(op: PaddleOp, b: Builder) -> Any:
    x, scale, bias = op.value("X", 0), op.optional("Scale", 1), op.optional("Bias", 2)
    shape = dims(scale) or dims(bias) or (dims(x) or (None, None))[1:2]
    channels = whole(op, list(shape), "the number of channels")
    parameters = [filled(b, scale, channels, 1.0), filled(b, bias, channels, 0.0)]
    return b.emit("InstanceNormalization", [x, *parameters], epsilon=op.number("epsilon", 1e-5))


@from_paddle("layer_norm")
def layer_norm_from_paddle(op: PaddleOp, b: Builder) -> Any:
    x, axis = op.value("X", 0), op.integer("begin_norm_axis", 1)
    shape = dims(x)
    if shape is None:
        raise op.refuse("the rank of its input is not known")
    sample = whole(op, list(shape[axis:]), "the normalised shape")
    scale, bias = filled(b, op.optional("Scale", 1), sample, 1.0), filled(b, op.optional("Bias", 2), sample, 0.0)
    return b.emit("LayerNormalization", [x, scale, bias], axis=-len(sample), epsilon=op.number("epsilon", 1e-5))


@from_paddle("group_norm")
def group_norm_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """Channels behind the batch, or (NHWC and the like) last; mean and variance, its other outputs, are left out."""
    x, scale, bias = op.value("X", 0), op.optional("Scale", 1), op.optional("Bias", 2)
    groups, epsilon = op.integer("groups"), op.number("epsilon", 1e-5)
    layout = op.text("data_format" if op.pir else "data_layout", "NCHW")
    rank = known_rank(x)
    if rank is None or rank < 2:
        raise op.refuse("the rank of its input must be known, and 2 at least")
    last = layout.endswith("C") and layout != "NC"
    if last:
        x = b.emit("Transpose", [x], perm=[0, rank - 1, *range(1, rank - 1)])
    flat = b.emit("Reshape", [x, b.const([0, groups, -1])])
    ones, zeros = (b.const(np.full(groups, number), np.float32) for number in (1.0, 0.0))
    result = b.emit("InstanceNormalization", [flat, ones, zeros], epsilon=epsilon)
    result = b.emit("Reshape", [result, own_shape(b, x)])
    for operator, given in (("Mul", scale), ("Add", bias)):
        if given is not None:
            channels = whole(op, list(dims(given) or (None,)), "the number of channels")
            result = b.emit(operator, [result, b.reshaped(given, [*channels, *[1] * (rank - 2)])])
    return b.emit("Transpose", [result], perm=[0, *range(2, rank), 1]) if last else result


def own_shape(b: Builder, x: ir.Value) -> ir.Value:
    """The shape of a value as the target of a Reshape of the same batch: constant where one size is free at most."""
    sizes = [0, *(dims(x) or (None, None, None))[1:]]
    if sizes.count(None) > 1:
        computed: ir.Value = b.emit("Shape", [x])
        return computed
    fixed: ir.Value = b.const([-1 if size is None else size for size in sizes])
    return fixed


# ---- ONNX ------------------------------------------------------------------------------------------------------------


@from_onnx("InstanceNormalization")
def instance_norm_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b, "epsilon")


@from_onnx("LayerNormalization")
def layer_norm_from_onnx(op: OnnxOp, b: Builder) -> Any:
    """Its statistics, outputs 2 and 3, are left out, and refused where something reads them."""
    if int(op.raw("stash_type", 1)) != 1:
        raise op.refuse("stash_type other than float32 is not supported")
    return b.emit("LayerNormalization", op.inputs, axis=op.raw("axis", -1), epsilon=float(op.raw("epsilon", 1e-5)))


@lower("LayerNormalization", below=17)
def lower_layer_norm(node: ir.Node, opset: int) -> None:
    """Written out; the scale has as many axes as are normalised."""
    x, scale, bias = [*node.inputs, None][:3]
    array = constant(scale)
    if array is None:
        raise ConversionError(f"LayerNormalization {node.name!r}: opset {opset} needs its scale as a weight")
    axes = list(range(-array.ndim, 0))
    epsilon = add_constant(node, attribute(node, "epsilon", 1e-5), array.dtype)
    centred = insert_before(node, "Sub", [x, insert_before(node, "ReduceMean", [x], axes=axes, keepdims=1)])
    squares = insert_before(node, "Mul", [centred, centred])
    variance = insert_before(node, "ReduceMean", [squares], axes=axes, keepdims=1)
    spread = insert_before(node, "Sqrt", [insert_before(node, "Add", [variance, epsilon])])
    normal = insert_before(node, "Div", [centred, spread])
    if bias is None:
        become(node, "Mul", [normal, scale])
    else:
        become(node, "Add", [insert_before(node, "Mul", [normal, scale]), bias])


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


@to_torch("InstanceNormalization")
def instance_norm_to_torch(node: ir.Node, t: TorchCode) -> None:
    x, scale, bias = node.inputs
    rank = known_rank(x) or 4
    array = constant(scale)
    if array is None or rank not in (3, 4, 5):
        raise ConversionError(
            f"InstanceNormalization {node.name!r}: PyTorch has none for {rank} dimensions or computed parameters"
        )
    epsilon = t.number(attribute(node, "epsilon", 1e-5))
    layer = t.module(
        node, f"nn.InstanceNorm{rank - 2}d({array.size}, eps={epsilon}, affine=True)", {"weight": scale, "bias": bias}
    )
    t.assign(node.outputs[0], f"{layer}({t.arg(x)})")


@to_torch("LayerNormalization")
def layer_norm_to_torch(node: ir.Node, t: TorchCode) -> None:
    """nn.LayerNorm normalises as many axes as its scale has."""
    x, scale, bias = [*node.inputs, None][:3]
    array, rank = constant(scale), known_rank(x)
    axis = attribute(node, "axis", -1)
    if array is None or (axis < 0 and -axis != array.ndim) or (rank is not None and axis % rank != rank - array.ndim):
        raise ConversionError(f"LayerNormalization {node.name!r}: its scale must be a weight of the normalised shape")
    shape = array.size if array.ndim == 1 else tuple(array.shape)
    options = f"eps={t.number(attribute(node, 'epsilon', 1e-5))}{', bias=False' if bias is None else ''}"
    layer = t.module(node, f"nn.LayerNorm({shape}, {options})", {"weight": scale, "bias": bias})
    t.assign(node.outputs[0], f"{layer}({t.arg(x)})")
