"""Normalisations as MXNet's BatchNorm, InstanceNorm, LayerNorm and LRN, and division by a length.

BatchNorm is written with ``fix_gamma`` False and its eps, whatever MXNet's defaults are. LayerNorm normalises one axis;
several are made one before it. LRN's window is of odd size. Source: MXNet 1.9.1 ``BatchNormParam``, ``LayerNormParam``,
``InstanceNormParam``, ``LRNParam``.
"""

from __future__ import annotations

import numpy as np

from facecvt.converters.graph import attribute, constant
from facecvt.converters.mxnet_nodes import MxnetNodes
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import to_mxnet

SMALLEST = 1.2e-38  # the least normal float32


@to_mxnet("BatchNormalization")
def batch_norm_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    x, gamma, beta, mean, variance = node.inputs[:5]
    if mean is None or variance is None or constant(mean) is None or constant(variance) is None:
        raise m.refuse(node, "its mean and variance must be weights")
    inputs = [m.arg(x), m.arg(gamma), m.arg(beta), m.auxiliary(mean), m.auxiliary(variance)]
    m.assign(
        node.outputs[0],
        "BatchNorm",
        inputs,
        eps=float(attribute(node, "epsilon", 1e-5)),
        momentum=float(attribute(node, "momentum", 0.9)),
        fix_gamma=False,
        use_global_stats=False,
        output_mean_var=False,
        axis=1,
        cudnn_off=False,
    )


@to_mxnet("InstanceNormalization")
def instance_norm_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    inputs = [m.arg(value) for value in node.inputs]
    m.assign(node.outputs[0], "InstanceNorm", inputs, eps=float(attribute(node, "epsilon", 1e-5)))


@to_mxnet("LayerNormalization")
def layer_norm_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    x, scale, bias = [*node.inputs, None][:3]
    array, shift = constant(scale), constant(bias)
    if array is None or scale is None or (bias is not None and shift is None):
        raise m.refuse(node, "its scale and bias must be weights")
    count, axis = m.rank(x), attribute(node, "axis", -1)
    if count is None and axis > 0:
        raise m.refuse(node, f"axis {axis} needs an input whose number of dimensions is known")
    axes = -axis if axis < 0 else (count or 0) - axis
    shape = m.shape(x)
    sizes = [] if shape is None else [size for size in shape[len(shape) - axes :] if isinstance(size, int)]
    if axes == 1 and array.ndim == 1 and not sizes:
        sizes = [array.size]
    if len(sizes) != axes:
        raise m.refuse(node, "the sizes of the axes that it normalises must be known")
    wide = np.ascontiguousarray(np.broadcast_to(array, sizes).reshape(-1))
    gamma = m.arg(scale) if array.shape == wide.shape else m.weight(scale, wide, "flat")
    if bias is None or shift is None:
        beta = m.variable(f"{scale.name}_bias", np.zeros_like(wide))
    else:
        flat = np.ascontiguousarray(np.broadcast_to(shift, sizes).reshape(-1))
        beta = m.arg(bias) if shift.shape == flat.shape else m.weight(bias, flat, "flat")
    options: dict[str, object] = {"axis": -1, "eps": float(attribute(node, "epsilon", 1e-5)), "output_mean_var": False}
    data = m.arg(x)
    if axes == 1:
        m.assign(node.outputs[0], "LayerNorm", [data, gamma, beta], **options)
        return
    if count is None:
        raise m.refuse(node, "the number of dimensions of its input must be known")
    merged = m.node("Reshape", [data], shape=[*[0] * (count - axes), -1], reverse=False)
    m.assign(node.outputs[0], "reshape_like", [m.node("LayerNorm", [merged, gamma, beta], **options), data])


@to_mxnet("LRN")
def lrn_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    size = attribute(node, "size")
    if size % 2 == 0:
        raise m.refuse(node, f"MXNet's window has an odd size, not {size}")
    m.assign(
        node.outputs[0],
        "LRN",
        [m.arg(node.inputs[0])],
        nsize=size,
        alpha=float(attribute(node, "alpha", 1e-4)),
        beta=float(attribute(node, "beta", 0.75)),
        knorm=float(attribute(node, "bias", 1.0)),
    )


@to_mxnet("LpNormalization")
def lp_normalization_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """x over its length; where that is 0, x is 0 and so is the result."""
    data, axis = m.arg(node.inputs[0]), attribute(node, "axis", -1)
    options: dict[str, object] = {"axis": [axis], "keepdims": True, "exclude": False}
    if attribute(node, "p", 2) == 1:
        length = m.node("sum", [m.node("abs", [data])], **options)
    else:
        length = m.node("sqrt", [m.node("sum", [m.node("square", [data])], **options)])
    divisor = m.node("_maximum_scalar", [length], scalar=SMALLEST, is_int=False)
    m.assign(node.outputs[0], "broadcast_div", [data, divisor])
