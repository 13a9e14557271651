"""MXNet's comparisons, logic and choice, whose truth is 1 and 0 of the operands' own type.

    _greater, _Greater, broadcast_greater, _greater_scalar, ...   1 where so, 0 elsewhere
    logical_and, or, xor, not                                     any number but 0 counts as true
    where                                                         condition of the operands' shape, or one number a row
    _npi_where                                                    all three broadcast as numpy does

ONNX compares into booleans: a Cast behind each gives MXNet's type. An operand that is such a Cast is read without it,
so that a chain of conditions stays a chain of booleans. Sources: MXNet 1.9.1 ``src/operator/tensor/
elemwise_binary_{op,broadcast_op,scalar_op}_logic.cc``, ``control_flow_op.h``.
"""

from __future__ import annotations

from typing import Any

from facecvt.converters.graph import Builder
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import from_mxnet
from facecvt.converters.ops.value_facts import element_type, known_rank, number_like
from facecvt.converters.source_ops import MxnetOp

COMPARED = {
    "equal": "Equal",
    "not_equal": "Equal",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "lesser": "Less",
    "lesser_equal": "LessOrEqual",
}
LOGICAL = {"logical_and": "And", "logical_or": "Or", "logical_xor": "Equal"}


def capitalised(stem: str, joint: str) -> str:
    """``greater_equal`` as files before 0.9 spell it: Greater_Equal, or GreaterEqual before ``Scalar``."""
    return joint.join(part.capitalize() for part in stem.split("_"))


TENSORS = {
    name: stem
    for stem in (*COMPARED, *LOGICAL)
    for name in (f"_{stem}", f"_{capitalised(stem, '_')}", f"broadcast_{stem}")
}
WITH_A_NUMBER = {
    name: stem for stem in (*COMPARED, *LOGICAL) for name in (f"_{stem}_scalar", f"_{capitalised(stem, '')}Scalar")
}


def as_boolean(b: Builder, value: ir.Value) -> ir.Value:
    """Whether each number differs from 0."""
    node = value.producer()
    if node is not None and node.op_type == "Cast" and element_type(node.inputs[0]) == ir.DataType.BOOL:
        source: ir.Value | None = node.inputs[0]
        if source is not None:
            return source
    if element_type(value) == ir.DataType.BOOL:
        return value
    zero = b.emit("Equal", [value, number_like(b, value, 0.0)])
    result: ir.Value = b.emit("Not", [zero])
    return result


def as_number(b: Builder, truth: ir.Value, like: ir.Value) -> Any:
    """1 and 0 in the type of an operand."""
    found = element_type(like)
    return b.emit("Cast", [truth], to=int(found if found not in (None, ir.DataType.BOOL) else ir.DataType.FLOAT))


def decided(b: Builder, stem: str, left: ir.Value, right: ir.Value) -> Any:
    """A comparison or a junction of two values, as MXNet's number."""
    if stem in LOGICAL:
        truth = b.emit(LOGICAL[stem], [as_boolean(b, left), as_boolean(b, right)])
    else:
        truth = b.emit(COMPARED[stem], [left, right])
    if stem in ("not_equal", "logical_xor"):
        truth = b.emit("Not", [truth])
    return as_number(b, truth, left)


@from_mxnet(*TENSORS)
def truth_of_tensors_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return decided(b, TENSORS[op.op], *op.inputs)


@from_mxnet(*WITH_A_NUMBER)
def truth_with_a_number_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    x, stem, number = op.inputs[0], WITH_A_NUMBER[op.op], op.number("scalar", 1.0)
    op.raw("is_int", None)  # says how the number was written, not how it counts
    if stem not in LOGICAL:
        try:
            return decided(b, stem, x, number_like(b, x, number))
        except ValueError as error:
            raise op.refuse(str(error)) from error
    return decided(b, stem, x, b.const(number != 0, bool))


@from_mxnet("logical_not")
def not_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    x = op.inputs[0]
    return as_number(b, b.emit("Not", [as_boolean(b, x)]), x)


@from_mxnet("where")
def where_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """A condition of one dimension chooses along the first axis."""
    condition, x, y = op.inputs
    own, inner = known_rank(condition), known_rank(x)
    if inner is None:
        inner = known_rank(y)
    if own is None or (own == 1 and inner is None):
        raise op.refuse("whether the condition is of one dimension is not known; give the input shapes")
    truth = as_boolean(b, condition)
    if own == 1 and inner is not None and inner > 1:
        truth = b.emit("Unsqueeze", [truth, b.const(list(range(1, inner)))])
    return b.emit("Where", [truth, x, y])


@from_mxnet("_npi_where")
def numpy_where_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    condition, x, y = op.inputs
    return b.emit("Where", [as_boolean(b, condition), x, y])
