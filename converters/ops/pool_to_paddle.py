"""Pooling, written to Paddle.

Paddle, counting padding, takes the pad at the end of an axis for as large as the one at its begin, so unequal pads that
count are zeros put around the input; and it keeps a window that begins behind the input, which ONNX drops, so that
where that may happen pads take the ceiling's place, or the node is refused.

Source: Paddle 3.3.1 ``pool2d`` and ``pool3d``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.paddle_images import (
    as_image,
    as_sequence,
    image_shape,
    paddings,
    pads_with_height,
    with_height,
)
from facecvt.converters.ops.pool import last_window_may_begin_behind
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.ops.windows import spatial_sizes
from facecvt.converters.paddle_nodes import UNKNOWN, PaddleNodes


@to_paddle("MaxPool", "AveragePool")
def pool_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    x, result = node.inputs[0], node.outputs[0]
    kernel, count = p.attribute("kernel_shape"), len(p.attribute("kernel_shape"))
    strides, pads = p.attribute("strides", [1] * count), p.attribute("pads", [0] * 2 * count)
    ceil, counted = bool(p.attribute("ceil_mode", 0)), bool(p.attribute("count_include_pad", 0)) and any(pads)
    if len(node.outputs) > 1:
        raise p.refuse("its indices are not supported")
    if count not in (1, 2, 3):
        raise p.refuse(f"Paddle has no pool over {count} axes")
    if set(p.attribute("dilations", [1])) != {1}:
        raise p.refuse("Paddle has no pool with a dilated window")
    sizes = None if x is None else spatial_sizes(x)
    if ceil and last_window_may_begin_behind(sizes, kernel, strides, pads):
        if sizes is None or None in sizes:
            raise p.refuse(
                "with ceil_mode a window may begin behind the input, which Paddle keeps and ONNX drops; give the model "
                "a fixed input size"
            )
        if not counted:  # no window begins behind pads that reach as far as the last one that ONNX keeps
            pads, ceil = reaching_pads([size or 0 for size in sizes], kernel, strides, pads), False
    name = as_image(p, p.arg(x))
    kernel, strides, pads = with_height(kernel, 1), with_height(strides, 1), pads_with_height(pads)
    if counted and (ceil or pads[: len(kernel)] != pads[len(kernel) :]):
        name, pads, counted = with_zeros(p, name, pads), [0] * len(pads), False
    operator = "pool3d" if count == 3 else "pool2d"
    options = {
        "pooling_type": "max" if node.op_type == "MaxPool" else "avg",
        "ksize": kernel,
        "strides": strides,
        "paddings": paddings(pads),
        "exclusive": not counted,
        "ceil_mode": ceil,
    }
    shape = image_shape(p.shape(result))
    pooled = p.emit(operator, {"X": name}, None if count == 1 else result, sized=shape, **options)
    if count == 1:
        as_sequence(p, pooled, result)


def reaching_pads(
    sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], pads: Sequence[int]
) -> list[int]:
    """Pads with which counting by the floor gives the windows that ONNX's ceiling gives."""
    count, ends = len(kernel), []
    for axis, size in enumerate(sizes):
        begin, stride = pads[axis], strides[axis]
        steps = -(-(size + begin + pads[axis + count] - kernel[axis]) // stride)
        steps -= steps * stride >= size + begin
        ends.append(max(steps * stride + kernel[axis] - size - begin, 0))
    return [*pads[:count], *ends]


def with_zeros(p: PaddleNodes, name: str, pads: list[int]) -> str:
    """The image with zeros around its spatial axes."""
    count, shape = len(pads) // 2, p.shape(name)
    pairs = list(zip(pads[:count], pads[count:], strict=True))
    sizes = [UNKNOWN if size == UNKNOWN else size + sum(pair) for size, pair in zip(shape[2:], pairs, strict=True)]
    flat = [0, 0, 0, 0, *(pad for pair in pairs for pad in pair)]
    return p.emit("pad", {"X": name}, sized=(*shape[:2], *sizes), paddings=flat)


@to_paddle("GlobalAveragePool", "GlobalMaxPool")
def global_pool_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    """A mean is an adaptive pool to one place, as Paddle's own layer writes it; where there is one axis, a reduction.

    An adaptive maximum is wrong in Paddle 3.3.1 where all numbers are negative; the global one is right.
    """
    x, result, mean = node.inputs[0], node.outputs[0], node.op_type == "GlobalAveragePool"
    count = p.rank(x) - 2
    if count in (2, 3):
        operator, form = "pool2d" if count == 2 else "pool3d", "adaptive" if mean else "global_pooling"
        options: dict[str, Any] = {"pooling_type": "avg" if mean else "max", "ksize": [1] * count, form: True}
        p.emit(operator, {"X": x}, result, **options)
        return
    operator = "reduce_mean" if mean else "reduce_max"
    p.emit(operator, {"X": x}, result, dim=list(range(2, count + 2)), keep_dim=True)
