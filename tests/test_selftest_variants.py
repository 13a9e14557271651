"""The harmless variants that run a model otherwise do so, and are held: what a wrong one would give raises an alarm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facecvt.parity_tests.runtimes.runtime import Capture, NumpyArray
from facecvt.parity_tests.runtimes.runtime_ort import THREADS, OrtRuntime
from facecvt.parity_tests.selftest import otherwise_run
from facecvt.parity_tests.selftest.clean import VARIANTS
from facecvt.parity_tests.selftest.run import FAULTS, RARE, Bench, open_net

FAULTS_BY_NAME = {fault.name: fault for fault in FAULTS}
VARIANTS_BY_NAME = {variant.name: variant for variant in VARIANTS}


@pytest.fixture(scope="module")
def bench(ort_module: Any) -> Iterator[Bench]:
    with open_net(RARE) as opened:
        yield opened


@pytest.fixture(scope="module")
def model(bench: Bench) -> Path:
    return bench.draft("").write(bench.folder / "whole.onnx")


def options_of(runtime: OrtRuntime) -> Any:
    """What the session was opened with."""
    with runtime:
        return runtime._session.get_session_options()


def test_threads_and_optimisation_are_other_ones(ort_module: Any, model: Path) -> None:
    whole, threaded = options_of(OrtRuntime(model)), options_of(otherwise_run.with_other_threads(model))
    assert {whole.intra_op_num_threads, threaded.intra_op_num_threads} == {1, 2}
    assert whole.intra_op_num_threads == THREADS
    plain, none = options_of(otherwise_run.without_optimisation(model)), ort_module.GraphOptimizationLevel
    assert plain.graph_optimization_level == none.ORT_DISABLE_ALL != whole.graph_optimization_level


def test_row_by_row_sees_one_row_at_a_time(bench: Bench, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fed = {"data": np.random.RandomState(0).uniform(0, 255, (3, 3, 16, 16)).astype(np.float32)}
    with OrtRuntime(model) as runtime:
        whole = runtime.run(fed, ["b/gate"])
    seen = []
    run = OrtRuntime.run

    def watched(self: OrtRuntime, inputs: Mapping[str, NumpyArray], taps: Sequence[str] = ()) -> Capture:
        seen.append(inputs["data"].shape[0])
        return run(self, inputs, taps)

    monkeypatch.setattr(OrtRuntime, "run", watched)
    with otherwise_run.RowByRow(model) as runtime:
        split = runtime.run(fed, ["b/gate"])
    assert seen == [1, 1, 1]
    assert split.outputs.keys() == whole.outputs.keys()
    for name, array in {**whole.outputs, **whole.taps}.items():
        rows = {**split.outputs, **split.taps}[name]
        assert rows.shape == array.shape
        assert rows.shape[0] == 3
        assert np.abs(rows - array).max() < 1e-5 * np.abs(array).max()


def test_what_has_no_rows_is_not_put_together() -> None:
    """BlazeFace gives its priors, which are the same whatever is fed and however many samples."""
    priors, one, other = np.full((3, 4), 0.5), np.zeros((1, 2)), np.ones((1, 2))
    found = otherwise_run.together([{"priors": priors, "scores": one}, {"priors": priors, "scores": other}])
    assert np.array_equal(found["priors"], priors)
    assert np.array_equal(found["scores"], [[0.0, 0.0], [1.0, 1.0]])


def test_rows_that_end_up_elsewhere_raise_an_alarm(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    variant = VARIANTS_BY_NAME["batch row by row"]
    agreed = bench.run_variant(variant)
    assert agreed is not None
    assert (agreed.verdict, agreed.reasons) == ("agree", ())
    together = otherwise_run.together
    monkeypatch.setattr(otherwise_run, "together", lambda runs: together(runs[::-1]))
    turned = bench.run_variant(variant)
    assert turned is not None
    assert turned.verdict == "differ"


def test_a_fault_in_a_layer_that_the_reference_does_not_show(ort_module: Any, torch_module: Any) -> None:
    """BlazeFace's heads in PyTorch show what they give, not the transposition in it; it is sized by what reads it."""
    with open_net("blazeface") as bench:
        turned = bench.run_fault(FAULTS_BY_NAME["height and width exchanged in a transposition"])
        missing = bench.run_fault(FAULTS_BY_NAME["transposition left out"])
    assert turned.layers[0] not in bench.values
    assert turned.injected
    assert 0.5 < turned.size < 0.8
    assert (turned.is_whole, turned.found_cause) == (True, "perm")
    assert (missing.is_whole, missing.found_cause) == (True, f"left out: {missing.layers[0]}")
