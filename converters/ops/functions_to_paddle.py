"""Functions of single numbers as Paddle's; C's remainder is written out.

Paddle's ``round`` takes halves to the even number, as ONNX does; its ``elementwise_mod`` has the divisor's sign.
Source: Paddle 3.3.1 operator registrations.
"""

from __future__ import annotations

from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.elementwise_to_paddle import broadcast_shape
from facecvt.converters.ops.functions import CANONICAL, PADDLE_NAMES
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.paddle_nodes import PaddleNodes


@to_paddle(*CANONICAL)
def function_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    p.emit(PADDLE_NAMES[node.op_type], {"X": node.inputs[0]}, node.outputs[0])


@to_paddle("Mod")
def mod_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    """With fmod the sign of the dividend, else that of the divisor."""
    left, right = (p.arg(value) for value in node.inputs)
    if not p.attribute("fmod", 0):
        p.emit("elementwise_mod", {"X": left, "Y": right}, node.outputs[0])
        return
    sizes = [p.emit("abs", {"X": name}) for name in (left, right)]
    shape = broadcast_shape([p.shape(left), p.shape(right)])
    rest = p.emit("elementwise_mod", {"X": sizes[0], "Y": sizes[1]}, sized=shape)
    p.emit("elementwise_mul", {"X": p.emit("sign", {"X": left}), "Y": rest}, node.outputs[0])
