"""The verdict on each layer by itself: what all layers together cost in float32 hides none that is wrong by little."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from facecvt.parity_tests.diff import compare as comparing
from facecvt.parity_tests.diff.compare import diff
from facecvt.parity_tests.diff.own_floor import own_floors, with_own_verdict
from facecvt.parity_tests.diff.weight_changes import change_of
from facecvt.parity_tests.metrics import Metrics
from facecvt.parity_tests.support.small_net import SmallNet, fold, small_net
from facecvt.parity_tests.tolerance import UNIT_ROUNDING
from facecvt.parity_tests.verification import TensorResult, Verification

FOLDABLE = [("conv0", "bn0"), ("conv1", "bn2"), ("conv2", "bn3"), ("conv3", "bn4"), ("fc", "embedding")]


def off(factor: float) -> SmallNet:
    """The small net whose last BatchNormalization but one is off by a factor."""
    net = small_net()
    net.weights["bn4_gamma"] = (net.weights["bn4_gamma"].astype(np.float64) * (1.0 + factor)).astype(np.float32)
    return net


@pytest.fixture
def a(tmp_path: Path) -> Path:
    return small_net().write(tmp_path / "a.onnx")


def test_a_layer_hidden_by_the_others_is_found(a: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off by 2e-6: 8 floors of the model up to there, 24 of the layer itself."""
    b = off(2e-6).write(tmp_path / "b.onnx")
    found = diff(a, b)
    assert (found.verdict, found.diverges_at, found.exit_code) == ("differ", "bn4", 1)
    assert found.fault is not None
    assert found.fault.own.rel_rmse == pytest.approx(2e-6, rel=0.1)
    assert UNIT_ROUNDING <= found.fault.floor < 0.5 * found.fault.result.floor
    (reason,) = found.verification.reasons
    assert reason.startswith("1 layer(s) of B are wrong by themselves, first bn4 (BatchNormalization): by itself its")
    assert "run from their inputs the models agree so far" in reason
    assert [layer.name for layer in found.verification.layers if layer.verdict == "differ"] == ["bn4"]
    assert all(output.verdict == "agree" for output in found.verification.outputs)
    monkeypatch.setattr(comparing, "own_floors", lambda *_: {})
    assert diff(a, b).verdict == "agree"


def test_what_is_rounding_stays_clean(a: Path, tmp_path: Path) -> None:
    """A tenth of that is rounding of one number in float32, and nothing says otherwise."""
    assert diff(a, off(2e-7).write(tmp_path / "b.onnx")).verdict == "agree"


@pytest.mark.parametrize("seed", range(4))
def test_the_margin_of_folded_norms(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folding rounds every weight: by itself no layer costs more than 3 of its own floors (10 are allowed)."""
    seen: list[float] = []

    def looked_at(found: Verification, own: dict[str, Metrics], floors: dict[str, float]) -> Verification:
        seen.extend(own[name].rel_rmse / floor for name, floor in floors.items())
        return with_own_verdict(found, own, floors)

    monkeypatch.setattr(comparing, "with_own_verdict", looked_at)
    net = small_net(seed)
    for conv, norm in FOLDABLE:
        fold(net, conv, norm)
    found = diff(small_net(seed).write(tmp_path / "a.onnx"), net.write(tmp_path / "b.onnx"))
    assert found.verdict == "agree", found.verification.reasons
    assert len(seen) == len(net.nodes)
    assert 0.5 < max(seen) < 3.0


def metrics(rel_rmse: float, elements: int = 1000, problem: str | None = None) -> Metrics:
    return Metrics(rel_rmse, 0.0, 0.0, None, elements, problem=problem)


def layer(name: str, floor: float = 1e-6, verdict: str = "agree") -> TensorResult:
    return TensorResult(name, name, "Conv", name, 0, True, verdict, "", metrics(1e-6), "normal", 2, floor)  # type: ignore[arg-type]


def test_a_floor_is_measured_or_not_there() -> None:
    clean = {
        "usual": metrics(2e-7),
        "exact": metrics(0.0),
        "few": metrics(2e-7, 2 * 63),
        "enough": metrics(2e-7, 2 * 64),
        "chooses": metrics(1.1e-5),
        "fails": metrics(math.inf, problem="it fails"),
    }
    floors = own_floors([layer(name) for name in [*clean, "unknown"]], clean, 2)
    assert floors == {"usual": 2e-7, "exact": UNIT_ROUNDING, "few": 1e-6, "enough": 2e-7}


def test_only_a_layer_that_was_compared_and_computed_changes_the_verdict() -> None:
    floors, own = {"one": 1e-7}, {"one": metrics(1.1e-6)}
    agreed = Verification("agree", (), layers=(layer("one"),))
    assert with_own_verdict(agreed, own, floors).verdict == "differ"
    assert with_own_verdict(agreed, {"one": metrics(0.9e-6)}, floors) is agreed
    assert with_own_verdict(agreed, {"one": metrics(math.inf, problem="it fails alone")}, floors) is agreed
    assert with_own_verdict(agreed, own, {}) is agreed
    unclear = Verification("not_comparable", ("too little was compared",), layers=(layer("one"),))
    found = with_own_verdict(unclear, own, floors)
    assert (found.verdict, found.exit_code, found.reasons[1]) == ("differ", 1, "too little was compared")
    assert "agree so far" not in found.reasons[0]
    lost = Verification("agree", (), layers=(layer("one", verdict="not_comparable"),))
    assert with_own_verdict(lost, own, floors) is lost


def test_a_small_change_has_no_name_that_it_does_not_deserve() -> None:
    """One number an output is a multiple of itself, and the same weights are in no other layout."""
    right = np.random.RandomState(0).uniform(0.5, 1.5, 16).astype(np.float32)
    wrong = (right.astype(np.float64) * np.linspace(1.0 - 1e-6, 1.0 + 1e-6, 16)).astype(np.float32)
    assert change_of("BatchNormalization", 1, right, wrong) == "other weights"
    assert change_of("Conv", 1, right.reshape(4, 1, 2, 2), wrong.reshape(4, 1, 2, 2)) == "other weights"
