"""What training leaves in a graph: it goes, the numbers stay, and the user hears of labels and losses."""

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
FLAT = random_array(3, 6)

# id -> (operator, data, label or None, attributes, canonical operators)
MXNET = {
    "softmax-output": (
        "SoftmaxOutput",
        FLAT,
        np.zeros(3),
        {"grad_scale": 0.5, "use_ignore": 1, "normalization": "valid"},
        ["Softmax"],
    ),
    "softmax-output-channels": ("SoftmaxOutput", X, np.zeros((2, 15)), {"multi_output": "True"}, ["Softmax"]),
    "softmax-output-last": ("SoftmaxOutput", X, np.zeros((2, 4, 3)), {"preserve_shape": True}, ["Softmax"]),
    "softmax-old-name": ("Softmax", FLAT, np.zeros(3), {}, ["Softmax"]),
    "linear-regression": ("LinearRegressionOutput", FLAT, np.zeros((3, 6)), {"grad_scale": 2}, []),
    "mae-regression": ("MAERegressionOutput", FLAT, np.zeros((3, 6)), {}, []),
    "logistic-regression": ("LogisticRegressionOutput", FLAT, np.zeros((3, 6)), {}, ["Sigmoid"]),
    "svm": ("SVMOutput", FLAT, np.zeros(3), {"margin": 2, "use_linear": True}, []),
    "make-loss": ("MakeLoss", FLAT, None, {"grad_scale": 3, "normalization": "batch"}, []),
    "make-loss-new": ("make_loss", FLAT, None, {}, []),
    "block-grad": ("BlockGrad", FLAT, None, {}, []),
    "stop-gradient": ("stop_gradient", FLAT, None, {}, []),
    "copy": ("_copy", X, None, {}, []),
    "identity": ("identity", X, None, {}, []),
    "dropout": ("Dropout", X, None, {}, []),
    "dropout-p": ("Dropout", X, None, {"p": 0.9, "mode": "training", "axes": "(0,)"}, []),
}


@pytest.mark.parametrize("case", MXNET)
def test_mxnet(case, tmp_path):
    op, data, label, attrs, canonical = MXNET[case]
    arrays = {"data": data} if label is None else {"data": data, "op_label": label.astype(np.float32)}
    sample = mxnet_sample(tmp_path, op, arrays, attrs, labels=() if label is None else ("op_label",))
    graph = hold_targets(sample, tmp_path)
    assert [node.op_type for node in graph.body if node.op_type != "Identity"] == canonical
    assert [value.name for value in graph.inputs] == ["data"]
    said = [warning for warning in graph.warnings if "'op'" in warning]
    assert len(said) == (1 if label is not None or "loss" in op.lower() else 0)


def test_mxnet_softmax_output_of_an_image(tmp_path):
    """MXNet's float32 and float64 kernels disagree about the axes, so that there is no right answer."""
    arrays = {"data": X, "op_label": np.zeros((2, 4, 3), np.float32)}
    one, other = (
        mxnet_sample(tmp_path, "SoftmaxOutput", arrays, labels=("op_label",), dtype=dtype)
        for dtype in ("float32", "float64")
    )
    assert np.abs(one.expected[0] - other.expected[0]).max() > 0.1
    with pytest.raises(AttributeValueError, match="say in the symbol which axis"):
        read_sample(one)


def test_mxnet_dropout_always(tmp_path):
    sample = mxnet_sample(tmp_path, "Dropout", {"data": X})
    sample.model.symbol.nodes[-1].attrs["mode"] = "always"
    with pytest.raises(AttributeValueError, match="Dropout 'op': mode 'always'"):
        read_sample(sample)


# id -> (operator in the file, expression)
PADDLE = {
    "dropout-downgrade": ("dropout", "F.dropout(x, 0.3, training=False, mode='downscale_in_infer')"),
    "assign": ("assign", "paddle.assign(x)"),
}
# id -> (operator, attributes, output slots)
PADDLE_LEGACY = {
    "dropout-default": ("dropout", {"dropout_prob": 0.3, "is_test": True}, ("Out", "Mask")),
    "dropout-upscale": (
        "dropout",
        {
            "dropout_prob": 0.3,
            "is_test": True,
            "dropout_implementation": "upscale_in_train",
            "fix_seed": True,
            "seed": 3,
        },
        ("Out", "Mask"),
    ),
    "assign": ("assign", {}, ("Out",)),
    "share_data": ("share_data", {}, ("Out",)),
}


@pytest.mark.parametrize("dialect", ["legacy", "pir"])
@pytest.mark.parametrize("case", PADDLE)
def test_paddle(case, dialect, tmp_path):
    op, expression = PADDLE[case]
    sample = paddle_sample(tmp_path, dialect, {"x": X}, expression + " * 1.5")
    types = [node.type for node in sample.model.program.ops]
    assert op in types, types
    hold_targets(sample, tmp_path)


@pytest.mark.parametrize("case", PADDLE_LEGACY)
def test_paddle_legacy(case, tmp_path):
    op, attrs, outputs = PADDLE_LEGACY[case]
    hold_targets(paddle_op_sample(tmp_path, op, {"x": X}, {"X": ["x"]}, attrs, outputs=outputs), tmp_path)


# id -> (operator, opset, arrays, attributes, outputs)
ONNX = {
    "identity": ("Identity", 13, [X], {}),
    "identity-19": ("Identity", 19, [X], {}),  # pitfall 9
    "dropout-7": ("Dropout", 7, [X], {"ratio": 0.7}),
    "dropout-12": ("Dropout", 12, [X, np.array(0.7, np.float32)], {"seed": 3}),
    "dropout-13": ("Dropout", 13, [X, np.array(0.7, np.float32), np.array(False)], {}),
}


@pytest.mark.parametrize("case", ONNX)
def test_onnx(case, tmp_path):
    op, opset, arrays, attrs = ONNX[case]
    hold_targets(onnx_sample(tmp_path, op, arrays, attrs, opset=opset), tmp_path)


def test_onnx_dropout_in_training(tmp_path):
    sample = onnx_sample(tmp_path, "Dropout", [X, np.array(0.0, np.float32), np.array(True)], opset=13)
    with pytest.raises(AttributeValueError, match="training_mode"):
        read_sample(sample)


def test_every_operator_has_a_case():
    seen = {case[0] for case in MXNET.values()}
    assert seen == {op for op, family in table("from_mxnet").items() if family == "leftovers"}
    seen = {case[0] for case in (*PADDLE.values(), *PADDLE_LEGACY.values())}
    assert seen == {op for op, family in table("from_paddle").items() if family == "leftovers"}
    seen = {case[0] for case in ONNX.values()}
    assert seen == {op for op, family in table("from_onnx").items() if family == "leftovers"}
