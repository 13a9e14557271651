"""Every canonical operator as MXNet nodes, over its attributes: real MXNet 1.9.1 against the float64 oracle of ONNX."""

from __future__ import annotations

import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from facecvt.converters.errors import ConversionError, UnsupportedOperatorsError
from facecvt.converters.ops.registry import table
from facecvt.converters.readers.from_onnx import read_onnx
from facecvt.converters.writers.to_mxnet import write_mxnet
from facecvt.parity_tests.oracle.onnx_model import OnnxOracle
from facecvt.parity_tests.runtimes.runtime_mxnet import MxnetRuntime
from facecvt.parity_tests.support.onnx_cases import CASES, Case
from facecvt.parity_tests.support.operator_cases import OPSETS
from facecvt.parity_tests.support.single_op_targets import compare

TOLERANCE = 5e-6  # of the largest magnitude, against float64: MXNet's kernels add in float32
# operators of which every input is data; of all others only the first is
ALL_FED = frozenset(
    """
    Add Sub Mul Div Pow Min Max Sum Equal Less LessOrEqual Greater GreaterOrEqual And Or Where MatMul Concat
    """.split()  # noqa: SIM905 - a word list reads better than 17 quoted names
)
NONE_FED = frozenset(("Range", "ConstantOfShape"))
NO_FORM = {
    "Compress": "known at run time only",
    "NonZero": "without a conversion rule",
    "NonMaxSuppression": "without a conversion rule",
    "ScatterElements": "without a conversion rule",
    "Size": "is a scalar",
}  # operators whose result has no MXNet form as an output of the model
WITHOUT_RULE = {operator for operator, why in NO_FORM.items() if why == "without a conversion rule"}
REFUSED: tuple[tuple[str, str, str], ...] = (  # operator, part of the case's attributes, part of the error
    ("MaxPool", "dilations", "no pool over a dilated window"),
    ("AveragePool", "dilations", "no pool over a dilated window"),
    ("ReduceMean", "keepdims=0", "over whole numbers"),
    ("ArgMax", "select_last_index", "select_last_index has no MXNet form"),
    ("ArgMin", "select_last_index", "select_last_index has no MXNet form"),
    ("Resize", "mode=nearest,coordinate_transformation_mode=half_pixel_symmetric", "has no MXNet form"),
    ("Resize", "antialias", "antialias has no MXNet form"),
)
# What facecvt's ONNX reader itself refuses says nothing about MXNet.
NOT_READ = (
    ("Resize", "keep_aspect_ratio_policy"),
    ("Resize", "tf_crop_and_resize"),
    ("Resize", "tf_half_pixel_for_nn"),
    ("Resize", "[1.0, 1.0, 0.5, 0.6000000238418579]-mode=nearest"),
    ("LayerNormalization", "axis=2"),  # its statistics as outputs
)


def is_read(case: Case) -> bool:
    text = str(case)
    return case.op in table("from_onnx") and not any(case.op == op and part in text for op, part in NOT_READ)


READ = [case for case in CASES if is_read(case)]


def refusal(case: Case) -> str | None:
    """Part of the error that writing the case must raise; None where it must work."""
    if case.op in NO_FORM:
        return NO_FORM[case.op]
    whole = any(isinstance(operand, np.ndarray) and operand.dtype == np.int64 for operand in case.operands[:1])
    for op, part, message in REFUSED:
        if case.op == op and part in str(case) and (op != "ReduceMean" or whole):
            return message
    return None


def model_file(case: Case, folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """The case as an ONNX file, and what it is fed."""
    rng = np.random.default_rng(zlib.crc32(str(case).encode()))
    arrays = [
        None if operand is None
        else rng.uniform(case.low, case.high, operand).astype(np.float32) if isinstance(operand, tuple)
        else operand.astype(np.float32) if operand.dtype == np.float64 else operand
        for operand in case.operands
    ]  # fmt: skip
    names = [f"x{index}" if array is not None else "" for index, array in enumerate(arrays)]
    given = {name: array for name, array in zip(names, arrays, strict=True) if array is not None}
    fed = [name for name in given if case.op in ALL_FED or (name == "x0" and case.op not in NONE_FED)]
    attrs = {
        name: numpy_helper.from_array(value.astype(np.float32) if value.dtype == np.float64 else value)
        if isinstance(value, np.ndarray)
        else value
        for name, value in case.attrs.items()
    }
    outputs = [f"y{index}" for index in range(case.outputs)]
    graph = helper.make_graph(
        [helper.make_node(case.op, names, outputs, **attrs)],
        "case",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(given[name].dtype), given[name].shape)
            for name in fed
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in given.items() if name not in fed],
    )
    opsets = [helper.make_opsetid("", case.opset)]
    path = folder / "case.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets)), path)
    return path, {name: given[name] for name in fed}


@pytest.mark.parametrize("case", READ, ids=str)
def test_mxnet_computes_what_the_standard_says(case: Case, tmp_path: Path, mxnet_module: ModuleType) -> None:
    path, feeds = model_file(case, tmp_path)
    graph, why = read_onnx(path), refusal(case)
    if why is not None:
        with pytest.raises(ConversionError, match=why):
            write_mxnet(graph, tmp_path / "mxnet")
        assert not (tmp_path / "mxnet").exists()
        return
    expected = list(OnnxOracle(path, np.float64).run(feeds).values())
    (symbol, params), taps = write_mxnet(graph, tmp_path / "mxnet")
    names = [str(value.name) for value in graph.inputs]
    with MxnetRuntime(symbol, params, names) as runtime:
        found = runtime.run({name: feeds[name] for name in names}, list(dict.fromkeys(taps.values())))
    compare("MXNet", found.outputs, expected, TOLERANCE)
    assert [array.dtype.kind for array in found.outputs.values()] == [array.dtype.kind for array in expected]
    assert len(found.taps) == len(set(taps.values()))  # every value that is named can be looked at


def test_every_rule_has_a_case() -> None:
    """Gelu and the like included: a rule without a case fails here."""
    held = {case.op for case in READ if refusal(case) is None}
    emitted = {"ConstantOfShape": "Expand", "Upsample": "Resize", "Constant": None}
    assert {emitted.get(op, op) for op in held} >= set(table("to_mxnet")) - NO_FORM.keys()


def test_what_has_a_pytorch_form_has_one_in_mxnet_or_is_known_to_have_none() -> None:
    assert set(table("to_torch")) - set(table("to_mxnet")) == WITHOUT_RULE


def test_every_refusal_is_of_use() -> None:
    """A row of the table that no case meets says nothing."""
    for op, part, message in REFUSED:
        assert any(case.op == op and part in str(case) and refusal(case) == message for case in READ)
    for op, part in NOT_READ:
        assert any(case.op == op and part in str(case) for case in CASES)
    assert max(OPSETS) == 21


def test_operators_without_a_form_are_listed_with_their_counts(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("NonZero", ["x"], [f"y{index}"], name=f"n{index}") for index in range(2)],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 3])],
        [helper.make_empty_tensor_value_info(f"y{index}") for index in range(2)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(UnsupportedOperatorsError, match=r"(?s)to MXNet.*NonZero x2"):
        write_mxnet(read_onnx(tmp_path / "m.onnx"), tmp_path / "target")
    assert list(tmp_path.iterdir()) == [tmp_path / "m.onnx"]
