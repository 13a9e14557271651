"""Concat, Split, Tile and Expand as MXNet's concat, SliceChannel or slice_axis, tile and broadcast operators.

Source: MXNet 1.9.1 ``ConcatParam``, ``SliceChannelParam``, ``BroadcastToParam``, ``BroadcastLikeParam``.
"""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.converters.graph import attribute, constant
from facecvt.converters.mxnet_nodes import MxnetNodes
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import to_mxnet
from facecvt.converters.sizes import Size, Sizes


@to_mxnet("Concat")
def concat_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    parts = m.computed_sizes(node)
    if parts is not None:
        m.assign_sizes(node.outputs[0], Sizes(tuple(size for part in parts for size in part.items)))
        return
    inputs = [m.arg(value) for value in node.inputs if not m.is_nothing(value)]
    if not inputs:
        m.nothing(node.outputs[0])
        return
    if len(inputs) == 1 < len(node.inputs):
        m.alias(node.outputs[0], inputs[0])
        return
    m.assign(node.outputs[0], "Concat", inputs, num_args=len(inputs), dim=attribute(node, "axis"))


@to_mxnet("Split")
def split_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """SliceChannel makes equal parts; others are cut out one by one, parts without elements not at all."""
    x, count = node.inputs[0], len(node.outputs)
    axis, data = attribute(node, "axis", 0), m.arg(node.inputs[0])
    if count == 1:
        m.alias(node.outputs[0], data)
        return
    given = m.sizes(node.inputs[1]) if len(node.inputs) > 1 else None
    if len(node.inputs) > 1 and node.inputs[1] is not None and (given is None or given.numbers is None):
        raise m.refuse(node, "sizes that are computed at run time have no MXNet form")
    shape = m.shape(x)
    whole = shape[axis] if shape is not None else None
    parts = given.numbers if given is not None else None
    if parts is None and isinstance(whole, int):
        step = -(-whole // count)
        parts = [*[step] * (count - 1), whole - step * (count - 1)]
    if parts is None and attribute(node, "num_outputs") is not None and shape is None:
        raise m.refuse(node, "the size of the axis that it splits must be known")
    if parts is None or len(set(parts)) == 1:
        options: dict[str, object] = {"num_outputs": count, "axis": axis, "squeeze_axis": False}
        m.assign_many(list(node.outputs), "SliceChannel", [data], **options)
        return
    begin = 0
    for value, size in zip(node.outputs, parts, strict=True):
        if size == 0:
            m.nothing(value)
            continue
        m.assign(value, "slice_axis", [data], axis=axis, begin=begin, end=begin + size)
        begin += size


@to_mxnet("Tile")
def tile_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    found = m.sizes(node.inputs[1])
    if found is None or found.numbers is None:
        raise m.refuse(node, "repeats that are computed at run time have no MXNet form")
    m.assign(node.outputs[0], "tile", [m.arg(node.inputs[0])], reps=found.numbers)


@to_mxnet("Expand")
def expand_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """Sizes that are numbers by broadcast_to, one known at run time only by the value that has it."""
    x, found = node.inputs[0], m.sizes(node.inputs[1])
    inner = m.sizes(x)
    if found is None or x is None:
        raise m.refuse(node, "a target that is computed at run time has no MXNet form")
    if (
        inner is not None
        and found.numbers is not None
        and len(found.items) == 1
        and (constant(x) is None or not inner.scalar or inner.numbers == [1])
        and 0 < found.numbers[0] <= 64
        and (len(inner.items) == 1 or found.numbers == [1])
    ):
        times = found.numbers[0] if len(inner.items) == 1 else 1
        if constant(x) is None or used_as_sizes(node):
            m.assign_sizes(node.outputs[0], Sizes(inner.items * times))
            return
    expand(node, m, x, list(found.items))


def used_as_sizes(node: ir.Node) -> bool:
    """Whether only shape arithmetic reads the result."""
    return all(use.node.op_type == "Concat" for use in node.outputs[0].uses()) and bool(node.outputs[0].uses())


def expand(node: ir.Node, m: MxnetNodes, x: ir.Value, target: Sequence[Size]) -> None:
    """The nodes that repeat dimensions of size 1."""
    count, data = m.whole_rank(x, node), m.arg(x)
    width = max(count, len(target), 1)
    own = [Size(1)] * (width - count) + [m.dim(x, axis) for axis in range(count)]
    wanted = [Size(1)] * (width - len(target)) + list(target)
    for _ in range(width - max(count, 1)):
        data = m.node("expand_dims", [data], axis=0)
    fixed, open_axes = [0] * width, []
    for axis, (have, want) in enumerate(zip(own, wanted, strict=True)):
        if want in (Size(1), have):
            continue
        if have != Size(1):
            raise m.refuse(node, f"whether axis {axis} of size {have} is to be repeated to {want} is not known")
        if want.number is not None:
            fixed[axis] = want.factor
        else:
            open_axes.append(axis)
    holders = [m.holder(wanted[axis]) for axis in open_axes]
    if any(holder is None for holder in holders):
        sizes = ", ".join(map(str, target))
        raise m.refuse(node, f"MXNet cannot expand to ({sizes}), sizes known at run time; give fixed input sizes")
    if any(fixed) and not open_axes:
        m.assign(node.outputs[0], "broadcast_to", [data], shape=fixed)
    elif not open_axes:
        m.assign(node.outputs[0], "identity", [data])
    else:
        if any(fixed):
            data = m.node("broadcast_to", [data], shape=fixed)
        pairs = [(axis, holder) for axis, holder in zip(open_axes, holders, strict=True) if holder is not None]
        for axis, holder in pairs[:-1]:
            data = m.node("broadcast_like", [data, m.arg(holder[0])], lhs_axes=[axis], rhs_axes=[holder[1]])
        axis, holder = pairs[-1]
        inputs = [data, m.arg(holder[0])]
        m.assign(node.outputs[0], "broadcast_like", inputs, lhs_axes=[axis], rhs_axes=[holder[1]])
    m.set_shape(node.outputs[0], [have if want == Size(1) else want for have, want in zip(own, wanted, strict=True)])
