"""Real models, damaged in the ways that happen, through the command line: one error that says what, nothing written."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from facecvt import cli
from facecvt.converters.formats.mxnet_params import read_params, write_params
from facecvt.converters.formats.paddle_params import read_combined, write_combined
from facecvt.converters.formats.paddle_program import read_program

Build = Callable[[Path, Path], Path]


@dataclass(frozen=True)
class Refusal:
    """What is done to a model, and what facecvt must say of it.

    Attributes:
        name: of the test.
        commands: the commands to try.
        build: (folder of real models, empty folder) -> MODEL.
        code: exit code.
        words: what the error must hold.
    """

    name: str
    commands: tuple[str, ...]
    build: Build
    code: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


MXNET, PADDLE, ONNX = ("mxnet2onnx", "mxnet2torch"), ("paddle2onnx", "paddle2torch"), ("onnx2torch",)


# ---- MXNet


def pair_that_disagrees(models: Path, folder: Path) -> Path:
    for name in ("mnet.25-symbol.json", "mnet.25-0000.params"):
        shutil.copy(models / "mxnet/retinaface-mnet25" / name, folder)
    return folder / "mnet.25-symbol.json"


def det1(models: Path, folder: Path) -> Path:
    for name in ("det1-symbol.json", "det1-0001.params"):
        shutil.copy(models / "mxnet/mtcnn-det1" / name, folder)
    return folder / "det1"


def cut(path: Path, kept: int) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.truncate(kept if kept >= 0 else path.stat().st_size + kept)


def pad(path: Path, with_bytes: bytes = b"\0" * 7) -> None:
    path.chmod(0o644)
    with path.open("ab") as file:
        file.write(with_bytes)


def det1_params_cut(kept: int) -> Build:
    def build(models: Path, folder: Path) -> Path:
        model = det1(models, folder)
        cut(folder / "det1-0001.params", kept)
        return model

    return build


def det1_params_padded(models: Path, folder: Path) -> Path:
    model = det1(models, folder)
    pad(folder / "det1-0001.params")
    return model


def det1_symbol_cut(models: Path, folder: Path) -> Path:
    model = det1(models, folder)
    cut(folder / "det1-symbol.json", -100)
    return model


def det1_without_two_weights(models: Path, folder: Path) -> Path:
    model = det1(models, folder)
    path = folder / "det1-0001.params"
    params = read_params(path)
    args = {name: array for name, array in params.args.items() if name not in ("conv2_weight", "prelu3_gamma")}
    assert len(args) == len(params.args) - 2
    write_params(folder / "fewer.params", args, params.aux)
    path.unlink()
    (folder / "fewer.params").rename(path)
    return model


def det1_with_foreign_operators(models: Path, folder: Path) -> Path:
    model = det1(models, folder)
    path = folder / "det1-symbol.json"
    document = json.loads(path.read_text())
    for node in document["nodes"]:
        if node["name"] in ("prelu1", "prelu2"):
            node["op"] = "MadeUpActivation"
        if node["name"] == "pool1":
            node["op"] = "MadeUpPool"
    path.chmod(0o644)
    path.write_text(json.dumps(document))
    return model


def two_mxnet_models(models: Path, folder: Path) -> Path:
    det1(models, folder)
    for name in ("det2-symbol.json", "det2-0001.params"):
        shutil.copy(models / "mxnet/mtcnn-det2" / name, folder)
    return folder


# ---- Paddle


def rnet(models: Path, folder: Path) -> Path:
    for ending in ("pdmodel", "pdiparams"):
        shutil.copy(models / f"paddle/mtcnn-pdmodel-combined/RNet.{ending}", folder)
    return folder / "RNet.pdmodel"


def rnet_weights_cut(kept: int) -> Build:
    def build(models: Path, folder: Path) -> Path:
        model = rnet(models, folder)
        cut(folder / "RNet.pdiparams", kept)
        return model

    return build


def rnet_weights_padded(models: Path, folder: Path) -> Path:
    model = rnet(models, folder)
    pad(folder / "RNet.pdiparams")
    return model


def rnet_program_cut(models: Path, folder: Path) -> Path:
    model = rnet(models, folder)
    cut(folder / "RNet.pdmodel", -1000)
    return model


def rnet_without_a_weight(models: Path, folder: Path) -> Path:
    model = rnet(models, folder)
    program = read_program(model)
    weights = folder / "RNet.pdiparams"
    arrays = read_combined(weights, program.parameters, program.vars)
    del arrays["linear_0.b_0"]
    write_combined(folder / "fewer", arrays)
    weights.unlink()
    (folder / "fewer").rename(weights)
    return model


def rnet_with_a_foreign_operator(models: Path, folder: Path) -> Path:
    model = rnet(models, folder)
    program = model.read_bytes()
    model.chmod(0o644)
    model.write_bytes(program.replace(b"prelu", b"qrelu"))  # one length, so that the message stays well-formed
    return model


def separate_rnet(models: Path, folder: Path) -> Path:
    shutil.copytree(models / "paddle/mtcnn-old-model-separate/RNet", folder / "RNet")
    (folder / "RNet").chmod(0o755)
    return folder / "RNet"


def separate_cut(models: Path, folder: Path) -> Path:
    model = separate_rnet(models, folder)
    cut(model / "conv2.w_0", -4)
    return model


def separate_padded(models: Path, folder: Path) -> Path:
    model = separate_rnet(models, folder)
    pad(model / "conv2.w_0")
    return model


def separate_without_two_files(models: Path, folder: Path) -> Path:
    model = separate_rnet(models, folder)
    (model / "conv2.b_0").unlink()
    (model / "fc1.w_0").unlink()
    return model


def two_paddle_models(models: Path, folder: Path) -> Path:
    rnet(models, folder)
    for ending in ("pdmodel", "pdiparams"):
        shutil.copy(models / f"paddle/mtcnn-pdmodel-combined/ONet.{ending}", folder)
    return folder


# ---- ONNX

SLIM = "onnx/ultra-light-face/version-slim-320_simplified.onnx"


def slim_cut(models: Path, folder: Path) -> Path:
    shutil.copy(models / SLIM, folder / "slim.onnx")
    cut(folder / "slim.onnx", -5000)
    return folder / "slim.onnx"


def slim_with_foreign_operators(models: Path, folder: Path) -> Path:
    import onnx

    model = onnx.load(models / SLIM)
    for number, node in enumerate(node for node in model.graph.node if node.op_type == "Relu"):
        if number < 2:
            node.op_type, node.name = "MadeUpRelu", f"made_up_{number}"
    onnx.save(model, folder / "slim.onnx")
    return folder / "slim.onnx"


def two_onnx_models(models: Path, folder: Path) -> Path:
    shutil.copy(models / SLIM, folder / "slim.onnx")
    shutil.copy(models / "onnx/ultra-light-face/version-RFB-320.onnx", folder / "rfb.onnx")
    return folder


# ---- pickles


class Foreign:
    """Runs a command where anything unpickles it."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


MARKER = "a-pickle-was-run"


def foreign_pdparams(models: Path, folder: Path) -> Path:
    state = {"conv2d_0.w_0": Foreign(folder / MARKER)}
    (folder / "net.pdparams").write_bytes(pickle.dumps(state, protocol=2))
    return folder / "net.pdparams"


def foreign_zip_pth(models: Path, folder: Path) -> Path:
    with zipfile.ZipFile(folder / "net.pth", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("net/data.pkl", pickle.dumps({"conv.weight": Foreign(folder / MARKER)}, protocol=2))
        archive.writestr("net/version", "3\n")
    return folder / "net.pth"


def foreign_legacy_pth(models: Path, folder: Path) -> Path:
    magic = 0x1950A86A20F9469CFC6C
    state = {"conv.weight": Foreign(folder / MARKER)}
    parts = [magic, 1001, {"little_endian": True}, state, []]
    (folder / "net.pth").write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))
    return folder / "net.pth"


REFUSALS = [
    Refusal("names-disagree", MXNET, pair_that_disagrees, 3, ("_moving_mean", "_running_mean", "mnet.25-0000.params")),
    Refusal("mxnet-cut-at-the-end", MXNET, det1_params_cut(-3), 3, ("det1-0001.params", "byte ")),
    Refusal("mxnet-cut-in-the-middle", MXNET, det1_params_cut(9000), 3, ("det1-0001.params", "byte ")),
    Refusal("mxnet-cut-in-the-header", MXNET, det1_params_cut(13), 3, ("det1-0001.params", "byte ")),
    Refusal("mxnet-empty", MXNET, det1_params_cut(0), 3, ("det1-0001.params",)),
    Refusal("mxnet-padded", MXNET, det1_params_padded, 3, ("det1-0001.params", "7 ")),
    Refusal("mxnet-symbol-cut", MXNET, det1_symbol_cut, 3, ("det1-symbol.json",)),
    Refusal("mxnet-missing-weights", MXNET, det1_without_two_weights, 3, ("conv2_weight", "prelu3_gamma")),
    Refusal(
        "mxnet-unsupported",
        MXNET,
        det1_with_foreign_operators,
        3,
        ("MadeUpActivation x2: prelu1, prelu2", "MadeUpPool x1: pool1"),
    ),
    Refusal("mxnet-two-models", MXNET, two_mxnet_models, 2, ("det1", "det2")),
    Refusal("paddle-cut-at-the-end", PADDLE, rnet_weights_cut(-3), 3, ("RNet.pdiparams", "byte ")),
    Refusal("paddle-empty", PADDLE, rnet_weights_cut(0), 3, ("RNet.pdiparams",)),
    Refusal("paddle-padded", PADDLE, rnet_weights_padded, 3, ("RNet.pdiparams", "7 bytes follow")),
    Refusal("paddle-program-cut", PADDLE, rnet_program_cut, 3, ("RNet.pdmodel",)),
    Refusal("paddle-missing-weight", PADDLE, rnet_without_a_weight, 3, ("linear_0.b_0", "[128]", "[576, 128]")),
    Refusal("paddle-unsupported", PADDLE, rnet_with_a_foreign_operator, 3, ("qrelu x3: ",)),
    Refusal("separate-cut", PADDLE, separate_cut, 3, ("conv2.w_0", "byte ")),
    Refusal("separate-padded", PADDLE, separate_padded, 3, ("conv2.w_0", "7 bytes follow")),
    Refusal("separate-missing-files", PADDLE, separate_without_two_files, 3, ("conv2.b_0", "fc1.w_0")),
    Refusal("paddle-two-models", PADDLE, two_paddle_models, 2, ("RNet", "ONet")),
    Refusal("onnx-cut", ONNX, slim_cut, 3, ("slim.onnx",)),
    Refusal("onnx-unsupported", ONNX, slim_with_foreign_operators, 3, ("MadeUpRelu x2: made_up_0, made_up_1",)),
    Refusal("onnx-two-models", ONNX, two_onnx_models, 2, ("slim.onnx", "rfb.onnx")),
    Refusal("pickle-pdparams", ("inspect",), foreign_pdparams, 3, ("net.pdparams", "system")),
    Refusal("pickle-pth-zip", ("inspect",), foreign_zip_pth, 3, ("net.pth", "system")),
    Refusal("pickle-pth-legacy", ("inspect",), foreign_legacy_pth, 3, ("net.pth", "system")),
]


def contents(folder: Path) -> dict[str, str]:
    """Check sum of every file below a folder, and its subfolders, by relative path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        found[str(path.relative_to(folder))] = digest
    return found


@dataclass(frozen=True)
class Scene:
    """Folders of one refusal: the damaged model, where the command stands, and where it is to write."""

    model: Path
    source: Path
    here: Path
    target: Path

    def arguments(self, command: str) -> list[str]:
        if command == "inspect":
            return [command, str(self.model)]
        return [command, str(self.model), "--output", str(self.target / "out")]

    def state(self) -> tuple[dict[str, str], ...]:
        return contents(self.source), contents(self.here), contents(self.target)


@pytest.fixture
def scene(request: pytest.FixtureRequest, real_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    for name in ("source", "here", "target"):
        (tmp_path / name).mkdir()
    (tmp_path / "target" / "kept.txt").write_text("the user's")
    monkeypatch.chdir(tmp_path / "here")
    model = request.param.build(real_models, tmp_path / "source")
    return Scene(model, tmp_path / "source", tmp_path / "here", tmp_path / "target")


def assert_one_error(stderr: str, words: tuple[str, ...]) -> None:
    assert stderr.startswith("error: ")
    assert stderr.count("error: ") == 1
    assert "Traceback" not in stderr
    assert "bug in facecvt" not in stderr
    assert [word for word in words if word not in stderr] == [], stderr


@pytest.mark.parametrize(
    ("scene", "command", "refusal"),
    [(refusal, command, refusal) for refusal in REFUSALS for command in refusal.commands],
    indirect=["scene"],
    ids=str,
)
def test_it_is_refused_with_one_error_and_nothing_is_written(
    scene: Scene, command: str, refusal: Refusal, capsys: pytest.CaptureFixture[str]
) -> None:
    before = scene.state()
    capsys.readouterr()
    code = cli.main(scene.arguments(command))
    captured = capsys.readouterr()
    assert code == refusal.code, captured.err
    assert captured.out == ""
    assert_one_error(captured.err, refusal.words)
    assert scene.state() == before
    assert not (scene.source / MARKER).exists()


IN_A_PROCESS = ("names-disagree", "paddle-padded", "onnx-two-models", "pickle-pth-zip")


@pytest.mark.parametrize(
    ("scene", "refusal"),
    [(refusal, refusal) for refusal in REFUSALS if refusal.name in IN_A_PROCESS],
    indirect=["scene"],
    ids=str,
)
def test_a_process_ends_with_the_same_and_json_is_one_document(scene: Scene, refusal: Refusal) -> None:
    before = scene.state()
    command = [sys.executable, "-m", "facecvt.cli", *scene.arguments(refusal.commands[0]), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=scene.here)
    assert done.returncode == refusal.code, done.stderr
    assert_one_error(done.stderr, refusal.words)
    document = json.loads(done.stdout)
    assert document["exit_code"] == refusal.code
    assert document["command"] == refusal.commands[0]
    assert document["error"] == done.stderr.removeprefix("error: ").rstrip("\n")
    assert scene.state() == before


def test_the_unharmed_copies_convert(real_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the damage is done to is whole: without it the same files go through."""
    monkeypatch.chdir(tmp_path)
    for number, (command, build) in enumerate(
        [("mxnet2onnx", det1), ("paddle2onnx", rnet), ("paddle2onnx", separate_rnet)]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        model = build(real_models, folder)
        assert cli.main([command, str(model), "-o", str(folder / "out.onnx"), "--no-verify", "-q"]) == 0
        assert (folder / "out.onnx").stat().st_size > 20_000
