"""Every ONNX operator of the oracle over attributes and opsets, against ONNX's reference evaluator and ONNX Runtime.

The reference evaluator computes in float64 but for attributes and defaults, ONNX Runtime in float32. A case counts as
held when at least one of the two can run it; where both can, both must agree with the oracle. The node tests that ONNX
ships are further proof.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facecvt.converters.errors import AttributeValueError, FormatError, UnsupportedOperatorsError
from facecvt.parity_tests.oracle.onnx_attributes import ONNX_OPERATORS
from facecvt.parity_tests.oracle.onnx_model import OnnxOracle
from facecvt.parity_tests.support.onnx_cases import CASES, Case


def operand_arrays(case: Case, real: type) -> list[np.ndarray | None]:
    rng = np.random.default_rng(zlib.crc32(str(case).encode()))
    arrays: list[np.ndarray | None] = []
    for operand in case.operands:
        if isinstance(operand, tuple):
            arrays.append(rng.uniform(case.low, case.high, operand).astype(np.float32).astype(real))
        elif operand is None or operand.dtype == np.float32:  # scales stay float32, as Resize wants them
            arrays.append(operand)
        else:
            arrays.append(operand.astype(real) if operand.dtype.kind == "f" else operand)
    return arrays


def model_of(case: Case, arrays: list[np.ndarray | None], real: type) -> onnx.ModelProto:
    attrs: dict[str, Any] = {}
    for name, value in case.attrs.items():
        if isinstance(value, np.ndarray):
            value = numpy_helper.from_array(value.astype(real) if value.dtype.kind == "f" else value)
        attrs[name] = value
    if case.op == "Cast" and real is np.float32 and attrs["to"] == TensorProto.DOUBLE:
        attrs["to"] = TensorProto.FLOAT
    names = [f"x{index}" if array is not None else "" for index, array in enumerate(arrays)]
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in zip(names, arrays, strict=True)
        if array is not None
    ]
    outputs = [f"y{index}" for index in range(case.outputs)]
    node = helper.make_node(case.op, names, outputs, **attrs)
    graph = helper.make_graph([node], "case", inputs, [helper.make_empty_tensor_value_info(name) for name in outputs])
    opsets = [helper.make_opsetid("", case.opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=min(10, helper.find_min_ir_version_for(opsets)))


def run_reference(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray] | None:
    from onnx.reference import ReferenceEvaluator

    try:
        return list(ReferenceEvaluator(model).run(None, feeds))
    except Exception:  # an old opset or an attribute that the reference does not implement
        return None


def run_runtime(ort: Any, model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray] | None:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    typed = onnx.shape_inference.infer_shapes(model)
    try:
        session = ort.InferenceSession(typed.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return list(session.run(None, feeds))
    except Exception:  # no kernel for this opset, type or attribute
        return None


def assert_same(found: np.ndarray, wanted: np.ndarray, limit: float, who: str) -> None:
    wanted = np.asarray(wanted)
    assert found.shape == wanted.shape, who
    assert found.dtype.kind == wanted.dtype.kind, who
    if wanted.dtype.kind != "f":
        assert found.dtype == wanted.dtype, who
        assert np.array_equal(found, wanted), who
        return
    scale = max(float(np.abs(wanted).max(initial=0)), 1e-3)
    assert float(np.abs(found - wanted).max(initial=0)) <= limit * scale, who


def reference_departs(case: Case) -> bool:
    """Where the reference evaluator of onnx 1.23 is not the standard's word; ONNX Runtime must hold these."""
    return (
        (case.op == "MaxPool" and case.attrs.get("auto_pad") == "SAME_LOWER")  # rounds the length down
        or (case.op == "BatchNormalization" and 9 <= case.opset < 14)  # takes the statistics of the batch
        or (case.op == "LpNormalization" and case.attrs.get("p") == 1)  # leaves the signs in the sum
        or case.op == "LRN"  # sums over other channels than the standard's formula
        or (case.op in ("Softmax", "LogSoftmax", "Hardmax") and case.opset < 13)  # does not flatten
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_operator_agrees(case: Case, ort_module: Any) -> None:
    arrays = operand_arrays(case, np.float64)
    feeds = {f"x{index}": array for index, array in enumerate(arrays) if array is not None}
    model = model_of(case, arrays, np.float64)
    names: list[str] = []
    oracle = OnnxOracle(model)
    found = oracle.run(feeds, on_value=lambda name, value: names.append(name))
    assert names == oracle.layer_names
    exact = [found[name] for name in oracle.output_names]

    clean = OnnxOracle(model, np.float32).run(feeds)  # the same code in float32 stays in float32
    for name, value in found.items():
        assert clean[name].dtype == (np.float32 if value.dtype == np.float64 else value.dtype)
        assert np.abs(clean[name] * 1.0 - value).max(initial=0) <= 1e-4 * max(np.abs(value).max(initial=0), 1e-3)

    held = 0
    reference = None if reference_departs(case) else run_reference(model, feeds)
    if reference is not None:
        held += 1
        for mine, theirs in zip(exact, reference, strict=True):
            assert_same(mine, theirs, 1e-6 if np.asarray(theirs).dtype == np.float32 else 1e-7, "reference")
    single = operand_arrays(case, np.float32)
    feeds = {f"x{index}": array for index, array in enumerate(single) if array is not None}
    runtime = run_runtime(ort_module, model_of(case, single, np.float32), feeds)
    if runtime is not None:
        held += 1
        for mine, theirs in zip(exact, runtime, strict=True):
            assert_same(mine, theirs, 1e-5, "ONNX Runtime")
    assert held, "neither the reference evaluator nor ONNX Runtime runs this case"


def test_every_registered_operator_has_a_case() -> None:
    assert set(ONNX_OPERATORS.names()) == {case.op for case in CASES}
    assert len({str(case) for case in CASES}) == len(CASES)


# Node tests outside what the oracle promises: another result, a narrow type, or a case that the standard leaves open.
SKIPPED_NODE_TESTS = {
    "with_argmax": "the index of a maximum is not computed",
    "cubic": "cubic interpolation is not computed",
    "training": "training",
    "bfloat16": "the expected values are rounded to bfloat16",
    "batch_dim1": "GatherND over batches is not computed",
    "empty_set": "the maximum of nothing",
    "averagepool_2d_ceil_last_window_starts_on_pad": "the expected values are written with four digits",
    "resize_downsample_scales_linear_align_corners": "takes the unrounded length; ONNX Runtime the length",
    "cast": "narrow floating point types",
}


def test_node_tests_of_onnx_pass() -> None:
    from onnx.backend.test.loader import load_model_tests

    known = set(ONNX_OPERATORS.names())
    passed: set[str] = set()
    count = 0
    wrong: dict[str, str] = {}
    for case in load_model_tests(kind="node"):
        model = case.model
        used = {node.op_type for node in model.graph.node}
        if len(used) != 1 or not used <= known or any(word in case.name for word in SKIPPED_NODE_TESTS):
            continue
        oracle = OnnxOracle(model)
        for inputs, outputs in case.data_sets:
            feeds = dict(zip([item.name for item in model.graph.input], inputs, strict=True))
            try:
                found = oracle.run({name: np.asarray(feeds[name]) for name in oracle.input_names})
                for name, wanted in zip(oracle.output_names, outputs, strict=True):
                    narrow = np.asarray(wanted).dtype == np.float16
                    both = (found[name], np.asarray(wanted)) if found[name].size else (found[name], wanted)
                    finite = [np.where(np.isfinite(a), a, 0) if a.dtype.kind == "f" else a for a in both]
                    assert_same(finite[0], finite[1], 2e-3 if narrow else 1e-5, name)
            except Exception as error:
                wrong[case.name] = f"{type(error).__name__}: {error}"
        count += 1
        passed |= used
    assert wrong == {}
    assert count > 600
    assert len(passed) > 100


def tiny_model(*nodes: onnx.NodeProto, opset: int = 13) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    return helper.make_model(
        helper.make_graph(list(nodes), "tiny", [value], [result]), opset_imports=[helper.make_opsetid("", opset)]
    )


def test_unknown_operators_are_all_named() -> None:
    nodes = [
        helper.make_node("Det", ["x"], ["a"], name="first"),
        helper.make_node("FusedConv", ["a"], ["y"], name="second", domain="com.microsoft"),
    ]
    with pytest.raises(UnsupportedOperatorsError) as caught:
        OnnxOracle(tiny_model(*nodes))
    assert caught.value.nodes == {"Det": ["first"], "com.microsoft::FusedConv": ["second"]}


def test_what_no_output_needs_is_not_computed() -> None:
    model = tiny_model(helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Det", ["x"], ["unused"]))
    oracle = OnnxOracle(model)
    assert oracle.layer_names == ["y"]
    assert oracle.run({"x": np.array([[-1.0, 2.0]])})["y"].tolist() == [[0.0, 2.0]]


@pytest.mark.parametrize(
    ("op", "attrs", "words"),
    [
        ("Relu", {"shift": 1.0}, "Relu y: attribute.* shift=1.0"),
        ("Resize", {"mode": "cubic"}, "mode = 'cubic'"),
        ("Cast", {"to": 8}, "to = 8: the oracle casts between numbers"),
        ("BatchNormalization", {"training_mode": 1}, "one of training"),
    ],
)
def test_attributes_that_would_matter_are_refused(op: str, attrs: dict[str, Any], words: str) -> None:
    with pytest.raises(AttributeValueError, match=words):
        OnnxOracle(tiny_model(helper.make_node(op, ["x"], ["y"], **attrs), opset=15))


def test_a_file_that_is_no_model_is_refused(tmp_path: Any) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"\xff\xff not a model")
    with pytest.raises(FormatError, match=r"broken\.onnx: cannot be read"):
        OnnxOracle(path)


def test_half_precision_weights_are_taken_at_their_value() -> None:
    model = tiny_model(helper.make_node("Add", ["x", "w"], ["y"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array([0.5, 1 / 3], dtype=np.float16), "w"))
    oracle = OnnxOracle(model)
    assert oracle.input_names == ["x"]
    found = oracle.run({"x": np.zeros((1, 2), np.float32)})["y"]
    assert found.dtype == np.float64
    assert found.tolist() == [[0.5, float(np.float16(1 / 3))]]
