"""Whole numbers that are computed of constants alone become constants: held against ONNX's own evaluator."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from facecvt.converters.graph import Builder, constant
from facecvt.converters.integer_folding import INTEGER_RULES, SMALL, folded, resolved_shape
from facecvt.converters.onnx_ir_lazy import ir

A = np.array([[1, -2, 3], [4, 5, -6]])
CASES = [
    ("Add", [A, np.array([10, 20, 30])], {}),
    ("Sub", [A, A[:1]], {}),
    ("Mul", [A, A[1:]], {}),
    ("Cast", [A.astype(np.int32)], {"to": 7}),
    ("Concat", [A, A[:1]], {"axis": 0}),
    ("Concat", [A, A], {"axis": -1}),
    ("Expand", [np.array(3), np.array([2, 2])], {}),
    ("Expand", [A[:, None], np.array([4, 1])], {}),
    ("Gather", [A, np.array([1, 0, -1])], {"axis": 1}),
    ("Gather", [A, np.array(1)], {}),
    ("Reshape", [A, np.array([-1, 2])], {}),
    ("Reshape", [A, np.array([0, 3, 1])], {"allowzero": 0}),
    ("Slice", [A, np.array([1]), np.array([2**63 - 1])], {}),
    ("Slice", [A, np.array([-1]), np.array([-(2**63) + 1]), np.array([0]), np.array([-1])], {}),
    ("Slice", [A, np.array([2, 0]), np.array([0, 1]), np.array([1, 0]), np.array([-1, 1])], {}),
    ("Slice", [A, np.array([-1]), np.array([-9]), np.array([-1]), np.array([-2])], {}),
    ("Squeeze", [A[:, None], np.array([1])], {}),
    ("Squeeze", [A[None, :, None]], {}),
    ("Transpose", [A], {"perm": [1, 0]}),
    ("Transpose", [A[None]], {}),
    ("Unsqueeze", [A, np.array([0, -1])], {}),
]


@pytest.mark.parametrize(("op_type", "arrays", "attributes"), CASES)
def test_folding_equals_onnx(op_type, arrays, attributes):
    names = [f"x{index}" for index in range(len(arrays))]
    graph = helper.make_graph(
        [helper.make_node(op_type, names, ["y"], **attributes)],
        "one",
        [],
        [helper.make_tensor_value_info("y", onnx.TensorProto.INT64, None)],
        [numpy_helper.from_array(array, name) for name, array in zip(names, arrays, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    expected = ReferenceEvaluator(model).run(None, {})[0]
    found = folded(op_type, arrays, attributes)
    assert found is not None
    assert found.dtype == expected.dtype == np.int64
    assert np.array_equal(found, expected)


def test_every_rule_has_a_case():
    assert {op_type for op_type, _, _ in CASES} == set(INTEGER_RULES)


@pytest.mark.parametrize(
    ("op_type", "operands", "attributes"),
    [
        ("Add", [A, A.astype(np.float32)], {}),
        ("Add", [A, None], {}),
        ("Cast", [A], {"to": 1}),
        ("Relu", [A], {}),
        ("Concat", [np.zeros(SMALL, np.int64), A[0]], {"axis": 0}),
        ("Expand", [np.array(3), np.array([SMALL, 2])], {}),
        ("Reshape", [A, np.array([4, 2])], {}),
    ],
)
def test_left_alone(op_type, operands, attributes):
    assert folded(op_type, operands, attributes) is None


def test_the_builder_puts_a_constant_in_place_of_the_node():
    b = Builder("onnx", "made")
    x = b.input("x", [1, 3], ir.DataType.FLOAT)
    b.begin("Pad", "p")
    amounts = b.emit("Reshape", [b.emit("Concat", [b.const([0, 1]), b.const([0, 2])], axis=0), b.const([-1])])
    b.emit("Pad", [x, amounts], mode="constant")
    assert constant(amounts).tolist() == [0, 1, 0, 2]
    assert [node.op_type for node in b.graph.body] == ["Pad"]
    computed = b.emit("Add", [b.emit("Shape", [x]), b.const([1, 1])])
    assert constant(computed) is None


@pytest.mark.parametrize(("target", "expected"), [((0, -1), (2, 3)), ((5,), None), ((-1, 0, 0), None)])
def test_resolved_shape(target, expected):
    assert resolved_shape((2, 3), np.array(target), False) == expected
