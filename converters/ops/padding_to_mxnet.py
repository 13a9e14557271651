"""Pad as MXNet's Pad, or its numpy form where an axis in front of the spatial ones is padded; negative amounts cut.

Source: MXNet 1.9.1 ``PadParam`` (two or three spatial axes) and ``_npi_pad``.
"""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.converters.graph import attribute
from facecvt.converters.mxnet_nodes import MxnetNodes
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
    if count in (4, 5) and not any(amount for pair in pairs[:2] for amount in pair):
        widths = [amount for pair in pairs for amount in pair]
        m.assign(node.outputs[0], "Pad", [data], mode=mode, pad_width=widths, constant_value=fill)
    else:
        m.assign(node.outputs[0], "_npi_pad", [data], pad_width=pairs, mode=mode, constant_value=fill)


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
