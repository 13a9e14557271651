"""Activations with straight pieces and bounds, written to Paddle: clip, relu6, hard_sigmoid, hard_swish.

Paddle's clip has two bounds, the lower not above the upper; what it cannot say is a maximum and a minimum with a
number. Source: Paddle 3.3.1 operator registrations.
"""

from __future__ import annotations

import math

from facecvt.converters.graph import constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.paddle_nodes import PaddleNodes


@to_paddle("HardSwish")
def hard_swish_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    p.emit("hard_swish", {"X": node.inputs[0]}, node.outputs[0])


@to_paddle("HardSigmoid")
def hard_sigmoid_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    slope, offset = p.attribute("alpha", 0.2), p.attribute("beta", 0.5)
    p.emit("hard_sigmoid", {"X": node.inputs[0]}, node.outputs[0], slope=slope, offset=offset)


@to_paddle("Clip")
def clip_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    x, result = node.inputs[0], node.outputs[0]
    low, high = [*node.inputs[1:], None, None][:2]
    numbers = [finite_number(bound) for bound in (low, high)]
    if p.dtype(x).kind == "f" and numbers[0] is not None and numbers[1] is not None and numbers[0] <= numbers[1]:
        if numbers == [0.0, 6.0]:
            p.emit("relu6", {"X": x}, result)
        else:
            p.emit("clip", {"X": x}, result, min=numbers[0], max=numbers[1])
    elif low is None and high is None:
        p.emit("assign", {"X": x}, result)
    elif low is None or high is None:
        operator = "elementwise_min" if low is None else "elementwise_max"
        p.emit(operator, {"X": x, "Y": high if low is None else low}, result)
    else:
        raised = p.emit("elementwise_max", {"X": x, "Y": low})
        p.emit("elementwise_min", {"X": raised, "Y": high}, result)


def finite_number(bound: ir.Value | None) -> float | None:
    """The number of a constant bound that is finite, else None."""
    array = constant(bound)
    if array is None or array.size != 1:
        return None
    number = float(array.reshape(-1)[0])
    return number if math.isfinite(number) else None
