"""MobileNet V1, V2 and the two forms of V3: names, widths, hyper-parameters, and graphs of them however spelled."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from facecvt.converters.errors import UsageError
from facecvt.converters.graph import Builder
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.reference_models import build, names, resolve, spec
from facecvt.reference_models.graph_activations import bounds, hard_sigmoid, hard_swish
from facecvt.reference_models.graph_skeleton import from_graph
from facecvt.reference_models.layers import LayerList
from facecvt.reference_models.materialise import write_reference
from facecvt.reference_models.recognise import recognise
from facecvt.reference_models.seeded import power_gain, seeded_state
from facecvt.reference_models.skeleton import from_layers, pair
from facecvt.reference_models.weights import state_entries

SIX = [name for name in names() if spec(name).family.startswith("mobilenet_v")]
KIT_NAMES = [
    *("seed004_mobilenetv1", "seed004_mobilenetv2", "seed004_mobilenetv3_small", "torchvision_mobilenet_v2"),
    *("torchvision_mobilenet_v3_small", "torchvision_mobilenet_v3_large"),
]


# ---- what users type, what is declared -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "name", "framework", "options"),
    [
        ("MobileNetV1", "mobilenet_v1", None, {}),
        ("seed004_mobilenetv1", "mobilenet_v1", "torch", {}),
        ("mobilenetv2", "mobilenet_v2", None, {}),
        ("seed004_mobilenetv2", "mobilenet_v2", "torch", {}),
        ("torchvision_mobilenet_v2", "mobilenet_v2", "torch", {}),
        ("mobilenet_v2_0.5", "mobilenet_v2", None, {"alpha": 0.5}),
        ("MobileNetV2_x1_4", "mobilenet_v2", None, {"alpha": 1.4}),
        ("mobilenet_v2_035", "mobilenet_v2", None, {"alpha": 0.35}),
        ("seed004_mobilenetv2_alpha0_75", "mobilenet_v2", "torch", {"alpha": 0.75}),
        ("torchvision_mobilenet_v2_width_mult1.30", "mobilenet_v2", "torch", {"alpha": 1.3}),
        ("torchvision_mobilenet_v3_large", "mobilenet_v3_large", "torch", {}),
        ("mobilenet_v3_small", "mobilenet_v3_small", None, {}),
        ("MobileNetV3_Small", "mobilenet_v3_se_bn_small", None, {}),
        ("seed004_mobilenetv3_large", "mobilenet_v3_se_bn_large", "torch", {}),
    ],
)
def test_typed_names_resolve(typed, name, framework, options):
    resolved = resolve(typed)
    assert (resolved.architecture.name, resolved.framework) == (name, framework)
    assert dict(resolved.architecture.options) == dict(spec(name).options) | options


@pytest.mark.parametrize("typed", ["mobilenet_v2_0.6", "mobilenet_v2_5", "mobilenet_v22", "seed004_mobilenetv3"])
def test_names_that_look_alike_are_refused(typed):
    with pytest.raises(UsageError, match="mobilenet"):
        resolve(typed)


def test_options_are_checked():
    for options in ({"alpha": 0}, {"alpha": True}, {"num_classes": 0}, {"narrow_last": 1}):
        with pytest.raises(UsageError, match="cannot be"):
            spec("mobilenet_v2", **options)
    with pytest.raises(UsageError, match="no option 'alpha'"):
        spec("mobilenet_v3_small", alpha=0.5)


@pytest.mark.parametrize(
    ("alpha", "stem", "widths", "last"),
    [
        (0.35, 16, (8, 8, 16, 24, 32, 56, 112), 1280),
        (0.5, 16, (8, 16, 16, 32, 48, 80, 160), 1280),
        (0.75, 24, (16, 24, 24, 48, 72, 120, 240), 1280),
        (1.0, 32, (16, 24, 32, 64, 96, 160, 320), 1280),
        (1.4, 48, (24, 32, 48, 88, 136, 224, 448), 1792),
    ],
)
def test_widths_follow_alpha(alpha, stem, widths, last):
    """Of the published nets of these widths."""
    declared = spec("mobilenet_v2", alpha=alpha)
    assert tuple(stage.channels for stage in declared.stages) == widths
    shapes = {entry.name: entry.shape for entry in state_entries(declared, "torch")}
    assert shapes["features.0.0.weight"][0] == stem
    assert shapes["classifier.1.weight"] == (1000, last)
    narrow = {e.name: e.shape for e in state_entries(spec("mobilenet_v2", alpha=0.5, narrow_last=True), "torch")}
    assert narrow["classifier.1.weight"] == (1000, 640)


def test_large_of_the_form_with_se_behind_the_projection():
    """No kit entry shows it: stride 2 falls in the last block but one, and the shortcut before has a convolution."""
    declared = spec("seed004_mobilenetv3_large")
    layers = {layer.name: layer for layer in declared.layers()}
    halving = [name for name, la in layers.items() if la.op == "Conv" and la.attributes["strides"] == (2, 2)]
    assert halving == ["conv1", *(f"bneck.{index}.conv2" for index in (1, 3, 6, 13))]
    projected = [name for name in layers if name.endswith("shortcut.0")]
    assert projected == [f"bneck.{index}.shortcut.0" for index in (10, 12)]
    assert [name for name, la in layers.items() if la.op == "Mul"] == [
        f"bneck.{index}.se" for index in (3, 4, 5, 10, 11, 12, 13, 14)
    ]
    assert layers["conv2"].parameter("weight").shape == (960, 160, 1, 1)
    assert layers["linear3"].parameter("weight").shape == (1280, 960)


# ---- hyper-parameters that inference cannot show ---------------------------------------------------------------------


@pytest.mark.parametrize("entry", KIT_NAMES)
def test_live_modules_are_upstreams(entry, upstream_kit, torch_module):
    facts = json.loads((upstream_kit / "torch" / f"{entry}.json").read_text(encoding="utf-8"))
    nn = torch_module.nn
    with torch_module.device("meta"):
        net = build(entry, "torch")
    modules = [(name, module) for name, module in net.named_modules() if not list(module.children())]
    convolutions = [
        [name, m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0], m.padding[0], m.groups]
        for name, m in modules
        if isinstance(m, nn.Conv2d)
    ]
    assert sorted(convolutions) == sorted(facts["convolutions"])
    for kind, keys in (
        ("BatchNorm2d", ("eps", "momentum", "affine", "track_running_stats")),
        ("BatchNorm1d", ("eps", "momentum", "affine", "track_running_stats")),
        ("Dropout", ("p",)),
    ):
        ours = [tuple(getattr(m, key) for key in keys) for _, m in modules if type(m).__name__ == kind]
        wanted = {tuple(row[key] for key in keys) for row in facts["layer_classes"].get(kind, [])}
        assert set(ours) == wanted, kind
        assert len(ours) == facts["leaf_module_counts"].get(kind, 0)


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_se_bn_small"])
def test_momentum_is_one_convention_turned_round(name, torch_module, paddle_module, mxnet_module):
    nn = torch_module.nn
    momentum = {m.momentum for m in build(name, "torch").modules() if isinstance(m, (nn.BatchNorm2d, nn.BatchNorm1d))}
    assert len(momentum) == 1
    kept = 1 - momentum.pop()
    paddle_nn = paddle_module.nn
    norms = (paddle_nn.BatchNorm2D, paddle_nn.BatchNorm1D)
    layers = [layer for layer in build(name, "paddle").sublayers() if isinstance(layer, norms)]
    assert {round(layer._momentum, 9) for layer in layers} == {round(kept, 9)}
    attributes = [
        node["attrs"] for node in json.loads(build(name, "mxnet").tojson())["nodes"] if node["op"] == "BatchNorm"
    ]
    assert {round(float(entry["momentum"]), 9) for entry in attributes} == {round(kept, 9)}
    assert len(attributes) == len(layers)


def test_what_squeeze_and_excitation_halves_is_made_up_for():
    layers = {layer.name: layer for layer in spec("mobilenet_v3_small").layers()}
    assert power_gain("features.4.block.2", layers) == 4 * power_gain("features.4.block.1.2", layers) == 12
    assert power_gain("features.2.block.0.2", layers) == 2
    assert power_gain("features.5", layers) == 1


# ---- hard activations in graphs --------------------------------------------------------------------------------------


def number(b, value):
    return b.const(value, np.float32)


def relu6_of_shifted(b, x, shift=3.0, high=6.0):
    return b.emit("Clip", [b.emit("Add", [number(b, shift), x]), number(b, 0.0), number(b, high)])


SWISHES = {
    "operator": lambda b, x: b.emit("HardSwish", [x]),
    "gate": lambda b, x: b.emit("Mul", [b.emit("HardSigmoid", [x], alpha=1 / 6, beta=0.5), x]),
    "paddle's sixth": lambda b, x: b.emit("Mul", [x, b.emit("HardSigmoid", [x], alpha=0.1666667, beta=0.5)]),
    "product divided": lambda b, x: b.emit("Div", [b.emit("Mul", [x, relu6_of_shifted(b, x)]), number(b, 6.0)]),
    "product times a sixth": lambda b, x: b.emit("Mul", [number(b, 1 / 6), b.emit("Mul", [x, relu6_of_shifted(b, x)])]),
    "gate divided": lambda b, x: b.emit("Mul", [x, b.emit("Div", [relu6_of_shifted(b, x), number(b, 6.0)])]),
}
OTHERS = {
    "slope 0.2": lambda b, x: b.emit("Mul", [x, b.emit("HardSigmoid", [x], alpha=0.2, beta=0.5)]),
    "shift 2": lambda b, x: b.emit("Div", [b.emit("Mul", [x, relu6_of_shifted(b, x, 2.0)]), number(b, 6.0)]),
    "bound 5": lambda b, x: b.emit("Div", [b.emit("Mul", [x, relu6_of_shifted(b, x, 3.0, 5.0)]), number(b, 6.0)]),
    "a fifth": lambda b, x: b.emit("Div", [b.emit("Mul", [x, relu6_of_shifted(b, x)]), number(b, 5.0)]),
    "divided the other way": lambda b, x: b.emit("Div", [number(b, 6.0), b.emit("Mul", [x, relu6_of_shifted(b, x)])]),
    "gate of another": lambda b, x: b.emit(
        "Mul", [x, b.emit("HardSigmoid", [b.emit("Relu", [x])], alpha=1 / 6, beta=0.5)]
    ),
    "not divided": lambda b, x: b.emit("Mul", [x, relu6_of_shifted(b, x)]),
}


def graph_of(spell):
    """A graph with a convolution, so that the activation does not count as preprocessing, and what ``spell`` adds."""
    b = Builder("onnx", "made")
    x = b.input("x", ["n", 3, 8, 8], ir.DataType.FLOAT)
    b.begin("", "c")
    y = b.emit("Conv", [x, b.const(np.zeros((4, 3, 1, 1)), np.float32)], kernel_shape=[1, 1])
    b.output(spell(b, y), "out")
    return b.graph, y


def listed(append):
    net = LayerList()
    append(net, net.conv("c", "input", (3, 4), 1))
    return from_layers(net.layers)


@pytest.mark.parametrize("how", SWISHES)
def test_hard_swish_is_known_in_every_spelling(how):
    graph, x = graph_of(SWISHES[how])
    assert hard_swish(graph.outputs[0]) is x
    skeleton = from_graph(graph)
    assert skeleton is not None
    assert pair(listed(lambda net, y: net.elementwise("a", "HardSwish", y)), skeleton) is not None


@pytest.mark.parametrize("how", OTHERS)
def test_what_is_nearly_hard_swish_is_not(how):
    graph, _ = graph_of(OTHERS[how])
    assert hard_swish(graph.outputs[0]) is None
    skeleton = from_graph(graph)
    assert skeleton is not None
    assert pair(listed(lambda net, y: net.elementwise("a", "HardSwish", y)), skeleton) is None


@pytest.mark.parametrize(
    ("spell", "alpha", "same"),
    [
        (lambda b, x: b.emit("HardSigmoid", [x], alpha=1 / 6, beta=0.5), 1 / 6, True),
        (lambda b, x: b.emit("Mul", [relu6_of_shifted(b, x), number(b, 1 / 6)]), 1 / 6, True),
        (lambda b, x: b.emit("HardSigmoid", [x]), 0.2, True),
        (lambda b, x: b.emit("HardSigmoid", [x]), 1 / 6, False),
        (lambda b, x: b.emit("HardSigmoid", [x], alpha=1 / 6, beta=0.6), 1 / 6, False),
    ],
)
def test_slope_and_offset_of_hard_sigmoid_count(spell, alpha, same):
    graph, x = graph_of(spell)
    skeleton = from_graph(graph)
    assert skeleton is not None
    ours = listed(lambda net, y: net.elementwise("a", "HardSigmoid", y, alpha=alpha, beta=0.5))
    assert (pair(ours, skeleton) is not None) == same
    if alpha == 1 / 6:
        assert (hard_sigmoid(graph.outputs[0]) is x) == same


@pytest.mark.parametrize(("low", "high", "same"), [(0.0, 6.0, True), (0.0, 5.0, False), (None, 6.0, False)])
def test_bounds_of_relu6_count(low, high, same):
    graph, _ = graph_of(lambda b, x: b.emit("Clip", [x, None if low is None else number(b, low), number(b, high)]))
    assert bounds(graph.outputs[0].producer()) == {"max": high} | ({} if low is None else {"min": low})
    skeleton = from_graph(graph)
    assert skeleton is not None
    assert (pair(listed(lambda net, y: net.relu6("a", y)), skeleton) is not None) == same


# ---- whole graphs ----------------------------------------------------------------------------------------------------


def exported(torch, net, path, opset=17):
    size = 224
    preserve = torch.onnx.TrainingMode.PRESERVE
    torch.onnx.export(
        net.eval(), (torch.zeros(1, 3, size, size),), str(path), dynamo=False, training=preserve, opset_version=opset
    )
    from facecvt.converters.readers.from_onnx import read_onnx

    return read_onnx(path)


@pytest.mark.filterwarnings("ignore:.*constant folding:UserWarning")
@pytest.mark.parametrize(
    ("name", "options", "opset"),
    [
        pytest.param("mobilenet_v1", {"num_classes": 5}, 17, marks=pytest.mark.slow),
        ("mobilenet_v2", {"alpha": 0.35, "num_classes": 10}, 17),
        pytest.param("mobilenet_v2", {"alpha": 0.5, "narrow_last": True}, 11, marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_small", {"num_classes": 7}, 12, marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_se_bn_small", {}, 17, marks=pytest.mark.slow),
        pytest.param("mobilenet_v2", {"alpha": 1.4}, 13, marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_large", {}, 18, marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_se_bn_large", {}, 13, marks=pytest.mark.slow),
    ],
)
def test_torch_export_is_recognised(name, options, opset, tmp_path, torch_module):
    arch = spec(name, **options)
    net = build(name, "torch", **options)
    state = seeded_state(arch, "torch")
    net.load_state_dict({key: torch_module.from_numpy(array) for key, array in state.items()})
    found = recognise(exported(torch_module, net, tmp_path / "net.onnx", opset))
    assert found is not None
    assert found.architecture == arch
    assert all(np.array_equal(array, state[key]) for key, array in found.state("torch").items())


@pytest.mark.filterwarnings("ignore:.*constant folding:UserWarning")
def test_activations_written_out_are_recognised(tmp_path, torch_module):
    """As the form with ``bneck`` is written by others: x * relu6(x + 3) / 6 and relu6(x + 3) / 6."""
    nn = torch_module.nn
    relu6 = nn.functional.relu6

    class Swish(nn.Module):
        def forward(self, x):
            return x * relu6(x + 3, inplace=True) / 6

    class Gate(nn.Module):
        def forward(self, x):
            return relu6(x + 3, inplace=True) / 6

    net = build("mobilenet_v3_se_bn_small", "torch")
    for path, module in list(net.named_modules()):
        if isinstance(module, (nn.Hardswish, nn.Hardsigmoid)):
            net.set_submodule(path, Swish() if isinstance(module, nn.Hardswish) else Gate())
    found = recognise(exported(torch_module, net, tmp_path / "net.onnx"))
    assert found is not None
    assert found.architecture == spec("mobilenet_v3_se_bn_small")
    assert {layer.name for layer in found.architecture.layers()} - set(found.layers) <= {"flatten"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*constant folding:UserWarning")
def test_a_mean_that_flattens_is_recognised(tmp_path, torch_module):
    """torchvision's MobileNetV2 of the first releases ends in x.mean([2, 3])."""
    nn = torch_module.nn

    class Mean(nn.Module):
        def forward(self, x):
            return x.mean([2, 3])

    net = build("mobilenet_v2", "torch", alpha=0.35)
    net.avgpool = Mean()
    found = recognise(exported(torch_module, net, tmp_path / "net.onnx"))
    assert found is not None
    assert found.architecture == spec("mobilenet_v2", alpha=0.35)
    assert "avgpool" not in found.layers, "no value of the graph is the mean before it is flattened"


@pytest.mark.parametrize("name", SIX)
def test_mxnet_graph_is_recognised(name, tmp_path, mxnet_module):
    from facecvt.converters.formats.locate import locate
    from facecvt.converters.formats.mxnet_model import load_mxnet
    from facecvt.converters.readers.from_mxnet import read_mxnet

    written = write_reference(name, "mxnet", tmp_path, seed=2)
    found = recognise(read_mxnet(load_mxnet(locate("mxnet", str(written)))))
    assert found is not None
    assert found.architecture == spec(name)
    state = seeded_state(spec(name), "torch", 2)
    assert all(np.array_equal(array, state[key]) for key, array in found.state("torch").items())


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["legacy", "pir"])
@pytest.mark.parametrize("name", SIX)
def test_paddle_graph_is_recognised(name, dialect, tmp_path, paddle_module):
    from facecvt.converters.formats.locate import locate
    from facecvt.converters.formats.paddle_model import load_paddle
    from facecvt.converters.readers.from_paddle import read_paddle

    written = write_reference(name, "paddle", tmp_path, seed=2, dialect=dialect)
    found = recognise(read_paddle(load_paddle(locate("paddle", str(written)))))
    assert found is not None
    assert found.architecture == spec(name)
    state = seeded_state(spec(name), "torch", 2)
    assert all(np.array_equal(array, state[key]) for key, array in found.state("torch").items())


@pytest.mark.parametrize(
    ("name", "framework"),
    [
        ("mobilenet_v3_se_bn_small", "mxnet"),
        *(pytest.param(name, "mxnet", marks=pytest.mark.slow) for name in SIX if name != "mobilenet_v3_se_bn_small"),
        *(pytest.param(name, "paddle", marks=pytest.mark.slow) for name in SIX),
    ],
)
def test_converted_files_become_the_public_class(name, framework, tmp_path, request):
    """A ``model.py`` that needs torch alone, with upstream's keys, that computes what the source computes."""
    torch = request.getfixturevalue("torch_module")
    request.getfixturevalue(f"{framework}_module")
    from facecvt.converters.conversion import convert_files
    from facecvt.converters.formats.locate import locate
    from facecvt.reference_models.public_class import public_class

    written = write_reference(name, framework, tmp_path / "source", num_classes=12)
    target = tmp_path / "converted"
    conversion = convert_files(framework, locate(framework, str(written)), "torch", target, recogniser=public_class)
    assert conversion.recognised == name
    arch = spec(name, num_classes=12)
    paths = {path for path, _ in build(name, "torch", num_classes=12).named_modules()}
    modules = [tap.removeprefix("module:") for tap in conversion.taps.values()]
    assert set(modules) <= paths
    assert set(modules) >= {layer.name for layer in arch.layers() if layer.op in ("Conv", "Gemm", "Mul", "Add")}

    code = """
import json, sys
import numpy as np, torch
import model
net = model.load()
with torch.no_grad():
    np.save("out.npy", net(torch.from_numpy(np.load("x.npy"))).numpy())
assert not any(name.startswith("facecvt") for name in sys.modules)
print(json.dumps(list(net.state_dict())))
"""
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 224, 224)).astype(np.float32)
    np.save(target / "x.npy", x)
    done = subprocess.run([sys.executable, "-c", code], cwd=target, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == [entry.name for entry in state_entries(arch, "torch")]
    net = build(name, "torch", num_classes=12).eval()
    state = seeded_state(arch, "torch")
    net.load_state_dict({key: torch.from_numpy(array) for key, array in state.items()})
    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()
    assert np.abs(np.load(target / "out.npy") - expected).max() < 1e-5 * np.abs(expected).max()
