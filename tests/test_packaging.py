"""The wheel, in an environment of its own without any framework and with numpy 2: it converts, verifies and refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

# One worker runs them all: each worker would build an environment of its own.
pytestmark = pytest.mark.xdist_group("wheel")

PROJECT = Path(__file__).resolve().parents[1]
NOT_SOURCE = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "build", "dist", "demo", "work", "docs", "tests", "*.onnx"
)


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """A process that may fail; its output as text."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    arguments = [str(part) for part in command]
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        arguments, capture_output=True, text=True, check=False, env=environment, timeout=600, **options
    )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built from a copy so that nothing is left in it."""
    copy = tmp_path_factory.mktemp("source") / "facecvt"
    shutil.copytree(PROJECT, copy, ignore=NOT_SOURCE)
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, copy)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the programs of a new environment that holds the wheel and what it depends on, nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    installed = run(programs / "python", "-m", "pip", "install", "--quiet", "--upgrade", "numpy>=2", wheel)
    assert installed.returncode == 0, installed.stderr
    return programs


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"facecvt/__init__.py", "facecvt/cli.py", "facecvt/py.typed"} <= names
    for path in PROJECT.glob("*/**/*.py"):
        inside = path.relative_to(PROJECT)
        ours = inside.parts[0] in ("commands", "converters", "reference_models", "parity_tests")
        if ours and "suite" not in inside.parts:
            assert f"facecvt/{inside.as_posix()}" in names
    page = {path.relative_to(PROJECT).as_posix() for path in (PROJECT / "parity_tests/report/page").rglob("*.*")}
    assert len(page) == 6
    assert {f"facecvt/{name}" for name in page} <= names
    strangers = {name for name in names if not name.startswith(("facecvt/", "facecvt-"))}
    assert not strangers
    assert not {name for name in names if name.startswith(("facecvt/tests", "facecvt/benchmarks", "facecvt/docs"))}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_environment_has_numpy_2_and_no_framework(bare: Path) -> None:
    code = (
        "import numpy, importlib.util as util, facecvt, pathlib; "
        "print(numpy.__version__.split('.')[0], [n for n in ('torch', 'paddle', 'mxnet') if util.find_spec(n)], "
        "pathlib.Path(facecvt.__file__).parent.parent.name)"
    )
    assert run(bare / "python", "-c", code, cwd=bare).stdout.split("\n")[0] == "2 [] site-packages"


@pytest.mark.parametrize("model", ["mtcnn-det1/det1", "insightface-gender-age/model"])
def test_a_real_model_to_onnx_is_verified(model: str, bare: Path, real_models: Path, tmp_path: Path) -> None:
    source = real_models / "mxnet" / model
    command = [bare / "facecvt", "mxnet2onnx", source, "--output", tmp_path / "model.onnx", "--json"]
    done = run(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["verification"]["verdict"] == "agree"
    assert document["verification"]["batches"] == [1, 2, 3]
    assert all(output["rel_rmse"] <= 2e-5 for output in document["verification"]["outputs"])
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    loaded = run(
        bare / "python", "-c", f"import onnxruntime as o; o.InferenceSession({str(tmp_path / 'model.onnx')!r})"
    )
    assert loaded.returncode == 0, loaded.stderr


def test_a_made_model_to_onnx_is_verified(bare: Path, tmp_path: Path) -> None:
    """The same where the real models are not at hand: a symbol and its weights written here."""
    code = """
import json, numpy as np
from facecvt.converters.formats.mxnet_params import write_params
rng = np.random.default_rng(0)
node = lambda op, name, inputs=(), **attrs: dict(op=op, name=name, attrs=attrs, inputs=[[i, 0, 0] for i in inputs])
nodes = [node("null", "data"), node("null", "conv_weight"), node("null", "conv_bias"),
         node("Convolution", "conv", (0, 1, 2), kernel="(3, 3)", num_filter="4", pad="(1, 1)"),
         node("null", "relu_gamma"), node("LeakyReLU", "relu", (3, 4), act_type="prelu")]
symbol = dict(nodes=nodes, arg_nodes=[0, 1, 2, 4], heads=[[5, 0, 0]], attrs=dict(mxnet_version=["int", 10901]))
open("tiny-symbol.json", "w").write(json.dumps(symbol))
arrays = dict(conv_weight=rng.normal(size=(4, 3, 3, 3)), conv_bias=rng.normal(size=4), relu_gamma=rng.random(4))
write_params("tiny-0000.params", {name: array.astype("float32") for name, array in arrays.items()}, {})
"""
    made = run(bare / "python", "-c", code, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    done = run(bare / "facecvt", "mxnet2onnx", "tiny", "--input", "data=batch,3,16,16", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tiny.onnx").is_file()


def test_without_torch_a_torch_target_is_written_and_not_verified(
    bare: Path, real_models: Path, tmp_path: Path
) -> None:
    source = real_models / "mxnet" / "mtcnn-det1" / "det1"
    done = run(bare / "facecvt", "mxnet2torch", source, "--json", cwd=tmp_path)
    assert done.returncode == 4, done.stderr
    document = json.loads(done.stdout)
    assert document["verification"]["verdict"] == "not_verified"
    assert any("pip install" in warning for warning in document["warnings"])
    assert {path.name for path in (tmp_path / "det1").iterdir()} >= {"model.py", "weights.pth"}
    unasked = run(bare / "facecvt", "mxnet2torch", source, "--force", "--no-verify", cwd=tmp_path)
    assert unasked.returncode == 0, unasked.stderr


def test_a_reference_model_without_its_framework_names_the_pip_command(bare: Path, tmp_path: Path) -> None:
    done = run(bare / "facecvt", "mxnet2onnx", "r50", cwd=tmp_path)
    assert done.returncode == 4
    assert done.stderr.startswith("error: ")
    assert "pip install" in done.stderr
    assert not list(tmp_path.iterdir())


def test_every_listing_command_works(bare: Path, tmp_path: Path) -> None:
    for command in ("ops", "models", "doctor"):
        for flags in ([], ["--json"]):
            done = run(bare / "facecvt", command, *flags, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            assert done.stdout
    doctor = json.loads(run(bare / "facecvt", "doctor", "--json", cwd=tmp_path).stdout)
    missing = {package["name"]: package["command"] for package in doctor["packages"] if not package["version"]}
    assert set(missing) == {"torch", "paddlepaddle", "mxnet"}
    assert all("pip install" in command for command in missing.values())
