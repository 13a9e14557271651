"""Non-maximum suppression, ranks and scattered places of every source against both targets."""

import numpy as np
import pytest

from facecvt.converters.writers.to_onnx import write_onnx
from facecvt.converters.writers.to_torch import write_torch
from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime
from facecvt.parity_tests.runtimes.runtime_torch import TorchRuntime
from facecvt.parity_tests.support.operator_cases import Case, onnx, paddle, paddle_op, spread, uncovered
from facecvt.parity_tests.support.single_op import random_array
from facecvt.parity_tests.support.single_op_targets import read_sample

MIDDLE, SIDE = random_array(2, 40, 2, low=0.0, high=6.0), random_array(2, 40, 2, low=0.5, high=3.0, seed=1)
BOXES = np.concatenate([MIDDLE - SIDE / 2, MIDDLE + SIDE / 2], axis=-1)
SCORES = np.round(random_array(2, 3, 40, low=0.0, high=1.0), 2)  # some are equal
FREE = {"x": [-1, -1, 4], "y": [-1, 3, -1]}
TABLE, PLACES = random_array(3, 5, 4), np.int64([[2, 0, 1], [0, 4, 3]])
SLOTS = {"BBoxes": ["x"], "Scores": ["y"]}


def nms(**changed):
    """Attributes of Paddle's operator, and the text that calls it in a PIR program."""
    attrs = {
        "background_label": 0, "score_threshold": 0.2, "nms_top_k": -1, "nms_threshold": 0.3, "nms_eta": 1.0,
        "keep_top_k": -1, "normalized": True, **changed,
    }  # fmt: skip
    order = ("score_threshold", "nms_top_k", "keep_top_k", "nms_threshold", "normalized", "nms_eta", "background_label")
    written = ", ".join(repr(attrs[key]) for key in order)
    return attrs, f"paddle._C_ops.multiclass_nms3(x, y, None, {written})"


PADDLE = [
    nms(),
    nms(background_label=-1, nms_top_k=12),
    nms(background_label=3, nms_top_k=400, keep_top_k=9),
    nms(background_label=1, nms_top_k=20, keep_top_k=7, nms_threshold=0.1),
]

CASES: list[Case] = [
    *(
        case
        for attrs, text in PADDLE
        for shapes in (FREE, {})
        for case in (
            *paddle(None, "multiclass_nms3", text, x=BOXES, y=SCORES, shapes=shapes),
            *paddle_op(
                "multiclass_nms3",
                SLOTS,
                attrs,
                outputs=("Out", "Index", "NmsRoisNum"),
                x=BOXES,
                y=SCORES,
                shapes=shapes,
            ),
        )
    ),
    *(
        case
        for older, (attrs, _) in (("multiclass_nms2", PADDLE[1]), ("multiclass_nms", PADDLE[3]))
        for case in paddle_op(
            "multiclass_nms3",
            SLOTS,
            attrs,
            outputs=("Out", "Index", "NmsRoisNum"),
            older=(older, attrs),
            x=BOXES,
            y=SCORES,
        )
    ),
    *paddle_op(
        "multiclass_nms3",
        SLOTS,
        nms(normalized=False)[0],
        outputs=("Out", "Index", "NmsRoisNum"),
        options={"refused": "normalized True"},
        x=BOXES,
        y=SCORES,
    ),
    *onnx(
        "NonMaxSuppression", BOXES, SCORES, np.int64([5]), np.float32([0.3]), np.float32([0.2]), opsets=(10, 13), fed=2
    ),
    *onnx(
        "NonMaxSuppression", BOXES[..., [2, 1, 0, 3]].copy(), SCORES, np.int64(50), np.float32(0.5), opsets=(11,), fed=2
    ),
    *onnx(
        "NonMaxSuppression",
        np.concatenate([MIDDLE, SIDE], axis=-1),
        SCORES,
        np.int64([9]),
        np.float32([0.4]),
        np.float32([0.1]),
        opsets=(11,),
        fed=2,
        center_point_box=1,
    ),
    *onnx("TopK", SCORES, np.int64([7]), opsets=(10, 11), outputs=2),
    *onnx("TopK", SCORES, np.int64([2]), opsets=(11,), outputs=2, axis=1, largest=0),
    *onnx("TopK", SCORES, opsets=(7,), outputs=2, k=5, axis=-1),
    *onnx("ScatterElements", TABLE[0], PLACES, random_array(2, 3, seed=4), opsets=(11, 13, 16), fed=1, axis=0),
    *onnx("ScatterElements", TABLE[0], PLACES[:, ::-1] % 4, random_array(2, 3, seed=4), opsets=(13,), fed=1, axis=1),
    *onnx("GatherND", TABLE, np.int64([[2, 4], [0, 1], [-1, 0]]), opsets=(11, 13)),
    *onnx("GatherND", TABLE, np.int64([[[2, 4, 3]], [[0, 1, 2]]]), opsets=(12,)),
]


@pytest.mark.parametrize("case", spread(CASES), ids=str)
def test_suppression(case, tmp_path):
    case.hold(tmp_path)


def test_nothing_found_is_no_rows(tmp_path):
    """Which the cases do not show, since no rows are nothing to compare."""
    (case,) = paddle(None, "multiclass_nms3", nms(score_threshold=2.0)[1], x=BOXES, y=SCORES)
    sample = case.make(tmp_path)
    assert [array.shape for array in sample.expected] == [(0, 6), (0, 1), (2,)]
    graph = read_sample(sample)
    write_onnx(graph, tmp_path / "net.onnx")
    write_torch(graph, tmp_path / "net")
    for runtime in (OrtRuntime(tmp_path / "net.onnx"), TorchRuntime(tmp_path / "net", list(sample.feeds))):
        with runtime:
            found = list(runtime.run(sample.feeds).outputs.values())
        assert [array.shape for array in found] == [(0, 6), (0, 1), (2,)]
        assert not found[2].any()


def test_every_operator_has_a_case():
    assert uncovered(CASES, ["suppression"]) == {}
