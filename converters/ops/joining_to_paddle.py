"""Tensors put together, taken apart and repeated, written to Paddle.

Paddle's expand_v2 wants -1 where a dimension is kept. To a shape that is computed a tensor is brought by multiplying it
with ones of that shape, which changes no number and broadcasts both ways as ONNX does; one number fills that shape.
Source: Paddle 3.3.1 operators.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facecvt.converters.formats.paddle_schema import number_of_dtype
from facecvt.converters.graph import constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.elementwise_to_paddle import as_type
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.paddle_nodes import UNKNOWN, PaddleNodes

BOOL, INT32, FLOAT32 = np.dtype(np.bool_), np.dtype(np.int32), np.dtype(np.float32)


@to_paddle("Concat")
def concat_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    p.emit("concat", {"X": [p.arg(value) for value in node.inputs]}, node.outputs[0], axis=p.attribute("axis"))


@to_paddle("Split")
def split_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    """Into sections, or into equal parts, the last of which ONNX lets be smaller."""
    x, count = node.inputs[0], len(node.outputs)
    axis = p.attribute("axis", 0) % p.rank(x)  # Paddle takes a negative one for another
    whole = p.shape(x)[axis]
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        options: dict[str, Any] = {"sections": p.ints(node.inputs[1], "sizes")}
    elif whole != UNKNOWN and whole % count:
        step = -(-whole // count)
        options = {"sections": [*[step] * (count - 1), whole - step * (count - 1)]}
    else:
        options = {"num": count}
    p.emit_many("split", {"X": x}, list(node.outputs), axis=axis, **options)


@to_paddle("Tile")
def tile_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    x, repeats = node.inputs[0], node.inputs[1]
    if constant(repeats) is None:
        p.emit("tile", {"X": x, "RepeatTimes": repeats}, node.outputs[0])
    else:
        p.emit("tile", {"X": x}, node.outputs[0], repeat_times=p.ints(repeats, "repeats"))


@to_paddle("Expand")
def expand_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    x, given, result = node.inputs[0], node.inputs[1], node.outputs[0]
    target = constant(given)
    if target is None:
        number = filling_number(p, x, given)
        if number is None:
            expand_to_computed(p, p.arg(x), p.arg(given), result)
        else:
            dtype = number_of_dtype(FLOAT32)
            p.emit("fill_constant", {"ShapeTensor": given}, result, value=number, dtype=dtype)
        return
    shape, wanted = p.shape(x), [int(size) for size in target.reshape(-1)]
    count = max(len(shape), len(wanted))
    missing = count - len(shape)
    wanted = [1] * (count - len(wanted)) + wanted
    sizes = [size if axis < missing or size != 1 else -1 for axis, size in enumerate(wanted)]
    p.emit("expand_v2", {"X": x}, result, shape=sizes)


def filling_number(p: PaddleNodes, x: ir.Value | None, target: ir.Value | None) -> float | None:
    """The one finite number, held exactly by fill_constant's attribute, that is to fill the whole of a target shape."""
    array = constant(x)
    if array is None or array.size != 1 or array.dtype != FLOAT32 or not np.isfinite(array).all():
        return None
    return float(array.item()) if array.ndim == 0 or array.ndim <= p.shape(target)[0] else None


def expand_to_computed(p: PaddleNodes, name: str, target: str, into: ir.Value) -> None:
    kind = p.dtype(name)
    inner = INT32 if kind == BOOL else kind
    shape = (UNKNOWN,) * max(p.shape(target)[0], 0)
    number = number_of_dtype(inner)
    ones = p.emit("fill_constant", {"ShapeTensor": target}, sized=shape, typed=inner, value=1.0, dtype=number)
    product = {"X": as_type(p, name, inner), "Y": ones}
    if inner == kind:
        p.emit("elementwise_mul", product, into)
    else:
        as_type(p, p.emit("elementwise_mul", product, sized=p.shape(into)), kind, into)
