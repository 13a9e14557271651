"""The norm-aware pooling's weighting in a canonical graph: every pixel's vector times mean length over own length.

    y = x * (mean(l) / l),  l = sqrt(sum over channels of x^2),  mean over all pixels of the whole batch

MXNet tiles the factor over the channels, others leave that to broadcasting.
"""

from __future__ import annotations

import numpy as np

from facecvt.converters.graph import attribute, constant
from facecvt.converters.onnx_ir_lazy import ir

SPREADING = ("Identity", "Expand", "Tile")


def holds_number(value: ir.Value | None, wanted: float) -> bool:
    """True for a constant of one element that is this number."""
    array = constant(value)
    return array is not None and array.size == 1 and float(array.reshape(-1)[0]) == wanted


def squared(value: ir.Value | None) -> ir.Value | None:
    """The value that this one is the square of."""
    node = value.producer() if value is not None else None
    if node is None:
        return None
    if node.op_type == "Pow" and holds_number(node.inputs[1], 2.0):
        return node.inputs[0]
    if node.op_type == "Mul" and node.inputs[0] is node.inputs[1]:
        return node.inputs[0]
    return None


def reduced_axes(node: ir.Node) -> list[int] | None:
    """The axes of a reduction of a map, all of them where none are given; None where they are computed."""
    axes = node.inputs[1] if len(node.inputs) > 1 else None
    if axes is None:
        return [] if attribute(node, "noop_with_empty_axes", 0) else [0, 1, 2, 3]
    array = constant(axes)
    return None if array is None else sorted(int(axis) % 4 for axis in np.asarray(array).reshape(-1))


def length_of_pixels(value: ir.Value | None) -> ir.Value | None:
    """The maps whose pixels' vectors have these lengths, (N, 1, H, W)."""
    node = value.producer() if value is not None else None
    if node is None:
        return None
    rooted = node.op_type == "Sqrt" or (node.op_type == "Pow" and holds_number(node.inputs[1], 0.5))
    total = node.inputs[0].producer() if rooted and node.inputs[0] is not None else node
    if total is None or not attribute(total, "keepdims", 1):
        return None
    if total.op_type not in ("ReduceSum", "ReduceSumSquare", "ReduceL2") or reduced_axes(total) != [1]:
        return None
    if (total.op_type != "ReduceL2") != rooted:
        return None
    return squared(total.inputs[0]) if total.op_type == "ReduceSum" else total.inputs[0]


def norm_aware(value: ir.Value) -> ir.Value | None:
    """The maps x of y = x * (mean(l) / l) where the value is such a y."""
    node = value.producer()
    if node is None or node.op_type != "Mul" or len(node.inputs) != 2:
        return None
    for x, factor in (tuple(node.inputs), tuple(node.inputs)[::-1]):
        quotient = factor.producer() if factor is not None else None
        while quotient is not None and quotient.op_type in SPREADING and quotient.inputs[0] is not None:
            quotient = quotient.inputs[0].producer()
        if quotient is None or quotient.op_type != "Div" or x is None:
            continue
        mean, length = quotient.inputs
        average = mean.producer() if mean is not None else None
        if average is None or average.op_type != "ReduceMean" or average.inputs[0] is not length:
            continue
        if reduced_axes(average) == [0, 1, 2, 3] and length_of_pixels(length) is x:
            return x
    return None
