"""The ONNX project's own node tests through onnx2torch, onnx2paddle and onnx2mxnet; figures as docs/onnx-backend.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from facecvt.converters.errors import AttributeValueError, FormatError
from facecvt.converters.graph import dims
from facecvt.converters.readers.from_onnx import read_onnx
from facecvt.converters.writers.to_torch import write_torch
from facecvt.parity_tests.runtimes.runtime_torch import TorchRuntime
from facecvt.parity_tests.support.backend_nodes import (
    TARGETS,
    NodeCase,
    Outcome,
    difference,
    judged,
    node_cases,
    oracle_difference,
    out_of_scope,
    run_all,
)
from facecvt.parity_tests.support.single_op import skip_without

PAGE = Path(__file__).resolve().parents[1] / "docs" / "onnx-backend.md"
ROW = r"\| onnx2{} \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|"
OPERATORS = ("abs", "flatten", "gemm", "pow", "prelu", "scatterelements")
# Of 42. ScatterElements with a reduction is not read (4), Paddle and MXNet take no uint32 and uint64 (2), and
# ScatterElements has no rule to MXNet (3).
SAMPLE = {"torch": 38, "paddle": 36, "mxnet": 33}
# Passed and failed of the whole suite; a rule that is added raises the first, then `make backend-table` and this line.
WHOLE = {"torch": (704, 0), "paddle": (605, 0), "mxnet": (618, 0)}


def of(outcomes: dict[str, Outcome], *kinds: str) -> list[str]:
    return sorted(name for name, outcome in outcomes.items() if outcome.kind in kinds)


@pytest.mark.parametrize("target", TARGETS)
def test_the_cases_of_six_operators_pass(target: str) -> None:
    skip_without(target)
    cases = [case for operator in OPERATORS for case in node_cases(operator) if out_of_scope(case) is None]
    outcomes = run_all(target, cases)
    assert of(outcomes, "failed") == []
    assert len(of(outcomes, "passed", "constant")) == SAMPLE[target], of(outcomes, "excluded")


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_the_whole_suite_passes_as_often_as_the_page_says(target: str) -> None:
    skip_without(target)
    outcomes = run_all(target, [case for case in node_cases() if out_of_scope(case) is None])
    passed, failed = WHOLE[target]
    assert len(of(outcomes, "passed", "constant")) >= passed, of(outcomes, "failed")
    assert len(of(outcomes, "failed")) <= failed, {name: outcomes[name].reason for name in of(outcomes, "failed")}


@pytest.mark.slow
def test_the_oracle_agrees_with_every_case_that_it_evaluates() -> None:
    found = {case.name: oracle_difference(case) for case in node_cases() if out_of_scope(case) is None}
    assert {name: text for name, text in found.items() if text} == {}
    assert sum(text == "" for text in found.values()) >= 831


@pytest.mark.parametrize("target", TARGETS)
def test_the_page_says_what_the_tests_hold(target: str) -> None:
    row = re.search(ROW.format(target), PAGE.read_text(encoding="utf-8"))
    assert row is not None
    passed, shipped, constant, failed = map(int, row.groups())
    assert (passed, failed) == WHOLE[target]
    assert shipped + constant == passed


def test_wrong_numbers_shapes_types_and_unknown_refusals_are_failures() -> None:
    case = NodeCase("test_x", None, (np.ones(2),), (np.ones(2, np.float32),), 1e-3, 1e-7)
    assert difference([np.ones(2, np.float32)], case, "torch") == ""
    assert "1 of 2 numbers" in difference([np.array([1, 1.01], np.float32)], case, "torch")
    assert "2 of 2 numbers" in difference([np.full(2, np.nan, np.float32)], case, "torch")
    assert "shape" in difference([np.ones((1, 2), np.float32)], case, "torch")
    assert "float64" in difference([np.ones(2)], case, "torch")
    assert "0 outputs" in difference([], case, "torch")
    assert judged(["something that nobody foresaw"], case).kind == "failed"
    assert judged(["BatchNormalization 'x': training_mode is on"], case) == Outcome("excluded", "training mode")


# ---- what the suite found --------------------------------------------------------------------------------------------


def saved(folder: Path, nodes: list[Any], inputs: dict[str, tuple[int, list[int]]], outputs: list[str]) -> Path:
    described = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "g", described, results)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "m.onnx")
    return folder / "m.onnx"


@pytest.mark.parametrize(("axis", "shape"), [(-4, (1, 120)), (-1, (24, 5)), (-3, (2, 60)), (4, (120, 1))])
def test_a_negative_axis_of_flatten_counts_axes(tmp_path: Path, axis: int, shape: tuple[int, int]) -> None:
    node = helper.make_node("Flatten", ["x"], ["y"], axis=axis)
    graph = read_onnx(saved(tmp_path, [node], {"x": (TensorProto.FLOAT, [2, 3, 4, 5])}, ["y"]))
    assert dims(graph.outputs[0]) == shape


def test_an_output_that_no_rule_gives_is_refused_by_name(tmp_path: Path) -> None:
    node = helper.make_node("LayerNormalization", ["x", "s"], ["y", "mean"])
    inputs = {"x": (TensorProto.FLOAT, [2, 3]), "s": (TensorProto.FLOAT, [3])}
    with pytest.raises(AttributeValueError, match="its output 'mean' is used"):
        read_onnx(saved(tmp_path, [node], inputs, ["y", "mean"]))
    read_onnx(saved(tmp_path, [node], inputs, ["y"]))  # one that nobody reads does no harm


def test_a_shape_without_axes_stays_int64_in_torch(tmp_path: Path) -> None:
    skip_without("torch")
    node = helper.make_node("Shape", ["x"], ["y"], start=2, end=1)
    write_torch(read_onnx(saved(tmp_path, [node], {"x": (TensorProto.FLOAT, [2, 3, 4])}, ["y"])), tmp_path / "torch")
    with TorchRuntime(tmp_path / "torch", ["x"]) as runtime:
        (found,) = runtime.run({"x": np.zeros((2, 3, 4), np.float32)}).outputs.values()
    assert (found.dtype, found.shape) == (np.dtype(np.int64), (0,))


def test_functions_of_the_file_are_inlined(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["a"], ["t"]), helper.make_node("Neg", ["t"], ["b"])]
    function = helper.make_function("own", "F", ["a"], ["b"], nodes, [helper.make_opsetid("", 17)])
    path = saved(tmp_path, [helper.make_node("F", ["x"], ["y"], domain="own")], {"x": (TensorProto.FLOAT, [2])}, ["y"])
    model = onnx.load(path)
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("own", 1))
    onnx.save(model, path)
    graph = read_onnx(path)
    assert [node.op_type for node in graph.body] == ["Relu", "Neg"]
    assert graph.outputs[0].name == "y"


def test_external_data_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "outside.bin").write_bytes(np.ones(2, np.float32).tobytes())
    node = helper.make_node("Add", ["x", "w"], ["y"])
    path = saved(tmp_path / "inner", [node], {"x": (TensorProto.FLOAT, [2])}, ["y"])
    model = onnx.load(path)
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="../outside.bin")
    model.graph.initializer.append(weight)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FormatError, match=r"initializer 'w'.*outside"):
        read_onnx(path)
