"""The cases of mxnet_cases.py of operators that take element by element, of one operand or two."""

from __future__ import annotations

from facecvt.parity_tests.support.mxnet_case import Case, data, pair

SAME = [
    "elemwise_add",
    "_plus",
    "_Plus",
    "_add",
    "_grad_add",
    "elemwise_sub",
    "_minus",
    "_Minus",
    "_sub",
    "elemwise_mul",
    "_mul",
    "_Mul",
    "elemwise_div",
    "_div",
    "_Div",
    "_mod",
    "_Mod",
    "_power",
    "_Power",
    "_maximum",
    "_Maximum",
    "_minimum",
    "_Minimum",
    "_hypot",
]
COMPARISONS = [
    "equal",
    "not_equal",
    "greater",
    "greater_equal",
    "lesser",
    "lesser_equal",
    "logical_and",
    "logical_or",
    "logical_xor",
]
ELEMENTS = [Case(name, pair((3, 4), (3, 4)), values=(0.3, 2.5)) for name in SAME]
ELEMENTS += [
    Case(f"broadcast_{name}", pair((3, 1, 4), (2, 1)), values=(0.3, 2.5))
    for name in ("add", "plus", "sub", "minus", "mul", "div", "mod", "power", "maximum", "minimum", "hypot")
]
ELEMENTS += [
    Case(name, pair((3, 4), (3, 4)), integers=("lhs", "rhs"))
    for stem in COMPARISONS
    for name in (f"_{stem}", "_" + "_".join(part.capitalize() for part in stem.split("_")), f"broadcast_{stem}")
]
ELEMENTS += [
    Case(name, data(3, 4), {"scalar": 1.25}, values=(0.3, 2.5))
    for name in (
        "_plus_scalar",
        "_PlusScalar",
        "_minus_scalar",
        "_MinusScalar",
        "_mul_scalar",
        "_MulScalar",
        "_div_scalar",
        "_DivScalar",
        "_mod_scalar",
        "_ModScalar",
        "_power_scalar",
        "_PowerScalar",
        "_maximum_scalar",
        "_MaximumScalar",
        "_minimum_scalar",
        "_MinimumScalar",
        "_hypot_scalar",
        "_HypotScalar",
        "_rminus_scalar",
        "_RMinusScalar",
        "_rdiv_scalar",
        "_RDivScalar",
        "_rmod_scalar",
        "_RModScalar",
        "_rpower_scalar",
        "_RPowerScalar",
    )
]
ELEMENTS += [
    Case(name, data(3, 4), {"scalar": 1}, integers=("data",))
    for stem in COMPARISONS
    for name in (f"_{stem}_scalar", "_" + "".join(part.capitalize() for part in stem.split("_")) + "Scalar")
]
ANY = [
    "_copy",
    "identity",
    "BlockGrad",
    "stop_gradient",
    "relu",
    "sigmoid",
    "softsign",
    "erf",
    "abs",
    "sign",
    "negative",
    "reciprocal",
    "square",
    "cbrt",
    "rcbrt",
    "exp",
    "expm1",
    "sin",
    "cos",
    "tan",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "arcsinh",
    "degrees",
    "radians",
    "floor",
    "ceil",
    "trunc",
    "fix",
    "rint",
    "round",
    "logical_not",
    "zeros_like",
    "ones_like",
]
ELEMENTS += [Case(name, data(3, 4)) for name in ANY]
ELEMENTS += [Case(name, data(3, 4), values=(0.1, 3.0)) for name in ("sqrt", "rsqrt", "log", "log2", "log10", "log1p")]
ELEMENTS += [Case(name, data(3, 4), values=(-0.9, 0.9)) for name in ("arcsin", "arccos", "arctanh")]
ELEMENTS += [Case("arccosh", data(3, 4), values=(1.1, 3.0))]
# halves, where the ways of rounding part; divisors of either sign and 0
ELEMENTS += [
    Case(name, data(5, 6), {"scalar": 0.5}, integers=("data",))
    for name in ("_mul_scalar", "_rmod_scalar", "_mod_scalar")
]
ELEMENTS += [Case(name, data(5, 6), integers=("data",), halved=True) for name in ("rint", "round", "fix", "trunc")]
ELEMENTS += [Case("broadcast_mod", pair((5, 6), (5, 6)), integers=("lhs", "rhs"), halved=True)]
