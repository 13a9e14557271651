"""Numbers counted up along an axis of another value, whose length is known at run time.

    MXNet  _contrib_arange_like(data, start, step, repeat, axis)   start + step * (place // repeat)

With an axis the result is a vector of that axis's length, without one it has the shape of ``data`` and counts through
all of it. Source: MXNet 1.9.1, ``src/operator/tensor/init_op.h`` (RangeLikeParam).
"""

from __future__ import annotations

from typing import Any

from facecvt.converters.graph import Builder
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import from_mxnet
from facecvt.converters.ops.value_facts import element_type
from facecvt.converters.source_ops import MxnetOp


@from_mxnet("_contrib_arange_like")
def arange_like_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    start, step, repeat = op.number("start", 0.0), op.number("step", 1.0), op.integer("repeat", 1)
    op.raw("ctx", None)
    x, whole = op.inputs[0], op.text("axis", "None") == "None"
    axis = 0 if whole else op.integer("axis")
    count = b.emit("Size", [x]) if whole else b.emit("Gather", [b.emit("Shape", [x]), b.const(axis)], axis=0)
    places = b.emit("Range", [b.const(0), count, b.const(1)])
    if repeat != 1:
        places = b.emit("Div", [places, b.const(repeat)])
    kind = element_type(x) or ir.DataType.FLOAT
    numbers = b.emit("Cast", [places], to=int(kind))
    if step != 1.0:
        numbers = b.emit("Mul", [numbers, b.const(step, kind.numpy())])
    if start != 0.0:
        numbers = b.emit("Add", [numbers, b.const(start, kind.numpy())])
    return b.emit("Reshape", [numbers, b.emit("Shape", [x])]) if whole else numbers


def counted(b: Builder, like: ir.Value, axis: int) -> ir.Value:
    """0, 1, 2, ... as float32, as many as an axis of a value is long."""
    count = b.emit("Gather", [b.emit("Shape", [like]), b.const(axis)], axis=0)
    places: ir.Value = b.emit("Cast", [b.emit("Range", [b.const(0), count, b.const(1)])], to=int(ir.DataType.FLOAT))
    return places


def length(b: Builder, like: ir.Value, axis: int) -> ir.Value:
    """The length of an axis as a float32 scalar."""
    count = b.emit("Gather", [b.emit("Shape", [like]), b.const(axis)], axis=0)
    number: ir.Value = b.emit("Cast", [count], to=int(ir.DataType.FLOAT))
    return number
