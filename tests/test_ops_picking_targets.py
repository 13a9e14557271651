"""Picking by computed places and by rank, one-hot vectors and repetition against both targets."""

import numpy as np
import pytest

from facecvt.converters.errors import AttributeValueError
from facecvt.parity_tests.support.operator_cases import Case, mxnet, paddle, paddle_op, spread, uncovered
from facecvt.parity_tests.support.single_op import mxnet_sample, random_array
from facecvt.parity_tests.support.single_op_targets import read_sample

X, FLAT = random_array(4, 6, 5), random_array(7)
PLACES, FAR = np.float32([[3, 0], [1, 1]]), np.float32([5, -1, 0, -9, 12, 3])
TALL = random_array(4, 6)
COORDINATES = np.float32([[0, 3, 1], [5, 2, 2]])

TIES, WHOLE = np.float32([[1, 3, 3, 2], [5, 5, 0, 5]]), np.int64([[2, 7, 2, 1], [0, 0, 4, 3]])
INDEX, VALUES = np.int64([[[3, 0, 1, 2, 4]], [[5, 1, 0, 0, 2]]]), random_array(2, 1, 5)
FREE = {"x": [-1, -1, 5]}

CASES: list[Case] = [
    *mxnet("take", X, PLACES),
    *mxnet("take", X, PLACES, weights=1, axis=1),
    *mxnet("take", X, FAR, axis=1, mode="clip"),
    *mxnet("take", X, FAR, axis=-1, mode="wrap"),
    *mxnet("take", X, FAR, weights=1, axis=-1, mode="wrap"),
    *mxnet("take", X, FAR, weights=1),
    *mxnet("gather_nd", X, COORDINATES),
    *mxnet("gather_nd", X, COORDINATES, weights=1),
    *mxnet("gather_nd", FLAT, PLACES[None]),
    *mxnet("sort", X),
    *mxnet("sort", X, axis=1, is_ascend=False),
    *mxnet("argsort", X),
    *mxnet("argsort", X, axis=0, is_ascend=0, dtype="int32"),
    *mxnet("topk", X),
    *mxnet("topk", X, axis=1, k=2, ret_typ="value"),
    *mxnet("topk", X, k=3, ret_typ="both", is_ascend=True, dtype="int64", outputs=2),
    *mxnet("topk", X, k=0, ret_typ="value"),
    *mxnet("topk", X, k=2, ret_typ="mask"),
    *mxnet("topk", X, k=3, ret_typ="mask", axis=1, is_ascend=True),
    *mxnet("topk", X, k=5, ret_typ="mask", axis="None"),
    *mxnet("topk", X, k=5, axis="None", ret_typ="both", outputs=2),
    *mxnet("sort", X, axis="None", is_ascend=0),
    *mxnet("argsort", X, axis="None"),
    *mxnet(("pick", "choose_element_0index"), TALL, FAR[:4]),
    *mxnet("pick", TALL, FAR[:4], weights=1, mode="wrap"),
    *mxnet("pick", X, np.float32([[0, 9, -1, 2, 1], [3, 3, 1, 0, -8], [1, 0, 7, 2, 4], [2, 2, 2, 2, 2]]), axis=1),
    *mxnet("pick", TALL, FAR[None], axis=0, keepdims=True),
    *mxnet("batch_take", TALL, np.int32([5, 0, 9, -2]), weights=1),
    *mxnet("one_hot", PLACES, depth=4),
    *mxnet("one_hot", FAR, depth=4, on_value=2.5, off_value=-1),
    *mxnet("one_hot", PLACES, depth=3, dtype="int32"),
    *mxnet("repeat", X, repeats=2, axis=1),
    *mxnet("repeat", X, repeats=3, axis=-1),
    *mxnet("repeat", X, repeats=2, axis=0),
    *mxnet("repeat", X, repeats=2),
    *mxnet("reverse", X, axis=1),
    *mxnet("flip", X, axis="(0, 2)"),
    *paddle("flip", "flip", "paddle.flip(x, [1, -1])", x=X, shapes=FREE),
    *paddle("top_k_v2", "topk", "paddle.topk(x, 2)", x=X, shapes=FREE),
    *paddle("top_k_v2", "topk", "paddle.topk(x, 3, axis=1, largest=False)", x=X),
    *paddle("top_k_v2", "topk", "paddle.topk(x, 1, axis=0, sorted=False)", x=X),
    *paddle("top_k_v2", "topk", "paddle.topk(x, 3)", x=WHOLE[:, [1, 2, 3]]),
    *paddle("top_k_v2", "topk", "paddle.topk(x, y)", x=X, y=np.int32([2]), weights=("y",)),
    *paddle_op("top_k", {"X": ["x"]}, {"k": 3}, outputs=("Out", "Indices"), x=X),
    *paddle("argsort", "argsort", "paddle.argsort(x, stable=True)", x=TIES),
    *paddle("argsort", "argsort", "paddle.argsort(x, axis=0, descending=True)", x=X),
    *paddle(
        "argsort", "argsort", "paddle.argsort(x, axis=-1, descending=True, stable=True)", x=TIES, shapes={"x": [-1, -1]}
    ),
    *paddle("argsort", "argsort", "paddle.sort(x, axis=1)", x=X, shapes=FREE),
    *paddle("argsort", "argsort", "paddle.sort(x, axis=1, descending=True)", x=X),
    *paddle("one_hot_v2", "one_hot", "F.one_hot(x, 8)", x=WHOLE),
    *paddle("one_hot_v2", "one_hot", "F.one_hot(x, 3)", x=np.int32([2, 0, 1]), shapes={"x": [-1]}),
    *paddle_op(
        "one_hot_v2",
        {"X": ["x"], "depth_tensor": ["y"]},
        {"depth": 1, "dtype": 5},
        x=WHOLE,
        y=np.int32([9]),
        weights=("y",),
    ),
    *paddle("where_index", "nonzero", "paddle.nonzero(x)", x=TIES),
    *paddle("where_index", "nonzero", "paddle.nonzero(x > 0.5)", x=X, shapes=FREE),
    *paddle("where_index", "nonzero", "paddle.nonzero(x, as_tuple=True)", x=TIES),
    *paddle("put_along_axis", "put_along_axis", "paddle.put_along_axis(x, y, z, 1)", x=X[:2], y=INDEX, z=VALUES),
    *paddle("put_along_axis", "put_along_axis", "paddle.put_along_axis(x, y, 1.5, 0)", x=X, y=INDEX[:1] % 4),
    *paddle(
        "put_along_axis",
        "put_along_axis",
        "paddle.put_along_axis(x, y, z, 1, reduce='add')",
        x=X[:2],
        y=INDEX,
        z=VALUES,
        options={"refused": "'assign' is"},
    ),
]


@pytest.mark.parametrize("case", spread(CASES), ids=str)
def test_picking(case, tmp_path):
    case.hold(tmp_path)


def test_every_operator_has_a_case():
    assert uncovered(CASES, ["picking"]) == {}


@pytest.mark.parametrize("op", ["repeat", "gather_nd"])
def test_an_unknown_rank_is_refused(op, tmp_path):
    arrays = {"data": X} if op == "repeat" else {"data": X, "data1": COORDINATES}
    attrs = {"repeats": 2, "axis": 1} if op == "repeat" else {}
    sample = mxnet_sample(tmp_path, op, arrays, attrs, data=list(arrays))
    with pytest.raises(AttributeValueError, match="give the input shapes"):
        read_sample(sample, with_shapes=False)
