"""Every operator whose form changed between opsets, written at every opset from 11 to 21 and checked by its schema."""

import numpy as np
import onnx
import pytest

from facecvt.converters.errors import ConversionError
from facecvt.converters.ops.registry import lowerings
from facecvt.converters.readers.from_onnx import read_onnx
from facecvt.converters.writers.to_onnx import write_onnx
from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime
from facecvt.parity_tests.support.operator_cases import Case
from facecvt.parity_tests.support.operator_cases import onnx as of_onnx
from facecvt.parity_tests.support.single_op import random_array
from facecvt.parity_tests.support.single_op_targets import compare, read_sample

X, ONES = random_array(2, 3, 4, 5), random_array(1, 3, 1, 1)
TIES = np.float32([[1, 2, 3], [3, 2, np.nan]])
HALF, SYMMETRIC = np.float32([1, 1, 0.5, 1]), {"coordinate_transformation_mode": "half_pixel_symmetric"}
REDUCTIONS = (
    *("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"),
    *("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"),
)
CHANGED: list[Case] = [
    *of_onnx("Squeeze", ONES, np.int64([0, 2])),
    *of_onnx("Unsqueeze", X, np.int64([0, 3])),
    *of_onnx(REDUCTIONS, X, np.int64([1, -1]), opsets=(18,)),
    *of_onnx("Split", X, np.int64([1, 3]), outputs=2, axis=2),
    *of_onnx("Split", X, outputs=3, axis=3, opsets=(18,), num_outputs=3),
    *of_onnx("Shape", X, opsets=(15,), start=1, end=3),
    *of_onnx("Reshape", X, np.int64([6, -1]), opsets=(14,), allowzero=1),
    *of_onnx("Pow", X, np.int64(2)),
    *of_onnx(("LessOrEqual", "GreaterOrEqual"), TIES, np.float32([[2], [3]]), fed=2),
    *of_onnx(("ArgMax", "ArgMin"), X, axis=1, select_last_index=0),
    *of_onnx("Pad", X, np.int64([1, 0, 2, 3]), None, np.int64([1, 3]), opsets=(18,)),
    *of_onnx("Resize", X, None, None, np.int64([2, 3, 8, 10]), mode="linear"),
    *of_onnx("Resize", X, None, np.float32([2, 2]), opsets=(18,), mode="linear", axes=[2, 3], antialias=0),
]


@pytest.mark.parametrize("case", CHANGED, ids=str)
def test_a_changed_operator_is_legal_and_right_at_every_opset(case, tmp_path):
    sample = case.make(tmp_path)
    for opset in range(11, 22):
        path = tmp_path / f"target{opset}.onnx"
        write_onnx(read_sample(sample), path, opset)
        onnx.checker.check_model(str(path), full_check=True)
        with OrtRuntime(path) as runtime:
            compare(f"opset {opset}", runtime.run(sample.feeds).outputs, sample.expected)


def test_every_lowering_of_these_families_is_tried_here():
    tried = {case.op for case in CHANGED}
    families = (
        "elementwise",
        "matmul",
        "reshape",
        "axes",
        "joining",
        "indexing",
        "constants",
        "reduce",
        "padding",
        "resize",
    )
    registered = {
        rule.operator
        for operator in {schema.name for schema in onnx.defs.get_all_schemas()}
        for rule in lowerings(operator)
        if rule.rewrite.__module__.rpartition(".")[2] in families
    }
    assert registered - tried == set()


@pytest.mark.parametrize(
    ("case", "opset", "message"),
    [
        (of_onnx("ArgMax", X, select_last_index=1)[0], 11, "select_last_index"),
        (of_onnx("Resize", X, None, HALF, opsets=(18,), mode="linear", antialias=1)[0], 17, "antialias"),
        (of_onnx("Resize", X, None, HALF, opsets=(19,), mode="linear", **SYMMETRIC)[0], 18, "half_pixel_symmetric"),
        (of_onnx("Pad", X, np.int64([0] * 7 + [1]), opsets=(19,), mode="wrap")[0], 18, "wrap"),
        (of_onnx("Squeeze", ONES, np.int64([0]), fed=2)[0], 11, "axes"),
        (of_onnx("Split", X, np.int64([1, 3]), fed=2, outputs=2, axis=2)[0], 11, "split"),
    ],
    ids=str,
)
def test_what_an_old_opset_cannot_express_is_refused_by_name(case, opset, message, tmp_path):
    graph = read_sample(case.make(tmp_path))
    with pytest.raises(ConversionError, match=rf"'op'.*{message}"):
        write_onnx(graph, tmp_path / "target.onnx", opset)
    assert not (tmp_path / "target.onnx").exists()


@pytest.mark.parametrize("zero", [True, False])
def test_allowzero_goes_where_no_zero_is_asked_for(zero, tmp_path):
    """A 0 that must not mean "copy" cannot be written below opset 14."""
    empty = np.zeros((0, 4), np.float32)
    path = tmp_path / "source.onnx"
    shape = onnx.numpy_helper.from_array(np.int64([0, 4] if zero else [2, -1]), "shape")
    node = onnx.helper.make_node("Reshape", ["x", "shape"], ["y"], name="op", allowzero=1)
    declared = [onnx.helper.make_tensor_value_info(n, 1, empty.shape if zero else (4, 2)) for n in "xy"]
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", declared[:1], declared[1:], [shape]),
        opset_imports=[onnx.helper.make_opsetid("", 14)],
    )
    onnx.save(model, path)
    if zero:
        with pytest.raises(ConversionError, match=r"'op'.*allowzero"):
            write_onnx(read_onnx(path), tmp_path / "target.onnx", 13)
    else:
        write_onnx(read_onnx(path), tmp_path / "target.onnx", 13)
