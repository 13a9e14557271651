"""ONNX targets in float16: which operators stay in float32, and the reason that is told for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Builder, Graph
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.passes.infer_shapes import infer_shapes
from facecvt.converters.passes.input_shapes import describe_inputs
from facecvt.converters.passes.to_half import BEFORE, BEHIND, HalfPlan
from facecvt.converters.targets import WriteOptions
from facecvt.converters.writers.to_onnx import write_target

FLOAT = onnx.TensorProto.FLOAT


def chain(weight: Any, *, eps: float = 1e-12, classes: int = 4) -> Graph:
    """Pixels - 127.5, Conv, x + eps, Exp, Conv, Softmax, whose second Conv has the given weight."""
    builder = Builder("mxnet", "net")
    data = builder.input("x", ["batch", 3, 6, 6], ir.DataType.FLOAT)

    def layer(op: str, *inputs: Any, **attributes: Any) -> Any:
        builder.begin(op, f"{op.lower()}_{len(builder.graph.body)}")
        return builder.emit(op, inputs, **attributes)

    window = {"kernel_shape": [1, 1], "strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
    random = np.random.RandomState(1)
    value = layer("Sub", data, builder.const(127.5, np.float32, "mean"))
    first = builder.weight("first", random.uniform(-0.01, 0.01, (4, 3, 1, 1)).astype(np.float32))
    value = layer("Conv", value, first, **window)
    value = layer("Add", value, builder.const(eps, np.float32, "eps"))
    value = layer("Exp", value)
    value = layer("Conv", value, builder.weight("second", np.asarray(weight, np.float32)), **window)
    value = layer("Relu", value)
    value = layer("Conv", value, builder.weight("third", np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1)), **window)
    builder.output(layer("Softmax", value, axis=1), "y")
    describe_inputs(builder.graph)
    infer_shapes(builder.graph)
    return builder.graph


def plan_of(graph: Graph, path: Path) -> tuple[HalfPlan, dict[str, str]]:
    """The plan, and the reason of each operator in float32 by its type and the last figure of its name."""
    written = write_target(graph, path, WriteOptions(fp16=True))
    onnx.checker.check_model(str(path), full_check=True)
    assert written.half is not None
    return written.half, {kept.node: kept.reason for kept in written.half.kept}


def test_what_float16_would_spoil_stays_in_float32(tmp_path: Path, ort_module: Any) -> None:
    weight = np.random.RandomState(0).uniform(-0.1, 0.1, (4, 4, 1, 1))
    plan, kept = plan_of(chain(weight), tmp_path / "a.onnx")
    assert kept["sub_0"] == BEFORE
    assert kept["softmax_7"] == BEHIND
    assert kept["exp_3"] == "Exp is not safe in float16"
    assert kept["add_2"] == "its constants lose 100% in float16, the greatest is 1.0e-12"
    assert len(kept) == 4
    assert plan.nodes == 4
    x = np.random.RandomState(1).uniform(0, 255, (2, 3, 6, 6)).astype(np.float32)
    ours = ort_module.InferenceSession(str(tmp_path / "a.onnx")).run(None, {"x": x})[0]
    write_target(chain(weight), tmp_path / "b.onnx", WriteOptions())
    theirs = ort_module.InferenceSession(str(tmp_path / "b.onnx")).run(None, {"x": x})[0]
    np.testing.assert_allclose(ours, theirs, atol=5e-3)
    assert np.abs(ours - theirs).max() > 0.0


def test_a_layer_whose_weights_do_not_fit_is_named(tmp_path: Path) -> None:
    weight = np.full((4, 4, 1, 1), 0.1)
    weight[2, 1] = 70000.0
    _, kept = plan_of(chain(weight, eps=0.5), tmp_path / "a.onnx")
    assert kept["conv_4"] == "its constants reach 7e+04, beyond the 65504 of float16"
    assert "add_2" not in kept
    assert "conv_4" in plan_of(chain(weight), tmp_path / "c.onnx")[0].warning()
    _, kept = plan_of(chain(np.full((4, 4, 1, 1), 1e-7)), tmp_path / "b.onnx")
    assert kept["conv_4"].startswith("its constants lose ")


def test_a_model_without_anything_for_float16_is_refused(tmp_path: Path) -> None:
    builder = Builder("mxnet", "net")
    data = builder.input("x", ["batch", 3], ir.DataType.FLOAT)
    builder.begin("exp", "exp")
    builder.output(builder.emit("Exp", [data]), "y")
    describe_inputs(builder.graph)
    with pytest.raises(ConversionError, match=r"--fp16: no layer .*Exp exp: before the first layer"):
        write_target(builder.graph, tmp_path / "n.onnx", WriteOptions(fp16=True))
    assert not (tmp_path / "n.onnx").exists()


def test_sizes_computed_from_a_shape_stay_exact(tmp_path: Path) -> None:
    """A Resize between layers whose size is computed in floating point."""
    builder = Builder("mxnet", "net")
    data = builder.input("x", ["batch", 2, 5, 5], ir.DataType.FLOAT)
    window = {"kernel_shape": [1, 1], "strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
    weight = builder.weight("w", np.eye(2, dtype=np.float32).reshape(2, 2, 1, 1))
    builder.begin("conv", "conv")
    value = builder.emit("Conv", [data, weight], **window)
    builder.begin("size", "size")
    size = builder.emit("Cast", [builder.emit("Shape", [value])], to=FLOAT)
    size = builder.emit("Mul", [size, builder.const([1, 1, 2, 2], np.float32)])
    size = builder.emit("Cast", [size], to=int(ir.DataType.INT64))
    builder.begin("resize", "resize")
    value = builder.emit("Resize", [value, None, None, size], mode="nearest")
    builder.begin("last", "last")
    builder.output(builder.emit("Conv", [value, weight], **window), "y")
    describe_inputs(builder.graph)
    infer_shapes(builder.graph)
    plan, kept = plan_of(builder.graph, tmp_path / "n.onnx")
    assert plan.nodes == 3
    assert list(kept.values()) == [BEFORE]
    model = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "n.onnx"))
    types = {info.name: info.type.tensor_type.elem_type for info in model.graph.value_info}
    mul = next(node for node in model.graph.node if node.op_type == "Mul")
    assert types[mul.output[0]] == FLOAT
