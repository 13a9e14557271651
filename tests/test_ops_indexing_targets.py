"""Slices, gathers and places of every source against both targets."""

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
from facecvt.parity_tests.support.single_op import mxnet_sample, random_array
from facecvt.parity_tests.support.single_op_targets import hold_targets, read_sample

X, SMALL = random_array(4, 6, 5, 7), random_array(2, 3, 4, 7)
TIES = np.float32([[1, 3, 3, 2], [5, 5, 0, 5]])
FREE = {"x": [-1, 6, -1, -1]}
FAR = 2**63 - 1

CASES: list[Case] = [
    *mxnet(("slice", "crop"), X, begin=(1, 2), end=(3, 5)),
    *mxnet("slice", X, begin="(None, 1)", end="(2, None)"),
    *mxnet("slice", X, begin="(0, -3, None)", end="(None, -1, None)", step="(2, None, 2)"),
    *mxnet("slice", X, begin="(None, 4, None)", end="(None, 0, None)", step="(1, -2, -1)"),
    *mxnet("slice_axis", X, axis=1, begin=2, end=5),
    *mxnet("slice_axis", X, axis=-1, begin=-4, end="None"),
    *mxnet("slice_axis", X, axis=2, begin=0, end=-1),
    *mxnet("slice_like", X, SMALL),
    *mxnet("slice_like", X, SMALL, axes=(2, 3)),
    *mxnet("slice_like", X, SMALL, axes=(0, -2)),
    *mxnet("argmax", TIES, axis=1),
    *mxnet("argmax", X, axis=-1, keepdims=True),
    *mxnet("argmax", X),
    *mxnet("argmin", X, keepdims=True),
    *mxnet("argmax_channel", TIES),
    *mxnet("argmin", TIES, axis=1),
    *mxnet("argmin", X, axis=-1, keepdims=True),
    *paddle("slice", "slice", "paddle.slice(x, [1, 2], [1, 0], [4, 3])", x=X, shapes=FREE),
    *paddle("slice", "slice", "x[:, 1:4, :-1]", x=X, shapes=FREE),
    *paddle("slice", "slice", "x[:, 2]", x=X, shapes=FREE),
    *paddle("slice", "slice", "x[1, :, -1]", x=X),
    *paddle("slice", "slice", "paddle.slice(x, [1], [-3], [100])", x=X, shapes=FREE),
    *paddle("slice", "slice", "paddle.slice(x, [2], [0], [paddle.shape(y)[2]])", x=X, y=SMALL),
    *paddle("strided_slice", "strided_slice", "x[:, ::2, 1:5:3]", x=X),
    *paddle("strided_slice", "strided_slice", "paddle.strided_slice(x, [1, 3], [4, -1], [0, -6], [-1, -2])", x=X),
    *paddle("gather", "gather", "paddle.gather(x, y)", x=X, y=np.int64([3, 0, 0])),
    *paddle("gather", "gather", "paddle.gather(x, y, axis=1)", x=X, y=np.int32([5, 1]), weights=("y",)),
    *paddle("gather", "gather", "paddle.gather(x, y)", x=X, y=np.int64([[3], [1]])),
    *paddle("index_select", "index_select", "paddle.index_select(x, y, axis=2)", x=X, y=np.int64([3, 0, 0])),
    *paddle("index_select", "index_select", "paddle.index_select(x, y, axis=-1)", x=X, y=np.int32([6, 1])),
    *paddle("gather_nd", "gather_nd", "paddle.gather_nd(x, y)", x=X, y=np.int64([[3, 5], [0, 1], [2, 0]])),
    *paddle("gather_nd", "gather_nd", "paddle.gather_nd(x, y)", x=X, y=np.int32([[3, 5, 4, 6]]), weights=("y",)),
    *paddle(None, "argmax", "paddle.argmax(x, axis=1)", x=TIES),
    *paddle(None, "argmax", "paddle.argmax(x, axis=-1, keepdim=True, dtype='int32')", x=X),
    *paddle(None, "argmax", "paddle.argmax(x)", x=X),
    *paddle(None, "argmin", "paddle.argmin(x, axis=1)", x=TIES),
    *paddle_op("arg_min", {"X": ["x"]}, {"axis": 1, "dtype": 3}, x=TIES),
    *paddle_op("arg_max", {"X": ["x"]}, {"axis": 1, "dtype": 3}, x=TIES),
    *paddle_op("arg_max", {"X": ["x"]}, {"axis": -1, "keepdims": True, "dtype": 2}, x=X),
    *paddle_op("arg_max", {"X": ["x"]}, {"axis": 0, "flatten": True, "dtype": 3}, x=X),
    *onnx("Slice", X, opsets=(7, 9), starts=[1, -3], ends=[3, FAR], axes=[1, 3]),
    *onnx("Slice", X, opsets=(7, 9), starts=[1, 0], ends=[3, -1]),
    *onnx("Slice", X, np.int64([1, 2]), np.int64([3, 100]), opsets=(10, 13)),
    *onnx("Slice", X, np.int64([-2]), np.int64([FAR]), np.int64([-1]), opsets=(10, 13)),
    *onnx("Slice", X, np.int32([1, 0]), np.int32([2**31 - 1, 4]), np.int32([3, 1]), np.int32([2, 3]), opsets=(11, 13)),
    *onnx("Slice", X, np.int64([-1]), np.int64([-FAR]), np.int64([2]), np.int64([-1]), opsets=(11, 13)),
    *onnx("Slice", X, np.int64([4, -2]), np.int64([0, -6]), np.int64([1, 3]), np.int64([-2, -3]), opsets=(13,)),
    *onnx("Slice", X, np.int64([-100]), np.int64([3]), np.int64([1]), opsets=(13,)),
    *onnx("Slice", X, np.int64([0, 1]), np.int64([1, 2]), np.int64([-1, -3]), opsets=(13,)),
    *onnx("Slice", X, np.int64([1, 2]), np.int64([3, 4]), np.int64([2, 3]), fed=3),
    *onnx_graph(
        "Slice",
        "s = Shape(x1) a = Constant<value_ints = [2]>() b = Constant<value_ints = [4]>() "
        "z = Constant<value_ints = [0]>() e = Slice(s, a, b, z) o = Constant<value_ints = [0, 0]>() "
        "g = Constant<value_ints = [2, 3]>() "
        "y = Slice(x, o, e, g)",
        X,
        SMALL,
        text="to-the-size-of-another",
    ),
    *onnx_graph(
        "Slice",
        "s = Shape(x) i = Constant<value = int64 {2}>() n = Gather<axis = 0>(s, i) t = Constant<value = int64 {2}>() "
        "h = Div(n, t) z = Constant<value_ints = [0]>() e = Unsqueeze(h, z) a = Constant<value_ints = [2]>() "
        "y = Slice(x, z, e, a)",
        X,
        text="first-half",
    ),
    *onnx("Gather", X, np.int64([3, 0]), opsets=(7, 13)),
    *onnx("Gather", X, np.int64([[1, 0], [-1, 2]]), opsets=(11, 13), axis=1),
    *onnx("Gather", X, np.int64(2), opsets=(7, 13), axis=2),
    *onnx("Gather", X, np.int32([2, -4]), opsets=(13,), axis=-1),
    *onnx("Gather", X, np.int64([1, 2, 0]), axis=-2, fed=2),
    *onnx("Compress", X, np.array([True, False, True, True]), opsets=(9, 11), axis=1),
    *onnx("Compress", X, np.array([False, True] * 3), opsets=(11,), axis=-1),
    *onnx("Compress", X, np.array([False, True] * 3), opsets=(9, 11)),
    *onnx("Compress", X, np.array([False, True]), axis=0, fed=2),
    *onnx(("ArgMax", "ArgMin"), TIES, opsets=(7, 11, 13)),
    *onnx(("ArgMax", "ArgMin"), TIES, axis=1, opsets=(7, 13), keepdims=0),
    *onnx("ArgMax", X, axis=-1, opsets=(12, 13), select_last_index=0),
    *onnx(
        "ArgMax",
        TIES,
        axis=1,
        select_last_index=1,
        options={"torch": "refused", "opsets": (13, 21)},
    ),
    *onnx("NonZero", TIES, opsets=(9, 13)),
]


@pytest.mark.parametrize("case", spread(CASES), ids=str)
def test_indexing(case, tmp_path):
    case.hold(tmp_path)


def test_every_operator_has_a_case():
    assert uncovered(CASES, ["indexing"]) == {}


def test_slice_like_of_unknown_rank(tmp_path):
    sample = mxnet_sample(tmp_path, "slice_like", {"data0": X, "data1": SMALL}, data=("data0", "data1"))
    hold_targets(sample, tmp_path, graph=read_sample(sample, with_shapes=False), opsets=(11,))


def test_a_slice_to_the_size_of_another_reads_as_a_subscript(tmp_path):
    (case,) = [case for case in CASES if case.text.endswith("to-the-size-of-another")]
    case.hold(tmp_path)
    assert "[:, :, :x1.shape[2], :x1.shape[3]]" in (tmp_path / "torch" / "model.py").read_text().replace("x1_", "x1")
