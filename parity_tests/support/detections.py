"""Faces from the outputs of detectors: boxes are decoded, suppressed, and held against those of the oracle.

    prior     a box of the image's grid: every output row speaks of one; numbered in the order of the rows
    box       the prior moved and scaled as the network says; corners x1, y1, x2, y2 in pixels
    kept      priors whose score is not below the threshold, the best first, without those that overlap a better one

Two models find the same faces when they keep the same priors; how far the corners of their boxes lie apart is measured
besides. Their order is left open: scores of noise may be the same number in float32. Everything here is float64.

Anchors and decoding are those of the detectors' publishers: PaddleDetection's BlazeFace, MediaPipe's BlazeFace,
InsightFace's RetinaFace (anchors of the sides 16 x scale, whose corners are whole pixels and counted in), and the
SSD of Ultra-Light-Fast-Generic-Face-Detector-1MB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from facecvt.parity_tests.source import NumpyArray
from facecvt.reference_models.blazeface.spec import LEVELS as BLAZEFACE_LEVELS
from facecvt.reference_models.blazeface_mediapipe import detection as mediapipe

Outputs = Sequence[NumpyArray]  # of one image, batch axis included
Boxes = tuple[NumpyArray, NumpyArray]  # corners (N, 4) in pixels, scores (N,)
Levels = Sequence[tuple[int, Sequence[int]]]  # step of the grid and sides of its priors, in pixels
CENTRE, EXTENT = 0.1, 0.2  # what an SSD's numbers are multiplied by
ULTRA_LIGHT_LEVELS: Levels = ((8, (10, 16, 24)), (16, (32, 48)), (32, (64, 96)), (64, (128, 192, 256)))
RETINAFACE_LEVELS: Levels = ((32, (512, 256)), (16, (128, 64)), (8, (32, 16)))
RETINAFACE_MIDDLE = 7.5  # of the first anchor: the middle of pixels 0 to 15


@dataclass(frozen=True)
class Found:
    """What one model keeps of one image, the best first.

    Attributes:
        priors: their numbers.
        boxes: corners in pixels, (K, 4).
        scores: (K,).
    """

    priors: tuple[int, ...]
    boxes: NumpyArray
    scores: NumpyArray


@dataclass(frozen=True)
class Detector:
    """How a detector is fed, and how its outputs are read.

    Attributes:
        decode: outputs and (height, width) -> boxes and scores of every prior.
        size: (height, width) that it is used at.
        mean: of a pixel, RGB.
        scale: what the difference is multiplied by.
        least: score from which on a prior counts.
        overlap: intersection over union beyond which two boxes are one face.
    """

    decode: Callable[[Outputs, tuple[int, int]], Boxes]
    size: tuple[int, int]
    mean: tuple[float, float, float]
    scale: float
    least: float = 0.05
    overlap: float = 0.3

    def feed(self, pixels: NumpyArray) -> NumpyArray:
        """An image (H, W, 3) in RGB as the network's input, (1, 3, H, W), float32."""
        scaled = (pixels.astype(np.float64) - self.mean) * self.scale
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], dtype=np.float32)

    def find(self, outputs: Outputs) -> Found:
        """The faces of one image, from the network's outputs in its order."""
        boxes, scores = self.decode([np.asarray(output, np.float64) for output in outputs], self.size)
        kept = suppress(boxes, scores, self.least, self.overlap)
        return Found(tuple(kept), boxes[kept], scores[kept])


def suppress(boxes: NumpyArray, scores: NumpyArray, least: float, overlap: float) -> list[int]:
    """Greedy suppression: numbers of the boxes that are kept, the best first; of equal ones the first."""
    rest = [int(place) for place in np.argsort(-scores, kind="stable") if scores[place] >= least]
    kept = []
    while rest:
        best, *rest = rest
        kept.append(best)
        near = mediapipe.overlaps(boxes[best], boxes[rest]) > overlap
        rest = [place for place, covered in zip(rest, near, strict=True) if not covered]
    return kept


def greatest_distance(ours: Found, theirs: Found) -> float | None:
    """Greatest distance of two corners in pixels; None where not the same priors are kept."""
    if set(ours.priors) != set(theirs.priors):
        return None
    apart = ours.boxes[np.argsort(ours.priors)] - theirs.boxes[np.argsort(theirs.priors)]
    return float(np.abs(apart).max(initial=0.0))


def cells(step: int, size: tuple[int, int]) -> NumpyArray:
    """Row and column of every cell of a grid, (cells, 2), row by row."""
    rows, columns = (-(-side // step) for side in size)
    grid: NumpyArray = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1)
    return grid.reshape(-1, 2)


def squares(levels: Levels, size: tuple[int, int], *, fitted: bool = False) -> NumpyArray:
    """Square priors around the middles of their cells: x, y, width, height in pixels, (N, 4).

    Args:
        levels: steps and sides.
        size: height and width of the image.
        fitted: whether cells share the image out, where it is no multiple of the step; else they are as wide as it.
    """
    found = []
    for step, sides in levels:
        grid = cells(step, size)
        cell = np.asarray(size) / (grid.max(axis=0) + 1) if fitted else np.array([step, step])
        middles = np.repeat(((grid + 0.5) * cell)[:, ::-1], len(sides), axis=0)
        extents = np.tile(np.asarray(sides, np.float64), len(middles) // len(sides))
        found.append(np.column_stack([middles, extents, extents]))
    return np.concatenate(found)


def corners(middle: NumpyArray, extent: NumpyArray) -> NumpyArray:
    return np.concatenate([middle - extent / 2, middle + extent / 2], axis=-1)


def moved(priors: NumpyArray, regressed: NumpyArray) -> NumpyArray:
    """An SSD's boxes: priors (x, y, width, height) moved and scaled; corners in the priors' unit."""
    middle = priors[:, :2] + regressed[:, :2] * CENTRE * priors[:, 2:]
    return corners(middle, np.exp(regressed[:, 2:] * EXTENT) * priors[:, 2:])


def softmax(raw: NumpyArray) -> NumpyArray:
    grown = np.exp(raw - raw.max(axis=-1, keepdims=True))
    chances: NumpyArray = grown / grown.sum(axis=-1, keepdims=True)
    return chances


def decode_port(outputs: Outputs, size: tuple[int, int]) -> Boxes:
    """BlazeFace of PaddleDetection, both levels joined: boxes (1, N, 4), probabilities (1, N, 2), the face's first."""
    boxes, chances = outputs
    return moved(squares(BLAZEFACE_LEVELS, size), boxes[0]), chances[0, :, 0]


def decode_levels(outputs: Outputs, size: tuple[int, int]) -> Boxes:
    """BlazeFace of PaddleDetection as its head returns it: boxes and raw scores of two levels, and their priors."""
    boxes, raw = (np.concatenate([outputs[place][0], outputs[place + 1][0]]) for place in (0, 2))
    priors = np.concatenate([outputs[place].reshape(-1, 4) for place in (4, 5)])
    placed = np.concatenate([(priors[:, :2] + priors[:, 2:]) / 2, priors[:, 2:] - priors[:, :2]], axis=1)
    return moved(placed, boxes) * (size[1], size[0], size[1], size[0]), softmax(raw)[:, 0]


def decode_ultra_light(outputs: Outputs, size: tuple[int, int]) -> Boxes:
    """Boxes that the graph has decoded, as shares of the image; the face's probability comes second."""
    chances, boxes = outputs
    return boxes[0] * (size[1], size[0], size[1], size[0]), chances[0, :, 1]


def decode_ultra_light_raw(outputs: Outputs, size: tuple[int, int]) -> Boxes:
    """The same where the graph ends in front of the decoding."""
    chances, boxes = outputs
    return moved(squares(ULTRA_LIGHT_LEVELS, size, fitted=True), boxes[0]), chances[0, :, 1]


def decode_mediapipe(outputs: Outputs, size: tuple[int, int]) -> Boxes:
    """BlazeFace of MediaPipe."""
    regressors, raw = outputs
    found = mediapipe.decode(regressors, size[0])[0]
    return found[:, [1, 0, 3, 2]] * size[0], mediapipe.probabilities(raw)[0]


def decode_retinaface(outputs: Outputs, size: tuple[int, int]) -> Boxes:
    """RetinaFace: probabilities (1, 4, H, W), boxes (1, 8, H, W) and landmarks of three levels, the coarsest first."""
    boxes, scores = [], []
    for (step, sides), chances, regressed in zip(RETINAFACE_LEVELS, outputs[::3], outputs[1::3], strict=True):
        each = len(sides)
        middles = np.repeat(cells(step, size)[:, ::-1] * step + RETINAFACE_MIDDLE, each, axis=0)
        extents = np.tile(np.asarray(sides, np.float64), len(middles) // each)[:, None]
        numbers = regressed[0].transpose(1, 2, 0).reshape(-1, 4)
        middle, extent = middles + numbers[:, :2] * extents, np.exp(numbers[:, 2:]) * extents
        boxes.append(corners(middle, extent - 1))
        scores.append(chances[0, each:].transpose(1, 2, 0).reshape(-1))
    return np.concatenate(boxes), np.concatenate(scores)


PHOTOS = ("images/blazeface_1face.png", "images/minifas_T1.jpg")  # below the folder of real models
SMALL, LARGE, WIDE = (128, 128), (640, 640), (240, 320)
MIDDLE = (127.0, 127.0, 127.0)
PADDLE_DETECTION = ((123.0, 117.0, 104.0), 1 / 127.502231)
MEDIAPIPE = ((127.5, 127.5, 127.5), 1 / 127.5)
BLACK = ((0.0, 0.0, 0.0), 1.0)

# Real model -> how it is used.
REAL_DETECTORS: Mapping[str, Detector] = MappingProxyType(
    {
        "retinaface": Detector(decode_retinaface, WIDE, *BLACK, overlap=0.4),
        "rfb320": Detector(decode_ultra_light, WIDE, MIDDLE, 1 / 128),
        "rfb320-raw": Detector(decode_ultra_light_raw, WIDE, MIDDLE, 1 / 128),
        "slim320": Detector(decode_ultra_light_raw, WIDE, MIDDLE, 1 / 128),
        "blazeface": Detector(decode_port, LARGE, *PADDLE_DETECTION),
        "blazeface-sim": Detector(decode_port, LARGE, *PADDLE_DETECTION),
        "mediapipe-front": Detector(decode_mediapipe, SMALL, *MEDIAPIPE),
        "mediapipe-back": Detector(decode_mediapipe, (256, 256), *MEDIAPIPE),
        "blazeface-pth": Detector(decode_levels, SMALL, *PADDLE_DETECTION),
        "blazeface-pt": Detector(decode_port, SMALL, *PADDLE_DETECTION),
        "fpn-ssh-pt": Detector(decode_port, SMALL, *PADDLE_DETECTION),
    }
)
# Reference architecture -> the same; its weights are seeded, so that boxes lie where noise has them.
REFERENCE_DETECTORS: Mapping[str, Detector] = MappingProxyType(
    {name: Detector(decode_levels, SMALL, *PADDLE_DETECTION) for name in ("blazeface", "blazeface_fpn_ssh")}
)
