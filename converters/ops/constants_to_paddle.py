"""Shapes, ranges and Cast, written to Paddle, whose ``shape`` gives int32. Source: Paddle 3.3.1 operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from facecvt.converters.formats.paddle_schema import number_of_dtype
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.elementwise_to_paddle import as_type
from facecvt.converters.ops.reduce_to_paddle import reduced
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.paddle_nodes import PaddleNodes

INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)


@to_paddle("Cast")
def cast_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    target = ir.DataType(p.attribute("to"))
    if target == ir.DataType.STRING or number_of_dtype(target.numpy()) is None:
        raise p.refuse(f"Paddle has no element type {target.name}")
    as_type(p, p.arg(node.inputs[0]), target.numpy(), node.outputs[0])


@to_paddle("Shape")
def shape_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    count = p.rank(node.inputs[0])
    start, end, _ = slice(p.attribute("start", 0), p.attribute("end")).indices(count)
    whole = p.emit("shape", {"Input": node.inputs[0]}, sized=(count,), typed=INT32)
    if (start, end) != (0, count):
        bounds: dict[str, Any] = {"axes": [0], "starts": [start], "ends": [end], "infer_flags": [1]}
        whole = p.emit("slice", {"Input": whole}, sized=(max(end - start, 0),), **bounds)
    as_type(p, whole, INT64, node.outputs[0])


@to_paddle("Size")
def size_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    sizes = p.emit("shape", {"Input": node.inputs[0]}, sized=(p.rank(node.inputs[0]),), typed=INT32)
    reduced(p, "reduce_prod", as_type(p, sizes, INT64), [0], False, node.outputs[0])


@to_paddle("Range")
def range_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    start, end, step = node.inputs
    p.emit("range", {"Start": start, "End": end, "Step": step}, node.outputs[0])
