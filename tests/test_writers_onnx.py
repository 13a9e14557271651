"""The ONNX writer: legal files at every opset, streamed bytes, external data, metadata, nothing half-written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from facecvt.converters.errors import UsageError
from facecvt.converters.formats.mapped import MappedFile, MappedTensor
from facecvt.converters.graph import Builder, Graph
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.passes.infer_shapes import infer_shapes
from facecvt.converters.passes.input_shapes import describe_inputs
from facecvt.converters.passes.pipeline import run_passes
from facecvt.converters.writers.to_onnx import IR_VERSIONS, write_onnx


def stored(folder: Path) -> tuple[MappedTensor, np.ndarray]:
    """A convolution weight that lies in a file behind 7 other bytes."""
    array = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    path = folder / "source.bin"
    path.write_bytes(b"\1" * 7 + array.tobytes() + b"\2" * 5)
    return MappedTensor(MappedFile(path), 7, np.dtype("<f4"), array.shape), array


def network(folder: Path) -> tuple[Graph, np.ndarray]:
    mapped, array = stored(folder)
    builder = Builder("mxnet", "net")
    data = builder.input("data", ["batch", 3, 8, 8], ir.DataType.FLOAT)
    builder.begin("_minus_scalar", "minus")
    value = builder.emit("Sub", [data, builder.const(127.5, np.float32)])
    builder.begin("Convolution", "conv0")
    weight = builder.weight("conv0_weight", mapped)
    value = builder.emit("Conv", [value, weight], kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1], dilations=[1, 1])
    builder.rename(value, "conv0_output")
    builder.output(value, "conv0_output")
    describe_inputs(builder.graph)
    infer_shapes(builder.graph)
    return run_passes(builder.graph), array


@pytest.mark.parametrize("opset", range(11, 22))
def test_the_file_is_legal_and_runs_at_every_opset(tmp_path, ort_module, opset) -> None:
    graph, array = network(tmp_path)
    (path,) = write_onnx(graph, tmp_path / "net.onnx", opset)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert (model.opset_import[0].version, model.ir_version) == (opset, IR_VERSIONS[opset])
    assert [value.name for value in model.graph.input] == ["data"]
    (stored_weight,) = (item for item in model.graph.initializer if item.name == "conv0_weight")
    assert stored_weight.raw_data == array.tobytes()
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert model.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    for batch in (1, 3):
        session = ort_module.InferenceSession(str(path))
        (value,) = session.run(None, {"data": np.zeros((batch, 3, 8, 8), np.float32)})
        assert value.shape == (batch, 4, 8, 8)
        centre = -127.5 * array.astype(np.float64).sum(axis=(1, 2, 3))
        assert np.allclose(value[:, :, 4, 4], centre, rtol=1e-5)


def test_weights_that_do_not_fit_one_message_go_beside_it(tmp_path, ort_module) -> None:
    graph, array = network(tmp_path)
    (tmp_path / "sub").mkdir()
    paths = write_onnx(graph, tmp_path / "sub" / "net.onnx", largest_message=400)
    assert [path.name for path in paths] == ["net.onnx", "net.onnx.data"]
    onnx.checker.check_model(str(paths[0]))
    loaded = onnx.load(paths[0])
    (weight,) = (item for item in loaded.graph.initializer if item.name == "conv0_weight")
    assert onnx.numpy_helper.to_array(weight).tobytes() == array.tobytes()
    session = ort_module.InferenceSession(str(paths[0]))
    assert session.run(None, {"data": np.zeros((2, 3, 8, 8), np.float32)})[0].shape == (2, 4, 8, 8)


def test_the_contract_is_in_the_metadata(tmp_path) -> None:
    graph, _ = network(tmp_path)
    (path,) = write_onnx(graph, tmp_path / "net.onnx")
    props = {item.key: item.value for item in onnx.load(path).metadata_props}
    contract = json.loads(props["facecvt.input.data"])
    assert contract["shape"] == ["batch", 3, 8, 8]
    assert (contract["mean"], contract["in_graph"], contract["layout"]) == ([127.5], True, "NCHW")


@pytest.mark.parametrize("opset", [10, 22])
def test_other_opsets_are_refused_and_nothing_is_written(tmp_path, opset) -> None:
    graph, _ = network(tmp_path)
    with pytest.raises(UsageError, match="11 to 21"):
        write_onnx(graph, tmp_path / "net.onnx", opset)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.bin"]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, monkeypatch) -> None:
    graph, _ = network(tmp_path)

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MappedFile, "copy_into", fail)
    with pytest.raises(UsageError, match="No space left"):
        write_onnx(graph, tmp_path / "net.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.bin"]


def test_writing_changes_neither_the_graph_nor_the_source(tmp_path) -> None:
    graph, _ = network(tmp_path)
    before = [(node.op_type, [v.name for v in node.outputs]) for node in graph.body]
    source = (tmp_path / "source.bin").read_bytes()
    first = write_onnx(graph, tmp_path / "a.onnx", 11)[0].read_bytes()
    assert write_onnx(graph, tmp_path / "b.onnx", 11)[0].read_bytes() == first
    assert [(node.op_type, [v.name for v in node.outputs]) for node in graph.body] == before
    assert (tmp_path / "source.bin").read_bytes() == source


def test_bytes_are_copied_without_copy_file_range_too(tmp_path, monkeypatch) -> None:
    graph, _ = network(tmp_path)
    expected = write_onnx(graph, tmp_path / "a.onnx")[0].read_bytes()

    def missing(*arguments: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", missing, raising=False)
    assert write_onnx(graph, tmp_path / "b.onnx")[0].read_bytes() == expected
