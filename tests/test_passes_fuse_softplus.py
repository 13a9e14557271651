"""Softplus through MXNet, where it is spelled out: one operator again, and the architecture is recognised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from facecvt.converters.conversion import read_source
from facecvt.converters.formats.locate import locate
from facecvt.converters.formats.mxnet_model import load_mxnet
from facecvt.converters.graph import Graph, name_of
from facecvt.converters.readers.from_mxnet import read_mxnet
from facecvt.parity_tests.proven import convert_and_verify
from facecvt.parity_tests.verify import verify
from facecvt.reference_models.materialise import write_reference

SHAPE = {"x": ("batch", 4)}
PARTS = ("Abs", "Neg", "Exp", "Log", "Where", "Relu", "Equal", "Less", "Div")  # Sub: of the pixels' mean


def softplus_model(path: Path) -> Path:
    """x -> softplus, twice."""
    nodes = [helper.make_node("Softplus", ["x"], ["s"], name="s"), helper.make_node("Softplus", ["s"], ["y"], name="y")]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture
def through_mxnet(tmp_path: Path) -> Path:
    path = softplus_model(tmp_path / "s.onnx")
    convert_and_verify(path, "onnx", "mxnet", output=tmp_path / "net", verify=False)
    return tmp_path / "net"


def read_with(folder: Path, edit: Callable[[Any], None]) -> Graph:
    """The graph of an MXNet folder whose symbol was changed."""
    model = load_mxnet(locate("mxnet", str(folder)))
    edit(model.symbol)
    return read_mxnet(model, SHAPE)


def test_it_is_one_operator_again_and_proven(through_mxnet: Path, tmp_path: Path, ort_module: Any) -> None:
    _, graph = read_source("mxnet", locate("mxnet", str(through_mxnet)), SHAPE)
    assert [node.op_type for node in graph.body] == ["Softplus", "Softplus"]
    assert not graph.body.initializers
    assert len(graph.absorbed) == 28  # fourteen values of each
    assert set(graph.absorbed.values()) == {name_of(node.outputs[0]) for node in graph.body}
    done = convert_and_verify(through_mxnet, "mxnet", "onnx", output=tmp_path / "n.onnx", inputs=SHAPE)
    assert done.verification
    assert done.verification.coverage.taps == 1.0
    x = np.float32([[-90.0, -20.0, 0.5, 60.0]])
    got = ort_module.InferenceSession(str(tmp_path / "n.onnx")).run(None, {"x": x})[0]
    twice = np.logaddexp(np.logaddexp(x.astype(np.float64), 0), 0)
    np.testing.assert_allclose(got, twice, rtol=1e-6)


def test_a_part_that_is_read_elsewhere_or_another_operator_stays(through_mxnet: Path) -> None:
    def take_part_out(symbol: Any) -> None:
        symbol.heads.append((next(i for i, node in enumerate(symbol.nodes) if node.op == "exp"), 0))

    def other_function(symbol: Any) -> None:
        next(node for node in symbol.nodes if node.op == "negative").op = "square"

    def other_operand(symbol: Any) -> None:
        relu = [i for i, node in enumerate(symbol.nodes) if node.op == "Activation"][1]
        symbol.nodes[relu].inputs[0] = (0, 0)

    for edit in (take_part_out, other_function, other_operand):
        counted = Counter(node.op_type for node in read_with(through_mxnet, edit).body)
        assert counted["Softplus"] == 1, edit.__name__
        assert counted["Log"] == 1
        assert counted["Relu"] == 1


def test_an_architecture_with_it_is_recognised_behind_mxnet(
    tmp_path: Path, torch_module: Any, mxnet_module: Any
) -> None:
    start = write_reference("fresnet18", "mxnet", tmp_path / "start", activation="softrelu")
    first = convert_and_verify(start, "mxnet", "onnx", output=tmp_path / "n.onnx", verify=False).conversion
    convert_and_verify(tmp_path / "n.onnx", "onnx", "mxnet", output=tmp_path / "m", verify=False)
    operators = Counter(node.op for node in load_mxnet(locate("mxnet", str(tmp_path / "m"))).symbol.nodes)
    assert operators["log1p"] == 9  # of the first layer and of each of eight units
    back = convert_and_verify(tmp_path / "m", "mxnet", "torch", output=tmp_path / "t", verify=False).conversion
    assert first.recognised is not None
    assert back.recognised == first.recognised
    assert "softrelu" in (tmp_path / "t" / "model.py").read_text(encoding="utf-8")
    counted = Counter(node.op_type for node in back.graph.body)
    assert counted["Softplus"] == 9
    assert not any(counted[part] for part in PARTS)
    found = verify(back, batches=(1,), kinds=("normal",))
    assert found.verdict == "agree", found.reasons
    assert found.coverage.parametric == 1.0
