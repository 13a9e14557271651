"""A graph is recognised by its structure alone, however it is spelled; anything that differs is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facecvt.converters.graph import Builder, attribute, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.reference_models import names, spec
from facecvt.reference_models.graph_skeleton import from_graph
from facecvt.reference_models.layers import LayerList
from facecvt.reference_models.recognise import recognise
from facecvt.reference_models.seeded import seeded_arrays, seeded_state
from facecvt.reference_models.skeleton import from_layers, pair

BATCH_NORM_ROLES = ("scale", "shift", "mean", "variance")


def length_by_reduce(b, x):
    length = b.emit("ReduceL2", [x, b.const([1])], keepdims=1)
    guarded = b.emit("Clip", [length, b.const(1e-12, np.float32)])
    return b.emit("Div", [x, b.emit("Expand", [guarded, b.emit("Shape", [x])])])


def length_by_sum(b, x):
    squares = b.emit("ReduceSum", [b.emit("Mul", [x, x]), b.const([1])], keepdims=1)
    root = b.emit("Sqrt", [b.emit("Add", [squares, b.const(1e-10, np.float32)])])
    return b.emit("Div", [x, root])


NORMALIZE = {
    "lp": lambda b, x: b.emit("LpNormalization", [x], axis=1, p=2),
    "reduce": length_by_reduce,
    "sum": length_by_sum,
}


def column_by_sum(b, x):
    squares = b.emit("ReduceSum", [b.emit("Pow", [x, b.const(2.0, np.float32)]), b.const([-1])], keepdims=0)
    return b.emit("Unsqueeze", [b.emit("Sqrt", [squares]), b.const([1])])


LENGTH = {
    "lp": lambda b, x: b.emit("ReduceL2", [x, b.const([1])], keepdims=1),
    "reduce": lambda b, x: b.emit("Sqrt", [b.emit("ReduceSumSquare", [x, b.const([1])], keepdims=1)]),
    "sum": column_by_sum,
}
FLATTEN = {
    "flatten": lambda b, x: b.emit("Flatten", [x], axis=1),
    "reshape": lambda b, x: b.emit("Reshape", [x, b.const([0, -1])]),
    "squeeze": lambda b, x: b.emit("Squeeze", [x, b.const([2, 3])]),
}


def emit_gemm(b, x, weight, bias, how):
    """The fully connected layer in one of its spellings."""
    if bias is None:
        if how == "matmul":
            return b.emit("MatMul", [x, b.const(weight.T, None)])
        return b.emit("Gemm", [x, b.const(weight, None)], transB=1)
    if how == "matmul":
        return b.emit("Add", [b.const(bias, None), b.emit("MatMul", [x, b.const(weight.T, None)])])
    if how == "untransposed":
        return b.emit("Gemm", [x, b.const(weight.T, None), b.const(bias, None)])
    if how == "added":
        return b.emit("Add", [b.emit("Gemm", [x, b.const(weight, None)], transB=1), b.const(bias, None)])
    return b.emit("Gemm", [x, b.const(weight, None), b.const(bias, None)], transB=1)


def graph_of(
    arch,
    *,
    arrays=None,
    preprocessing=False,
    noise=False,
    slope="C11",
    gemm="gemm",
    flatten="flatten",
    normalize="lp",
    swap=False,
    edit=lambda layer, attributes: attributes,
):
    """A canonical graph of an architecture, built from its listing, with names that say nothing.

    The weights are zeros unless given: recognition looks at shapes. ``edit`` changes the attributes of a layer.
    """
    b = Builder("onnx", "made")
    x = b.input("picture", ["n", 3, 112, 112], ir.DataType.FLOAT)
    values = {}
    if preprocessing:
        b.begin("", "p")
        x = b.emit("Mul", [b.emit("Sub", [x, b.const(127.5, np.float32)]), b.const(0.0078125, np.float32)])
    values["input"] = x
    for index, layer in enumerate(arch.layers()):
        b.begin("?", f"n{index}")
        weights = {p.role: (arrays[p.name] if arrays else np.zeros(p.shape, np.float32)) for p in layer.parameters}
        inputs = [values[name] for name in layer.inputs]
        if layer.op == "Conv":
            attributes = edit(layer, {"dilations": (1, 1)} | dict(layer.attributes))
            y = b.emit("Conv", [inputs[0], b.const(weights["weight"], None)], **attributes)
        elif layer.op == "BatchNormalization":
            if not layer.attributes.get("affine", True):
                ones = np.ones_like(weights["mean"])
                weights |= {"scale": ones, "shift": 0 * ones}
            y = b.emit(layer.op, [inputs[0], *(b.const(weights[r], None) for r in BATCH_NORM_ROLES)], epsilon=2e-5)
        elif layer.op == "PRelu":
            shape = {"C11": (-1, 1, 1), "1C11": (1, -1, 1, 1), "C": (-1,)}[slope]
            y = b.emit("PRelu", [inputs[0], b.const(weights["slope"].reshape(shape), None)])
        elif layer.op in ("Add", "Mul"):
            y = b.emit(layer.op, inputs[::-1] if swap else inputs)
        elif layer.op == "MaxPool":
            y = b.emit("MaxPool", [inputs[0]], **edit(layer, dict(layer.attributes)))
        elif layer.op == "GlobalAveragePool" and swap:
            y = b.emit("ReduceMean", [inputs[0], b.const([2, -1])], keepdims=1)
        elif layer.op in ("GlobalAveragePool", "Relu", "Sigmoid"):
            y = b.emit(layer.op, [inputs[0]])
        elif layer.op == "ReduceL2":
            y = LENGTH[normalize](b, inputs[0])
        elif layer.op == "Flatten":
            y = FLATTEN[flatten](b, inputs[0])
        elif layer.op == "Gemm":
            y = b.emit("Dropout", [inputs[0]]) if noise else inputs[0]
            y = emit_gemm(b, y, weights["weight"], weights.get("bias"), gemm)
        else:
            y = NORMALIZE[normalize](b, inputs[0])
        values[layer.name] = b.emit("Identity", [y]) if noise else y
    fed = {name for layer in arch.layers() for name in layer.inputs}
    for layer in arch.layers():
        if layer.name not in fed:
            b.output(values[layer.name], f"out_{layer.name}")
    return b.graph


SPELLINGS = {
    "plain": {},
    "preprocessed": {"preprocessing": True, "noise": True, "swap": True, "slope": "C"},
    "matmul": {"gemm": "matmul", "slope": "1C11", "flatten": "reshape"},
    "untransposed": {"gemm": "untransposed", "noise": True},
    "added": {"gemm": "added", "swap": True},
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    "name",
    [
        "iresnet18",
        "iresnet50",
        "mbf",
        "mobilefacenet",
        "adaface_ir18",
        "adaface_ir_se50",
        "resnet18",
        "resnext50_32x4d",
    ],
)
def test_recognised_in_every_spelling(name, spelling):
    arch = spec(name)
    found = recognise(graph_of(arch, **SPELLINGS[spelling]))
    assert found is not None
    assert found.architecture == arch
    left_out = {la.name for la in arch.layers()} - set(found.layers)
    without = [layer.op for layer in arch.layers() if layer.name in left_out]
    assert without.count("Flatten") <= 1, "only the Flatten in front of a Gemm has no node of its own"
    assert set(without) <= {"Flatten", "MaxPool"}
    assert list(found.parameters) == [p.name for layer in arch.layers() for p in layer.parameters]
    assert [node.op_type for node in found.preprocessing] == (["Sub", "Mul"] if spelling == "preprocessed" else [])
    assert set(found.eps().values()) == {2e-5}


@pytest.mark.parametrize(
    ("name", "spelling"), [("iresnet18", "matmul"), ("mobilefacenet", "plain"), ("mobilefacenet", "preprocessed")]
)
def test_weights_come_out_under_the_right_names(name, spelling):
    """Every array differs, so that a wrong pairing of equal shapes shows."""
    arch = spec(name)
    arrays = seeded_arrays(arch)
    found = recognise(graph_of(arch, arrays=arrays, **SPELLINGS[spelling]))
    assert found is not None
    extracted = found.arrays()
    assert list(extracted) == list(arrays)
    for key, array in arrays.items():
        assert np.array_equal(extracted[key], array), key
    state, expected = found.state("paddle"), seeded_state(arch, "paddle")
    assert list(state) == list(expected)
    assert all(np.array_equal(state[key], expected[key]) for key in expected)


@pytest.mark.parametrize("normalize", NORMALIZE)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("iresnet18", {"embedding_size": 256}),
        ("mobilefacenet", {"embedding_size": 512}),
        ("adaface_ir18", {"embedding_size": 64, "input_size": 224}),
        ("resnet_std18", {"embedding_size": 64}),
    ],
)
def test_options_are_recognised(name, options, normalize):
    arch = spec(name, normalize=True, **options)
    flatten = "squeeze" if name == "mobilefacenet" else "flatten"
    found = recognise(graph_of(arch, normalize=normalize, flatten=flatten))
    assert found is not None
    assert found.architecture == arch
    plain = recognise(graph_of(spec(name, normalize=False, **options)))
    assert plain is not None
    assert plain.architecture == spec(name, normalize=False, **options)


DEPTHS = [name for name in names() if spec(name).family in ("iresnet", "adaface", "mbf", "resnet")]


@pytest.mark.parametrize("name", DEPTHS)
def test_every_depth_is_told_from_the_others(name):
    found = recognise(graph_of(spec(name)))
    assert found is not None
    assert found.architecture.name == name


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {"num_classes": 7}),
        ("resnet50", {"groups": 8, "width_per_group": 12, "num_classes": 3}),
        ("resnet152", {"width_per_group": 128}),
        ("resnext50_32x4d", {"replace_stride_with_dilation": (False, False, True)}),
        ("resnet50", {"replace_stride_with_dilation": (False, True, True)}),
        ("resnet50", {"replace_stride_with_dilation": (True, False, True)}),
        (
            "resnet_std50",
            {"embedding_size": 64, "normalize": False, "replace_stride_with_dilation": (True, False, False)},
        ),
    ],
)
def test_options_of_a_resnet_are_recognised(name, options):
    found = recognise(graph_of(spec(name, **options)))
    assert found is not None
    assert found.architecture == spec(name, **options)


def test_groups_of_a_named_net_go_by_its_name():
    found = recognise(graph_of(spec("resnet50", groups=32, width_per_group=4)))
    assert found is not None
    assert found.architecture == spec("resnext50_32x4d")


def test_a_stride_on_the_first_convolution_is_another_resnet():
    """The units of the paper, and of MXNet's own ResNet v1."""
    places = {"layer2.0.conv1": (2, 2), "layer2.0.conv2": (1, 1)}

    def edit(layer, attributes):
        return attributes | ({"strides": places[layer.name]} if layer.name in places else {})

    assert recognise(graph_of(spec("resnet50"), edit=edit)) is None
    assert recognise(graph_of(spec("resnet50"), edit=changed("maxpool", ceil_mode=1))) is None


def changed(layer_name, **changes):
    return lambda layer, attributes: attributes | (changes if layer.name == layer_name else {})


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
    graph.body.outputs[0] = last(graph, "Gemm").outputs[0]
    assert recognise(graph) is None
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


def test_names_are_only_carried_along():
    found = recognise(graph_of(spec("r18")))
    assert found is not None
    node = found.layers["layer4.1.conv2"]
    assert node.op_type == "Conv"
    assert attribute(node, "strides") == [1, 1]
    assert found.parameters["layer4.1.conv2.weight"].value is node.inputs[1]
    assert name_of(node.outputs[0]).startswith("n")
