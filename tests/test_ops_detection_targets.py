"""Priors, coded boxes and counted numbers of every source against both targets."""

import numpy as np
import pytest

from facecvt.parity_tests.support.operator_cases import Case, mxnet, paddle, spread, uncovered
from facecvt.parity_tests.support.single_op import random_array
from facecvt.parity_tests.support.single_op_targets import read_sample

FEATURE, IMAGE = random_array(1, 2, 3, 4), random_array(1, 3, 25, 30)
LOW = random_array(5, 2, low=0.0, high=2.0)
CORNERS = np.concatenate([LOW, LOW + random_array(5, 2, low=0.5, high=3.0, seed=1)], axis=1)
SPREAD = random_array(5, 4, low=0.1, high=0.3)
MOVES = random_array(3, 5, 4)
TARGETS = CORNERS[:3] + random_array(3, 4, low=0.0, high=0.2)
FREE = {"x": [-1, 2, -1, -1], "y": [-1, 3, -1, -1]}
PRIOR = "paddle.vision.ops.prior_box(x, y, "
CODER = "paddle.vision.ops.box_coder(x, "
PRIORS = [
    "min_sizes=[4., 6.], steps=[8., 8.])",
    "min_sizes=[4.], clip=True, flip=True, aspect_ratios=[2., 1., 3.])",
    "min_sizes=[4., 8.], max_sizes=[9., 16.], aspect_ratios=[2.], steps=[6., 9.], offset=.25, variance=[.1] * 4)",
    "min_sizes=[4., 8.], max_sizes=[9., 16.], aspect_ratios=[2.], flip=True, min_max_aspect_ratios_order=True)",
]

HEAD = random_array(2, 14, 3, 4)  # two anchors of two classes
PICTURES = np.int32([[90, 70], [64, 128]])
YOLO = "paddle.vision.ops.yolo_box(x, y, "
YOLOS = [
    (HEAD, "[10, 13, 33, 23], 2, 0.4, 32)"),
    (HEAD, "[10, 13, 33, 23], 2, 0.01, 16, clip_bbox=False, scale_x_y=1.2)"),
    (random_array(2, 16, 3, 4), "[10, 13, 33, 23], 2, 0.3, 8, iou_aware=True, iou_aware_factor=0.4)"),
    (random_array(2, 18, 2, 2), "[10, 13, 16, 30, 33, 23], 1, 0.5, 32, scale_x_y=1.05)"),
]

CASES: list[Case] = [
    *(
        case
        for free in (False, True)
        for head, text in YOLOS
        for case in paddle(
            "yolo_box",
            "yolo_box",
            YOLO + text,
            x=head,
            y=PICTURES,
            shapes={"x": [-1, head.shape[1], -1, -1], "y": [-1, 2]} if free else {},
        )
    ),
    *(
        case
        for shapes in (FREE, {})
        for text in PRIORS
        for case in paddle("prior_box", "prior_box", PRIOR + text, x=FEATURE, y=IMAGE, shapes=shapes)
    ),
    *paddle("box_coder", "box_coder", CODER + "y, z, 'encode_center_size')", x=CORNERS, y=SPREAD, z=TARGETS),
    *paddle("box_coder", "box_coder", CODER + "[.1, .1, .2, .2], z, box_normalized=False)", x=CORNERS, z=TARGETS),
    *paddle("box_coder", "box_coder", CODER + "y, z, 'decode_center_size')", x=CORNERS, y=SPREAD, z=MOVES),
    *paddle(
        "box_coder",
        "box_coder",
        CODER + "y, z, 'decode_center_size', box_normalized=False, axis=1)",
        x=CORNERS,
        y=SPREAD,
        z=MOVES.transpose(1, 0, 2).copy(),
    ),
    *paddle(
        "box_coder",
        "box_coder",
        CODER + "[.1, .1, .2, .2], z, 'decode_center_size')",
        x=CORNERS,
        z=MOVES,
        weights=("x",),
    ),
    *mxnet("_contrib_arange_like", IMAGE, axis=2),
    *mxnet("_contrib_arange_like", IMAGE, axis=-1, start=0.5, step=2, repeat=4),
    *mxnet("_contrib_arange_like", FEATURE, start=-1, step=0.25),
]


@pytest.mark.parametrize("case", spread(CASES), ids=str)
def test_detection(case, tmp_path):
    case.hold(tmp_path)


def test_every_operator_has_a_case():
    assert uncovered(CASES, ["detection", "ranges", "yolo"]) == {}


def test_priors_of_known_sizes_are_constants(tmp_path):
    """And those of free sizes are computed, from two shapes."""
    (legacy, _) = paddle("prior_box", "prior_box", PRIOR + PRIORS[0], x=FEATURE, y=IMAGE)
    graph = read_sample(legacy.make(tmp_path))
    assert [node.op_type for node in graph.body if node.op_type not in ("Identity",)] == []
    (legacy, _) = paddle("prior_box", "prior_box", PRIOR + PRIORS[0], x=FEATURE, y=IMAGE, shapes=FREE)
    operators = [node.op_type for node in read_sample(legacy.make(tmp_path)).body]
    assert operators.count("Range") == 2
