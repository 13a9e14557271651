"""Reshape and Flatten of every source against both targets: every code of MXNet, 0 and -1 of the others."""

import numpy as np
import pytest

from facecvt.converters.errors import AttributeValueError
from facecvt.converters.graph import Builder
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import rule_for
from facecvt.converters.source_ops import MxnetOp
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

X, LINE, VOLUME = random_array(2, 6, 4, 5), random_array(7), random_array(2, 3, 2, 2, 5)
FREE = {"x": [-1, 6, -1, -1]}
SHAPE = {"x": [-1, -1, 4, 5]}
TARGET = np.int32([2, 3, -1])

CASES: list[Case] = [
    *mxnet(("Flatten", "flatten"), X),
    *mxnet("Flatten", random_array(3, 4)),
    *mxnet(("Reshape", "reshape"), X, shape=(2, -1)),
    *(
        case
        for shape in (
            *((0, -1), (-1, 5), (0, 0, -1), (0, 2, -1, 0), (-1, 0, 0, 0)),
            *((-2,), (0, -2), (0, 0, -2), (-2, 1, 1), (-1, -2)),
            *((-3, -2), (0, -3, 0), (-3, -3), (0, 0, -3), (-3, 0, 0), (-1, -3)),
            *((0, -4, 2, 3, -2), (0, -4, -1, 3, 0, 0), (0, -4, 2, -1, -2), (-4, 1, 2, -2), (-4, -1, 1, 0, -3)),
            *((0, -4, 2, -1, -3), (-1, -4, -1, 2, 0, 0), (-3, -4, -1, 2, 0), (0, -4, -1, 2, -4, 2, -1, 0)),
        )
        for case in mxnet("Reshape", X, shape=shape)
    ),
    *(
        case
        for shape in (
            *((-1, 0), (0, -1, 0), (-2, 0), (-2, 4, 0), (-3, 0, 0), (0, 0, -3), (-1, -3)),
            *((-2, -1, 1, -4), (-2, 2, -1, -4, 0)),
        )
        for case in mxnet("Reshape", X, shape=shape, reverse=True)
    ),
    *mxnet("Reshape", X, target_shape=(0, 20)),
    *mxnet("Reshape", X, target_shape=(2, 0), keep_highest=True),
    *mxnet("reshape_like", X, random_array(4, 3, 20)),
    *mxnet("reshape_like", random_array(30, 7), random_array(15, 2, 4), lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2),
    *mxnet("reshape_like", random_array(3, 5), random_array(1, 15, 4), lhs_begin=0, lhs_end=2, rhs_begin=1, rhs_end=2),
    *mxnet("reshape_like", random_array(30, 12), random_array(4, 2, 2, 3), lhs_begin=-1, lhs_end="None", rhs_begin=1),
    *mxnet("reshape_like", random_array(2, 12, 5), random_array(3, 4), lhs_begin=1, lhs_end=2),
    *paddle("reshape2", "reshape", "paddle.reshape(x, [0, -1])", x=X),
    *paddle("reshape2", "reshape", "paddle.reshape(x, [0, 3, -1, 5])", x=X, shapes=FREE),
    *paddle("reshape2", "reshape", "paddle.reshape(x, [-1, 5])", x=X, shapes=FREE),
    *paddle("reshape2", "reshape", "paddle.reshape(x, [2, 0, -1])", x=X),
    *paddle("reshape2", "reshape", "paddle.reshape(x, y)", x=X, y=TARGET),
    *paddle("reshape2", "reshape", "paddle.reshape(x, [paddle.shape(x)[0], -1])", x=X, shapes=FREE),
    *paddle_op("reshape", {"X": ["x"]}, {"shape": [0, 0, -1]}, x=X),
    *(
        case
        for shapes in (None, FREE, SHAPE)
        for start, stop in ((1, -1), (0, -1), (0, 1), (1, 2), (2, 3), (-3, -2), (2, 2))
        for case in paddle(
            "flatten_contiguous_range", "flatten", f"paddle.flatten(x, {start}, {stop})", x=X, shapes=shapes
        )
    ),
    *paddle("flatten_contiguous_range", "flatten", "paddle.flatten(x)", x=LINE),
    *paddle("flatten_contiguous_range", "flatten", "paddle.flatten(x)", x=np.array(3, np.float32)),
    *paddle_op("flatten2", {"X": ["x"]}, {"axis": 1}, outputs=("Out", "XShape"), x=X),
    *paddle_op("flatten2", {"X": ["x"]}, {"axis": 2}, outputs=("Out", "XShape"), x=X),
    *paddle_op("flatten2", {"X": ["x"]}, {"axis": 0}, outputs=("Out", "XShape"), x=X),
    *paddle_op(
        "flatten2",
        {"X": ["x"]},
        {"axis": 3},
        outputs=("Out", "XShape"),
        older=("flatten", {"axis": 3}),
        x=VOLUME,
    ),
    *(
        case
        for target in ([0, -1], [0, 0, 20], [-1], [2, 3, 2, 4, 5], [0, -1, 0, 1, 5])
        for case in onnx("Reshape", X, np.int64(target), opsets=(7, 13))
    ),
    *onnx("Reshape", X, np.int64([2, -1]), opsets=(14, 21), allowzero=1),
    *onnx("Reshape", X, np.int64([2, -1]), fed=2),
    *onnx("Reshape", X, np.int64([0, 0, -1]), fed=2),
    *(case for axis in (0, 1, 2, 3, 4, -1, -2) for case in onnx("Flatten", X, opsets=(11, 21), axis=axis)),
    *onnx("Flatten", X, opsets=(7, 9)),
    *onnx("Flatten", LINE, axis=1),
    *onnx_graph("Flatten", "y = Flatten<axis = 3>(x)", X),
    *onnx_graph(
        "Reshape",
        "s = Shape(x) i = Constant<value = int64 {0}>() n = Gather<axis = 0>(s, i) a = Constant<value_ints = [0]>() "
        "u = Unsqueeze(n, a) r = Constant<value_ints = [-1, 4]>() c = Concat<axis = 0>(u, r) y = Reshape(x, c)",
        X,
        text="exporter-chain",
    ),
    *onnx_graph(
        "Reshape",
        "s = Shape(x) i = Constant<value_ints = [0, 1]>() n = Gather<axis = 0>(s, i) "
        "r = Constant<value_ints = [0, -1]>() c = Concat<axis = 0>(n, r) y = Reshape(x, c)",
        X,
        text="zero-behind-computed",
    ),
    *onnx_graph(
        "Reshape",
        "s = Shape(x) o = Constant<value_ints = [0]>() t = Constant<value_ints = [2]>() h = Slice(s, o, t) "
        "r = Constant<value_ints = [-1]>() c = Concat<axis = 0>(h, r) y = Reshape(x, c)",
        X,
        text="sliced-shape",
    ),
    *onnx_graph(
        "Reshape",
        "s = Shape(x) i = Constant<value = int64 {1}>() n = Gather<axis = 0>(s, i) j = Constant<value = int64 {3}>() "
        "m = Gather<axis = 0>(s, j) p = Mul(n, m) a = Constant<value_ints = [-1]>() u = Reshape(p, a) "
        "c = Concat<axis = 0>(u, a) y = Reshape(x, c)",
        X,
        text="product-of-dims",
    ),
]


@pytest.mark.parametrize("case", spread(CASES), ids=str)
def test_reshape(case, tmp_path):
    case.hold(tmp_path)


def test_every_operator_has_a_case():
    assert uncovered(CASES, ["reshape"]) == {}


@pytest.mark.parametrize("shape", [(-2, -1), (0, -4, 2, 3, -1), (-4, 2, -1, -1)])
def test_inferred_behind_a_code_that_shifts_is_refused(shape):
    """MXNet 1.9.1 itself makes a wrong shape of these."""
    builder = Builder("mxnet", "model")
    op = MxnetOp("Reshape", "here", {"shape": str(shape)}, [builder.input("data", None, ir.DataType.FLOAT)])
    with pytest.raises(AttributeValueError, match=r"'here'.*wrong shape"):
        rule_for("from_mxnet", "Reshape")(op, builder)


@pytest.mark.parametrize(
    ("shape", "reverse", "kinds"),
    [
        ((0, 2, -1), False, ["Reshape"]),
        ((0, -4, 2, 3, -2), False, None),
        ((-2, 2, -1, -4, 0), True, None),
        ((0, -3, 0), False, None),
        ((-3, -1), False, None),
        ((-3, -3), False, None),
        ((0, -4, -1, 2, -4, 2, -1, 0), False, None),
        ((-1, -4, -1, 2, 0, 0), False, None),
        ((-1, -3), True, None),
        ((0, -2), False, None),
    ],
)
def test_mxnet_codes_hold_for_every_batch(shape, reverse, kinds, tmp_path):
    """Nothing of the input's shape is known while the symbol is read; plain codes still make a single node."""
    sample = mxnet_sample(tmp_path, "Reshape", {"data": X}, {"shape": shape, "reverse": reverse})
    graph = hold_targets(sample, tmp_path, graph=read_sample(sample, with_shapes=False), opsets=(13,))
    if kinds is not None:
        assert [node.op_type for node in graph.body] == kinds


def test_exporter_chain_reads_as_one_line(tmp_path):
    (case,) = [case for case in CASES if case.text.endswith("exporter-chain")]
    case.hold(tmp_path)
    assert "x = x.reshape(x.shape[0], -1, 4)" in (tmp_path / "torch" / "model.py").read_text().replace("data", "x")
