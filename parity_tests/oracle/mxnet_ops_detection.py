"""MXNet: the boxes of detectors after their network, and what is struck out of them.

Written row by row, as the definition reads. Source: ``src/operator/contrib/{multibox_detection.cc,bounding_box-inl.h}``
of MXNet 1.9.1; the tests hold each against it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle.mxnet_attributes import MxnetAttributes, mxnet_operator
from facecvt.parity_tests.oracle.values import Compute, Value


def _overlap(a: Value, b: Value) -> float:
    """Intersection over union of two boxes as corners; 0 where there is no union."""
    wide, tall = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0.0) * max(tall, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return float(shared / union) if union > 0 else 0.0


def _four(attributes: MxnetAttributes, name: str, default: str) -> list[float]:
    return [float(item) for item in attributes.text(name, default).strip("()[] ").split(",") if item.strip()]


@mxnet_operator("_contrib_MultiBoxDetection")
def define_multibox_detection(attributes: MxnetAttributes) -> Compute:
    """cls_prob (N, C, A), loc_pred (N, 4A), anchors (1, A, 4) -> (N, A, 6)."""
    threshold, limit = attributes.number("threshold", 0.01), attributes.number("nms_threshold", 0.5)
    every, top = attributes.flag("force_suppress", False), attributes.integer("nms_topk", -1)
    clip, variances = attributes.flag("clip", True), _four(attributes, "variances", "0.1,0.1,0.2,0.2")
    attributes.ignore("background_id")  # class 0 whatever it says

    def placed(prior: Value, move: Value) -> list[float]:
        width, height = prior[2] - prior[0], prior[3] - prior[1]
        x = move[0] * variances[0] * width + (prior[0] + prior[2]) / 2
        y = move[1] * variances[1] * height + (prior[1] + prior[3]) / 2
        reach_x = math.exp(move[2] * variances[2]) * width / 2
        reach_y = math.exp(move[3] * variances[3]) * height / 2
        corners = [x - reach_x, y - reach_y, x + reach_x, y + reach_y]
        return [min(max(corner, 0.0), 1.0) for corner in corners] if clip else corners

    def of_image(scores: Value, moves: Value, priors: Value) -> Value:
        rows = np.full((len(priors), 6), -1.0)
        count = 0
        for column, prior, move in zip(scores.T, priors, moves.reshape(-1, 4), strict=True):
            best = int(column[1:].argmax()) + 1
            if column[best] > -1 and column[best] >= threshold:
                rows[count] = [best - 1, column[best], *placed(prior, move)]
                count += 1
        if not 0 < limit <= 1:
            return rows
        order = np.argsort(-rows[:count, 1], kind="stable")
        considered = min(count, top) if top > 0 else count
        rows[:considered] = rows[order[:considered]]
        for i in range(considered):
            for j in range(i + 1, considered):
                rivals = rows[i, 0] >= 0 and rows[j, 0] >= 0 and (every or rows[i, 0] == rows[j, 0])
                if rivals and _overlap(rows[i, 2:], rows[j, 2:]) >= limit:
                    rows[j, 0] = -1
        rows[considered:, 0] = -1
        return rows

    def compute(x: list[Any]) -> Sequence[Any]:
        scores, moves, priors = x
        found = [of_image(image, move, priors[0]) for image, move in zip(scores, moves, strict=True)]
        return [np.stack(found).astype(scores.dtype)]

    return compute


@mxnet_operator("_contrib_box_nms", "_contrib_box_non_maximum_suppression", suffixes=lambda attributes: ("output0",))
def define_box_nms(attributes: MxnetAttributes) -> Compute:
    """Rows of any width in any number of images; the second result, places of the rows, is hidden and not computed."""
    limit, least = attributes.number("overlap_thresh", 0.5), attributes.number("valid_thresh", 0.0)
    top, first = attributes.integer("topk", -1), attributes.integer("coord_start", 2)
    score, kind = attributes.integer("score_index", 1), attributes.integer("id_index", -1)
    background, every = attributes.integer("background_id", -1), attributes.flag("force_suppress", False)
    formats = ("corner", "center")
    given, wanted = (
        attributes.one_of("in_format", "corner", formats),
        attributes.one_of("out_format", "corner", formats),
    )

    def corners(box: Value) -> Value:
        return np.concatenate([box[:2] - box[2:] / 2, box[:2] + box[2:] / 2]) if given == "center" else box

    def converted(box: Value) -> Value:
        if given == wanted or box[0] < 0:  # as if it were a row of -1
            return box
        return np.concatenate([(box[:2] + box[2:]) / 2, box[2:] - box[:2]]) if wanted == "center" else corners(box)

    def of_image(rows: Value) -> Value:
        valid = [row for row in rows if row[score] > least and (kind < 0 or row[kind] != background)]
        valid.sort(key=lambda row: -row[score])
        kept: list[Value] = []
        for row in valid[: top if top > 0 else None]:
            box = corners(row[first : first + 4])
            rivals = [other for other in kept if every or kind < 0 or other[kind] == row[kind]]
            if all(_overlap(corners(other[first : first + 4]), box) <= limit for other in rivals):
                kept.append(row)
        result = np.full_like(rows, -1.0)
        for place, row in enumerate(kept):
            result[place] = row
            result[place, first : first + 4] = converted(row[first : first + 4])
        return result

    def compute(x: list[Any]) -> Sequence[Any]:
        data: Value = x[0]
        if top == 0:
            return [data]
        images = data.reshape(-1, *data.shape[-2:])
        return [np.stack([of_image(image) for image in images]).reshape(data.shape)]

    return compute
