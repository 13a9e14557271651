"""MXNet's comparisons, logic and choice against both targets."""

import numpy as np
import pytest

from facecvt.converters.errors import AttributeValueError
from facecvt.converters.ops.truth import TENSORS, WITH_A_NUMBER
from facecvt.parity_tests.support.operator_cases import Case, mxnet, spread, uncovered
from facecvt.parity_tests.support.single_op import mxnet_sample, random_array
from facecvt.parity_tests.support.single_op_targets import read_sample

X, Y = np.float32([[0, 1, 2, 3], [2, 0, 1, -1]]), np.float32([[1, 1, 0, 3], [0, 0, 2, -1]])
A, B = random_array(2, 3, 4), random_array(2, 3, 4, seed=1)
MASK, ROWS, COLUMN = np.float32(A > 0), np.float32([0, 2]), np.float32([[0], [1], [-3]])

OTHER_NAMES = {"torch": False, "opsets": (13,)}  # one rule reads all names of a function

CASES: list[Case] = [
    *mxnet([name for name in TENSORS if name.startswith("broadcast")], X, Y[:, 1:2]),
    *mxnet([name for name in TENSORS if not name.startswith("broadcast")], X, Y, options=OTHER_NAMES),
    *mxnet("broadcast_greater", X, Y[1:], weights=1),
    *mxnet([name for name in WITH_A_NUMBER if "_scalar" in name], X, scalar=1),
    *mxnet([name for name in WITH_A_NUMBER if "_scalar" not in name], X, scalar="-1.0", options=OTHER_NAMES),
    *mxnet(("_logical_and_scalar", "_logical_xor_scalar", "_lesser_scalar"), X, scalar=0, options=OTHER_NAMES),
    *mxnet(("_logical_or_scalar", "_lesser_equal_scalar"), X, scalar=0.5, options=OTHER_NAMES),
    *mxnet("_greater_scalar", X, scalar=1, is_int=True),
    *mxnet("logical_not", X),
    *mxnet("where", MASK, A, B),
    *mxnet("where", ROWS, A, B),
    *mxnet("where", ROWS, ROWS, ROWS[::-1].copy()),
    *mxnet("where", np.float32([0.5, 0]), X, Y, weights=1),
    *mxnet("_npi_where", COLUMN, A, B[:, :, :1]),
    *mxnet("_npi_where", MASK, A, B),
]


@pytest.mark.parametrize("case", spread(CASES), ids=str)
def test_truth(case, tmp_path):
    case.hold(tmp_path)


def test_every_operator_has_a_case():
    assert uncovered(CASES, ["truth"]) == {}


NAMES = ("data", "data1", "data2")


def test_a_condition_of_unknown_rank_is_refused(tmp_path):
    sample = mxnet_sample(tmp_path, "where", {"data": MASK, "data1": A, "data2": B}, data=NAMES)
    with pytest.raises(AttributeValueError, match="give the input shapes"):
        read_sample(sample, with_shapes=False)
