"""Convolution and transposed convolution.

    Conv            y[o] = b[o] + sum_{i,k} w[o, i, k] * x[i, s*p + d*k - pad]     w (out, in/group, *kernel)
    ConvTranspose   the gradient of Conv with respect to its input                 w (in, out/group, *kernel)
                    size = s*(n - 1) + output_padding + d*(kernel - 1) + 1 - pads

MXNet: Convolution, Deconvolution (``no_bias`` is True unless written; ``target_shape`` settles pad and adj). Paddle:
conv2d, depthwise_conv2d, conv2d_transpose and their 3-D forms. Sources: the operators' registrations in MXNet 1.9.1
and Paddle 3.3.1 (infer-shape functions), the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Builder, attribute, constant, dims
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, to_torch
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


def emit_conv(
    b: Builder,
    operator: str,
    inputs: Sequence[ir.Value | None],
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    group: int,
    output_padding: Sequence[int] | None = None,
) -> Any:
    """One Conv or ConvTranspose with every attribute written out."""
    return b.emit(
        operator,
        [value for value in inputs if value is not None],
        kernel_shape=list(kernel),
        strides=list(strides),
        pads=list(pads),
        dilations=list(dilations),
        group=group,
        output_padding=list(output_padding) if output_padding and any(output_padding) else None,
    )


def kernel_of(op: SourceOp, weight: ir.Value, declared: Sequence[int] | None = None) -> list[int]:
    """The kernel's size: the weight's own, held against what the attribute says."""
    shape = dims(weight)
    own = [dim for dim in shape[2:] if dim is not None] if shape is not None else []
    if not own or (shape is not None and len(own) != len(shape) - 2):
        if not declared:
            raise op.refuse("the kernel size is neither an attribute nor the shape of a weight")
        return list(declared)
    if declared and list(declared) != own:
        raise op.refuse(f"attribute kernel {tuple(declared)} does not fit the weight of shape {shape}")
    return own


# ---- MXNet -----------------------------------------------------------------------------------------------------------


def mxnet_inputs(op: MxnetOp, no_bias_default: bool) -> list[ir.Value]:
    """Data, weight and, unless no_bias, bias."""
    count = 2 if op.boolean("no_bias", no_bias_default) else 3
    if len(op.inputs) != count:
        raise op.refuse(f"has {len(op.inputs)} inputs where {count} are expected")
    return op.inputs


@from_mxnet("Convolution", "Convolution_v1")
def conv_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    refuse_other_layouts(op)
    inputs = mxnet_inputs(op, no_bias_default=False)
    kernel = kernel_of(op, inputs[1], op.ints("kernel"))
    filters, shape = op.integer("num_filter"), dims(inputs[1])
    if shape is not None and shape[0] != filters:
        raise op.refuse(f"num_filter {filters} does not fit the weight of shape {shape}")
    count = len(kernel)
    strides, dilations = mxnet_steps(op, "stride", count), mxnet_steps(op, "dilate", count)
    return emit_conv(b, "Conv", inputs, kernel, strides, mxnet_pads(op, count), dilations, op.integer("num_group", 1))


@from_mxnet("Deconvolution")
def deconv_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    refuse_other_layouts(op)
    inputs = mxnet_inputs(op, no_bias_default=True)
    kernel = kernel_of(op, inputs[1], op.ints("kernel"))
    group, shape = op.integer("num_group", 1), dims(inputs[1])
    filters = op.integer("num_filter")
    if shape is not None and shape[1] is not None and shape[1] * group != filters:
        raise op.refuse(f"num_filter {filters} does not fit the weight of shape {shape} in {group} group(s)")
    count = len(kernel)
    strides, dilations = mxnet_steps(op, "stride", count), mxnet_steps(op, "dilate", count)
    pads, extra = mxnet_pads(op, count), op.ints("adj", ()) or [0] * count
    target = op.ints("target_shape", ())
    if target and any(target):
        pads, extra = pads_for_target(op, inputs[0], target, kernel, strides, dilations)
    return emit_conv(b, "ConvTranspose", inputs, kernel, strides, pads, dilations, group, extra)


def pads_for_target(
    op: MxnetOp,
    value: ir.Value,
    target: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[list[int], list[int]]:
    """MXNet's pads for a wanted output size: half of what is too much at the end, the larger half at the begin."""
    sizes = spatial_sizes(value)
    if sizes is None or None in sizes:
        raise op.refuse("target_shape needs an input of known size; give the model a fixed input size")
    begins, ends = [], []
    for size, wanted, window, stride, dilation in zip(sizes, target, kernel, strides, dilations, strict=True):
        surplus = stride * ((size or 0) - 1) + (window - 1) * dilation + 1 - wanted
        if surplus < 0:
            raise op.refuse(f"target_shape {tuple(target)} is larger than what the input gives")
        begins.append((surplus + 1) // 2)
        ends.append(surplus // 2)
    return begins + ends, [0] * len(begins)


# ---- Paddle ----------------------------------------------------------------------------------------------------------


def paddle_inputs(op: PaddleOp) -> list[ir.Value | None]:
    """Input, filter and the bias that a fused program has in a slot of its own."""
    if op.optional("ResidualData", None) is not None:
        raise op.refuse("a fused residual input is not supported; convert the program before such fusion")
    return [op.value("Input", 0), op.value("Filter", 1), op.optional("Bias", None)]


@from_paddle("conv2d", "depthwise_conv2d", "conv3d")
def conv_from_paddle(op: PaddleOp, b: Builder) -> Any:
    refuse_other_layouts(op)
    inputs = paddle_inputs(op)
    kernel = kernel_of(op, op.value("Filter", 1))
    ones = [1] * len(kernel)
    strides = op.ints("strides", ones)
    pads, dilations = paddle_pads(op, op.value("Input", 0), kernel, strides, op.ints("dilations", ones))
    return emit_conv(b, "Conv", inputs, kernel, strides, pads, dilations, op.integer("groups", 1))


@from_paddle("conv2d_transpose", "depthwise_conv2d_transpose", "conv3d_transpose")
def conv_transpose_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """``output_size`` (an attribute, in PIR an operand) adds to the end what strides leave open."""
    refuse_other_layouts(op)
    inputs = paddle_inputs(op)
    value = op.value("Input", 0)
    kernel = kernel_of(op, op.value("Filter", 1))
    ones = [1] * len(kernel)
    strides = op.ints("strides", ones)
    pads, dilations = paddle_pads(op, value, kernel, strides, op.ints("dilations", ones))
    extra = op.ints("output_padding", []) or [0] * len(kernel)
    wanted = op.ints("output_size", [], operand=2)
    if wanted:
        sizes = spatial_sizes(value)
        if sizes is None or None in sizes:
            raise op.refuse("output_size needs an input of known size")
        least = transposed_sizes(sizes, kernel, strides, pads, dilations)
        extra = [size - smallest for size, smallest in zip(wanted, least, strict=True)]
        if any(not 0 <= more < stride for more, stride in zip(extra, strides, strict=True)):
            raise op.refuse(f"output_size {wanted} is out of reach; {least} is the smallest")
    return emit_conv(b, "ConvTranspose", inputs, kernel, strides, pads, dilations, op.integer("groups", 1), extra)


def transposed_sizes(
    sizes: Sequence[int | None],
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
) -> list[int]:
    """Output sizes of a transposed convolution without output padding."""
    count = len(kernel)
    return [
        strides[axis] * ((sizes[axis] or 0) - 1) + (kernel[axis] - 1) * dilations[axis] + 1
        - pads[axis] - pads[axis + count]
        for axis in range(count)
    ]  # fmt: skip


# ---- ONNX ------------------------------------------------------------------------------------------------------------


@from_onnx("Conv")
def conv_from_onnx(op: OnnxOp, b: Builder) -> Any:
    kernel = kernel_of(op, op.value(1), op.raw("kernel_shape", None))
    ones = [1] * len(kernel)
    strides, dilations = op.raw("strides", ones), op.raw("dilations", ones)
    pads = onnx_pads(op, op.value(0), kernel, strides, dilations)
    return emit_conv(b, "Conv", op.inputs, kernel, strides, pads, dilations, op.raw("group", 1))


@from_onnx("ConvTranspose")
def conv_transpose_from_onnx(op: OnnxOp, b: Builder) -> Any:
    """``output_shape`` and auto_pad are turned into pads where the input's size is known."""
    kernel = kernel_of(op, op.value(1), op.raw("kernel_shape", None))
    count = len(kernel)
    ones = [1] * count
    strides, dilations = op.raw("strides", ones), op.raw("dilations", ones)
    extra = list(op.raw("output_padding", [0] * count))
    pads = [int(pad) for pad in op.raw("pads", [0] * 2 * count)]
    mode, wanted = str(op.raw("auto_pad", "NOTSET")), op.raw("output_shape", None)
    if mode == "VALID":
        pads = [0] * 2 * count
    if wanted is not None or mode.startswith("SAME"):
        sizes = spatial_sizes(op.value(0))
        if sizes is None or None in sizes:
            raise op.refuse(f"auto_pad {mode} and output_shape need an input of known size")
        target = list(wanted)[-count:] if wanted is not None else [
            (size or 0) * stride for size, stride in zip(sizes, strides, strict=True)
        ]  # fmt: skip
        full = transposed_sizes(sizes, kernel, strides, [0] * 2 * count, dilations)
        totals = [size + more - goal for size, more, goal in zip(full, extra, target, strict=True)]
        if min(totals) < 0:
            raise op.refuse(f"output_shape {target} is larger than what the input gives")
        halves = [total // 2 for total in totals]
        rests = [total - half for total, half in zip(totals, halves, strict=True)]
        pads = halves + rests if mode == "SAME_UPPER" else rests + halves
    elif mode not in ("NOTSET", "", "VALID"):
        raise op.refuse(f"auto_pad {mode!r} is not an ONNX value")
    return emit_conv(b, "ConvTranspose", op.inputs, kernel, strides, pads, dilations, op.raw("group", 1), extra)


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


def bias_of(node: ir.Node) -> ir.Value | None:
    return node.inputs[2] if len(node.inputs) > 2 else None


@to_torch("Conv")
def conv_to_torch(node: ir.Node, t: TorchCode) -> None:
    """nn.Conv; unequal pads go before it. A kernel that is computed goes through the function form."""
    kernel, pads = attribute(node, "kernel_shape"), attribute(node, "pads")
    count, group = len(kernel), attribute(node, "group", 1)
    begins, ends = pads[:count], pads[count:]
    outside = [] if begins == ends else pads
    options = keywords(
        stride=unless(attribute(node, "strides"), 1),
        padding=None if outside else unless(begins, 0),
        dilation=unless(attribute(node, "dilations"), 1),
        groups=None if group == 1 else group,
    )
    weight, bias = node.inputs[1], bias_of(node)
    data, size = padded(t.arg(node.inputs[0]), outside), dimension(node, count)
    array = constant(weight)
    if array is None or (bias is not None and constant(bias) is None):
        arguments = f"{data}, {t.arg(weight)}, {t.arg(bias)}"
        t.assign(node.outputs[0], f"F.conv{size}({arguments}{options})")
        return
    channels = f"{array.shape[1] * group}, {array.shape[0]}, {compact(kernel)}"
    constructor = f"nn.Conv{size}({channels}{options}{'' if bias is not None else ', bias=False'})"
    layer = t.module(node, constructor, {"weight": weight, "bias": bias})
    t.assign(node.outputs[0], f"{layer}({data})")


@to_torch("ConvTranspose")
def conv_transpose_to_torch(node: ir.Node, t: TorchCode) -> None:
    """nn.ConvTranspose; a larger pad at the begin is an output padding, any other difference is cut off afterwards."""
    kernel, pads = attribute(node, "kernel_shape"), attribute(node, "pads")
    count, group = len(kernel), attribute(node, "group", 1)
    strides, dilations = attribute(node, "strides"), attribute(node, "dilations")
    begins, ends, extra = pads[:count], pads[count:], attribute(node, "output_padding", [0] * count)
    shift = [more + begin - end for more, begin, end in zip(extra, begins, ends, strict=True)]
    cut = [0] * 2 * count
    limits = [max(stride, dilation) for stride, dilation in zip(strides, dilations, strict=True)]
    if any(not 0 <= more < limit for more, limit in zip(shift, limits, strict=True)):
        shift = [max(more - end, 0) for more, end in zip(extra, ends, strict=True)]
        cut = [-begin for begin in begins] + [min(more - end, 0) for more, end in zip(extra, ends, strict=True)]
        begins = [0] * count
    if any(more >= limit for more, limit in zip(shift, limits, strict=True)):
        raise ConversionError(
            f"ConvTranspose {node.name!r}: PyTorch has no output_padding as large as its stride ({shift}, {strides})"
        )
    array, bias = constant(node.inputs[1]), bias_of(node)
    if array is None or (bias is not None and constant(bias) is None):
        raise ConversionError(f"ConvTranspose {node.name!r}: its weights must be constants")
    options = keywords(
        stride=unless(strides, 1),
        padding=unless(begins, 0),
        output_padding=unless(shift, 0),
        groups=None if group == 1 else group,
        bias=None if bias is not None else False,
        dilation=unless(dilations, 1),
    )
    channels = f"{array.shape[0]}, {array.shape[1] * group}, {compact(kernel)}"
    constructor = f"nn.ConvTranspose{dimension(node, count)}({channels}{options})"
    layer = t.module(node, constructor, {"weight": node.inputs[1], "bias": bias})
    t.assign(node.outputs[0], padded(f"{layer}({t.arg(node.inputs[0])})", cut))
