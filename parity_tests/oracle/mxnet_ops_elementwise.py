"""MXNet: activations, arithmetic of two arrays, of an array and a number, and functions of one element.

Comparisons give 1 and 0 in the operands' dtype, not booleans. Source: ``src/operator/{leaky_relu,mshadow_op,tensor}``
of MXNet 1.9.1; the tests hold each against it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle import kernels_elementwise as elementwise
from facecvt.parity_tests.oracle.mxnet_attributes import MxnetAttributes, define_elementwise, mxnet_operator
from facecvt.parity_tests.oracle.values import Compute, Value

ACTIVATIONS: dict[str, Callable[[Value], Value]] = {
    "relu": elementwise.relu,
    "sigmoid": elementwise.sigmoid,
    "tanh": np.tanh,
    "softrelu": elementwise.softplus,
    "softsign": elementwise.softsign,
}


@mxnet_operator("Activation")
def define_activation(attributes: MxnetAttributes) -> Compute:
    """act_type is required."""
    function = ACTIVATIONS[attributes.one_of("act_type", "", ACTIVATIONS)]
    return lambda x: [function(x[0])]


def _leaky_suffixes(attributes: MxnetAttributes) -> tuple[str, ...]:
    return ("output", "mask") if attributes.text("act_type", "leaky") == "rrelu" else ("output",)


@mxnet_operator("LeakyReLU", suffixes=_leaky_suffixes)
def define_leaky_relu(attributes: MxnetAttributes) -> Compute:
    """act_type leaky, slope 0.25; prelu takes gamma as second operand: one value, or one for each channel.

    rrelu uses the mean of its bounds at inference; its second result, the mask of training, is not computed.
    """
    kind = attributes.one_of("act_type", "leaky", ("leaky", "prelu", "elu", "selu", "gelu", "rrelu"))
    slope = attributes.number("slope", 0.25)
    middle = (attributes.number("lower_bound", 0.125) + attributes.number("upper_bound", 0.334)) / 2
    functions: dict[str, Callable[[list[Any]], Value]] = {
        "leaky": lambda x: elementwise.leaky_relu(x[0], slope),
        "rrelu": lambda x: elementwise.leaky_relu(x[0], middle),
        "prelu": lambda x: elementwise.prelu(x[0], elementwise.channel_slope(x[1], x[0].ndim)),
        "elu": lambda x: elementwise.elu(x[0], slope),
        "selu": lambda x: elementwise.selu(x[0]),
        "gelu": lambda x: elementwise.gelu(x[0]),
    }
    function = functions[kind]
    return lambda x: [function(x)]


@mxnet_operator("hard_sigmoid")
def define_hard_sigmoid(attributes: MxnetAttributes) -> Compute:
    """alpha 0.2, beta 0.5."""
    slope, offset = attributes.number("alpha", 0.2), attributes.number("beta", 0.5)
    return lambda x: [elementwise.hard_sigmoid(x[0], slope, offset)]


@mxnet_operator("clip")
def define_clip(attributes: MxnetAttributes) -> Compute:
    """a_min and a_max are required."""
    low, high = attributes.number("a_min"), attributes.number("a_max")
    return lambda x: [elementwise.clip(x[0], low, high)]


@mxnet_operator("smooth_l1")
def define_smooth_l1(attributes: MxnetAttributes) -> Compute:
    """0.5 (s x)^2 where |x| < 1 / s^2, |x| - 0.5 / s^2 elsewhere; s = scalar, 1."""
    square = attributes.number("scalar", 1.0) ** 2

    def compute(x: list[Any]) -> Sequence[Any]:
        size = np.abs(x[0])
        return [np.where(size < 1 / square, 0.5 * square * np.square(x[0]), size - 0.5 / square)]

    return compute


def _numbers(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A comparison that gives 0 and 1 in the dtype of its first array."""

    def numeric(a: Any, b: Any) -> Any:
        array = a if isinstance(a, np.ndarray) else b
        return elementwise.logical_cast(np.asarray(compare(a, b)), array)

    return numeric


def _remainder(a: Any, b: Any) -> Any:
    """With the divisor's sign; 0 where the divisor is 0."""
    divisor = np.where(b == 0, 1, b)
    return np.where(b == 0, 0, np.mod(a, divisor)).astype((a if isinstance(a, np.ndarray) else b).dtype)


def _quotient(a: Any, b: Any) -> Any:
    """Of whole numbers cut toward zero, as C divides."""
    if all(np.asarray(operand).dtype.kind in "iu" for operand in (a, b)):
        down = np.floor_divide(np.abs(a), np.abs(b))
        return np.where((np.asarray(a) < 0) == (np.asarray(b) < 0), down, -down)
    return np.divide(a, b)


ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": _quotient,
    "mod": _remainder,
    "power": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "hypot": np.hypot,
    "equal": _numbers(np.equal),
    "not_equal": _numbers(np.not_equal),
    "greater": _numbers(np.greater),
    "greater_equal": _numbers(np.greater_equal),
    "lesser": _numbers(np.less),
    "lesser_equal": _numbers(np.less_equal),
    "logical_and": _numbers(np.logical_and),
    "logical_or": _numbers(np.logical_or),
    "logical_xor": _numbers(np.logical_xor),
}
# The same function over two arrays of one shape; the capitalised names are those of files before 0.9.
SAME_SHAPE_NAMES: dict[str, tuple[str, ...]] = {
    "add": ("elemwise_add", "_plus", "_Plus", "_add", "_grad_add"),
    "sub": ("elemwise_sub", "_minus", "_Minus", "_sub"),
    "mul": ("elemwise_mul", "_mul", "_Mul"),
    "div": ("elemwise_div", "_div", "_Div"),
    "mod": ("_mod", "_Mod"),
    "power": ("_power", "_Power"),
    "maximum": ("_maximum", "_Maximum"),
    "minimum": ("_minimum", "_Minimum"),
    "hypot": ("_hypot",),
    "equal": ("_equal", "_Equal"),
    "not_equal": ("_not_equal", "_Not_Equal"),
    "greater": ("_greater", "_Greater"),
    "greater_equal": ("_greater_equal", "_Greater_Equal"),
    "lesser": ("_lesser", "_Lesser"),
    "lesser_equal": ("_lesser_equal", "_Lesser_Equal"),
    "logical_and": ("_logical_and", "_Logical_And"),
    "logical_or": ("_logical_or", "_Logical_Or"),
    "logical_xor": ("_logical_xor", "_Logical_Xor"),
}
BROADCAST_ALIASES = {"add": ("broadcast_plus",), "sub": ("broadcast_minus",)}
SCALAR_NAMES: dict[str, tuple[str, ...]] = {
    "add": ("_plus_scalar", "_PlusScalar"),
    "sub": ("_minus_scalar", "_MinusScalar"),
    "mul": ("_mul_scalar", "_MulScalar"),
    "div": ("_div_scalar", "_DivScalar"),
    "mod": ("_mod_scalar", "_ModScalar"),
    "power": ("_power_scalar", "_PowerScalar"),
    "maximum": ("_maximum_scalar", "_MaximumScalar"),
    "minimum": ("_minimum_scalar", "_MinimumScalar"),
    "hypot": ("_hypot_scalar", "_HypotScalar"),
    "equal": ("_equal_scalar", "_EqualScalar"),
    "not_equal": ("_not_equal_scalar", "_NotEqualScalar"),
    "greater": ("_greater_scalar", "_GreaterScalar"),
    "greater_equal": ("_greater_equal_scalar", "_GreaterEqualScalar"),
    "lesser": ("_lesser_scalar", "_LesserScalar"),
    "lesser_equal": ("_lesser_equal_scalar", "_LesserEqualScalar"),
    "logical_and": ("_logical_and_scalar", "_LogicalAndScalar"),
    "logical_or": ("_logical_or_scalar", "_LogicalOrScalar"),
    "logical_xor": ("_logical_xor_scalar", "_LogicalXorScalar"),
}
REVERSED_SCALAR_NAMES: dict[str, tuple[str, ...]] = {
    "sub": ("_rminus_scalar", "_RMinusScalar"),
    "div": ("_rdiv_scalar", "_RDivScalar"),
    "mod": ("_rmod_scalar", "_RModScalar"),
    "power": ("_rpower_scalar", "_RPowerScalar"),
}


def _define_scalar(names: tuple[str, ...], function: Callable[[Any, Any], Any], swapped: bool) -> None:
    @mxnet_operator(*names)
    def define(attributes: MxnetAttributes) -> Compute:
        scalar = attributes.number("scalar")
        attributes.ignore("is_int")  # whether the number was written as an integer
        return lambda x: [function(scalar, x[0]) if swapped else function(x[0], scalar)]


for _operation, _function in ARITHMETIC.items():
    define_elementwise(SAME_SHAPE_NAMES[_operation], _function)
    define_elementwise((f"broadcast_{_operation}", *BROADCAST_ALIASES.get(_operation, ())), _function)
    _define_scalar(SCALAR_NAMES[_operation], _function, False)
    if _operation in REVERSED_SCALAR_NAMES:
        _define_scalar(REVERSED_SCALAR_NAMES[_operation], _function, True)


def _cube_root(x: Value) -> Value:
    return np.cbrt(x)


ONE_ELEMENT: dict[tuple[str, ...], Callable[[Value], Any]] = {
    ("_copy", "identity", "BlockGrad", "stop_gradient"): lambda x: x,
    ("relu",): elementwise.relu,
    ("sigmoid",): elementwise.sigmoid,
    ("softsign",): elementwise.softsign,
    ("erf",): elementwise.erf,
    ("abs",): np.abs,
    ("sign",): np.sign,
    ("negative",): np.negative,
    ("reciprocal",): lambda x: 1 / x,
    ("square",): np.square,
    ("sqrt",): np.sqrt,
    ("rsqrt",): lambda x: 1 / np.sqrt(x),
    ("cbrt",): _cube_root,
    ("rcbrt",): lambda x: 1 / _cube_root(x),
    ("exp",): np.exp,
    ("expm1",): np.expm1,
    ("log",): np.log,
    ("log2",): np.log2,
    ("log10",): np.log10,
    ("log1p",): np.log1p,
    ("sin",): np.sin,
    ("cos",): np.cos,
    ("tan",): np.tan,
    ("arcsin",): np.arcsin,
    ("arccos",): np.arccos,
    ("arctan",): np.arctan,
    ("sinh",): np.sinh,
    ("cosh",): np.cosh,
    ("tanh",): np.tanh,
    ("arcsinh",): np.arcsinh,
    ("arccosh",): np.arccosh,
    ("arctanh",): np.arctanh,
    ("degrees",): np.degrees,
    ("radians",): np.radians,
    ("floor",): np.floor,
    ("ceil",): np.ceil,
    ("trunc", "fix"): np.trunc,
    ("rint",): lambda x: np.where(x - np.floor(x) <= np.ceil(x) - x, np.floor(x), np.ceil(x)),  # halves go down
    ("logical_not",): lambda x: elementwise.logical_cast(np.logical_not(x), x),
    ("round",): lambda x: np.sign(x) * (np.floor(np.abs(x)) + (np.abs(x) % 1 >= 0.5)),  # halves away from zero
    ("zeros_like",): np.zeros_like,
    ("ones_like",): np.ones_like,
}
for _names, _compute in ONE_ELEMENT.items():
    define_elementwise(_names, _compute)


@mxnet_operator("make_loss", suffixes=lambda attributes: ("loss",))
def define_make_loss(attributes: MxnetAttributes) -> Compute:
    """The loss itself."""
    return lambda x: [x[0]]


@mxnet_operator("add_n", "ElementWiseSum")
def define_sum_of_arrays(attributes: MxnetAttributes) -> Compute:
    """Sum of any number of arrays of one shape."""
    return lambda x: [sum(x[1:], start=x[0])]


@mxnet_operator("where")
def define_where(attributes: MxnetAttributes) -> Compute:
    """condition, x, y; a condition of rank 1 chooses whole rows."""

    def compute(x: list[Any]) -> Sequence[Any]:
        condition, a, b = x
        if condition.ndim == 1 and a.ndim > 1:
            condition = condition.reshape((-1,) + (1,) * (a.ndim - 1))
        return [np.where(condition != 0, a, b)]

    return compute


@mxnet_operator("_npi_where")
def define_numpy_where(attributes: MxnetAttributes) -> Compute:
    """numpy's choice: condition, x, y broadcast."""
    return lambda x: [np.where(x[0] != 0, x[1], x[2])]


@mxnet_operator("Cast", "cast", "amp_cast")
def define_cast(attributes: MxnetAttributes) -> Compute:
    """To the named type; floating point types are all the oracle's own, without rounding to the narrower one."""
    target = attributes.result_dtype("dtype")
    if target is None:
        raise attributes.refuse("dtype", "a type is required")
    return lambda x: [x[0].astype(target)]


@mxnet_operator("Dropout")
def define_dropout(attributes: MxnetAttributes) -> Compute:
    """The identity at inference; mode "always" drops at inference too and has no defined result."""
    attributes.ignore("p", "axes")
    attributes.one_of("mode", "training", ("training",))
    return lambda x: [x[0]]
