"""Functions of single numbers and remainders of every source against both targets, small results by themselves."""

import numpy as np
import pytest

from facecvt.parity_tests.support.operator_cases import Case, mxnet, onnx, paddle, paddle_op, spread, uncovered
from facecvt.parity_tests.support.single_op import random_array
from facecvt.parity_tests.support.single_op_targets import hold_targets

WIDE = np.concatenate([np.linspace(-4, 4, 65), [-1e-3, -1e-6, 1e-6, 1e-3, 30.0, -30.0]]).astype(np.float32)[None]
ANGLES = np.linspace(-1.4, 1.4, 57, dtype=np.float32)[None]
SHARES = np.linspace(-0.99, 0.99, 67, dtype=np.float32)[None]
ABOVE = np.linspace(1.0, 9.0, 33, dtype=np.float32)[None]
POSITIVE = np.float32([[1e-6, 1e-3, 0.5, 1.0, 2.0, 8.0, 10.0, 100.0, 1e6]])
RAISED = np.float32([[-0.999, -0.5, -1e-3, -1e-7, 0.0, 1e-9, 1e-7, 1e-3, 0.5, 0.999, 1.0, 3.0, 1e6, 1e30]])
# halves of either sign, what lies right beside them, and numbers too large to have a fraction
HALVES = np.float32(
    [[-2.5, -1.5, -0.5, -0.49999997, 0.0, 0.49999997, 0.5, 0.75, 1.5, 2.5, 2.51, 3.5, -3.5, 8388609.0, -1e9, 0.25]]
)
LEFT, RIGHT = np.meshgrid(np.float32([7, -7, 6, -6, 0, 2.5, -2.5]), np.float32([3, -3, 2, -2, 0.75, -0.75]))
ZEROS = np.float32([[3, 0, -3, 0, 2, 0, 1]])
FAR = np.float32([[3, -3, 0, 3e20, 1e-25, 5, 0]]), np.float32([[4, -4, 2, 4e20, 1e-25, 0, 0]])
WHOLE, DIVISORS = np.int64([[7, -7, 6, -6, 0]]), np.int64([[3, 3, -4, -4, 5]])
TABLE = random_array(3, 5, low=0.5)

UNARY = {
    **dict.fromkeys(("erf", "sign", "arctan", "arcsinh", "degrees", "radians", "smooth_l1"), WIDE),
    **dict.fromkeys(("sin", "cos", "sinh", "cosh", "expm1", "cbrt"), WIDE[:, :-2]),
    "tan": ANGLES,
    **dict.fromkeys(("arcsin", "arccos", "arctanh"), SHARES),
    "arccosh": ABOVE,
    **dict.fromkeys(("log2", "log10", "rcbrt"), POSITIVE),
    "log1p": RAISED,
    **dict.fromkeys(("rint", "round", "trunc", "fix"), HALVES),
}
IN_ONNX = {
    **dict.fromkeys(("Erf", "Sign", "Atan", "Asinh"), WIDE),
    **dict.fromkeys(("Sin", "Cos", "Sinh", "Cosh"), WIDE[:, :-2]),
    "Tan": ANGLES,
    **dict.fromkeys(("Asin", "Acos", "Atanh"), SHARES),
    "Acosh": ABOVE,
}
IN_PADDLE = {
    **dict.fromkeys(("erf", "sign", "atan", "asinh"), WIDE),
    **dict.fromkeys(("sin", "cos", "sinh", "cosh"), WIDE[:, :-2]),
    "tan": ANGLES,
    **dict.fromkeys(("asin", "acos", "atanh"), SHARES),
    "acosh": ABOVE,
    "round": HALVES,
}

CASES: list[Case] = [
    *(case for op, x in UNARY.items() for case in mxnet(op, x)),
    *mxnet("smooth_l1", WIDE, scalar=0.5),
    *mxnet(("_hypot",), *FAR),
    *mxnet("broadcast_hypot", TABLE, TABLE[:1]),
    *mxnet(("_hypot_scalar", "_HypotScalar"), WIDE, scalar=1.5),
    *mxnet(("_mod", "_Mod", "broadcast_mod"), LEFT, RIGHT),
    *mxnet("broadcast_mod", LEFT, ZEROS),
    *mxnet(("_mod_scalar", "_ModScalar"), LEFT, scalar=-0.75),
    *mxnet("_mod_scalar", LEFT, scalar=0),
    *mxnet(("_rmod_scalar", "_RModScalar"), ZEROS, scalar=2.5),
    *(
        case
        for op, x in IN_PADDLE.items()
        for case in (*paddle(None, op, f"paddle.{op}(x)", x=x), *paddle_op(op, {"X": ["x"]}, {}, x=x))
    ),
    *paddle("elementwise_mod", "remainder", "paddle.mod(x, y)", x=LEFT, y=RIGHT),
    *paddle(None, "remainder", "paddle.mod(x, y)", x=WHOLE, y=DIVISORS),
    *paddle_op(
        "elementwise_mod", {"X": ["x"], "Y": ["y"]}, {"axis": 0}, options={"refused": "axis -1"}, x=LEFT, y=RIGHT
    ),
    *(case for op, x in IN_ONNX.items() for case in onnx(op, x, opsets=(9, 13))),
    *onnx("Round", HALVES, opsets=(11,)),
    *onnx("Mod", LEFT, RIGHT, opsets=(10, 13), fed=2, fmod=1),
    *onnx("Mod", WHOLE, DIVISORS, opsets=(10, 13), fed=2),
    *onnx("Mod", WHOLE, DIVISORS, opsets=(13,), fed=2, fmod=1),
]  # fmt: skip


@pytest.mark.parametrize("case", spread(CASES), ids=str)
def test_function(case, tmp_path):
    if case.refused is not None:
        case.hold(tmp_path)
        return
    hold_targets(case.make(tmp_path), tmp_path, opsets=case.opsets, pointwise=True)


def test_every_operator_has_a_case():
    assert uncovered(CASES, ["functions"]) == {}
