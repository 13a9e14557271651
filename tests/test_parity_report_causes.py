"""``facecvt parity`` names the cause of the first divergence, with the experiment that proves it; faults are put in."""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest

import facecvt
from facecvt.converters import conversion
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.parity_tests.diff import model as diff_model
from facecvt.parity_tests.parity_report import architecture, causes
from facecvt.parity_tests.parity_report.architecture import ArchitectureRun
from facecvt.parity_tests.parity_report.causes import Scene, of_failed
from facecvt.parity_tests.parity_report.divergence import command_of
from facecvt.parity_tests.parity_report.exact import basis_of
from facecvt.parity_tests.parity_report.native import open_native, with_common_eps
from facecvt.parity_tests.parity_report.onnx_model import make
from facecvt.parity_tests.parity_report.result import REPRO, ArchitectureResult, Settings
from facecvt.parity_tests.parity_report.runs import feeds_of, inputs_of
from facecvt.parity_tests.parity_report.suite import parity, sides_of
from facecvt.parity_tests.parity_report.written import gather_repros, write_report
from facecvt.reference_models import spec
from facecvt.reference_models.seeded import seeded_arrays

SMALL = "slimfacenet_a_x0_60"  # has what converters are wrong about: BatchNormalization, PReLU, padded convolutions
SCHEMA = json.loads((Path(facecvt.__path__[0]) / "docs/schemas/parity.schema.json").read_text(encoding="utf-8"))
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


def node_of(model: Any, operator: str, number: int = 2) -> Any:
    return [node for node in model.graph.node if node.op_type == operator][number]


def put(model: Any, name: str, change: Callable[[Any], Any]) -> None:
    weight = next(each for each in model.graph.initializer if each.name == name)
    weight.CopyFrom(onnx.numpy_helper.from_array(change(onnx.numpy_helper.to_array(weight)), name))


def put_attribute(node: Any, name: str, value: Any) -> None:
    kept = [each for each in node.attribute if each.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])


def epsilon(model: Any) -> None:
    put_attribute(node_of(model, "BatchNormalization"), "epsilon", 1e-3)


def gamma(model: Any) -> None:
    put(model, node_of(model, "BatchNormalization").input[1], np.ones_like)


def pads(model: Any) -> None:
    put_attribute(node_of(model, "Conv", 1), "pads", [0, 2, 2, 0])


def lost_pads(model: Any) -> None:
    """So that sizes, which this file fixes, do not fit each other behind it, and no runtime opens the model."""
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 112
    put_attribute(node_of(model, "Conv", 6), "pads", [0, 0, 0, 0])


def one_slope(model: Any) -> None:
    put(model, node_of(model, "PRelu").input[1], lambda slope: slope.reshape(-1)[:1].reshape(1, 1, 1))


def relu(model: Any) -> None:
    node = node_of(model, "PRelu")
    node.op_type = "Relu"
    del node.input[1:]


def edit(path: Path, fault: Callable[[Any], None]) -> None:
    model = onnx.load(str(path))
    fault(model)
    onnx.save(model, str(path))


def run(
    folder: Path, frameworks: tuple[str, ...], name: str = SMALL, open_net: Any = open_native, repro: Path | None = None
) -> ArchitectureResult:
    sides = sides_of(frameworks)
    basis = basis_of(side.id for side in sides if side.available)
    return ArchitectureRun(spec(name), sides, basis, inputs_of(True), 0, folder, open_net, repro).result()


def listed(operator: str, number: int = 2) -> str:
    """Canonical name of a layer, told from the listing alone."""
    return [layer.name for layer in spec(SMALL).layers() if layer.op == operator][number]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, mxnet_module: Any, ort_module: Any) -> Path:
    """The ONNX model that facecvt makes from the MXNet net, as it should be."""
    folder = tmp_path_factory.mktemp("made")
    arch = with_common_eps(spec(SMALL))
    with open_native("mxnet", arch, seeded_arrays(arch, 0)) as net:
        make("mxnet", net.export(folder), folder / "mxnet.onnx", arch)
    return folder / "mxnet.onnx"


def scene_of(folder: Path) -> Scene:
    arch = with_common_eps(spec(SMALL))
    feeds = feeds_of(arch, inputs_of(True), 0)
    return Scene(arch, seeded_arrays(arch, 0), feeds, "mxnet", folder, open_native, "again")


@pytest.mark.parametrize(
    ("fault", "cause", "operator", "number", "least"),
    [
        (epsilon, "epsilon", "BatchNormalization", 2, 1e-4),
        pytest.param(gamma, "gamma is 1 (fix_gamma)", "BatchNormalization", 2, 1e-2, marks=pytest.mark.slow),
        pytest.param(pads, "pads", "Conv", 1, 1e-1, marks=pytest.mark.slow),
        (lost_pads, "pads", "Conv", 6, math.inf),
        (one_slope, "one slope for all channels", "PRelu", 2, 1e-2),
        pytest.param(relu, "PRelu read as Relu", "PRelu", 2, 1e-1, marks=pytest.mark.slow),
    ],
)
def test_a_cause_in_an_onnx_model(
    made: Path, tmp_path: Path, fault: Any, cause: str, operator: str, number: int, least: float
) -> None:
    (tmp_path / "mxnet.onnx").write_bytes(made.read_bytes())
    edit(tmp_path / "mxnet.onnx", fault)
    found = of_failed(scene_of(tmp_path), {"torch": "no ONNX model", "onnx_mxnet": "it has another structure"})
    assert found is not None
    assert (found.side, found.against, found.cause) == ("onnx_mxnet", "oracle", cause)
    assert (found.layer, found.operator) == (listed(operator, number), operator)
    assert found.evidence.endswith("it has another structure")
    assert found.floor is not None
    if least == math.inf:
        assert (found.own_rel_rmse, found.ratio) == (None, None)
        assert "with that put right its own error is 0, before it was inf: shape [" in found.evidence
        return
    assert found.own_rel_rmse is not None
    assert least < found.own_rel_rmse < 2
    assert 5.96e-8 <= found.floor < 1e-6
    assert found.ratio == pytest.approx(found.own_rel_rmse / found.floor, rel=1e-3)
    assert f"with that put right its own error is 0, before it was {found.own_rel_rmse:.1e}" in found.evidence


@pytest.mark.slow
def test_a_right_model_has_no_cause(made: Path) -> None:
    assert of_failed(scene_of(made.parent), {"onnx_mxnet": "said to be wrong"}) is None


def test_a_cause_in_the_reports(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mxnet_module: Any, ort_module: Any
) -> None:
    def with_a_fault(framework: Any, source: Path, target: Path, arch: Any) -> None:
        make(framework, source, target, arch)
        edit(target, epsilon)

    monkeypatch.setattr(architecture, "make", with_a_fault)
    found = run(tmp_path, ("mxnet", "onnx"), repro=tmp_path / "shard" / REPRO)
    assert {pair.key: pair.verdict for pair in found.pairs} == {
        "oracle/mxnet": "agree", "oracle/onnx_mxnet": "differ", "mxnet/onnx_mxnet": "differ",
    }  # fmt: skip
    first = found.first_divergence
    assert first is not None
    assert (first.side, first.layer, first.cause) == ("onnx_mxnet", listed("BatchNormalization"), "epsilon")
    assert first.own_rel_rmse == pytest.approx(first.rel_rmse, rel=0.01)
    assert first.command == f"facecvt parity {SMALL} --seed 0 --frameworks mxnet,onnx --quick -v"
    evidence = (
        "epsilon is 0.001 where A has 1e-05; with that put right its own error is 0, "
        f"before it was {first.own_rel_rmse:.1e}"
    )
    assert first.evidence.startswith(evidence)
    result = parity(Settings((SMALL,), ("mxnet", "onnx"), True, 0), runner=lambda *rest: found)
    files = {path.name: path.read_text(encoding="utf-8") for path in write_report(result, tmp_path / "reports")}
    document = json.loads(files["parity.json"])
    jsonschema.validate(document, SCHEMA)
    assert document["architectures"][0]["first_divergence"]["cause"] == "epsilon"
    packed = re.search(r'id="data">([^<]+)<', files["parity.html"])
    assert packed is not None
    files["parity.html"] = gzip.decompress(base64.b64decode(packed.group(1))).decode()
    assert {name: evidence in text for name, text in files.items()} == dict.fromkeys(files, True)
    assert "Cause: epsilon. " in files["parity.md"]
    assert "cause: epsilon\n" in files["junit.xml"]
    assert first.repro == f"python repro/{SMALL}/run.py"
    assert {name: first.repro in text for name, text in files.items()} == dict.fromkeys(files, True)
    gather_repros([tmp_path / "shard", tmp_path / "another"], tmp_path / "reports")
    command = [sys.executable, *first.repro.split()[1:]]
    ran = subprocess.run(command, cwd=tmp_path / "reports", capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr  # the error of b.onnx is the reported one to 3 digits
    shown = re.search(r"B b.onnx: rel-RMSE ([^,]+),", ran.stdout)
    assert shown is not None
    assert float(shown.group(1)) == pytest.approx(first.own_rel_rmse, rel=0.01)
    kept = tmp_path / "reports" / REPRO / SMALL
    write_report(result, tmp_path / "reports")
    assert kept.is_dir()
    (kept.parent / "notes").mkdir()
    mended = replace(result, architectures=(replace(found, first_divergence=None),))
    write_report(mended, tmp_path / "reports")
    assert [path.name for path in kept.parent.iterdir()] == ["notes"]  # it is no longer of this report


def test_nothing_is_looked_into_while_all_agree(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mxnet_module: Any
) -> None:
    for name in ("opened", "diff_sides"):
        monkeypatch.setattr(causes, name, lambda *rest, **more: pytest.fail("a model was opened to find a cause"))
    found = run(tmp_path, ("mxnet",), "blazeface_mediapipe_front")
    assert (found.verdict, found.first_divergence) == ("agree", None)


def test_a_cause_in_the_code_of_a_native_net(tmp_path: Path, torch_module: Any) -> None:
    """The saved weights are right: the program shows it."""

    @contextmanager
    def with_a_fault(framework: str, arch: Any, arrays: Mapping[str, Any]) -> Iterator[Any]:
        with open_native(framework, arch, arrays) as net:
            kind = torch_module.nn.BatchNorm2d
            [module for module in net.program().modules() if isinstance(module, kind)][2].eps = 1e-3
            yield net

    found = run(tmp_path, ("torch",), SMALL, with_a_fault)
    first = found.first_divergence
    assert first is not None
    assert (first.side, first.layer, first.cause) == ("torch", listed("BatchNormalization"), "epsilon")
    assert first.evidence.startswith("epsilon is 0.001 where A has 1e-05; with that put right its own error is 0, ")
    assert "B the torch net as torch.export gives it, fed image/2" in first.evidence


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["paddle", "mxnet"])
def test_a_cause_in_the_files_of_a_native_net(
    tmp_path: Path, paddle_module: Any, mxnet_module: Any, ort_module: Any, framework: str
) -> None:
    """Every epsilon of one framework's net; the oracle evaluates MXNet's files of a net that is right."""

    @contextmanager
    def with_a_fault(name: str, arch: Any, arrays: Mapping[str, Any]) -> Iterator[Any]:
        options = {"eps": 1e-3} if name == framework else {}
        with open_native(name, arch.with_options(**options), arrays) as net:
            yield net

    found = run(tmp_path, ("paddle", "mxnet", "onnx"), "mbf", with_a_fault)
    first = found.first_divergence
    assert first is not None
    names = [layer.name for layer in spec("mbf").layers() if layer.op == "BatchNormalization"]
    assert (first.side, first.layer, first.cause) == (framework, names[0], "epsilon")
    assert first.evidence.startswith("epsilon is 0.001 where A has 1e-05; with that put right its own error is 0, ")
    assert f"A is the mxnet files that the oracle evaluates, B the files that the {framework} net" in first.evidence
    assert first.evidence.endswith(f"at the same layer: onnx_{framework}")


@pytest.mark.slow
def test_what_no_file_shows_has_no_cause(tmp_path: Path, mxnet_module: Any, ort_module: Any) -> None:
    """Only the net as it ran is wrong."""
    layer = listed("BatchNormalization")

    @contextmanager
    def with_a_fault(framework: str, arch: Any, arrays: Mapping[str, Any]) -> Iterator[Any]:
        with open_native(framework, arch, arrays) as net:
            right = net.run

            def wrong(x: Any, on_value: Any = None) -> Any:
                def shown(name: str, value: Any) -> None:
                    on_value(name, value * np.float32(1.001) if name == layer else value)

                return right(x, None if on_value is None else shown)

            net.run = wrong  # type: ignore[method-assign]
            yield net

    found = run(tmp_path, ("mxnet",), SMALL, with_a_fault, tmp_path / REPRO)
    first = found.first_divergence
    assert first is not None
    assert (first.side, first.layer, first.cause, first.repro) == ("mxnet", layer, None, None)
    assert first.rel_rmse == pytest.approx(1e-3, rel=0.01)
    assert "the files that the mxnet net is saved to, held against the mxnet files that the oracle" in first.evidence
    assert "does not show it" in first.evidence
    assert not (tmp_path / REPRO / SMALL).exists()


@pytest.mark.slow
def test_what_one_reader_reads_wrongly_is_held_against_another(
    monkeypatch: pytest.MonkeyPatch, made: Path, tmp_path: Path, torch_module: Any
) -> None:
    """A fault of facecvt's MXNet reader is in the graph of the net's own files too: they cannot tell the cause."""
    (tmp_path / "mxnet.onnx").write_bytes(made.read_bytes())
    edit(tmp_path / "mxnet.onnx", epsilon)

    def misread(framework: str, *rest: Any) -> Any:
        record, graph = conversion.read_source(framework, *rest)
        if framework == "mxnet":
            norms = [node for node in graph.body if node.op_type == "BatchNormalization"]
            norms[2].attributes.add(ir.AttrFloat32("epsilon", 1e-3))
        return record, graph

    monkeypatch.setattr(diff_model, "read_source", misread)
    found = of_failed(scene_of(tmp_path), {"onnx_mxnet": "off"})
    assert found is not None
    assert (found.layer, found.cause) == (listed("BatchNormalization"), "epsilon")
    assert "A is the architecture's listing with the seeded weights" in found.evidence


@dataclass(frozen=True)
class Trial:
    side: str
    against: str
    basis: str | None
    forms: list[str]


@pytest.mark.parametrize(
    "trial",
    [
        Trial("onnx_mxnet", "oracle", "mxnet", ["saved mxnet/onnx mxnet", "listing torch/onnx mxnet"]),
        Trial("onnx_torch", "oracle", "mxnet", ["saved torch/onnx torch", "oracle mxnet/onnx torch"]),
        Trial("onnx_torch", "oracle", "torch", ["saved torch/onnx torch"]),
        Trial("paddle", "oracle", "mxnet", ["oracle mxnet/saved paddle", "listing torch/saved paddle"]),
        Trial(
            "torch", "oracle", "mxnet",
            ["listing torch/saved torch", "oracle mxnet/program torch", "listing torch/program torch"],
        ),
        Trial("mxnet", "paddle", None, ["saved paddle/saved mxnet"]),
    ],
)  # fmt: skip
def test_what_is_held_against_what(trial: Trial) -> None:
    found = causes.trials(trial.side, trial.against, trial.basis)
    assert [f"{a.kind} {a.framework}/{b.kind} {b.framework}" for a, b in found] == trial.forms


def test_what_shows_it_again() -> None:
    every = sides_of(("torch", "paddle", "mxnet", "onnx"))
    assert command_of("r50", 3, every, inputs_of(False)) == "facecvt parity r50 --seed 3 -v"
    some = sides_of(("torch", "paddle"))
    expected = "facecvt parity r50 --seed 0 --frameworks torch,paddle --quick -v"
    assert command_of("r50", 0, some, inputs_of(True)) == expected
