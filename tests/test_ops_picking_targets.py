"""MXNet's picking by computed places, orders and repetition against both targets."""

import numpy as np
import pytest

from facecvt.converters.errors import AttributeValueError
from facecvt.parity_tests.support.operator_cases import Case, mxnet, spread, uncovered
from facecvt.parity_tests.support.single_op import mxnet_sample, random_array
from facecvt.parity_tests.support.single_op_targets import read_sample

X, FLAT = random_array(4, 6, 5), random_array(7)
PLACES, FAR = np.float32([[3, 0], [1, 1]]), np.float32([5, -1, 0, -9, 12, 3])
COORDINATES = np.float32([[0, 3, 1], [5, 2, 2]])

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
    *mxnet("topk", X, k=2, ret_typ="mask", options={"refused": "mask"}),
    *mxnet("one_hot", PLACES, depth=4),
    *mxnet("one_hot", FAR, depth=4, on_value=2.5, off_value=-1),
    *mxnet("one_hot", PLACES, depth=3, dtype="int32"),
    *mxnet("repeat", X, repeats=2, axis=1),
    *mxnet("repeat", X, repeats=3, axis=-1),
    *mxnet("repeat", X, repeats=2, axis=0),
    *mxnet("repeat", X, repeats=2),
    *mxnet("reverse", X, axis=1),
    *mxnet("flip", X, axis="(0, 2)"),
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
