"""ONNX: non-maximum suppression.

Source: the ONNX operator specification, https://onnx.ai/onnx/operators; the tests hold it against the reference
evaluator and ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle.onnx_attributes import OnnxAttributes, onnx_operator
from facecvt.parity_tests.oracle.values import Compute, Value


@onnx_operator("NonMaxSuppression")
def define_non_max_suppression(attributes: OnnxAttributes) -> Compute:
    """Rows (image, class, box): of each class, best first, the boxes that no better kept one overlaps too much."""
    centred = bool(attributes.integer("center_point_box", 0))

    def corners(box: Value) -> tuple[Value, Value]:
        if centred:
            return box[:2] - box[2:] / 2, box[:2] + box[2:] / 2
        return np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:])

    def share(first: tuple[Value, Value], second: tuple[Value, Value]) -> float:
        both = float(np.prod(np.maximum(np.minimum(first[1], second[1]) - np.maximum(first[0], second[0]), 0)))
        whole = float(np.prod(first[1] - first[0]) + np.prod(second[1] - second[0])) - both
        return both / whole if whole > 0 else 0.0

    def number(x: list[Any], place: int, usual: float) -> float:
        given = x[place] if len(x) > place else None
        return usual if given is None else float(np.asarray(given).reshape(-1)[0])

    def compute(x: list[Any]) -> Sequence[Any]:
        most, overlap, least = int(number(x, 2, 0)), number(x, 3, 0.0), number(x, 4, -np.inf)
        rows = []
        for image in range(x[1].shape[0]):
            spans = [corners(box) for box in x[0][image]]
            for kind in range(x[1].shape[1]):
                score = x[1][image, kind]
                chosen: list[int] = []
                for box in np.argsort(-score, kind="stable"):
                    if len(chosen) == most or score[box] <= least:
                        break
                    if all(share(spans[box], spans[other]) <= overlap for other in chosen):
                        chosen.append(int(box))
                rows += [(image, kind, box) for box in chosen]
        return [np.array(rows, np.int64).reshape(-1, 3)]

    return compute
