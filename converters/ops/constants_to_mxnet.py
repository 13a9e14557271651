"""Shape, Size, Range and Cast for MXNet: shape arithmetic stays formulas, see :mod:`facecvt.converters.sizes`.

Source: MXNet 1.9.1 ``CastParam`` and ``_contrib_arange_like``.
"""

from __future__ import annotations

import numpy as np

from facecvt.converters.graph import attribute, constant, name_of
from facecvt.converters.mxnet_nodes import DTYPE_CODES, MxnetNodes
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.elementwise_to_mxnet import truth
from facecvt.converters.ops.registry import to_mxnet
from facecvt.converters.ops.value_facts import element_type
from facecvt.converters.sizes import Size, Sizes, number_sizes, product

WHOLE = (ir.DataType.INT64, ir.DataType.INT32)


@to_mxnet("Shape", "Size")
def shape_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    x, inner = node.inputs[0], m.sizes(node.inputs[0])
    if x is None:
        raise m.refuse(node, "it has no operand")
    if inner is not None and constant(x) is None:  # the shape of a shape
        items: list[Size] = [] if inner.scalar else [Size(len(inner.items))]
    else:
        items = [m.dim(x, axis) for axis in range(m.whole_rank(x, node))]
    if node.op_type == "Size":
        m.assign_sizes(node.outputs[0], Sizes((product(items),), scalar=True))
        return
    m.assign_sizes(node.outputs[0], Sizes(tuple(items[attribute(node, "start", 0) : attribute(node, "end")])))


@to_mxnet("Cast")
def cast_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """Shape arithmetic stays what it is through int32 and int64."""
    x, target = node.inputs[0], ir.DataType(attribute(node, "to"))
    inner = m.sizes(x)
    if inner is not None and constant(x) is None and target in WHOLE:
        m.assign_sizes(node.outputs[0], inner)
        return
    if target == ir.DataType.BOOL:
        m.assign(
            node.outputs[0], "Cast", [m.node("_not_equal_scalar", [m.arg(x)], scalar=0, is_int=True)], dtype="float32"
        )
        return
    if target == ir.DataType.STRING or target.numpy().name not in DTYPE_CODES:
        raise m.refuse(node, f"MXNet does not cast to {target.name}")
    data = truth(m, x) if element_type(x) == ir.DataType.BOOL else m.arg(x)
    m.assign(node.outputs[0], "Cast", [data], dtype=target.numpy().name)


@to_mxnet("Range")
def range_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """Known numbers, or the places along an axis of some value."""
    arrays = [constant(value) for value in node.inputs]
    sizes = [m.sizes(value) for value in node.inputs]
    result = node.outputs[0]
    if all(array is not None for array in arrays):
        start, end, step = (array.reshape(-1)[0] for array in arrays if array is not None)
        m.alias(result, m.variable(name_of(result), np.arange(start, end, step, dtype=start.dtype)))
        return
    if any(found is None for found in sizes):
        raise m.refuse(node, "bounds that are computed at run time have no MXNet form")
    begin, last, by = (found.items[0] for found in sizes if found is not None)
    if None not in (begin.number, last.number, by.number):
        numbers = np.arange(begin.factor, last.factor, by.factor, dtype=np.int64)
        if 0 < numbers.size <= 64:
            m.assign_sizes(result, number_sizes(numbers.tolist()))
        else:
            m.alias(result, m.variable(name_of(result), numbers))
        return
    holder = m.holder(last)
    if holder is None or begin.number is None or by.number != 1:
        raise m.refuse(node, f"a range from {begin} to {last} by {by} has no MXNet form")
    places = m.node("_contrib_arange_like", [m.arg(holder[0])], start=0, step=1, repeat=1, axis=holder[1])
    whole = m.node("Cast", [places], dtype="int64")
    if begin.factor:
        m.assign(result, "slice_axis", [whole], axis=0, begin=begin.factor, end=None)
    else:
        m.alias(result, whole)
