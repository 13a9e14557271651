"""Paddle: the boxes of SSD and YOLO detectors.

Source: ``paddle/phi/kernels/cpu/{prior_box,box_coder,multiclass_nms3,yolo_box}_kernel.cc`` of Paddle 3.3.1; the tests
hold each against it. ``density_prior_box`` is gone from Paddle 3: its numbers were recorded from Paddle 2.6.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle.paddle_attributes import Operands, PaddleAttributes, PaddleCompute, paddle_operator
from facecvt.parity_tests.oracle.values import Value

VARIANCES = (0.1, 0.1, 0.2, 0.2)


@paddle_operator("prior_box", operands=("Input", "Image"), outputs=("Boxes", "Variances"))
def define_prior_box(attributes: PaddleAttributes) -> PaddleCompute:
    """One box after the other for every cell, corners over the image's size; the variances beside each."""
    smallest = [float(size) for size in attributes.required("min_sizes")]
    largest = [float(size) for size in attributes.raw("max_sizes") or ()]
    asked = [float(ratio) for ratio in attributes.raw("aspect_ratios") or ()]
    variances = tuple(attributes.raw("variances") or VARIANCES)
    flip, clip = bool(attributes.raw("flip", True)), bool(attributes.raw("clip", True))
    step_w, step_h = float(attributes.raw("step_w", 0.0)), float(attributes.raw("step_h", 0.0))
    offset = float(attributes.raw("offset", 0.5))
    square_second = bool(attributes.raw("min_max_aspect_ratios_order", False))
    ratios: list[float] = [1.0]
    for ratio in asked:
        if not any(abs(ratio - known) < 1e-6 for known in ratios):
            ratios.append(ratio)
            if flip:
                ratios.append(1 / ratio)
    sizes: list[tuple[float, float]] = []
    for number, size in enumerate(smallest):
        between = [(np.sqrt(size * largest[number]),) * 2] if largest else []
        stretched = [(size * np.sqrt(ratio), size / np.sqrt(ratio)) for ratio in ratios]
        if square_second:
            sizes += [(size, size), *between, *stretched[1:]]
        else:
            sizes += [*stretched, *between]

    def compute(x: Operands) -> Sequence[Any]:
        feature, image = x.one("Input"), x.one("Image")
        rows, columns = feature.shape[2:]
        height, width = image.shape[2:]
        by_ratio = step_w == 0 or step_h == 0
        across, down = (width / columns, height / rows) if by_ratio else (step_w, step_h)
        boxes = np.empty((rows, columns, len(sizes), 4), image.dtype)
        for row in range(rows):
            for column in range(columns):
                x0, y0 = (column + offset) * across, (row + offset) * down
                for number, (wide, tall) in enumerate(sizes):
                    corners = (x0 - wide / 2, y0 - tall / 2, x0 + wide / 2, y0 + tall / 2)
                    boxes[row, column, number] = np.divide(corners, (width, height, width, height))
        boxes = np.clip(boxes, 0, 1) if clip else boxes
        return [boxes, np.broadcast_to(np.asarray(variances, boxes.dtype), boxes.shape)]

    return compute


@paddle_operator(legacy=("density_prior_box",), operands=("Input", "Image"), outputs=("Boxes", "Variances"))
def define_density_prior_box(attributes: PaddleAttributes) -> PaddleCompute:
    """Each size density times density times in every cell, at whole distances; cut at the image's edges."""
    sizes = [float(size) for size in attributes.required("fixed_sizes")]
    ratios = [float(ratio) for ratio in attributes.required("fixed_ratios")]
    densities = attributes.integers("densities")
    variances = tuple(attributes.raw("variances") or VARIANCES)
    clip, flat = bool(attributes.raw("clip", False)), bool(attributes.raw("flatten_to_2d", False))
    step_w, step_h = float(attributes.raw("step_w", 0.0)), float(attributes.raw("step_h", 0.0))
    offset = float(attributes.raw("offset", 0.5))

    def compute(x: Operands) -> Sequence[Any]:
        feature, image = x.one("Input"), x.one("Image")
        rows, columns = feature.shape[2:]
        height, width = image.shape[2:]
        by_ratio = step_w == 0 or step_h == 0
        across, down = (width / columns, height / rows) if by_ratio else (step_w, step_h)
        mean_step = int((across + down) / 2)
        found: list[tuple[float, float, float, float]] = []
        for row in range(rows):
            for column in range(columns):
                left, top = (column + offset) * across - mean_step / 2, (row + offset) * down - mean_step / 2
                for size, density in zip(sizes, densities, strict=True):
                    apart = mean_step // density
                    for ratio in ratios:
                        wide, tall = size * ratio**0.5, size / ratio**0.5
                        for place in range(density * density):
                            x0, y0 = left + (place % density + 0.5) * apart, top + (place // density + 0.5) * apart
                            low = max((x0 - wide / 2) / width, 0), max((y0 - tall / 2) / height, 0)
                            found.append((*low, min((x0 + wide / 2) / width, 1), min((y0 + tall / 2) / height, 1)))
        boxes = np.array(found, image.dtype).reshape((-1, 4) if flat else (rows, columns, -1, 4))
        boxes = np.clip(boxes, 0, 1) if clip else boxes
        return [boxes, np.broadcast_to(np.asarray(variances, boxes.dtype), boxes.shape)]

    return compute


@paddle_operator("yolo_box", operands=("X", "ImgSize"), outputs=("Boxes", "Scores"))
def define_yolo_box(attributes: PaddleAttributes) -> PaddleCompute:
    """Anchor by anchor, row by row; zeros where the confidence is too small."""
    anchors = np.reshape(attributes.integers("anchors"), (-1, 2))
    classes, down = int(attributes.required("class_num")), int(attributes.raw("downsample_ratio", 32))
    least, clip = float(attributes.required("conf_thresh")), bool(attributes.raw("clip_bbox", True))
    scale = float(attributes.raw("scale_x_y", 1.0))
    aware, share = bool(attributes.raw("iou_aware", False)), float(attributes.raw("iou_aware_factor", 0.5))

    def logistic(value: Value) -> Value:
        return np.asarray(1 / (1 + np.exp(-value)))

    def compute(x: Operands) -> Sequence[Any]:
        data, pictures = x.one("X"), x.one("ImgSize")
        images, _, rows, columns = data.shape
        count = len(anchors)
        boxes = np.zeros((images, count, rows, columns, 4), data.dtype)
        scores = np.zeros((images, count, rows, columns, classes), data.dtype)
        for image, anchor, row, column in np.ndindex(images, count, rows, columns):
            begin = anchor * (5 + classes) + (count if aware else 0)
            said = data[image, begin : begin + 5 + classes, row, column]
            sure = logistic(said[4])
            if aware:
                sure = sure ** (1 - share) * logistic(data[image, anchor, row, column]) ** share
            if sure < least:
                continue
            tall, wide = (int(size) for size in pictures[image])
            middle = logistic(said[:2]) * scale - (scale - 1) / 2
            x0, y0 = (column + middle[0]) * wide / columns, (row + middle[1]) * tall / rows
            half_w = np.exp(said[2]) * anchors[anchor, 0] * wide / (down * columns) / 2
            half_h = np.exp(said[3]) * anchors[anchor, 1] * tall / (down * rows) / 2
            corners = [x0 - half_w, y0 - half_h, x0 + half_w, y0 + half_h]
            if clip:
                corners = [max(corners[0], 0), max(corners[1], 0), min(corners[2], wide - 1), min(corners[3], tall - 1)]
            boxes[image, anchor, row, column] = corners
            scores[image, anchor, row, column] = sure * logistic(said[5:])
        return [boxes.reshape(images, -1, 4), scores.reshape(images, -1, classes)]

    return compute


@paddle_operator("box_coder", operands=("PriorBox", "PriorBoxVar", "TargetBox"), outputs=("OutputBox",))
def define_box_coder(attributes: PaddleAttributes) -> PaddleCompute:
    """Boxes told as moves of prior boxes (encode), or back (decode); see Paddle's ``vision.ops.box_coder``."""
    decode = str(attributes.raw("code_type", "encode_center_size")) == "decode_center_size"
    pixel = 0 if attributes.raw("box_normalized", True) else 1
    axis, written = int(attributes.raw("axis", 0)), attributes.raw("variance") or ()

    def split(boxes: Value) -> tuple[Value, Value, Value, Value]:
        wide, tall = boxes[..., 2] - boxes[..., 0] + pixel, boxes[..., 3] - boxes[..., 1] + pixel
        return boxes[..., 0] + wide / 2, boxes[..., 1] + tall / 2, wide, tall

    def compute(x: Operands) -> Sequence[Any]:
        prior, target, given = x.one("PriorBox"), x.one("TargetBox"), x.maybe("PriorBoxVar")
        spread = given if given is not None else np.asarray(written or (1, 1, 1, 1), target.dtype)
        if decode:
            along = (slice(None), None) if axis else (None, slice(None))
            px, py, pw, ph = (part[along] for part in split(prior))
            factor = spread[along] if given is not None else spread
            moved = target * factor
            middle_x, middle_y = moved[..., 0] * pw + px, moved[..., 1] * ph + py
            wide, tall = np.exp(moved[..., 2]) * pw, np.exp(moved[..., 3]) * ph
            low, high = (middle_x - wide / 2, middle_y - tall / 2), (middle_x + wide / 2, middle_y + tall / 2)
            return [np.stack([*low, high[0] - pixel, high[1] - pixel], axis=-1)]
        px, py, pw, ph = (part[None] for part in split(prior))
        middle_x, middle_y = (target[:, 0] + target[:, 2]) / 2, (target[:, 1] + target[:, 3]) / 2
        wide, tall = target[:, 2] - target[:, 0] + pixel, target[:, 3] - target[:, 1] + pixel
        moves = [(middle_x[:, None] - px) / pw, (middle_y[:, None] - py) / ph]
        moves += [np.log(np.abs(wide[:, None] / pw)), np.log(np.abs(tall[:, None] / ph))]
        return [np.stack(moves, axis=-1) / spread]

    return compute


@paddle_operator(
    "multiclass_nms3",
    legacy=("multiclass_nms", "multiclass_nms2"),
    operands=("BBoxes", "Scores", "RoisNum"),
    outputs=("Out", "Index", "NmsRoisNum"),
)
def define_multiclass_nms(attributes: PaddleAttributes) -> PaddleCompute:
    """Class by class the best boxes that do not overlap a better one, then the best of all classes of each image."""
    background, top = int(attributes.raw("background_label", 0)), int(attributes.required("nms_top_k"))
    keep, least = int(attributes.required("keep_top_k")), float(attributes.required("score_threshold"))
    overlap = float(attributes.raw("nms_threshold", 0.3))
    if float(attributes.raw("nms_eta", 1.0)) != 1.0:
        raise attributes.refuse("nms_eta", "the oracle does not lower the threshold on the way")
    if not attributes.raw("normalized", True):
        raise attributes.refuse("normalized", "the oracle takes corners as they are, not as pixels")

    def share(first: Value, second: Value) -> float:
        """Intersection over union."""
        low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
        if (high < low).any():
            return 0.0
        both = float(np.prod(high - low))
        whole = float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2])) - both
        return both / whole

    def compute(x: Operands) -> Sequence[Any]:
        boxes, scores = x.one("BBoxes"), x.one("Scores")
        count = boxes.shape[1]
        rows: list[list[float]] = []
        places: list[list[int]] = []
        totals: list[int] = []
        for image in range(len(boxes)):
            found: list[tuple[float, int, int]] = []
            for kind in range(scores.shape[1]):
                if kind == background:
                    continue
                score = scores[image, kind]
                order = [int(box) for box in np.argsort(-score, kind="stable") if score[box] > least]
                chosen: list[int] = []
                for box in order[:top] if top >= 0 else order:
                    if all(share(boxes[image, box], boxes[image, other]) <= overlap for other in chosen):
                        chosen.append(box)
                found += [(float(score[box]), kind, box) for box in chosen]
            if 0 <= keep < len(found):
                found = sorted(found, key=lambda entry: -entry[0])[:keep]
                found.sort(key=lambda entry: entry[1])  # by class, in which the order stays
            rows += [[kind, score, *boxes[image, box]] for score, kind, box in found]
            places += [[image * count + box] for _, _, box in found]
            totals.append(len(found))
        detections = np.array(rows, boxes.dtype).reshape(-1, 6)
        return [detections, np.array(places, np.int32).reshape(-1, 1), np.array(totals, np.int32)]

    return compute
