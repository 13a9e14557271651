"""Softmax of every source against both targets: which axes it works on, by default and by attribute."""

import numpy as np
import pytest

from facecvt.converters.errors import AttributeValueError
from facecvt.converters.ops.registry import table
from facecvt.parity_tests.support.single_op import (
    mxnet_sample,
    onnx_sample,
    paddle_op_sample,
    paddle_sample,
    random_array,
)
from facecvt.parity_tests.support.single_op_targets import hold_targets, read_sample

X = random_array(2, 4, 3, 5)
FLAT = random_array(3, 6) * 30.0  # large enough to overflow without the subtraction of the maximum
LINE = random_array(2, 4, 5)

# id -> (operator, data, attributes as they stand in the file)
MXNET = {
    "activation": ("SoftmaxActivation", FLAT, {}),
    "activation-instance": ("SoftmaxActivation", X, {"mode": "instance"}),
    "activation-channel": ("SoftmaxActivation", X, {"mode": "channel"}),
    "softmax": ("softmax", X, {}),
    "softmax-axis": ("softmax", X, {"axis": 1, "temperature": "None"}),
    "softmax-negative-axis": ("softmax", X, {"axis": "-2", "temperature": 1.0}),
    "softmax-flat": ("softmax", FLAT, {"use_length": False}),
    "softmax-temperature": ("softmax", X, {"temperature": "2.5"}),
    "softmin": ("softmin", FLAT, {}),
    "softmin-axis": ("softmin", X, {"axis": 1, "temperature": 0.5}),
    "log-softmax": ("log_softmax", FLAT, {}),
    "log-softmax-axis": ("log_softmax", X, {"axis": 1}),
}


@pytest.mark.parametrize("case", MXNET)
def test_mxnet(case, tmp_path):
    op, data, attrs = MXNET[case]
    hold_targets(mxnet_sample(tmp_path, op, {"data": data}, attrs), tmp_path)


@pytest.mark.parametrize("axis", [-1, 1, 0])
def test_mxnet_what_lies_behind_a_length_is_nothing(axis, tmp_path):
    """Lengths of 0, of the whole axis, and in between; numbers behind a length that would win otherwise."""
    count = LINE.shape[axis]
    lengths = np.resize(np.int32([0, count, 2, 1]), np.delete(LINE.shape, axis))
    arrays = {"data": LINE * 30, "length": lengths}
    sample = mxnet_sample(tmp_path, "softmax", arrays, {"axis": axis, "use_length": True, "temperature": 2.0})
    totals = sample.expected[0].sum(axis=axis)
    np.testing.assert_allclose(totals, lengths > 0, atol=1e-6)
    hold_targets(sample, tmp_path)


def test_mxnet_instance_is_the_last_axis(tmp_path):
    """The name and the documentation say otherwise; MXNet's own result decides."""
    sample = mxnet_sample(tmp_path, "SoftmaxActivation", {"data": X}, {"mode": "instance"})
    np.testing.assert_allclose(sample.expected[0].sum(axis=-1), 1.0, rtol=1e-5)


# id -> (operator in the file, arrays, expression)
PADDLE = {
    "softmax": ("softmax", {"x": X}, "F.softmax(x)"),
    "softmax-axis": ("softmax", {"x": X}, "F.softmax(x, axis=1)"),
    "softmax-flat": ("softmax", {"x": FLAT}, "F.softmax(x, axis=1)"),
    "log-softmax": ("log_softmax", {"x": X}, "F.log_softmax(x, axis=1)"),
}


@pytest.mark.parametrize("dialect", ["legacy", "pir"])
@pytest.mark.parametrize("case", PADDLE)
def test_paddle(case, dialect, tmp_path):
    op, arrays, expression = PADDLE[case]
    sample = paddle_sample(tmp_path, dialect, arrays, expression)
    assert op in [node.type for node in sample.model.program.ops]
    hold_targets(sample, tmp_path)


def test_paddle_default_axis(tmp_path):
    hold_targets(paddle_op_sample(tmp_path, "softmax", {"x": X}, {"X": ["x"]}), tmp_path)


# id -> (data, attributes); before opset 13 everything from ``axis`` (default 1) on is one axis
ONNX = {
    "flat": (FLAT, {}),
    "line": (LINE, {}),
    "image": (X, {}),
    "axis-1": (X, {"axis": 1}),
    "axis-2": (X, {"axis": 2}),
    "last": (X, {"axis": 3}),
}


@pytest.mark.parametrize("opset", [7, 11, 12, 13, 21])
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("case", ONNX)
def test_onnx(case, op, opset, tmp_path):
    data, attrs = ONNX[case]
    hold_targets(onnx_sample(tmp_path, op, [data], attrs, opset=opset), tmp_path)


@pytest.mark.parametrize("opset", [11, 13])
def test_onnx_negative_axis(opset, tmp_path):
    hold_targets(onnx_sample(tmp_path, "Softmax", [X], {"axis": -2}, opset=opset), tmp_path)


def test_every_operator_has_a_case():
    seen = {op for op, _, _ in MXNET.values()}
    assert seen == {op for op, family in table("from_mxnet").items() if family == "softmax"}
    seen = {op for op, _, _ in PADDLE.values()}
    assert seen == {op for op, family in table("from_paddle").items() if family == "softmax"}
    for direction in ("from_onnx", "to_torch"):
        assert {op for op, family in table(direction).items() if family == "softmax"} == {"Softmax", "LogSoftmax"}


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"use_length": "True"}, "use_length"),
        ({"dtype": "float64"}, "dtype"),
    ],
)
def test_mxnet_refusals(attrs, message, tmp_path):
    sample = mxnet_sample(tmp_path, "softmax", {"data": X})
    sample.model.symbol.nodes[-1].attrs.update(attrs)
    with pytest.raises(AttributeValueError, match=message):
        read_sample(sample)
