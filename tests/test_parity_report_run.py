"""``facecvt parity`` on a small net: green, red where a weight is off, the same twice, joined from its parts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import junitparser
import numpy as np
import pytest

import facecvt
from facecvt.cli import main
from facecvt.converters.errors import UsageError
from facecvt.parity_tests.parity_report import architecture, suite
from facecvt.parity_tests.parity_report.architecture import ArchitectureRun
from facecvt.parity_tests.parity_report.native import open_native
from facecvt.parity_tests.parity_report.result import ArchitectureResult, ParityResult, Settings
from facecvt.parity_tests.parity_report.result_json import read_json
from facecvt.parity_tests.parity_report.suite import merged, parity, selected, shard_of, sides_of
from facecvt.parity_tests.parity_report.values_on_disk import WeightsOnDisk
from facecvt.parity_tests.parity_report.written import write_report
from facecvt.reference_models import names, spec

SCHEMA = json.loads((Path(facecvt.__path__[0]) / "docs/schemas/parity.schema.json").read_text(encoding="utf-8"))
SMALL = "blazeface_mediapipe_front"
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


def run(frameworks: tuple[str, ...], folder: Path, open_net: Any = open_native) -> ArchitectureResult:
    """One small net, quick, in the middle of the program: without the command line."""
    sides = sides_of(frameworks)
    basis = suite.basis_of(side.id for side in sides if side.available)
    return ArchitectureRun(spec(SMALL), sides, basis, suite.inputs_of(True), 0, folder, open_net).result()


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, torch_module: Any, paddle_module: Any, mxnet_module: Any, ort_module: Any
) -> Path:
    """The reports of one net in all frameworks."""
    folder = tmp_path_factory.mktemp("parity")
    assert main(["parity", SMALL, "--quick", "-q", "-o", str(folder)]) == 0
    return folder


def test_the_weights_file_is_not_in_memory_beside_a_net(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, torch_module: Any, mxnet_module: Any
) -> None:
    """What was read to make a net, or the oracle's files, is forgotten before anything is run."""
    told: list[str] = []

    def telling(what: str, function: Any) -> Any:
        def called(*rest: Any, **more: Any) -> Any:
            found = function(*rest, **more)
            told.append(what)
            return found

        return called

    @contextmanager
    def watched(framework: str, *rest: Any) -> Iterator[Any]:
        with open_native(framework, *rest) as net:
            told.append(f"{framework} is made")
            monkeypatch.setattr(net, "run", telling(f"{framework} has run", net.run))
            yield net

    monkeypatch.setattr(WeightsOnDisk, "forget", telling("forgotten", WeightsOnDisk.forget))
    for name in ("open_exact", "compare_layers"):
        monkeypatch.setattr(architecture, name, telling(name, getattr(architecture, name)))
    assert run(("torch", "mxnet"), tmp_path, watched).verdict == "agree"
    assert {"torch has run", "mxnet has run", "compare_layers"} <= set(told)
    for made in ("torch is made", "mxnet is made", "open_exact"):
        assert told[told.index(made) + 1] == "forgotten"


def test_a_small_net_agrees_everywhere(folder: Path) -> None:
    document = json.loads((folder / "parity.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, SCHEMA)
    result = read_json(folder)
    found = result.architectures[0]
    assert (result.verdict, result.exit_code, found.name) == ("agree", 0, SMALL)
    assert len(found.pairs) == 21
    assert {pair.verdict for pair in found.pairs} == {"agree"}
    assert min(pair.compared for pair in found.pairs) >= 55
    assert found.pair("mxnet", "onnx_mxnet").compared == len(found.layers) == 94
    assert all(0 < (pair.worst_ratio or 0) < 5 for pair in found.pairs if pair.a == "oracle")
    own = [value for value in found.pair("oracle", "onnx_mxnet").figures["own_rel_rmse"] if value is not None]
    assert len(own) == 94
    assert max(own) < 1e-6
    assert len(found.checks) == 6 * 7
    assert {side.identical for side in found.weights_of} == {side.tensors for side in found.weights_of} != {0}
    assert {side.sha256 for side in found.weights_of} == {found.weights}
    assert found.first_divergence is None


def test_junit_in_two_readers(folder: Path) -> None:
    root = ElementTree.parse(folder / "junit.xml").getroot()
    assert root.tag == "testsuites"
    assert len(root.findall("testsuite/testcase")) == 21 + 42
    read = junitparser.JUnitXml.fromfile(str(folder / "junit.xml"))
    assert [(each.name, each.tests, each.failures, each.errors) for each in read] == [(SMALL, 63, 0, 0)]


def test_markdown_has_a_summary_and_a_table(folder: Path) -> None:
    text = (folder / "parity.md").read_text(encoding="utf-8")
    assert text.startswith("# Parity: agree\n\n1 architecture: 1 agree. 21 pairs, ")
    assert f"## {SMALL}: agree" in text
    assert text.count("| Paddle |") >= 1


def test_two_runs_give_the_same_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["parity", SMALL, "--quick", "-q", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    before = json.loads((folder / "parity.json").read_text(encoding="utf-8"))
    assert again.pop("run") != before.pop("run")
    assert json.dumps(again) == json.dumps(before)


@contextmanager
def with_a_fault(framework: str, arch: Any, arrays: Mapping[str, Any]) -> Iterator[Any]:
    """The nets as they are, but for one weight of one layer in PyTorch."""
    if framework == "torch":
        wrong = {name: np.array(array) for name, array in arrays.items()}
        wrong["backbone1.5.convs.1.weight"].flat[7] += 1e-2
        arrays = wrong
    with open_native(framework, arch, arrays) as net:
        yield net


def test_a_wrong_weight_is_found_and_named(tmp_path: Path, torch_module: Any, mxnet_module: Any) -> None:
    found = run(("torch", "mxnet", "onnx"), tmp_path, with_a_fault)
    assert found.verdict == "differ"
    verdicts = {pair.key: pair.verdict for pair in found.pairs}
    assert {key for key, verdict in verdicts.items() if verdict == "agree"} == {
        "oracle/mxnet", "oracle/onnx_mxnet", "mxnet/onnx_mxnet", "torch/onnx_torch",
    }  # fmt: skip
    first = found.first_divergence
    assert first is not None
    assert (first.side, first.layer, first.cause) == ("torch", "backbone1.5.convs.1", "1 weight changed")
    assert first.inputs_agree
    assert "not the seeded ones, read back bit by bit; at the same layer: onnx_torch" in first.evidence
    failed = [(check.side, check.check) for check in found.checks if check.verdict == "differ"]
    assert ("torch", "weights") in failed
    assert all(side != "mxnet" for side, _ in failed)
    result = some_result(found)
    write_report(result, tmp_path / "reports")
    jsonschema.validate(json.loads((tmp_path / "reports/parity.json").read_text(encoding="utf-8")), SCHEMA)
    read = junitparser.JUnitXml.fromfile(str(tmp_path / "reports/junit.xml"))
    assert sum(each.failures for each in read) == 6 + len(failed)
    text = (tmp_path / "reports/parity.md").read_text(encoding="utf-8")
    assert "First divergence: `backbone1.5.convs.1` (Conv) of torch" in text


def test_a_missing_framework_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, torch_module: Any) -> None:
    known = suite.installed_version
    monkeypatch.setattr(suite, "installed_version", lambda name: None if name == "mxnet" else known(name))
    found = run(("torch", "mxnet"), tmp_path)
    assert {pair.key: pair.verdict for pair in found.pairs} == {
        "oracle/torch": "agree", "oracle/mxnet": "not_run", "torch/mxnet": "not_run",
    }  # fmt: skip
    assert "pip install" in found.pair("torch", "mxnet").reason
    assert some_result(found).exit_code == 4


def some_result(*found: ArchitectureResult) -> ParityResult:
    """A whole result of what one or more architectures gave."""
    given = {each.name: each for each in found}

    def known(arch: Any, *rest: object) -> ArchitectureResult:
        return given[arch.name]

    return parity(Settings(tuple(given), ("torch", "mxnet", "onnx"), True, 0), runner=known)


def made_up(arch: Any, *rest: object) -> ArchitectureResult:
    """What a runner may give, of no run at all."""
    sha = "0" * 64
    return ArchitectureResult(
        name=arch.name, family=arch.family, title=arch.title, verdict="agree", reasons=(), options={}, parameters=1,
        multiply_adds=1, seed=0, weights=sha, weights_of=(), inputs=(), outputs=(), coverage=(), pairs=(), layers=(),
        checks=(),
    )  # fmt: skip


def test_shards_joined_are_the_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings((), ("torch", "onnx"), False, 0)
    whole = parity(settings, runner=made_up)
    assert [each.name for each in whole.architectures] == names()
    parts = [parity(replace(settings, shard=f"{number}/3"), runner=made_up) for number in (1, 2, 3)]
    assert all(len(part.architectures) > 15 for part in parts)
    for number, part in enumerate(parts):
        write_report(part, tmp_path / str(number))
    folders = [tmp_path / name for name in "201"]
    assert replace(merged(folders), run={}) == replace(whole, run={})
    assert set(merged(folders).run["architectures"]) == set(names())
    assert main(["parity", "--merge", *map(str, folders), "--out", str(tmp_path / "all"), "-q"]) == 0
    assert read_json(tmp_path / "all") == merged(folders)
    with pytest.raises(UsageError, match="not all of one run"):
        merged(folders[:2])
    write_report(replace(parts[0], settings=replace(parts[0].settings, seed=1)), tmp_path / "0")
    with pytest.raises(UsageError, match="other options"):
        merged(folders)
    capsys.readouterr()
    assert main(["parity", "--merge", str(tmp_path / "none")]) == 2


def test_what_is_chosen() -> None:
    quick = selected((), quick=True)
    assert len(quick) == len({arch.family for arch in quick}) == len({spec(name).family for name in names()})
    assert [arch.name for arch in selected(("mbf*", "r50"), quick=True)] == ["iresnet50", "mbf", "mbf_large"]
    every = selected((), quick=False)
    dealt = [arch.name for number in (1, 2) for arch in shard_of(every, f"{number}/2")]
    assert sorted(dealt) == sorted(names())
    for shard in ("0/2", "3/2", "1", "a/b"):
        with pytest.raises(UsageError, match="it is I/N"):
            shard_of(every, shard)
    with pytest.raises(UsageError, match="no 'caffe'"):
        sides_of(("torch", "caffe"))
    with pytest.raises(UsageError, match="at least one"):
        sides_of(("onnx",))
