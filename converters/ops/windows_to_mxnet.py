"""What MXNet's convolutions and pools take: layouts, and pads, of which they have one an axis for both ends.

Unequal pads are put around the input by a Pad node of their own, which MXNet has for two and three spatial axes; one
spatial axis gets a second one for its sake. Source: MXNet 1.9.1 ``ConvolutionParam``, ``PoolingParam``, ``PadParam``.
"""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.converters.graph import attribute
from facecvt.converters.mxnet_nodes import Edge, MxnetNodes
from facecvt.converters.onnx_ir_lazy import ir

LAYOUTS = {1: "NCW", 2: "NCHW", 3: "NCDHW"}


def layout_of(node: ir.Node, m: MxnetNodes, count: int) -> str:
    """The layout of ``count`` spatial axes."""
    if count not in LAYOUTS:
        raise m.refuse(node, f"MXNet has no such layer for {count} spatial axes")
    return LAYOUTS[count]


def steps(node: ir.Node, name: str, count: int) -> list[int]:
    """Strides or dilations, 1 where the node does not say."""
    return list(attribute(node, name, [1] * count))


def pads_of(node: ir.Node, count: int) -> tuple[list[int], list[int]]:
    """(begins, ends) of the pads."""
    pads = attribute(node, "pads", [0] * 2 * count)
    return pads[:count], pads[count:]


def padded(m: MxnetNodes, data: Edge, begins: Sequence[int], ends: Sequence[int], fill: float | str = 0.0) -> Edge:
    """The input with a number around its spatial axes."""
    if not any(begins) and not any(ends):
        return data
    pairs = [amount for pair in zip(begins, ends, strict=True) for amount in pair]
    if len(begins) > 1:
        return m.node("Pad", [data], mode="constant", pad_width=[0, 0, 0, 0, *pairs], constant_value=fill)
    wide = m.node("expand_dims", [data], axis=2)
    wide = m.node("Pad", [wide], mode="constant", pad_width=[0, 0, 0, 0, 0, 0, *pairs], constant_value=fill)
    return m.node("Reshape", [wide], shape=[0, 0, -1], reverse=False)
