"""Real models, damaged in the ways that happen, through the command line: one error that says what, nothing written."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from facecvt import cli
from facecvt.parity_tests.support.damaged_models import (
    Build,
    det1,
    det1_with_foreign_operators,
    det1_without_two_weights,
    pair_that_disagrees,
    rnet,
    rnet_with_a_foreign_operator,
    rnet_without_a_weight,
    separate_rnet,
    separate_without_two_files,
    slim,
    slim_with_foreign_operators,
    two_mxnet_models,
    two_onnx_models,
    two_paddle_models,
    with_cut,
    with_padding,
)


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


DET1_WEIGHTS, SEPARATE_WEIGHT = "det1-0001.params", "RNet/conv2.w_0"
REFUSALS = [
    Refusal("names-disagree", MXNET, pair_that_disagrees, 3, ("_moving_mean", "_running_mean", "mnet.25-0000.params")),
    Refusal("mxnet-cut-at-the-end", MXNET, with_cut(det1, DET1_WEIGHTS, -3), 3, ("det1-0001.params", "byte ")),
    Refusal("mxnet-cut-in-the-middle", MXNET, with_cut(det1, DET1_WEIGHTS, 9000), 3, ("det1-0001.params", "byte ")),
    Refusal("mxnet-cut-in-the-header", MXNET, with_cut(det1, DET1_WEIGHTS, 13), 3, ("det1-0001.params", "byte ")),
    Refusal("mxnet-empty", MXNET, with_cut(det1, DET1_WEIGHTS, 0), 3, ("det1-0001.params",)),
    Refusal("mxnet-padded", MXNET, with_padding(det1, DET1_WEIGHTS), 3, ("det1-0001.params", "7 ")),
    Refusal("mxnet-symbol-cut", MXNET, with_cut(det1, "det1-symbol.json", -100), 3, ("det1-symbol.json",)),
    Refusal("mxnet-missing-weights", MXNET, det1_without_two_weights, 3, ("conv2_weight", "prelu3_gamma")),
    Refusal(
        "mxnet-unsupported",
        MXNET,
        det1_with_foreign_operators,
        3,
        ("MadeUpActivation x2: prelu1, prelu2", "MadeUpPool x1: pool1"),
    ),
    Refusal("mxnet-two-models", MXNET, two_mxnet_models, 2, ("det1", "det2")),
    Refusal("paddle-cut-at-the-end", PADDLE, with_cut(rnet, "RNet.pdiparams", -3), 3, ("RNet.pdiparams", "byte ")),
    Refusal("paddle-empty", PADDLE, with_cut(rnet, "RNet.pdiparams", 0), 3, ("RNet.pdiparams",)),
    Refusal("paddle-padded", PADDLE, with_padding(rnet, "RNet.pdiparams"), 3, ("RNet.pdiparams", "7 bytes follow")),
    Refusal("paddle-program-cut", PADDLE, with_cut(rnet, "RNet.pdmodel", -1000), 3, ("RNet.pdmodel",)),
    Refusal("paddle-missing-weight", PADDLE, rnet_without_a_weight, 3, ("linear_0.b_0", "[128]", "[576, 128]")),
    Refusal("paddle-unsupported", PADDLE, rnet_with_a_foreign_operator, 3, ("qrelu x3: ",)),
    Refusal("separate-cut", PADDLE, with_cut(separate_rnet, SEPARATE_WEIGHT, -4), 3, ("conv2.w_0", "byte ")),
    Refusal(
        "separate-padded", PADDLE, with_padding(separate_rnet, SEPARATE_WEIGHT), 3, ("conv2.w_0", "7 bytes follow")
    ),
    Refusal("separate-missing-files", PADDLE, separate_without_two_files, 3, ("conv2.b_0", "fc1.w_0")),
    Refusal("paddle-two-models", PADDLE, two_paddle_models, 2, ("RNet", "ONet")),
    Refusal("onnx-cut", ONNX, with_cut(slim, "slim.onnx", -5000), 3, ("slim.onnx",)),
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
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=scene.here)
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
