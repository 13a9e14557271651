"""Reshape, Flatten, Squeeze, Unsqueeze and Transpose as MXNet's.

MXNet's Reshape takes numbers and codes, read along the operand's shape: 0 copies the dimension it stands at, -1 is
inferred, -3 multiplies two, -4 divides one in two (see :mod:`facecvt.converters.ops.reshape`). A target that contains
sizes known at run time only is put into codes by search (:func:`codes_for`), so that the batch stays free.
"""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.converters.graph import attribute, constant
from facecvt.converters.mxnet_nodes import Edge, MxnetNodes
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import to_mxnet
from facecvt.converters.ops.runtime_squeeze import squeezed_axes
from facecvt.converters.sizes import Size, Sizes, product, quotient

INFER = Size(-1)


def codes_for(source: Sequence[Size], target: Sequence[Size]) -> list[int] | None:
    """MXNet's codes that give ``target`` from an operand of shape ``source``; None where there are none.

    Args:
        source: the operand's dimensions.
        target: the wanted ones; :data:`INFER` is any.
    """

    def search(i: int, j: int, inferred: bool, divided_once: bool) -> list[int] | None:
        """Codes for target[i:], the operand being read from dimension j on."""
        if i == len(target):
            return []
        here = source[j] if j < len(source) else None
        wanted = target[i]
        steps: list[tuple[list[int], int, int, bool, bool]] = []
        if wanted.number is not None and wanted != INFER:
            steps.append(([wanted.factor], 1, 1, inferred, divided_once))
        if here is not None and here == wanted and here.number is None:
            steps.append(([0], 1, 1, inferred, divided_once))
        if here is not None and j + 1 < len(source) and product(source[j : j + 2]) == wanted and wanted.keys:
            steps.append(([-3], 1, 2, inferred, divided_once))
        if here is not None and i + 1 < len(target) and here.keys and not inferred:
            pair = [size.factor if size.number is not None else -1 for size in target[i : i + 2]]
            if pair != [-1, -1] and product(target[i : i + 2]) == here:
                steps.append(([-4, *pair], 2, 1, inferred, True))
            elif -1 not in pair:  # that they are what the dimension is made of follows from all others being equal
                steps.append(([-4, *pair], 2, 1, True, True))
        if not inferred and not divided_once:
            steps.append(([-1], 1, 1, True, divided_once))
        for codes, taken, read, now_inferred, now_divided in steps:
            rest = search(i + taken, j + read, now_inferred, now_divided)
            if rest is not None:
                return [*codes, *rest]
        return None

    return search(0, 0, False, False)


def reshape(node: ir.Node, m: MxnetNodes, data: Edge, target: Sequence[Size]) -> None:
    """The node that gives its operand another shape; the operand of rank 0 is a vector of one element."""
    x, result = node.inputs[0], node.outputs[0]
    count = m.rank(x)
    if x is None:
        raise m.refuse(node, "it has no operand")
    if not target:
        m.assign(result, "Reshape", [data], shape=[1], reverse=False)
        return
    source = None if count is None else [m.dim(x, axis) for axis in range(count)]
    wanted = list(target)
    if source is not None and INFER in wanted:
        rest = product([size for size in wanted if size != INFER])
        inferred = quotient(product(source), rest)
        if inferred is not None:
            wanted[wanted.index(INFER)] = inferred
    codes = codes_for(source or [], wanted)
    if codes is None:
        like = value_of_shape(m, wanted)
        if like is None:
            sizes = ", ".join(map(str, target))
            raise m.refuse(node, f"MXNet cannot reshape to ({sizes}), sizes known at run time; give fixed input sizes")
        m.assign(result, "reshape_like", [data, like])
    else:
        m.assign(result, "Reshape", [data], shape=codes, reverse=False)
    m.set_shape(result, wanted)


def value_of_shape(m: MxnetNodes, target: Sequence[Size]) -> Edge | None:
    """A computed value that has exactly this shape; None where none is known."""
    for size in target:
        found = m.holder(size)
        if found is not None and m.rank(found[0]) == len(target):
            value = found[0]
            if all(m.dim(value, axis) == size for axis, size in enumerate(target)):
                return m.arg(value)
    return None


@to_mxnet("Reshape")
def reshape_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    x = node.inputs[0]
    squeezed, target = squeezed_axes(node), m.sizes(node.inputs[1])
    inner = m.sizes(x)
    if squeezed is not None:
        squeeze_where_one(node, m, squeezed)
        return
    if target is None or x is None:
        raise m.refuse(node, "its target is computed at run time, which MXNet's Reshape cannot take")
    if inner is not None and constant(x) is None and target.numbers in ([1], [-1], []):
        m.assign_sizes(node.outputs[0], Sizes(inner.items, scalar=not target.items))
        return
    copies = not attribute(node, "allowzero", 0)
    wanted = [m.dim(x, axis) if copies and size == Size(0) else size for axis, size in enumerate(target.items)]
    if m.rank(x) is None and Size(0) in target.items:  # codes are all there is
        if any(size.number is None for size in target.items):
            raise m.refuse(node, "the number of dimensions of its operand is not known; give the model an input shape")
        codes = [size.factor for size in target.items]
        m.assign(node.outputs[0], "Reshape", [m.arg(x)], shape=codes, reverse=False)
        return
    if Size(0) in wanted:
        raise m.refuse(node, "MXNet has no empty tensors")
    reshape(node, m, m.arg(x), wanted)


def squeeze_where_one(node: ir.Node, m: MxnetNodes, axes: Sequence[int]) -> None:
    """Paddle's squeeze of the listed axes whose size is 1; which these are must be known."""
    x = node.inputs[0]
    if x is None:
        raise m.refuse(node, "it has no operand")
    sizes = [m.dim(x, axis) for axis in range(m.whole_rank(x, node))]
    if any(sizes[axis].number is None for axis in axes):
        squeeze_while_running(node, m, axes, sizes)
        return
    kept = [size for axis, size in enumerate(sizes) if axis not in axes or size.number != 1]
    reshape(node, m, m.arg(x), kept)


def squeeze_while_running(node: ir.Node, m: MxnetNodes, axes: Sequence[int], sizes: Sequence[Size]) -> None:
    """The same where sizes are not known: MXNet's squeeze without axes, which takes every axis of one element.

    An axis that has to stay and may have one element, such as the batch, is doubled before and halved behind it. That
    needs its place, so that no axis in front of it may go.
    """
    at_risk = [axis for axis, size in enumerate(sizes) if axis not in axes and size.number in (None, 1)]
    may_go = [axis for axis in axes if sizes[axis].number in (None, 1)]
    if max(at_risk, default=-1) > min(may_go):
        raise m.refuse(node, "which axes go depends on sizes that are not known; give the model fixed input sizes")
    edge = m.arg(node.inputs[0])
    for axis in at_risk:
        edge = m.node("Concat", [edge, edge], dim=axis, num_args=2)
    edge = m.node("squeeze", [edge], axis=None)
    for axis in at_risk:
        edge = m.node("SliceChannel", [edge], num_outputs=2, axis=axis, squeeze_axis=False)
    m.assign(node.outputs[0], "identity", [edge])


@to_mxnet("Flatten")
def flatten_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    x, axis, count = node.inputs[0], attribute(node, "axis", 1), m.rank(node.inputs[0])
    if axis < 0 and count is not None:
        axis += count
    if axis == 1 and count != 1:
        m.assign(node.outputs[0], "Flatten", [m.arg(x)])
    elif axis == 0:
        m.assign(node.outputs[0], "Reshape", [m.arg(x)], shape=[1, -1], reverse=False)
    else:
        sizes = [m.dim(x, place) for place in range(m.whole_rank(x, node))] if x is not None else []
        reshape(node, m, m.arg(x), [product(sizes[:axis]), product(sizes[axis:])])


@to_mxnet("Squeeze")
def squeeze_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    x, axes = node.inputs[0], constant_axes(node, m)
    inner = m.sizes(x)
    if inner is not None and constant(x) is None and len(inner.items) == 1 and axes in ([0], [-1], None):
        m.assign_sizes(node.outputs[0], Sizes(inner.items, scalar=True))
        return
    if x is not None and axes is not None and m.rank(x) == len(axes):
        m.assign(node.outputs[0], "Reshape", [m.arg(x)], shape=[1], reverse=False)
        return
    m.assign(node.outputs[0], "squeeze", [m.arg(x)], axis=axes)


@to_mxnet("Unsqueeze")
def unsqueeze_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    x, axes = node.inputs[0], constant_axes(node, m) or []
    inner, count = m.sizes(x), m.rank(x)
    if inner is not None and constant(x) is None and inner.scalar and axes in ([0], [-1]):
        m.assign_sizes(node.outputs[0], Sizes(inner.items))
        return
    if min(axes, default=0) < 0 and (len(axes) > 1 or count == 0):
        axes = [axis % (m.whole_rank(x, node) + len(axes)) for axis in axes]
    data = m.arg(x)
    if count == 0:  # a vector of one element already
        m.assign(node.outputs[0], "Reshape", [data], shape=[1] * len(axes), reverse=False)
        return
    for axis in sorted(axes)[:-1]:
        data = m.node("expand_dims", [data], axis=axis)
    m.assign(node.outputs[0], "expand_dims", [data], axis=sorted(axes)[-1])


def constant_axes(node: ir.Node, m: MxnetNodes) -> list[int] | None:
    """The axes of a Squeeze or Unsqueeze; None where the node has none."""
    if len(node.inputs) < 2 or node.inputs[1] is None:
        return None
    found = m.sizes(node.inputs[1])
    if found is None or found.numbers is None:
        raise m.refuse(node, "axes that are computed at run time have no MXNet form")
    return found.numbers


@to_mxnet("Transpose")
def transpose_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    order = attribute(node, "perm")
    if order is None:
        order = list(range(m.whole_rank(node.inputs[0], node)))[::-1]
    m.assign(node.outputs[0], "transpose", [m.arg(node.inputs[0])], axes=order)
