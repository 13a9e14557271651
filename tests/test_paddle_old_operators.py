"""Operators of old Paddle programs that Paddle 3.3.1 does not run any more: density_prior_box and the first one_hot.

density_prior_box is held against what Paddle 2.6.2, the last release that has it on this platform, computed
(recorded_density_prior_box.json). The first one_hot puts its result in the place of a last axis of length 1, where
one_hot_v2, which Paddle still runs, adds an axis behind it.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facecvt.converters.formats.paddle_model import PaddleModel
from facecvt.converters.formats.paddle_program import PaddleOp, PaddleProgram, PaddleVar
from facecvt.parity_tests.oracle.paddle_program import PaddleOracle
from facecvt.parity_tests.support.single_op import Sample, paddle_op_sample
from facecvt.parity_tests.support.single_op_targets import compare, hold_targets, read_sample

PRIORS = json.loads(Path(__file__).with_name("recorded_density_prior_box.json").read_text())["cases"]


def priors_sample(case, free: bool) -> Sample:
    """A program of the one operator; ``free`` leaves height and width of map and image open."""
    feeds = {
        "feature": np.zeros((1, 2, *case["cells"]), np.float32),
        "image": np.zeros((1, 3, *case["image"]), np.float32),
    }
    slots = {"Input": ["feature"], "Image": ["image"]}
    results = {"Boxes": ["boxes"], "Variances": ["variances"]}
    attributes = {key: value for key, value in case["attributes"].items() if not key.startswith("op_")}
    op = PaddleOp("density_prior_box", "boxes", slots, results, attributes)
    kind = np.dtype(np.float32)
    variables = {
        name: PaddleVar(name, kind, (-1, array.shape[1], -1, -1) if free else array.shape, False)
        for name, array in feeds.items()
    }
    program = PaddleProgram("legacy", [op], variables, list(feeds), ["boxes", "variances"], [], 0)
    boxes = np.array(case["boxes"], np.float32).reshape(case["shape"])
    spread = np.broadcast_to(np.float32(attributes["variances"]), boxes.shape)
    return Sample(PaddleModel(program, {}, "priors", ()), feeds, [boxes, spread])


@pytest.mark.parametrize("free", [False, True], ids=["known", "free"])
@pytest.mark.parametrize("case", PRIORS, ids=lambda case: case["name"])
def test_density_prior_box(case, free, tmp_path):
    sample = priors_sample(case, free)
    graph = hold_targets(sample, tmp_path, opsets=(11, 21) if free else (13,))
    assert ("Range" in [node.op_type for node in graph.body]) == free


@pytest.mark.parametrize("case", PRIORS, ids=lambda case: case["name"])
def test_density_prior_box_in_the_oracle(case):
    sample = priors_sample(case, free=False)
    compare("the oracle", PaddleOracle(sample.model).run(sample.feeds), sample.expected, 1e-6)


def first_one_hot(folder) -> Sample:
    places = np.int64([[2], [0], [4]])
    sample = paddle_op_sample(folder, "one_hot_v2", {"x": places}, {"X": ["x"]}, {"depth": 5, "dtype": 5})
    (op,) = sample.model.program.ops
    sample.model.program.ops[:] = [replace(op, type="one_hot")]
    sample.expected = [array[:, 0] for array in sample.expected]
    return sample


def test_the_first_one_hot(tmp_path):
    sample = first_one_hot(tmp_path)
    assert sample.expected[0].tolist() == np.eye(5)[[2, 0, 4]].tolist()
    hold_targets(sample, tmp_path)
    compare("the oracle", PaddleOracle(sample.model).run(sample.feeds), sample.expected, 0.0)
    assert "Unsqueeze" not in [node.op_type for node in read_sample(sample).body]
