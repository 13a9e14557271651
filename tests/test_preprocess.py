"""--preprocess keep, strip and add, for every target: the graph, the contract, the proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from facecvt.converters.conversion import Conversion, convert_files
from facecvt.converters.errors import UsageError
from facecvt.converters.formats.locate import locate
from facecvt.converters.graph import Graph
from facecvt.parity_tests.proven import convert_and_verify
from facecvt.parity_tests.support.small_net import Node, small_net
from facecvt.parity_tests.verify import verify

MEAN = np.array([123.675, 116.28, 103.53], np.float32).reshape(1, 3, 1, 1)
SCALE = np.array(0.0175, np.float32)


def normalising(path: Path) -> Path:
    """The small net behind a Sub and a Mul."""
    net = small_net()
    for node in net.nodes:
        node.inputs = ["scaled" if name == "data" else name for name in node.inputs]
    net.nodes[:0] = [Node("Sub", ["data", "mean"], "minus"), Node("Mul", ["minus", "scale"], "scaled")]
    net.weights |= {"mean": MEAN, "scale": SCALE}
    return net.write(path)


def with_contract(graph: Graph) -> None:
    """A recogniser that tells mean and scale, as a known architecture does."""
    from dataclasses import replace

    graph.contracts = [
        replace(c, mean=tuple(float(x) for x in MEAN.reshape(-1)), scale=(float(SCALE),)) for c in graph.contracts
    ]


def adding(source: Path, target: str, out: Path) -> Conversion:
    return convert_files("onnx", locate("onnx", str(source)), target, out, preprocess="add", recogniser=with_contract)


@pytest.mark.parametrize("target", ["torch", "mxnet", "paddle"])
def test_strip_and_add_are_proven_in_every_target(target: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(f"{target}_module")
    source = normalising(tmp_path / "pixels.onnx")
    stripped = convert_and_verify(source, "onnx", target, output=tmp_path / "s", preprocess="strip")
    assert stripped.verification, stripped.verification
    assert (stripped.verification.coverage.parametric, stripped.verification.coverage.taps) == (1.0, 1.0)
    (contract,) = stripped.conversion.contracts
    assert contract.in_graph is False
    assert np.allclose(contract.mean, MEAN.reshape(-1))
    assert np.allclose(contract.scale, SCALE)
    added = adding(small_net().write(tmp_path / "plain.onnx"), target, tmp_path / "a")
    found = verify(added)
    assert found, found.reasons
    assert added.contracts[0].in_graph is True
    assert added.source_contracts is not None
    assert added.source_contracts[0].in_graph is False


def test_onnx_is_fed_what_the_contract_says(tmp_path: Path, ort_module: Any) -> None:
    source = normalising(tmp_path / "pixels.onnx")
    convert_and_verify(source, "onnx", "mxnet", output=tmp_path / "net", verify=False)
    shape = {"data": ("batch", 3, 16, 16)}
    operators, outputs = {}, {}
    pixels = np.random.RandomState(0).uniform(0, 255, (2, 3, 16, 16)).astype(np.float32)
    for choice in ("keep", "strip"):
        out = tmp_path / f"{choice}.onnx"
        done = convert_and_verify(tmp_path / "net", "mxnet", "onnx", output=out, inputs=shape, preprocess=choice)
        assert done.verification, done.verification
        operators[choice] = [node.op_type for node in onnx.load(out).graph.node]
        session = ort_module.InferenceSession(str(out))
        fed = pixels if choice == "keep" else (pixels - MEAN) * SCALE
        outputs[choice] = session.run(None, {session.get_inputs()[0].name: fed})[0]
    assert operators["keep"][:2] == ["Sub", "Mul"]
    assert operators["keep"][2:] == operators["strip"]
    np.testing.assert_allclose(outputs["strip"], outputs["keep"], rtol=1e-4, atol=1e-5)


def test_a_wrong_mean_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torch_module: Any) -> None:
    added = adding(small_net().write(tmp_path / "plain.onnx"), "torch", tmp_path / "a")
    path = tmp_path / "a" / "model.py"
    assert verify(added)
    import torch

    state = torch.load(tmp_path / "a" / "weights.pth", weights_only=True)
    (key,) = (name for name in state if "mean" in name and "data" in name)
    state[key] = state[key] + 0.5
    torch.save(state, tmp_path / "a" / "weights.pth")
    assert path.is_file()
    assert verify(added).verdict == "differ"


def test_nothing_to_strip_is_said_and_nothing_to_add_is_refused(tmp_path: Path) -> None:
    plain = small_net().write(tmp_path / "plain.onnx")
    done = convert_and_verify(plain, "onnx", "torch", output=tmp_path / "s", preprocess="strip", verify=False)
    assert any("strip" in warning for warning in done.conversion.warnings)
    with pytest.raises(UsageError, match="mean and scale"):
        convert_and_verify(plain, "onnx", "torch", output=tmp_path / "a", preprocess="add", verify=False)
    assert not (tmp_path / "a").exists()
    source = normalising(tmp_path / "pixels.onnx")
    done = convert_and_verify(source, "onnx", "torch", output=tmp_path / "b", preprocess="add", verify=False)
    assert any("already" in warning for warning in done.conversion.warnings)
