"""Every reference architecture from its torch, Paddle and MXNet form to each of the other three formats.

Each target runs in its own framework and is held against the float64 oracle of the source: outputs, inner layers,
coverage. docs/directions.md shows the figures. Where FACECVT_DIRECTIONS names a folder, they are left there as well,
for ``benchmarks/directions.py --take``.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from facecvt.parity_tests.judge import LEAST_PARAMETRIC, LEAST_TAPS
from facecvt.parity_tests.support.directions import (
    BATCHES,
    DIRECTIONS,
    KINDS,
    convert_directions,
    result_of,
    results_of,
)
from facecvt.parity_tests.tolerance import OUTPUT_ONE_MINUS_COS, OUTPUT_REL_RMSE, K
from facecvt.reference_models import names

FAST = ("mobilefacenet",)


@pytest.mark.parametrize("source", DIRECTIONS)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in FAST)) for name in names()]
)
def test_it_agrees_in_every_direction(name, source, tmp_path, torch_module, paddle_module, mxnet_module, ort_module):
    seen = []
    for target, found in convert_directions(name, source, tmp_path):
        seen.append(target)
        leave(result_of(name, source, target, found))
        assert found.verdict == "agree", (target, found.reasons)
        assert (found.batches, found.kinds) == (BATCHES, KINDS)
        assert found.coverage.parametric >= LEAST_PARAMETRIC == 0.95, target
        assert found.coverage.taps >= LEAST_TAPS == 0.80, target
        assert found.layers_compared > 9
        for output in found.outputs:
            assert output.metrics is not None
            assert output.metrics.elements > 0
            assert output.metrics.rel_rmse <= OUTPUT_REL_RMSE == 2e-5, (target, output.name)
            assert output.metrics.one_minus_cos <= OUTPUT_ONE_MINUS_COS == 1e-10, (target, output.name)
            assert output.ratio <= K == 10, (target, output.name)
    assert seen == list(DIRECTIONS[source])


def leave(result):
    """The figures as a file, for the table."""
    folder = os.environ.get("FACECVT_DIRECTIONS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        path = Path(folder) / f"{result.architecture}-{result.direction}.json"
        path.write_text(json.dumps(asdict(result)), encoding="utf-8")


def test_there_are_nine_directions_an_architecture():
    pairs = {(source, target) for source, targets in DIRECTIONS.items() for target in targets}
    formats = {"torch", "paddle", "mxnet", "onnx"}
    assert pairs == {(source, target) for source in formats - {"onnx"} for target in formats - {source}}
    assert len(pairs) == 9


def test_an_error_is_a_result_and_the_next_target_follows(monkeypatch, ort_module):
    """A table with a conversion that is refused says so, and goes on."""
    from facecvt.converters.errors import ConversionError
    from facecvt.parity_tests.support import directions

    whole = directions.convert_and_verify

    def refusing(model, source, target, **options):
        if target == "paddle":
            raise ConversionError("conv0: refused")
        return whole(model, source, target, **options)

    monkeypatch.setattr(directions, "convert_and_verify", refusing)
    refused, converted = results_of("slimfacenet_a_x0_60", "torch", ("paddle", "onnx"))
    assert (refused.direction, refused.verdict, refused.reason) == ("torch2paddle", "refused", "conv0: refused")
    assert np.isinf(refused.rel_rmse)
    assert not refused.agrees
    assert (converted.direction, converted.verdict, converted.reason) == ("torch2onnx", "agree", "")
    assert 1e-8 < converted.rel_rmse < 2e-6
    assert converted.parametric == 1.0
