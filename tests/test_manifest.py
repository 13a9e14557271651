"""facecvt.json beside targets that are folders: hashes, contract, verdict, the same bytes each time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest

from facecvt import cli
from facecvt.converters.formats.locate import locate
from facecvt.parity_tests.proven import convert_and_verify
from facecvt.parity_tests.support.small_net import small_net

SCHEMA = json.loads(
    (Path(__file__).resolve().parents[1] / "docs" / "schemas" / "manifest.schema.json").read_text(encoding="utf-8")
)


def manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a target, held against its schema and against the files that it names."""
    found: dict[str, Any] = json.loads((folder / "facecvt.json").read_text(encoding="utf-8"))
    jsonschema.validate(found, SCHEMA)
    for entry in found["target"]["files"]:
        content = (folder / entry["name"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
    listed = {entry["name"] for entry in found["target"]["files"]}
    assert listed == {path.name for path in folder.iterdir()} - {"facecvt.json"}
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return small_net().write(tmp_path / "small.onnx")


@pytest.mark.parametrize("target", ["torch", "mxnet", "paddle"])
def test_what_the_manifest_says_of_each_target(target: str, source: Path, tmp_path: Path) -> None:
    done = convert_and_verify(source, "onnx", target, output=tmp_path / "net", color="BGR", verify=False)
    found = manifest(tmp_path / "net")
    assert done.conversion.files[-1] == tmp_path / "net" / "facecvt.json"
    content = source.read_bytes()
    assert found["source"] == {
        "framework": "onnx",
        "files": [
            {"name": "small.onnx", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()},
        ],
    }
    assert found["target"]["framework"] == target
    assert found["inputs"][0]["shape"] == ["batch", 3, 16, 16]
    assert found["inputs"][0]["color"] == "BGR"
    assert found["outputs"] == ["embedding"]
    assert found["verification"]["verdict"] == "not_verified"
    assert str(tmp_path) not in (tmp_path / "net" / "facecvt.json").read_text(encoding="utf-8")
    locate(target, str(tmp_path / "net")) if target != "torch" else None  # the manifest is not taken for a model


def test_the_verdict_and_what_ran_the_target(source: Path, tmp_path: Path, torch_module: Any) -> None:
    done = convert_and_verify(source, "onnx", "torch", output=tmp_path / "net")
    assert done.verification
    found = manifest(tmp_path / "net")
    assert found["verification"] == {
        "verdict": "agree",
        "batches": [1, 2, 3],
        "kinds": ["normal", "image"],
        "layers_compared": done.verification.layers_compared,
        "coverage": {"parametric": 1.0, "taps": 1.0},
    }
    assert found["versions"]["torch"] == str(torch_module.__version__)
    assert found["versions"]["numpy"] == np.__version__


def test_the_same_conversion_gives_the_same_bytes_elsewhere(tmp_path: Path, torch_module: Any) -> None:
    written = []
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        path = small_net().write(tmp_path / place / "small.onnx")
        convert_and_verify(path, "onnx", "torch", output=tmp_path / place / "net")
        written.append((tmp_path / place / "net" / "facecvt.json").read_bytes())
    assert written[0] == written[1]


def test_weights_outside_the_onnx_file_are_listed_too(source: Path, tmp_path: Path) -> None:
    model = onnx.load(source)
    (tmp_path / "out").mkdir()
    moved = tmp_path / "out" / "moved.onnx"
    onnx.save(model, moved, save_as_external_data=True, location="weights.bin", size_threshold=16)
    convert_and_verify(moved, "onnx", "torch", output=tmp_path / "net", verify=False)
    files = manifest(tmp_path / "net")["source"]["files"]
    assert [entry["name"] for entry in files] == ["moved.onnx", "weights.bin"]
    assert files[1]["sha256"] == hashlib.sha256((tmp_path / "out" / "weights.bin").read_bytes()).hexdigest()


def test_every_file_of_separate_weights_is_listed(real_models: Path, tmp_path: Path) -> None:
    folders = [path.parent for path in sorted((real_models / "paddle").rglob("__model__"))]
    folder = next(path for path in folders if len(list(path.iterdir())) > 5)
    code = cli.main(["paddle2mxnet", str(folder), "-o", str(tmp_path / "net"), "--no-verify", "-q"])
    assert code == 0
    files = manifest(tmp_path / "net")["source"]["files"]
    assert {entry["name"] for entry in files} == {path.name for path in folder.iterdir() if path.is_file()}
    assert len(files) == len({entry["name"] for entry in files})


def test_an_onnx_target_has_none(source: Path, tmp_path: Path) -> None:
    convert_and_verify(source, "onnx", "mxnet", output=tmp_path / "net", verify=False)
    convert_and_verify(tmp_path / "net", "mxnet", "onnx", output=tmp_path / "again.onnx", verify=False,
                       inputs={"data": ("batch", 3, 16, 16)})  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"small.onnx", "net", "again.onnx"}
