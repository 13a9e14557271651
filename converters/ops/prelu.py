"""PRelu:  y = x where x >= 0, slope * x elsewhere, with a slope that is learned.

Canonical slopes are (1,) for one shared slope, (C,1,1) for one a channel of (N,C,H,W) (as many ones as the input has
axes behind the channels), (C,) for one a feature of (N,C). A slope of any other shape broadcasts from the last axis, as
the ONNX standard says: a bare (C,) on (N,C,H,W) belongs to the width, not to the channels.

Sources: MXNet 1.9.1 LeakyReLU with act_type prelu, Paddle 3.3.1 prelu (modes all, channel, element), the ONNX standard.
"""

from __future__ import annotations

from typing import Any

from facecvt.converters.graph import Builder, NumpyArray, constant, dims, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import from_onnx, from_paddle, to_torch
from facecvt.converters.ops.value_facts import known_rank
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp, SourceOp
from facecvt.converters.torch_code import TorchCode


def emit_prelu(op: SourceOp, b: Builder, x: ir.Value, slope: ir.Value) -> Any:
    """PRelu with one slope in all or one a channel (axis 1).

    Args:
        op: the source node, for errors.
        b: the graph that grows.
        x: input.
        slope: one element, or C in any shape.
    """
    shape = dims(slope)
    if shape is None or None in shape:
        raise op.refuse("the shape of its slope is not known")
    sizes = [int(dim) for dim in shape if dim is not None and dim != 1]
    if not sizes:
        return b.emit("PRelu", [x, b.reshaped(slope, (1,))])
    if len(sizes) > 1:
        raise op.refuse(f"a slope of shape {shape} is neither one number nor one a channel")
    rank = known_rank(x)
    if rank is None:
        raise op.refuse("one slope a channel needs an input of known rank; give the model an input shape")
    if rank < 2:
        raise op.refuse(f"an input of {rank} dimension(s) has no channels")
    return b.emit("PRelu", [x, b.reshaped(slope, (*sizes, *[1] * (rank - 2)))])


def prelu_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """The prelu form of LeakyReLU; called by its rule."""
    if len(op.inputs) != 2:
        raise op.refuse("act_type prelu needs a slope as second input")
    op.raw("slope", None)  # the slope is an input; the numbers belong to other act_types
    return emit_prelu(op, b, op.inputs[0], op.inputs[1])


@from_paddle("prelu")
def prelu_from_paddle(op: PaddleOp, b: Builder) -> Any:
    mode = op.text("mode", "all", allowed=("all", "channel", "element"))
    layout = op.text("data_format", "NCHW")
    x, slope = op.value("X", 0), op.value("Alpha", 1)
    if mode == "element":
        shape = dims(slope)
        if shape is None or None in shape:
            raise op.refuse("the shape of its slope is not known")
        sample = [int(dim) for dim in shape if dim is not None]
        rank = known_rank(x)
        if rank is not None and len(sample) == rank and sample[0] == 1:
            sample = sample[1:]
        return b.emit("PRelu", [x, b.reshaped(slope, sample)])
    if mode == "channel" and layout not in ("NCHW", "NC", "NCL", "NCDHW", "AnyLayout"):
        raise op.refuse(f"data_format {layout!r} is not supported")
    return emit_prelu(op, b, x, slope)


@from_onnx("PRelu")
def prelu_from_onnx(op: OnnxOp, b: Builder) -> Any:
    """Leading ones of the slope say nothing, and go."""
    x, slope = op.value(0), op.value(1)
    array = constant(slope)
    if array is None:
        return b.emit("PRelu", [x, slope])
    shape = list(array.shape) or [1]
    while len(shape) > 1 and shape[0] == 1:
        del shape[0]
    return b.emit("PRelu", [x, b.reshaped(slope, shape)])


@to_torch("PRelu")
def prelu_to_torch(node: ir.Node, t: TorchCode) -> None:
    """nn.PReLU for one slope or one a channel; any other slope is a parameter of the model itself."""
    x, slope = node.inputs[0], node.inputs[1]
    array = constant(slope)
    if array is not None and slope is not None and (array.size == 1 or is_per_channel(array, known_rank(x))):
        count = "" if array.size == 1 else str(array.size)
        layer = t.module(node, f"nn.PReLU({count})", {"weight": flat(slope, array)})
        t.assign(node.outputs[0], f"{layer}({t.arg(x)})")
        return
    data, factor = t.arg(x), t.arg(slope) if array is None or slope is None else t.parameter(slope)
    t.assign(node.outputs[0], f"torch.where({data} >= 0, {data}, {factor} * {data})")


def is_per_channel(array: NumpyArray, rank: int | None) -> bool:
    """Whether a slope broadcasts along axis 1; of an input of unknown rank, (C,1,1) is taken for (N,C,H,W)."""
    if rank is None:
        return array.ndim == 3 and array.shape[1:] == (1, 1)
    return array.ndim == rank - 1 and all(dim == 1 for dim in array.shape[1:])


def flat(slope: ir.Value, array: NumpyArray) -> ir.Value:
    """The slope as nn.PReLU holds it, (C,), under its own name."""
    name = name_of(slope)
    return ir.Value(name=name, const_value=ir.Tensor(array.reshape(-1), name=name))
