"""The command line as its users meet it: help, errors, exit codes, one JSON document, pipes and signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from facecvt import __version__, cli
from facecvt.commands.failures import SCHEMA_VERSION
from facecvt.commands.options import InputShape
from facecvt.converters import errors, targets
from facecvt.parity_tests.runtimes.open_target import OPENERS

COMMANDS = list(cli.program.commands)
FACECVT = [sys.executable, "-m", "facecvt.cli"]


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """A real process of the command line."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [*FACECVT, *arguments], capture_output=True, text=True, check=False, timeout=300, **options
    )


def run_here(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command line run in this process."""
    capsys.readouterr()
    code = cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_conversions_are_those_of_the_engine() -> None:
    possible = {(s, t) for s in targets.SOURCES for t in targets.TARGETS if s != t}
    assert set(targets.CONVERSIONS) == possible
    others = ["diff", "selftest", "parity", "inspect", "ops", "models", "doctor", "completion"]
    assert [*(f"{source}2{target}" for source, target in targets.CONVERSIONS), *others] == COMMANDS
    for framework in targets.TARGETS:
        assert callable(targets.writer_for(framework))
        assert framework in OPENERS


@pytest.mark.parametrize(
    "command", [[], *([name] for name in COMMANDS)], ids=lambda words: " ".join(words) or "facecvt"
)
def test_help_is_there_for_everything(command: list[str]) -> None:
    result: Result = CliRunner().invoke(cli.program, [*command, "-h"])
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")
    for option in cli.program.commands[command[0]].params if command else ():
        if isinstance(option, click.Option):
            assert option.help, f"{command[0]} {option.name} has no help"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_reports_as_asked(command: str) -> None:
    names = {option for param in cli.program.commands[command].params for option in param.opts}
    assert {"--json", "-q", "-v"} <= names


def test_help_imports_no_framework_and_little_else() -> None:
    """What --help costs is what it imports; `make bench` measures its seconds."""
    code = (
        "import sys; before = set(sys.modules); from facecvt import cli; code = cli.main(['-h']); "
        "print(*sorted(set(sys.modules) - before), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    imported = done.stderr.split()
    heavy = {"numpy", "onnx", "onnx_ir", "onnxruntime", "rich", "torch", "paddle", "mxnet", "sympy"}
    assert not heavy.intersection(imported)
    assert {"click", "facecvt.cli"} <= set(imported)
    assert len(imported) <= 80, imported  # 66 with Python 3.11
    assert sum(name.partition(".")[0] == "facecvt" for name in imported) <= 12, imported


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(capsys, "--version") == (0, f"facecvt {__version__}\n", "")


def test_without_a_command_the_help_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_here(capsys)
    assert (code, out) == (2, "")
    assert err.startswith("Usage: facecvt")


USAGE_ERRORS = [
    ["no-such-command"],
    ["mxnet2onnx"],
    ["mxnet2onnx", "x", "y"],
    ["mxnet2onnx", "x", "--no-such-option"],
    ["mxnet2onnx", "x", "--opset", "10"],
    ["mxnet2onnx", "x", "--opset", "22"],
    ["mxnet2onnx", "x", "--input", "data"],
    ["mxnet2onnx", "x", "--input", "data=1x0x3"],
    ["mxnet2torch", "x", "--opset", "13"],
    ["paddle2onnx", "x", "--epoch", "1"],
    ["mxnet2onnx", "x", "--epoch", "-1"],
    ["mxnet2torch", "x", "--arch", "some"],
    ["mxnet2onnx", "no/such/model"],
    ["mxnet2onnx", "r5O"],
    ["onnx2torch", "r50"],
    ["inspect", "no-such-model"],
    ["completion", "csh"],
]


@pytest.mark.parametrize("arguments", USAGE_ERRORS, ids=" ".join)
def test_usage_errors_are_one_message_and_exit_2(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run_here(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("error: ") == 1
    assert "Traceback" not in err
    code, out, err = run_here(capsys, *arguments, "--json")
    document = json.loads(out)
    assert (document["exit_code"], code) == (2, 2)
    assert document["error"]
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_nothing_names_both_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r51-symbol.json").write_text("{}")
    code, _, err = run_here(capsys, "mxnet2onnx", "r52")
    assert code == 2
    assert "r51" in err
    assert "r50" in err


def test_input_shapes_are_parsed() -> None:
    kind = InputShape()
    assert kind.convert("data=1x3x112x112", None, None) == ("data", (1, 3, 112, 112))
    assert kind.convert("a=b=batch,3,112,w", None, None) == ("a=b", ("batch", 3, 112, "w"))
    assert kind.convert("ids=7", None, None) == ("ids", (7,))


FAILURES = [
    (errors.UsageError("m"), 2),
    (errors.AmbiguousModelError("m"), 2),
    (errors.ConversionError("m"), 3),
    (errors.FormatError("file", 12, "m"), 3),
    (errors.WeightsError("m"), 3),
    (errors.AttributeValueError("m"), 3),
    (errors.UnsupportedOperatorsError("file", {"op": ["node"]}), 3),
    (errors.FrameworkMissingError("torch", "run", "pip install torch"), 4),
    (errors.NotComparableError("m"), 5),
    (PermissionError(13, "Permission denied", "file"), 3),
    (ModuleNotFoundError("m", name="onnx"), 4),
    (ModuleNotFoundError("m", name="facecvt.lost"), 70),
    (ZeroDivisionError("m"), 70),
    (KeyError("m"), 70),
    (KeyboardInterrupt(), 130),
]


@pytest.mark.parametrize(("error", "code"), FAILURES, ids=lambda value: type(value).__name__)
def test_every_error_has_its_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("facecvt.converters.ops_table.operator_rows", fail)
    found, out, err = run_here(capsys, "ops")
    assert (found, out) == (code, "")
    assert err.startswith("error: ")
    assert ("this is a bug in facecvt" in err) == (code == 70)
    assert ("-v" in err) == (code == 70)
    found, out, _ = run_here(capsys, "ops", "--json")
    document = json.loads(out)
    assert document == {
        "schema_version": SCHEMA_VERSION,
        "command": "ops",
        "error": document["error"],
        "error_type": document["error_type"],
        "exit_code": code,
    }
    assert found == code
    _, _, err = run_here(capsys, "ops", "-v")
    assert "Traceback" in err


def test_every_class_of_the_error_tree_is_covered() -> None:
    def below(kind: type[BaseException]) -> set[type[BaseException]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    own = {kind for kind in below(errors.FacecvtError) if kind.__module__ == errors.__name__}
    assert own - {type(error) for error, _ in FAILURES} == {errors.FacecvtError}


@pytest.mark.parametrize("command", ["ops", "models", "doctor"])
def test_listings_are_one_document(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_here(capsys, command, "--json")
    document = json.loads(out)
    assert (code, err, document["command"]) == (0, "", command)
    assert document["schema_version"] == SCHEMA_VERSION
    code, out, err = run_here(capsys, command)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) > 60  # nothing is cut to a terminal's width
    assert "\x1b" not in out


def test_ops_lists_every_rule(capsys: pytest.CaptureFixture[str]) -> None:
    from facecvt.converters.ops.registry import DIRECTIONS, table

    rows = {row["operator"]: row for row in json.loads(run_here(capsys, "ops", "--json")[1])["operators"]}
    for direction in DIRECTIONS:
        assert {name: row[direction] for name, row in rows.items() if row[direction]} == table(direction)
    text = run_here(capsys, "ops")[1]
    assert {line.split()[0] for line in text.splitlines() if " x " in line} == set(rows)


def test_models_lists_every_architecture(capsys: pytest.CaptureFixture[str]) -> None:
    from facecvt.reference_models import names, resolve

    rows = json.loads(run_here(capsys, "models", "--json")[1])["models"]
    assert [row["name"] for row in rows] == names()
    for row in rows:
        assert all(resolve(alias).architecture.name == row["name"] for alias in row["aliases"])
    (r50,) = (row for row in rows if "r50" in row["aliases"])
    assert (r50["embedding_size"], r50["input_shape"]) == (512, ["batch", 3, 112, 112])


def test_doctor_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from facecvt.parity_tests import environment

    real = environment.installed_version
    monkeypatch.setattr(environment, "installed_version", lambda name: None if name == "torch" else real(name))
    code, out, _ = run_here(capsys, "doctor", "--json")
    document = json.loads(out)
    assert code == 0
    (torch,) = (package for package in document["packages"] if package["name"] == "torch")
    assert torch["version"] is None
    assert torch["command"].startswith("pip install torch")
    impossible = [ability for ability in document["abilities"] if not ability["possible"]]
    assert [ability["task"] for ability in impossible] == ["mxnet2torch, paddle2torch, onnx2torch: verify"]
    monkeypatch.setattr(environment, "installed_version", lambda name: None if name == "onnxruntime" else real(name))
    code, out, _ = run_here(capsys, "doctor", "--json")
    assert code == 4
    assert "onnxruntime>=1.20" in out


def test_doctor_imports_no_framework() -> None:
    code = (
        "import sys; from facecvt import cli; cli.main(['doctor', '-q']); "
        "sys.exit(str({'torch', 'paddle', 'mxnet', 'onnxruntime', 'onnx'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_here(capsys, "completion", shell)
    assert code == 0
    assert cli.COMPLETE_VARIABLE in out
    assert "# Install: facecvt completion " + shell in out
    assert out.startswith("#compdef facecvt\n") == (shell == "zsh")


def test_completion_completes_commands_options_and_models() -> None:
    def complete(*words: str) -> str:
        # bash gives the words and the index of the one that is being completed
        environment = os.environ | {
            cli.COMPLETE_VARIABLE: "bash_complete",
            "COMP_WORDS": " ".join(("facecvt", *words)),
            "COMP_CWORD": str(len(words)),
        }
        return run(env=environment).stdout

    assert "plain,mxnet2onnx\n" in complete("mx")
    assert "plain,--no-verify\n" in complete("mxnet2onnx", "--no")
    assert "plain,mobilefacenet\n" in complete("mxnet2onnx", "mobilef")
    assert "file," in complete("mxnet2onnx", "det")


def test_a_closed_pipe_is_quiet() -> None:
    for command in ("ops", "--help"):
        reader, writer = os.pipe()
        os.close(reader)
        process = subprocess.Popen([*FACECVT, command], stdout=writer, stderr=subprocess.PIPE, text=True)
        os.close(writer)
        _, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, "")


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_cleanly(number: signal.Signals, code: int, tmp_path: Path) -> None:
    program = (
        "import signal, sys, time; from facecvt import cli; import facecvt.converters.ops_table as table\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
        "def wait():\n    print('ready', file=sys.stderr, flush=True); time.sleep(60)\n"
        "table.operator_rows = wait; sys.argv = ['facecvt', 'ops']; sys.exit(cli.main())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (code, "")
    assert "Traceback" not in err


def test_names_outside_the_terminals_encoding_do_not_fail(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = run("inspect", "модель", cwd=tmp_path, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert run("ops", env=environment).returncode == 0


def test_generated_pages_are_up_to_date() -> None:
    generate = Path(__file__).resolve().parents[1] / "docs" / "generate.py"
    done = subprocess.run([sys.executable, str(generate), "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
