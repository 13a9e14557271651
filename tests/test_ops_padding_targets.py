"""Pad of every source against both targets, over its modes; each source lists the amounts in another order."""

from dataclasses import replace

import numpy as np
import pytest

from facecvt.converters.errors import ConversionError
from facecvt.converters.writers.to_onnx import write_onnx
from facecvt.parity_tests.support.operator_cases import Case, mxnet, onnx, paddle, paddle_op, spread, uncovered
from facecvt.parity_tests.support.single_op import Sample, onnx_sample, random_array
from facecvt.parity_tests.support.single_op_targets import hold_targets, read_sample

X, VOLUME, LINE = random_array(2, 3, 4, 5), random_array(1, 2, 3, 4, 5), random_array(2, 3, 6)
UNEVEN = (0, 0, 0, 0, 1, 2, 3, 0)
SPATIAL = [0, 0, 1, 3, 0, 0, 2, 1]  # before all axes, then behind all
NO_WRAP_BEFORE_19 = {"opsets": (19, 21)}

CASES: list[Case] = [
    *(
        case
        for mode in ("constant", "edge", "reflect")
        for case in mxnet(("Pad", "pad"), X, mode=mode, pad_width=UNEVEN)
    ),
    *mxnet("Pad", X, mode="constant", pad_width=UNEVEN, constant_value="-1.5"),
    *mxnet("Pad", VOLUME, mode="edge", pad_width=(0, 0, 0, 0, 1, 0, 2, 1, 0, 3)),
    *mxnet("Pad", X, mode="constant", pad_width=(0,) * 8),
    *paddle("pad", "pad", "F.pad(x, [0, 1, 2, 0, 1, 1, 0, 3], value=0.5)", x=X),
    *(
        case
        for mode in ("constant", "reflect", "replicate", "circular")
        for case in paddle(
            "pad3d",
            "pad3d",
            f"F.pad(x, [1, 2, 0, 3, 1, 0], mode='{mode}', data_format='NCDHW')",
            x=VOLUME,
            options=NO_WRAP_BEFORE_19 if mode == "circular" else None,
        )
    ),
    *paddle("pad3d", "pad3d", "F.pad(x, [1, 2, 0, 3], mode='reflect')", x=X, shapes={"x": [-1, 3, -1, -1]}),
    *paddle("pad3d", "pad3d", "F.pad(x, [1, 2, 0, 3], value=-2.0)", x=X, shapes={"x": [-1, 3, -1, -1]}),
    *paddle("pad3d", "pad3d", "F.pad(x, [1, 2], mode='replicate', data_format='NCL')", x=LINE),
    *paddle("pad3d", "pad3d", "F.pad(x, [1, 2, 0, 3], data_format='NHWC')", x=X, options={"refused": "NHWC|NDHWC"}),
    *paddle_op(
        "pad",
        {"X": ["x"]},
        {"paddings": [0, 0, 0, 0, 1, 2, 3, 0], "pad_value": 1.5},
        older=("pad2d", {"paddings": [1, 2, 3, 0], "mode": "constant", "pad_value": 1.5, "data_format": "NCHW"}),
        x=X,
    ),
    *onnx("Pad", X, opsets=(7, 10), pads=SPATIAL),
    *onnx("Pad", X, opsets=(7, 10), pads=SPATIAL, value=-0.5),
    *(case for mode in ("edge", "reflect") for case in onnx("Pad", X, opsets=(7,), pads=SPATIAL, mode=mode)),
    *(case for mode in ("edge", "reflect") for case in onnx("Pad", X, np.int64(SPATIAL), opsets=(11, 18), mode=mode)),
    *onnx("Pad", X, np.int64(SPATIAL), opsets=(11, 13, 21)),
    *onnx("Pad", X, np.int64(SPATIAL), np.float32(0.25), opsets=(11, 13, 21)),
    *onnx("Pad", X, np.int64([1, 0, 0, 0, 0, 2, 0, 0]), np.float32(-np.inf)),
    *onnx("Pad", X, np.int64([0, 0, -1, 0, 0, 0, 1, -2])),
    *onnx("Pad", X, np.int64([0] * 8)),
    *onnx("Pad", X, np.int64([1, 2, 0, 1]), None, np.int64([3, 1]), opsets=(18, 21)),
    *onnx("Pad", X, np.int64([1, 2]), np.float32(3), np.int64([-1]), opsets=(18, 21)),
    *onnx("Pad", X, np.int64(SPATIAL), opsets=(19,), mode="wrap", options=NO_WRAP_BEFORE_19),
    *onnx("Pad", X, np.int64([0, 1, 0, 0, 0, 1, 0, 0]), mode="edge", options={"torch": "refused"}),
]


@pytest.mark.parametrize("case", spread(CASES), ids=str)
def test_padding(case, tmp_path):
    case.hold(tmp_path)


def test_every_operator_has_a_case():
    assert uncovered(CASES, ["padding"]) == {}


@pytest.mark.parametrize("mode", ["reflect", "edge"])
def test_pad2d_of_paddle_1(mode, tmp_path):
    """Paddle 3 does not run it any more; its amounts are top, bottom, left, right."""
    (case,) = paddle_op("relu", {"X": ["x"]}, {}, older=("pad2d", {"paddings": [1, 2, 3, 0], "mode": mode}), x=X)
    sample = case.make(tmp_path)
    expected = [np.pad(X, ((0, 0), (0, 0), (1, 2), (3, 0)), mode=mode)]
    program = sample.model.program
    (result,) = program.outputs
    program.vars[result] = replace(program.vars[result], shape=expected[0].shape)
    hold_targets(Sample(sample.model, sample.feeds, expected), tmp_path, opsets=(11, 21))


def test_wrap_is_refused_below_opset_19(tmp_path):
    sample = onnx_sample(tmp_path, "Pad", [X, np.int64(SPATIAL)], {"mode": "wrap"}, opset=19)
    with pytest.raises(ConversionError, match="opset 19"):
        write_onnx(read_sample(sample), tmp_path / "target.onnx", 13)
