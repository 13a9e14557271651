"""What is the ResNets' own: their options, their initial weights, ImageNet's contract, and Paddle's own ResNets."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from facecvt.converters.errors import UsageError
from facecvt.reference_models import build, names, resolve, spec
from facecvt.reference_models.materialise import write_reference
from facecvt.reference_models.seeded import seeded_state
from facecvt.reference_models.weights import state_entries

CLASSIFIERS = [f"resnet{depth}" for depth in (18, 34, 50, 101, 152)] + ["resnext50_32x4d", "wide_resnet50_2"]
FACES = [f"resnet_std{depth}" for depth in (18, 34, 50, 101)]


def test_all_are_there():
    assert [name for name in names() if spec(name).family == "resnet"] == CLASSIFIERS + FACES


@pytest.mark.parametrize(
    ("typed", "name", "framework", "options"),
    [
        *((f"torchvision_{name}", name, "torch", {}) for name in CLASSIFIERS),
        ("paddle_vision_resnet50", "resnet50", "paddle", {}),
        ("ResNet50", "resnet50", None, {}),
        *((f"ffc_resnet_std_resnet{depth}", f"resnet_std{depth}", "torch", {}) for depth in (18, 34, 50, 101)),
        ("ffc_resnet_std_resnet50_256", "resnet_std50", "torch", {"embedding_size": 256}),
        ("resnet_std_34", "resnet_std34", None, {}),
    ],
)
def test_typed_names_resolve(typed, name, framework, options):
    resolved = resolve(typed)
    assert (resolved.architecture, resolved.framework) == (spec(name, **options), framework)


@pytest.mark.parametrize("typed", ["ffc_resnet_std_resnet152", "torchvision_resnet_50", "resnet_std152", "resnet20"])
def test_names_that_look_alike_are_refused(typed):
    with pytest.raises(UsageError, match="Did you mean"):
        resolve(typed)


@pytest.mark.parametrize(
    ("name", "parameters", "units", "output"),
    [
        ("resnet18", 11689512, (2, 2, 2, 2), 1000),
        ("resnet34", 21797672, (3, 4, 6, 3), 1000),
        ("resnet50", 25557032, (3, 4, 6, 3), 1000),
        ("resnet101", 44549160, (3, 4, 23, 3), 1000),
        ("resnet152", 60192808, (3, 8, 36, 3), 1000),
        ("resnext50_32x4d", 25028904, (3, 4, 6, 3), 1000),
        ("wide_resnet50_2", 68883240, (3, 4, 6, 3), 1000),
        ("resnet_std18", 24023104, (2, 2, 2, 2), 512),
        ("resnet_std50", 74889792, (3, 4, 6, 3), 512),
        ("resnet_std101", 93881920, (3, 4, 23, 3), 512),
    ],
)
def test_declared_facts(name, parameters, units, output):
    declared = spec(name)
    assert declared.parameter_count() == parameters
    assert tuple(stage.units for stage in declared.stages) == units
    assert tuple(stage.size for stage in declared.stages) == (56, 28, 14, 7)
    assert declared.embedding_size == output
    assert declared.normalised == (name in FACES)


def test_contracts_are_imagenets_and_ffcs():
    for framework, name in (("torch", "x"), ("paddle", "x"), ("mxnet", "data")):
        contract = spec("resnet50").contracts[framework]
        assert (contract.name, contract.shape, contract.color) == (name, ("batch", 3, 224, 224), "RGB")
        assert np.allclose(np.array(contract.mean) / 255, (0.485, 0.456, 0.406), rtol=1e-12)
        assert np.allclose(1 / (255 * np.array(contract.scale)), (0.229, 0.224, 0.225), rtol=1e-12)
        contract = spec("resnet_std18").contracts[framework]
        assert (contract.color, contract.mean, contract.scale) == ("BGR", (127.5,), (1 / 128,))


@pytest.mark.parametrize(
    ("flags", "strides", "sizes", "dilations"),
    [
        ((False, False, True), (1, 2, 2, 1), (56, 28, 14, 14), {"layer4.0": 1, "layer4.1": 2}),
        ((False, True, True), (1, 2, 1, 1), (56, 28, 28, 28), {"layer3.0": 1, "layer4.0": 2, "layer4.2": 4}),
        ((True, False, True), (1, 1, 2, 1), (56, 56, 28, 28), {"layer2.1": 2, "layer3.0": 2, "layer4.1": 4}),
    ],
)  # fmt: skip
def test_dilation_takes_the_place_of_strides(flags, strides, sizes, dilations):
    declared = spec("resnet50", replace_stride_with_dilation=list(flags))
    assert declared == spec("resnet50", replace_stride_with_dilation=flags)
    assert tuple(stage.stride for stage in declared.stages) == strides
    assert tuple(stage.size for stage in declared.stages) == sizes
    found = {layer.name: layer.attributes for layer in declared.layers()}
    for unit, dilation in dilations.items():
        conv = found[f"{unit}.conv2"]
        assert conv.get("dilations", (1, 1)) == (dilation, dilation)
        assert conv["pads"] == (dilation,) * 4
    assert spec("resnet50", replace_stride_with_dilation=None) == spec("resnet50")


def test_dilated_faces_have_a_larger_last_map(torch_module):
    arch = spec("resnet_std50", replace_stride_with_dilation=(False, False, True), embedding_size=4)
    fc = next(entry for entry in state_entries(arch, "torch") if entry.name == "fc.weight")
    assert fc.shape == (4, 2048 * 14 * 14)
    net = build("resnet_std50", "torch", replace_stride_with_dilation=(False, False, True), embedding_size=4)
    assert tuple(net.fc.weight.shape) == fc.shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 2}, "basic units"),
        ({"width_per_group": 128}, "basic units"),
        ({"replace_stride_with_dilation": (False, False, True)}, "basic units"),
        ({"replace_stride_with_dilation": (False, True)}, "three times True or False"),
        ({"groups": 0}, "groups cannot be 0"),
        ({"zero_init_residual": 1}, "zero_init_residual cannot be 1"),
        ({"norm_layer": "batch"}, "norm_layer cannot be 'batch'"),
        ({"norm_layer": len, "eps": 1e-3}, "eps is that of BatchNorm"),
        ({"normalize": True}, "no option 'normalize'"),
        ({"embedding_size": 128}, "no option 'embedding_size'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        spec("resnet34", **options)


@pytest.mark.parametrize("framework", ["torch", "paddle", "mxnet"])
def test_the_nets_themselves_refuse_groups_of_basic_units(framework, request):
    """They are used without a spec as well: ``net_torch.py`` is the text of a ``model.py``."""
    request.getfixturevalue(f"{framework}_module")
    module = __import__(f"facecvt.reference_models.resnet.net_{framework}", fromlist=["resnet"])
    net = module.resnet if framework == "mxnet" else module.ResNet
    with pytest.raises(ValueError, match="groups"):
        net((2, 2, 2, 2), bottleneck=False, groups=2)


def scales_of(framework, net, mxnet=None):
    """(name, initial values) of the weight of every norm that closes a branch, and of all others."""
    if framework == "mxnet":
        module = mxnet.mod.Module(net, label_names=None)
        module.bind([("data", (1, 3, 32, 32))], for_training=False)
        module.init_params(mxnet.init.Xavier())
        state = {name: array.asnumpy() for name, array in module.get_params()[0].items()}
        state = {name.replace("_gamma", ".weight"): array for name, array in state.items() if name.endswith("_gamma")}
    else:
        state = {name: value.numpy() for name, value in net.state_dict().items() if name.endswith(".weight")}
    return {name: value for name, value in state.items() if value.ndim == 1}


@pytest.mark.parametrize("framework", ["torch", "paddle", "mxnet"])
@pytest.mark.parametrize(
    ("name", "last", "count"), [("resnet18", "bn2", 8), pytest.param("resnet50", "bn3", 16, marks=pytest.mark.slow)]
)
def test_zero_init_residual_starts_the_last_scales_with_0(name, last, count, framework, request):
    module = request.getfixturevalue(f"{framework}_module")
    mxnet = module if framework == "mxnet" else None
    zeroed = scales_of(framework, build(name, framework, zero_init_residual=True), mxnet)
    zeros = [key for key, value in zeroed.items() if not value.any()]
    assert len(zeros) == count
    assert all(key.endswith(f"{last}.weight") and key.startswith("layer") for key in zeros)
    assert all((value == 1).all() for key, value in zeroed.items() if key not in zeros)
    plain = scales_of(framework, build(name, framework), mxnet)
    assert list(plain) == list(zeroed)
    assert all((value == 1).all() for value in plain.values())


@pytest.mark.parametrize("framework", ["torch", "paddle"])
def test_convolutions_start_as_he_et_al_have_them(framework, request):
    """Normal, variance 2 over the numbers that every input is spread to."""
    request.getfixturevalue(f"{framework}_module")
    net = build("resnet18", framework)
    for name, fan in (("conv1", 64 * 49), ("layer4.1.conv2", 512 * 9), ("layer4.0.downsample.0", 512)):
        weight = net.state_dict()[f"{name}.weight"].numpy()
        assert abs(weight.std() / np.sqrt(2 / fan) - 1) < 0.03, name
        assert abs(weight.mean()) < 0.03 * weight.std() + 4 * weight.std() / np.sqrt(weight.size)


@pytest.mark.parametrize("options", [{}, {"eps": 1e-3}])
def test_hyper_parameters_of_training(options, torch_module, paddle_module, mxnet_module):
    eps = options.get("eps", 1e-5)
    for name in ("resnet18", "resnet_std18"):
        count = 20 + (name in FACES)
        norms = [m for m in build(name, "torch", **options).modules() if hasattr(m, "running_mean")]
        assert [(m.eps, m.momentum) for m in norms] == [(eps, 0.1)] * count
        layers = [m for m in build(name, "paddle", **options).sublayers() if hasattr(m, "_mean")]
        assert [(m._epsilon, m._momentum) for m in layers] == [(eps, 0.9)] * count
        nodes = json.loads(build(name, "mxnet", **options).tojson())["nodes"]
        attrs = [node["attrs"] for node in nodes if node["op"] == "BatchNorm"]
        facts = [(float(a["eps"]), float(a["momentum"]), a["fix_gamma"]) for a in attrs]
        assert facts == [(eps, 0.9, "False")] * count


def test_another_norm_takes_the_place_of_batchnorm(torch_module, paddle_module, mxnet_module):
    nn, mx = torch_module.nn, mxnet_module
    net = build("resnet18", "torch", norm_layer=lambda channels: nn.GroupNorm(32, channels), zero_init_residual=True)
    kinds = [type(module).__name__ for module in net.modules()]
    assert (kinds.count("GroupNorm"), kinds.count("BatchNorm2d")) == (20, 0)
    assert not net.layer1[0].bn2.weight.any()
    layer = build("resnet18", "paddle", norm_layer=lambda channels: paddle_module.nn.GroupNorm(32, channels))
    assert [type(sub).__name__ for sub in layer.sublayers()].count("GroupNorm") == 20
    symbol = build("resnet18", "mxnet", norm_layer=lambda data, name: mx.sym.GroupNorm(data, num_groups=32, name=name))
    assert len([name for name in symbol.list_arguments() if name.endswith("_gamma")]) == 20
    assert symbol.list_auxiliary_states() == []
    x = torch_module.rand(2, 3, 64, 64, generator=torch_module.Generator().manual_seed(0))
    with torch_module.no_grad():
        assert net.eval()(x).shape == (2, 1000)
    with pytest.raises(UsageError, match="norm_layer"):
        write_reference("resnet18", "torch", "unused", norm_layer=len)


@pytest.mark.parametrize(
    "name", ["resnet18", *(pytest.param(name, marks=pytest.mark.slow) for name in CLASSIFIERS if name != "resnet18")]
)
def test_paddles_own_resnets_have_the_same_state_and_values(name, paddle_module):
    upstream = getattr(paddle_module.vision.models, name)()
    state = seeded_state(spec(name), "paddle")
    assert [(n, tuple(v.shape)) for n, v in upstream.state_dict().items()] == [(n, a.shape) for n, a in state.items()]
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 64, 96))
    values = []
    for net in (upstream, build(name, "paddle")):
        net.set_state_dict(state)
        net.to(dtype="float64")
        net.eval()
        with paddle_module.no_grad():
            values.append(net(paddle_module.to_tensor(x)).numpy())
    assert np.abs(values[0]).max() > 0.1
    assert np.abs(values[0] - values[1]).max() < 1e-12 * np.abs(values[0]).max()


def test_the_trunks_are_one_network(torch_module):
    """A classifier's weights give the face network the same last map."""
    state = {name: torch_module.from_numpy(array) for name, array in seeded_state(spec("resnet18"), "torch").items()}
    classifier, face = build("resnet18", "torch").eval(), build("resnet_std18", "torch", embedding_size=4).eval()
    classifier.load_state_dict(state)
    trunk = {name: array for name, array in state.items() if not name.startswith("fc.")}
    missing, unexpected = face.load_state_dict(trunk, strict=False)
    assert unexpected == []
    assert {name.partition(".")[0] for name in missing} == {"fc", "features"}
    x = torch_module.rand(1, 3, 64, 64, generator=torch_module.Generator().manual_seed(0))
    with torch_module.no_grad():
        assert torch_module.equal(classifier.features_map(x), face.features_map(x))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("framework", "name", "options"),
    [
        ("mxnet", "resnet18", {"zero_init_residual": True}),
        ("paddle", "resnet18", {"num_classes": 7}),
        ("mxnet", "resnext50_32x4d", {}),
        ("mxnet", "resnet50", {"replace_stride_with_dilation": (False, False, True), "num_classes": 3}),
        ("mxnet", "resnet_std18", {"embedding_size": 64}),
        ("paddle", "resnet_std18", {"embedding_size": 64}),
    ],
)
def test_converted_files_become_the_public_class(framework, name, options, tmp_path, request):
    """From files to a ``model.py`` that needs torch alone, with upstream's keys; and again by way of ONNX."""
    request.getfixturevalue("torch_module")
    request.getfixturevalue(f"{framework}_module")
    from facecvt.converters.conversion import convert_files
    from facecvt.converters.formats.locate import locate
    from facecvt.parity_tests.verify import verify
    from facecvt.reference_models.public_class import public_class

    arch = spec(name, **options)
    source = locate(framework, str(write_reference(name, framework, tmp_path / "source", **options)))
    target = tmp_path / "converted"
    conversion = convert_files(framework, source, "torch", target, recogniser=public_class)
    assert conversion.recognised == name
    assert [contract.color for contract in conversion.contracts] == [arch.contracts["torch"].color]
    found = verify(conversion, batches=(1, 2))
    assert found.verdict == "agree", found.reasons
    assert found.coverage.parametric == 1

    code = """
import json, sys
import model
print(json.dumps(list(model.load().state_dict())))
assert not any(name.startswith("facecvt") for name in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=target, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == [entry.name for entry in state_entries(arch, "torch")]

    onnx = tmp_path / "model.onnx"
    convert_files(framework, source, "onnx", onnx, recogniser=public_class)
    again = convert_files("onnx", locate("onnx", str(onnx)), "torch", tmp_path / "again", recogniser=public_class)
    assert again.recognised == name
