"""``facecvt inspect`` on real files of every kind, its numbers, and the published schema of every document."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from facecvt import cli

PROJECT = Path(__file__).resolve().parents[1]
SCHEMA = json.loads((PROJECT / "docs" / "schemas" / "commands.schema.json").read_text(encoding="utf-8"))


def inspect(capsys: pytest.CaptureFixture[str], path: Path, *flags: str) -> dict[str, Any]:
    """The document of one inspection, held against the schema."""
    capsys.readouterr()
    code = cli.main(["inspect", str(path), "--json", *flags])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, SCHEMA)
    assert code == found.get("exit_code", 0)
    return found


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_an_mxnet_model(real_models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = inspect(capsys, real_models / "mxnet" / "insightface-gender-age")
    assert (found["framework"], found["kind"], found["name"]) == ("mxnet", "model", "insightface-gender-age")
    (contract,) = found["inputs"]
    assert (contract["shape"], contract["layout"]) == (["batch", 3, "height", "width"], "NCHW")
    assert (contract["mean"], contract["scale"], contract["in_graph"]) == ([127.5], [0.0078125], True)
    assert [(output["name"], output["shape"]) for output in found["outputs"]] == [("fc1_output", ["batch", 202])]
    operators = {fact["operator"]: fact for fact in found["operators"]}
    assert (operators["BatchNorm"]["count"], operators["Convolution"]["count"]) == (29, 27)
    assert all(fact["readable"] and fact["to_torch"] and not fact["nodes"] for fact in found["operators"])
    weights = found["weights"]
    assert weights["arrays"] == len(weights["list"]) == 146
    assert weights["bytes"] == sum(entry["nbytes"] for entry in weights["list"])
    assert weights["by_dtype"] == {"float32": {"arrays": 146, "elements": 272546, "bytes": 1090184}}
    assert len(found["layers"]) == sum(fact["count"] for fact in found["operators"])
    assert found["problems"] == []


def test_what_would_not_convert_is_listed_with_all_its_nodes(
    real_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = real_models / "mxnet" / "mtcnn-det1"
    text = (source / "det1-symbol.json").read_text().replace('"op": "LeakyReLU"', '"op": "StrangeReLU"')
    (tmp_path / "x-symbol.json").write_text(text.replace('"op": "Pooling"', '"op": "PsRoiPooling"'))
    shutil.copyfile(source / "det1-0001.params", tmp_path / "x-0001.params")
    found = inspect(capsys, tmp_path)
    refused = {fact["operator"]: fact["nodes"] for fact in found["operators"] if not fact["readable"]}
    assert refused == {"StrangeReLU": ["prelu1", "prelu2", "prelu3"], "PsRoiPooling": ["pool1"]}
    assert all(name in found["problems"][0] for name in ("StrangeReLU", "PsRoiPooling", "prelu3", "pool1"))
    assert found["weights"]["arrays"] == 13
    assert cli.main(["inspect", str(tmp_path)]) == 0
    assert "would not convert: " in capsys.readouterr().out


FILES = [
    ("paddle/mtcnn-pdmodel-combined/PNet", "paddle", "model", 15),
    ("paddle/mtcnn-pdmodel-combined/PNet.pdiparams", "paddle", "model", 15),
    ("paddle/mtcnn-old-model-separate/PNet", "paddle", "model", 15),
    ("paddle/mobilefacenet-program-only/head.pdmodel", "paddle", "model", 0),
    ("paddle/blazeface-1000e/blazeface_1000e.pdparams", "paddle", "weights", 198),
    ("onnx/ultra-light-face/version-RFB-320_without_postprocessing.onnx", "onnx", "model", None),
    ("pytorch/minifasnet/4_0_0_80x80_MiniFASNetV1SE.pth", "torch", "weights", 370),
    ("pytorch/ultra-light-face/version-slim-320.pth", "torch", "weights", None),
    ("mxnet/apache-legacy-fixtures/save_000800-e0be90f.json", "mxnet", "model", 0),
]


@pytest.mark.parametrize(("path", "framework", "kind", "arrays"), FILES, ids=lambda value: str(value))
def test_a_file_of_every_kind(
    path: str, framework: str, kind: str, arrays: int | None, real_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = inspect(capsys, real_models / path)
    assert (found["framework"], found["kind"]) == (framework, kind)
    assert arrays is None or found["weights"]["arrays"] == arrays
    assert bool(found["operators"]) == (kind == "model")
    assert bool(found["problems"]) == (kind == "model" and arrays == 0)
    assert cli.main(["inspect", str(real_models / path), "--layers"]) == 0
    out = capsys.readouterr().out
    for weight in found["weights"]["list"]:
        assert weight["name"] in out


def test_weights_alone_of_every_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from facecvt.converters.formats.mxnet_params import write_params
    from facecvt.converters.formats.safetensors_file import write_safetensors
    from facecvt.converters.formats.torch_state import write_state_dict

    arrays = {"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float16)}
    write_params(tmp_path / "x-0000.params", {"a": arrays["a"]}, {"b": arrays["b"]})
    write_state_dict(tmp_path / "x.pth", arrays)
    write_safetensors(tmp_path / "x.safetensors", arrays)
    np.savez(tmp_path / "x.npz", **arrays)
    for name in ("x-0000.params", "x.pth", "x.safetensors", "x.npz"):
        found = inspect(capsys, tmp_path / name)
        assert found["kind"] == "weights"
        facts = {entry["name"]: (entry["shape"], entry["dtype"], entry["nbytes"]) for entry in found["weights"]["list"]}
        assert facts == {"a": ([2, 3], "float32", 24), "b": ([4], "float16", 8)}, name


def test_recognised_architectures(tmp_path: Path, mxnet_module: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from facecvt.reference_models.materialise import write_reference

    write_reference("mobilefacenet", "mxnet", tmp_path)
    found = inspect(capsys, tmp_path)
    assert found["recognised"] == "mobilefacenet"
    assert found["inputs"][0]["color"] == "RGB"


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors", "x.pdparams", "x-0000.params", "x.npz"])
def test_weights_alone_are_recognised(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from facecvt.converters.formats.mxnet_params import write_params
    from facecvt.converters.formats.safetensors_file import write_safetensors
    from facecvt.converters.formats.torch_state import write_state_dict
    from facecvt.reference_models import spec
    from facecvt.reference_models.seeded import seeded_state
    from facecvt.reference_models.weights import split_auxiliary

    net, path = spec("mobilefacenet", embedding_size=256), tmp_path / name
    framework = {".params": "mxnet", ".npz": "mxnet", ".pdparams": "paddle"}.get(path.suffix, "torch")
    state = {key: array.astype(np.float16) for key, array in seeded_state(net, framework).items()}
    if framework == "mxnet" and path.suffix == ".params":
        write_params(path, *split_auxiliary(state, net))
    elif framework == "mxnet":
        np.savez(path, **state)
    elif framework == "paddle":
        path.write_bytes(pickle.dumps(state, protocol=2))
    else:
        write = write_state_dict if path.suffix == ".pth" else write_safetensors
        write(path, {f"module.{key}": array for key, array in state.items()})
    found = inspect(capsys, path)
    assert (found["kind"], found["framework"], found["recognised"]) == ("weights", framework, "mobilefacenet")
    assert found["state"]["exact"]
    assert found["state"]["ambiguous"]
    assert found["state"]["open"] == {"normalize": [True, False] if framework == "torch" else [False, True]}
    assert found["state"]["prefix"] == ("module." if framework == "torch" else "")
    assert all(each["changed"]["embedding_size"] == 256 for each in found["state"]["candidates"])
    assert any("float16" in warning for warning in found["warnings"])
    assert cli.main(["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "2 nets have these names and shapes" in shown
    assert "normalize" in shown


def test_models_of_two_frameworks_need_a_word(
    real_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("det1-symbol.json", "det1-0001.params"):
        shutil.copyfile(real_models / "mxnet" / "mtcnn-det1" / name, tmp_path / name)
    shutil.copyfile(real_models / "onnx" / "ppocr-v2-cls" / "PP_OCR_v2_cls.onnx", tmp_path / "det1.onnx")
    for spelling in (tmp_path, tmp_path / "det1"):
        found = inspect(capsys, spelling)
        assert found["exit_code"] == 2
        assert "--framework" in found["error"]
        assert inspect(capsys, spelling, "--framework", "onnx")["weights"]["arrays"] == 231
        assert inspect(capsys, spelling, "--framework", "mxnet")["weights"]["arrays"] == 13


@pytest.mark.parametrize(
    "arguments",
    [["ops"], ["models"], ["doctor"], ["completion", "bash"], ["completion", "csh"], ["mxnet2onnx", "no-such-model"]],
    ids=" ".join,
)
def test_every_document_has_its_schema(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    cli.main([*arguments, "--json"])
    jsonschema.validate(json.loads(capsys.readouterr().out), SCHEMA)
