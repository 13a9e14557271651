"""Pad as MXNet's Pad, which takes two or three spatial axes; others are extended by joining, negative amounts cut.

Source: MXNet 1.9.1 ``PadParam``.
"""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.converters.graph import attribute
from facecvt.converters.mxnet_nodes import Edge, MxnetNodes
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import to_mxnet


@to_mxnet("Pad")
def pad_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    found, mode = m.sizes(node.inputs[1]), attribute(node, "mode", "constant")
    if found is None or found.numbers is None:
        raise m.refuse(node, "amounts that are computed at run time have no MXNet form")
    value = node.inputs[2] if len(node.inputs) > 2 else None
    fill = 0.0 if value is None else m.number(value)
    if fill is None:
        raise m.refuse(node, "a number that is computed at run time has no MXNet form")
    if mode == "wrap" and min(found.numbers) >= 0:
        wrap(node, m, found.numbers)
        return
    if mode not in ("constant", "edge", "reflect"):
        raise m.refuse(node, f"mode {mode!r} has no MXNet form")
    count, data = len(found.numbers) // 2, m.arg(node.inputs[0])
    pairs = list(zip(found.numbers[:count], found.numbers[count:], strict=True))
    if min(found.numbers) < 0:
        if mode != "constant":
            raise m.refuse(node, f"negative amounts in mode {mode!r} have no MXNet form")
        begin = [-before if before < 0 else None for before, _ in pairs]
        end = [behind if behind < 0 else None for _, behind in pairs]
        pairs = [(max(before, 0), max(behind, 0)) for before, behind in pairs]
        if not any(amount for pair in pairs for amount in pair):
            m.assign(node.outputs[0], "slice", [data], begin=begin, end=end, step=[1] * count)
            return
        data = m.node("slice", [data], begin=begin, end=end, step=[1] * count)
    if not any(amount for pair in pairs for amount in pair):
        m.assign(node.outputs[0], "identity", [data])
        return
    spatial = count in (4, 5)
    rest = pairs[:2] if spatial else pairs
    for axis, (before, behind) in enumerate(rest):
        data = extended(node, m, data, axis, before, behind, mode, float(fill))
    if not spatial or not any(amount for pair in pairs[2:] for amount in pair):
        m.assign(node.outputs[0], "identity", [data])
        return
    widths = [0, 0, 0, 0, *(amount for pair in pairs[2:] for amount in pair)]
    m.assign(node.outputs[0], "Pad", [data], mode=mode, pad_width=widths, constant_value=fill)


def extended(
    node: ir.Node, m: MxnetNodes, data: Edge, axis: int, before: int, behind: int, mode: str, fill: float
) -> Edge:
    """One axis that MXNet's Pad does not take, extended by joining what comes before and behind."""
    if not before and not behind:
        return data
    parts = [data]
    if before:
        parts.insert(0, border(node, m, data, axis, before, mode, fill, first=True))
    if behind:
        parts.append(border(node, m, data, axis, behind, mode, fill, first=False))
    return m.node("Concat", parts, num_args=len(parts), dim=axis)


def border(
    node: ir.Node, m: MxnetNodes, data: Edge, axis: int, amount: int, mode: str, fill: float, *, first: bool
) -> Edge:
    """What is put at one end of an axis."""
    count = m.whole_rank(node.inputs[0], node)
    if mode == "reflect":
        size = None if node.inputs[0] is None else m.dim(node.inputs[0], axis).number
        if size is None:
            raise m.refuse(node, f"reflecting axis {axis} has an MXNet form at a known size only")
        begin, last = (amount, 0) if first else (size - 2, size - 2 - amount)
        ends = {"begin": [None] * axis + [begin], "end": [None] * axis + [last if last >= 0 else None]}
        return m.node("slice", [data], step=[1] * axis + [-1], **ends)
    place: dict[str, object] = {"begin": 0, "end": 1} if first or mode == "constant" else {"begin": -1, "end": None}
    edge = m.node("slice_axis", [data], axis=axis, **place)
    if mode == "constant":
        edge = m.node("zeros_like", [edge])
        if fill:
            edge = m.node("_plus_scalar", [edge], scalar=fill, is_int=False)
    return edge if amount == 1 else m.node("tile", [edge], reps=[amount if a == axis else 1 for a in range(count)])


def wrap(node: ir.Node, m: MxnetNodes, amounts: Sequence[int]) -> None:
    """The last places of each axis in front of it, the first ones behind it."""
    count, data = len(amounts) // 2, m.arg(node.inputs[0])
    for axis in range(count):
        before, behind = amounts[axis], amounts[axis + count]
        parts = [m.node("slice_axis", [data], axis=axis, begin=-before, end=None)] if before else []
        parts += [data, *([m.node("slice_axis", [data], axis=axis, begin=0, end=behind)] if behind else [])]
        if len(parts) > 1:
            data = m.node("Concat", parts, num_args=len(parts), dim=axis)
    m.assign(node.outputs[0], "identity", [data])
