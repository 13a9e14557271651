"""Functions of single numbers as MXNet's; rounding to the even number and C's remainder are written out.

Source: MXNet 1.9.1 ``src/operator/mshadow_op.h``: ``mod`` takes the divisor's sign.
"""

from __future__ import annotations

from facecvt.converters.graph import attribute
from facecvt.converters.mxnet_nodes import MxnetNodes
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.functions import CANONICAL
from facecvt.converters.ops.registry import to_mxnet

NAMES = {operator: mxnet for operator, (mxnet, _) in CANONICAL.items() if mxnet is not None}


@to_mxnet(*NAMES)
def function_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    m.assign(node.outputs[0], NAMES[node.op_type], [m.arg(node.inputs[0])])


@to_mxnet("Round")
def round_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """One more than the floor where what is left is above a half, or is a half of an odd floor."""
    x = m.arg(node.inputs[0])
    low = m.node("floor", [x])
    rest = m.node("elemwise_sub", [x, low])
    odd = m.node("_mod_scalar", [low], scalar=2.0, is_int=False)
    above = m.node("_greater_scalar", [rest], scalar=0.5, is_int=False)
    half = m.node("elemwise_mul", [m.node("_equal_scalar", [rest], scalar=0.5, is_int=False), odd])
    m.assign(node.outputs[0], "elemwise_add", [low, m.node("elemwise_add", [above, half])])


@to_mxnet("Mod")
def mod_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """With fmod the sign of the dividend, else that of the divisor."""
    left, right = (m.arg(value) for value in node.inputs)
    if not attribute(node, "fmod", 0):
        m.assign(node.outputs[0], "broadcast_mod", [left, right])
        return
    rest = m.node("broadcast_mod", [m.node("abs", [left]), m.node("abs", [right])])
    m.assign(node.outputs[0], "broadcast_mul", [m.node("sign", [left]), rest])
