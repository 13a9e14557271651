"""Nodes of a canonical graph that move values about without computing: Pad, Transpose, Reshape, Concat.

Each function gives the attributes that the same step has in a family's listing (``layers.py``), or None where the node
is a step that no listing has. Amounts are constants here; a Reshape may compute the batch's size.

    Pad            pads, of constant zeros
    Transpose      perm
    Reshape        shape (0, -1, width): the batch stays, the last axis has this width, whatever computes the rest
    Concat         axis; zeros behind the last channel, however they are made, are a Pad
"""

from __future__ import annotations

import math

from facecvt.converters.graph import attribute, constant, dims
from facecvt.converters.onnx_ir_lazy import ir

CHANNELS = 1
BATCH = "batch"


def moved(node: ir.Node) -> dict[str, object] | None:
    """The attributes of a Pad, Transpose or Reshape, with their defaults written out."""
    if node.op_type == "Transpose":
        perm = attribute(node, "perm", ())
        return {"perm": tuple(perm)} if perm else None
    if node.op_type == "Pad":
        amounts = constant(node.inputs[1])
        if amounts is None or attribute(node, "mode", "constant") != "constant" or not pads_with_zeros(node):
            return None
        return {"pads": tuple(int(amount) for amount in amounts.reshape(-1))}
    if node.op_type == "Reshape":
        width = row_width(node)
        return None if width is None else {"shape": (0, -1, width)}
    return None


def padded_maps(node: ir.Node) -> tuple[ir.Value, dict[str, object]] | None:
    """What a Squeeze gives back padded, and how: Paddle pads maps through a fifth axis that it adds and takes away."""
    pad = node.inputs[0].producer() if node.op_type == "Squeeze" and node.inputs[0] is not None else None
    added = pad.inputs[0].producer() if pad is not None and pad.op_type == "Pad" and pad.inputs[0] is not None else None
    if pad is None or added is None or added.op_type != "Unsqueeze" or len(node.inputs) < 2:
        return None
    away, there, attributes = constant(node.inputs[1]), constant(added.inputs[1]), moved(pad)
    if away is None or there is None or attributes is None or added.inputs[0] is None:
        return None
    amounts = list(attributes["pads"]) if isinstance(attributes["pads"], tuple) else []
    axes = {int(axis) % 5 for axis in (*away.reshape(-1), *there.reshape(-1))}
    if len(axes) != 1 or len(amounts) != 10:
        return None
    (axis,) = axes
    if amounts[axis] or amounts[5 + axis]:
        return None
    kept = tuple(amount for place, amount in enumerate(amounts) if place % 5 != axis)
    return added.inputs[0], {"pads": kept}


def takes_nearest(node: ir.Node) -> bool:
    """True for a Resize in which every pixel is the one above and to the left of its place in the operand."""
    return (
        attribute(node, "mode", "nearest") == "nearest"
        and attribute(node, "coordinate_transformation_mode", "half_pixel") == "asymmetric"
        and attribute(node, "nearest_mode", "round_prefer_floor") == "floor"
        and attribute(node, "axes", None) is None
    )


def from_the_end(node: ir.Node) -> int:
    """The axis of a Softmax, counted from the last where the number of axes is known."""
    axis, sizes = int(attribute(node, "axis", -1)), dims(node.inputs[0])
    return axis if axis < 0 or sizes is None else axis - len(sizes)


def pads_with_zeros(node: ir.Node) -> bool:
    """True where a constant Pad puts in zeros, along all axes."""
    given = [constant(value) if value is not None else None for value in node.inputs[2:]]
    number = given[0] if given else None
    if number is None:
        return len(node.inputs) < 3 or node.inputs[2] is None
    return len(given) == 1 and not number.any()


def row_width(node: ir.Node) -> int | None:
    """The last size of a Reshape to three axes that keeps the batch; None for another Reshape."""
    before, target = dims(node.inputs[0]), target_sizes(node.inputs[1])
    if target is None or len(target) != 3 or attribute(node, "allowzero", 0):
        return None
    batch, rows, width = target
    if not isinstance(rows, int) or not isinstance(width, int) or width <= 0:
        return None
    if batch in (0, BATCH) and rows == -1:
        return width
    if before is None or any(size is None for size in before[1:]):
        return None
    whole = math.prod(size for size in before[1:] if size is not None)
    return width if batch in (0, BATCH, -1, before[0]) and rows in (-1, whole // width) else None


def target_sizes(target: ir.Value | None) -> list[int | str] | None:
    """The sizes that a Reshape is given, BATCH for one that is taken from the batch; None where others are computed."""
    array, node = constant(target), target.producer() if target is not None else None
    if array is not None:
        return [int(size) for size in array.reshape(-1)]
    if node is None or node.op_type != "Concat":
        return None
    sizes: list[int | str] = []
    for part in node.inputs:
        numbers = constant(part)
        if numbers is not None:
            sizes += [int(size) for size in numbers.reshape(-1)]
        elif part is not None and is_batch_size(part):
            sizes.append(BATCH)
        else:
            return None
    return sizes


def is_batch_size(value: ir.Value) -> bool:
    """True for the first size of some value, taken from its Shape by whatever path."""
    node = value.producer()
    while node is not None and node.op_type in ("Unsqueeze", "Squeeze", "Reshape", "Cast") and node.inputs[0]:
        node = node.inputs[0].producer()
    if node is None or node.op_type not in ("Gather", "Slice") or node.inputs[0] is None:
        return False
    shape = node.inputs[0].producer()
    bounds = [constant(entry) for entry in node.inputs[1:3]]
    wanted = [0] if node.op_type == "Gather" else [0, 1]
    return (
        shape is not None
        and shape.op_type == "Shape"
        and not shape.attributes
        and [bound.reshape(-1).tolist() for bound in bounds if bound is not None] == [[number] for number in wanted]
    )


def appended_zeros(node: ir.Node) -> int | None:
    """How many maps of zeros a Concat puts behind the channels of its first input; None where it does not."""
    if node.op_type != "Concat" or attribute(node, "axis", 0) != CHANNELS or len(node.inputs) != 2:
        return None
    zeros = node.inputs[1]
    shape = dims(zeros) if zeros is not None else None
    if zeros is None or shape is None or len(shape) != 4 or not is_zero(zeros):
        return None
    return shape[CHANNELS]


def is_zero(value: ir.Value) -> bool:
    """True for a value that is zero whatever the network is fed."""
    array, node = constant(value), value.producer()
    if array is not None:
        return not array.any()
    if node is None:
        return False
    if node.op_type == "ConstantOfShape":
        number = attribute(node, "value", None)
        return number is None or not number.numpy().any()
    return node.op_type in ("Expand", "Tile") and node.inputs[0] is not None and is_zero(node.inputs[0])
