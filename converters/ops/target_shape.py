"""A Reshape whose target is told in terms of the operand's own dimensions: copied, multiplied, divided.

Sources write such targets with codes (MXNet's 0, -1, -2, -3, -4) or with axis ranges (Paddle's flatten). They become
pieces here; :func:`reshape_by_pieces` turns pieces into the plainest Reshape that means the same: a constant target
where 0 (copy the same axis) and one -1 (infer) suffice, else a target that is computed from Shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from facecvt.converters.graph import Builder, dims
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.value_facts import known_rank

INT64_MAX = 2**63 - 1
INFER = -1


@dataclass(frozen=True)
class Copied:
    """Dimension ``axis`` of the operand; negative axes count from its end."""

    axis: int


@dataclass(frozen=True)
class Multiplied:
    """Product of the dimensions ``axis`` and ``axis + 1``."""

    axis: int


@dataclass(frozen=True)
class Divided:
    """Dimension ``axis`` divided by a whole number."""

    axis: int
    divisor: int


@dataclass(frozen=True)
class Remaining:
    """All dimensions from ``start`` up to, but without, ``end`` (None: up to the last)."""

    start: int
    end: int | None


Piece = int | Copied | Multiplied | Divided | Remaining


def reshape_by_pieces(b: Builder, x: ir.Value, pieces: Sequence[Piece]) -> ir.Value:
    """Emit the Reshape of ``x`` to a target of pieces; a literal 0 cannot be asked for, -1 stands for inferred."""
    known, count = dims(x), known_rank(x)
    if known is None and count is not None:
        known = (None,) * count
    resolved = resolve(pieces, known)
    first_remaining = next((i for i, piece in enumerate(resolved) if isinstance(piece, Remaining)), len(resolved))
    for index in range(first_remaining):
        piece = resolved[index]
        if isinstance(piece, Copied) and index == (
            piece.axis if piece.axis >= 0 or known is None else piece.axis + len(known)
        ):
            resolved[index] = 0  # Reshape itself copies the dimension at the same place
    if INFER not in resolved:
        open_places = [i for i, piece in enumerate(resolved) if isinstance(piece, (Copied, Multiplied, Divided))]
        computed = [i for i in open_places if not isinstance(resolved[i], Copied)]
        if open_places:
            resolved[(computed or open_places)[-1]] = INFER
    if all(isinstance(piece, int) for piece in resolved):
        constant_target: ir.Value = b.emit("Reshape", [x, b.const(resolved)])
        return constant_target
    computed_target: ir.Value = b.emit("Reshape", [x, computed_shape(b, b.emit("Shape", [x]), resolved)])
    return computed_target


def resolve(pieces: Sequence[Piece], known: Sequence[int | None] | None) -> list[Piece]:
    """Pieces as numbers as far as the operand's dimensions are known."""
    if known is None:
        return list(pieces)
    resolved: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, Remaining):
            span = range(len(known))[piece.start : piece.end]
            resolved += resolve([Copied(axis) for axis in span], known)
        elif isinstance(piece, Copied):
            resolved.append(known[piece.axis] or piece)
        elif isinstance(piece, Multiplied):
            left, right = known[piece.axis], known[piece.axis + 1]
            resolved.append(left * right if left and right else piece)
        elif isinstance(piece, Divided):
            whole = known[piece.axis]
            resolved.append(whole // piece.divisor if whole else piece)
        else:
            resolved.append(piece)
    return resolved


def computed_shape(b: Builder, shape: ir.Value, pieces: Sequence[Piece]) -> ir.Value:
    """The target as an int64 vector, computed from the operand's Shape."""

    def part(start: int, end: int | None) -> ir.Value:
        axes = [b.const([start]), b.const([INT64_MAX if end is None else end]), b.const([0])]
        result: ir.Value = b.emit("Slice", [shape, *axes])
        return result

    def single(axis: int) -> ir.Value:
        return part(axis, None if axis == -1 else axis + 1)

    parts: list[ir.Value] = []
    literals: list[int] = []
    for piece in [*pieces, None]:
        if isinstance(piece, int):
            literals.append(piece)
            continue
        if literals:
            parts.append(b.const(literals))
            literals = []
        if isinstance(piece, Remaining):
            parts.append(shape if (piece.start, piece.end) == (0, None) else part(piece.start, piece.end))
        elif isinstance(piece, Copied):
            parts.append(single(piece.axis))
        elif isinstance(piece, Multiplied):
            parts.append(b.emit("Mul", [single(piece.axis), single(piece.axis + 1)]))
        elif isinstance(piece, Divided):
            parts.append(b.emit("Div", [single(piece.axis), b.const([piece.divisor])]))
    result: ir.Value = parts[0] if len(parts) == 1 else b.emit("Concat", parts, axis=0)
    return result
