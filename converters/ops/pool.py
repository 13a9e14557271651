"""Pooling: the greatest or the mean of a window that slides over the spatial axes.

    positions = floor((size + pads - extent) / stride) + 1, or the ceiling of the quotient

With the ceiling the last window may reach behind the padded input. What the sources then do differs:

* MXNet ("full"), Paddle and PyTorch clip the window at the end of the padded input, and a mean that counts padding
  divides by what is left. ONNX says the same since opset 19, but runtimes disagreed. Such means are therefore written
  as an explicit Pad followed by a mean that counts what is there, on which all agree.
* ONNX and PyTorch drop a window that would begin behind the input and its begin pad; MXNet and Paddle keep it. Where
  that can happen a model is refused unless its sizes are known to be safe.
* MXNet's Pooling_v1 and sums always divide by (or count) the whole window: zeros at the end make it whole, since
  ceil(a / s) = floor((a + s - 1) / s). Pooling_v1's maximum counts the zeros of its padding, which is
  the same only where the input is never negative.
* Paddle, counting padding, takes the pad at the end of an axis for as large as the one at its begin; of a larger one
  the rest does not count.

Sources: MXNet 1.9.1 ``PoolingParam``, Paddle 3.3.1 ``pool2d``, the ONNX operator specification and changelog.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Builder, attribute
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.functions import cube_root
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, lower, to_torch
from facecvt.converters.ops.value_facts import known_rank
from facecvt.converters.ops.windows import (
    compact,
    dimension,
    keywords,
    mxnet_pads,
    mxnet_steps,
    onnx_pads,
    padded,
    paddle_pads,
    refuse_other_layouts,
    spatial_sizes,
    unless,
)
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp, SourceOp
from facecvt.converters.torch_code import TorchCode

MINUS_INFINITY = 'float("-inf")'


def last_window_may_begin_behind(
    sizes: Sequence[int | None] | None,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int] | None = None,
) -> bool:
    """Whether, counting positions by the ceiling, a window may begin at or behind ``begin pad + size``."""
    count = len(kernel)
    for axis in range(count):
        extent = (kernel[axis] - 1) * (dilations[axis] if dilations else 1) + 1
        begin, end, stride = pads[axis], pads[axis + count], strides[axis]
        size = sizes[axis] if sizes is not None else None
        if size is None:
            if end + stride > extent:
                return True
            continue
        steps = -(-(size + begin + end - extent) // stride)
        if steps * stride >= size + begin:
            return True
    return False


def refuse_window_behind(
    op: SourceOp, x: ir.Value, kernel: Sequence[int], strides: Sequence[int], pads: Sequence[int]
) -> None:
    """Raise where the source keeps a window that ONNX and PyTorch drop."""
    if last_window_may_begin_behind(spatial_sizes(x), kernel, strides, pads):
        raise op.refuse(
            f"kernel {tuple(kernel)}, stride {tuple(strides)} and pads {tuple(pads)} with ceiling let a window begin "
            "behind the input, which ONNX drops; give the model a fixed input size for which none does"
        )


def same_is_ceiling(x: ir.Value, kernel: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether 'same' padding of an input of unknown size is what counting by the ceiling does without any pads.

    For kernel and stride 2 it pads nothing at the begin, and one position at the end of an odd size.
    """
    sizes = spatial_sizes(x)
    unknown = sizes is None or None in sizes
    return unknown and set(kernel) == {2} and set(strides) == {2}


def with_zeros(b: Builder, x: ir.Value, pads: Sequence[int]) -> ir.Value:
    """The input with zeros around its spatial axes, as an operator of its own."""
    if not any(pads):
        return x
    count = len(pads) // 2
    result: ir.Value = b.emit("Pad", [x, b.const([0, 0, *pads[:count], 0, 0, *pads[count:]])], mode="constant")
    return result


def emit_max(
    b: Builder, x: ir.Value, kernel: Sequence[int], strides: Sequence[int], pads: Sequence[int], ceil: bool
) -> Any:
    return b.emit(
        "MaxPool",
        [x],
        kernel_shape=list(kernel),
        strides=list(strides),
        pads=list(pads),
        ceil_mode=1 if ceil else None,
    )


def emit_mean(
    b: Builder,
    x: ir.Value,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    ceil: bool,
    count_pads: bool,
) -> Any:
    """Mean over a window; ``count_pads`` divides by padding as well, up to the end of the padded input."""
    if ceil and count_pads and any(pads):
        x, pads = with_zeros(b, x, pads), [0] * len(pads)
    return b.emit(
        "AveragePool",
        [x],
        kernel_shape=list(kernel),
        strides=list(strides),
        pads=list(pads),
        ceil_mode=1 if ceil else None,
        count_include_pad=1 if count_pads and any(pads) else None,
    )


def is_non_negative(x: ir.Value) -> bool:
    """Whether a value is known to hold no negative number, through pools and what keeps the sign."""
    node = x.producer()
    while node is not None and node.op_type in ("MaxPool", "AveragePool"):
        node = node.inputs[0].producer() if len(node.inputs) == 1 and node.inputs[0] is not None else None
    return node is not None and node.op_type in ("Relu", "Sigmoid", "HardSigmoid", "Softmax", "Softplus", "Abs", "Exp")


# ---- MXNet -----------------------------------------------------------------------------------------------------------


@from_mxnet("Pooling", "Pooling_v1")
def pool_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """lp is the root of a sum of powers; MXNet does not take |x| before, so that odd powers keep their sign."""
    refuse_other_layouts(op)
    kind, x = op.text("pool_type", "max", allowed=("max", "avg", "sum", "lp")), op.inputs[0]
    if kind != "lp":
        op.raw("p_value", None)
        return pool_of_kind(op, b, x, kind)
    power = op.integer("p_value")
    if power not in (1, 2, 3):
        raise op.refuse(f"p_value {power} is not supported; 1, 2 and 3 are")
    raised = x
    for _ in range(power - 1):
        raised = b.emit("Mul", [raised, x])
    total = pool_of_kind(op, b, raised, "sum")
    return total if power == 1 else b.emit("Sqrt", [total]) if power == 2 else cube_root(b, total)


def pool_of_kind(op: MxnetOp, b: Builder, x: ir.Value, kind: str) -> Any:
    """The greatest, the mean or the sum of every window."""
    convention = op.text("pooling_convention", "valid", allowed=("valid", "full", "same"))
    count_pads = op.raw("count_include_pad", "None") in ("None", None) or op.boolean("count_include_pad")
    kernel, pads, strides = op.ints("kernel", ()) or [], op.ints("pad", ()) or [], op.ints("stride", ()) or []
    if op.boolean("global_pool", False):
        return global_pool_from_mxnet(b, x, kind, len(kernel))
    if not kernel:
        raise op.refuse("kernel is missing, and global_pool is not True")
    count = len(kernel)
    strides, pads = mxnet_steps(op, "stride", count), mxnet_pads(op, count)
    if convention == "same":
        raise op.refuse("pooling_convention 'same' is not supported")
    ceil = convention == "full"
    if ceil:
        refuse_window_behind(op, x, kernel, strides, pads)
    if kind == "max":
        if op.op == "Pooling_v1" and any(pads) and not is_non_negative(x):
            raise op.refuse(
                "Pooling_v1 counts the zeros of its padding in the maximum. That is not expressed for inputs that may "
                "be negative: ONNX Runtime would fold a Pad with zeros into MaxPool, which ignores padding"
            )
        return emit_max(b, x, kernel, strides, pads, ceil)
    if kind == "avg" and op.op == "Pooling":
        return emit_mean(b, x, kernel, strides, pads, ceil, count_pads)
    if ceil:
        ends = [end + stride - 1 for end, stride in zip(pads[count:], strides, strict=True)]
        x, pads = with_zeros(b, x, pads[:count] + ends), [0] * 2 * count
    mean = emit_mean(b, x, kernel, strides, pads, ceil=False, count_pads=True)
    return mean if kind == "avg" else b.emit("Mul", [mean, b.const(float(math.prod(kernel)), np.float32)])


def global_pool_from_mxnet(b: Builder, x: ir.Value, kind: str, kernel_rank: int) -> Any:
    """One position that covers everything; kernel, stride and pad have no say."""
    if kind == "max":
        return b.emit("GlobalMaxPool", [x])
    if kind == "avg":
        return b.emit("GlobalAveragePool", [x])
    rank = known_rank(x) or kernel_rank + 2
    return b.emit("ReduceSum", [x, b.const(list(range(2, rank)))], keepdims=1)


# ---- Paddle ----------------------------------------------------------------------------------------------------------


@from_paddle("pool2d", "pool3d", "max_pool2d_with_index")
def pool_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """``ksize`` in a legacy program; in PIR ``kernel_size``, an attribute or operand 1."""
    refuse_other_layouts(op)
    x = op.value("X", 0)
    greatest = op.op == "max_pool2d_with_index" or op.text("pooling_type", "max", allowed=("max", "avg")) == "max"
    kernel = op.ints("ksize") if op.has("ksize") else op.ints("kernel_size", operand=1)
    count_pads, ceil = not op.boolean("exclusive", True), op.boolean("ceil_mode", False)
    strides = op.ints("strides", [1] * len(kernel))
    if op.text("padding_algorithm", "EXPLICIT") == "SAME" and same_is_ceiling(x, kernel, strides):
        pads, ceil = [0] * 2 * len(kernel), True
        op.ints("paddings", [])  # not looked at by this algorithm
    else:
        pads, _ = paddle_pads(op, x, kernel, strides, [1] * len(kernel))
    adaptive, whole = op.boolean("adaptive", False), op.boolean("global_pooling", False)
    if whole or (adaptive and all(size == 1 for size in kernel)):
        return b.emit("GlobalMaxPool" if greatest else "GlobalAveragePool", [x])
    if adaptive:
        kernel = strides = adaptive_windows(op, x, kernel)
        pads, ceil = [0] * 2 * len(kernel), False
    if ceil:
        refuse_window_behind(op, x, kernel, strides, pads)
    if greatest:
        return emit_max(b, x, kernel, strides, pads, ceil)
    begins, ends = pads[: len(kernel)], pads[len(kernel) :]
    if count_pads and begins != ends:
        if ceil and any(begin > end for begin, end in zip(begins, ends, strict=True)):
            raise op.refuse(f"exclusive False with ceil_mode and paddings {begins} before, {ends} after")
        counted = [min(begin, end) for begin, end in zip(begins, ends, strict=True)]
        x, count_pads = with_zeros(b, x, begins + counted), False
        pads = [0] * len(kernel) + [end - share for end, share in zip(ends, counted, strict=True)]
    return emit_mean(b, x, kernel, strides, pads, ceil, count_pads)


def adaptive_windows(op: PaddleOp, x: ir.Value, positions: Sequence[int]) -> list[int]:
    """Kernel and stride of an adaptive pool whose windows are all of one size."""
    sizes = spatial_sizes(x)
    if sizes is None or None in sizes:
        raise op.refuse(f"adaptive pooling to {tuple(positions)} needs an input of known size")
    if any((size or 0) % wanted for size, wanted in zip(sizes, positions, strict=True)):
        raise op.refuse(f"adaptive pooling of {sizes} to {tuple(positions)} has windows of different sizes")
    return [(size or 0) // wanted for size, wanted in zip(sizes, positions, strict=True)]


# ---- ONNX ------------------------------------------------------------------------------------------------------------


@from_onnx("MaxPool", "AveragePool")
def pool_from_onnx(op: OnnxOp, b: Builder) -> Any:
    """MaxPool's second output (indices) is left out, and refused where something reads it."""
    x, kernel = op.value(0), [int(size) for size in op.raw("kernel_shape")]
    ones = [1] * len(kernel)
    strides, dilations = list(op.raw("strides", ones)), list(op.raw("dilations", ones))
    ceil, count_pads = bool(op.raw("ceil_mode", 0)), bool(op.raw("count_include_pad", 0))
    undilated = set(dilations) == {1} and not count_pads
    if op.raw("auto_pad", "") == "SAME_UPPER" and undilated and same_is_ceiling(x, kernel, strides):
        pads, ceil = [0] * 2 * len(kernel), True
    else:
        pads = onnx_pads(op, x, kernel, strides, dilations)
    op.raw("storage_order", 0)  # order of the indices only
    if op.op == "AveragePool" and ceil and count_pads and any(pads):
        if set(dilations) != {1}:
            raise op.refuse("ceil_mode with count_include_pad and dilations is not supported")
        if last_window_may_begin_behind(spatial_sizes(x), kernel, strides, pads):
            raise op.refuse("ceil_mode with count_include_pad lets a window begin behind the input")
        return emit_mean(b, x, kernel, strides, pads, ceil, count_pads)
    return b.emit(
        op.op,
        [x],
        kernel_shape=kernel,
        strides=strides,
        pads=pads,
        dilations=None if set(dilations) == {1} else dilations,
        ceil_mode=1 if ceil else None,
        count_include_pad=1 if count_pads and any(pads) else None,
    )


@from_onnx("GlobalAveragePool", "GlobalMaxPool")
def global_pool_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return b.emit(op.op, [op.value(0)])


@lower("AveragePool", below=19)
def lower_mean(node: ir.Node, opset: int) -> None:
    """Before opset 19 a mean has no dilations."""
    if set(attribute(node, "dilations", [1])) != {1}:
        raise ConversionError(
            f"AveragePool {node.name!r}: dilations need opset 19, the target has {opset}. Choose a newer --opset."
        )
    node.attributes.pop("dilations", None)


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


def refuse_dropped_window(node: ir.Node) -> None:
    """Raise where F.pad would let PyTorch keep a window that ONNX drops."""
    value, kernel = node.inputs[0], attribute(node, "kernel_shape")
    sizes = None if value is None else spatial_sizes(value)
    ones = [1] * len(kernel)
    if last_window_may_begin_behind(
        sizes, kernel, attribute(node, "strides", ones), attribute(node, "pads"), attribute(node, "dilations", ones)
    ):
        raise ConversionError(
            f"{node.op_type} {node.name!r}: with ceil_mode the pads {attribute(node, 'pads')} may drop a window that "
            "PyTorch keeps; give the model a fixed input size for which they do not"
        )


def outside_pads(node: ir.Node) -> tuple[list[int], list[int]]:
    """(pads that PyTorch's layer takes, one an axis; pads that must be put around the input before)."""
    kernel, pads = (
        attribute(node, "kernel_shape"),
        attribute(node, "pads", [0] * 2 * len(attribute(node, "kernel_shape"))),
    )
    count = len(kernel)
    if pads[:count] == pads[count:] and all(2 * pad <= size for pad, size in zip(pads, kernel, strict=False)):
        return pads[:count], []
    if attribute(node, "ceil_mode", 0):
        refuse_dropped_window(node)
    return [0] * count, pads


def pool_options(node: ir.Node, inside: Sequence[int]) -> str:
    """``3, stride=2, padding=1``; a stride equal to the kernel is PyTorch's default."""
    kernel = attribute(node, "kernel_shape")
    strides = attribute(node, "strides", [1] * len(kernel))
    return compact(kernel) + keywords(
        stride=None if strides == kernel else compact(strides),
        padding=unless(inside, 0),
        dilation=unless(attribute(node, "dilations", [1]), 1),
        ceil_mode=True if attribute(node, "ceil_mode", 0) else None,
    )


@to_torch("MaxPool")
def max_pool_to_torch(node: ir.Node, t: TorchCode) -> None:
    if len(node.outputs) > 1:
        raise ConversionError(f"MaxPool {node.name!r}: its indices are not supported")
    inside, outside = outside_pads(node)
    size = dimension(node, len(inside))
    layer = t.module(node, f"nn.MaxPool{size}({pool_options(node, inside)})")
    t.assign(node.outputs[0], f"{layer}({padded(t.arg(node.inputs[0]), outside, MINUS_INFINITY)})")


@to_torch("AveragePool")
def mean_pool_to_torch(node: ir.Node, t: TorchCode) -> None:
    """Unequal pads that do not count are taken out again by the same mean over ones."""
    if set(attribute(node, "dilations", [1])) != {1}:
        raise ConversionError(f"AveragePool {node.name!r}: PyTorch has no mean over a dilated window")
    inside, outside = outside_pads(node)
    counted = bool(attribute(node, "count_include_pad", 0))
    if counted and attribute(node, "ceil_mode", 0):
        refuse_dropped_window(node)
    size, options = dimension(node, len(inside)), pool_options(node, inside)
    if any(inside) and not counted:
        options += ", count_include_pad=False"
    layer = t.module(node, f"nn.AvgPool{size}({options})")
    data = t.arg(node.inputs[0])
    if any(outside) and not counted:
        ones = padded(f"torch.ones_like({data})", outside)
        t.assign(node.outputs[0], f"{layer}({padded(data, outside)}) / {layer}({ones})")
        return
    t.assign(node.outputs[0], f"{layer}({padded(data, outside)})")


@to_torch("GlobalAveragePool", "GlobalMaxPool")
def global_pool_to_torch(node: ir.Node, t: TorchCode) -> None:
    size = dimension(node, (known_rank(node.inputs[0]) or 4) - 2)
    kind = "Avg" if node.op_type == "GlobalAveragePool" else "Max"
    t.assign(node.outputs[0], f"{t.module(node, f'nn.Adaptive{kind}Pool{size}(1)')}({t.arg(node.inputs[0])})")
