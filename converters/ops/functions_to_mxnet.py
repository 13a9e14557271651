"""Functions of single numbers as MXNet's; rounding to the even number and C's remainder are written out.

Source: MXNet 1.9.1 ``src/operator/mshadow_op.h``: ``mod`` takes the divisor's sign.
"""

from __future__ import annotations

from facecvt.converters.graph import attribute, constant
from facecvt.converters.mxnet_nodes import MxnetNodes
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.functions import CANONICAL
from facecvt.converters.ops.registry import to_mxnet
from facecvt.converters.ops.value_facts import is_integer

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
    """With fmod the sign of the dividend, else that of the divisor; NaN for a divisor of 0, where MXNet gives 0."""
    left, right = (m.arg(value) for value in node.inputs)
    divisor, after = constant(node.inputs[1]), []
    operands = [left, right]
    if attribute(node, "fmod", 0):
        operands = [m.node("abs", [left]), m.node("abs", [right])]
        after.append(m.node("sign", [left]))
    if not is_integer(node.inputs[1]) and (divisor is None or not divisor.all()):
        side = m.node("sign", [right])
        after.append(m.node("elemwise_div", [side, side]))
    if not after:
        m.assign(node.outputs[0], "broadcast_mod", operands)
        return
    rest = m.node("broadcast_mod", operands)
    for factor in after[:-1]:
        rest = m.node("broadcast_mul", [rest, factor])
    m.assign(node.outputs[0], "broadcast_mul", [rest, after[-1]])
