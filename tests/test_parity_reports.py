"""The JSON of a conversion against its published schema, and what a console shows, for every verdict."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from facecvt.converters.contract import InputContract
from facecvt.parity_tests.align import Coverage, Unmapped
from facecvt.parity_tests.metrics import Metrics, Worst
from facecvt.parity_tests.report.console import render_conversion
from facecvt.parity_tests.report.json_report import conversion_document, conversion_json
from facecvt.parity_tests.report.written import written_text
from facecvt.parity_tests.verification import TensorResult, Verdict, Verification, not_verified

SCHEMA = Path(__file__).resolve().parents[1] / "docs" / "schemas" / "conversion.schema.json"
FIGURES = Metrics(3e-7, 1.5e-6, 4e-14, Worst((0, 5), 1.25, 1.250001), 128, scale=1.0)
BROKEN = Metrics(
    math.inf, math.inf, math.inf, Worst((1, 2), 0.5, math.nan), 128, problem="3 of 128 actual are NaN or Inf"
)


def conversion(**changes: Any) -> Any:
    """A Conversion, as far as a report looks at one."""
    contract = InputContract("data", ("batch", 3, 112, 112), "float32", "NCHW", "RGB", (127.5,), (0.0078125,), True)
    made = {
        "source_framework": "mxnet",
        "target_framework": "onnx",
        "source_files": (Path("m-symbol.json"), Path("m-0000.params")),
        "target": Path("m.onnx"),
        "files": [Path("m.onnx")],
        "contracts": [contract],
        "warnings": ["a label was removed"],
        "recognised": None,
    }
    return SimpleNamespace(**{**made, **changes})


def result(name: str, metrics: Metrics | None = FIGURES, verdict: Verdict = "agree", reason: str = "") -> TensorResult:
    return TensorResult(name, f"t:{name}", "BatchNorm", "bn0", 4, True, verdict, reason, metrics, "image", 2, 2e-7)


def verification(verdict: Verdict = "agree", **changes: Any) -> Verification:
    made: dict[str, Any] = {
        "verdict": verdict,
        "reasons": (),
        "batches": (1, 2, 3),
        "kinds": ("normal", "image"),
        "outputs": (result("fc1_output"),),
        "layers": (result("conv0_output"), result("bn0_output")),
        "coverage": Coverage(1.0, 0.96),
    }
    return Verification(**{**made, **changes})


DIFFERENT = verification(
    "differ",
    reasons=("output fc1_output: 3 of 128 actual are NaN or Inf",),
    outputs=(result("fc1_output", BROKEN, "differ", "3 of 128 actual are NaN or Inf"),),
    layers=(result("conv0_output"), result("bn0_output", FIGURES, "differ", "rel-RMSE 3e-7 is too much")),
)
CASES: dict[str, Verification | None] = {
    "agree": verification(),
    "differ": DIFFERENT,
    "an output without partner": verification(
        "differ", reasons=("no partner",), outputs=(result("a", None, "differ", "no partner"),), layers=()
    ),
    "not comparable": verification("not_comparable", reasons=("too little",), unmapped=(Unmapped("x", "not held"),)),
    "no runtime": not_verified("torch is not installed. Install it with: pip install torch", "pip install torch"),
    "not asked": None,
}


@pytest.fixture(scope="module")
def validator() -> Any:
    jsonschema = pytest.importorskip("jsonschema", reason="pip install jsonschema")
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("case", list(CASES))
def test_the_document_is_what_the_schema_says(validator: Any, case: str) -> None:
    text = conversion_json(conversion(), CASES[case])
    assert "NaN" not in text.replace("NaN or Inf", "")
    assert "Infinity" not in text
    validator.validate(json.loads(text))


@pytest.mark.parametrize("contracts", [[], [InputContract("a", ("batch", 3, 8, 8)), InputContract("b", (2,))]])
def test_any_number_of_inputs_is_what_the_schema_says(validator: Any, contracts: list[InputContract]) -> None:
    document = conversion_document(conversion(contracts=contracts), verification())
    validator.validate(json.loads(json.dumps(document)))
    assert len(document["input_contract"]["others"]) == max(0, len(contracts) - 1)


def test_the_schema_refuses_what_is_not_such_a_document(validator: Any) -> None:
    for path, value in (
        (("verification", "verdict"), "fine"),
        (("verification", "outputs"), [{"name": "a"}]),
        (("verification", "coverage", "taps"), 1.5),
        (("schema_version",), "2.0"),
        (("command",), "convert"),
        (("more",), 1),
        (("input_contract", "shape"), None),
    ):
        document = json.loads(conversion_json(conversion(), verification()))
        place = document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        assert not validator.is_valid(document), path


def test_the_document_has_the_keys_of_the_issue_and_its_figures() -> None:
    document = json.loads(conversion_json(conversion(), verification(), model="./m", reference="r50"))
    assert list(document) == [
        "schema_version",
        "command",
        "source",
        "target",
        "input_contract",
        "verification",
        "warnings",
    ]
    assert document["schema_version"] == "1.0"
    assert document["command"] == "mxnet2onnx"
    assert document["source"]["model"] == "./m"
    assert document["source"]["reference"] == "r50"
    assert document["target"]["files"] == ["m.onnx"]
    assert document["input_contract"]["mean"] == [127.5]
    found = document["verification"]
    assert list(found) == ["verdict", "batches", "layers_compared", "coverage", "outputs", "first_divergence"]
    assert (found["verdict"], found["batches"], found["layers_compared"]) == ("agree", [1, 2, 3], 2)
    assert found["coverage"] == {"parametric": 1.0, "taps": 0.96}
    assert found["outputs"] == [
        {
            "name": "fc1_output",
            "rel_rmse": 3e-7,
            "max_abs": 1.5e-6,
            "one_minus_cos": 4e-14,
            "floor": 2e-7,
            "ratio": pytest.approx(1.5),
        }
    ]
    assert found["first_divergence"] is None
    assert document["warnings"] == ["a label was removed"]


def test_a_difference_names_its_layer_and_its_worst_element() -> None:
    document = json.loads(conversion_json(conversion(), DIFFERENT))
    assert document["verification"]["outputs"][0]["rel_rmse"] is None, "infinite is null"
    first = document["verification"]["first_divergence"]
    assert (first["name"], first["operator"], first["target"]) == ("bn0_output", "BatchNorm", "t:bn0_output")
    assert first["worst"] == {"index": [0, 5], "expected": 1.25, "actual": 1.250001}
    assert first["input"] == {"kind": "image", "batch": 2}
    assert "output fc1_output: 3 of 128 actual are NaN or Inf" in document["warnings"]


def test_nobody_asked_is_not_a_verdict_on_the_numbers() -> None:
    document = conversion_document(conversion(), None)
    assert document["verification"]["verdict"] == "not_verified"
    assert any("--no-verify" in warning for warning in document["warnings"])
    missing = conversion_document(conversion(), CASES["no runtime"])
    assert any("pip install torch" in warning for warning in missing["warnings"])
    assert conversion_document(conversion(), DIFFERENT)["verification"]["verdict"] == "differ"


def shown(found: Verification, **options: bool) -> str:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    render_conversion(console, conversion(), found, **options)
    file: Any = console.file
    text: str = file.getvalue()
    return text


def test_the_console_shows_verdict_figures_and_files() -> None:
    text = shown(verification())
    assert text.startswith("agree  mxnet -> onnx, batches 1, 2, 3, random and image-like inputs")
    assert "2 layers compared: 100% of those with weights, 96% of all" in text
    assert "fc1_output" in text
    assert "3.0e-07" in text
    assert "conv0_output" not in text
    assert "warning: a label was removed" in text
    assert text.rstrip().endswith("m.onnx")


def test_the_console_shows_where_it_parts() -> None:
    text = shown(DIFFERENT)
    assert text.startswith("differ")
    assert "first divergence: bn0_output (BatchNorm bn0): rel-RMSE 3e-7 is too much" in text
    assert "worst element [0, 5]: 1.250001 where 1.25 is expected (image-like input, batch 2)" in text
    assert "output fc1_output: 3 of 128 actual are NaN or Inf" in text


def test_quiet_and_verbose() -> None:
    assert "warning" not in shown(verification(), quiet=True)
    everything = shown(CASES["not comparable"], verbose=True)
    assert "conv0_output" in everything
    assert "x: not held" in everything


def test_names_are_shown_as_they_are() -> None:
    """Brackets are markup to the console; a name may hold them."""
    text = shown(
        verification("differ", layers=(result("x[0]/[bold]", FIGURES, "differ", "[red] is off"),)), verbose=True
    )
    assert "first divergence: x[0]/[bold] (BatchNorm bn0): [red] is off" in text


def test_the_console_says_what_would_change_a_missing_runtime() -> None:
    assert "pip install torch" in shown(CASES["no runtime"])


def test_without_verification_the_text_says_so_and_names_the_files() -> None:
    text = written_text(conversion(), quiet=False, color=False)
    assert text.startswith("not verified  mxnet -> onnx\n  the conversion was not verified, because --no-verify")
    assert "warning: a label was removed" in text
    assert text.endswith("m.onnx")
    assert "warning" not in written_text(conversion(), quiet=True, color=False)
    assert written_text(conversion(), quiet=True, color=True).startswith("\x1b[33m\x1b[1mnot verified\x1b[0m")
