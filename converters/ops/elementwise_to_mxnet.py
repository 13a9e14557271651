"""Arithmetic, comparison and logic, element by element, as MXNet's operators.

Two tensors of one known shape go through ``elemwise_*``, others through ``broadcast_*``, a tensor and a number through
``_*_scalar``. Truth is 0.0 and 1.0 of float32. Shape arithmetic stays formulas. Source: MXNet 1.9.1's registrations.
"""

from __future__ import annotations

from facecvt.converters.graph import constant
from facecvt.converters.mxnet_nodes import Edge, MxnetNodes
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import to_mxnet
from facecvt.converters.ops.runtime_squeeze import serves_squeeze
from facecvt.converters.ops.value_facts import element_type
from facecvt.converters.sizes import Sizes, arithmetic

# canonical operator -> (of two tensors of one shape, of tensors that are broadcast, of tensor and number, and reversed)
BINARY = {
    "Add": ("elemwise_add", "broadcast_add", "_plus_scalar", "_plus_scalar"),
    "Sub": ("elemwise_sub", "broadcast_sub", "_minus_scalar", "_rminus_scalar"),
    "Mul": ("elemwise_mul", "broadcast_mul", "_mul_scalar", "_mul_scalar"),
    "Div": ("elemwise_div", "broadcast_div", "_div_scalar", "_rdiv_scalar"),
    "Pow": ("broadcast_power", "broadcast_power", "_power_scalar", "_rpower_scalar"),
    "Max": ("broadcast_maximum", "broadcast_maximum", "_maximum_scalar", "_maximum_scalar"),
    "Min": ("broadcast_minimum", "broadcast_minimum", "_minimum_scalar", "_minimum_scalar"),
}
COMPARISONS = {
    "Equal": ("broadcast_equal", "_equal_scalar", "_equal_scalar"),
    "Less": ("broadcast_lesser", "_lesser_scalar", "_greater_scalar"),
    "Greater": ("broadcast_greater", "_greater_scalar", "_lesser_scalar"),
    "LessOrEqual": ("broadcast_lesser_equal", "_lesser_equal_scalar", "_greater_equal_scalar"),
    "GreaterOrEqual": ("broadcast_greater_equal", "_greater_equal_scalar", "_lesser_equal_scalar"),
}
UNARY = {
    "Sqrt": "sqrt",
    "Exp": "exp",
    "Log": "log",
    "Abs": "abs",
    "Neg": "negative",
    "Reciprocal": "reciprocal",
    "Floor": "floor",
    "Ceil": "ceil",
}


def is_float(value: ir.Value | None) -> bool:
    """Whether a value holds floating point numbers, which is what it holds where nothing is known."""
    found = element_type(value)
    return found is None or found.is_floating_point()


def number_beside(m: MxnetNodes, value: ir.Value | None, other: ir.Value | None) -> float | int | None:
    """The number that a one-element constant is, where its rank cannot widen the result."""
    array, number = constant(value), m.number(value)
    if array is None or number is None or array.dtype.kind == "b" or constant(other) is not None:
        return None
    if array.ndim > 1 and (m.rank(other) or 0) < array.ndim:
        return None
    return number


def same_shape(m: MxnetNodes, values: list[ir.Value | None]) -> bool:
    """Whether all values have one shape for certain."""
    shapes = [m.shape(value) for value in values]
    return all(shape is not None and shape == shapes[0] and None not in shape for shape in shapes)


def truth(m: MxnetNodes, value: ir.Value | None) -> Edge:
    """A boolean value as 0.0 and 1.0; only an input of the graph is anything else."""
    edge = m.arg(value)
    is_input = any(value is given for given in m.graph.inputs)
    return m.node("Cast", [edge], dtype="float32") if is_input else edge


@to_mxnet("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum")
def arithmetic_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    found = m.computed_sizes(node)
    if found is not None and len(found) == 2:
        sizes = arithmetic(node.op_type, found[0], found[1])
        if sizes is not None:
            m.assign_sizes(node.outputs[0], sizes)
            return
    values = list(node.inputs)
    operator = "Add" if node.op_type == "Sum" else node.op_type
    if len(values) == 1:
        m.alias(node.outputs[0], m.arg(values[0]))
        return
    if node.op_type == "Sum" and len(values) > 2 and same_shape(m, values):
        m.assign(node.outputs[0], "add_n", [m.arg(value) for value in values], num_args=len(values))
        return
    equal, broadcast, scalar, reverse = BINARY[operator]
    if len(values) == 2:
        right, left = number_beside(m, values[1], values[0]), number_beside(m, values[0], values[1])
        if right is not None or left is not None:
            tensor, number = (values[0], right) if right is not None else (values[1], left)
            m.assign(
                node.outputs[0],
                scalar if right is not None else reverse,
                [m.arg(tensor)],
                scalar=number,
                is_int=isinstance(number, int),
            )
            return
    first = m.arg(values[0])
    for value in values[1:-1]:
        first = m.node(broadcast, [first, m.arg(value)])
    second = m.arg(values[-1])
    base, exponent = element_type(values[0]), element_type(values[-1])
    if operator == "Pow" and None not in (base, exponent) and base != exponent and base is not None:
        second = m.node("Cast", [second], dtype=base.numpy().name)
    m.assign(node.outputs[0], equal if same_shape(m, values) else broadcast, [first, second])


@to_mxnet(*COMPARISONS)
def comparison_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """The result has the operands' type in MXNet."""
    if serves_squeeze(node):
        m.assign_sizes(node.outputs[0], Sizes(()))
        return
    broadcast, scalar, reverse = COMPARISONS[node.op_type]
    left, right = node.inputs
    edges = [truth(m, value) if element_type(value) == ir.DataType.BOOL else None for value in node.inputs]
    number = number_beside(m, right, left)
    other = number_beside(m, left, right) if number is None else None
    inputs: list[Edge]
    attrs: dict[str, object]
    if number is not None or other is not None:
        counted = number if number is not None else other
        operator, attrs = (
            (scalar if number is not None else reverse),
            {"scalar": counted, "is_int": type(counted) is int},
        )
        inputs = [m.arg(left if number is not None else right)]
    else:
        operator, attrs = broadcast, {}
        inputs = [edge if edge is not None else m.arg(value) for edge, value in zip(edges, node.inputs, strict=True)]
    if edges[0] is not None or element_type(left) in (None, ir.DataType.FLOAT):
        m.assign(node.outputs[0], operator, inputs, **attrs)
    else:
        m.assign(node.outputs[0], "Cast", [m.node(operator, inputs, **attrs)], dtype="float32")


@to_mxnet("And", "Or", "Not")
def logic_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    if serves_squeeze(node):
        m.assign_sizes(node.outputs[0], Sizes(()))
        return
    operator = {"And": "broadcast_logical_and", "Or": "broadcast_logical_or", "Not": "logical_not"}[node.op_type]
    m.assign(node.outputs[0], operator, [truth(m, value) for value in node.inputs])


@to_mxnet("Where")
def where_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    """``where`` for one shape; only MXNet's numpy form broadcasts."""
    condition, x, y = node.inputs
    operator = "where" if same_shape(m, [condition, x, y]) else "_npi_where"
    m.assign(node.outputs[0], operator, [truth(m, condition), m.arg(x), m.arg(y)])


@to_mxnet(*UNARY)
def unary_to_mxnet(node: ir.Node, m: MxnetNodes) -> None:
    m.assign(node.outputs[0], UNARY[node.op_type], [m.arg(node.inputs[0])])
