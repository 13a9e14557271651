"""Reductions of every source against both targets, over axes, kept dimensions and excluded ones."""

import numpy as np
import pytest

from facecvt.parity_tests.support.operator_cases import Case, mxnet, onnx, paddle, paddle_op, spread, uncovered
from facecvt.parity_tests.support.single_op import mxnet_sample, random_array
from facecvt.parity_tests.support.single_op_targets import hold_targets, read_sample

X, LINE = random_array(2, 3, 4, 5), random_array(6)
FREE = {"x": [-1, 3, -1, -1]}
PLAIN = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd")
NORMS = ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp")
LEGACY = ("reduce_mean", "reduce_sum", "reduce_max", "reduce_min", "reduce_prod")

CASES: list[Case] = [
    *(
        case
        for attrs in (
            {},
            {"keepdims": True},
            {"axis": 1},
            {"axis": "(2, 3)", "keepdims": 1},
            {"axis": "[-1, 1]"},
            {"axis": "()"},
            {"axis": "(0, 1, 2, 3)"},
            {"axis": "(0, 1, 2, 3)", "keepdims": "True"},
        )
        for case in mxnet(("sum", "mean", "max", "min"), X, **attrs)
    ),
    *mxnet(("sum_axis", "max_axis", "min_axis", "prod"), X, axis=2),
    *mxnet("mean", X, axis=1, exclude=True),
    *mxnet("sum", X, axis="(0, -1)", exclude=True, keepdims=True),
    *mxnet("mean", X, axis="(0, 1, 2, 3)", exclude=True),
    *mxnet("sum", LINE, axis=0),
    *mxnet("norm", X),
    *mxnet("norm", X, ord=1, axis=1, keepdims=True),
    *mxnet("norm", X, axis="(1, 2)"),
    *mxnet("norm", X, ord=1, axis=-1),
    *mxnet("norm", LINE, axis=0),
    *(
        case
        for axis, keep in ((None, False), (None, True), (1, False), ([2, 3], True), ([-1, 0], False))
        for name in ("mean", "sum", "prod")
        for case in paddle(
            None if name == "sum" else f"reduce_{name}",
            name,
            f"paddle.{name}(x, axis={axis}, keepdim={keep})",
            x=X,
            shapes=FREE,
        )
    ),
    *(
        case
        for axis, keep in ((None, False), ([2, 3], True), (-1, False))
        for name in ("max", "min")
        for case in paddle(None, name, f"paddle.{name}(x, axis={axis}, keepdim={keep})", x=X, shapes=FREE)
    ),
    *(
        case
        for op in LEGACY
        for attrs in ({"dim": [1]}, {"dim": [-1, 2], "keep_dim": True}, {"dim": [0], "reduce_all": True})
        for case in paddle_op(op, {"X": ["x"]}, attrs, x=X)
    ),
    *paddle(None, "sum", "paddle.sum(x, axis=1, dtype='float64')", x=X),
    *paddle_op("reduce_sum", {"X": ["x"]}, {"dim": [1], "in_dtype": 5, "out_dtype": 6}, x=X),
    *paddle_op("reduce_sum", {"X": ["x"]}, {"dim": [1], "in_dtype": 5, "out_dtype": 5}, x=X),
    *paddle_op("mean", {"X": ["x"]}, {}, x=X),
    *paddle(None, "mean_all", "paddle._C_ops.mean_all(x)", x=X),
    *onnx((*PLAIN, *NORMS), X, opsets=(7, 11, 13)),
    *onnx((*PLAIN, *NORMS), X, opsets=(18, 21)),
    *onnx((*PLAIN[:1], *PLAIN[2:], *NORMS), X, opsets=(7, 13), axes=[1, 3], keepdims=0),
    *onnx((*PLAIN[:1], *PLAIN[2:], *NORMS), X, opsets=(11, 13), axes=[-1]),
    *onnx("ReduceSum", X, opsets=(7, 11), axes=[0, 2]),
    *onnx("ReduceSum", X, np.int64([1, -1]), opsets=(13, 18, 21), keepdims=0),
    *onnx((*PLAIN, *NORMS), X, np.int64([2, 3]), opsets=(18, 21)),
    *onnx((*PLAIN, *NORMS), X, np.int64([1]), opsets=(18,), keepdims=0),
    *onnx("ReduceSum", X, opsets=(13, 18), keepdims=0),
    *onnx("ReduceSum", X, opsets=(13, 18), noop_with_empty_axes=1),
    *onnx("ReduceMean", X, np.zeros(0, np.int64), opsets=(18,), noop_with_empty_axes=1),
    *onnx("ReduceMean", X, np.zeros(0, np.int64), opsets=(18,)),
    *onnx("ReduceMax", X, opsets=(12, 20), keepdims=0),
]


@pytest.mark.parametrize("case", spread(CASES), ids=str)
def test_reduction(case, tmp_path):
    case.hold(tmp_path)


def test_every_operator_has_a_case():
    assert uncovered(CASES, ["reduce"]) == {}


@pytest.mark.parametrize("axis", ["()", "0", "(0, 1)", "(0, 1, 2, 3)", "(1, 3)"])
def test_mxnet_gives_a_vector_of_one_even_where_the_rank_is_not_known(axis, tmp_path):
    sample = mxnet_sample(tmp_path, "max", {"data": X}, {"axis": axis})
    hold_targets(sample, tmp_path, graph=read_sample(sample, with_shapes=False), opsets=(11, 18))
