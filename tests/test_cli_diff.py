"""``facecvt diff``: exit codes, the published schema, its options, models of other formats."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import facecvt
from facecvt.cli import main
from facecvt.parity_tests.support.small_net import SIZE, write_variants

SCHEMA = json.loads((Path(facecvt.__path__[0]) / "docs/schemas/diff.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.onnx, the same under other names, one with a wrong epsilon, one with other weights."""
    folder = tmp_path_factory.mktemp("diff")
    write_variants(folder)
    return folder


def document(capsys: pytest.CaptureFixture[str], code: int, *arguments: str | Path) -> dict[str, Any]:
    """What ``diff --json`` prints, held against the schema."""
    capsys.readouterr()
    assert main(["diff", *map(str, arguments), "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, SCHEMA)
    return found


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_models_that_agree(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, 0, folder / "a.onnx", folder / "renamed.onnx", "--isolate")
    assert found["verdict"] == "agree"
    assert found["coverage"] == {"parametric": 1.0, "taps": 1.0}
    assert found["first_divergence"] is None
    assert [layer["b"] for layer in found["layers"][:2]] == ["x_conv0", "x_bn0"]
    assert all(0.0 <= layer["own_rel_rmse"] < 2e-6 for layer in found["layers"])


def test_models_that_differ(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, 1, folder / "a.onnx", folder / "wrong.onnx")
    first = found["first_divergence"]
    assert (first["a"], first["b"], first["cause"]) == ("bn2", "bn2", "epsilon")
    assert first["evidence"]["detail"] == "epsilon is 0.001 where A has 2e-05"
    assert first["evidence"]["own_rel_rmse_put_right"] < 1e-6 < first["evidence"]["own_rel_rmse"]


def test_two_runs_give_the_same_document(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (folder / "a.onnx", folder / "wrong.onnx")
    assert document(capsys, 1, *arguments) == document(capsys, 1, *arguments)


def test_two_models_are_not_comparable(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, 5, folder / "a.onnx", folder / "other.onnx")
    assert found["verdict"] == "not_comparable"
    assert not found["layers"]
    assert found["unmapped"]


def test_layers_and_batch_and_seed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = document(capsys, 1, folder / "a.onnx", folder / "wrong.onnx", "--layers", "bn*", "--batch", "3")
    assert {layer["a"] for layer in some["layers"]} == {"bn0", "bn1", "bn2", "bn3", "bn4"}
    assert some["first_divergence"]["a"] == "bn2"
    other = document(
        capsys, 1, folder / "a.onnx", folder / "wrong.onnx", "--layers", "bn*", "--batch", "3", "--seed", "7"
    )
    assert other["layers"][2]["rel_rmse"] != some["layers"][2]["rel_rmse"]


def test_inputs_of_the_user(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = folder / "inputs.npz"
    np.savez(given, anything=np.random.RandomState(0).rand(2, 3, SIZE, SIZE).astype(np.float32))
    assert document(capsys, 0, folder / "a.onnx", folder / "renamed.onnx", "--inputs", given)["verdict"] == "agree"
    np.savez(given, one=np.zeros((1, 3, SIZE, SIZE)), two=np.zeros(1))
    for path in (given, folder / "missing.npz", folder / "a.onnx"):
        assert main(["diff", str(folder / "a.onnx"), str(folder / "renamed.onnx"), "--inputs", str(path)]) == 2
        assert "--inputs" in capsys.readouterr().err


def test_the_text_names_layer_and_cause(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["diff", str(folder / "a.onnx"), str(folder / "wrong.onnx"), "-v"]) == 1
    text = capsys.readouterr().out
    assert text.startswith("differ")
    assert "first divergence: bn2 in A, bn2 in B" in text
    assert "cause: epsilon: epsilon is 0.001 where A has 2e-05" in text


@pytest.mark.parametrize("framework", ["mxnet", "paddle"])
def test_other_formats(
    folder: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest, framework: str
) -> None:
    """The net written for another framework agrees with its ONNX, whichever of the two is the reference."""
    request.getfixturevalue(f"{framework}_module")
    target = folder / framework
    assert main([f"onnx2{framework}", str(folder / "a.onnx"), "-o", str(target), "--no-verify", "--force"]) == 0
    for pair, ran_by in (((folder / "a.onnx", target), framework), ((target, folder / "a.onnx"), "onnxruntime")):
        found = document(capsys, 0, *pair)
        assert found["coverage"]["parametric"] == 1.0
        assert not found["warnings"]
        assert found["environment"]["b"].startswith(f"{ran_by} ")  # and its version
    first = document(capsys, 1, target, folder / "wrong.onnx")["first_divergence"]
    assert first["cause"] == "epsilon"


@pytest.mark.parametrize(("framework", "package"), [("mxnet", "mxnet"), ("paddle", "paddlepaddle")])
def test_without_its_framework_the_oracle_runs_b_and_that_is_said(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    framework: str,
    package: str,
) -> None:
    target = folder / f"{framework}_alone"
    assert main([f"onnx2{framework}", str(folder / "a.onnx"), "-o", str(target), "--no-verify", "--force"]) == 0
    monkeypatch.setitem(sys.modules, framework, None)
    if framework == "paddle":  # whether it is there is asked without importing it
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = document(capsys, 0, folder / "a.onnx", target)
    assert found["environment"]["b"] == "facecvt's oracle in float32"
    (warning,) = found["warnings"]
    assert warning.startswith("B was run by facecvt's oracle in float32, not by its own framework")
    assert "Install it with: pip install" in warning
    assert f"{package}==" in warning


def test_the_document_names_the_worst_element(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, 1, folder / "a.onnx", folder / "wrong.onnx")
    layer = next(layer for layer in found["layers"] if layer["a"] == "bn2")
    worst = layer["worst"]
    assert abs(worst["actual"] - worst["expected"]) == pytest.approx(layer["max_abs"], rel=1e-6)
    assert [0 <= place < size for place, size in zip(worst["index"], (2, 8, 8, 8), strict=True)] == [True] * 4
    assert layer["bits_lost"] == pytest.approx(np.log2(layer["rel_rmse"] / layer["floor"]))
    assert layer["ratio"] == pytest.approx(layer["rel_rmse"] / layer["floor"])
    assert found["causes"] == {"epsilon": 1}
    assert [each["a"] for each in found["divergences"]] == ["bn2"]
