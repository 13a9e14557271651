"""Output shapes of operators that pick, pad and repeat parts of tensors; :mod:`infer_shapes` lists them in its table.

Each function takes a node and the shapes of its inputs, of which the first is known, and gives the output shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facecvt.converters.graph import attribute, constant
from facecvt.converters.onnx_ir_lazy import ir

if TYPE_CHECKING:
    from facecvt.converters.passes.infer_shapes import Dim, Shape


def split(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    data = shapes[0] or ()
    axis, count = attribute(node, "axis", 0) % len(data), len(node.outputs)
    whole, sizes = data[axis], constant(node.inputs[1]) if len(node.inputs) > 1 else None
    parts: list[Dim] = [None] * count
    if sizes is not None:
        parts = [int(size) for size in sizes.reshape(-1)]
    elif isinstance(whole, int) and len(node.inputs) == 1:
        step = -(-whole // count)
        parts = [*[step] * (count - 1), whole - step * (count - 1)]
    return [(*data[:axis], part, *data[axis + 1 :]) for part in parts]


def gather(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    data, indices = shapes[0] or (), shapes[1]
    axis = attribute(node, "axis", 0) % len(data)
    return [None if indices is None else (*data[:axis], *indices, *data[axis + 1 :])]


def gather_nd(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    """The last axis of the indices counts axes of the operand."""
    data, indices = shapes[0] or (), shapes[1]
    depth = indices[-1] if indices else None
    if indices is None or not isinstance(depth, int) or attribute(node, "batch_dims", 0):
        return [None]
    return [(*indices[:-1], *data[depth:])]


def scatter(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    return [shapes[0]]


def pad(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    data, amounts = shapes[0] or (), constant(node.inputs[1])
    if amounts is None or amounts.size != 2 * len(data):
        return [(None,) * len(data)]
    added = amounts[: len(data)] + amounts[len(data) :]
    return [tuple(size if more == 0 else grown(size, int(more)) for size, more in zip(data, added, strict=True))]


def grown(size: Dim, more: int) -> Dim:
    return size + more if isinstance(size, int) else None


def tile(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    data, repeats = shapes[0] or (), constant(node.inputs[1])
    if repeats is None:
        return [(None,) * len(data)]
    pairs = zip(data, repeats.reshape(-1), strict=True)
    return [tuple(size if by == 1 else size * int(by) if isinstance(size, int) else None for size, by in pairs)]


def expand(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    """The operand's sizes against the target's, from the last axis on; 1 gives way."""
    data, target = shapes[0] or (), constant(node.inputs[1])
    like = shape_taken_from(node.inputs[1])
    if like is not None and len(like) >= len(data) and all(size == 1 for size in data):
        return [like]
    if target is None:
        length = (shapes[1] or (None,))[0]
        return [(None,) * max(length, len(data)) if isinstance(length, int) else None]
    wanted: list[Dim] = [int(size) for size in target.reshape(-1)]
    count = max(len(wanted), len(data))
    ones: list[Dim] = [1] * count
    left, right = [*ones[len(data) :], *data], [*ones[len(wanted) :], *wanted]
    return [tuple(b if a == 1 else a for a, b in zip(left, right, strict=True))]


def shape_taken_from(target: ir.Value | None) -> Shape | None:
    """The shape of the value whose whole Shape this is, in whatever type, as far as both are known."""
    from facecvt.converters.passes.infer_shapes import shape_of  # which imports this module

    node = target.producer() if target is not None else None
    while node is not None and node.op_type == "Cast" and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    if node is None or node.op_type != "Shape" or node.attributes or node.inputs[0] is None:
        return None
    return shape_of(node.inputs[0])


def place(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    """ArgMax and ArgMin."""
    data = shapes[0] or ()
    axis = attribute(node, "axis", 0) % len(data)
    kept: tuple[Dim, ...] = (1,) if attribute(node, "keepdims", 1) else ()
    return [(*data[:axis], *kept, *data[axis + 1 :])]


def compress(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    """How many are kept is known at run time only."""
    data, axis = shapes[0] or (), attribute(node, "axis")
    return [(None,) if axis is None else tuple(None if i == axis % len(data) else d for i, d in enumerate(data))]


def top(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    """TopK: values and places."""
    data, wanted = shapes[0] or (), constant(node.inputs[1])
    axis = attribute(node, "axis", -1) % len(data)
    count = None if wanted is None else int(wanted.reshape(-1)[0])
    return [(*data[:axis], count, *data[axis + 1 :])] * len(node.outputs)


def places(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    """NonZero: one row an axis."""
    return [(len(shapes[0] or ()), None)]


def one_number(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    """Size."""
    return [()]


def vector(node: ir.Node, shapes: Sequence[Shape | None]) -> list[Shape | None]:
    """Range."""
    return [(None,)]


PART_RULES = {
    "Split": split,
    "Gather": gather,
    "GatherND": gather_nd,
    "ScatterElements": scatter,
    "TopK": top,
    "Pad": pad,
    "Tile": tile,
    "Expand": expand,
    "ArgMax": place,
    "ArgMin": place,
    "Compress": compress,
    "NonZero": places,
    "Size": one_number,
    "Range": vector,
}
