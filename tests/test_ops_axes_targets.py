"""Transpose, Squeeze and Unsqueeze of every source against both targets; Paddle's squeeze decides at run time."""

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
from facecvt.parity_tests.support.single_op import paddle_sample, random_array
from facecvt.parity_tests.support.single_op_targets import hold_targets, read_sample

X, ONES, LINE = random_array(2, 3, 4, 5), random_array(1, 3, 1, 1), random_array(6)
WITH_X_SHAPE = ("Out", "XShape")
DYNAMIC = {"x": [-1, 3, -1, -1]}

CASES: list[Case] = [
    *mxnet("transpose", X),
    *mxnet("transpose", X, axes=(0, 2, 3, 1)),
    *mxnet("transpose", X, axes="()"),
    *mxnet(("SwapAxis", "swapaxes"), X, dim1=1, dim2=3),
    *mxnet("SwapAxis", X, dim1=2),
    *(case for axis in (0, 2, 4, -1, -3) for case in mxnet("expand_dims", X, axis=axis)),
    *mxnet("squeeze", ONES),
    *mxnet("squeeze", ONES, axis=0),
    *mxnet("squeeze", ONES, axis="(2, -1)"),
    *paddle("transpose2", "transpose", "paddle.transpose(x, [0, 2, 3, 1])", x=X),
    *paddle_op("transpose2", {"X": ["x"]}, {"axis": [0, 3, 1, 2]}, outputs=WITH_X_SHAPE, x=X),
    *paddle_op("transpose", {"X": ["x"]}, {"axis": [1, 0, 2, 3]}, x=X),
    *(
        case
        for shapes in (None, DYNAMIC)
        for axes in ([], [2], [2, 3], [0, 2], [-1], [1], [0, 1, 2, 3])
        for case in paddle("squeeze2", "squeeze", f"paddle.squeeze(x, {axes or None})", x=ONES, shapes=shapes)
    ),
    *paddle("squeeze2", "squeeze", "paddle.squeeze(x, [0, 2])", x=X[:1], shapes=DYNAMIC),
    *paddle("squeeze2", "squeeze", "paddle.squeeze(x, [0, 2])", x=X[:, :, :1], shapes=DYNAMIC),
    *paddle("squeeze2", "squeeze", "paddle.squeeze(x, [0, 2, 3])", x=X, shapes=DYNAMIC),
    *paddle("squeeze2", "squeeze", "paddle.squeeze(x)", x=X[:1, :, :1], shapes=DYNAMIC),
    *paddle_op("squeeze2", {"X": ["x"]}, {"axes": [0]}, outputs=WITH_X_SHAPE, older=("squeeze", {"axes": [0]}), x=ONES),
    *(
        case
        for axes in ([0], [-1], [0, 2], [2, 0], [-1, 0], [1, 1], [4, 0], [-2, -1])
        for case in paddle("unsqueeze2", "unsqueeze", f"paddle.unsqueeze(x, {axes})", x=X, shapes=DYNAMIC)
    ),
    *paddle_op(
        "unsqueeze2", {"X": ["x"]}, {"axes": [1]}, outputs=WITH_X_SHAPE, older=("unsqueeze", {"axes": [1]}), x=X
    ),
    *onnx("Transpose", X, opsets=(7, 13, 21)),
    *onnx("Transpose", X, opsets=(7, 13), perm=[0, 2, 3, 1]),
    *onnx("Squeeze", ONES, opsets=(7, 11, 13)),
    *onnx("Squeeze", ONES, opsets=(7, 11), axes=[0, 3]),
    *onnx("Squeeze", ONES, np.int64([0, -1]), opsets=(13, 21)),
    *onnx("Squeeze", ONES, np.int64([2]), opsets=(13, 21)),
    *onnx("Unsqueeze", X, opsets=(7, 11), axes=[0, 3]),
    *onnx("Unsqueeze", X, opsets=(11,), axes=[0, -1]),
    *onnx("Unsqueeze", X, np.int64([5, 0]), opsets=(13, 21)),
    *onnx("Unsqueeze", X, np.int64([-1]), opsets=(13, 21)),
    *onnx_graph(
        "Squeeze",
        "s = Shape(x) o = Constant<value_ints = [1]>() t = Constant<value_ints = [2]>() d = Slice(s, o, t) "
        "z = Constant<value_ints = [0]>() n = Squeeze(d, z) u = Unsqueeze(n, z) r = Constant<value_ints = [-1]>() "
        "c = Concat<axis = 0>(u, r) y = Reshape(x, c)",
        X,
        text="of-shape-arithmetic",
    ),
]


@pytest.mark.parametrize("case", spread(CASES), ids=str)
def test_axes(case, tmp_path):
    case.hold(tmp_path)


def test_every_operator_has_a_case():
    assert uncovered(CASES, ["axes"]) == {}


def test_squeeze_of_static_ones_is_one_node(tmp_path):
    graph = read_sample(
        paddle_sample(tmp_path, "pir", {"x": ONES}, "paddle.squeeze(x, [2, 3])", shapes={"x": [-1, 3, 1, 1]})
    )
    assert [node.op_type for node in graph.body] == ["Squeeze"]


def test_a_dynamic_axis_is_squeezed_where_it_is_one_and_kept_where_it_is_not(tmp_path):
    """One converted model, two batch sizes: the decision is made at run time."""
    for batch in (1, 2):
        folder = tmp_path / str(batch)
        folder.mkdir()
        x = random_array(batch, 2, 1, 4)
        sample = paddle_sample(folder, "legacy", {"x": x}, "paddle.squeeze(x, [0])", shapes={"x": [-1, 2, -1, -1]})
        hold_targets(sample, folder, opsets=(11, 13))
        assert ".squeeze(0)" in (folder / "torch" / "model.py").read_text()
        assert sample.expected[0].ndim == (3 if batch == 1 else 4)


def test_a_compressed_shape_that_is_no_squeeze_is_computed(tmp_path):
    """The same operators with another comparison."""
    (case,) = onnx_graph(
        "Squeeze",
        "s = Shape(x) two = Constant<value_ints = [2]>() e = Equal(s, two) n = Not(e) c = Compress<axis = 0>(s, n) "
        "i = Constant<value_ints = [0]>() h = Gather<axis = 2>(x, i) d = Constant<value_ints = [-1]>() "
        "t = Concat<axis = 0>(c, d) r = Reshape(x, t) "
        "y = Flatten(r)",
        random_array(2, 3, 4),
        text="compressed",
    )
    case.hold(tmp_path)
    assert ".squeeze(" not in (tmp_path / "torch" / "model.py").read_text()
