"""MobileNet V1, V2 and the two forms of V3: names, widths, hyper-parameters."""

from __future__ import annotations

import json

import pytest

from facecvt.converters.errors import UsageError
from facecvt.reference_models import build, resolve, spec
from facecvt.reference_models.seeded import power_gain
from facecvt.reference_models.weights import state_entries

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
