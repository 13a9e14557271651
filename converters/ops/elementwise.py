"""Arithmetic, element by element: Add, Sub, Mul, Div, Pow, Max, Min, Sum of broadcast operands, and with a number.

Reading. MXNet has an operator with a number in it (``_minus_scalar``); the number becomes a scalar constant of the
operand's type. A Paddle legacy operator may say at which axis of the larger operand the smaller one begins (``axis``;
-1 means trailing, as in ONNX). Sources: the operators' own registrations in MXNet 1.9.1 and Paddle 3.3.1, the ONNX
operator specification.

Writing. Tensors are written as Python expressions, one-element constants as literals, shape arithmetic as ints.
"""

from __future__ import annotations

from typing import Any

from facecvt.converters.graph import Builder, constant, dims
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops import int_lists
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, lower, to_torch
from facecvt.converters.ops.rewriting import insert_before
from facecvt.converters.ops.runtime_squeeze import serves_squeeze
from facecvt.converters.ops.unchanged import unchanged
from facecvt.converters.ops.value_facts import element_type, is_integer, known_rank, number_like
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp
from facecvt.converters.torch_code import TorchCode

MXNET_BINARY = {
    **dict.fromkeys(("elemwise_add", "_plus", "_Plus", "_add", "_grad_add", "broadcast_add", "broadcast_plus"), "Add"),
    **dict.fromkeys(("elemwise_sub", "_minus", "_Minus", "_sub", "broadcast_sub", "broadcast_minus"), "Sub"),
    **dict.fromkeys(("elemwise_mul", "_mul", "_Mul", "broadcast_mul"), "Mul"),
    **dict.fromkeys(("elemwise_div", "_div", "_Div", "broadcast_div"), "Div"),
    **dict.fromkeys(("_power", "_Power", "broadcast_power"), "Pow"),
    **dict.fromkeys(("_maximum", "_Maximum", "broadcast_maximum"), "Max"),
    **dict.fromkeys(("_minimum", "_Minimum", "broadcast_minimum"), "Min"),
}
MXNET_SCALAR = {
    **dict.fromkeys(("_plus_scalar", "_PlusScalar"), ("Add", False)),
    **dict.fromkeys(("_minus_scalar", "_MinusScalar"), ("Sub", False)),
    **dict.fromkeys(("_rminus_scalar", "_RMinusScalar"), ("Sub", True)),
    **dict.fromkeys(("_mul_scalar", "_MulScalar"), ("Mul", False)),
    **dict.fromkeys(("_div_scalar", "_DivScalar"), ("Div", False)),
    **dict.fromkeys(("_rdiv_scalar", "_RDivScalar"), ("Div", True)),
    **dict.fromkeys(("_power_scalar", "_PowerScalar"), ("Pow", False)),
    **dict.fromkeys(("_rpower_scalar", "_RPowerScalar"), ("Pow", True)),
    **dict.fromkeys(("_maximum_scalar", "_MaximumScalar"), ("Max", False)),
    **dict.fromkeys(("_minimum_scalar", "_MinimumScalar"), ("Min", False)),
}
UNARY = {
    "sqrt": "Sqrt",
    "exp": "Exp",
    "log": "Log",
    "abs": "Abs",
    "negative": "Neg",
    "reciprocal": "Reciprocal",
    "floor": "Floor",
    "ceil": "Ceil",
}
PADDLE_BINARY = {
    "elementwise_add": "Add",
    "elementwise_sub": "Sub",
    "elementwise_mul": "Mul",
    "elementwise_div": "Div",
    "elementwise_pow": "Pow",
    "elementwise_max": "Max",
    "elementwise_min": "Min",
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "maximum": "Max",
    "minimum": "Min",
}
PADDLE_COMPARISON = {
    "equal": "Equal",
    "less_than": "Less",
    "less_equal": "LessOrEqual",
    "greater_than": "Greater",
    "greater_equal": "GreaterOrEqual",
}
PADDLE_LOGIC = {"logical_and": "And", "logical_or": "Or"}
OPERATORS = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/", "Pow": "**", "Sum": "+"}
COMPARISONS = {"Equal": "==", "Less": "<", "Greater": ">", "LessOrEqual": "<=", "GreaterOrEqual": ">="}
TORCH_UNARY = {
    "Sqrt": "torch.sqrt({})",
    "Exp": "torch.exp({})",
    "Log": "torch.log({})",
    "Abs": "torch.abs({})",
    "Neg": "-{}",
    "Reciprocal": "torch.reciprocal({})",
    "Floor": "torch.floor({})",
    "Ceil": "torch.ceil({})",
    "Not": "torch.logical_not({})",
}


# ---- MXNet -----------------------------------------------------------------------------------------------------------


@from_mxnet(*MXNET_BINARY)
def binary_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit(MXNET_BINARY[op.op], op.inputs)


@from_mxnet("add_n", "ElementWiseSum")
def sum_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit("Sum", op.inputs) if len(op.inputs) > 1 else op.inputs[0]


@from_mxnet(*MXNET_SCALAR)
def scalar_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    operator, reverse = MXNET_SCALAR[op.op]
    op.raw("is_int", None)  # says how the number was written, not how it counts
    number = number_like(b, op.inputs[0], op.number("scalar", 0.0 if op.op == "_minus_scalar" else 1.0))
    return b.emit(operator, [number, op.inputs[0]] if reverse else [op.inputs[0], number])


@from_mxnet(*UNARY)
def unary_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit(UNARY[op.op], op.inputs)


@from_mxnet("square")
def square_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit("Mul", [op.inputs[0], op.inputs[0]])


@from_mxnet("rsqrt")
def rsqrt_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit("Reciprocal", [b.emit("Sqrt", op.inputs)])


# ---- Paddle ----------------------------------------------------------------------------------------------------------


def aligned(op: PaddleOp, b: Builder, smaller: ir.Value, larger_rank: int, axis: int) -> ir.Value:
    """The lower-ranked operand with ones appended, so that its first axis lies at ``axis`` of the other one."""
    shape = dims(smaller)
    if shape is None:
        raise op.refuse("the rank of an operand is not known, so that its place cannot be told")
    missing = larger_rank - axis - len(shape)
    if missing == 0:
        return smaller
    if missing < 0 and all(dim == 1 for dim in shape[missing:]):  # trailing ones do not count
        axes = list(range(len(shape) + missing, len(shape)))
        kept = shape[:missing]
        if constant(smaller) is not None:
            return b.reshaped(smaller, [int(dim) for dim in kept if dim is not None])
        squeezed: ir.Value = b.emit("Squeeze", [smaller, b.const(axes)])
        return squeezed
    if missing < 0:
        raise op.refuse(f"axis {axis}: shape {shape} does not fit into {larger_rank} dimensions from there on")
    if constant(smaller) is not None:
        return b.reshaped(smaller, [*(int(dim) for dim in shape if dim is not None), *[1] * missing])
    result: ir.Value = b.emit("Unsqueeze", [smaller, b.const(list(range(len(shape), len(shape) + missing)))])
    return result


@from_paddle(*PADDLE_BINARY, *PADDLE_COMPARISON)
def binary_from_paddle(op: PaddleOp, b: Builder) -> Any:
    x, y = op.value("X", 0), op.value("Y", 1)
    axis = op.integer("axis", -1)
    op.raw("force_cpu", False)  # where a comparison is computed
    rank_x, rank_y = known_rank(x), known_rank(y)
    if axis != -1:
        if rank_x is None or rank_y is None:
            raise op.refuse(f"axis {axis} needs operands of known rank")
        if rank_y < rank_x:
            y = aligned(op, b, y, rank_x, axis)
        elif rank_x < rank_y:
            x = aligned(op, b, x, rank_y, axis)
    return b.emit({**PADDLE_BINARY, **PADDLE_COMPARISON}[op.op], [x, y])


@from_paddle(*PADDLE_LOGIC)
def logic_from_paddle(op: PaddleOp, b: Builder) -> Any:
    return b.emit(PADDLE_LOGIC[op.op], [op.value("X", 0), op.value("Y", 1)])


@from_paddle("not_equal")
def not_equal_from_paddle(op: PaddleOp, b: Builder) -> Any:
    if op.integer("axis", -1) != -1:
        raise op.refuse("only trailing operands, axis -1, are supported")
    op.raw("force_cpu", False)  # where it is computed
    return b.emit("Not", [b.emit("Equal", [op.value("X", 0), op.value("Y", 1)])])


@from_paddle("logical_not")
def not_from_paddle(op: PaddleOp, b: Builder) -> Any:
    return b.emit("Not", [op.value("X", 0)])


@from_paddle("where")
def where_from_paddle(op: PaddleOp, b: Builder) -> Any:
    return b.emit("Where", [op.value("Condition", 0), op.value("X", 1), op.value("Y", 2)])


@from_paddle("add_n")
def sum_from_paddle(op: PaddleOp, b: Builder) -> Any:
    values = op.many("X", 0)
    return b.emit("Sum", values) if len(values) > 1 else values[0]


@from_paddle("scale")
def scale_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """x * scale + bias, or (x + bias) * scale; nothing for scale 1 and bias 0."""
    x, given = op.value("X", 0), op.optional("ScaleTensor", 1)
    scale = op.number("scale", 1.0)
    if given is not None:
        scale = float(op.weight(given, "ScaleTensor").reshape(-1)[0])
    bias, after = op.number("bias", 0.0), op.boolean("bias_after_scale", True)
    bias_first = bias != 0.0 and not after
    try:
        if bias_first:
            x = b.emit("Add", [x, number_like(b, x, bias)])
        if scale != 1.0:
            x = b.emit("Mul", [x, number_like(b, x, scale)])
        if bias != 0.0 and not bias_first:
            x = b.emit("Add", [x, number_like(b, x, bias)])
    except ValueError as error:
        raise op.refuse(str(error)) from error
    return x


@from_paddle("pow")
def pow_from_paddle(op: PaddleOp, b: Builder) -> Any:
    x, given = op.value("X", 0), op.optional("FactorTensor", None)
    factor = op.number("y", 1.0) if op.pir else op.number("factor", 1.0)
    if given is not None:
        factor = float(op.weight(given, "FactorTensor").reshape(-1)[0])
    return x if factor == 1.0 else b.emit("Pow", [x, number_like(b, x, factor)])


@from_paddle("sqrt", "exp", "abs", "log", "reciprocal", "floor", "ceil")
def unary_from_paddle(op: PaddleOp, b: Builder) -> Any:
    return b.emit(UNARY[op.op], [op.value("X", 0)])


@from_paddle("square")
def square_from_paddle(op: PaddleOp, b: Builder) -> Any:
    x = op.value("X", 0)
    return b.emit("Mul", [x, x])


@from_paddle("rsqrt")
def rsqrt_from_paddle(op: PaddleOp, b: Builder) -> Any:
    return b.emit("Reciprocal", [b.emit("Sqrt", [op.value("X", 0)])])


# ---- ONNX ------------------------------------------------------------------------------------------------------------


@from_onnx(
    *("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Where", *COMPARISONS, "And", "Or", "Not"),
    *("Sqrt", "Exp", "Log", "Abs", "Neg", "Reciprocal", "Floor", "Ceil"),
)
def arithmetic_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b)


@lower("LessOrEqual", below=12)
@lower("GreaterOrEqual", below=12)
def lower_comparison(node: ir.Node, opset: int) -> None:
    """a <= b as (a < b) or (a == b), which is false for NaN like the operator itself."""
    strict = insert_before(node, "Less" if node.op_type == "LessOrEqual" else "Greater", node.inputs)
    equal = insert_before(node, "Equal", node.inputs)
    node.op_type = "Or"
    node.replace_input_with(0, strict)
    node.replace_input_with(1, equal)


@lower("Pow", below=12)
def lower_pow(node: ir.Node, opset: int) -> None:
    """Before opset 12 base and exponent have one type."""
    base, exponent = element_type(node.inputs[0]) or ir.DataType.FLOAT, element_type(node.inputs[1])
    if exponent is not None and exponent != base:
        node.replace_input_with(1, insert_before(node, "Cast", [node.inputs[1]], to=int(base)))


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


def operands(node: ir.Node, t: TorchCode) -> list[str]:
    """Expressions of all inputs: literals for one-element constants, as long as one tensor is left."""
    literals = [literal(node, value, t) for value in node.inputs]
    if all(text is not None for text in literals):
        literals[0] = None
    return [t.arg(value) if text is None else text for value, text in zip(node.inputs, literals, strict=True)]


def literal(node: ir.Node, value: ir.Value | None, t: TorchCode) -> str | None:
    """A Python number for a constant whose rank cannot widen the result."""
    array, number = constant(value), t.scalar(value)
    if array is None or number is None or array.dtype.kind == "b":
        return None
    others = [known_rank(other) for other in node.inputs if other is not value]
    if array.ndim > 1 and not any(found is not None and found >= array.ndim for found in others):
        return None
    text = str(int(number)) if array.dtype.kind in "iu" else t.number(float(number))
    return f"({text})" if text.startswith("-") else text


def int_operands(node: ir.Node, t: TorchCode) -> list[str] | None:
    """Expressions of all inputs where all are shape arithmetic and one of them is not just a constant."""
    if all(constant(value) is not None for value in node.inputs):
        return None
    found = [t.ints(value) for value in node.inputs]
    return None if any(text is None for text in found) else [text for text in found if text is not None]


@to_torch("Add", "Sub", "Mul", "Div", "Pow", "Sum")
def arithmetic_to_torch(node: ir.Node, t: TorchCode) -> None:
    ints = int_operands(node, t)
    if ints is not None and node.op_type in int_lists.ARITHMETIC:
        result = int_lists.arithmetic(node.op_type, ints)
        if result is not None:
            t.assign_ints(node.outputs[0], result)
            return
    arguments = operands(node, t)
    if node.op_type == "Div" and any(is_integer(value) for value in node.inputs):
        t.assign(node.outputs[0], f'torch.div({", ".join(arguments)}, rounding_mode="trunc")')
        return
    expression = f" {OPERATORS[node.op_type]} ".join(arguments)
    if node.op_type == "Pow" and is_integer(node.inputs[0]) and not is_integer(node.inputs[1]):
        expression = f"({expression}).to({arguments[0]}.dtype)"  # ONNX keeps the base's type, PyTorch the wider one
    t.assign(node.outputs[0], expression)


@to_torch(*COMPARISONS)
def comparison_to_torch(node: ir.Node, t: TorchCode) -> None:
    if serves_squeeze(node):
        t.assign_ints(node.outputs[0], "0")
        return
    t.assign(node.outputs[0], f" {COMPARISONS[node.op_type]} ".join(operands(node, t)))


@to_torch("And", "Or")
def logic_to_torch(node: ir.Node, t: TorchCode) -> None:
    if serves_squeeze(node):
        t.assign_ints(node.outputs[0], "0")
        return
    t.assign(node.outputs[0], f" {'&' if node.op_type == 'And' else '|'} ".join(operands(node, t)))


@to_torch("Max", "Min")
def extreme_to_torch(node: ir.Node, t: TorchCode) -> None:
    """Tensors by torch.maximum, numbers by clamp; both keep NaN."""
    function, bound = ("torch.maximum", "min") if node.op_type == "Max" else ("torch.minimum", "max")
    literals = [literal(node, value, t) for value in node.inputs]
    if all(text is not None for text in literals):
        literals[0] = None
    tensors = [t.arg(value) for value, text in zip(node.inputs, literals, strict=True) if text is None]
    expression = tensors[0]
    for tensor in tensors[1:]:
        expression = f"{function}({expression}, {tensor})"
    for text in literals:
        if text is not None:
            expression = f"torch.clamp({expression}, {bound}={text[1:-1] if text.startswith('(') else text})"
    t.assign(node.outputs[0], expression)


@to_torch("Where")
def where_to_torch(node: ir.Node, t: TorchCode) -> None:
    t.assign(node.outputs[0], f"torch.where({', '.join(t.arg(value) for value in node.inputs)})")


@to_torch(*TORCH_UNARY)
def unary_to_torch(node: ir.Node, t: TorchCode) -> None:
    if serves_squeeze(node):
        t.assign_ints(node.outputs[0], "0")
        return
    t.assign(node.outputs[0], TORCH_UNARY[node.op_type].format(t.arg(node.inputs[0])))
