"""Arithmetic of every source against both targets, over its attributes."""

import numpy as np
import pytest

from facecvt.parity_tests.support.operator_cases import (
    Case,
    mxnet,
    onnx,
    onnx_graph,
    paddle,
    paddle_op,
    spread,
    uncovered,
)
from facecvt.parity_tests.support.single_op import random_array

A, B = random_array(2, 3, 4, 5), random_array(2, 3, 4, 5, seed=1)
ROW, CHANNELS, COLUMN = random_array(5), random_array(3), random_array(3, 1, 1)
ONE = random_array(1)
P, Q = np.abs(A) + np.float32(0.25), np.abs(B) + np.float32(0.25)
TIES = np.float32([[1, 2, 3], [3, 2, 1]])
INTS, DIVISORS = np.int64([[7, -7, 8, -8]]), np.int64([[2, 2, -3, -3]])
TRUE, OTHER = A > 0, B > 0

CASES: list[Case] = [
    *mxnet(("elemwise_add", "_plus", "_Plus", "_add", "_grad_add"), A, B),
    *mxnet(("elemwise_sub", "_minus", "_Minus", "_sub"), A, B),
    *mxnet(("elemwise_mul", "_mul", "_Mul"), A, B),
    *mxnet(("elemwise_div", "_div", "_Div"), A, Q),
    *mxnet(("_power", "_Power"), P, B),
    *mxnet(("_maximum", "_Maximum", "_minimum", "_Minimum"), A, B),
    *mxnet(("broadcast_add", "broadcast_plus", "broadcast_sub", "broadcast_minus", "broadcast_mul"), A, B[:1, :, :1]),
    *mxnet(("broadcast_div", "broadcast_power"), P, Q[:, :1]),
    *mxnet(("broadcast_maximum", "broadcast_minimum"), A, B[:, :, :, :1]),
    *mxnet("broadcast_mul", A, B[:1, :, :1, :1], weights=1),
    *mxnet(("add_n", "ElementWiseSum"), A, B, P, num_args=3),
    *mxnet("add_n", A, num_args=1),
    *mxnet(("_plus_scalar", "_PlusScalar"), A, scalar=1.5),
    *mxnet(("_minus_scalar", "_MinusScalar"), A, scalar="127.5"),
    *mxnet(("_rminus_scalar", "_RMinusScalar"), A, scalar="-1"),
    *mxnet(("_mul_scalar", "_MulScalar"), A, scalar="0.0078125"),
    *mxnet(("_div_scalar", "_DivScalar"), A, scalar="127.5"),
    *mxnet(("_rdiv_scalar", "_RDivScalar"), P, scalar=3),
    *mxnet(("_power_scalar", "_PowerScalar"), P, scalar="0.3"),
    *mxnet("_power_scalar", A, scalar=2),
    *mxnet(("_rpower_scalar", "_RPowerScalar"), A, scalar=2.5),
    *mxnet(("_maximum_scalar", "_MaximumScalar"), A, scalar="-0.1"),
    *mxnet(("_minimum_scalar", "_MinimumScalar"), A, scalar=0),
    *mxnet(("exp", "abs", "negative", "square", "floor", "ceil"), A),
    *mxnet(("sqrt", "log", "reciprocal", "rsqrt"), P),
    *paddle("elementwise_add", "add", "paddle.add(x, y)", x=A, y=B),
    *paddle("elementwise_add", "add", "x + y", x=A, y=COLUMN, weights=("y",)),
    *paddle("elementwise_add", "add", "x + y", x=A, y=ROW, weights=("y",), shapes={"x": [-1, 3, -1, 5]}),
    *paddle("elementwise_sub", "subtract", "x - y", x=ROW, y=A),
    *paddle("elementwise_mul", "multiply", "x * y", x=A, y=B[:, :, :1, :1]),
    *paddle("elementwise_div", "divide", "x / y", x=A, y=Q),
    *paddle("elementwise_pow", "elementwise_pow", "paddle.pow(x, y)", x=P, y=B),
    *paddle(None, "maximum", "paddle.maximum(x, y)", x=A, y=B),
    *paddle(None, "minimum", "paddle.minimum(x, y)", x=A, y=ROW),
    *paddle_op("elementwise_max", {"X": ["x"], "Y": ["y"]}, {"axis": -1}, x=A, y=ROW),
    *paddle_op("elementwise_min", {"X": ["x"], "Y": ["y"]}, {"axis": -1}, x=A, y=B),
    *(
        case
        for op in ("elementwise_add", "elementwise_sub", "elementwise_mul", "elementwise_div")
        for axis, y in ((1, CHANNELS), (1, COLUMN), (-1, ROW), (0, B), (2, B[0, 0]), (1, B[0, :, :, 0]), (3, ROW))
        for case in paddle_op(op, {"X": ["x"], "Y": ["y"]}, {"axis": axis}, weights=("y",), x=A, y=y)
    ),
    *paddle_op("elementwise_add", {"X": ["x"], "Y": ["y"]}, {"axis": 1}, x=A, y=CHANNELS),
    *paddle_op("elementwise_mul", {"X": ["x"], "Y": ["y"]}, {"axis": 0}, x=A, y=B[:, :, 0, 0]),
    *paddle_op("elementwise_mul", {"X": ["x"], "Y": ["y"]}, {"axis": 0}, x=A, y=B[:, :, :1, :1]),
    *paddle("equal", "equal", "paddle.equal(x, y)", x=TIES, y=TIES[:1]),
    *paddle("not_equal", "not_equal", "paddle.not_equal(x, y)", x=TIES, y=TIES[:1]),
    *paddle("less_than", "less_than", "paddle.less_than(x, y)", x=A, y=B),
    *paddle(None, "greater_than", "paddle.greater_than(x, y)", x=A, y=B),
    *paddle_op("greater_than", {"X": ["x"], "Y": ["y"]}, {}, x=A, y=B),
    *paddle("less_equal", "less_equal", "paddle.less_equal(x, y)", x=TIES, y=TIES[:1]),
    *paddle("greater_equal", "greater_equal", "paddle.greater_equal(x, y)", x=TIES, y=TIES[:1]),
    *paddle(None, "logical_and", "paddle.logical_and(x, y)", x=TRUE, y=OTHER),
    *paddle(None, "logical_or", "paddle.logical_or(x, y)", x=TRUE, y=OTHER),
    *paddle(None, "logical_not", "paddle.logical_not(x)", x=TRUE),
    *paddle_op("logical_and", {"X": ["x"], "Y": ["y"]}, {}, x=TRUE, y=OTHER),
    *paddle_op("logical_or", {"X": ["x"], "Y": ["y"]}, {}, x=TRUE, y=OTHER),
    *paddle_op("logical_not", {"X": ["x"]}, {}, x=TRUE),
    *paddle("where", "where", "paddle.where(c, x, y)", c=TRUE, x=A, y=B),
    *paddle("sum", "add_n", "paddle.add_n([x, y, y])", x=A, y=B),
    *paddle_op("sum", {"X": ["x"]}, {}, x=A),
    *paddle("scale", "scale", "paddle.scale(x, scale=2.5, bias=-1.0)", x=A),
    *paddle("scale", "scale", "paddle.scale(x, scale=2.5, bias=-1.0, bias_after_scale=False)", x=A),
    *paddle("scale", "scale", "paddle.scale(x, scale=1.0, bias=0.5, bias_after_scale=False)", x=A),
    *paddle("scale", "scale", "paddle.scale(x, scale=1.0, bias=0.0)", x=A),
    *paddle("scale", "scale", "paddle.scale(x, scale=2.0, bias=1.0)", x=INTS),
    *paddle("scale", "scale", "paddle.scale(x, scale=y)", x=A, y=ONE, weights=("y",)),
    *paddle("scale", "scale", "paddle.scale(x, scale=y)", x=A, y=ONE, options={"refused": "ScaleTensor|scale"}),
    *paddle("pow", "pow", "paddle.pow(x, 2.0)", x=A),
    *paddle("pow", "pow", "paddle.pow(x, 0.5)", x=P),
    *paddle("pow", "pow", "paddle.pow(x, 1)", x=P),
    *(
        case
        for op in ("sqrt", "exp", "abs", "log", "reciprocal", "square", "rsqrt", "floor", "ceil")
        for x in (A if op in ("exp", "abs", "square", "floor", "ceil") else P,)
        for case in (*paddle(None, op, f"paddle.{op}(x)", x=x), *paddle_op(op, {"X": ["x"]}, {}, x=x))
    ),
    *onnx(("Add", "Sub", "Mul", "Div"), A, Q, opsets=(7, 13, 14), fed=2),
    *onnx(("Add", "Sub", "Mul", "Div"), A, COLUMN, opsets=(7, 21)),
    *onnx(("Add", "Sub", "Mul", "Div"), A, np.float32(-0.3), opsets=(9, 14)),
    *onnx(("Add", "Sub", "Mul", "Div"), A[0, 0], np.full((1, 1, 1, 1), 0.7, np.float32)),
    *onnx(("Add", "Sub", "Mul", "Div"), INTS, DIVISORS, opsets=(7, 14), fed=2),
    *onnx(("Add", "Sub", "Mul", "Div"), INTS, np.int64(-3), opsets=(7, 14)),
    *onnx_graph("Sub", "c = Constant<value_float = -2.0>() y = Sub(c, x)", A),
    *onnx_graph("Pow", "c = Constant<value_float = 2.0>() y = Pow(c, x)", A),
    *onnx("Pow", P, B, opsets=(7, 12, 15), fed=2),
    *onnx("Pow", A, np.int64(3), opsets=(12, 15)),
    *onnx("Pow", A, np.float32(2), opsets=(7, 15)),
    *onnx(("Max", "Min", "Sum"), A, B, P, opsets=(8, 13), fed=3),
    *onnx(("Max", "Min", "Sum"), A, opsets=(8, 13)),
    *onnx(("Max", "Min"), A, np.float32(-0.5), opsets=(8, 13)),
    *onnx(("Max", "Min"), A, np.float32([np.nan]), B, opsets=(13,)),
    *onnx("Where", TRUE, A, B, opsets=(9, 16), fed=3),
    *onnx("Where", TRUE, A, np.float32(0), opsets=(9, 16), fed=2),
    *onnx(("Equal", "Less", "Greater"), TIES, TIES[:1], opsets=(11, 13), fed=2),
    *onnx(("Equal", "Less", "Greater"), TIES, np.float32(2), opsets=(11, 13)),
    *onnx(("LessOrEqual", "GreaterOrEqual"), TIES, np.float32([[2], [np.nan]]), opsets=(12, 16), fed=2),
    *onnx(("And", "Or"), TRUE, OTHER, opsets=(7, 13), fed=2),
    *onnx("Not", TRUE, opsets=(7,)),
    *onnx(("Exp", "Abs", "Neg", "Floor", "Ceil"), A, opsets=(7, 13)),
    *onnx(("Sqrt", "Log", "Reciprocal"), P, opsets=(7, 13)),
]


@pytest.mark.parametrize("case", spread(CASES), ids=str)
def test_arithmetic(case, tmp_path):
    case.hold(tmp_path)


def test_every_operator_has_a_case():
    assert uncovered(CASES, ["elementwise"]) == {}
