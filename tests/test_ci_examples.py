"""docs/ci.md and the GitHub action: they parse, their commands are those of the program, and their steps run.

A step runs here as GitHub's runner runs it: ``bash --noprofile --norc -eo pipefail`` on its text, the inputs put in.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

import facecvt
from facecvt.cli import program
from facecvt.parity_tests.parity_report.suite import shard_numbers

PROJECT = Path(facecvt.__path__[0])
PAGE = (PROJECT / "docs" / "ci.md").read_text(encoding="utf-8")
ACTION_FOLDER = PROJECT / ".github" / "actions" / "facecvt-parity"
ACTION: dict[str, Any] = yaml.safe_load((ACTION_FOLDER / "action.yml").read_text(encoding="utf-8"))
DEFAULTS = {name: each["default"] for name, each in ACTION["inputs"].items()}
LOCAL = "./.github/actions/facecvt-parity"
SUBSTITUTED = re.compile(r"\$\{\{ *(.*?) *\}\}")
BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
RECORD = """#!{python}
import json, os, sys
with open(os.environ["RECORDED"], "a") as stream:
    stream.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
"""


def blocks(language: str) -> list[str]:
    """The code blocks of the page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


FILES = {text.splitlines()[0].lstrip("# "): yaml.safe_load(text) for text in blocks("yaml")}
WORKFLOWS = {name: each for name, each in FILES.items() if name.startswith(".github/workflows/")}
GITLAB = FILES[".gitlab-ci.yml"]


def uses_of_the_action() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(job, with) of every step that uses the action."""
    found = []
    for workflow in WORKFLOWS.values():
        for job in workflow["jobs"].values():
            found += [(job, step.get("with", {})) for step in job["steps"] if step.get("uses") == LOCAL]
    return found


def resolved(text: str, values: dict[str, str]) -> str:
    """A text with every ``${{ }}`` put in; an unknown one is an error."""
    return SUBSTITUTED.sub(lambda found: values[found[1]], str(text))


def applies(step: dict[str, Any], values: dict[str, str], failed: bool) -> bool:
    """Whether a step runs; ``if`` may hold ``always()`` and comparisons of an input with a string."""
    conditions = [part.strip() for part in step.get("if", "success()").split("&&")]
    for condition in conditions:
        if condition in ("always()", "success()"):
            continue
        name, text = re.fullmatch(r"(inputs\.[a-z-]+) == '(.*)'", condition).groups()  # type: ignore[union-attr]
        if values[name] != text:
            return False
    return "always()" in conditions or not failed


def run_action(given: dict[str, Any], folder: Path, programs: Path) -> tuple[int, str]:
    """Run the shell steps of the action in a folder.

    Returns:
        The exit code of the first step that fails, 0 where none does; and the job's summary.
    """
    inputs = {
        **DEFAULTS,
        **{name: str(value).lower() if value is True else str(value) for name, value in given.items()},
    }
    values = {f"inputs.{name}": value for name, value in inputs.items()}
    summary = folder / "summary.md"
    summary.write_text("")
    code = 0
    for step in ACTION["runs"]["steps"]:
        if "run" not in step or not applies(step, values, code != 0):
            continue
        environment = {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_ACTION_PATH": str(ACTION_FOLDER),
            "GITHUB_STEP_SUMMARY": str(summary),
            **{name: resolved(text, values) for name, text in step.get("env", {}).items()},
        }
        assert "${{" not in step["run"], "an input in a script's text could hold commands; it belongs into env"
        done = subprocess.run([*BASH, "-c", step["run"]], cwd=folder, env=environment, check=False, timeout=1800)
        code = code or done.returncode
    return code, summary.read_text(encoding="utf-8")


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of programs that only write down how they were called."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("facecvt", "python", "pytest"):
        (folder / name).write_text(RECORD.format(python=sys.executable))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("RECORDED", str(tmp_path / "calls"))
    return folder


def calls(tmp_path: Path, name: str) -> list[list[str]]:
    """The recorded calls of a program, its name left out."""
    lines = (tmp_path / "calls").read_text().splitlines()
    (tmp_path / "calls").unlink()
    return [call[1:] for call in map(json.loads, lines) if call[0] == name]


def parsed(arguments: list[str]) -> dict[str, Any]:
    """What the program's own parser makes of a call; an error where it refuses it."""
    name, *rest = arguments
    # Within the program's context: a command keeps the help option that it is first asked for.
    outside = click.Context(program, **program.context_settings)
    with program.commands[name].make_context(name, rest, parent=outside) as context:
        return dict(context.params)


def test_the_page_has_its_examples() -> None:
    assert set(FILES) == {".github/workflows/parity.yml", ".github/workflows/parity-quick.yml", ".gitlab-ci.yml"}
    assert len(blocks("sh")) == 2
    for text in blocks("python"):
        ast.parse(text)
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (PROJECT / "docs" / target).exists(), target
    assert f"OWNER/facecvt/.github/actions/facecvt-parity@v{facecvt.__version__}" in PAGE
    told = re.search(r"Inputs of the action: (.*?)\. For", PAGE, re.DOTALL)
    assert told is not None
    assert re.findall(r"`([a-z-]+)`", told[1]) == list(DEFAULTS)


def test_the_workflows_use_the_action_as_it_is() -> None:
    uses = uses_of_the_action()
    assert len(uses) == 3
    for job, given in uses:
        assert set(given) <= set(DEFAULTS)
        assert "actions/checkout@v4" in [step.get("uses") for step in job["steps"]], "a local action needs a checkout"
    for workflow in WORKFLOWS.values():
        assert workflow[True] == "pull_request"  # YAML 1.1 reads the key `on` as true
        assert workflow["permissions"] == {"contents": "read"}
    shard, report = (WORKFLOWS[".github/workflows/parity.yml"]["jobs"][name] for name in ("shard", "report"))
    values = [{"matrix.shard": str(number)} for number in shard["strategy"]["matrix"]["shard"]]
    given = shard["steps"][-1]["with"]
    shards = [shard_numbers(resolved(given["shard"], each)) for each in values]
    assert shards == [(number, len(values)) for number in range(1, len(values) + 1)]
    assert shard["strategy"]["fail-fast"] is False
    artifacts = {resolved(given["artifact"], each) for each in values}
    assert len(artifacts) == len(values)
    fetched = report["steps"][1]["with"]
    assert all(Path(name).match(fetched["pattern"]) for name in artifacts)
    assert report["steps"][2]["with"]["merge"] == fetched["path"]
    assert report["if"] == "${{ !cancelled() }}"
    assert not Path(DEFAULTS["artifact"]).match(fetched["pattern"])


def test_every_input_of_the_action_is_used_and_every_step_has_a_shell() -> None:
    text = json.dumps(ACTION["runs"])
    for name in DEFAULTS:
        assert f"inputs.{name}" in text
    assert set(re.findall(r"inputs\.([a-z-]+)", text)) == set(DEFAULTS)
    steps = ACTION["runs"]["steps"]
    assert [step.get("uses", step.get("shell")) for step in steps] == [
        "actions/setup-python@v5", "bash", "bash", "bash", "actions/upload-artifact@v4",
    ]  # fmt: skip
    assert steps[-1]["if"] == "always()"


def scripts() -> list[str]:
    """Every shell text of the action and of the page."""
    found = [step["run"] for step in ACTION["runs"]["steps"] if "run" in step]
    for job in GITLAB.values():
        if isinstance(job, dict):
            found += ["\n".join(job[key]) for key in ("before_script", "script") if key in job]
    return [*found, *blocks("sh")]


def test_the_scripts_are_bash() -> None:
    assert len(scripts()) == 9
    for text in scripts():
        done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"quick": False, "shard": None, "architectures": (), "seed": 0}),
        ({"quick": True, "seed": 7}, {"quick": True, "seed": 7}),
        ({"shard": "2/4", "out": "a b"}, {"shard": "2/4", "out": Path("a b")}),
        ({"architectures": "r50 mobile*"}, {"architectures": ("r50", "mobile*")}),
        ({"architectures": "$(touch gone); x", "frameworks": "torch"}, {"architectures": ("$(touch", "gone);", "x")}),
        ({"merge": "shards"}, {"merge": True, "architectures": ("shards/one/", "shards/two/"), "shard": None}),
    ],
)
def test_the_action_calls_the_program(
    given: dict[str, Any], expected: dict[str, Any], recorder: Path, tmp_path: Path
) -> None:
    (tmp_path / "mobile_file").touch()  # a pattern is for facecvt, not for the shell
    for name in ("one", "two"):
        (tmp_path / "shards" / name).mkdir(parents=True)
    assert run_action(given, tmp_path, recorder) == (0, "")
    assert not (tmp_path / "gone").exists()
    recorded = (tmp_path / "calls").read_text()
    (found,) = calls(tmp_path, "facecvt")
    assert found[0] == "parity"
    params = parsed(found)
    assert params.items() >= {"out": Path("parity-report"), **expected}.items()
    (tmp_path / "calls").write_text(recorded)
    ((*_, pins, requirements, root),) = calls(tmp_path, "python")
    assert pins == ("--constraint" if "merge" in given else "--requirement")
    assert Path(requirements).samefile(PROJECT / "requirements.txt")
    assert Path(root).samefile(PROJECT)


def test_a_failed_run_is_summed_up_all_the_same(tmp_path: Path, recorder: Path) -> None:
    """The exit code stays that of the verdict; a shard leaves the summary to the report; a long one is cut."""
    text = (
        "#!/bin/sh\nmkdir -p parity-report; head -c 1200000 /dev/zero | tr '\\0' x > parity-report/parity.md; exit 5\n"
    )
    (recorder / "facecvt").write_text(text)
    code, summary = run_action({}, tmp_path, recorder)
    assert (code, len(summary)) == (5, 1_000_000)
    assert run_action({"shard": "1/2"}, tmp_path, recorder) == (5, "")
    (tmp_path / "shards" / "one").mkdir(parents=True)
    assert run_action({"merge": "shards"}, tmp_path, recorder)[0] == 5


def test_the_gitlab_jobs_call_the_program(tmp_path: Path, recorder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{recorder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CI_NODE_INDEX", "2")
    monkeypatch.setenv("CI_NODE_TOTAL", str(GITLAB["parity"]["parallel"]))
    (tmp_path / "shards" / "2").mkdir(parents=True)
    found = []
    for name in ("parity", "parity report"):
        job = {**GITLAB[GITLAB[name]["extends"]], **GITLAB[name]}
        assert job["stage"] in GITLAB["stages"]
        assert job["rules"][0]["if"] == '$CI_PIPELINE_SOURCE == "merge_request_event"'
        subprocess.run([*BASH, "-c", "\n".join(job["before_script"] + job["script"])], cwd=tmp_path, check=True)
        (call,) = calls(tmp_path, "facecvt")
        found.append(parsed(call))
        out = f"{found[-1]['out']}/"
        assert any(out.startswith(path) for path in job["artifacts"]["paths"])
        assert job["artifacts"]["when"] == "always"
    shard, report = found
    assert (shard["shard"], shard["out"], shard["merge"]) == ("2/4", Path("shards/2"), False)
    assert (report["architectures"], report["merge"]) == (("shards/2/",), True)
    assert GITLAB["parity report"]["rules"][0]["when"] == "always"
    assert GITLAB["parity report"]["artifacts"]["reports"]["junit"] == f"{report['out']}/junit.xml"


def test_the_commands_of_the_page(tmp_path: Path, recorder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{recorder}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "shards" / "1").mkdir(parents=True)
    subprocess.run([*BASH, "-c", "\n".join(blocks("sh"))], cwd=tmp_path, check=True)
    recorded = (tmp_path / "calls").read_text()
    shard, merge = map(parsed, calls(tmp_path, "facecvt"))
    assert (shard["shard"], merge["merge"], merge["architectures"]) == ("1/4", True, ("shards/1/",))
    (tmp_path / "calls").write_text(recorded)
    assert [call.count("--facecvt-report") for call in calls(tmp_path, "pytest")] == [1, 1]


@pytest.mark.slow
def test_two_shards_and_their_report(tmp_path: Path, torch_module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The action's own steps with the real program, but for the installation, which is a program that does nothing."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "python").write_text("#!/bin/sh\nexit 0\n")
    (programs / "python").chmod(0o755)
    (programs / "facecvt").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m facecvt.cli "$@"\n')
    (programs / "facecvt").chmod(0o755)
    given = {
        "architectures": "blazeface_mediapipe_front mobilenet_v3_small",
        "frameworks": "torch,onnx",
        "quick": True,
    }
    for number in (1, 2):
        job = tmp_path / f"job{number}"
        job.mkdir()
        assert run_action({**given, "shard": f"{number}/2"}, job, programs) == (0, "")
    report = tmp_path / "report"
    for number in (1, 2):  # as download-artifact lays them
        target = report / "shards" / f"facecvt-parity-shard-{number}"
        target.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"job{number}" / "parity-report").rename(target)
    code, summary = run_action({"merge": "shards"}, report, programs)
    assert code == 0
    files = report / "parity-report"
    assert sorted(path.name for path in files.iterdir()) == ["junit.xml", "parity.html", "parity.json", "parity.md"]
    assert summary == (files / "parity.md").read_text(encoding="utf-8")
    assert "2 architectures: 2 agree." in summary
    document = json.loads((files / "parity.json").read_text(encoding="utf-8"))
    schema = json.loads((PROJECT / "docs/schemas/parity.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, schema)
    assert document["verdict"] == "agree"
    assert {each["name"] for each in document["architectures"]} == set(given["architectures"].split())  # type: ignore[union-attr]
    (report / "shards" / "facecvt-parity-shard-2").rename(tmp_path / "gone")
    assert run_action({"merge": "shards"}, report, programs)[0] == 2, "a shard that is missing is no agreement"
