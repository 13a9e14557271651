"""Faces from the outputs of BlazeFace (MediaPipe): anchors, boxes and weighted suppression, in numpy.

    anchors    centres of the cells of a 16x16 map, two at each, then of an 8x8 map, six at each, row by row;
               their width and height are 1, so a regressor's sizes are not scaled by them
    box        regressors r are in input pixels: centre = anchor + r[0:2] / S, size = r[2:4] / S; keypoint k is
               anchor + r[4 + 2k : 6 + 2k] / S; everything is a share of the image's width or height
    score      1 / (1 + exp(-clip(raw, -100, 100)))
    weighted   the boxes that overlap the best one are averaged with their scores as weights, keypoints likewise, and
               the mean of their scores is the face's; the rest goes through the same again

Source: MediaPipe's calculators SsdAnchorsCalculator, TensorsToDetectionsCalculator and NonMaxSuppressionCalculator with
the options of its graphs face_detection_front and face_detection_back.
"""

from __future__ import annotations

from typing import Any

import numpy as np

NumpyArray = np.ndarray[tuple[int, ...], np.dtype[Any]]

MAPS = ((16, 2), (8, 6))  # cells a side, anchors a cell
ANCHORS = sum(side * side * each for side, each in MAPS)
KEYPOINTS = 6  # right eye, left eye, nose tip, mouth centre, right ear, left ear; the person's own right
LARGEST_RAW_SCORE = 100.0
SCORE_THRESHOLDS = {128: 0.75, 256: 0.65}  # by the size of the image
OVERLAP = 0.3


def anchors() -> NumpyArray:
    """Centres (x, y) of the 896 anchors as shares of the image, (896, 2), float64."""
    found = []
    for side, each in MAPS:
        centres = (np.arange(side) + 0.5) / side
        y, x = np.meshgrid(centres, centres, indexing="ij")
        found.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), each, axis=0))
    return np.concatenate(found)


def decode(regressors: NumpyArray, size: int) -> NumpyArray:
    """Boxes and keypoints of every anchor.

    Args:
        regressors: (N, 896, 16), in input pixels relative to the anchors.
        size: height and width of the network's input, 128 or 256.

    Returns:
        (N, 896, 16), float64, as shares of the image: ymin, xmin, ymax, xmax, then x, y of the six keypoints.
    """
    relative = regressors.astype(np.float64) / size
    centre = relative[..., :2] + anchors()
    half = relative[..., 2:4] / 2
    low, high = centre - half, centre + half
    keypoints = relative[..., 4:].reshape(*relative.shape[:2], KEYPOINTS, 2) + anchors()[:, None, :]
    corners = [low[..., 1], low[..., 0], high[..., 1], high[..., 0]]
    return np.concatenate([np.stack(corners, axis=-1), keypoints.reshape(*relative.shape[:2], -1)], axis=-1)


def probabilities(raw: NumpyArray) -> NumpyArray:
    """(N, 896, 1) raw scores as (N, 896) probabilities, float64."""
    limited = np.clip(raw[..., 0].astype(np.float64), -LARGEST_RAW_SCORE, LARGEST_RAW_SCORE)
    chances: NumpyArray = 1 / (1 + np.exp(-limited))
    return chances


def overlaps(box: NumpyArray, others: NumpyArray) -> NumpyArray:
    """Intersection over union of one box (4,) with others (M, 4)."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared: NumpyArray = np.clip(sides, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    shares: NumpyArray = np.divide(shared, areas - shared, out=np.zeros_like(shared), where=areas > shared)
    return shares


def suppress(rows: NumpyArray, overlap: float = OVERLAP) -> NumpyArray:
    """Weighted suppression of one image's rows (M, 17), the score last; what is left, best first."""
    rest = rows[np.argsort(-rows[:, 16], kind="stable")]
    faces = []
    while len(rest):
        near = overlaps(rest[0, :4], rest[:, :4]) > overlap
        near[0] = True  # also a box without area
        group, weights = rest[near], rest[near, 16:]
        face = (group * weights).sum(axis=0) / weights.sum()
        face[16] = weights.mean()
        faces.append(face)
        rest = rest[~near]
    return np.stack(faces) if faces else np.zeros((0, 17))


def detect(
    regressors: NumpyArray, scores: NumpyArray, size: int, threshold: float | None = None, overlap: float = OVERLAP
) -> list[NumpyArray]:
    """The faces of every image.

    Args:
        regressors: (N, 896, 16), first output of the network.
        scores: (N, 896, 1), its second output, raw.
        size: height and width of the network's input, 128 or 256.
        threshold: least probability; by default MediaPipe's for this size.
        overlap: intersection over union from which on two boxes are one face.

    Returns:
        For every image an array (faces, 17), float64, as shares of the image: ymin, xmin, ymax, xmax, x and y of right
        eye, left eye, nose tip, mouth centre, right ear and left ear (the person's own right), and the probability.
    """
    least = SCORE_THRESHOLDS[size] if threshold is None else threshold
    chances = probabilities(scores)
    rows = np.concatenate([decode(regressors, size), chances[..., None]], axis=-1)
    return [suppress(image[chance >= least], overlap) for image, chance in zip(rows, chances, strict=True)]
