"""InsightFace's fresnet: what the shared tests do not ask of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from facecvt.converters.errors import UsageError
from facecvt.reference_models import build, resolve, spec
from facecvt.reference_models.fresnet.variants import UNITS
from facecvt.reference_models.mxnet_outputs import ACTIVATIONS, OUTPUTS, OUTPUTS_OF_2018
from facecvt.reference_models.naming import FRAMEWORKS
from facecvt.reference_models.recognise import families
from facecvt.reference_models.seeded import seeded_state
from facecvt.reference_models.skeleton import from_layers, pair
from facecvt.reference_models.weights import exchange, split_auxiliary, state_entries

SLOW = pytest.mark.slow
SAME_GRAPH = {"FC": "E", "I": "E", "G": "F", "AX": "A", "BX": "B", "CX": "GAP", "DX": "D", "C": "GAP"}

TYPED = [
    ("fresnet_r18_unit2_se", "fresnet18", {"unit": 2, "se": True}),
    ("fresnet_r18_se_unit2", "fresnet18", {"unit": 2, "se": True}),
    ("fresnet_r34_out_GDC", "fresnet34", {"output": "GDC"}),
    ("fresnet_r34_gdc256", "fresnet34", {"output": "GDC", "embedding_size": 256}),
    ("fresnet_r50_unit1_se", "fresnet50", {"unit": 1, "se": True}),
    ("fresnet_r18_input2_act_relu", "fresnet18", {"input": 2, "activation": "relu"}),
    ("fresnet_r18_out_GNAP_emb1024", "fresnet18", {"output": "GNAP", "embedding_size": 1024}),
    ("fresnet_r74_emb64", "fresnet74", {"embedding_size": 64}),
    ("fresnet_r49", "iresnet50", {}),
    ("fresnet_r49_se", "fresnet50", {"se": True}),
    ("fresnet2018_r269_unit1", "fresnet269", {"revision": "2018", "unit": 1}),
    ("fresnet_r200", "fresnet200", {}),
    ("fresnet_r200_emb128", "fresnet200", {"embedding_size": 128}),
    ("fresnet2018_r101", "fresnet101", {"revision": "2018"}),
    ("fresnet2018_r152_unit2_outD", "fresnet152", {"revision": "2018", "unit": 2, "output": "D"}),
    ("fresnet2018_r152_se", "fresnet152", {"revision": "2018", "se": True, "output": "D"}),
    ("fresnet2018_r18_outA_act_relu", "fresnet18", {"revision": "2018", "output": "A", "activation": "relu"}),
    ("fresnet2018_r34_out_CX", "fresnet34", {"revision": "2018", "output": "CX"}),
    ("LResNet200E-IR", "fresnet200", {}),
    ("SE-LResNet50E-IR", "fresnet50", {"se": True}),
    ("ResNet50E-IR", "fresnet50", {"input": 0}),
    ("LResNet34D-IR", "fresnet34", {"revision": "2018", "output": "D"}),
    ("fresnet_r50_emb256", "iresnet50", {"embedding_size": 256}),
    ("fresnet_r50_unit3_input1_out_E_act_prelu", "iresnet50", {}),
    ("fresnet2018_r100_emb96", "iresnet100", {"embedding_size": 96}),
    ("LResNet100E-IR", "iresnet100", {}),
]


@pytest.mark.parametrize(("typed", "name", "options"), TYPED, ids=[row[0] for row in TYPED])
def test_typed_names_resolve(typed, name, options):
    found = resolve(typed)
    assert found.framework == "mxnet"
    assert found.architecture == spec(name, **options)


def test_every_variant_of_the_kits_pattern_resolves():
    parts = (UNITS, ("", "_se"), ("", "_unit1", "_unit2"), ("", "_input0", "_input2"))
    for depth, *rest in itertools.product(*parts):
        suffix = "".join(rest)
        found = resolve(f"fresnet_r{depth}{suffix}").architecture
        assert tuple(stage.units for stage in found.stages) == UNITS[depth]
        assert found.options.get("se", False) == ("se" in suffix)
    for output, act in itertools.product((*OUTPUTS, *OUTPUTS_OF_2018), ACTIVATIONS):
        year = "2018" if output in OUTPUTS_OF_2018 else ""
        found = resolve(f"fresnet{year}_r18_unit2_out_{output}_act_{act}").architecture
        assert (found.options["output"], found.options["activation"]) == (output, act)


@pytest.mark.parametrize(
    "typed",
    [
        "fresnet_r19",
        "fresnet_r18_unit4",
        "fresnet_r18_out_Q",
        "fresnet_r18_se_se",
        "fresnet_r18_",
        "fresnet_r18_act_gelu",
    ],
)
def test_names_of_nothing_are_refused(typed):
    with pytest.raises(UsageError, match="no reference architecture is called"):
        resolve(typed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "A"}, "output A is in the revision of 2018 alone"),
        ({"output": "SFC", "revision": "2018"}, "output SFC is not in the revision of 2018"),
        ({"output": "GDC", "input": 0}, "output GDC needs a last map of at least 7x7, not 4x4"),
        ({"output": "Z", "normalize": True}, "output Z is a map"),
        ({"output": "A", "revision": "2018", "embedding_size": 64}, "output A has the last map's 512 channels"),
        ({"unit": 4}, "unit cannot be 4"),
        ({"input": True}, "input cannot be True"),
        ({"activation": "gelu"}, "activation cannot be 'gelu'"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(UsageError, match=message):
        spec("fresnet18", **options)


def test_what_a_revision_lacks_is_refused():
    with pytest.raises(UsageError, match="the revision of 2018 has no 98 layers"):
        resolve("fresnet2018_r98")
    with pytest.raises(UsageError, match="needs a last map of 512 channels, not 2048"):
        spec("fresnet101", revision="2018", output="GNAP")
    assert spec("fresnet101", revision="2018", output="GNAP", embedding_size=1024).embedding_size == 1024


def test_declared_facts():
    pixels = spec("fresnet18").contracts
    assert pixels["mxnet"].in_graph
    assert (pixels["torch"].mean, pixels["torch"].scale) == ((127.5,), (0.0078125,))
    raw = spec("fresnet18", input=2).contracts
    assert not raw["mxnet"].in_graph
    assert (raw["torch"].mean, raw["torch"].scale) == ((0.0,), (1.0,))
    assert spec("fresnet101", revision="2018", output="A").embedding_size == 2048
    assert [stage.size for stage in spec("fresnet18", input=0).stages] == [28, 14, 7, 4]
    assert [stage.channels for stage in spec("fresnet101", revision="2018").stages] == [256, 512, 1024, 2048]
    # of the kit's entries
    assert spec("fresnet101", revision="2018").parameter_count() == 93955712
    assert spec("fresnet152", revision="2018", se=True, output="D").parameter_count() == 65940704


SMALL = {"embedding_size": 8}
STATES = [
    {"unit": 1, "se": True, **SMALL},
    {"unit": 2, "se": True, "input": 2, "activation": "relu", **SMALL},
    {"unit": 1, "input": 0, "output": "D", "revision": "2018", "activation": "tanh", **SMALL},
    {"output": "GNAP", "unit": 2, **SMALL},
    {"output": "SFC", "activation": "softrelu", **SMALL},
    pytest.param({"output": "GNAP", "embedding_size": 600, "activation": "sigmoid"}, marks=SLOW),
    *(
        pytest.param({"output": output, **({} if output in ("A", "AX", "Z") else SMALL)}, marks=SLOW)
        for output in OUTPUTS
    ),
    *(
        pytest.param({"output": output, "revision": "2018"} | ({} if output[0] == "A" else SMALL), marks=SLOW)
        for output in OUTPUTS_OF_2018
    ),
    pytest.param({"input": 0, "input_size": 224, "output": "GDC", **SMALL}, marks=SLOW),
]


def net_state(net, framework, arch):
    """(name, shape) of everything that a built net keeps, in its own order."""
    if framework in ("torch", "paddle"):
        return [(name, tuple(value.shape)) for name, value in net.state_dict().items()]
    arg_shapes, _, aux_shapes = net.infer_shape(data=(1, *arch.contracts[framework].shape[1:]))
    args = [(n, s) for n, s in zip(net.list_arguments(), arg_shapes, strict=True) if n != "data"]
    return args + list(zip(net.list_auxiliary_states(), aux_shapes, strict=True))


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("options", STATES, ids=lambda options: "-".join(str(value) for value in options.values()))
def test_listing_and_net_have_one_state(options, framework, request):
    request.getfixturevalue(f"{framework}_module")
    arch = spec("fresnet18", **options)
    listed = [(entry.name, entry.shape) for entry in state_entries(arch, framework)]
    assert net_state(build("fresnet18", framework, **options), framework, arch) == listed


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("unit", [1, 2, 3])
@pytest.mark.slow
def test_bottlenecks_have_one_state(unit, framework, request):
    request.getfixturevalue(f"{framework}_module")
    for options in ({"input": 0, "se": True}, {"output": "GDC"}):
        options = options | {"unit": unit, "revision": "2018", **SMALL}
        arch = spec("fresnet101", **options)
        listed = [(entry.name, entry.shape) for entry in state_entries(arch, framework)]
        assert net_state(build("fresnet101", framework, **options), framework, arch) == listed


def proposed(skeleton):
    """What recognition finds in a skeleton."""
    for family in families().values():
        for arch in family.candidates(skeleton):
            if pair(from_layers(arch.layers()), skeleton) is not None:
                return arch
    return None


def variants(depth, revision):
    """Every combination of the options that upstream has a network for."""
    parts = (("prelu", "tanh", "sigmoid"), (1, 2, 3), (0, 1, 2), (False, True), (*OUTPUTS, *OUTPUTS_OF_2018))
    for act, unit, version, se, output in itertools.product(*parts):
        for length in (96, 512, 1024) if output == "GNAP" else (512,):
            options = {"activation": act, "unit": unit, "input": version, "se": se, "output": output}
            try:
                yield spec(f"fresnet{depth}", revision=revision, embedding_size=length, **options)
            except UsageError:
                continue


@pytest.mark.parametrize(
    ("depth", "revision", "step"),
    [
        (18, "arcface_mxnet", 11),
        (101, "2018", 97),
        pytest.param(18, "arcface_mxnet", 1, marks=SLOW),
        pytest.param(18, "2018", 1, marks=SLOW),
        pytest.param(101, "2018", 5, marks=SLOW),
    ],
)
def test_every_variant_is_told_from_the_others(depth, revision, step):
    """From its structure alone: the listing of each, recognised. Those that differ in a dropout are one."""
    count = 0
    for arch in list(variants(depth, revision))[::step]:
        found = proposed(from_layers(arch.layers()))
        assert found is not None, arch.options
        output = SAME_GRAPH.get(arch.options["output"], arch.options["output"])
        plain = (arch.options["unit"], arch.options["input"], output, arch.options["activation"]) == (
            3,
            1,
            "E",
            "prelu",
        )
        if plain and not arch.options["se"] and depth == 18:
            assert found == spec("iresnet18", embedding_size=arch.embedding_size)
        else:
            found_output = SAME_GRAPH.get(found.options["output"], found.options["output"])
            kept = {key: value for key, value in arch.options.items() if key not in ("output", "revision")}
            assert found_output == output, arch.options
            assert {key: found.options[key] for key in kept} == kept
            assert [stage.channels for stage in found.stages] == [stage.channels for stage in arch.stages]
        count += 1
    assert count > 10


@pytest.mark.parametrize("depth", list(UNITS))
def test_every_depth_is_told_from_the_others(depth):
    found = proposed(from_layers(spec(f"fresnet{depth}", embedding_size=64).layers()))
    assert found.name == (f"iresnet{depth}" if depth in (18, 34, 50, 100) else f"fresnet{depth}")


@pytest.mark.parametrize(
    ("options", "revision"), [({"unit": 2, "se": True, **SMALL}, "arcface_mxnet"), ({"unit": 1, "output": "A"}, "2018")]
)
def test_exchange_and_back_is_byte_identical(options, revision):
    arch = spec("fresnet18", revision=revision, **options)
    for source, target in itertools.permutations(FRAMEWORKS, 2):
        state = seeded_state(arch, source)
        back = exchange(exchange(state, source, target, arch), target, source, arch)
        assert list(back) == list(state)
        assert all(back[name].tobytes() == state[name].tobytes() for name in state)


def test_names_are_those_of_iresnet_where_it_has_the_layer():
    """The plain network is one under both names, in every framework."""
    general, plain = spec("fresnet18"), spec("iresnet18")
    for framework in FRAMEWORKS:
        names = [(entry.name, entry.shape) for entry in state_entries(general, framework)]
        assert names == [(entry.name, entry.shape) for entry in state_entries(plain, framework)]


SEEDED = [
    ("fresnet18", {"unit": 2, "se": True, **SMALL}),
    pytest.param("fresnet18", {"unit": 1, "se": True, "output": "SFC"}, marks=SLOW),
    pytest.param("fresnet18", {"input": 0, "activation": "relu", "output": "GNAP"}, marks=SLOW),
    pytest.param("fresnet18", {"activation": "tanh", "unit": 2, "output": "D", "revision": "2018"}, marks=SLOW),
    pytest.param("fresnet160", {"unit": 1}, marks=SLOW),
    pytest.param("fresnet200", {"se": True}, marks=SLOW),
    pytest.param("fresnet269", {"unit": 2}, marks=SLOW),
    pytest.param("fresnet269", {"revision": "2018", "output": "C"}, marks=SLOW),
    pytest.param("fresnet269", {"revision": "2018", "output": "C", "unit": 2, "se": True}, marks=SLOW),
]


@pytest.mark.parametrize(("name", "options"), SEEDED)
def test_seeded_activations_are_of_order_one(name, options, torch_module):
    """Behind every normalisation and unit; the ends of branches are damped by the depth of the stage."""
    arch = spec(name, **options)
    net = build(name, "torch", **options)
    net.load_state_dict({n: torch_module.from_numpy(a) for n, a in seeded_state(arch, "torch").items()}, strict=True)
    net.eval()
    seen: dict[str, float] = {}
    taps = arch.names("torch").taps(arch.layers())
    ends = [la.name for la in arch.layers() if la.op in ("Add", "BatchNormalization") or la.name.endswith(".prelu3")]
    for path in (taps[name] for name in ends if name in taps):
        net.get_submodule(path).register_forward_hook(
            lambda _m, _i, y, path=path: seen.__setitem__(path, float(y.std()))
        )
    x = np.random.default_rng(0).uniform(-1, 1, (2, *arch.contracts["torch"].shape[1:])).astype(np.float32)
    with torch_module.no_grad():
        out = net(torch_module.from_numpy(x)).numpy()
    assert min(seen.values()) > 0.04, min(seen, key=seen.get)
    assert max(seen.values()) < 5, max(seen, key=seen.get)
    assert np.linalg.norm(out[0] - out[1]) > 0.05 * np.linalg.norm(out[0])


def test_hyper_parameters_are_upstreams(torch_module, paddle_module):
    """What inference does not show: momentum, dropout and the scales that stay at 1."""
    net = build("fresnet18", "torch", input=2, output="GNAP", embedding_size=8)
    assert {m.momentum for m in net.modules() if isinstance(m, torch_module.nn.BatchNorm2d)} == {0.1}
    frozen = ["bn_data.weight", "bn6f.weight", "bn6w.weight", "features.weight"]
    assert [name for name, parameter in net.named_parameters() if not parameter.requires_grad] == frozen
    twin = build("fresnet18", "paddle", input=2, output="GNAP", embedding_size=8)
    held = [name for name, parameter in twin.named_parameters() if parameter.stop_gradient]
    assert [name for name in held if not name.endswith(("_mean", "_variance"))] == frozen
    assert build("fresnet18", "torch", **SMALL).dropout.p == 0.4
    assert build("fresnet18", "torch", output="BX", revision="2018", **SMALL).dropout.p == 0.2
    assert not hasattr(build("fresnet18", "torch", output="FC", **SMALL), "dropout")
    assert build("fresnet18", "paddle", dropout=0.3, **SMALL).dropout.p == 0.3


def test_a_map_is_what_the_last_normalisation_gives(torch_module, mxnet_module):
    """Output Z, whose dropout is idle at inference."""
    arch = spec("fresnet18", output="Z")
    state = seeded_state(arch, "mxnet")
    args, aux = split_auxiliary({n: mxnet_module.nd.array(a) for n, a in state.items()}, arch)
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 112, 112)).astype(np.float32)
    symbol = build("fresnet18", "mxnet", output="Z")
    bound = symbol.bind(mxnet_module.cpu(), args | {"data": mxnet_module.nd.array(x)}, aux_states=aux, grad_req="null")
    expected = bound.forward(is_train=False)[0].asnumpy()
    net = build("fresnet18", "torch", output="Z")
    ours = exchange(state, "mxnet", "torch", arch)
    net.load_state_dict({n: torch_module.from_numpy(a) for n, a in ours.items()}, strict=True)
    net.eval()
    with torch_module.no_grad():
        found = net(torch_module.from_numpy((x - 127.5) * np.float32(0.0078125))).numpy()
    assert found.shape == expected.shape == (2, 512, 7, 7)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
