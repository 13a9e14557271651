"""Convolution and transposed convolution as MXNet's Convolution and Deconvolution.

Deconvolution's ``adj`` adds to the end what ``output_padding`` adds there; a smaller pad at the end is such an addition
too. What is left of unequal pads is cut off afterwards. Source: MXNet 1.9.1 ``DeconvolutionParam``.
"""

from __future__ import annotations

from facecvt.converters.graph import attribute
from facecvt.converters.mxnet_nodes import Edge, MxnetNodes
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.conv import bias_of
from facecvt.converters.ops.registry import to_mxnet
from facecvt.converters.ops.windows_to_mxnet import layout_of, padded, pads_of, steps


def operands(node: ir.Node, m: MxnetNodes) -> list[Edge]:
    """Weight and, where there is one, bias."""
    bias = bias_of(node)
    return [m.arg(node.inputs[1]), *([] if bias is None else [m.arg(bias)])]


def weight_size(node: ir.Node, m: MxnetNodes, axis: int) -> int:
    """One dimension of the weight."""
    shape = m.shape(node.inputs[1])
    size = None if shape is None else shape[axis]
    if not isinstance(size, int):
        raise m.refuse(node, "the shape of its weight must be known")
    return size


@to_mxnet("Conv")
def conv_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    kernel = attribute(node, "kernel_shape")
    count = len(kernel)
    begins, ends = pads_of(node, count)
    data = m.arg(node.inputs[0])
    if begins != ends:
        data, begins = padded(m, data, begins, ends), [0] * count
    m.assign(
        node.outputs[0],
        "Convolution",
        [data, *operands(node, m)],
        kernel=kernel,
        stride=steps(node, "strides", count),
        dilate=steps(node, "dilations", count),
        pad=begins,
        num_filter=weight_size(node, m, 0),
        num_group=attribute(node, "group", 1),
        workspace=1024,
        no_bias=bias_of(node) is None,
        cudnn_tune=None,
        cudnn_off=False,
        layout=layout_of(node, m, count),
    )


@to_mxnet("ConvTranspose")
def conv_transpose_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    kernel = attribute(node, "kernel_shape")
    count, group = len(kernel), attribute(node, "group", 1)
    strides, (begins, ends) = steps(node, "strides", count), pads_of(node, count)
    extra = attribute(node, "output_padding", [0] * count)
    more = [add + begin - end for add, begin, end in zip(extra, begins, ends, strict=True)]
    cut = None
    if any(not 0 <= add < stride for add, stride in zip(more, strides, strict=True)):
        cut = [(begin, end - add) for add, begin, end in zip(extra, begins, ends, strict=True)]
        more = [max(-end, 0) for _, end in cut]
        begins = [0] * count
        if any(add >= stride for add, stride in zip(more, strides, strict=True)):
            raise m.refuse(node, f"MXNet has no output padding as large as its stride ({more}, {strides})")
    attrs: dict[str, object] = {
        "kernel": kernel,
        "stride": strides,
        "dilate": steps(node, "dilations", count),
        "pad": begins,
        "adj": more,
        "num_filter": weight_size(node, m, 1) * group,
        "num_group": group,
        "workspace": 512,
        "no_bias": bias_of(node) is None,
        "cudnn_tune": None,
        "cudnn_off": False,
        "layout": layout_of(node, m, count),
    }
    inputs = [m.arg(node.inputs[0]), *operands(node, m)]
    if cut is None:
        m.assign(node.outputs[0], "Deconvolution", inputs, **attrs)
        return
    whole = m.node("Deconvolution", inputs, **attrs)
    first = [None, None, *(begin or None for begin, _ in cut)]
    last = [None, None, *(-end if end > 0 else None for _, end in cut)]
    m.assign(node.outputs[0], "slice", [whole], begin=first, end=last, step=[1] * (2 + count))
