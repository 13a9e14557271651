"""Concat, Split, Tile, Expand and stack of every source against both targets."""

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

X, Y, LINE = random_array(2, 6, 4, 5), random_array(2, 3, 4, 5), random_array(6)
FREE_BUT_THIRD = {"x": [-1, -1, 4, -1]}
THIN, FREE = random_array(1, 3, 1, 5), {"x": [-1, 6, -1, 5]}

CASES: list[Case] = [
    *mxnet(("Concat", "concat"), X, Y, num_args=2),
    *mxnet("Concat", X, X, X, dim=3, num_args=3),
    *mxnet("Concat", X, X, dim=-2, num_args=2),
    *mxnet("Concat", X, dim=0, num_args=1),
    *mxnet("stack", X, X, num_args=2),
    *mxnet("stack", X, X, X, axis=2, num_args=3),
    *mxnet("stack", X, X, axis=-1, num_args=2),
    *mxnet(("SliceChannel", "split"), X, outputs=3, num_outputs=3),
    *mxnet("SliceChannel", X, outputs=2, num_outputs=2, axis=2),
    *mxnet("SliceChannel", X, outputs=4, num_outputs=4, axis=2, squeeze_axis=True),
    *mxnet("SliceChannel", X, num_outputs=1, axis=0),
    *mxnet("_split_v2", X, outputs=3, sections=3, indices="[]"),
    *mxnet("_split_v2", X, outputs=3, indices="(0, 1, 4)", axis=1),
    *mxnet("_split_v2", X, outputs=2, indices="[0, 3]", axis=-1, sections=0),
    *mxnet("_split_v2", X, outputs=4, sections=4, axis=2, squeeze_axis=True, indices="()"),
    *mxnet("_split_v2", X, sections=1, axis=2, indices="[]"),
    *(case for reps in ((1, 1, 2, 3), (2,), (2, 1), (2, 1, 1, 1, 3)) for case in mxnet("tile", Y, reps=reps)),
    *mxnet("broadcast_like", THIN, Y),
    *mxnet("broadcast_like", THIN, Y, lhs_axes=(2,), rhs_axes=(1,)),
    *mxnet("broadcast_like", THIN, Y, lhs_axes=(0, -2), rhs_axes=(0, -1)),
    *mxnet("broadcast_to", THIN, shape=(2, 0, 4, 0)),
    *mxnet(("broadcast_axis", "broadcast_axes"), THIN, axis=(0, 2), size=(2, 4)),
    *paddle("concat", "concat", "paddle.concat([x, y], axis=1)", x=X, y=Y),
    *paddle("unstack", "unstack", "paddle.unstack(x, axis=2)", x=X, shapes=FREE_BUT_THIRD),
    *paddle("unstack", "unstack", "paddle.unstack(x, axis=-1)", x=X),
    *paddle("unbind", "unbind", "paddle.unbind(x)", x=X),
    *paddle("unbind", "unbind", "paddle.unbind(x, axis=0)", x=X[:1]),
    *paddle("meshgrid", "meshgrid", "paddle.meshgrid(x, y)", x=LINE, y=LINE[:4]),
    *paddle("meshgrid", "meshgrid", "paddle.meshgrid(x, y, x)", x=LINE[:3], y=LINE, shapes={"x": [-1], "y": [-1]}),
    *paddle_op("expand", {"X": ["x"]}, {"expand_times": [1, 2, 1, 3]}, x=Y),
    *paddle("concat", "concat", "paddle.concat([x, y, x], axis=-3)", x=X, y=Y, shapes=FREE),
    *paddle("concat", "concat", "paddle.concat([x], axis=0)", x=X),
    *paddle(None, "stack", "paddle.stack([x, x], axis=1)", x=X),
    *paddle_op("stack", {"X": ["x", "z"]}, {"axis": -1}, outputs=("Y",), x=X, z=X),
    *paddle_op("stack", {"X": ["x"]}, {"axis": 0}, outputs=("Y",), x=X),
    *paddle("split", "split", "paddle.split(x, [1, 2, 3], axis=1)", x=X),
    *paddle("split", "split", "paddle.split(x, [1, -1, 3], axis=1)", x=X, shapes=FREE),
    *paddle("split", "split", "paddle.split(x, [6], axis=1)", x=X),
    *paddle("split", "split_with_num", "paddle.split(x, 2, axis=-2)", x=X),
    *paddle("split", "split_with_num", "paddle.split(x, 3, axis=1)", x=X, shapes=FREE),
    *paddle("split", "split", "paddle.split(x, [1, -1], axis=2)", x=X, shapes=FREE, options={"refused": "dynamic"}),
    *paddle("tile", "tile", "paddle.tile(x, [1, 2, 1, 3])", x=X),
    *paddle("tile", "tile", "paddle.tile(x, [2, 3])", x=X, shapes=FREE),
    *paddle("tile", "tile", "paddle.tile(x, [2, 1, 1, 1, 2])", x=X),
    *paddle("expand_v2", "expand", "paddle.expand(x, [2, 3, 4, 5])", x=THIN),
    *paddle("expand_v2", "expand", "paddle.expand(x, [2, -1, 4, -1])", x=THIN),
    *paddle("expand_v2", "expand", "paddle.expand(x, [7, 2, 3, 4, 5])", x=THIN),
    *paddle(None, "expand_as", "paddle.expand_as(x, y)", x=THIN, y=Y),
    *paddle_op("expand_as_v2", {"X": ["x"], "Y": ["y"]}, {"target_shape": [2, 3, 4, 5]}, x=THIN, y=Y),
    *paddle_op("expand_as_v2", {"X": ["x"]}, {"target_shape": [2, 3, 4, 5]}, x=THIN),
    *paddle_op("expand", {"X": ["x"]}, {"expand_times": [1, 1, 2, 1]}, x=THIN),
    *paddle_op(
        "expand_as_v2",
        {"X": ["x"], "Y": ["y"]},
        {"target_shape": [2, 3, 4, 5]},
        older=("expand_as", {}),
        x=THIN,
        y=Y,
        options={"refused": "not supported"},
    ),
    *onnx("Concat", X, Y, opsets=(7, 11, 13), fed=2, axis=1),
    *onnx("Concat", X, X, opsets=(11, 13), axis=-1),
    *onnx("Concat", X, axis=0),
    *onnx("Split", X, opsets=(7, 11), outputs=3, axis=1, split=[1, 2, 3]),
    *onnx("Split", X, np.int64([1, 5]), opsets=(13, 18), outputs=2, axis=1),
    *onnx("Split", X, np.int64([1, 5]), opsets=(13,), outputs=2, axis=-3),
    *onnx("Split", X, opsets=(7, 11, 13), outputs=2, axis=1),
    *onnx("Split", X, opsets=(11, 13), outputs=2),
    *onnx("Split", X, opsets=(18, 21), outputs=3, axis=1, num_outputs=3),
    *onnx("Split", X, opsets=(18, 21), outputs=3, axis=3, num_outputs=3),
    *onnx("Split", X, np.int64([6]), opsets=(13,), outputs=1, axis=1),
    *onnx("Tile", X, np.int64([1, 2, 1, 3]), opsets=(7, 13)),
    *onnx("Expand", THIN, np.int64([2, 3, 4, 5]), opsets=(8, 13)),
    *onnx("Expand", THIN, np.int64([4, 1]), opsets=(8, 13)),
    *onnx("Expand", THIN, np.int64([3, 2, 1, 1, 1]), opsets=(8, 13)),
    *onnx("Expand", THIN, np.int64([2, 3, 4, 5]), fed=2),
    *onnx_graph("Expand", "s = Shape(x1) y = Expand(x, s)", THIN, Y[:1]),
    *onnx_graph("Expand", "c = Constant<value_float = 2.5>() s = Shape(x) e = Expand(c, s) y = Add(x, e)", X),
    *onnx_graph("Expand", "c = Constant<value_floats = [-0.1]>() s = Shape(x) e = Expand(c, s) y = Mul(x, e)", X),
    *onnx_graph(
        "Tile",
        "o = Constant<value_ints = [1, 1, 2]>() s = Shape(x) z = Constant<value_ints = [0]>() "
        "t = Constant<value_ints = [1]>() h = Slice(s, z, t) r = Concat<axis = 0>(h, o) y = Tile(x, r)",
        X,
        text="computed",
    ),
]


@pytest.mark.parametrize("case", spread(CASES), ids=str)
def test_joining(case, tmp_path):
    case.hold(tmp_path)


def test_every_operator_has_a_case():
    assert uncovered(CASES, ["joining"]) == {}


@pytest.mark.parametrize("reps", [(1, 1, 2, 3), (2,), (2, 1, 1, 1, 3)])
def test_tile_of_unknown_rank(reps, tmp_path):
    sample = mxnet_sample(tmp_path, "tile", {"data": Y}, {"reps": reps})
    hold_targets(sample, tmp_path, graph=read_sample(sample, with_shapes=False), torch=False)
