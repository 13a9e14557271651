"""Passes over hand-made canonical graphs: shapes, fused biases, unused parts, found normalisation, deduced sizes."""

from __future__ import annotations

import numpy as np
import pytest

from facecvt.converters.errors import UsageError
from facecvt.converters.graph import Builder, Graph, constant, dims, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.passes.drop_unused import drop_unused
from facecvt.converters.passes.find_preprocessing import find_preprocessing
from facecvt.converters.passes.fuse_bias import fuse_bias
from facecvt.converters.passes.infer_shapes import ShapeMismatchError, infer_shapes
from facecvt.converters.passes.input_shapes import describe_inputs, settle_input_shapes

WINDOW = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "dilations": [1, 1], "group": 1}


def conv_and_bias(bias_shape: tuple[int, ...], *, second_reader: bool = False) -> Graph:
    builder = Builder("paddle", "net")
    data = builder.input("x", ["batch", 3, 8, 4], ir.DataType.FLOAT)
    weight = builder.weight("conv2d_0.w_0", np.ones((4, 3, 3, 3), np.float32))
    bias = builder.weight("conv2d_0.b_0", np.arange(4, dtype=np.float32))
    builder.begin("conv2d", "conv")
    product = builder.emit("Conv", [data, weight], strides=[1, 1], **WINDOW)
    builder.rename(product, "conv2d_0.tmp_0")
    builder.begin("elementwise_add", "add")
    total = builder.emit("Add", [product, builder.reshaped(bias, bias_shape)])
    builder.rename(total, "conv2d_0.tmp_1")
    builder.output(total, "conv2d_0.tmp_1")
    if second_reader:
        builder.begin("relu", "relu")
        builder.output(builder.emit("Relu", [product]), "relu")
    describe_inputs(builder.graph)
    infer_shapes(builder.graph)
    return builder.graph


@pytest.mark.parametrize("bias_shape", [(4, 1, 1), (1, 4, 1, 1)])
def test_a_channel_bias_moves_into_its_convolution(bias_shape) -> None:
    graph = conv_and_bias(bias_shape)
    fuse_bias(graph)
    nodes = list(graph.body)
    assert [node.op_type for node in nodes] == ["Conv"]
    assert [name_of(value) for value in nodes[0].inputs] == ["x", "conv2d_0.w_0", "conv2d_0.b_0"]
    assert constant(nodes[0].inputs[2]).shape == (4,)
    assert name_of(graph.outputs[0]) == "conv2d_0.tmp_1"
    assert graph.absorbed == {"conv2d_0.tmp_0": "conv2d_0.tmp_1"}
    assert graph.origins["conv2d_0.tmp_1"] == ("conv2d", "conv")


def test_a_vector_over_the_width_is_no_bias_and_a_shared_product_stays() -> None:
    over_width = conv_and_bias((1, 1, 4))  # as many columns as channels: only the shape tells
    fuse_bias(over_width)
    assert [node.op_type for node in over_width.body] == ["Conv", "Add"]
    shared = conv_and_bias((4, 1, 1), second_reader=True)
    fuse_bias(shared)
    assert [node.op_type for node in shared.body] == ["Conv", "Add", "Relu"]


def test_matmul_and_bias_become_gemm_with_the_weight_untouched() -> None:
    builder = Builder("paddle", "net")
    data = builder.input("x", ["batch", 5], ir.DataType.FLOAT)
    weight = builder.weight("linear_0.w_0", np.ones((5, 2), np.float32))
    bias = builder.weight("linear_0.b_0", np.zeros(2, np.float32))
    builder.begin("matmul_v2", "mm")
    product = builder.emit("MatMul", [data, weight])
    builder.begin("elementwise_add", "add")
    builder.output(builder.emit("Add", [product, bias]), "y")
    infer_shapes(builder.graph)
    fuse_bias(builder.graph)
    (node,) = builder.graph.body
    assert (node.op_type, constant(node.inputs[1]).shape, "transB" in node.attributes) == ("Gemm", (5, 2), False)


def test_shapes_follow_strides_pads_and_names() -> None:
    builder = Builder("onnx", "net")
    data = builder.input("x", ["batch", 3, 9, "width"], ir.DataType.FLOAT)
    weight = builder.const(np.ones((4, 3, 3, 3)), np.float32)
    conv = builder.emit("Conv", [data, weight], strides=[2, 1], **WINDOW)
    pool = builder.emit("MaxPool", [conv], kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0], ceil_mode=1)
    flat = builder.emit("Flatten", [pool], axis=1)
    shaped = builder.emit("Reshape", [conv, builder.const([0, -1, 2])])
    for value in (flat, shaped):
        builder.output(value, f"out{value.name}")
    infer_shapes(builder.graph)
    assert dims(conv) == (None, 4, 5, None)
    assert [str(dim) for dim in conv.shape] == ["batch", "4", "5", "width"]
    assert dims(pool) == (None, 4, 3, None)
    assert str(flat.shape[0]) == "batch"
    assert dims(shaped) == (None, None, 2)


def test_a_mismatch_names_the_node() -> None:
    builder = Builder("onnx", "net")
    data = builder.input("x", ["batch", 5], ir.DataType.FLOAT)
    builder.begin("Gemm", "fc")
    value = builder.emit("Gemm", [data, builder.const(np.ones((2, 6)), np.float32)], transB=1)
    builder.output(value, "y")
    with pytest.raises(ShapeMismatchError, match=r"'fc': 5 features meet a weight for 6"):
        infer_shapes(builder.graph)


def test_what_no_output_needs_goes() -> None:
    graph = conv_and_bias((4, 1, 1))
    unused = ir.Value(name="left", const_value=ir.Tensor(np.zeros(2), name="left"))
    graph.body.register_initializer(unused)
    graph.body.append(ir.Node("", "Relu", [graph.inputs[0]], num_outputs=1, name="dangling"))
    list(graph.body)[-1].outputs[0].name = "dangling_out"
    drop_unused(graph)
    assert [node.op_type for node in graph.body] == ["Conv", "Add"]
    assert set(graph.body.initializers) == {"conv2d_0.w_0", "conv2d_0.b_0"}


@pytest.mark.parametrize(
    ("steps", "mean", "scale"),
    [
        ([("Sub", 127.5), ("Mul", 0.0078125)], (127.5,), (0.0078125,)),
        ([("Sub", 127.5), ("Div", 128.0)], (127.5,), (0.0078125,)),
        ([("Add", -127.5), ("Mul", 0.0078125)], (127.5,), (0.0078125,)),
        ([("Mul", 0.5)], (0.0,), (0.5,)),
    ],
)
def test_normalisation_is_found_by_structure(steps, mean, scale) -> None:
    builder = Builder("mxnet", "net")
    value = builder.input("data", ["batch", 3, 8, 8], ir.DataType.FLOAT)
    for op_type, number in steps:
        value = builder.emit(op_type, [value, builder.const(number, np.float32)])
    builder.output(value, "y")
    describe_inputs(builder.graph)
    find_preprocessing(builder.graph)
    (contract,) = builder.graph.contracts
    assert (contract.mean, contract.scale, contract.in_graph) == (mean, scale, True)


def test_scaling_before_subtracting_is_not_taken_for_mean_and_scale() -> None:
    builder = Builder("mxnet", "net")
    value = builder.input("data", ["batch", 3, 8, 8], ir.DataType.FLOAT)
    value = builder.emit("Mul", [value, builder.const(2.0, np.float32)])
    builder.output(builder.emit("Sub", [value, builder.const(1.0, np.float32)]), "y")
    describe_inputs(builder.graph)
    find_preprocessing(builder.graph)
    assert (builder.graph.contracts[0].mean, builder.graph.contracts[0].scale) == ((0.0,), (2.0,))


def network_with_features(features: int | None) -> Graph:
    builder = Builder("mxnet", "net")
    data = builder.input("data", None, ir.DataType.FLOAT)
    weight = builder.const(np.ones((4, 3, 3, 3)), np.float32)
    value = builder.emit("Conv", [data, weight], strides=[2, 2], **WINDOW)
    if features is not None:
        value = builder.emit("Flatten", [value], axis=1)
        value = builder.emit("Gemm", [value, builder.const(np.ones((2, features)), np.float32)], transB=1)
    builder.output(value, "y")
    return builder.graph


@pytest.mark.parametrize(
    ("features", "size"), [(4 * 56 * 56, (112, 112)), (4 * 12 * 12, (24, 24)), (4 * 56 * 48, (112, 96))]
)
def test_the_input_size_is_deduced_from_the_fully_connected_weight(features, size) -> None:
    graph = network_with_features(features)
    settle_input_shapes(graph, {}, "net-symbol.json")
    assert graph.contracts[0].shape == ("batch", 3, *size)
    assert f"3x{size[0]}x{size[1]} was deduced" in graph.warnings[0]


def network_with_reshape(*sizes: int) -> Graph:
    builder = Builder("mxnet", "net")
    data = builder.input("data", None, ir.DataType.FLOAT)
    weight = builder.const(np.ones((4, 3, 3, 3)), np.float32)
    value = builder.emit("Conv", [data, weight], strides=[2, 2], **WINDOW)
    value = builder.emit("Transpose", [value], perm=[0, 2, 3, 1])
    builder.output(builder.emit("Reshape", [value, builder.const(sizes, np.int64)]), "y")
    return builder.graph


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ((1, 320 * 320, 4), (1, 3, 640, 640)),  # 128x128 would fill it with 25 samples, and 112x112 with none
        ((2, 32 * 32, 4), (2, 3, 64, 64)),
        ((48 * 56, 4), (1, 3, 112, 96)),
    ],
)
def test_a_reshape_to_fixed_sizes_fixes_the_batch_too(sizes, shape) -> None:
    graph = network_with_reshape(*sizes)
    settle_input_shapes(graph, {}, "net-symbol.json")
    assert graph.contracts[0].shape == shape
    assert f"3x{shape[2]}x{shape[3]} was deduced" in graph.warnings[0]
    assert tuple(graph.outputs[0].shape) == sizes


def test_a_recorded_size_comes_first_where_it_fits() -> None:
    graph = network_with_reshape(1, 120 * 160, 4)
    settle_input_shapes(graph, {}, "net-symbol.json", {"data": (240, 320)})
    assert (graph.contracts[0].shape, graph.warnings) == ((1, 3, 240, 320), [])
    graph = network_with_reshape(1, 56 * 56, 4)
    settle_input_shapes(graph, {}, "net-symbol.json", {"data": (240, 320)})
    assert graph.contracts[0].shape == (1, 3, 112, 112)
    with pytest.raises(UsageError, match="another number of elements"):
        settle_input_shapes(network_with_reshape(1, 120 * 160, 4), {}, "net-symbol.json")


def test_without_such_a_layer_height_and_width_stay_dynamic() -> None:
    graph = network_with_features(None)
    settle_input_shapes(graph, {}, "net-symbol.json")
    assert graph.contracts[0].shape == ("batch", 3, "height", "width")
    assert not graph.warnings


def test_a_size_that_nothing_fits_asks_for_it_and_a_given_one_is_checked() -> None:
    with pytest.raises(UsageError, match=r"--input data=batch,3,H,W"):
        settle_input_shapes(network_with_features(4 * 7 * 5), {}, "net-symbol.json")
    with pytest.raises(UsageError, match=r"does not fit the model"):
        settle_input_shapes(network_with_features(4 * 7 * 5), {"data": ("batch", 3, 14, 14)}, "net-symbol.json")
    graph = network_with_features(4 * 7 * 5)
    settle_input_shapes(graph, {"data": ("batch", 3, 14, 10)}, "net-symbol.json")
    assert graph.contracts[0].shape == ("batch", 3, 14, 10)
    with pytest.raises(UsageError, match=r"has no input 'image'"):
        settle_input_shapes(network_with_features(None), {"image": (1, 3, 8, 8)}, "net-symbol.json")
