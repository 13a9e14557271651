"""What MXNet's detectors strike out, held against MXNet row by row: order, ties, suppressed rows and empty results."""

import json
from pathlib import Path

import numpy as np
import pytest

from facecvt.converters.errors import AttributeValueError, UnsupportedOperatorsError
from facecvt.converters.formats.mxnet_model import MxnetModel
from facecvt.converters.formats.mxnet_symbol import read_symbol
from facecvt.converters.readers.from_mxnet import read_mxnet
from facecvt.parity_tests.support.operator_cases import Case, mxnet, spread, uncovered
from facecvt.parity_tests.support.single_op import mxnet_sample, random_array
from facecvt.parity_tests.support.single_op_targets import hold_targets, read_sample

IMAGES, CLASSES, PRIORS = 2, 4, 40
DETECTION, NMS = "_contrib_MultiBoxDetection", "_contrib_box_nms"
SCORES = np.round(random_array(IMAGES, CLASSES, PRIORS, low=0.0, high=1.0), 1)  # most are equal to others
MOVES = random_array(IMAGES, 4 * PRIORS, low=-1.5, high=1.5)
MIDDLE, SIDE = random_array(1, PRIORS, 2, low=0.1, high=0.9), random_array(1, PRIORS, 2, low=0.1, high=0.5, seed=1)
BOXES = np.concatenate([MIDDLE - SIDE / 2, MIDDLE + SIDE / 2], axis=-1)
INPUTS = (SCORES, MOVES, BOXES)
INSIDE_OUT = BOXES[:, :, [2, 1, 0, 3]]
# one prior, twice as wide as the other one: they overlap by a half exactly
HALVES = (
    np.float32([[[0, 0], [0.75, 0.5]]]),
    np.zeros((1, 8), np.float32),
    np.float32([[[0, 0, 1, 0.5], [0, 0, 0.5, 0.5]]]),
)

KINDS = np.floor(random_array(IMAGES, PRIORS, 1, low=-1.0, high=3.0))
MARKS = np.round(random_array(IMAGES, PRIORS, 1, low=-0.2, high=1.0, seed=2), 1)
ROWS = np.concatenate([KINDS, MARKS, np.repeat(BOXES, IMAGES, 0)], axis=-1)
CENTERED = np.concatenate([KINDS, MARKS, np.repeat(np.concatenate([MIDDLE, SIDE], -1), IMAGES, 0)], axis=-1)
WIDE = np.concatenate([ROWS[..., 2:], random_array(IMAGES, PRIORS, 2), ROWS[..., :2]], axis=-1)

CASES: list[Case] = [
    *mxnet(DETECTION, *INPUTS),
    *mxnet(DETECTION, *INPUTS, weights=1, threshold=0.55, nms_threshold=0.3),
    *mxnet(DETECTION, *INPUTS, threshold=0.8, nms_threshold=0.45, force_suppress=True),
    *mxnet(DETECTION, *INPUTS, nms_threshold=0.2, nms_topk=7),
    *mxnet(DETECTION, *INPUTS, nms_topk=400, clip=False, variances="(0.2, 0.1, 0.3, 0.05)", background_id=1),
    *mxnet(DETECTION, *INPUTS, nms_threshold=-1, threshold=0.9),
    *mxnet(DETECTION, *INPUTS, nms_threshold="1.5", clip=0),
    *mxnet(DETECTION, *INPUTS, nms_threshold=1, force_suppress=1),
    *mxnet(DETECTION, *INPUTS, threshold=2),
    *mxnet(DETECTION, SCORES - 1.6, MOVES, BOXES, threshold=-3, nms_topk=5),
    *mxnet(DETECTION, SCORES, MOVES, INSIDE_OUT, clip=False, force_suppress=True, nms_threshold=0.1),
    *mxnet(DETECTION, *HALVES, nms_threshold=0.5),
    *mxnet(NMS, ROWS),
    *mxnet("_contrib_box_non_maximum_suppression", ROWS, overlap_thresh=0.3, id_index=0),
    *mxnet(NMS, ROWS, overlap_thresh=0.3, id_index=0, force_suppress=True, valid_thresh=0.35),
    *mxnet(NMS, ROWS, overlap_thresh=0.1, id_index=0, topk=9, background_id=0),
    *mxnet(NMS, ROWS, overlap_thresh=0.2, topk=300),
    *mxnet(NMS, ROWS, topk=0),
    *mxnet(NMS, ROWS, valid_thresh=3),
    *mxnet(NMS, ROWS, overlap_thresh=2),
    *mxnet(NMS, ROWS, overlap_thresh=0, out_format="center"),
    *mxnet(NMS, CENTERED, in_format="center", id_index=0),
    *mxnet(NMS, CENTERED - np.float32([0, 0, 0.5, 0.5, 0, 0]), in_format="center"),
    *mxnet(NMS, CENTERED, in_format="center", out_format="center", overlap_thresh=0.3),
    *mxnet(NMS, WIDE, coord_start=0, score_index=7, id_index=6, out_format="center"),
    *mxnet(NMS, ROWS.reshape(IMAGES, 2, PRIORS // 2, 6), id_index=0, overlap_thresh=0.1),
    *mxnet(NMS, ROWS[0], overlap_thresh=0.25),
    *mxnet(NMS, ROWS, overlap_thresh=-1, options={"refused": "overlap_thresh -1.0 is below 0"}),
]


@pytest.mark.parametrize("case", spread(CASES), ids=str)
def test_suppression(case, tmp_path):
    case.hold(tmp_path)


def test_boxes_that_do_not_rival_are_all_there(tmp_path):
    """The cases say little if everything were struck out, or nothing."""
    found = CASES[1].make(tmp_path).expected[0]
    kept, struck = (found[..., 0] >= 0).sum(), ((found[..., 0] < 0) & (found[..., 1] >= 0)).sum()
    assert (kept, struck) == (48, 22)


FREE = {"data": ("n", "classes", "priors"), "data1": ("n", "moves"), "data2": (1, "priors", 4)}


@pytest.mark.parametrize("index", [0, 3])
def test_sizes_known_at_run_time_only(index, tmp_path):
    sample = CASES[index].make(tmp_path)
    hold_targets(sample, tmp_path, graph=read_mxnet(sample.model, FREE), opsets=(13,))


@pytest.mark.parametrize(("attrs", "rows"), [({"topk": 9, "id_index": 0}, "rows"), ({"id_index": 0}, PRIORS)])
def test_rows_whose_number_is_known_at_run_time_only(attrs, rows, tmp_path):
    sample = mxnet_sample(tmp_path, NMS, {"data": ROWS}, {"overlap_thresh": 0.1, **attrs})
    hold_targets(sample, tmp_path, graph=read_mxnet(sample.model, {"data": ("n", rows, 6)}), opsets=(13,))


def test_more_rows_than_classes_can_be_told_apart_for_are_refused(tmp_path):
    sample = mxnet_sample(tmp_path, NMS, {"data": np.zeros((1, 2049, 6), np.float32)}, {"id_index": 0})
    with pytest.raises(AttributeValueError, match="2048 rows at most, not for 2049; topk bounds it"):
        read_sample(sample)


def test_every_operator_has_a_case():
    assert uncovered(CASES, ["box_suppression"]) == {}


# ---- what serves training alone --------------------------------------------------------------------------------------


def training_symbol(folder: Path, heads: list[list[int]]) -> MxnetModel:
    """A detector's symbol as it is trained: its targets beside its detections."""
    names = ["cls_prob", "loc_pred", "anchors", "label"]
    nodes = [{"op": "null", "name": name, "inputs": []} for name in names]
    target = {"op": "_contrib_MultiBoxTarget", "name": "target", "attrs": {"overlap_threshold": "0.5"}}
    nodes.append({**target, "inputs": [[2, 0, 0], [3, 0, 0], [0, 0, 0]]})
    nodes.append({"op": DETECTION, "name": "found", "attrs": {}, "inputs": [[0, 0, 0], [1, 0, 0], [2, 0, 0]]})
    path = folder / "train-symbol.json"
    attrs = {"mxnet_version": ["int", 10901]}
    path.write_text(json.dumps({"nodes": nodes, "arg_nodes": [0, 1, 2, 3], "heads": heads, "attrs": attrs}))
    return MxnetModel(read_symbol(path), {"loc_pred": MOVES, "anchors": BOXES}, {}, "train", (path,))


def test_targets_that_reach_no_output_vanish(tmp_path):
    graph = read_mxnet(training_symbol(tmp_path, [[5, 0, 0]]))
    assert [value.name for value in graph.inputs] == ["cls_prob"]
    assert [value.name for value in graph.outputs] == ["found_output"]


def test_targets_that_reach_an_output_are_refused_by_name(tmp_path):
    with pytest.raises(UnsupportedOperatorsError, match="_contrib_MultiBoxTarget x1: target"):
        read_mxnet(training_symbol(tmp_path, [[5, 0, 0], [4, 0, 0]]))
