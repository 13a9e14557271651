"""ONNX and PyTorch sources cut in the middle: what comes out, what is left out, names, the proof against the cut."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facecvt import cli
from facecvt.converters.cutting import load_cut_onnx
from facecvt.converters.errors import FormatError, UnsupportedOperatorsError, UsageError
from facecvt.converters.graph import name_of
from facecvt.converters.readers.from_onnx import read_onnx
from facecvt.parity_tests.proven import ProvenConversion, convert_and_verify
from facecvt.parity_tests.support.small_net import small_net

CODE = '''"""A net whose last operator facecvt has no rule for."""
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU())
        self.head = torch.nn.Conv2d(4, 2, 1)

    def forward(self, x):
        return torch.linalg.det(self.head(self.body(x)))


def net():
    torch.manual_seed(3)
    return Net()
'''


def outputs_of(done: ProvenConversion) -> list[str]:
    return [name_of(value) for value in done.conversion.graph.outputs]


def odd_model(path: Path) -> Path:
    """x -> conv -> relu -> an operator that nobody knows, which reads a second input and a weight."""
    weight = np.random.RandomState(0).standard_normal((2, 3, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("Odd", ["r", "sizes", "v"], ["y"], name="odd", domain="somebody"),
    ]
    inputs = [
        helper.make_tensor_value_info("sizes", TensorProto.FLOAT, [2]),
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 4, 4]),
    ]
    stored = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(weight, "v")]
    graph = helper.make_graph(
        nodes, "net", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], stored
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("somebody", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def test_an_onnx_model_ends_at_the_cut(tmp_path: Path) -> None:
    path = odd_model(tmp_path / "odd.onnx")
    with pytest.raises(UnsupportedOperatorsError):
        read_onnx(path)
    cut = load_cut_onnx(path, ["r", "c"])
    assert [node.name for node in cut.graph.node] == ["conv", "relu"]
    assert [item.name for item in cut.graph.input] == ["x"], "an input that only what is left out reads"
    assert [item.name for item in cut.graph.initializer] == ["w"]
    graph = read_onnx(path, None, cut)
    assert [name_of(value) for value in graph.outputs] == ["r", "c"]


@pytest.mark.parametrize("target", ["torch", "mxnet", "paddle"])
def test_a_cut_onnx_model_is_proven(target: str, tmp_path: Path) -> None:
    path = odd_model(tmp_path / "odd.onnx")
    done = convert_and_verify(path, "onnx", target, output=tmp_path / "t", cut_at=["r"], verify=target == "torch")
    assert outputs_of(done) == ["r"]
    if target == "torch":
        assert done.verification
        assert done.verification.coverage.parametric == 1.0
        assert done.verification.layers_compared == 2


def test_weights_beside_the_model_are_read(tmp_path: Path) -> None:
    path = small_net().write(tmp_path / "small.onnx")
    model = onnx.load(path)
    onnx.save(model, tmp_path / "ext.onnx", save_as_external_data=True, location="ext.bin", size_threshold=0)
    inner = model.graph.node[2].output[0]
    done = convert_and_verify(tmp_path / "ext.onnx", "onnx", "torch", output=tmp_path / "t", cut_at=[inner])
    assert done.verification
    assert outputs_of(done) == [inner]


def test_names_and_files_that_are_wrong(tmp_path: Path) -> None:
    path = odd_model(tmp_path / "odd.onnx")
    for name, near in (("rr", "Did you mean r"), ("x", "nothing in it computes"), ("w", "nothing in it computes")):
        with pytest.raises(UsageError, match=f"cut at '{name}'.*{near}"):
            load_cut_onnx(path, [name])
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x08\xff\xff")
    with pytest.raises(FormatError, match="not a readable ONNX model"):
        load_cut_onnx(tmp_path / "bad.onnx", ["y"])


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torch_module: Any) -> str:
    (tmp_path / "cut_net.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("cut_net", None)
    return "cut_net:net"


@pytest.mark.parametrize("name", ["body.1", "body", "head"])
def test_code_is_cut_at_a_module(name: str, code: str, tmp_path: Path, ort_module: Any) -> None:
    shape = {"x": ("batch", 3, 9, 9)}
    asked = "body.2" if name == "body" else name
    done = convert_and_verify(code, "torch", "onnx", output=tmp_path / "n.onnx", inputs=shape, cut_at=[asked])
    assert done.verification
    assert outputs_of(done) == [asked]
    import cut_net  # type: ignore[import-not-found]
    import torch

    x = np.random.RandomState(1).standard_normal((2, 3, 9, 9)).astype(np.float32)
    net = cut_net.net().eval()
    with torch.inference_mode():
        inner = {"body.1": net.body[:2], "body": net.body, "head": lambda data: net.head(net.body(data))}[name]
        expected = inner(torch.from_numpy(x)).numpy()
    got = ort_module.InferenceSession(str(tmp_path / "n.onnx")).run(None, {"x": x})[0]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_the_oracle_of_a_cut_program_takes_what_the_module_gives(code: str, torch_module: Any) -> None:
    from facecvt.converters.readers.from_torch import TorchCode, read_program
    from facecvt.parity_tests.source_torch import ProgramOracle

    program, _ = read_program(TorchCode(code, "net"), {"x": ("batch", 3, 9, 9)}, "net", ["body.1"])
    with torch_module.no_grad():
        program.module.body[1].bias += 7.0  # the graph does not know
    walk = ProgramOracle(program).walk({"x": np.zeros((1, 3, 9, 9))})
    values = {}
    try:
        while True:
            name, value = next(walk)
            values[name] = value
    except StopIteration as end:
        np.testing.assert_allclose(end.value["body.1"], values["body.1"] + 7.0, rtol=1e-6)


def test_an_archive_is_cut(code: str, tmp_path: Path, torch_module: Any) -> None:
    import cut_net

    torch_module.jit.trace(cut_net.net().eval(), torch_module.zeros(1, 3, 9, 9)).save(str(tmp_path / "net.pt"))
    shape = {"x": ("batch", 3, 9, 9)}
    done = convert_and_verify(tmp_path / "net.pt", "torch", "onnx", output="n.onnx", inputs=shape, cut_at=["head"])
    assert done.verification
    assert outputs_of(done) == ["head"]


def test_bare_weights_are_cut_at_a_layer(tmp_path: Path, ort_module: Any, torch_module: Any) -> None:
    done = convert_and_verify("mobilenet_v1", "torch", "onnx", output=tmp_path / "whole.onnx", verify=False)
    layers = [name for name in done.conversion.graph.origins if "bn" in name or "norm" in name]
    inner = layers[len(layers) // 2] if layers else list(done.conversion.graph.origins)[10]
    cut = convert_and_verify("mobilenet_v1", "torch", "onnx", output=tmp_path / "cut.onnx", cut_at=[inner])
    assert cut.verification
    assert outputs_of(cut) == [inner]
    assert cut.verification.coverage.parametric == 1.0
    assert len(cut.conversion.graph.body) < len(done.conversion.graph.body)
    assert cut.conversion.recognised is None
    with pytest.raises(UsageError, match="cannot be cut at 'nothing_like_it'"):
        convert_and_verify("mobilenet_v1", "torch", "onnx", output=tmp_path / "no.onnx", cut_at=["nothing_like_it"])


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = odd_model(tmp_path / "odd.onnx")
    arguments = ["onnx2torch", str(path), "-o", str(tmp_path / "t"), "--no-verify"]
    assert cli.main(arguments) == 3
    assert cli.main([*arguments, "--cut-at", "r"]) == 0
    assert cli.main([*arguments, "--force", "--cut-at", "zz"]) == 2
    assert "cannot be cut at 'zz'" in capsys.readouterr().err
