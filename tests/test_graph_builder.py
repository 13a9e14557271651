"""The canonical graph's builder: names, aliases, outputs, reshaped weights."""

from __future__ import annotations

import numpy as np
import pytest

from facecvt.converters.formats.mapped import MappedFile, MappedTensor
from facecvt.converters.graph import Builder, FileTensor, attribute, constant, make_attributes, name_of
from facecvt.converters.onnx_ir_lazy import ir


def builder_with_input() -> tuple[Builder, ir.Value]:
    builder = Builder("mxnet", "net")
    return builder, builder.input("data", ["batch", 3, 8, 8], ir.DataType.FLOAT)


def test_a_rule_result_takes_the_source_name_and_values_between_are_named_after_the_node() -> None:
    builder, data = builder_with_input()
    builder.begin("swish", "s0")
    gate = builder.emit("Sigmoid", [data])
    result = builder.emit("Mul", [data, gate])
    builder.rename(result, "s0_output")
    assert (gate.name, result.name) == ("s0/Sigmoid", "s0_output")
    assert builder.graph.origins == {"s0/Sigmoid": ("swish", "s0"), "s0_output": ("swish", "s0")}
    assert [node.name for node in builder.graph.body] == ["s0", "s0_2"]


def test_a_vanished_operator_becomes_an_alias() -> None:
    builder, data = builder_with_input()
    builder.begin("Activation", "relu0")
    relu = builder.emit("Relu", [data])
    builder.rename(relu, "relu0_output")
    builder.begin("Dropout", "drop0")
    builder.rename(relu, "drop0_output")
    assert relu.name == "relu0_output"
    assert builder.graph.aliases == {"drop0_output": "relu0_output"}


def test_an_output_behind_a_vanished_operator_takes_the_value_without_an_identity() -> None:
    builder, data = builder_with_input()
    builder.begin("Activation", "relu0")
    relu = builder.emit("Relu", [data])
    builder.rename(relu, "relu0_output")
    builder.begin("Dropout", "drop0")
    builder.rename(relu, "drop0_output")
    builder.output(relu, "drop0_output")
    assert [node.op_type for node in builder.graph.body] == ["Relu"]
    assert relu.name == "drop0_output"
    assert builder.graph.aliases == {"relu0_output": "drop0_output"}
    assert builder.graph.origins == {"drop0_output": ("Activation", "relu0")}


def test_an_input_that_is_an_output_and_two_outputs_of_one_value_get_an_identity() -> None:
    builder, data = builder_with_input()
    builder.output(data, "out0")
    builder.begin("Activation", "relu0")
    relu = builder.emit("Relu", [data])
    builder.rename(relu, "relu0_output")
    builder.output(relu, "relu0_output")
    builder.output(relu, "again")
    assert [node.op_type for node in builder.graph.body] == ["Identity", "Relu", "Identity"]
    assert [name_of(value) for value in builder.graph.outputs] == ["out0", "relu0_output", "again"]


def test_a_weight_keeps_name_and_file_when_it_is_reshaped(tmp_path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(np.arange(4, dtype=np.float32).tobytes())
    builder, _ = builder_with_input()
    mapped = MappedTensor(MappedFile(path), 0, np.dtype("<f4"), (4,))
    slope = builder.weight("relu0_gamma", mapped)
    reshaped = builder.reshaped(slope, (4, 1, 1))
    assert reshaped is slope
    assert isinstance(slope.const_value, FileTensor)
    assert slope.const_value.mapped.offset == 0
    assert constant(slope).shape == (4, 1, 1)


def test_a_weight_that_is_read_elsewhere_is_not_reshaped_under_its_readers() -> None:
    builder, data = builder_with_input()
    weight = builder.weight("w", np.arange(3, dtype=np.float32))
    builder.begin("add", "a")
    builder.emit("Add", [data, weight])
    reshaped = builder.reshaped(weight, (3, 1, 1))
    assert name_of(reshaped) == "w/3x1x1"
    assert constant(weight).shape == (3,)
    assert builder.reshaped(weight, (3, 1, 1)) is reshaped


def test_attributes_go_in_and_come_out_as_python_values() -> None:
    given = {"a": 1, "b": 0.5, "c": "nearest", "d": [1, 2], "e": [0.5, 2], "f": True, "g": None}
    node = ir.Node("", "Op", [], make_attributes(given), num_outputs=1)
    read = {name: attribute(node, name) for name in given}
    assert read == {"a": 1, "b": 0.5, "c": "nearest", "d": [1, 2], "e": [0.5, 2.0], "f": 1, "g": None}
    with pytest.raises(TypeError, match="'x'"):
        make_attributes({"x": object()})
