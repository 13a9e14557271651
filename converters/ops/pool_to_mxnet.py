"""Pooling as MXNet's Pooling.

``pooling_convention`` "full" counts positions by the ceiling and clips a window at the end of the padded input, as the
canonical operators do; a window that would begin behind input and begin pad, which those drop, it keeps, and it is cut
off afterwards. A mean over a whole map is Pooling's, which adds pixel after pixel in float32; from :data:`MANY` pixels
on it is ``mean``, whose sum is compensated and keeps the digits. Source: MXNet 1.9.1 ``PoolingParam``, its CPU kernels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from facecvt.converters.graph import attribute
from facecvt.converters.mxnet_nodes import Edge, MxnetNodes
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.pool import last_window_may_begin_behind
from facecvt.converters.ops.registry import to_mxnet
from facecvt.converters.ops.value_facts import element_type
from facecvt.converters.ops.windows_to_mxnet import layout_of, padded, pads_of, steps

MANY = 1024


def window_options(node: ir.Node, m: MxnetNodes, kind: str, pads: Sequence[int], counted: bool) -> dict[str, object]:
    """Every attribute of a Pooling over a window."""
    kernel = attribute(node, "kernel_shape")
    if set(attribute(node, "dilations", [1])) != {1}:
        raise m.refuse(node, "MXNet has no pool over a dilated window")
    return {
        "kernel": kernel,
        "pool_type": kind,
        "global_pool": False,
        "cudnn_off": False,
        "pooling_convention": "full" if attribute(node, "ceil_mode", 0) else "valid",
        "stride": steps(node, "strides", len(kernel)),
        "pad": list(pads),
        "count_include_pad": counted,
        "layout": layout_of(node, m, len(kernel)),
    }


def positions_to_keep(node: ir.Node, m: MxnetNodes) -> list[int] | None:
    """How many positions an axis has, where MXNet would have more; None where both have the same."""
    kernel = attribute(node, "kernel_shape")
    count = len(kernel)
    if not attribute(node, "ceil_mode", 0):
        return None
    shape, strides, (begins, ends) = m.shape(node.inputs[0]), steps(node, "strides", count), pads_of(node, count)
    sizes = None if shape is None else [size if isinstance(size, int) else None for size in shape[2:]]
    if not last_window_may_begin_behind(sizes, kernel, strides, [*begins, *ends]):
        return None
    if sizes is None or None in sizes:
        raise m.refuse(
            node,
            "with ceil_mode a window may begin behind the input, which MXNet keeps; give the model a fixed input size",
        )
    kept = []
    for axis, size in enumerate(sizes):
        whole = (size or 0) + begins[axis]
        count_all = -(-(whole + ends[axis] - kernel[axis]) // strides[axis]) + 1
        kept.append(min(count_all, (whole - 1) // strides[axis] + 1))
    return kept


def assign_pool(node: ir.Node, m: MxnetNodes, data: Edge, options: dict[str, object], kind: str = "") -> None:
    """The Pooling node that is the result, without positions that the canonical operator does not have.

    Args:
        node, m: the pool and where it is written.
        data: what is pooled.
        options: attributes of the Pooling.
        kind: element type that the result is cast to.
    """
    kept = positions_to_keep(node, m)
    steps_in_turn: list[tuple[str, dict[str, object]]] = [("Pooling", options)]
    if kept is not None:
        cut = {"begin": [None] * (2 + len(kept)), "end": [None, None, *kept], "step": [1] * (2 + len(kept))}
        steps_in_turn.append(("slice", dict(cut)))
    if kind:
        steps_in_turn.append(("Cast", {"dtype": kind}))
    for operator, attrs in steps_in_turn[:-1]:
        data = m.node(operator, [data], **attrs)
    operator, attrs = steps_in_turn[-1]
    m.assign(node.outputs[0], operator, [data], **attrs)


@to_mxnet("MaxPool")
def max_pool_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """Numbers of 8 bits are pooled as float32, which holds them exactly; MXNet has no pool of whole numbers."""
    if len(node.outputs) > 1:
        raise m.refuse(node, "its indices have no MXNet form")
    begins, ends = pads_of(node, len(attribute(node, "kernel_shape")))
    data, kind = m.arg(node.inputs[0]), element_type(node.inputs[0])
    small = kind in (ir.DataType.UINT8, ir.DataType.INT8)
    if small:
        data = m.node("Cast", [data], dtype="float32")
    if begins != ends:
        data, begins = padded(m, data, begins, ends, "-inf"), [0] * len(begins)
    name = kind.numpy().name if small and kind is not None else ""
    assign_pool(node, m, data, window_options(node, m, "max", begins, True), name)


@to_mxnet("AveragePool")
def mean_pool_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """Unequal pads that do not count are taken out again by the same mean over ones."""
    begins, ends = pads_of(node, len(attribute(node, "kernel_shape")))
    counted = bool(attribute(node, "count_include_pad", 0))
    data = m.arg(node.inputs[0])
    if begins == ends:
        assign_pool(node, m, data, window_options(node, m, "avg", begins, counted))
        return
    options = window_options(node, m, "avg", [0] * len(begins), True)
    if counted:
        assign_pool(node, m, padded(m, data, begins, ends), options)
        return
    if positions_to_keep(node, m) is not None:
        raise m.refuse(node, "unequal pads together with a window that begins behind the input have no MXNet form")
    ones = m.node("Pooling", [padded(m, m.node("ones_like", [data]), begins, ends)], **options)
    mean = m.node("Pooling", [padded(m, data, begins, ends)], **options)
    m.assign(node.outputs[0], "elemwise_div", [mean, ones])


@to_mxnet("GlobalAveragePool", "GlobalMaxPool")
def global_pool_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    count = m.whole_rank(node.inputs[0], node) - 2
    sizes = [size for size in (m.shape(node.inputs[0]) or ())[2:] if isinstance(size, int)]
    if node.op_type == "GlobalAveragePool" and len(sizes) == count and math.prod(sizes) >= MANY:
        axes = list(range(2, 2 + count))
        m.assign(node.outputs[0], "mean", [m.arg(node.inputs[0])], axis=axes, keepdims=True, exclude=False)
        return
    m.assign(
        node.outputs[0],
        "Pooling",
        [m.arg(node.inputs[0])],
        kernel=[1] * count,
        pool_type="avg" if node.op_type == "GlobalAveragePool" else "max",
        global_pool=True,
        cudnn_off=False,
        pooling_convention="valid",
        stride=[1] * count,
        pad=[0] * count,
        count_include_pad=True,
        layout=layout_of(node, m, count),
    )
