"""Pools of every source against both targets, over their attributes; what becomes of the last window above all."""

import numpy as np
import pytest

from facecvt.converters.errors import AttributeValueError
from facecvt.converters.formats.mxnet_symbol import MxnetNode
from facecvt.converters.ops.registry import table
from facecvt.parity_tests.support.single_op import mxnet_sample, onnx_sample, paddle_sample, random_array
from facecvt.parity_tests.support.single_op_targets import compare, hold_targets, read_sample

X = random_array(2, 3, 12, 11) - 3.0  # mostly negative: a maximum over zeros of padding would show
LINE = random_array(2, 3, 10) - 3.0
VOLUME = random_array(1, 2, 5, 6, 7) - 3.0

# id -> attributes as they stand in the file
MXNET = {
    "max": {"kernel": (2, 2), "stride": (2, 2)},
    "max-defaults": {"kernel": (3, 3)},
    "max-with-power": {"kernel": (3, 3), "p_value": 2},
    "lp-1": {"kernel": (3, 2), "pool_type": "lp", "p_value": 1, "stride": (2, 2)},
    "lp-2": {"kernel": (3, 3), "pool_type": "lp", "p_value": 2, "stride": (2, 2), "pad": (1, 1)},
    "lp-3-full": {"kernel": (3, 3), "pool_type": "lp", "p_value": 3, "stride": (2, 2), "pooling_convention": "full"},
    "lp-2-global": {"pool_type": "lp", "p_value": 2, "global_pool": True},
    "max-pad": {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "pool_type": "max", "cudnn_off": True},
    "max-wide-pad": {"kernel": (3, 3), "stride": (2, 2), "pad": (2, 2)},
    "max-full": {"kernel": (3, 3), "stride": (2, 2), "pooling_convention": "full"},
    "max-full-pad": {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "pooling_convention": "full"},
    "max-full-wide": {"kernel": (4, 5), "stride": (3, 2), "pad": (1, 2), "pooling_convention": "full"},
    "avg": {"kernel": (3, 2), "stride": (2, 1), "pool_type": "avg"},
    "avg-pad": {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "pool_type": "avg"},
    "avg-pad-out": {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "pool_type": "avg", "count_include_pad": False},
    "avg-pad-in": {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "pool_type": "avg", "count_include_pad": True},
    "avg-full": {"kernel": (3, 3), "stride": (2, 2), "pool_type": "avg", "pooling_convention": "full"},
    "avg-full-pad": {
        "kernel": (4, 4),
        "stride": (3, 3),
        "pad": (1, 1),
        "pool_type": "avg",
        "pooling_convention": "full",
    },
    "avg-full-pad-out": {
        "kernel": (4, 4),
        "stride": (3, 3),
        "pad": (1, 1),
        "pool_type": "avg",
        "pooling_convention": "full",
        "count_include_pad": "0",
    },
    "sum": {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "pool_type": "sum"},
    "sum-full": {"kernel": (4, 3), "stride": (3, 2), "pad": (1, 0), "pool_type": "sum", "pooling_convention": "full"},
    "global-max": {"kernel": (1, 1), "global_pool": True},
    "global-avg": {"kernel": (7, 7), "global_pool": True, "pool_type": "avg", "pad": (1, 1), "stride": (2, 2)},
    "global-sum": {"kernel": (1, 1), "global_pool": "1", "pool_type": "sum"},
}
MXNET_V1 = {
    "max": {"kernel": (3, 3), "stride": (2, 2)},
    "max-full": {"kernel": (3, 3), "stride": (2, 2), "pooling_convention": "full"},
    "avg-pad": {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "pool_type": "avg"},
    "avg-full-pad": {
        "kernel": (4, 4),
        "stride": (3, 3),
        "pad": (1, 1),
        "pool_type": "avg",
        "pooling_convention": "full",
    },
    "sum-full": {"kernel": (4, 4), "stride": (3, 3), "pool_type": "sum", "pooling_convention": "full"},
    "global-avg": {"kernel": (1, 1), "global_pool": True, "pool_type": "avg"},
}


@pytest.mark.parametrize("case", MXNET)
def test_mxnet(case, tmp_path):
    hold_targets(mxnet_sample(tmp_path, "Pooling", {"data": X}, MXNET[case]), tmp_path)


@pytest.mark.parametrize("case", MXNET_V1)
def test_mxnet_v1(case, tmp_path):
    hold_targets(mxnet_sample(tmp_path, "Pooling_v1", {"data": X}, MXNET_V1[case]), tmp_path)


def test_mxnet_of_a_line_and_a_volume(tmp_path):
    attrs = {"kernel": "(3,)", "stride": "(2,)", "pooling_convention": "full", "pool_type": "avg", "pad": "(1,)"}
    hold_targets(mxnet_sample(tmp_path, "Pooling", {"data": LINE}, attrs), tmp_path)
    attrs = {"kernel": (2, 3, 3), "stride": (1, 2, 2), "pooling_convention": "full"}
    hold_targets(mxnet_sample(tmp_path, "Pooling", {"data": VOLUME}, attrs), tmp_path)


# id -> (operator in the file, expression)
PADDLE = {
    "max": ("pool2d", "F.max_pool2d(x, 2)"),
    "max-pads": ("pool2d", "F.max_pool2d(x, 3, 2, [1, 0])"),
    "max-four-pads": ("pool2d", "F.max_pool2d(x, 3, 2, [0, 1, 1, 0])"),
    "max-ceil": ("pool2d", "F.max_pool2d(x, 3, 2, 1, ceil_mode=True)"),
    "max-same": ("pool2d", "F.max_pool2d(x, 3, 2, 'SAME')"),
    "max-valid": ("pool2d", "F.max_pool2d(x, 3, 2, 'VALID')"),
    "avg": ("pool2d", "F.avg_pool2d(x, 3, 2)"),
    "avg-pad": ("pool2d", "F.avg_pool2d(x, 3, 2, 1)"),
    "avg-pad-counted": ("pool2d", "F.avg_pool2d(x, 3, 2, 1, exclusive=False)"),
    "avg-four-pads": ("pool2d", "F.avg_pool2d(x, 3, 2, [0, 1, 1, 0])"),
    "avg-four-pads-counted": ("pool2d", "F.avg_pool2d(x, 3, 2, [0, 1, 1, 0], exclusive=False)"),
    "avg-begin-pads-counted": ("pool2d", "F.avg_pool2d(x, 3, 1, [1, 0, 2, 0], exclusive=False)"),
    "avg-ceil": ("pool2d", "F.avg_pool2d(x, 4, 3, 1, ceil_mode=True)"),
    "avg-ceil-counted": ("pool2d", "F.avg_pool2d(x, 4, 3, 1, ceil_mode=True, exclusive=False)"),
    "avg-ceil-counted-unpadded": ("pool2d", "F.avg_pool2d(x, 3, 2, 0, ceil_mode=True, exclusive=False)"),
    "avg-same": ("pool2d", "F.avg_pool2d(x, 3, 2, 'SAME')"),
    "avg-same-counted": ("pool2d", "F.avg_pool2d(x, 3, 2, 'SAME', exclusive=False)"),
    "global-avg": ("pool2d", "F.adaptive_avg_pool2d(x, 1)"),
    "adaptive-avg": ("pool2d", "F.adaptive_avg_pool2d(x, [4, 11])"),
    "global-max": ("max_pool2d_with_index", "F.adaptive_max_pool2d(x, 1)"),
    "adaptive-max": ("max_pool2d_with_index", "F.adaptive_max_pool2d(x, [6, 1])"),
    "with-index": ("max_pool2d_with_index", "F.max_pool2d(x, 3, 2, 1, return_mask=True)[0]"),
}
PADDLE_3D = {
    "max": ("pool3d", "F.max_pool3d(x, 3, 2, 1)"),
    "avg": ("pool3d", "F.avg_pool3d(x, 3, 2, 1, exclusive=False)"),
}


@pytest.mark.parametrize("dialect", ["legacy", "pir"])
@pytest.mark.parametrize("case", PADDLE)
def test_paddle(case, dialect, tmp_path):
    op, expression = PADDLE[case]
    sample = paddle_sample(tmp_path, dialect, {"x": X}, expression)
    assert op in [node.type for node in sample.model.program.ops]
    hold_targets(sample, tmp_path)


@pytest.mark.parametrize("dialect", ["legacy", "pir"])
@pytest.mark.parametrize("case", PADDLE_3D)
def test_paddle_of_a_volume(case, dialect, tmp_path):
    op, expression = PADDLE_3D[case]
    sample = paddle_sample(tmp_path, dialect, {"x": VOLUME}, expression)
    assert op in [node.type for node in sample.model.program.ops]
    hold_targets(sample, tmp_path)


@pytest.mark.parametrize("dialect", ["legacy", "pir"])
@pytest.mark.parametrize("kind", ["max", "avg"])
def test_paddle_same_of_an_unknown_size(kind, dialect, tmp_path):
    """MTCNN's P-Net of one origin: kernel and stride 2, any input size; 12 rows and 11 columns here."""
    sample = paddle_sample(
        tmp_path, dialect, {"x": X}, f"F.{kind}_pool2d(x, 2, 2, 'SAME')", shapes={"x": [-1, 3, -1, -1]}
    )
    hold_targets(sample, tmp_path)


# id -> (operator, attributes)
ONNX = {
    "max": ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 1]}),
    "max-no-strides": ("MaxPool", {"kernel_shape": [3, 3]}),
    "max-pads": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "max-unequal-pads": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 2, 1, 0]}),
    "max-wide-pads": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [2, 2, 2, 2]}),
    "max-same-upper": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "max-same-lower": ("MaxPool", {"kernel_shape": [2, 2], "strides": [1, 2], "auto_pad": "SAME_LOWER"}),
    "avg": ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2]}),
    "avg-pads": ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "avg-unequal-pads": ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 2, 1, 0]}),
    "avg-counted": (
        "AveragePool",
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1},
    ),
    "avg-unequal-counted": (
        "AveragePool",
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 2, 1, 0], "count_include_pad": 1},
    ),
    "avg-same": ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "avg-valid": ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "VALID"}),
    "global-avg": ("GlobalAveragePool", {}),
    "global-max": ("GlobalMaxPool", {}),
}
ONNX_FROM_10 = {
    "max-dilated": ("MaxPool", {"kernel_shape": [3, 3], "dilations": [2, 1], "pads": [1, 1, 1, 1]}),
    "max-ceil": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "max-ceil-pads": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
    "max-ceil-unequal": ("MaxPool", {"kernel_shape": [4, 3], "strides": [3, 2], "pads": [1, 0, 0, 1], "ceil_mode": 1}),
    "max-ceil-drops": ("MaxPool", {"kernel_shape": [1, 1], "strides": [3, 2], "ceil_mode": 1}),
    "avg-ceil": ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "avg-ceil-pads": (
        "AveragePool",
        {"kernel_shape": [4, 4], "strides": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    ),
    "avg-ceil-counted": (
        "AveragePool",
        {"kernel_shape": [4, 4], "strides": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1, "count_include_pad": 1},
    ),
    "avg-ceil-unequal": (
        "AveragePool",
        {"kernel_shape": [4, 4], "strides": [3, 3], "pads": [1, 0, 0, 1], "ceil_mode": 1},
    ),
}


@pytest.mark.parametrize("opset", [7, 19])
@pytest.mark.parametrize("case", ONNX)
def test_onnx(case, opset, tmp_path):
    op, attrs = ONNX[case]
    hold_targets(onnx_sample(tmp_path, op, [X], attrs, opset=opset), tmp_path)


@pytest.mark.parametrize("opset", [10, 19])
@pytest.mark.parametrize("case", ONNX_FROM_10)
def test_onnx_from_10(case, opset, tmp_path):
    op, attrs = ONNX_FROM_10[case]
    hold_targets(onnx_sample(tmp_path, op, [X], attrs, opset=opset), tmp_path)


def test_onnx_dilated_mean_needs_opset_19(tmp_path):
    sample = onnx_sample(tmp_path, "AveragePool", [X], {"kernel_shape": [2, 2], "dilations": [2, 3]}, opset=19)
    hold_targets(sample, tmp_path, opsets=(19, 21), torch=False)
    with pytest.raises(Exception, match=r"dilations need opset 19.*newer --opset"):
        hold_targets(sample, tmp_path, opsets=(17,), torch=False)
    with pytest.raises(Exception, match="no mean over a dilated window"):
        hold_targets(sample, tmp_path, opsets=())


def test_every_operator_has_a_case():
    assert {op for op, family in table("from_mxnet").items() if family == "pool"} == {"Pooling", "Pooling_v1"}
    seen = {op for op, _ in (*PADDLE.values(), *PADDLE_3D.values())}
    assert seen == {op for op, family in table("from_paddle").items() if family == "pool"}
    seen = {op for op, _ in ONNX.values()}
    assert seen == {op for op, family in table("from_onnx").items() if family == "pool"}
    assert seen == {op for op, family in table("to_torch").items() if family == "pool"}


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_mxnet_window_behind_the_input(tmp_path):
    """12 rows, kernel 1, stride 2: MXNet makes a seventh row out of nothing."""
    attrs = {"kernel": (1, 1), "stride": (2, 2), "pooling_convention": "full"}
    sample = mxnet_sample(tmp_path, "Pooling", {"data": X}, attrs)
    assert sample.expected[0].shape[2] == 7
    with pytest.raises(AttributeValueError, match="begin behind the input"):
        read_sample(sample)


def test_mxnet_window_that_cannot_begin_behind_needs_no_size(tmp_path):
    attrs = {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "pooling_convention": "full"}
    sample = mxnet_sample(tmp_path, "Pooling", {"data": X}, attrs)
    hold_targets(sample, tmp_path, graph=read_sample(sample, with_shapes=False))
    sample.model.symbol.nodes[-1].attrs["kernel"] = "(2, 2)"
    with pytest.raises(AttributeValueError, match="fixed input size"):
        read_sample(sample, with_shapes=False)


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"kernel": (2, 2), "pool_type": "lp", "p_value": 4}, "p_value 4 is not supported"),
        ({"kernel": (2, 2), "layout": "NHWC"}, "layout"),
    ],
)
def test_mxnet_refusals(attrs, message, tmp_path):
    sample = mxnet_sample(tmp_path, "Pooling", {"data": X}, {"kernel": (2, 2)})
    sample.model.symbol.nodes[-1].attrs.update({key: str(value) for key, value in attrs.items()})
    with pytest.raises(AttributeValueError, match=message):
        read_sample(sample)


def test_mxnet_v1_maximum_counts_its_padding(tmp_path):
    """Zeros are greater than these inputs; behind a Relu they change nothing."""
    attrs = {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1)}
    sample = mxnet_sample(tmp_path, "Pooling_v1", {"data": X}, attrs)
    assert X.max() < 0.0
    assert (sample.expected[0][:, :, 0, :] == 0.0).all()
    with pytest.raises(AttributeValueError, match="zeros of its padding"):
        read_sample(sample)
    positive = mxnet_sample(tmp_path, "Pooling_v1", {"data": np.abs(X)}, attrs)
    nodes = positive.model.symbol.nodes
    nodes.insert(1, MxnetNode("Activation", "act", [(0, 0)], {"act_type": "relu"}))
    nodes[2].inputs[0] = (1, 0)
    positive.model.symbol.heads[0] = (2, 0)
    hold_targets(positive, tmp_path)


def test_paddle_adaptive_windows_of_different_sizes(tmp_path):
    sample = paddle_sample(tmp_path, "pir", {"x": X}, "F.adaptive_avg_pool2d(x, 5)")
    with pytest.raises(AttributeValueError, match="windows of different sizes"):
        read_sample(sample)


def test_compare_sees_what_padding_with_zeros_would_do():
    """The comparison that this module rests on: one wrong element is found."""
    wrong = X.copy()
    wrong[0, 0, 0, 0] = 0.0
    with pytest.raises(AssertionError, match="largest difference"):
        compare("self", {"y": wrong}, [X])
    with pytest.raises(AssertionError, match="shape"):
        compare("self", {"y": X[:1]}, [X])
    with pytest.raises(AssertionError, match="not finite"):
        compare("self", {"y": np.full_like(X, np.nan)}, [X])
