"""The verifier's own test: its figures on the small net, and that it fails when the verifier is broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import facecvt
from facecvt.cli import main
from facecvt.converters.errors import ConversionError
from facecvt.parity_tests.diff.difference import Divergence
from facecvt.parity_tests.diff.localise import Fault
from facecvt.parity_tests.selftest import run
from facecvt.parity_tests.selftest.result import FaultRun, Selftest, VariantRun
from facecvt.parity_tests.selftest.run import FAULTS, NETS, RARE, selftest

SCHEMA = json.loads((Path(facecvt.__path__[0]) / "docs/schemas/selftest.schema.json").read_text(encoding="utf-8"))
WHOLE = FaultRun("net", "fault", ("layer",), 1.0, 1e-7, "cause", "differ", "layer", "cause", True, True, True)


def document(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> dict[str, Any]:
    """What ``selftest --json`` prints, held against the schema."""
    capsys.readouterr()
    assert main(["selftest", *arguments, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, SCHEMA)
    return found


def test_the_figures_on_the_small_net(ort_module: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, 0, "--arch", RARE)
    assert found["reached"] is True
    assert found["faults"] == found["different_faults"] >= 50
    assert found["detected"] == found["faults"] == found["localised"] == found["named"]
    assert (found["clean_variants"], found["false_alarms"]) == (14, 0)
    assert found["misses"] == []
    assert "least norm" not in {item["fault"] for item in found["not_injectable"]}
    assert {"net", "fault", "reason"} == set(found["not_injectable"][0])


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 80


def blame_the_last_layer(pair: Any, faults: list[Fault], *fed: Any) -> Iterator[tuple[Divergence, None]]:
    """What a localisation does that goes by the greatest error."""
    for fault in faults:
        yield Divergence(replace(fault, a=pair.alignment.pairs[-1].layer.value), None), None


@pytest.mark.parametrize(
    ("broken", "replacement", "figure"),
    [
        ("compare.explained", blame_the_last_layer, "localised"),
        ("explain.diagnose", lambda case: None, "named"),
    ],
)
def test_a_broken_verifier_is_found_out(
    ort_module: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
    replacement: Any,
    figure: str,
) -> None:
    monkeypatch.setattr(f"facecvt.parity_tests.diff.{broken}", replacement)
    found = document(capsys, 1, "--arch", RARE)
    assert found["reached"] is False
    assert found["detected"] == found["faults"]
    assert found[figure] < 0.5 * found["faults"]
    assert any(text.startswith(figure) for text in found["shortfalls"])
    assert len(found["misses"]) >= 40


def test_a_model_that_is_refused_does_not_agree(ort_module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any) -> None:
        raise ConversionError("not today")

    monkeypatch.setattr(run, "opened_against", refuse)
    with run.open_net(RARE) as bench:
        fault, variant = bench.run_fault(FAULTS[0]), bench.run_variant(run.VARIANTS[0])
    assert fault.injected
    assert fault.verdict == "refused: not today"
    assert (fault.detected, fault.localised, fault.named) == (True, False, False)
    assert variant == VariantRun(RARE, "as it is", "refused", ("not today",))


def test_the_figures_decide() -> None:
    faults = tuple(FaultRun(**{**vars(WHOLE), "fault": f"fault {number}"}) for number in range(50))
    clean = tuple(VariantRun("net", f"variant {number}", "agree") for number in range(8))
    assert Selftest(faults, clean).exit_code == 0
    assert Selftest(faults, clean[:7]).shortfalls == ["7 harmless variants of net, at least 8 are wanted"]
    assert Selftest(faults, (*clean, VariantRun("net", "other", "differ"))).shortfalls == ["1 false alarms"]
    assert Selftest(faults[:39], clean).shortfalls == ["39 different faults injected, at least 40 are wanted"]
    missed = tuple(FaultRun(**{**vars(run), "detected": False}) for run in faults[:2])
    assert Selftest((*missed, *faults[2:]), clean).shortfalls == ["detected 96.0%, at least 98% are wanted"]
    small = FaultRun(**{**vars(WHOLE), "size": 1e-9, "detected": False})
    assert Selftest((*faults, small), clean).misses == []


def test_an_unknown_net_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selftest", "--arch", "resnet"]) == 2
    assert "no selftest of resnet; there are rare, iresnet18" in capsys.readouterr().err


@pytest.mark.slow
def test_the_figures_on_every_net(ort_module: Any, torch_module: Any) -> None:
    found = selftest()
    assert not found.shortfalls
    assert not found.alarms
    assert {fault.net for fault in found.faults} == {variant.net for variant in found.variants} == set(NETS)
    assert len(found.names) == len(FAULTS)
    assert len(found.injected) >= 280
    assert min(found.share(figure) for figure in ("detected", "localised", "named")) >= 0.99
