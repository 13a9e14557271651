"""The verdicts of the parity report on made-up values: what proves nothing never agrees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from facecvt.parity_tests.parity_report.checks import (
    check_depends,
    check_extremes,
    check_rows,
    check_runs,
    check_weights,
    sha256_of,
    weights_of,
)
from facecvt.parity_tests.parity_report.judged import coverage_of, judge_pairs, layers_of
from facecvt.parity_tests.parity_report.measured import Measured
from facecvt.parity_tests.parity_report.native import output_layers
from facecvt.parity_tests.parity_report.result import InputInfo, PairResult
from facecvt.parity_tests.parity_report.runs import EXTREMES, GREAT, INPUTS, LAYERED, SMALL, TURNED, Feed, feeds_of
from facecvt.reference_models import spec

ARCH = spec("blazeface_mediapipe_front")
NAMES = [layer.name for layer in ARCH.layers()]
OUTPUTS = output_layers(ARCH)
FEED = Feed(INPUTS[1], np.zeros(1, np.float32), np.zeros(1, np.float32))


def values(name: str) -> Any:
    """Float64 values of a layer, batch 2."""
    return np.random.default_rng(NAMES.index(name)).standard_normal((2, 8, 4, 4))


def judged(change: Any = lambda name, value: value, keep: Any = lambda name: True) -> PairResult:
    """The pair of the oracle and a net that rounds to float32, but for what is changed or left out."""
    measured = Measured(sides=["oracle", "torch"])
    for name in NAMES:
        exact = values(name)
        single = exact.astype(np.float32)
        measured.add_clean(FEED, name, exact, single)
        if keep(name):
            measured.add(FEED, name, {"oracle": exact, "torch": change(name, single)}, output=name in OUTPUTS)
    shown = {"oracle": frozenset(NAMES), "torch": frozenset(name for name in NAMES if keep(name))}
    layers = layers_of(ARCH, measured)
    (pair,) = judge_pairs(measured, layers, coverage_of(ARCH, measured, shown), [info.name for info in INPUTS])
    return pair


def test_rounding_agrees() -> None:
    pair = judged()
    assert (pair.verdict, pair.compared, pair.differ) == ("agree", len(NAMES), ())
    assert pair.worst_ratio is not None
    assert pair.worst_ratio <= 1


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (lambda value: np.full_like(value, np.nan), "NaN or Inf"),
        (lambda value: value * np.float32(1 + 1e-5), "times the floor"),
        (lambda value: np.zeros_like(value), "times the floor"),
        (lambda value: value[:1], "shape"),
        (lambda value: np.empty(0, np.float32), "shape"),
    ],
)
@pytest.mark.parametrize("name", [NAMES[7], OUTPUTS[-1]])
def test_a_layer_that_is_off(name: str, what: Any, reason: str) -> None:
    pair = judged(lambda layer, value: what(value) if layer == name else value)
    assert pair.verdict == "differ"
    assert len(pair.differ) == 1
    assert f"first {name}: " in pair.reason
    assert reason in pair.reason


@pytest.mark.parametrize(("info", "verdict"), [(INPUTS[1], "differ"), (INPUTS[-1], "agree")])
def test_absolute_limits_hold_for_what_a_net_is_fed_in_use(info: InputInfo, verdict: str) -> None:
    """float32 costs 1.6e-5 here: a cosine of 1.3e-10, beyond the limit, and one floor."""
    measured = Measured(sides=["oracle", "torch"])
    random = np.random.default_rng(0)
    feed = replace(FEED, info=info)
    for name in NAMES:
        exact = values(name)
        clean, side = (exact + 1.6e-5 * random.standard_normal(exact.shape) for _ in range(2))
        measured.add_clean(feed, name, exact, clean)
        measured.add(feed, name, {"oracle": exact, "torch": side}, output=name in OUTPUTS)
    shown = {side: frozenset(NAMES) for side in measured.sides}
    layers = layers_of(ARCH, measured)
    (pair,) = judge_pairs(measured, layers, coverage_of(ARCH, measured, shown), [one.name for one in INPUTS])
    assert pair.verdict == verdict
    assert "beyond the limits of an output" in pair.reason or verdict == "agree"
    assert [output.one_minus_cos is None for output in pair.outputs] == [verdict == "agree"] * len(OUTPUTS)


def test_what_is_not_compared_does_not_agree() -> None:
    assert judged(keep=lambda name: False).verdict == "not_comparable"
    without = judged(keep=lambda name: name != OUTPUTS[0])
    assert (without.verdict, OUTPUTS[0] in without.reason or "output" in without.reason) == ("not_comparable", True)
    few = judged(keep=lambda name: name in OUTPUTS or ".convs" not in name)
    assert (few.verdict, "of the layers with weights" in few.reason) == ("not_comparable", True)


def test_runs() -> None:
    x = np.ones((1, 3), np.float32)
    verdicts = lambda run: [check.verdict for check in check_runs("torch", run, x)]  # noqa: E731
    assert verdicts(lambda fed: [fed * 2, fed + 1]) == ["agree", "agree"]
    held = np.zeros((2, 3), np.float32)

    def reused(fed: Any) -> list[Any]:
        held[: len(fed)] = fed
        return [held[: len(fed)]]

    assert verdicts(reused) == ["agree", "differ"]
    assert verdicts(lambda fed: [fed]) == ["agree", "differ"]
    assert verdicts(lambda fed: [held[:1], held[:1]]) == ["agree", "differ"]
    random = np.random.default_rng(0)
    assert verdicts(lambda fed: [random.standard_normal(3)]) == ["differ", "agree"]


def test_rows_and_dependence() -> None:
    samples = np.random.default_rng(0).standard_normal((3, 5))
    fed = {SMALL: [samples[:1]], LAYERED: [samples[[1, 0]]], GREAT: [samples[[2, 0, 1]]], TURNED: [samples[[0, 1]]]}
    assert [check.verdict for check in check_rows("torch", fed, [1e-7])] == ["agree", "agree"]
    assert check_depends("torch", fed, [True]).verdict == "agree"
    batches, permuted = check_rows("torch", fed | {GREAT: [samples[[2, 0, 1]] * (1 + 1e-5)]}, [1e-7])
    assert (batches.verdict, permuted.verdict) == ("differ", "agree")
    assert batches.figure == pytest.approx(5, rel=0.01)
    assert [check.verdict for check in check_rows("torch", fed | {TURNED: fed[LAYERED]}, [1e-7])][1] == "differ"
    assert {check.verdict for check in check_rows("torch", fed, [None])} == {"not_comparable"}
    still = {name: [np.ones_like(arrays[0])] for name, arrays in fed.items()}
    assert check_depends("torch", still, [True]).verdict == "not_comparable"
    assert check_depends("torch", fed, [False]).verdict == "not_comparable"


def test_extremes_and_weights() -> None:
    fine = {EXTREMES: [np.ones(4)]}
    verdicts = [check_extremes("torch", fine, ratio, "oracle").verdict for ratio in (9.0, 11.0, None)]
    assert verdicts == ["agree", "differ", "not_comparable"]
    assert check_extremes("torch", {EXTREMES: [np.array([np.inf])]}, 1.0, "oracle").verdict == "differ"
    seeded = {"a.weight": np.ones(2, np.float32), "b.weight": np.zeros(1, np.float32)}
    assert check_weights(weights_of("torch", seeded, seeded, sha256_of(seeded))).verdict == "agree"
    other = weights_of("torch", seeded | {"b.weight": -seeded["b.weight"]}, seeded, sha256_of(seeded))
    assert (other.identical, other.other) == (1, ("b.weight",))  # minus zero has another bit
    assert check_weights(replace(other)).verdict == "differ"


def test_what_is_fed_needs_no_rounding() -> None:
    """Nets that normalise inside see the same numbers as those that do not, to the last bit."""
    for feed in feeds_of(spec("r18"), INPUTS, 3):
        assert (feed.pixels.dtype, feed.scaled.dtype) == (np.float32, np.float32)
        exact = (feed.pixels.astype(np.float64) - 127.5) * 0.0078125
        assert np.array_equal(exact, feed.scaled.astype(np.float64))
        assert feed.pixels.shape[0] == feed.info.batch
    loud = feeds_of(spec("r18"), INPUTS, 3)[-1].pixels
    assert [float(np.ptp(row)) for row in loud[:2]] == [0.0, 0.0]
    assert np.ptp(loud[2]) > 2000
