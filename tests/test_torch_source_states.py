"""Bare weights of PyTorch as a source: graph from the listing, proof by the net that is written by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from facecvt import cli
from facecvt.converters.errors import UsageError, WeightsError
from facecvt.converters.formats.safetensors_file import write_safetensors
from facecvt.converters.formats.torch_state import write_state_dict
from facecvt.parity_tests.proven import ProvenConversion, convert_and_verify
from facecvt.parity_tests.support.small_net import small_net
from facecvt.parity_tests.verify import verify
from facecvt.reference_models import names, spec
from facecvt.reference_models.listing_graph import graph_of_listing
from facecvt.reference_models.recognise import recognise
from facecvt.reference_models.seeded import seeded_arrays, seeded_state
from facecvt.reference_models.spec import ArchitectureSpec

FAST = ("mobilefacenet", "blazeface_mediapipe_front")
LISTED = (*FAST, "mobilenet_v3_small", "iresnet18", "resnet18", "fmobilefacenet", "adaface_ir18")


def written(net: ArchitectureSpec, path: Path, framework: str = "torch", prefix: str = "", **more: Any) -> Path:
    """A file with the seeded weights of a net."""
    state = {prefix + name: array for name, array in seeded_state(net, framework).items()} | more
    (write_safetensors if path.suffix == ".safetensors" else write_state_dict)(path, state)
    return path


def converted(source: Path | str, target: Path, **options: Any) -> ProvenConversion:
    return convert_and_verify(source, "torch", "onnx", output=target, **options)


def small(name: str) -> dict[str, Any]:
    """Shapes of the input where the architecture's own would take long."""
    return {"inputs": {"x": ["batch", 3, 128, 160]}} if spec(name).contracts["torch"].shape[2] == 640 else {}


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in names()]
)
def test_every_architecture_converts_and_agrees_with_its_net(
    name: str, tmp_path: Path, torch_module: ModuleType, ort_module: ModuleType
) -> None:
    net = spec(name)
    source = written(net, tmp_path / "x.pth")
    result = converted(source, tmp_path / "x.onnx", arch=name, verify=False, **small(name))
    found = verify(result.conversion, batches=(2,))
    assert found.verdict == "agree", found.reasons
    parametric = {layer.name for layer in net.layers() if layer.parameters}
    assert parametric <= {layer.name for layer in found.layers} | {output.name for output in found.outputs}
    assert found.coverage.parametric == 1.0


@pytest.mark.parametrize("name", LISTED)
def test_the_listings_graph_is_the_architecture(name: str) -> None:
    net = spec(name)
    graph = graph_of_listing(net, seeded_arrays(net), "x")
    found = recognise(graph)
    if "GNAP" not in str(net.options):
        assert found is not None
        assert found.architecture.layers() == net.layers()
        arrays = found.arrays()
        assert all(np.array_equal(arrays[key], array) for key, array in seeded_arrays(net).items())


def test_what_was_wrapped_around_and_left_beside(tmp_path: Path) -> None:
    net = spec("mobilefacenet", embedding_size=64)
    more = {"head.weight": np.ones((10, 64), np.float32)}
    halves = {name: array.astype(np.float16) for name, array in seeded_state(net, "torch").items()}
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {f"backbone.{name}": array for name, array in halves.items()} | more)
    result = converted(path, tmp_path / "x.onnx", arch="mobilefacenet", verify=False)
    said = "\n".join(result.conversion.warnings)
    assert "head.weight (class centres of 10 classes)" in said
    assert "float16" in said
    assert [tuple(contract.shape) for contract in result.conversion.contracts] == [("batch", 3, 112, 112)]


def test_an_ambiguous_state_is_said_to_be_so_and_can_be_chosen(
    tmp_path: Path,
) -> None:
    path = written(spec("iresnet18"), tmp_path / "x.pth")
    first = converted(path, tmp_path / "first.onnx", verify=False)
    assert first.conversion.graph.body[-1].op_type == "BatchNormalization"
    (said,) = [warning for warning in first.conversion.warnings if "2 nets" in warning]
    assert "iresnet18 (normalize=True), called ffc_resnet_arcface_iresnet18" in said
    assert "--arch" in said
    second = converted(path, tmp_path / "second.onnx", arch="ffc_resnet_arcface_iresnet18", verify=False)
    assert second.conversion.graph.body[-1].op_type == "LpNormalization"
    assert not [warning for warning in second.conversion.warnings if "nets" in warning]


def test_what_is_refused(tmp_path: Path) -> None:
    state = seeded_state(spec("iresnet18"), "torch")
    changed = {name: array for name, array in state.items() if name != "layer1.0.conv1.weight"}
    write_state_dict(tmp_path / "x.pth", changed | {"extra.conv.weight": np.ones((3, 3, 3, 3), np.float32)})
    with pytest.raises(
        WeightsError, match=r"nearest is iresnet18: 1 missing: layer1.0.conv1.weight; 1 unexpected: extra"
    ):
        converted(tmp_path / "x.pth", tmp_path / "x.onnx")
    with pytest.raises(WeightsError, match="not those of iresnet34"):
        converted(tmp_path / "x.pth", tmp_path / "x.onnx", arch="iresnet34")
    with pytest.raises(UsageError, match="no reference architecture is called 'iresnet'"):
        converted(tmp_path / "x.pth", tmp_path / "x.onnx", arch="iresnet")
    write_state_dict(tmp_path / "y.pth", {"a": np.ones(3, np.float32)})
    with pytest.raises(WeightsError, match="nothing like any reference architecture"):
        converted(tmp_path / "y.pth", tmp_path / "x.onnx")
    with pytest.raises(UsageError, match="has no input 'data'; its input is x"):
        converted(
            written(spec("iresnet18"), tmp_path / "z.pth"), tmp_path / "x.onnx", inputs={"data": [1, 3, 112, 112]}
        )
    assert not (tmp_path / "x.onnx").exists()


def test_a_wrong_listing_is_found(
    tmp_path: Path, torch_module: ModuleType, ort_module: ModuleType, monkeypatch: Any
) -> None:
    """The proof runs the net, not the listing: a graph with another eps differs."""
    from facecvt.reference_models import listing_graph

    path = written(spec("mobilefacenet"), tmp_path / "x.pth")
    monkeypatch.setattr(listing_graph, "eps_of", lambda *arguments: 1e-3)
    found = verify(converted(path, tmp_path / "x.onnx", verify=False).conversion, batches=(2,), kinds=("normal",))
    assert found.verdict == "differ"
    assert found.first_divergence is not None
    assert found.first_divergence.name == "conv1.bn"


def test_weights_of_another_framework_bring_its_eps(tmp_path: Path) -> None:
    path = written(spec("iresnet18"), tmp_path / "x.pth", "mxnet")
    result = converted(path, tmp_path / "x.onnx", arch="iresnet18", verify=False)
    eps = {node.attributes["epsilon"].value for node in result.conversion.graph.body if "epsilon" in node.attributes}
    assert np.float32(list(eps)).tolist() == [np.float32(2e-5)]


def test_without_torch_it_converts_and_is_not_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "torch" else found(name, *more)
    )
    result = converted(written(spec("mobilefacenet"), tmp_path / "x.pth"), tmp_path / "x.onnx")
    assert result.verification is not None
    assert (result.verification.verdict, result.exit_code) == ("not_verified", 4)
    assert result.verification.command == "pip install torch==2.13.0"
    assert (tmp_path / "x.onnx").is_file()


def test_a_conversion_of_weights_imports_no_framework(tmp_path: Path) -> None:
    path = written(spec("mobilefacenet"), tmp_path / "x.pth")
    command = ["torch2onnx", str(path), "-o", str(tmp_path / "x.onnx"), "--no-verify", "-q"]
    code = (
        f"import sys; from facecvt import cli; assert cli.main({command!r}) == 0; "
        "print(sorted({'torch', 'paddle', 'mxnet', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


REAL = {
    "blazeface-mediapipe/blazeface.pth": "blazeface_mediapipe_front",
    "blazeface-mediapipe/blazefaceback.pth": "blazeface_mediapipe_back",
    "blazeface-paddledet-port/blazeface_1000e.pt": "blazeface",
    "blazeface-paddledet-port/blazeface_1000e.pth": "blazeface",
    "blazeface-paddledet-port/blazeface_fpn_ssh_1000e.pt": "blazeface_fpn_ssh",
}


@pytest.mark.parametrize(
    "path", [path if REAL[path].endswith("front") else pytest.param(path, marks=pytest.mark.slow) for path in REAL]
)
def test_real_checkpoints_convert(
    path: str, real_models: Path, tmp_path: Path, torch_module: ModuleType, ort_module: ModuleType
) -> None:
    result = converted(real_models / "pytorch" / path, tmp_path / "x.onnx", **small(REAL[path]))
    assert result.verification is not None
    assert result.exit_code == 0, result.verification.reasons
    assert result.conversion.source_model.architecture.name == REAL[path]


def test_a_folder_of_our_own_says_how_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torch_module: ModuleType, ort_module: ModuleType
) -> None:
    """The weights alone are of no known net; ``model.py`` beside them is the net."""
    small_net().write(tmp_path / "small.onnx")
    convert_and_verify(tmp_path / "small.onnx", "onnx", "torch", output=tmp_path / "small_net", verify=False)
    with pytest.raises(WeightsError, match=r"small_net/model.py is the net: give `model:load` in that folder"):
        converted(tmp_path / "small_net", tmp_path / "x.onnx")
    monkeypatch.chdir(tmp_path)
    again = converted("small_net.model:load", tmp_path / "x.onnx", inputs={"data": ["batch", 3, 16, 16]})
    assert again.exit_code == 0


def test_the_command(tmp_path: Path, torch_module: ModuleType, ort_module: ModuleType, capsys: Any) -> None:
    written(spec("mobilefacenet"), tmp_path / "weights.pth")
    target = tmp_path / "out.onnx"
    assert (
        cli.main(
            ["torch2onnx", str(tmp_path / "weights.pth"), "--arch", "mobilefacenet", "-o", str(target), "--no-verify"]
        )
        == 0
    )
    assert str(target) in capsys.readouterr().out
    assert target.is_file()
