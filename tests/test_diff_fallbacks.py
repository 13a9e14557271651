"""What becomes of ``facecvt diff`` where B does not run as a whole, or ONNX Runtime does not run a part of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facecvt.parity_tests.diff import own_error
from facecvt.parity_tests.diff.compare import diff
from facecvt.parity_tests.diff.layer import CutLayers
from facecvt.parity_tests.diff.model import open_side
from facecvt.parity_tests.diff.own_error import OwnErrors
from facecvt.parity_tests.runtimes.runtime import RunFailedError
from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime
from facecvt.parity_tests.support.small_net import small_net


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fallbacks")
    small_net().write(folder / "a.onnx")
    return folder


def test_where_b_does_not_run_its_layers_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One layer may keep B from running; each alone still runs, and the one at fault is named."""
    net = small_net()
    net.node("bn2").attributes["epsilon"] = 1e-3
    wrong = net.write(folder / "b.onnx")

    def refuse(*_: Any) -> Any:
        raise RunFailedError("onnxruntime cannot run b.onnx: refused")

    monkeypatch.setattr(OrtRuntime, "run", refuse)
    found = diff(folder / "a.onnx", wrong)
    assert found.verdict == "differ"
    assert found.verification.reasons[0] == "onnxruntime cannot run b.onnx: refused"
    assert [(each.fault.a, each.cause.name if each.cause else None) for each in found.divergences] == [
        ("bn2", "epsilon")
    ]
    assert found.own.keys() == {node.output for node in net.nodes}


def test_a_size_that_is_off_is_the_fault_of_one_layer(folder: Path) -> None:
    """Behind it every value has another size, yet by itself every other layer is right."""
    one, other = small_net(), small_net()
    for net in (one, other):
        net.outputs = ["pool1"]
        net.nodes = [node for node in net.nodes if node.output not in ("flat", "fc", "embedding")]
    other.node("pool0").attributes["strides"] = [1, 1]
    found = diff(one.write(folder / "one.onnx"), other.write(folder / "other.onnx"))
    assert [(each.fault.a, each.cause.name if each.cause else None) for each in found.divergences] == [
        ("pool0", "strides")
    ]
    assert found.divergences[0].fault.own.problem == "shape [2, 8, 7, 7] where [2, 8, 4, 4] is expected"


def test_a_layer_that_fails_on_what_a_computes_is_at_fault(folder: Path) -> None:
    """In the middle of a part that is refused as a whole, the others still get their figures."""
    with open_side(folder / "a.onnx") as side:
        own = OwnErrors(side.graph, {"bn0": (1, 8, 8, 8), "act0": (1, 8, 8, 8), "bn1": (1, 8, 8, 8)}, {})
        random = np.random.RandomState(0)
        own.take("bn0", "bn0", random.standard_normal((1, 8, 8, 8)))
        own.take("act0", "act0", np.ones((1, 8, 8, 8)))
        own._given["bn0"] = np.ones((1, 5, 8, 8), np.float32)  # 8 slopes do not fit 5 channels
        own.take("bn1", "bn1", np.ones((1, 8, 8, 8)))
        own.flush()
    assert "it fails on what A computes" in (own.metrics["act0"].problem or "")
    assert own.metrics["bn1"].problem is None


def test_the_oracle_computes_what_onnxruntime_refuses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    same = diff(folder / "a.onnx", folder / "a.onnx", isolate=True)

    def refuse(*_: Any) -> Any:
        raise RunFailedError("onnxruntime cannot run B layer by layer: refused")

    monkeypatch.setattr(own_error, "run_onnxruntime", refuse)
    found = diff(folder / "a.onnx", folder / "a.onnx", isolate=True)
    assert found.verdict == "agree"
    assert "are the oracle's in float32: onnxruntime cannot run B" in found.verification.warnings[-1]
    assert found.own.keys() == same.own.keys()
    assert max(own.rel_rmse for own in found.own.values()) < 1e-6
    net = small_net()
    net.node("bn2").attributes["epsilon"] = 1e-3
    assert diff(folder / "a.onnx", net.write(folder / "d.onnx")).diverges_at == "bn2"


def test_parts_of_any_size_give_the_same_figures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layer by layer, and everything in one part: no layer sees another."""
    figures = []
    for most in (0, 1 << 40):
        monkeypatch.setattr(own_error, "MOST_BYTES", most)
        found = diff(folder / "a.onnx", folder / "a.onnx", isolate=True)
        figures.append({name: own.rel_rmse for name, own in found.own.items()})
    assert figures[0] == figures[1]
    assert len(figures[0]) == len(small_net().nodes)


def test_a_constant_without_axes_stays_one() -> None:
    """As a vector of one it makes Gather give a rank more, and ONNX Runtime refuses what follows."""
    layers = CutLayers([], {"index": np.array(1), "list": np.array([1])}, ["x"], ["y"])
    assert [list(constant.dims) for constant in layers.proto().graph.initializer] == [[], [1]]
