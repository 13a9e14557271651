"""The bare structure of a network: operators, wiring, weight shapes and strides, without any name.

Two networks have one structure where the structures of their outputs are equal, which is decided from the input up:
every piece gets a number that stands for (operator, attributes, weight shapes, numbers of its inputs), the two inputs
of a sum in either order. That costs one pass over each network. Pairing then walks back from the outputs and takes, of
two possible partners, the one with the same number; it must be one-to-one.

What does not change the structure is left out on both sides: a Flatten in front of a Gemm, which flattens by itself in
some frameworks, and a pooling over single elements at stride 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from facecvt.reference_models.layers import INPUT, Layer

NETWORK_INPUT = -1
COMMUTATIVE = ("Add", "Mul")
WINDOW_ATTRIBUTES = ("kernel_shape", "strides", "pads", "group", "dilations", "ceil_mode")
COMPARED_ATTRIBUTES = (
    *(*WINDOW_ATTRIBUTES, "min", "max", "alpha", "beta"),
    *("perm", "shape", "axis", "mode", "step", "sizes"),
)
POOLS = ("MaxPool", "AveragePool")
SOURCES = {"Resize": 1, "PriorBox": 0}  # operators of which some inputs, or all, say nothing but a size
Numbers = dict[tuple[Any, ...], int]


@dataclass
class Piece:
    """One step of a network.

    Attributes:
        op: ONNX operator.
        inputs: indices of the pieces that feed it, NETWORK_INPUT for the network's input.
        shapes: role -> canonical shape of each weight.
        attributes: the attributes that are part of the structure.
        source: the Layer or the graph's node that it was made from.
        weights: role -> where the weight lies in a graph; empty for a listing.
    """

    op: str
    inputs: tuple[int, ...]
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    source: Any = None
    weights: dict[str, Any] = field(default_factory=dict)


@dataclass
class Skeleton:
    """Pieces in topological order and the indices of those that give the outputs."""

    pieces: list[Piece]
    outputs: tuple[int, ...]

    @property
    def output(self) -> int:
        """Index of the piece that gives the first output, the embedding where there is one."""
        return self.outputs[0]

    def count(self, op: str) -> Counter[int]:
        """How many pieces of an operator there are by the size of their first weight's first axis."""
        sizes = (next(iter(piece.shapes.values()), (0,))[0] for piece in self.pieces if piece.op == op)
        return Counter(sizes)

    @property
    def normalised(self) -> bool:
        """True where the first output is divided by its length."""
        return self.output >= 0 and self.pieces[self.output].op == "LpNormalization"

    def output_width(self) -> int | None:
        """Channels of the last piece with weights on the way back from the output; None where there is none."""
        index = self.output
        while index != NETWORK_INPUT:
            piece = self.pieces[index]
            if piece.shapes:
                return next(iter(piece.shapes.values()))[0]
            if len(piece.inputs) != 1:
                return None
            index = piece.inputs[0]
        return None

    def numbered(self, numbers: Numbers) -> list[int]:
        """The number of every piece's structure; equal structures have equal numbers within one ``numbers``."""
        own: list[int] = []
        for piece in self.pieces:
            feeding = [NETWORK_INPUT if index == NETWORK_INPUT else own[index] for index in piece.inputs]
            if piece.op in COMMUTATIVE:
                feeding.sort()
            key = (piece.op, tuple(sorted(piece.shapes.items())), _comparable(piece.attributes), tuple(feeding))
            own.append(numbers.setdefault(key, len(numbers)))
        return own


def from_layers(layers: Iterable[Layer]) -> Skeleton:
    """The skeleton of an architecture's listing; the layers that feed no other give the outputs, in their order."""
    pieces: list[Piece] = []
    index_of = {INPUT: NETWORK_INPUT}
    ends: dict[str, None] = {}
    for layer in layers:
        feeding = tuple(index_of[name] for name in layer.inputs)
        feeding = feeding[: SOURCES.get(layer.op, len(feeding))]
        shapes = {parameter.role: parameter.shape for parameter in layer.parameters}
        if not layer.attributes.get("affine", True):
            # a graph's BatchNormalization always has them; recognise.py looks at their numbers
            shapes = {"scale": shapes["mean"], "shift": shapes["mean"]} | shapes
        attributes = {name: layer.attributes[name] for name in COMPARED_ATTRIBUTES if name in layer.attributes}
        index_of[layer.name] = add_piece(pieces, Piece(layer.op, feeding, shapes, attributes, layer))
        for name in layer.inputs:
            ends.pop(name, None)
        ends[layer.name] = None
    return Skeleton(pieces, tuple(index_of[name] for name in ends))


def add_piece(pieces: list[Piece], piece: Piece) -> int:
    """Append a piece and return its index; a Gemm looks through the Flatten that feeds it.

    A pooling that changes nothing is not appended: its index is that of the piece in front of it. Nor is a Flatten
    behind a Flatten.
    """
    if piece.op == "Flatten" and piece.inputs[0] != NETWORK_INPUT and pieces[piece.inputs[0]].op == "Flatten":
        return piece.inputs[0]
    if piece.op in POOLS and {*piece.attributes["kernel_shape"], *piece.attributes["strides"]} == {1}:
        return piece.inputs[0]
    if piece.op == "Gemm":
        feeding = tuple(
            pieces[index].inputs[0] if index != NETWORK_INPUT and pieces[index].op == "Flatten" else index
            for index in piece.inputs
        )
        piece.inputs = feeding
    if piece.op == "Conv" and piece.inputs[0] != NETWORK_INPUT and pieces[piece.inputs[0]].op == "Pad":
        _take_padding(piece, pieces[piece.inputs[0]])
    pieces.append(piece)
    return len(pieces) - 1


def _take_padding(conv: Piece, pad: Piece) -> None:
    """Count zeros that are put around the maps in front of a convolution as padding of the convolution."""
    amounts, own = pad.attributes["pads"], conv.attributes["pads"]
    if len(amounts) == 8 and len(own) == 4 and not isinstance(own, str) and not any((*amounts[:2], *amounts[4:6])):
        around = (*amounts[2:4], *amounts[6:])
        conv.attributes["pads"] = tuple(more + there for more, there in zip(around, own, strict=True))
        conv.inputs = pad.inputs


def pair(first: Skeleton, second: Skeleton) -> dict[int, int] | None:
    """Index in ``first`` -> index in ``second`` of all pieces that their outputs need; None where structures differ."""
    numbers: Numbers = {}
    first_numbers, second_numbers = first.numbered(numbers), second.numbered(numbers)
    ends = list(zip(first.outputs, second.outputs, strict=False))
    if len(first.outputs) != len(second.outputs) or any(NETWORK_INPUT in end for end in ends):
        return None
    if any(first_numbers[here] != second_numbers[there] for here, there in ends):
        return None

    def structure(of: list[int], index: int) -> int:
        return NETWORK_INPUT if index == NETWORK_INPUT else of[index]

    paired: dict[int, int] = {}
    pending = ends
    while pending:
        here, there = pending.pop()
        if here == NETWORK_INPUT or paired.get(here) == there:
            continue
        if here in paired:
            return None  # shared on one side, computed twice on the other
        paired[here] = there
        ours, theirs = list(first.pieces[here].inputs), list(second.pieces[there].inputs)
        if first.pieces[here].op in COMMUTATIVE:
            ours.sort(key=lambda index: structure(first_numbers, index))
            theirs.sort(key=lambda index: structure(second_numbers, index))
        pending.extend(zip(ours, theirs, strict=True))
    return paired if len(set(paired.values())) == len(paired) else None


def _comparable(attributes: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Attributes as a hashable value, sequences as tuples, numbers to the digits that float32 keeps."""
    plain = {name: tuple(value) if isinstance(value, (list, tuple)) else value for name, value in attributes.items()}
    plain = {name: round(value, 6) if isinstance(value, float) else value for name, value in plain.items()}
    return tuple(sorted(plain.items()))
