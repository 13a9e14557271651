"""Conversions from the command line, end to end on real models: files, verdicts, refusals, what is left untouched."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import facecvt
from facecvt import cli

PROJECT = Path(__file__).resolve().parents[1]
SCHEMA = json.loads((PROJECT / "docs" / "schemas" / "conversion.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def det1(real_models: Path, folder: Path) -> Path:
    """MTCNN's P-Net as ``model-symbol.json`` and ``model-0001.params`` in a folder of its own."""
    source = folder / "source"
    source.mkdir()
    shutil.copyfile(real_models / "mxnet" / "mtcnn-det1" / "det1-symbol.json", source / "model-symbol.json")
    shutil.copyfile(real_models / "mxnet" / "mtcnn-det1" / "det1-0001.params", source / "model-0001.params")
    return source / "model"


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command line run in this process."""
    capsys.readouterr()
    code = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def names_in(folder: Path) -> set[str]:
    """Everything in a folder but the source."""
    return {path.name for path in folder.iterdir()} - {"source"}


def digests(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def document(out: str) -> dict[str, Any]:
    """The one JSON document of a conversion, held against the published schema."""
    found: dict[str, Any] = json.loads(out)
    jsonschema.validate(found, SCHEMA)
    return found


def test_to_onnx_with_the_verdict_on_stdout(det1: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = digests(folder)
    code, out, err = run(capsys, "mxnet2onnx", det1)
    assert (code, err) == (0, "")
    assert out.startswith("agree  mxnet -> onnx, batches 1, 2, 3")
    assert "source.onnx" in out  # "model" says nothing, so that the target is named after the folder
    assert names_in(folder) == {"source.onnx"}
    assert {path: digest for path, digest in digests(folder).items() if path in before} == before


def test_json_is_one_document_of_the_published_schema(
    det1: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "mxnet2torch", det1, "-o", "net", "--json")
    found = document(out)
    assert (code, err) == (0, "")
    assert found["command"] == "mxnet2torch"
    assert found["target"]["path"] == "net"
    assert {Path(path).name for path in found["target"]["files"]} == {"model.py", "weights.pth", "facecvt.json"}
    verification = found["verification"]
    assert verification["verdict"] == "agree"
    assert verification["batches"] == [1, 2, 3]
    assert verification["coverage"] == {"parametric": 1.0, "taps": 1.0}
    assert [output["name"] for output in verification["outputs"]] == ["conv4_2_output", "prob1_output"]
    for output in verification["outputs"]:
        assert 0 < output["rel_rmse"] <= 2e-5
        assert output["one_minus_cos"] <= 1e-10
    assert verification["first_divergence"] is None


def test_the_torch_folder_needs_torch_alone(det1: Path, folder: Path, torch_module: Any) -> None:
    assert cli.main(["mxnet2torch", str(det1), "-o", "net", "--safetensors", "--no-verify"]) == 0
    written = {"model.py", "weights.pth", "weights.safetensors", "facecvt.json"}
    assert {path.name for path in (folder / "net").iterdir()} == written
    code = (
        "import sys; sys.modules['facecvt'] = None; sys.path.insert(0, 'net'); import torch, model; "
        "net = model.load(); assert not net.training; print(len(net(torch.zeros(2, 3, 24, 24))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


def test_no_verify_says_so(det1: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "mxnet2onnx", det1, "--no-verify", "--json")
    assert code == 0
    assert document(out)["verification"]["verdict"] == "not_verified"


def test_opset_and_input_shape_are_taken(det1: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import onnx

    for opset in (11, 17, 21):
        code, out, _ = run(
            capsys, "mxnet2onnx", det1, "-o", f"{opset}.onnx", "--opset", str(opset), "--input", "data=2x3x24x20",
            "--color", "BGR", "--json",
        )  # fmt: skip
        assert code == 0
        contract = document(out)["input_contract"]
        assert (contract["shape"], contract["color"]) == ([2, 3, 24, 20], "BGR")
        model = onnx.load(folder / f"{opset}.onnx")
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
        sizes = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
        assert sizes == [2, 3, 24, 20]


@pytest.mark.parametrize("command", ["mxnet2onnx", "mxnet2torch"])
def test_an_existing_target_is_replaced_by_force_alone(
    command: str, det1: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = folder / ("source.onnx" if command == "mxnet2onnx" else "source_torch")  # the model lies in ./source
    target.mkdir() if command == "mxnet2torch" else target.write_text("mine")
    if target.is_dir():
        (target / "notes").write_text("mine")
    before = digests(folder)
    code, out, err = run(capsys, command, det1)
    assert (code, out) == (2, "")
    assert "--force" in err
    assert digests(folder) == before
    assert run(capsys, command, det1, "--force", "--no-verify")[0] == 0
    assert "notes" not in (names_in(target) if target.is_dir() else ())


def test_an_input_is_never_replaced(det1: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = digests(folder)
    for command, target in (("mxnet2torch", det1.parent), ("mxnet2onnx", f"{det1}-symbol.json")):
        code, _, err = run(capsys, command, det1, "-o", target, "--force")
        assert code == 2
        assert "input" in err
    assert digests(folder) == before


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def pad(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(8))


def rename_operator(path: Path) -> None:
    path.write_text(path.read_text().replace('"op": "Pooling"', '"op": "PsRoiPooling"'))


def add_attribute(path: Path) -> None:
    path.write_text(path.read_text().replace('"pool_type": "max"', '"pool_type": "max", "pool_of": "cars"'))


def no_json(path: Path) -> None:
    path.write_text("{")


DAMAGES = [
    ("model-0001.params", cut, ["model-0001.params", "byte"]),
    ("model-0001.params", pad, ["model-0001.params", "byte"]),
    ("model-symbol.json", rename_operator, ["PsRoiPooling", "pool1"]),
    ("model-symbol.json", add_attribute, ["pool_of", "pool1"]),
    ("model-symbol.json", no_json, ["model-symbol.json"]),
]


@pytest.mark.parametrize(("name", "damage", "words"), DAMAGES, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("command", ["mxnet2onnx", "mxnet2torch"])
def test_a_model_that_cannot_be_converted_is_one_error_and_nothing_is_written(
    command: str, name: str, damage: Any, words: list[str], det1: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original = (det1.parent / name).read_bytes()
    damage(det1.parent / name)
    assert (det1.parent / name).read_bytes() != original
    before = digests(folder)
    code, out, err = run(capsys, command, det1)
    assert (code, out) == (3, "")
    assert err.startswith("error: ")
    for word in words:
        assert word in err
    assert digests(folder) == before
    found = json.loads(run(capsys, command, det1, "--json")[1])
    assert (found["exit_code"], found["command"]) == (3, command)


def test_weights_that_do_not_fit_are_refused_with_names_of_both_sides(
    real_models: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "mxnet2onnx", real_models / "mxnet" / "retinaface-mnet25" / "mnet.25-symbol.json")
    assert (code, out) == (3, "")
    assert "moving_mean" in err
    assert "running_mean" in err
    assert not names_in(folder)


def test_a_folder_with_two_models_is_refused(
    real_models: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["mxnet2onnx"], ["inspect"]):
        code, out, err = run(capsys, *arguments, real_models / "mxnet" / "mtcnn-det1")
        assert (code, out) == (2, "")
        assert "det1-newjson-symbol.json" in err
        assert "det1-symbol.json" in err
    assert not names_in(folder)


def test_a_model_in_every_spelling(det1: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "packed").mkdir()
    shutil.make_archive("packed/source", "gztar", folder, "source")  # as its folder: the name is part of the graph
    packed = folder / "packed" / "source.tar.gz"
    spellings = [det1, f"{det1}-symbol.json", f"{det1}-0001.params", det1.parent, packed]
    written = set()
    for number, spelling in enumerate(spellings):
        assert run(capsys, "mxnet2onnx", spelling, "-o", f"{number}.onnx", "--no-verify")[0] == 0
        written.add((folder / f"{number}.onnx").read_bytes())
    assert len(written) == 1


def test_a_path_goes_before_a_reference_name(det1: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copyfile(f"{det1}-symbol.json", "r50-symbol.json")
    shutil.copyfile(f"{det1}-0001.params", "r50-0001.params")
    code, out, _ = run(capsys, "mxnet2onnx", "r50", "--no-verify", "--json")
    assert code == 0
    assert document(out)["source"]["reference"] is None
    Path("r50-0001.params").unlink()
    Path("r50.onnx").unlink()
    code, _, err = run(capsys, "mxnet2onnx", "r50")  # half a model of that name is no reason to take another one
    assert code == 3
    assert "weights" in err
    assert not (folder / "r50.onnx").exists()


@pytest.mark.parametrize("command", ["mxnet2onnx", "mxnet2torch", "paddle2onnx", "paddle2torch"])
def test_a_reference_model_by_name(
    command: str, folder: Path, mxnet_module: Any, paddle_module: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, command, "mobileface_v1.0_infer", "--json")
    found = document(out)
    assert (code, err) == (0, "")
    assert found["verification"]["verdict"] == "agree"
    assert (found["source"]["reference"], found["target"]["recognised"]) == ("mobilefacenet", "mobilefacenet")
    assert any("seeded" in warning for warning in found["warnings"])
    assert names_in(folder) == {f"mobileface_v1.0_infer{'.onnx' if command.endswith('onnx') else ''}"}
    code, out, err = run(capsys, command, "mobileface_v1.0_infer")
    assert code == 2, "the target that was just written is refused"
    assert "--force" in err
    assert run(capsys, command, "mobileface_v1.0_infer", "--force", "--no-verify")[0] == 0  # and is no source


def test_the_verbs_of_the_package(det1: Path, folder: Path) -> None:
    result = facecvt.convert(det1, "onnx", output=folder / "out.onnx")
    assert result.verification
    assert (result.exit_code, result.reference) == (0, None)
    assert result.conversion.files == [folder / "out.onnx"]
    inspection = facecvt.inspect(folder / "out.onnx")
    assert [contract.name for contract in inspection.contracts] == ["data"]
    assert "iresnet50" in [row.name for row in facecvt.models()]
    assert facecvt.convert(folder / "out.onnx", "torch", output=folder / "net").verification


def test_a_difference_is_exit_1_and_names_the_first_layer(
    det1: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from facecvt.converters import conversion
    from facecvt.converters.onnx_ir_lazy import ir

    real = conversion.read_source

    def wrong(*arguments: Any, **options: Any) -> Any:
        model, graph = real(*arguments, **options)
        weight = graph.body.initializers["conv2_weight"]
        weight.const_value = ir.Tensor(np.array(weight.const_value.numpy() * np.float32(1.001)), name="conv2_weight")
        return model, graph

    monkeypatch.setattr(conversion, "read_source", wrong)
    code, out, _ = run(capsys, "mxnet2onnx", det1)
    assert code == 1
    assert out.startswith("differ")
    assert "first divergence: conv2_output" in out
    verification = document(run(capsys, "mxnet2onnx", det1, "--force", "--json")[1])["verification"]
    assert verification["verdict"] == "differ"
    assert verification["first_divergence"]["node"] == "conv2"


def readme_commands() -> list[str]:
    """Every command of the marked block of README.md."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- commands:begin -->(.*?)<!-- commands:end -->", text, re.DOTALL)
    assert block is not None
    return [line.partition("#")[0].strip() for line in block[1].splitlines() if line.startswith("facecvt ")]


LONG = ("parity", "selftest")  # minutes; their own tests run them on less


@pytest.mark.parametrize("long", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_commands_of_the_readme(
    long: bool, real_models: Path, folder: Path, mxnet_module: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    models = real_models / "mxnet" / "mtcnn-det1", real_models / "paddle" / "mtcnn-pdmodel-combined"
    shutil.copyfile(models[0] / "det1-symbol.json", "face-symbol.json")
    shutil.copyfile(models[0] / "det1-0001.params", "face-0000.params")
    for suffix in (".pdmodel", ".pdiparams"):
        shutil.copyfile(models[1] / f"PNet{suffix}", f"inference{suffix}")
    commands = readme_commands()
    assert len(commands) >= 11
    for command in commands:
        if (command.split()[1] in LONG) is not long:
            continue
        code, out, err = run(capsys, *shlex.split(command)[1:])
        assert code == 0, (command, out, err)
        assert out
    used = {command.split()[1] for command in commands}
    assert used == set(cli.program.commands), "the README shows every command"
