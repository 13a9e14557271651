"""Fully connected layers and matrix products of every source against both targets."""

import numpy as np
import pytest

from facecvt.converters.errors import AttributeValueError
from facecvt.converters.graph import attribute, constant
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
from facecvt.parity_tests.support.single_op import mxnet_sample, paddle_sample, random_array
from facecvt.parity_tests.support.single_op_targets import hold_targets, read_sample

BATCHES = random_array(2, 3, 4, seed=9)
X, MAPS, DEEP = random_array(3, 6), random_array(2, 3, 2, 4), random_array(2, 3, 4, 6)
W, WM, B = random_array(5, 6, seed=1), random_array(5, 24, seed=1), random_array(5, seed=2)
IN_OUT, OUT_IN, SQUARE = random_array(6, 5, seed=1), random_array(5, 6, seed=3), random_array(2, 6, 6, seed=4)
ROWS, STACK = random_array(2, 4, 6), random_array(2, 6, 5, seed=5)

CASES: list[Case] = [
    *mxnet("FullyConnected", X, W, B, weights=2, num_hidden=5),
    *mxnet("FullyConnected", MAPS, WM, B, weights=2, num_hidden=5),
    *mxnet("FullyConnected", MAPS, WM, B, weights=2, num_hidden=5, flatten=1, no_bias="0"),
    *mxnet("FullyConnected", MAPS, WM, weights=1, num_hidden=5, no_bias=True),
    *mxnet("FullyConnected", DEEP, W, B, weights=2, num_hidden=5, flatten=False),
    *mxnet("FullyConnected", DEEP, W, weights=1, num_hidden=5, flatten=False, no_bias=True),
    *mxnet("dot", X, IN_OUT, weights=1),
    *mxnet("dot", DEEP, IN_OUT, weights=1),
    *mxnet("dot", X, OUT_IN, weights=1, transpose_b=True),
    *mxnet("batch_dot", ROWS, STACK),
    *mxnet("batch_dot", ROWS, STACK.transpose(0, 2, 1).copy(), transpose_b=True),
    *mxnet("batch_dot", ROWS.transpose(0, 2, 1).copy(), STACK, transpose_a=True),
    *mxnet("_npi_matmul", DEEP, STACK[:, None]),
    *mxnet("_npi_matmul", X, IN_OUT, weights=1),
    *mxnet(("linalg_gemm2", "_linalg_gemm2"), ROWS, STACK),
    *mxnet("linalg_gemm2", ROWS.transpose(0, 2, 1).copy(), STACK, transpose_a=True, alpha=0.5, axis=-2),
    *mxnet("linalg_gemm2", ROWS, STACK.transpose(0, 2, 1).copy(), transpose_b=1),
    *mxnet("linalg_gemm2", DEEP, DEEP.transpose(0, 3, 2, 1).copy(), axis=-3, options={"refused": "axis -2"}),
    *(
        case
        for left, right, x, y, free in (
            (False, False, X, IN_OUT, {}),
            (False, False, X, IN_OUT, {"x": [-1, 6]}),
            (False, True, X, OUT_IN, {}),
            (True, False, X.T.copy(), IN_OUT, {}),
            (True, True, X.T.copy(), OUT_IN, {}),
            (False, False, DEEP, IN_OUT, {}),
            (False, True, DEEP, OUT_IN, {"x": [-1, 3, 4, 6]}),
            (False, False, X, IN_OUT[:, 0].copy(), {}),
        )
        for weights in ((), ("y",))
        for case in (
            *paddle(
                None,
                "matmul",
                f"paddle.matmul(x, y, {left}, {right})",
                x=x,
                y=y,
                shapes=free,
                weights=weights,
            ),
            *paddle_op(
                "matmul_v2",
                {"X": ["x"], "Y": ["y"]},
                {"trans_x": left, "trans_y": right},
                x=x,
                y=y,
                shapes=free,
                weights=weights,
            ),
        )
    ),
    *paddle(None, "matmul", "paddle.matmul(x, y, transpose_y=True)", x=ROWS, y=ROWS[:, :3].copy()),
    *paddle(None, "bmm", "paddle.bmm(x, y)", x=BATCHES, y=BATCHES.transpose(0, 2, 1).copy(), shapes={"x": [-1, -1, 4]}),
    *paddle_op("bmm", {"X": ["x"], "Y": ["y"]}, {}, x=BATCHES, y=BATCHES.transpose(0, 2, 1).copy()),
    *paddle("matmul_v2", "matmul", "F.linear(x, y, z)", x=X, y=IN_OUT, z=B, weights=("y", "z")),
    *paddle_op("matmul", {"X": ["x"], "Y": ["y"]}, {"alpha": 0.5}, x=X, y=IN_OUT, weights=("y",)),
    *paddle_op("matmul", {"X": ["x"], "Y": ["y"]}, {"transpose_Y": True}, x=X, y=OUT_IN, weights=("y",)),
    *paddle_op("matmul", {"X": ["x"], "Y": ["y"]}, {"transpose_X": True, "alpha": 1.0}, x=X.T.copy(), y=IN_OUT),
    *paddle_op("mul", {"X": ["x"], "Y": ["y"]}, {}, x=X, y=IN_OUT, weights=("y",)),
    *paddle_op("mul", {"X": ["x"], "Y": ["y"]}, {"x_num_col_dims": 1}, x=MAPS, y=random_array(24, 5), weights=("y",)),
    *paddle_op("mul", {"X": ["x"], "Y": ["y"]}, {"x_num_col_dims": 2}, x=MAPS, y=random_array(8, 5), weights=("y",)),
    *paddle_op("mul", {"X": ["x"], "Y": ["y"]}, {"x_num_col_dims": 3}, x=DEEP, y=IN_OUT, weights=("y",)),
    *onnx("MatMul", X, IN_OUT, opsets=(7, 9, 13)),
    *onnx("MatMul", DEEP, IN_OUT),
    *onnx("MatMul", ROWS, STACK, fed=2),
    *onnx("MatMul", X, IN_OUT[:, 0].copy()),
    *onnx("Gemm", X, IN_OUT, B, opsets=(7, 9, 11, 13)),
    *onnx("Gemm", X, OUT_IN, B, transB=1),
    *onnx("Gemm", X, IN_OUT, opsets=(11, 21)),
    *onnx("Gemm", X, OUT_IN, B[:1].copy(), transB=1),
    *onnx("Gemm", X, OUT_IN, B.reshape(1, 5), transB=1),
    *onnx("Gemm", X, OUT_IN, random_array(3, 5), transB=1),
    *onnx("Gemm", X, OUT_IN, random_array(3, 1), transB=1),
    *onnx("Gemm", X, OUT_IN, np.float32(0.5), transB=1),
    *onnx("Gemm", X, IN_OUT, B, fed=3),
    *onnx("Gemm", X, OUT_IN, B, fed=2, transB=1),
    *onnx("Gemm", X.T.copy(), IN_OUT, B, opsets=(7, 13), transA=1),
    *onnx("Gemm", X, IN_OUT, B, opsets=(7, 13), alpha=0.5),
    *onnx("Gemm", X, IN_OUT, B, opsets=(7, 13), beta=-2.0),
    *onnx("Gemm", X, IN_OUT, alpha=0.25, beta=3.0),
    *onnx("Gemm", X, OUT_IN, B, fed=3, alpha=0.25, beta=0.5, transB=1),
    *onnx_graph("MatMul", "w = Transpose(x1) y = MatMul(x, w)", X, OUT_IN),
]


@pytest.mark.parametrize("case", spread(CASES), ids=str)
def test_product(case, tmp_path):
    case.hold(tmp_path)


def test_every_operator_has_a_case():
    assert uncovered(CASES, ["matmul"]) == {}


def test_weight_bytes_stay_as_in_the_source(tmp_path):
    """A Paddle weight (in, out) is neither copied nor turned, so that it can be streamed."""
    arrays = {"x": X, "y": IN_OUT, "z": B}
    graph = read_sample(paddle_sample(tmp_path, "pir", arrays, "F.linear(x, y, z)"))
    (node,) = [node for node in graph.body if node.op_type in ("Gemm", "MatMul")]
    assert np.array_equal(constant(node.inputs[1]), IN_OUT)
    assert attribute(node, "transB", 0) == 0


def test_pre_fc1_is_one_gemm_behind_one_flatten(tmp_path):
    sample = mxnet_sample(
        tmp_path, "FullyConnected", {"data": MAPS, "fc1_weight": WM, "fc1_bias": B}, {"num_hidden": 5}
    )
    graph = hold_targets(sample, tmp_path, opsets=(13,))
    assert [node.op_type for node in graph.body] == ["Flatten", "Gemm"]
    assert "nn.Linear(24, 5)" in (tmp_path / "torch" / "model.py").read_text()


def test_dot_with_a_computed_operand_of_unknown_rank_is_refused(tmp_path):
    sample = mxnet_sample(tmp_path, "dot", {"data0": X, "data1": IN_OUT}, data=("data0", "data1"))
    with pytest.raises(AttributeValueError, match=r"'op'.*at most 2 dimensions"):
        read_sample(sample, with_shapes=False)
