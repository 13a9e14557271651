"""The same faces after decoding and suppression: every detector in every direction, on two photographs.

A detector's outputs agree in front of the suppression as all outputs do. Whether what is left behind it is the same is
a matter of comparisons, which a rounding may turn; so the source in float64 and the target in its own runtime each find
their boxes, and these are to be the same. The threshold is low, so that boxes of noise
survive as well. What seeded weights find is noise alone, and all the more of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from facecvt.parity_tests.measured_figures import FigureTeller
from facecvt.parity_tests.proven import convert_and_verify
from facecvt.parity_tests.runtimes.open_target import open_target
from facecvt.parity_tests.source import NumpyArray, open_oracle
from facecvt.parity_tests.support.detections import (
    PHOTOS,
    REAL_DETECTORS,
    REFERENCE_DETECTORS,
    Detector,
    Found,
    greatest_distance,
    suppress,
)
from facecvt.parity_tests.support.directions import DIRECTIONS
from facecvt.parity_tests.support.real_models import REAL_MODELS
from facecvt.parity_tests.verify import walk_together
from facecvt.reference_models.blazeface_mediapipe.detection import overlaps
from facecvt.reference_models.materialise import write_reference

if TYPE_CHECKING:
    from facecvt.converters.conversion import Conversion

FACE = np.array([42.3, 28.1, 63.6, 57.0]) / 128  # in the first of them, as a share of its sides
FARTHEST = 1e-3  # pixels that two corners of one box may lie apart
MODELS = {model.key: model for model in REAL_MODELS}
SLOW = {"blazeface", "blazeface-sim", "mediapipe-back", "blazeface-pt", "rfb320", "rfb320-raw", "slim320"}
FRAMEWORK_FIXTURES = {"mxnet": "mxnet_module", "paddle": "paddle_module", "onnx": "ort_module", "torch": "torch_module"}


def photographs(real_models: Path, detector: Detector) -> list[NumpyArray]:
    """The photographs as the detector is fed."""
    image = pytest.importorskip("PIL.Image", reason="pip install pillow")
    height, width = detector.size
    return [
        detector.feed(np.asarray(image.open(real_models / photo).convert("RGB").resize((width, height))))
        for photo in PHOTOS
    ]


def found_by_oracle(conversion: Conversion, detector: Detector, fed: Sequence[NumpyArray]) -> list[Found]:
    """What the source finds in float64."""
    oracle = open_oracle(conversion)
    found = []
    for x in fed:
        outputs, _ = walk_together(oracle, None, {oracle.input_names[0]: x}, lambda name, value, single: None)
        found.append(detector.find([outputs[name] for name in oracle.output_names]))
    return found


def found_by_target(conversion: Conversion, detector: Detector, fed: Sequence[NumpyArray]) -> list[Found]:
    """What the written model finds in its own runtime."""
    with open_target(conversion) as runtime:
        return [detector.find(list(runtime.run({runtime.input_names[0]: x}).outputs.values())) for x in fed]


def hold(
    targets: Sequence[str],
    convert: Callable[[str], Conversion],
    detector: Detector,
    fed: Sequence[NumpyArray],
    figure: FigureTeller,
) -> list[Found]:
    """Every target finds what the oracle finds; returns that."""
    ours: list[Found] = []
    for target in targets:
        conversion = convert(target)
        ours = ours or found_by_oracle(conversion, detector, fed)
        for expected, actual in zip(ours, found_by_target(conversion, detector, fed), strict=True):
            distance = greatest_distance(expected, actual)
            others = set(expected.priors) ^ set(actual.priors)
            assert distance is not None, f"{target}: one of both does not keep the priors {sorted(others)[:9]}"
            assert distance < FARTHEST, target
            figure.total("boxes that are the same after suppression", len(expected.priors))
            figure.worst("corners of the same box apart, pixels", distance)
    return ours


@pytest.mark.parametrize("key", [pytest.param(key, marks=[pytest.mark.slow] * (key in SLOW)) for key in REAL_DETECTORS])
def test_real_detectors_find_the_same_faces(
    key: str, real_models: Path, tmp_path: Path, request: pytest.FixtureRequest, figure: FigureTeller
) -> None:
    model, detector = MODELS[key], REAL_DETECTORS[key]
    for framework in (model.framework, *model.targets):
        request.getfixturevalue(FRAMEWORK_FIXTURES[framework])
    fed = photographs(real_models, detector)
    if len(model.batches) > 1:
        name = "data" if model.framework == "mxnet" else "x"
        model = replace(model, input_shapes={name: ("batch", 3, *detector.size)})
    ours = hold(model.targets, lambda target: model.convert(target, real_models, tmp_path), detector, fed, figure)
    height, width = detector.size
    face = FACE * (width, height, width, height)
    assert ours[0].scores[0] > 0.75, "the face is found"
    assert overlaps(face, ours[0].boxes[:1])[0] > 0.5, "and lies where it is"
    assert all(len(found.priors) > 0 for found in ours)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        pytest.param(name, source, marks=[pytest.mark.slow] * ((name, source) != ("blazeface", "mxnet")))
        for name in REFERENCE_DETECTORS
        for source in DIRECTIONS
    ],
)
def test_reference_detectors_find_the_same_noise(
    name: str, source: str, real_models: Path, tmp_path: Path, request: pytest.FixtureRequest, figure: FigureTeller
) -> None:
    for framework in FRAMEWORK_FIXTURES.values():
        request.getfixturevalue(framework)
    detector = REFERENCE_DETECTORS[name]
    files = write_reference(name, source, tmp_path / "source")
    shape = ("batch", 3, *detector.size)

    def convert(target: str) -> Conversion:
        return convert_and_verify(
            files,
            source,
            target,
            output=tmp_path / (f"{target}.onnx" if target == "onnx" else target),
            inputs={"data" if source == "mxnet" else "x": shape},
            arch=name if source == "torch" else "auto",
            verify=False,
        ).conversion

    ours = hold(DIRECTIONS[source], convert, detector, photographs(real_models, detector), figure)
    assert all(len(found.priors) >= 5 for found in ours)


def test_what_is_kept_is_told_apart() -> None:
    """One score or box that is off, and other priors are kept; a box that is a little off is measured."""
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [0, 0, 10, 3]], np.float64)
    scores = np.array([0.9, 0.8, 0.7, 0.04])

    def found(boxes: NumpyArray, scores: NumpyArray) -> Found:
        kept = suppress(boxes, scores, 0.05, 0.3)
        return Found(tuple(kept), boxes[kept], scores[kept])

    plain = found(boxes, scores)
    assert plain.priors == (0, 2)
    assert greatest_distance(plain, plain) == 0.0
    changes: Mapping[str, tuple[NumpyArray, NumpyArray]] = {
        "the other of two rivals": (boxes, np.array([0.8, 0.9, 0.7, 0.04])),
        "one more": (boxes, np.array([0.9, 0.8, 0.7, 0.06])),
        "no rival any more": (boxes + np.array([[0, 0, 0, 0], [6, 0, 6, 0], [0, 0, 0, 0], [0, 0, 0, 0]]), scores),
    }
    for name, change in changes.items():
        assert greatest_distance(plain, found(*change)) is None, name
    assert greatest_distance(plain, found(boxes, np.array([0.6, 0.5, 0.7, 0.04]))) == 0.0, "another order"
    nudged = boxes.copy()
    nudged[2, 3] += 0.25
    assert greatest_distance(plain, found(nudged, scores)) == 0.25
