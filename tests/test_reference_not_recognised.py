"""A graph that differs from an architecture in anything is not recognised as it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facecvt.converters.graph import Builder
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.parity_tests.support.listed_graphs import changed, graph_of
from facecvt.reference_models import spec
from facecvt.reference_models.graph_skeleton import from_graph
from facecvt.reference_models.layers import LayerList
from facecvt.reference_models.recognise import recognise
from facecvt.reference_models.skeleton import from_layers, pair


def test_a_stride_on_the_first_convolution_is_another_resnet():
    """The units of the paper, and of MXNet's own ResNet v1."""
    places = {"layer2.0.conv1": (2, 2), "layer2.0.conv2": (1, 1)}

    def edit(layer, attributes):
        return attributes | ({"strides": places[layer.name]} if layer.name in places else {})

    assert recognise(graph_of(spec("resnet50"), edit=edit)) is None
    assert recognise(graph_of(spec("resnet50"), edit=changed("maxpool", ceil_mode=1))) is None


@pytest.mark.parametrize(
    "edit",
    [
        changed("layer3.0.conv2", strides=(1, 1)),
        changed("layer3.0.conv1", strides=(2, 2)),
        changed("layer2.1.conv1", pads=(0, 0, 2, 2)),
        changed("layer2.1.conv1", dilations=(2, 2)),
        changed("layer2.1.conv1", group=2),
        changed("layer2.1.conv1", auto_pad="SAME_UPPER"),
    ],
    ids=["stride missing", "stride misplaced", "pads", "dilations", "group", "auto_pad"],
)
def test_an_attribute_that_differs_is_not_recognised(edit):
    assert recognise(graph_of(spec("r18"))) is not None
    assert recognise(graph_of(spec("r18"), edit=edit)) is None


def last(graph, op_type):
    return [node for node in graph.body if node.op_type == op_type][-1]


def test_rewired_graphs_are_not_recognised():
    """A shortcut that starts at bn1's output is a unit of another kind, with every operator and shape in place."""
    graph = graph_of(spec("r18"))
    add = last(graph, "Add")
    unit_input = next(value for value in add.inputs if value.producer().op_type == "Add")
    first_norm = next(u.node for u in unit_input.uses() if u.node.op_type == "BatchNormalization")
    position = next(i for i, value in enumerate(add.inputs) if value is unit_input)
    add.replace_input_with(position, first_norm.outputs[0])
    assert recognise(graph) is None


def test_another_operator_is_not_recognised():
    graph = graph_of(spec("mobilefacenet"))
    prelu = last(graph, "PRelu")
    replacement = ir.Node("", "Relu", [prelu.inputs[0]], name="relu")
    graph.body.insert_after(prelu, replacement)
    prelu.outputs[0].replace_all_uses_with(replacement.outputs[0])
    assert recognise(graph) is None


def test_a_shared_slope_is_not_recognised():
    graph = graph_of(spec("mobilefacenet"))
    prelu = last(graph, "PRelu")
    single = ir.Value(name="one", const_value=ir.tensor(np.array([0.25], np.float32), name="one"))
    prelu.replace_input_with(1, single)
    assert recognise(graph) is None


def test_more_behind_the_embedding_is_not_recognised():
    graph = graph_of(spec("r18"))
    value = graph.outputs[0]
    scaled = ir.Node("", "Relu", [value], name="relu")
    graph.body.append(scaled)
    graph.body.outputs[0] = scaled.outputs[0]
    assert recognise(graph) is None


def test_a_cut_or_forked_graph_is_not_recognised():
    graph = graph_of(spec("r18"))
    graph.body.outputs[0] = last(graph, "PRelu").outputs[0]
    assert recognise(graph) is None
    graph.body.outputs[0] = last(graph, "Gemm").outputs[0]
    found = recognise(graph)
    assert found is not None
    assert found.architecture == spec("fresnet18", output="F"), "which ends there"
    graph = graph_of(spec("r18"))
    graph.body.outputs.append(last(graph, "Gemm").outputs[0])
    assert recognise(graph) is None


def test_a_computed_weight_is_not_recognised():
    graph = graph_of(spec("r18"))
    gemm = last(graph, "Gemm")
    weight = gemm.inputs[1]
    doubled = ir.Node("", "Identity", [weight], name="copy")
    graph.body.insert_before(gemm, doubled)
    gemm.replace_input_with(1, doubled.outputs[0])
    assert recognise(graph) is None


def test_scale_and_shift_where_there_are_none_are_not_recognised():
    arch = spec("adaface_ir18", embedding_size=8)
    for role, number in ((1, 1.5), (2, 0.5)):
        graph = graph_of(arch)
        norm = last(graph, "BatchNormalization")
        array = norm.inputs[role].const_value.numpy().copy()
        array[3] = number
        norm.replace_input_with(role, ir.Value(name="other", const_value=ir.tensor(array, name="other")))
        assert recognise(graph) is None
    assert recognise(graph_of(arch)) is not None


def test_outputs_count_by_number_and_order():
    arch = spec("adaface_ir18", embedding_size=8)
    graph = graph_of(arch)
    feature, norm = graph.outputs
    graph.body.outputs[:] = [norm, feature]
    assert recognise(graph) is None
    graph.body.outputs[:] = [feature]
    assert recognise(graph) is None
    graph.body.outputs[:] = [feature, norm]
    assert recognise(graph) is not None


def test_a_pool_that_picks_otherwise_is_not_recognised():
    for changes in ({"strides": (1, 1)}, {"kernel_shape": (2, 2)}):
        assert recognise(graph_of(spec("adaface_ir18"), edit=changed("body.0.shortcut_layer", **changes))) is None


@pytest.mark.parametrize(
    ("listed", "op", "attributes"),
    [
        (lambda net: net.length("y", "input"), "ReduceL2", {"keepdims": 0}),
        (lambda net: net.normalize("y", "input"), "LpNormalization", {"axis": 1, "p": 1}),
        (lambda net: net.flatten("y", "input"), "Flatten", {"axis": 0}),
    ],
    ids=["length as a row", "sum of magnitudes", "batch in one row"],
)
def test_an_operator_in_another_form_is_not_recognised(listed, op, attributes):
    b = Builder("onnx", "form")
    x = b.input("x", ["n", 8], ir.DataType.FLOAT)
    b.begin("", "a")
    b.output(b.emit(op, [x, b.const([1])] if op == "ReduceL2" else [x], **attributes), "y")
    skeleton = from_graph(b.graph)
    assert skeleton is not None
    net = LayerList()
    listed(net)
    assert pair(from_layers(net.layers), skeleton) is None


def test_a_large_guard_is_not_a_normalisation():
    b = Builder("onnx", "guard")
    x = b.input("x", ["n", 8], ir.DataType.FLOAT)
    b.begin("", "a")
    length = b.emit("ReduceL2", [x, b.const([1])], keepdims=1)
    b.output(b.emit("Div", [x, b.emit("Max", [length, b.const(1.0, np.float32)])]), "y")
    skeleton = from_graph(b.graph)
    assert skeleton is not None
    assert not skeleton.normalised


def test_a_stem_computed_twice_is_no_pair():
    """Unfolded into trees the two networks are equal: the pairing must be one-to-one."""
    layers = spec("r18").layers()
    twin = [
        replace(
            layer, name=f"twin.{layer.name}", inputs=tuple(n if n == "input" else f"twin.{n}" for n in layer.inputs)
        )
        for layer in layers[:3]
    ]
    rest = [replace(la, inputs=("twin.prelu",)) if la.name == "layer1.0.downsample.0" else la for la in layers]
    assert pair(from_layers(layers), from_layers(layers)) is not None
    assert pair(from_layers(layers), from_layers(twin + rest)) is None
    assert pair(from_layers(twin + rest), from_layers(layers)) is None
