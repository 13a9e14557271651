"""Convolutions of every source against both targets, over their attributes."""

import pytest

from facecvt.converters.errors import AttributeValueError, ConversionError
from facecvt.converters.ops.registry import table
from facecvt.parity_tests.support.single_op import (
    mxnet_sample,
    onnx_sample,
    paddle_op_sample,
    paddle_sample,
    random_array,
)
from facecvt.parity_tests.support.single_op_targets import hold_targets, read_sample

X = random_array(2, 4, 9, 8)
LINE = random_array(2, 4, 11)
VOLUME = random_array(1, 2, 5, 6, 5)
W = random_array(6, 4, 3, 3)
W1 = random_array(6, 4, 1, 1)
GROUPED = random_array(6, 2, 3, 3)
DEPTHWISE = random_array(4, 1, 3, 3)
BIAS = random_array(6)
BACK = random_array(4, 6, 3, 3)  # of a transposed convolution: (in, out, ...)

# id -> (operator, weights in order, attributes as they stand in the file)
MXNET = {
    "plain": ("Convolution", {"w": W, "b": BIAS}, {"kernel": (3, 3), "num_filter": 6}),
    "no-bias": ("Convolution", {"w": W}, {"kernel": (3, 3), "num_filter": 6, "no_bias": "1"}),
    "stride-pad-dilate": (
        "Convolution",
        {"w": W, "b": BIAS},
        {"kernel": "[3,3]", "num_filter": 6, "stride": (2, 1), "pad": (1, 2), "dilate": (2, 2), "workspace": 512},
    ),
    "grouped": ("Convolution", {"w": GROUPED}, {"kernel": (3, 3), "num_filter": 6, "num_group": 2, "no_bias": True}),
    "depthwise": (
        "Convolution",
        {"w": DEPTHWISE},
        {"kernel": (3, 3), "num_filter": 4, "num_group": 4, "no_bias": True, "stride": (2, 2), "layout": "NCHW"},
    ),
    "v1": ("Convolution_v1", {"w": W, "b": BIAS}, {"kernel": (3, 3), "num_filter": 6, "pad": (1, 1)}),
    "transposed": ("Deconvolution", {"w": BACK}, {"kernel": (3, 3), "num_filter": 6, "stride": (2, 2)}),
    "transposed-all": (
        "Deconvolution",
        {"w": BACK, "b": BIAS},
        {"kernel": (3, 3), "num_filter": 6, "stride": (3, 2), "pad": (1, 0), "adj": (2, 1), "no_bias": False},
    ),
    "transposed-dilated-grouped": (
        "Deconvolution",
        {"w": random_array(4, 3, 3, 3)},
        {"kernel": (3, 3), "num_filter": 6, "num_group": 2, "dilate": (2, 2), "pad": (1, 1)},
    ),
    "transposed-target-even": (
        "Deconvolution",
        {"w": random_array(4, 6, 4, 4)},
        {"kernel": (4, 4), "num_filter": 6, "stride": (2, 2), "target_shape": (18, 16)},
    ),
    "transposed-target-odd": (
        "Deconvolution",
        {"w": BACK},
        {"kernel": (3, 3), "num_filter": 6, "stride": (2, 2), "target_shape": (18, 16), "pad": (7, 7), "adj": (0, 0)},
    ),
}


@pytest.mark.parametrize("case", MXNET)
def test_mxnet(case, tmp_path):
    op, weights, attrs = MXNET[case]
    dtype = "float64" if "target_shape" in attrs else "float32"  # MXNet's float32 kernel cannot run a target_shape
    hold_targets(mxnet_sample(tmp_path, op, {"data": X, **weights}, attrs, dtype=dtype), tmp_path)


def test_mxnet_zero_strides_mean_one(tmp_path):
    """Old files have them; MXNet 1.9.1 refuses them."""
    sample = mxnet_sample(tmp_path, "Convolution", {"data": X, "w": W, "b": BIAS}, {"kernel": (3, 3), "num_filter": 6})
    sample.model.symbol.nodes[-1].attrs.update({"stride": "(0, 0)", "dilate": "(0,0)", "pad": "()"})
    hold_targets(sample, tmp_path)


def test_mxnet_of_a_line_and_a_volume(tmp_path):
    line = mxnet_sample(
        tmp_path,
        "Convolution",
        {"data": LINE, "w": random_array(5, 4, 3)},
        {"kernel": (3,), "num_filter": 5, "no_bias": 1},
    )
    hold_targets(line, tmp_path)
    volume = mxnet_sample(
        tmp_path,
        "Convolution",
        {"data": VOLUME, "w": random_array(3, 2, 2, 3, 2)},
        {"kernel": "(2, 3, 2)", "num_filter": 3, "no_bias": 1, "pad": (0, 1, 1)},
    )
    hold_targets(volume, tmp_path)


# id -> (operator in the file, arrays, expression); both dialects are made from it
PADDLE = {
    "plain": ("conv2d", {"w": W}, "F.conv2d(x, w)"),
    "bias": ("conv2d", {"w": W, "b": BIAS}, "F.conv2d(x, w, b, padding=1)"),
    "two-pads": ("conv2d", {"w": W}, "F.conv2d(x, w, stride=[2, 1], padding=[1, 2], dilation=2)"),
    "four-pads": ("conv2d", {"w": W}, "F.conv2d(x, w, stride=2, padding=[2, 1, 0, 3])"),
    "same": ("conv2d", {"w": W}, "F.conv2d(x, w, stride=2, padding='SAME')"),
    "same-even-kernel": ("conv2d", {"w": random_array(6, 4, 4, 2)}, "F.conv2d(x, w, stride=[3, 1], padding='SAME')"),
    "same-dilated": ("conv2d", {"w": W}, "F.conv2d(x, w, padding='SAME', dilation=2)"),
    "valid": ("conv2d", {"w": W}, "F.conv2d(x, w, stride=2, padding='VALID', dilation=2)"),
    "grouped": ("conv2d", {"w": GROUPED}, "F.conv2d(x, w, groups=2, padding=1)"),
    "depthwise": ("depthwise_conv2d", {"w": DEPTHWISE}, "F.conv2d(x, w, groups=4, stride=2, padding='SAME')"),
    "transposed": ("conv2d_transpose", {"w": BACK}, "F.conv2d_transpose(x, w, stride=2, padding=1)"),
    "transposed-pads": (
        "conv2d_transpose",
        {"w": BACK},
        "F.conv2d_transpose(x, w, stride=3, padding=[2, 0, 1, 3], output_padding=[1, 2])",
    ),
    "transposed-same": ("conv2d_transpose", {"w": BACK}, "F.conv2d_transpose(x, w, stride=2, padding='SAME')"),
    "transposed-valid": ("conv2d_transpose", {"w": BACK}, "F.conv2d_transpose(x, w, stride=2, padding='VALID')"),
    "transposed-size": (
        "conv2d_transpose",
        {"w": BACK},
        "F.conv2d_transpose(x, w, stride=2, padding=1, output_size=[18, 15])",
    ),
    "transposed-grouped": (
        "conv2d_transpose",
        {"w": random_array(4, 3, 3, 3)},
        "F.conv2d_transpose(x, w, stride=2, groups=2, dilation=2)",
    ),
    "transposed-depthwise": (
        "depthwise_conv2d_transpose",
        {"w": DEPTHWISE},
        "F.conv2d_transpose(x, w, stride=2, groups=4, padding=1)",
    ),
}
PADDLE_3D = {
    "plain": ("conv3d", {"w": random_array(3, 2, 2, 3, 2)}, "F.conv3d(x, w, padding=[0, 1, 1], stride=2)"),
    "transposed": ("conv3d_transpose", {"w": random_array(2, 3, 2, 2, 2)}, "F.conv3d_transpose(x, w, stride=2)"),
}


@pytest.mark.parametrize("dialect", ["legacy", "pir"])
@pytest.mark.parametrize("case", PADDLE)
def test_paddle(case, dialect, tmp_path):
    op, weights, expression = PADDLE[case]
    sample = paddle_sample(tmp_path, dialect, {"x": X, **weights}, expression)
    assert op in [node.type for node in sample.model.program.ops]
    hold_targets(sample, tmp_path)


@pytest.mark.parametrize("dialect", ["legacy", "pir"])
@pytest.mark.parametrize("case", PADDLE_3D)
def test_paddle_of_a_volume(case, dialect, tmp_path):
    op, weights, expression = PADDLE_3D[case]
    sample = paddle_sample(tmp_path, dialect, {"x": VOLUME, **weights}, expression)
    assert op in [node.type for node in sample.model.program.ops]
    hold_targets(sample, tmp_path)


def test_paddle_bias_slot_is_added(tmp_path):
    """Programs of older Paddle may have it; Paddle 3.3.1 leaves the slot out when it writes."""
    sample = paddle_sample(tmp_path, "legacy", {"x": X, "w": W, "b": BIAS}, "F.conv2d(x, w)")
    assert [op.type for op in sample.model.program.ops] == ["conv2d"]
    sample.model.program.ops[0].inputs["Bias"] = ["b"]
    sample.model.params["b"] = BIAS
    sample.expected[0] += BIAS.reshape(1, 6, 1, 1)
    hold_targets(sample, tmp_path)


def test_paddle_any_layout_is_nchw(tmp_path):
    slots = {"Input": ["x"], "Filter": ["w"]}
    attrs = {"data_format": "AnyLayout", "paddings": [1, 1], "use_cudnn": True}
    hold_targets(paddle_op_sample(tmp_path, "conv2d", {"x": X, "w": W}, slots, attrs, outputs=("Output",)), tmp_path)


# id -> (operator, weights, attributes)
ONNX = {
    "defaults": ("Conv", [W, BIAS], {}),
    "all": (
        "Conv",
        [GROUPED],
        {"kernel_shape": [3, 3], "strides": [2, 1], "pads": [0, 1, 2, 3], "dilations": [2, 1], "group": 2},
    ),
    "same-upper": ("Conv", [W], {"auto_pad": "SAME_UPPER", "strides": [2, 3]}),
    "same-lower": ("Conv", [random_array(6, 4, 4, 4)], {"auto_pad": "SAME_LOWER", "strides": [2, 1]}),
    "valid": ("Conv", [W], {"auto_pad": "VALID", "strides": [2, 2]}),
    "transposed": ("ConvTranspose", [BACK, BIAS], {}),
    "transposed-all": (
        "ConvTranspose",
        [random_array(4, 3, 3, 3)],
        {"strides": [2, 3], "pads": [1, 0, 0, 2], "output_padding": [1, 2], "group": 2, "dilations": [1, 2]},
    ),
    "transposed-cut-begin": ("ConvTranspose", [BACK], {"strides": [1, 2], "pads": [2, 0, 0, 2]}),
    "transposed-same-upper": ("ConvTranspose", [BACK], {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "transposed-same-lower": ("ConvTranspose", [BACK], {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "transposed-shape": ("ConvTranspose", [BACK], {"strides": [2, 2], "output_shape": [18, 16]}),
    "transposed-shape-odd": (
        "ConvTranspose",
        [BACK],
        {"strides": [2, 2], "output_shape": [16, 16], "auto_pad": "SAME_LOWER"},
    ),
    "transposed-valid": ("ConvTranspose", [BACK], {"strides": [2, 2], "auto_pad": "VALID"}),
}


@pytest.mark.parametrize("opset", [7, 11, 21])
@pytest.mark.parametrize("case", ONNX)
def test_onnx(case, opset, tmp_path):
    op, weights, attrs = ONNX[case]
    hold_targets(onnx_sample(tmp_path, op, [X, *weights], attrs, opset=opset), tmp_path)


def test_onnx_computed_kernel(tmp_path):
    hold_targets(onnx_sample(tmp_path, "Conv", [X, W], {"pads": [1, 1, 0, 0]}, opset=13, fed=2), tmp_path)


def test_every_operator_has_a_case():
    assert {op for op, _, _ in MXNET.values()} == {op for op, family in table("from_mxnet").items() if family == "conv"}
    seen = {op for op, _, _ in (*PADDLE.values(), *PADDLE_3D.values())}
    assert seen == {op for op, family in table("from_paddle").items() if family == "conv"}
    assert {op for op, _, _ in ONNX.values()} == {op for op, family in table("from_onnx").items() if family == "conv"}
    assert {"Conv", "ConvTranspose"} == {op for op, family in table("to_torch").items() if family == "conv"}


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_mxnet_num_filter_that_does_not_fit(tmp_path):
    sample = mxnet_sample(
        tmp_path, "Convolution", {"data": X, "w": W}, {"kernel": (3, 3), "num_filter": 6, "no_bias": 1}
    )
    sample.model.symbol.nodes[-1].attrs["num_filter"] = "5"
    with pytest.raises(AttributeValueError, match="Convolution 'op': num_filter 5"):
        read_sample(sample)


def test_mxnet_unknown_attribute(tmp_path):
    sample = mxnet_sample(
        tmp_path, "Convolution", {"data": X, "w": W}, {"kernel": (3, 3), "num_filter": 6, "no_bias": 1}
    )
    sample.model.symbol.nodes[-1].attrs["flip"] = "True"
    with pytest.raises(AttributeValueError, match="'flip' = 'True' is not known"):
        read_sample(sample)


def test_mxnet_other_layout(tmp_path):
    sample = mxnet_sample(
        tmp_path, "Convolution", {"data": X, "w": W}, {"kernel": (3, 3), "num_filter": 6, "no_bias": 1}
    )
    sample.model.symbol.nodes[-1].attrs["layout"] = "NHWC"
    with pytest.raises(AttributeValueError, match="layout"):
        read_sample(sample)


def test_paddle_other_layout(tmp_path):
    sample = paddle_sample(
        tmp_path, "pir", {"x": random_array(2, 9, 8, 4), "w": W}, "F.conv2d(x, w, data_format='NHWC')"
    )
    with pytest.raises(AttributeValueError, match="data_format"):
        read_sample(sample)


def test_same_padding_of_an_unknown_size(tmp_path):
    sample = onnx_sample(
        tmp_path,
        "Conv",
        [X, W],
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        opset=13,
        shapes={"input0": ["n", 4, "h", "w"]},
    )
    with pytest.raises(ConversionError, match="fixed input size"):
        read_sample(sample)


def test_same_padding_of_an_unknown_size_with_stride_one(tmp_path):
    sample = onnx_sample(
        tmp_path, "Conv", [X, W], {"auto_pad": "SAME_UPPER"}, opset=13, shapes={"input0": ["n", 4, "h", "w"]}
    )
    hold_targets(sample, tmp_path)
