"""Weights between frameworks, and the seeded weights."""

from __future__ import annotations

import itertools
import zlib
from functools import lru_cache

import numpy as np
import pytest

from facecvt.converters.errors import WeightsError
from facecvt.reference_models import build, names, spec
from facecvt.reference_models.layers import ROLES
from facecvt.reference_models.naming import FRAMEWORKS
from facecvt.reference_models.seeded import seeded_arrays, seeded_state
from facecvt.reference_models.weights import (
    CanonicalState,
    exchange,
    from_canonical,
    split_auxiliary,
    state_entries,
    to_canonical,
)

SMALL = ("iresnet18", "mobilefacenet")
ALL = [pytest.param(name, marks=[] if name in SMALL else [pytest.mark.slow]) for name in names()]
FAST = {*SMALL, "adaface_ir18", "mbf", "mobilefacenet_y1", "slimfacenet_a_x0_60", "resnet18"}
EXCHANGED = [pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow]) for name in names()]
VARIED = [
    ("iresnet18", {"embedding_size": 96, "normalize": True}),
    ("mobilefacenet", {"embedding_size": 512}),
    ("mbf", {"scale": 1, "embedding_size": 128, "normalize": True}),
    ("adaface_ir18", {"embedding_size": 32, "normalize": False}),
    ("mobilenet_v2", {"alpha": 0.35, "narrow_last": True, "num_classes": 9}),
    ("mobilenet_v3_se_bn_small", {"num_classes": 9}),
    pytest.param("mobilenet_v1", {"num_classes": 9}, marks=pytest.mark.slow),
    pytest.param("mobilenet_v2", {"alpha": 1.4}, marks=pytest.mark.slow),
    pytest.param("mobilenet_v3_large", {"num_classes": 9}, marks=pytest.mark.slow),
    ("resnet18", {"num_classes": 9}),
    ("fresresnet50", {"embedding_size": 16, "static": True}),
    ("slimfacenet_c_x0_75", {"embedding_size": 16, "relu": True, "width": 0.9, "arch": (5, 4, 3, 2, 1) * 3}),
    pytest.param("fresresnet50", {"fc_type": "Z"}, marks=pytest.mark.slow),
    pytest.param("resnet50", {"groups": 2, "width_per_group": 24}, marks=pytest.mark.slow),
    ("resnet_std18", {"embedding_size": 24, "normalize": False}),
]


@lru_cache(maxsize=3)
def seeded(name, framework):
    """A seeded state, kept for the tests that follow; not to be changed."""
    return seeded_state(spec(name), framework)


def net_state(module, net, framework, arch):
    """(name, shape) of everything that a built net keeps, in its own order."""
    if framework in ("torch", "paddle"):
        return [(name, tuple(value.shape)) for name, value in net.state_dict().items()]
    arg_shapes, _, aux_shapes = net.infer_shape(data=(1, *arch.contracts[framework].shape[1:]))
    args = [(n, s) for n, s in zip(net.list_arguments(), arg_shapes, strict=True) if n != "data"]
    return args + list(zip(net.list_auxiliary_states(), aux_shapes, strict=True))


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("name", ALL)
def test_listing_and_net_have_one_state(name, framework, request):
    module = request.getfixturevalue(f"{framework}_module")
    listed = [(entry.name, entry.shape) for entry in state_entries(spec(name), framework)]
    assert net_state(module, build(name, framework), framework, spec(name)) == listed


@pytest.mark.parametrize(("name", "options"), VARIED)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_options_reach_net_and_listing(name, options, framework, request):
    module = request.getfixturevalue(f"{framework}_module")
    arch = spec(name, **options)
    listed = [(entry.name, entry.shape) for entry in state_entries(arch, framework)]
    assert net_state(module, build(name, framework, **options), framework, arch) == listed


@pytest.mark.parametrize("name", EXCHANGED)
def test_exchange_and_back_is_byte_identical(name):
    arch = spec(name)
    for source, target in itertools.permutations(FRAMEWORKS, 2):
        state = seeded(name, source)
        there = exchange(state, source, target, arch)
        assert [(n, a.shape) for n, a in there.items()] == [(e.name, e.shape) for e in state_entries(arch, target)]
        back = exchange(there, target, source, arch)
        assert list(back) == list(state)
        for entry in state_entries(arch, source):
            assert back[entry.name].dtype == state[entry.name].dtype
            assert back[entry.name].tobytes() == state[entry.name].tobytes(), (source, target, entry.name)


def test_paddle_linear_is_transposed_and_nothing_else():
    arch = spec("r18")
    torch_state, paddle_state = seeded("iresnet18", "torch"), seeded("iresnet18", "paddle")
    assert np.array_equal(paddle_state["fc.weight"], torch_state["fc.weight"].T)
    assert paddle_state["fc.weight"].flags.c_contiguous
    assert [e.name for e in state_entries(arch, "paddle") if e.transposed] == ["fc.weight"]


def test_effective_exchange_counts_a_fixed_gamma_as_one():
    arch = spec("r18")
    state = seeded("iresnet18", "mxnet")
    assert np.all(np.abs(state["fc1_gamma"] - 1) > 0.4), "the trap must be armed"
    assert np.array_equal(exchange(state, "mxnet", "torch", arch)["features.weight"], state["fc1_gamma"])
    effective = exchange(state, "mxnet", "torch", arch, effective=True)
    assert np.array_equal(effective["features.weight"], np.ones(512, np.float32))
    plain = seeded("iresnet18", "torch")
    assert all(np.array_equal(effective[name], plain[name]) for name in plain)


def test_counters_are_left_behind_and_start_at_zero():
    arch = spec("mobilefacenet")
    state = seeded_state(arch, "torch")
    state["conv1.bn.num_batches_tracked"] = np.array(7, np.int64)
    there = exchange(state, "torch", "mxnet", arch)
    assert not any("num_batches" in name for name in there)
    back = exchange(there, "mxnet", "torch", arch)
    assert back["conv1.bn.num_batches_tracked"] == 0
    assert back["conv1.bn.num_batches_tracked"].dtype == np.int64
    without = {name: array for name, array in state.items() if "num_batches" not in name}
    assert len(exchange(without, "torch", "paddle", arch)) == len(without)


def test_misfits_are_refused_by_name():
    arch = spec("r18")
    state = seeded("iresnet18", "torch")
    missing = {name: array for name, array in state.items() if name != "layer2.1.prelu.weight"}
    with pytest.raises(WeightsError, match=r"missing layer2\.1\.prelu\.weight; left over nothing"):
        to_canonical(missing, "torch", arch)
    with pytest.raises(WeightsError, match=r"missing nothing; left over head\.weight"):
        to_canonical(state | {"head.weight": np.zeros((10, 512))}, "torch", arch)
    with pytest.raises(WeightsError, match=r"fc\.weight has shape .* needs \(25088, 512\)"):
        to_canonical(seeded("iresnet18", "paddle") | {"fc.weight": state["fc.weight"]}, "paddle", arch)
    with pytest.raises(WeightsError, match="iresnet18 in mxnet"):
        to_canonical(state, "mxnet", arch)
    with pytest.raises(WeightsError, match="lack"):
        from_canonical({}, "torch", arch)


def test_an_array_is_read_when_it_is_asked_for():
    class Counted(dict):
        asked = ()

        def __getitem__(self, name):
            self.asked += (name,)
            return super().__getitem__(name)

    state = Counted(seeded("iresnet18", "paddle"))
    arrays = CanonicalState(state, "paddle", spec("r18"))
    assert "fc.weight" in arrays
    assert len(list(arrays)) == len(arrays)
    assert state.asked == ()
    assert np.array_equal(arrays["fc.weight"], state["fc.weight"].T)
    assert state.asked == ("fc.weight", "fc.weight")  # by the mapping, by this test
    of_every = to_canonical(dict(state), "paddle", spec("r18"))
    assert list(of_every) == list(arrays)
    assert all(np.array_equal(arrays[name], array) for name, array in of_every.items())


def test_statistics_are_the_auxiliary_states():
    arch = spec("mobilefacenet")
    args, aux = split_auxiliary(seeded_state(arch, "mxnet"), arch)
    assert len(args) + len(aux) == 283
    assert len(aux) == 100
    assert all(name.endswith(("_moving_mean", "_moving_var")) for name in aux)


def test_kit_correspondence(upstream_kit):
    """The pairs that the kit found by running the upstreams are those of names.py."""
    files = {
        "mxnet_fresnet_r18__torch_insightface_iresnet18": ("r18", "mxnet"),
        "mxnet_fresnet_r50__torch_insightface_iresnet50": ("r50", "mxnet"),
        "paddle_plsc_iresnet18__torch_insightface_iresnet18": ("r18", "paddle"),
        "paddle_insightface_mobilefacenet_128__torch_ffc_mobilefacenet": ("mobilefacenet", "paddle"),
        "paddle_plsc_mobilefacenet_base__torch_insightface_mbf": ("mbf", "paddle"),
        "paddle_paddleclas_adaface_ir_18__torch_adaface_ir_18": ("adaface_ir18", "paddle"),
        "paddle_paddleclas_adaface_ir_50__torch_adaface_ir_50": ("adaface_ir50", "paddle"),
        "paddle_paddleclas_adaface_ir_se_50__torch_adaface_ir_se_50": ("adaface_ir_se50", "paddle"),
        "paddle_paddleclas_adaface_ir_152__torch_adaface_ir_152": ("adaface_ir152", "paddle"),
    }
    for file, (name, framework) in files.items():
        lines = (upstream_kit / "correspondence" / f"{file}.tsv").read_text(encoding="utf-8").splitlines()[1:]
        theirs = {tuple(line.split("\t")[:2]) for line in lines}
        by_parameter = {e.parameter.name: e.name for e in state_entries(spec(name), "torch") if e.parameter}
        ours = {(e.name, by_parameter[e.parameter.name]) for e in state_entries(spec(name), framework)}
        assert ours == theirs, file


def test_seeded_weights_never_change():
    arrays = seeded_arrays(spec("mobilefacenet"))
    blob = b"".join(arrays[name].tobytes() for name in sorted(arrays))
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert zlib.crc32(blob) == 2365397143
    other = seeded_arrays(spec("mobilefacenet"), seed=1)
    assert all(not np.array_equal(arrays[name], other[name]) for name in arrays)


def test_seeded_weights_depend_on_name_and_shape_alone():
    """Two depths share their layers' weights as far as names, shapes and gains agree."""
    r18, r34 = seeded_arrays(spec("r18")), seeded_arrays(spec("r34"))
    assert np.array_equal(r18["layer3.1.conv2.weight"], r34["layer3.1.conv2.weight"])
    assert not np.array_equal(r18["layer3.0.conv2.weight"], r18["layer3.1.conv2.weight"])


def test_every_role_is_drawn():
    roles = {parameter.role for name in SMALL for layer in spec(name).layers() for parameter in layer.parameters}
    assert roles == set(ROLES)


DEPTHS = [
    "r18",
    "r50",
    "mobilefacenet",
    pytest.param("mobilefacenet_y2", marks=pytest.mark.slow),
    pytest.param("fmobilenet", marks=pytest.mark.slow),
    pytest.param("mbf", marks=pytest.mark.slow),
    pytest.param("mbf_large", marks=pytest.mark.slow),
    pytest.param("r100", marks=pytest.mark.slow),
    pytest.param("r200", marks=pytest.mark.slow),
    "adaface_ir18",
    pytest.param("adaface_ir200", marks=pytest.mark.slow),
    pytest.param("adaface_ir_se200", marks=pytest.mark.slow),
    "mobilenet_v3_small",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in (
            "mobilenet_v1",
            "mobilenet_v2",
            "mobilenet_v3_large",
            "mobilenet_v3_se_bn_small",
            "mobilenet_v3_se_bn_large",
        )
    ),
    "resnet18",
    pytest.param("resnet152", marks=pytest.mark.slow),
    pytest.param("resnet_std101", marks=pytest.mark.slow),
    pytest.param("fresresnet152", marks=pytest.mark.slow),
    "slimfacenet_a_x0_60",
    pytest.param("slimfacenet_b_x0_75", marks=pytest.mark.slow),
    pytest.param("slimfacenet_c_x0_75", marks=pytest.mark.slow),
]


def unit_ends(layer):
    """True for a ReLU behind the sum of a residual unit."""
    return layer.op == "Relu" and layer.inputs[0] == f"{layer.name}.add"


@pytest.mark.parametrize("name", DEPTHS)
def test_seeded_activations_are_of_order_one(name, torch_module):
    """Standard deviation of every BatchNorm output and every sum between 0.05 and 5; inputs are told apart."""
    arch = spec(name)
    net = build(name, "torch")
    net.load_state_dict({n: torch_module.from_numpy(a) for n, a in seeded_state(arch, "torch").items()}, strict=True)
    net.eval()
    seen: dict[str, float] = {}
    modules = arch.names("torch").taps(arch.layers())
    # a sum in front of a ReLU has no module; what the ReLU makes of it has
    wanted = [layer for layer in arch.layers() if layer.op in ("BatchNormalization", "Add") or unit_ends(layer)]
    wanted = [modules[layer.name] for layer in wanted if layer.name in modules]
    for path in wanted:
        module = net.get_submodule(path)
        module.register_forward_hook(lambda _m, _i, out, path=path: seen.__setitem__(path, float(out.std())))
    x = np.random.default_rng(0).uniform(-1, 1, (2, *arch.contracts["torch"].shape[1:])).astype(np.float32)
    with torch_module.no_grad():
        outputs = net(torch_module.from_numpy(x))
    out = (outputs[0] if isinstance(outputs, tuple) else outputs).numpy()
    assert sorted(seen) == sorted(wanted)
    assert min(seen.values()) > 0.05, min(seen, key=seen.get)
    assert max(seen.values()) < 5, max(seen, key=seen.get)
    # the mean of a map of noise is nearly that of any other
    pooled = any(layer.name == "avgpool" or layer.op == "AveragePool" for layer in arch.layers())
    assert np.linalg.norm(out[0] - out[1]) > (0.005 if pooled else 0.1) * np.linalg.norm(out[0])
