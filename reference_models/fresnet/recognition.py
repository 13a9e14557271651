"""Which fresnet a graph could be: read off its stem, its convolutions and its last operators.

E, FC and I differ in nothing but a dropout, F and G likewise, C and GAP in nothing: the first of each is proposed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from facecvt.reference_models.fresnet.variants import (
    BOTTLENECK_FROM,
    EXPANSION,
    STEM,
    UNITS,
    WIDTHS,
    architecture_name,
    is_plain,
    map_sizes,
)
from facecvt.reference_models.iresnet.spec import UNITS as IRESNET_UNITS
from facecvt.reference_models.mxnet_outputs import (
    ACTIVATIONS,
    OUTPUTS_OF_2018,
    operators_back,
    outputs_of,
    where_allowed,
)
from facecvt.reference_models.skeleton import Piece, Skeleton
from facecvt.reference_models.spec import ArchitectureSpec, architectures

SIZES = (112, 224)


def candidates(skeleton: Skeleton) -> Iterator[ArchitectureSpec]:
    """The networks of the graph's stem, units and output, but for those of the family iresnet."""
    stem = stem_options(skeleton.pieces)
    length = skeleton.output_width()
    if stem is None or length is None:
        return
    convolutions = Counter(piece.shapes["weight"] for piece in skeleton.pieces if piece.op == "Conv")
    bottleneck = (STEM * EXPANSION, STEM, 1, 1) in convolutions
    depth = depth_by_units(convolutions, bottleneck)
    if depth is None:
        return
    fixed = {"se": has_gates(skeleton), "embedding_size": length, "normalize": skeleton.normalised} | stem
    back = operators_back(skeleton)
    operators = [skeleton.pieces[index].op for index in back]
    # a unit ends in its sum, that of version 1 in an activation behind it
    for units, before in (((3, 2), ("Add",)), ((1,), ("act", "Add"))):
        for output, count in outputs_of(operators, before):
            ends = [skeleton.pieces[index] for index in back[:count]]
            options = fixed | output_options(output, ends, bottleneck, stem["activation"])
            options["input_size"] = picture_size(ends, stem["input"], WIDTHS[-1] * (EXPANSION if bottleneck else 1))
            plain = is_plain(options) and not bottleneck and IRESNET_UNITS.get(depth) == UNITS[depth]
            for unit in units:
                if not (plain and unit == 3):
                    yield from where_allowed(architectures()[architecture_name(depth)], unit=unit, **options)


def stem_options(pieces: list[Piece]) -> dict[str, Any] | None:
    """Input and activation, from the pieces up to the first activation; None where there is no such stem."""
    normed = bool(pieces) and pieces[0].op == "BatchNormalization"
    stem = pieces[1:4] if normed else pieces[:3]
    if [piece.op for piece in stem[:2]] != ["Conv", "BatchNormalization"] or len(stem) < 3:
        return None
    kinds = [name for name, op in ACTIVATIONS.items() if op == stem[2].op]
    kernel = stem[0].shapes["weight"][2:]
    if not kinds or (normed and kernel == (7, 7)):
        return None
    return {"input": 2 if normed else 0 if kernel == (7, 7) else 1, "activation": kinds[0]}


def depth_by_units(convolutions: Counter[tuple[int, ...]], bottleneck: bool) -> int | None:
    """The layers of the network whose stages have as many 3x3 convolutions; None where there is none."""
    count: Counter[int] = Counter()
    for shape, times in convolutions.items():
        if shape[2:] == (3, 3) and shape[1] not in (1, 3):  # neither depthwise nor the stem's
            count[shape[0]] += times
    each = 1 if bottleneck else 2
    units = tuple(count[width] / each for width in WIDTHS)
    fitting = [depth for depth in UNITS if UNITS[depth] == units]
    fitting = [depth for depth in fitting if not bottleneck or depth >= BOTTLENECK_FROM]
    return fitting[-1] if fitting else None


def has_gates(skeleton: Skeleton) -> bool:
    """True where something is multiplied with a sigmoid."""
    return any(
        piece.op == "Mul" and any(index >= 0 and skeleton.pieces[index].op == "Sigmoid" for index in piece.inputs)
        for piece in skeleton.pieces
    )


def output_options(output: str, ends: list[Piece], bottleneck: bool, activation: str) -> dict[str, Any]:
    """The output and the revision that has it, in which its activations are what they are here."""
    kinds = {piece.op for piece in ends if piece.op in ACTIVATIONS.values()}
    only_prelu = kinds == {"PRelu"} and activation != "prelu"
    of_2018 = bottleneck or output in OUTPUTS_OF_2018 or only_prelu
    if output == "GAP" and bottleneck:
        output = "C"
    return {"output": output, "revision": "2018" if of_2018 else "arcface_mxnet"}


def picture_size(ends: list[Piece], version: int, channels: int) -> int:
    """The size that the first fully connected layer asks for; 112 where it takes an average."""
    dense = [piece.shapes["weight"][1] for piece in ends if piece.op == "Gemm"]
    kernels = [piece.shapes["weight"][2:] for piece in ends if piece.op == "Conv"]
    for size in SIZES:
        last = map_sizes(version, size)[-1]
        if (7, 7) in kernels:  # GDC
            last, channels = last - 6, WIDTHS[-1]
        elif (3, 3) in kernels:  # SFC
            last, channels = math.ceil(last / 2), WIDTHS[-1]
        if dense and dense[-1] == channels * last**2:
            return size
    return SIZES[0]
