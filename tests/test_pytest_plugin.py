"""The pytest plugin in somebody else's suite: what passes, what fails and how, the reports, and that it costs nothing.

The suites run in processes of their own, because the plugin is found by its entry point there, as its users find it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest
from referencing import Registry, Resource

import facecvt
from facecvt.converters.errors import UsageError
from facecvt.parity_tests.assertion import ParityAssertionError
from facecvt.parity_tests.pytest_plugin import PROPERTY
from facecvt.parity_tests.support.small_net import SIZE, write_variants

SCHEMAS = Path(facecvt.__path__[0]) / "docs" / "schemas"
HEAVY = "{'numpy', 'onnx', 'onnx_ir', 'onnxruntime', 'torch', 'paddle', 'mxnet', 'rich', 'click'}"

SUITE = """
import pytest
import facecvt

@pytest.fixture
def checked():
    yield facecvt.assert_parity("a.onnx", "renamed.onnx", batch=1)

def test_agree(assert_parity):
    assert assert_parity("a.onnx", "renamed.onnx").verdict == "agree"

def test_differ(assert_parity):
    assert_parity("a.onnx", "renamed.onnx")
    assert_parity("a.onnx", "wrong.onnx")

def test_not_comparable():
    facecvt.assert_parity("a.onnx", "other.onnx")

def test_in_a_fixture(checked):
    assert checked

def test_caught():
    with pytest.raises(AssertionError):
        facecvt.assert_parity("a.onnx", "wrong.onnx")

def test_without():
    pass
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, and a suite that holds them against each other."""
    folder = tmp_path_factory.mktemp("plugin")
    write_variants(folder)
    (folder / "test_theirs.py").write_text(SUITE)
    (folder / "pytest.ini").write_text("[pytest]\n")  # their root: nothing of facecvt's settings
    return folder


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A session in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture(scope="module")
def session(folder: Path) -> subprocess.CompletedProcess[str]:
    """The suite run once, with both reports."""
    return run_pytest(folder, "test_theirs.py", "--facecvt-report", "report", "--junitxml", "junit.xml")


def assertions(folder: Path) -> dict[str, Any]:
    """The document of a session, held against the published schema."""
    found: dict[str, Any] = json.loads((folder / "assertions.json").read_text(encoding="utf-8"))
    schemas = [json.loads((SCHEMAS / f"{name}.schema.json").read_text()) for name in ("assertions", "diff")]
    registry = Registry().with_resources((schema["$id"], Resource.from_contents(schema)) for schema in schemas)
    jsonschema.Draft202012Validator.check_schema(schemas[0])
    jsonschema.Draft202012Validator(schemas[0], registry=registry).validate(found)
    return found


def test_the_entry_point_is_installed() -> None:
    (point,) = (each for each in entry_points(group="pytest11") if each.name == "facecvt")
    assert point.value == "facecvt.parity_tests.pytest_plugin", "run `pip install --editable .` once more"


def test_only_models_that_agree_pass(session: subprocess.CompletedProcess[str]) -> None:
    assert session.returncode == 1, session.stdout + session.stderr
    assert "2 failed, 4 passed" in session.stdout
    assert "FAILED test_theirs.py::test_differ" in session.stdout
    assert "FAILED test_theirs.py::test_not_comparable" in session.stdout
    assert "cause: epsilon: epsilon is 0.001 where A has 2e-05" in session.stdout
    assert "compare.py" not in session.stdout  # the traceback ends in the test
    assert "assertion.py" not in session.stdout
    told = "facecvt: 6 comparisons of models: 3 agree, 1 not comparable, 2 differ. Report:"
    assert told in session.stdout


def test_the_report_holds_every_assertion(session: subprocess.CompletedProcess[str], folder: Path) -> None:
    found = assertions(folder / "report")
    assert (found["verdict"], found["counts"]) == (
        "differ",
        {"agree": 3, "not_verified": 0, "not_comparable": 1, "differ": 2},
    )
    told = [
        (each["test"].partition("::")[2], each["phase"], each["difference"]["verdict"]) for each in found["assertions"]
    ]
    assert told == [
        ("test_agree", "call", "agree"),
        ("test_caught", "call", "differ"),
        ("test_differ", "call", "agree"),
        ("test_differ", "call", "differ"),
        ("test_in_a_fixture", "setup", "agree"),
        ("test_not_comparable", "call", "not_comparable"),
    ]
    text = (folder / "report" / "assertions.md").read_text(encoding="utf-8")
    assert text.startswith(
        "# Parity of models: differ\n\n6 comparisons of models: 3 agree, 1 not comparable, 2 differ."
    )
    (line,) = (line for line in text.splitlines() if line.startswith("| test_theirs.py::test_differ | differ"))
    assert line.endswith("| bn2 | epsilon |")
    assert "First divergence: `bn2`. epsilon is 0.001 where A has 2e-05" in text


def test_junit_has_a_property_for_every_assertion(session: subprocess.CompletedProcess[str], folder: Path) -> None:
    cases = ElementTree.parse(folder / "junit.xml").getroot().iter("testcase")
    found = {
        case.get("name"): [each.get("value") for each in case.iter("property") if each.get("name") == PROPERTY]
        for case in cases
    }
    agreed = "agree: a.onnx (onnx) and renamed.onnx (onnx)"
    differs = "differ: a.onnx (onnx) and wrong.onnx (onnx), first divergence bn2, cause epsilon"
    assert found == {
        "test_agree": [agreed],
        "test_caught": [differs],
        "test_differ": [agreed, differs],
        "test_in_a_fixture": [agreed],
        "test_not_comparable": ["not_comparable: a.onnx (onnx) and other.onnx (onnx)"],
        "test_without": [],
    }


def test_several_processes_give_the_same_report(session: subprocess.CompletedProcess[str], folder: Path) -> None:
    done = run_pytest(folder, "test_theirs.py", "-n", "2", "--facecvt-report", "shared", "--junitxml", "shared.xml")
    assert "2 failed, 4 passed" in done.stdout
    for name in ("assertions.json", "assertions.md"):
        assert (folder / "shared" / name).read_bytes() == (folder / "report" / name).read_bytes()
    assert (folder / "shared.xml").read_text().count('name="facecvt.assert_parity"') == 6


@pytest.mark.parametrize("arguments", [[], ["--facecvt-report", "empty", "--junitxml", "empty.xml"]])
def test_a_session_without_an_assertion_pays_nothing(folder: Path, arguments: list[str]) -> None:
    """Nothing is imported, with the options or without, up to the very end of the process."""
    code = f"""
import atexit, sys
heavy = {HEAVY}
def test_nothing(request):
    assert request.config.pluginmanager.hasplugin("facecvt")
atexit.register(lambda: print("imported:", sorted(heavy & set(sys.modules))))
"""
    (folder / "test_cheap.py").write_text(code)
    done = run_pytest(folder, "test_cheap.py", "-p", "no:hypothesispytest", "-s", *arguments)
    assert done.returncode == 0, done.stdout
    assert "imported: []" in done.stdout
    if arguments:
        found = assertions(folder / "empty")
        assert (found["verdict"], found["assertions"]) == ("not_verified", [])
        assert "no test has called assert_parity" in (folder / "empty" / "assertions.md").read_text()


def test_a_report_that_cannot_be_written_is_told_at_once(folder: Path) -> None:
    done = run_pytest(folder, "test_theirs.py", "--facecvt-report", "a.onnx")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--facecvt-report a.onnx: this is no folder" in done.stderr


def test_the_message_says_what_where_and_why(folder: Path) -> None:
    with pytest.raises(ParityAssertionError) as failed:
        facecvt.assert_parity(folder / "a.onnx", folder / "wrong.onnx")
    lines = str(failed.value).splitlines()
    difference = failed.value.difference
    layers = difference.verification.layers
    wrong = [layer for layer in layers if layer.verdict == "differ"]
    furthest = max(wrong, key=lambda layer: layer.ratio)
    assert lines[0] == "The models differ!"
    assert lines[2] == f"A: {folder / 'a.onnx'} (onnx), by facecvt's oracle in float64"
    assert lines[3].startswith(f"B: {folder / 'wrong.onnx'} (onnx), by onnxruntime ")
    assert f"Mismatched layers: {len(wrong)} / {len(layers)} ({len(wrong) / len(layers):.1%})" in lines
    assert 0 < len(wrong) < len(layers)
    at = lines.index(f"Worst layer: {furthest.name} in A, {furthest.target} in B")
    assert furthest.metrics is not None
    assert lines[at + 1].startswith(f"  Relative RMS difference: {furthest.metrics.rel_rmse:.3g}, ")
    assert lines[at + 2].startswith(f"  Greatest absolute difference: {furthest.metrics.max_abs:.6g} at index (")
    assert "First divergence: bn2 in A, bn2 in B" in lines
    assert "  cause: epsilon: epsilon is 0.001 where A has 2e-05" in lines


def test_what_cannot_be_compared_fails(folder: Path) -> None:
    with pytest.raises(AssertionError, match=r"^The models cannot be compared, and what cannot") as failed:
        facecvt.assert_parity(folder / "a.onnx", folder / "other.onnx")
    assert "\nReason: " in str(failed.value)


def test_any_path_is_a_path(folder: Path) -> None:
    """pytest's own ``tmpdir`` gives paths that are no ``pathlib.Path``."""

    class TheirPath:
        def __fspath__(self) -> str:
            return str(folder / "a.onnx")

    assert facecvt.assert_parity(TheirPath(), folder / "renamed.onnx").a == str(folder / "a.onnx")  # type: ignore[arg-type]


def test_arrays_as_inputs(folder: Path) -> None:
    pixels = np.random.RandomState(0).rand(3, 3, SIZE, SIZE)
    found = facecvt.assert_parity(folder / "a.onnx", folder / "renamed.onnx", inputs={"data": pixels})
    assert (found.verification.batches, found.verification.kinds) == ((3,), ("given",))
    with pytest.raises(ParityAssertionError):
        facecvt.assert_parity(folder / "a.onnx", folder / "wrong.onnx", inputs={"data": pixels})
    with pytest.raises(UsageError, match=r"inputs holds \['other', 'some'\], but A's inputs are \['data'\]"):
        facecvt.assert_parity(folder / "a.onnx", folder / "renamed.onnx", inputs={"some": pixels, "other": pixels})


def test_the_first_layer_at_fault_is_written(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ParityAssertionError, match=r"The first layer at fault alone: python .*run\.py"):
        facecvt.assert_parity(folder / "a.onnx", folder / "wrong.onnx", repro=tmp_path / "fault")
    assert (tmp_path / "fault" / "run.py").is_file()


def test_modules_in_hand(torch_module: Any, tmp_path: Path) -> None:
    """An nn.Module against the file made of it, and against itself with one weight changed; it stays as it was."""
    torch = torch_module
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.PReLU(4), torch.nn.Flatten())
    net.append(torch.nn.Linear(4 * 10 * 10, 5)).double().train()
    shapes = {"input": ("batch", 3, 12, 12)}
    path = tmp_path / "net.onnx"
    single = torch.nn.Sequential(*net).float().eval()
    torch.onnx.export(
        single, (torch.zeros(2, 3, 12, 12),), str(path), dynamo=False,
        input_names=["input"], dynamic_axes={"input": {0: "batch"}},
    )  # fmt: skip
    net.double().train()
    found = facecvt.assert_parity(net, path, shapes=shapes)
    assert (found.a, found.frameworks, found.verification.coverage.parametric) == ("Sequential", ("torch", "onnx"), 1.0)
    assert facecvt.assert_parity(path, net, shapes=shapes).environment["b"].startswith("torch ")
    assert net.training
    assert net[0].weight.dtype == torch.float64
    with torch.no_grad():
        net[4].bias[2] += 0.5
    with pytest.raises(ParityAssertionError) as failed:
        facecvt.assert_parity(path, net, shapes=shapes)
    assert failed.value.difference.fault is not None
    assert failed.value.difference.fault.result.operator == "Gemm"
    for thing, told in ((3, "not a int"), (torch.zeros(3), "not a Tensor")):
        with pytest.raises(UsageError, match=f"a model is a path, a name or an nn.Module, {told}"):
            facecvt.assert_parity(thing, path)
    with pytest.raises(UsageError, match=r"Sequential is an nn\.Module, and no model of onnx"):
        facecvt.assert_parity(net, path, frameworks=("onnx", None))


def test_a_factory_by_its_spelling(torch_module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import torch\n\ndef net():\n    torch.manual_seed(0)\n    return torch.nn.Conv2d(3, 4, 3)\n"
    (tmp_path / "their_conv.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    found = facecvt.assert_parity("their_conv:net", "their_conv:net", shapes={"input": (2, 3, 9, 9)})
    assert (found.a, found.frameworks) == ("their_conv:net", ("torch", "torch"))
