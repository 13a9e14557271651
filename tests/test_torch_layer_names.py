"""Names of layers in a PyTorch target whose source gives one name inside another."""

from __future__ import annotations

import numpy as np
import pytest

from facecvt.converters.graph import Builder, Graph
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.passes.input_shapes import describe_inputs
from facecvt.converters.passes.pipeline import run_passes
from facecvt.converters.writers.to_torch import write_torch


def norm_then_relu(relu_name: str) -> Graph:
    """Paddle calls the result of an activation behind ``batch_norm_0`` ``batch_norm_0.tmp_3``."""
    builder = Builder("paddle", "net")
    data = builder.input("x", ["batch", 4, 6, 6], ir.DataType.FLOAT)
    builder.begin("batch_norm", "batch_norm_0.tmp_2")
    parts = [builder.weight(f"batch_norm_0.{n}", np.ones(4, np.float32)) for n in ("w_0", "b_0", "w_1", "w_2")]
    norm = builder.emit("BatchNormalization", [data, *parts], epsilon=1e-5)
    builder.rename(norm, "batch_norm_0.tmp_2")
    builder.begin("relu", relu_name)
    active = builder.emit("Relu", [norm])
    builder.rename(active, relu_name)
    builder.output(active, relu_name)
    describe_inputs(builder.graph)
    return run_passes(builder.graph)


@pytest.mark.parametrize(
    ("relu_name", "attribute"),
    [("batch_norm_0.tmp_3", "batch_norm_0_tmp_3"), ("batch_norm_0", "batch_norm_0_2"), ("relu_0", "relu_0")],
)
def test_a_layer_whose_name_lies_inside_another_layer_gets_one_beside_it(tmp_path, relu_name, attribute):
    write_torch(norm_then_relu(relu_name), tmp_path / "net")
    source = (tmp_path / "net" / "model.py").read_text()
    assert "self.batch_norm_0 = nn.BatchNorm2d(4" in source
    assert f"self.{attribute} = nn.ReLU()\n" in source
    assert f"x = self.{attribute}(x)\n" in source
