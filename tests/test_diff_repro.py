"""``facecvt diff --repro``: the layer at fault alone, run in a clean process, gives the error that was reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facecvt.cli import main
from facecvt.parity_tests.support.small_net import Node, SmallNet, small_net


def wrong_epsilon(net: SmallNet) -> None:
    net.node("bn2").attributes["epsilon"] = 1e-3


def lost_residual(net: SmallNet) -> None:
    net.remove("sum")


def lost_bias(net: SmallNet) -> None:
    net.node("conv2").inputs.pop()


def channels_last(net: SmallNet) -> None:
    """One convolution between transpositions, and wrong."""
    place = net.nodes.index(net.node("conv1"))
    read = net.nodes[place].inputs[0]
    net.nodes.insert(place, Node("Transpose", ["conv1_nhwc"], "conv1_nchw", {"perm": [0, 3, 1, 2]}))
    net.nodes.insert(place, Node("Transpose", [read], "conv1_nhwc", {"perm": [0, 2, 3, 1]}))
    net.node("conv1").inputs[0] = "conv1_nchw"
    net.weights["conv1_w"] = net.weights["conv1_w"][:, :, ::-1, ::-1].copy()


def not_a_number(net: SmallNet) -> None:
    net.weights["fc_b"][3] = np.nan


FAULTS: dict[str, Callable[[SmallNet], None]] = {
    "epsilon": wrong_epsilon,
    "residual": lost_residual,
    "bias": lost_bias,
    "NHWC": channels_last,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repro")
    small_net().write(folder / "a.onnx")
    return folder


def document(capsys: pytest.CaptureFixture[str], code: int, *arguments: str | Path) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["diff", *map(str, arguments), "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def run_alone(repro: Path) -> subprocess.CompletedProcess[str]:
    """The one command, in a process without the current folder, the user's packages and PYTHON* variables."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [sys.executable, "-I", str(repro / "run.py")], capture_output=True, text=True, env=environment, cwd=repro.parent
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_a_repro_gives_the_reported_error(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    net = small_net()
    FAULTS[fault](net)
    wrong, repro = net.write(tmp_path / "b.onnx"), tmp_path / "repro"
    found = document(capsys, 1, folder / "a.onnx", wrong, "--repro", repro)
    assert found["repro"]["folder"] == str(repro)
    assert found["repro"]["command"].endswith("run.py")
    reported = found["first_divergence"]["evidence"]["own_rel_rmse"]
    assert reported > 1e-4
    ran = run_alone(repro)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    ours, theirs = (float(line.split("rel-RMSE ")[1].split(",")[0]) for line in ran.stdout.splitlines()[:2])
    assert theirs == pytest.approx(reported, rel=5e-4)
    assert ours < 1e-6
    assert np.load(repro / "expected.npy").dtype == np.float64
    with np.load(repro / "inputs.npz") as fed:
        assert {fed[name].dtype for name in fed.files} <= {np.dtype(np.float64), np.dtype(np.float32)}
    readme = (repro / "README.txt").read_text(encoding="utf-8")
    assert (found["first_divergence"]["cause"] or "none of the known ones was proven") in readme
    assert f"{reported:.3e}" in readme


def test_a_repro_that_no_longer_shows_it_says_so(folder: Path, tmp_path: Path) -> None:
    net = small_net()
    wrong_epsilon(net)
    repro = tmp_path / "repro"
    assert main(["diff", str(folder / "a.onnx"), str(net.write(tmp_path / "b.onnx")), "--repro", str(repro)]) == 1
    (repro / "b.onnx").write_bytes((repro / "a.onnx").read_bytes())
    ran = run_alone(repro)
    assert ran.returncode == 1
    assert "reported for B: rel-RMSE" in ran.stdout


def test_a_layer_that_gives_no_number(folder: Path, tmp_path: Path) -> None:
    net = small_net()
    not_a_number(net)
    repro = tmp_path / "repro"
    assert main(["diff", str(folder / "a.onnx"), str(net.write(tmp_path / "b.onnx")), "--repro", str(repro)]) == 1
    ran = run_alone(repro)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "values are NaN or Inf" in ran.stdout


def test_an_existing_folder_is_kept(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = small_net()
    wrong_epsilon(net)
    arguments = [
        "diff",
        str(folder / "a.onnx"),
        str(net.write(tmp_path / "b.onnx")),
        "--repro",
        str(tmp_path / "repro"),
    ]
    (tmp_path / "repro").mkdir()
    (tmp_path / "repro" / "mine").write_text("", encoding="utf-8")
    assert main(arguments) == 2
    assert "use --force to replace it, or --repro to write elsewhere" in capsys.readouterr().err
    assert (tmp_path / "repro" / "mine").exists()
    assert main([*arguments, "--force"]) == 1
    assert "the first of them alone: python" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "repro").iterdir()) == [
        "README.txt",
        "a.onnx",
        "b.onnx",
        "expected.npy",
        "finding.json",
        "inputs.npz",
        "inputs_b.npz",
        "run.py",
    ]
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]
    assert main([*arguments[:3], "--repro", str(tmp_path), "--force"]) == 2  # it holds B
    assert (tmp_path / "b.onnx").exists()


def test_two_repros_are_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    net = small_net()
    wrong_epsilon(net)
    wrong = str(net.write(tmp_path / "b.onnx"))
    for name in ("one", "two"):
        assert main(["diff", str(folder / "a.onnx"), wrong, "--repro", str(tmp_path / name)]) == 1
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_where_nothing_is_wrong_nothing_is_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(capsys, 0, folder / "a.onnx", folder / "a.onnx", "--repro", tmp_path / "repro")
    assert found["repro"] is None
    assert found["warnings"][-1].endswith("was not written: the models agree, there is no layer at fault")
    found = document(
        capsys, 5, folder / "a.onnx", small_net(9).write(tmp_path / "o.onnx"), "--repro", tmp_path / "repro"
    )
    assert found["warnings"][-1].endswith("was not written: the models could not be compared")
    assert not (tmp_path / "repro").exists()
