"""Convolution and transposed convolution, written to Paddle.

A bias is an elementwise_add, as Paddle's own layers write it. Convolutions of one spatial axis are those
of images of height 1. Paddle takes an ``output_padding`` smaller than its stride or dilation only; a larger one is
written as a transposed convolution without pads of which the margin is cut off, and zeros added where it was to grow.

Sources: Paddle 3.3.1 ``conv2d``, ``depthwise_conv2d``, ``conv3d``, ``conv2d_transpose``, ``conv3d_transpose``.
"""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.converters.graph import constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.conv import bias_of
from facecvt.converters.ops.paddle_images import (
    HEIGHT,
    as_image,
    as_sequence,
    image_shape,
    paddings,
    pads_with_height,
    with_height,
)
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.paddle_nodes import UNKNOWN, PaddleNodes


def filter_of(node: ir.Node, p: PaddleNodes) -> str:
    """The kernel's variable, with a height where it has one axis."""
    weight = node.inputs[1]
    shape = p.shape(weight)
    if len(shape) != 3:
        return p.arg(weight)
    if constant(weight) is not None and weight is not None:
        return p.reshaped(weight, image_shape(shape))
    return p.emit("unsqueeze2", {"X": weight}, sized=image_shape(shape), axes=[HEIGHT])


def with_bias(p: PaddleNodes, name: str, bias: ir.Value | None, into: ir.Value | None) -> str:
    """A bias added to every place of its channel.

    It is reshaped to (1, C, 1, ...) by an operator, as Paddle 3.3.1 writes it: with ``axis`` in its place the fusions
    that Paddle's predictor makes for oneDNN give wrong numbers.
    """
    count = p.rank(name)
    wide = [1, p.shape(bias)[0], *[1] * (count - 2)]
    target = [1, -1, *[1] * (count - 2)]
    reshaped = p.emit("reshape2", {"X": bias}, sized=wide, shape=target if UNKNOWN in wide else wide)
    return p.emit("elementwise_add", {"X": name, "Y": reshaped}, into)


@to_paddle("Conv")
def conv_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    count, group, bias = len(p.attribute("kernel_shape")), p.attribute("group", 1), bias_of(node)
    if count not in (1, 2, 3):
        raise p.refuse(f"Paddle has no convolution over {count} axes")
    channels = p.shape(node.inputs[1])
    depthwise = count < 3 and group > 1 and channels[1] == 1 and channels[0] != UNKNOWN and channels[0] % group == 0
    operator = "depthwise_conv2d" if depthwise else "conv3d" if count == 3 else "conv2d"
    options = {
        "strides": with_height(p.attribute("strides"), 1),
        "paddings": paddings(pads_with_height(p.attribute("pads"))),
        "dilations": with_height(p.attribute("dilations"), 1),
        "groups": group,
    }
    slots = {"Input": as_image(p, p.arg(node.inputs[0])), "Filter": filter_of(node, p)}
    shape, result = p.shape(node.outputs[0]), node.outputs[0]
    last = bias is None
    product = p.emit(operator, slots, result if last and count > 1 else None, sized=image_shape(shape), **options)
    if count == 1:
        product = as_sequence(p, product, result if last else None)
    if not last:
        with_bias(p, product, bias, result)


@to_paddle("ConvTranspose")
def conv_transpose_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    count, bias, result = len(p.attribute("kernel_shape")), bias_of(node), node.outputs[0]
    if count not in (1, 2, 3):
        raise p.refuse(f"Paddle has no transposed convolution over {count} axes")
    strides, dilations = with_height(p.attribute("strides"), 1), with_height(p.attribute("dilations"), 1)
    pads = pads_with_height(p.attribute("pads"))
    extra = with_height(p.attribute("output_padding", [0] * count), 0)
    cut: list[int] = []
    if any(more >= max(pair) for more, *pair in zip(extra, strides, dilations, strict=True)):
        cut = [-pad for pad in pads[: len(extra)]]
        cut += [more - pad for more, pad in zip(extra, pads[len(extra) :], strict=True)]
        pads, extra = [0] * len(pads), [0] * len(extra)
    options = {
        "strides": strides,
        "paddings": paddings(pads),
        "dilations": dilations,
        "groups": p.attribute("group", 1),
        "output_padding": extra if any(extra) else [],
    }
    slots = {"Input": as_image(p, p.arg(node.inputs[0])), "Filter": filter_of(node, p)}
    shape = image_shape(p.shape(result))
    steps = [name for name, wanted in (("cut", cut), ("sequence", count == 1), ("bias", bias)) if wanted]
    operator = "conv3d_transpose" if count == 3 else "conv2d_transpose"
    inner = (*shape[:2], *[UNKNOWN] * (len(shape) - 2)) if cut else shape
    product = p.emit(operator, slots, None if steps else result, sized=inner, **options)
    for step in steps:
        into = result if step == steps[-1] else None
        if step == "cut":
            product = moved_margin(p, product, cut, shape, into)
        elif step == "sequence":
            product = as_sequence(p, product, into)
        else:
            product = with_bias(p, product, bias, into)


def moved_margin(
    p: PaddleNodes, name: str, amounts: Sequence[int], shape: Sequence[int], into: ir.Value | None = None
) -> str:
    """Spatial axes cut where an amount is negative, and filled up with zeros where it is positive.

    Args:
        p: the program.
        name: variable of an image.
        amounts: one a side in ONNX's order, all begins, then all ends.
        shape: of the result.
        into: the canonical value of the result.
    """
    count = len(amounts) // 2
    begins, ends = amounts[:count], amounts[count:]
    grows = any(amount > 0 for amount in amounts)
    cut = [axis for axis in range(count) if begins[axis] < 0 or ends[axis] < 0]
    if cut:
        name = p.emit(
            "slice",
            {"Input": name},
            None if grows else into,
            sized=[*shape[:2], *[UNKNOWN] * count] if grows else shape,
            axes=[axis + 2 for axis in cut],
            starts=[max(-begins[axis], 0) for axis in cut],
            ends=[min(ends[axis], 0) or 2**31 - 1 for axis in cut],
            infer_flags=[1] * len(cut),
        )
    if grows or not cut:
        pairs = [(max(begin, 0), max(end, 0)) for begin, end in zip(begins, ends, strict=True)]
        flat = [0, 0, 0, 0, *(amount for pair in pairs for amount in pair)]
        name = p.emit("pad", {"X": name}, into, sized=shape, paddings=flat)
    return name
