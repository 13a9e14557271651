"""Tile for a free rank becomes Tile with constant repeats once the rank is known, and gives the same numbers."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from facecvt.converters.graph import Builder, Graph, constant, dims, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.joining import tiled
from facecvt.converters.passes.infer_shapes import infer_shapes
from facecvt.converters.passes.input_shapes import describe_inputs
from facecvt.converters.passes.pipeline import run_passes
from facecvt.converters.passes.settle_tiles import settle_tiles
from facecvt.converters.readers.from_mxnet import read_mxnet
from facecvt.converters.writers.to_onnx import write_onnx
from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime
from facecvt.parity_tests.support.single_op import mxnet_sample, random_array
from facecvt.parity_tests.support.single_op_targets import hold_targets

SHAPES = [(5,), (2, 3), (2, 3, 4, 5)]
REPEATS = [[3], [2, 1], [1, 4, 1, 1], [2, 1, 1, 3, 1]]


def free_tile(repeats: list[int]) -> Graph:
    """Tile of an input of which not even the rank is known, as the MXNet reader makes it."""
    builder = Builder("mxnet", "net")
    data = builder.input("x", None, ir.DataType.FLOAT)
    builder.begin("tile", "tile")
    value = tiled(builder, data, repeats)
    builder.rename(value, "tile_output")
    builder.output(value, "tile_output")
    return builder.graph


def with_shape(graph: Graph, shape: tuple[int | str, ...]) -> Graph:
    graph.inputs[0].shape = ir.Shape(shape)
    infer_shapes(graph)
    describe_inputs(graph)
    return graph


def operators(graph: Graph) -> list[str]:
    return [node.op_type for node in graph.body]


def numbers(graph: Graph, array: np.ndarray, path: Path) -> np.ndarray:
    write_onnx(graph, path)
    with OrtRuntime(path) as runtime:
        (result,) = runtime.run({"x": array}).outputs.values()
    return result


@pytest.mark.parametrize("repeats", REPEATS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_settled_tile_gives_the_numbers_of_the_free_one(shape, repeats, tmp_path, ort_module) -> None:
    array = random_array(*shape)
    free = with_shape(free_tile(repeats), shape)
    assert operators(free) == ["Expand", "Shape", "Shape", "Sub", "Expand", "Concat", "Tile"]
    settled = run_passes(with_shape(free_tile(repeats), shape))
    assert operators(settled) == (["Tile"] if len(shape) >= len(repeats) else ["Expand", "Tile"])
    expected = np.tile(array, repeats)
    assert dims(settled.outputs[0]) == expected.shape
    ones = [1] * (len(shape) - len(repeats))
    assert constant(list(settled.body)[-1].inputs[1]).tolist() == [*ones, *repeats]
    assert np.array_equal(numbers(free, array, tmp_path / "free.onnx"), expected)
    assert np.array_equal(numbers(settled, array, tmp_path / "settled.onnx"), expected)


def test_names_of_open_sizes_survive_and_shapes_behind_follow() -> None:
    builder = Builder("mxnet", "net")
    data = builder.input("x", None, ir.DataType.FLOAT)
    builder.begin("tile", "tile")
    value = tiled(builder, data, [1, 4, 1, 1])
    builder.begin("Flatten", "flat")
    builder.output(builder.emit("Flatten", [value], axis=2), "flat_output")
    graph = run_passes(with_shape(builder.graph, ("batch", 3, 2, 5)))
    assert operators(graph) == ["Tile", "Flatten"]
    assert [str(size) for size in value.shape] == ["batch", "12", "2", "5"]
    assert dims(graph.outputs[0]) == (None, 10)


def test_what_no_rank_tells_stays() -> None:
    unknown = free_tile([1, 2])
    infer_shapes(unknown)
    settle_tiles(unknown)
    assert operators(unknown) == ["Expand", "Shape", "Shape", "Sub", "Expand", "Concat", "Tile"]
    builder = Builder("onnx", "net")
    data = builder.input("x", ["batch", 4], ir.DataType.FLOAT)
    builder.begin("Tile", "by_sizes")
    builder.output(builder.emit("Tile", [data, builder.emit("Shape", [data])]), "sizes_out")
    wide = builder.emit("Expand", [data, builder.const([1, 4])])  # not to ones
    builder.begin("Tile", "of_wide")
    rank = builder.emit("Shape", [builder.emit("Shape", [wide])])
    builder.output(builder.emit("Tile", [wide, builder.emit("Concat", [rank, rank], axis=0)]), "wide_out")
    infer_shapes(builder.graph)
    settle_tiles(builder.graph)
    by_sizes, of_wide = (node for node in builder.graph.body if node.op_type == "Tile")
    assert constant(by_sizes.inputs[1]) is None
    assert constant(of_wide.inputs[1]).tolist() == [2, 2]
    assert of_wide.inputs[0] is wide


@pytest.mark.parametrize("repeats", [(1, 1, 2, 3), (2,), (2, 1, 1, 1, 3)])
def test_a_symbol_without_sizes_is_read_with_constant_repeats(repeats, tmp_path, mxnet_module: ModuleType) -> None:
    """MXNet computes what is expected."""
    sample = mxnet_sample(tmp_path, "tile", {"data": random_array(2, 3, 4, 5)}, {"reps": repeats})
    graph = read_mxnet(sample.model)
    assert operators(graph) == (["Tile"] if len(repeats) <= 4 else ["Expand", "Tile"])
    hold_targets(sample, tmp_path, graph=graph, opsets=(11, 21))


def test_a_size_is_deduced_through_a_tile(tmp_path, mxnet_module: ModuleType) -> None:
    """A 24 x 24 image repeated below itself: only that size gives the layer 8 * 48 * 24 features."""
    from facecvt.converters.formats.locate import located
    from facecvt.converters.formats.mxnet_model import load_mxnet

    mx = mxnet_module
    below = mx.sym.tile(mx.sym.var("data"), reps=(2, 1), name="below")
    conv = mx.sym.Convolution(below, kernel=(1, 1), num_filter=8, no_bias=True, name="conv")
    net = mx.sym.FullyConnected(conv, num_hidden=2, no_bias=True, name="fc")
    net.save(str(tmp_path / "net-symbol.json"))
    weights = {"arg:conv_weight": mx.nd.ones((8, 3, 1, 1)), "arg:fc_weight": mx.nd.ones((2, 8 * 48 * 24))}
    mx.nd.save(str(tmp_path / "net-0000.params"), weights)
    with located("mxnet", str(tmp_path / "net-symbol.json")) as files:
        graph = read_mxnet(load_mxnet(files))
        assert graph.contracts[0].shape == ("batch", 3, 24, 24)
        (tile,) = (node for node in graph.body if node.op_type == "Tile")
        assert name_of(tile.outputs[0]) == "below_output"
        assert dims(tile.outputs[0]) == (None, 3, 48, 24)
