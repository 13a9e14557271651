"""FresResNet: what the shared tests do not ask of it."""

from __future__ import annotations

import numpy as np
import pytest

from facecvt.converters.errors import WeightsError
from facecvt.converters.formats.locate import locate
from facecvt.reference_models import build, spec
from facecvt.reference_models.materialise import write_reference
from facecvt.reference_models.seeded import seeded_arrays, seeded_state
from facecvt.reference_models.weights import exchange, state_entries, to_canonical


def found_in(path, framework):
    """What the reader of a framework's files recognises."""
    from facecvt.converters.formats.mxnet_model import load_mxnet
    from facecvt.converters.formats.paddle_model import load_paddle
    from facecvt.converters.readers.from_mxnet import read_mxnet
    from facecvt.converters.readers.from_paddle import read_paddle
    from facecvt.reference_models.recognise import recognise

    files = locate(framework, str(path))
    return recognise(read_mxnet(load_mxnet(files)) if framework == "mxnet" else read_paddle(load_paddle(files)))


CASES = [
    ("mxnet", {"embedding_size": 32}, "legacy"),
    pytest.param("paddle", {"embedding_size": 32}, "legacy", marks=pytest.mark.slow),
    pytest.param("paddle", {"embedding_size": 32}, "pir", marks=pytest.mark.slow),
    pytest.param("mxnet", {"fc_type": "Z"}, "legacy", marks=pytest.mark.slow),
    pytest.param("paddle", {"fc_type": "Z"}, "legacy", marks=pytest.mark.slow),
    pytest.param("paddle", {"fc_type": "Z", "static": True}, "legacy", marks=pytest.mark.slow),
    pytest.param("paddle", {"fc_type": "Z"}, "pir", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("framework", "options", "dialect"), CASES)
def test_written_models_are_recognised(framework, options, dialect, tmp_path, request):
    request.getfixturevalue(f"{framework}_module")
    arch = spec("fresresnet50", **options)
    found = found_in(write_reference("fresresnet50", framework, tmp_path, dialect=dialect, **options), framework)
    assert found is not None
    assert found.architecture == arch
    expected, arrays = seeded_arrays(arch), found.arrays()
    assert list(arrays) == list(expected)
    assert all(np.array_equal(arrays[key], expected[key]) for key in expected)


@pytest.mark.slow
def test_static_names_reach_the_program(tmp_path, paddle_module):
    """The static-graph form differs in names alone, so what is recognised is the plain one."""
    path = write_reference("insightface_arcface_paddle_static_fresresnet50", "paddle", tmp_path, static=True)
    from facecvt.converters.formats.paddle_model import load_paddle

    names = load_paddle(locate("paddle", str(path))).params
    assert set(names) == {entry.name for entry in state_entries(spec("fresresnet50", static=True), "paddle")}
    found = found_in(path, "paddle")
    assert found is not None
    assert found.architecture == spec("fresresnet50")


def test_units_are_in_the_state_twice():
    """Upstream registers each unit in block_list and under a name of its own; a state may come with one or both."""
    arch = spec("fresresnet50")
    state = seeded_state(arch, "paddle")
    assert len(state) == 776
    assert list(state)[-1] == "fc._batch_norm_2._variance"
    assert np.array_equal(state["res3d.conv1._conv.weight"], state["block_list.6.conv1._conv.weight"])
    arrays = to_canonical(state, "paddle", arch)
    once = {name: array for name, array in state.items() if not name.startswith("res")}
    assert len(once) == 396
    again = to_canonical(once, "paddle", arch)
    assert list(again) == list(arrays)
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)
    assert list(exchange(once, "paddle", "torch", arch)) == list(seeded_state(arch, "torch"))
    state["res3d.conv1._conv.weight"] = state["res3d.conv1._conv.weight"] + 1
    with pytest.raises(WeightsError, match=r"res3d\.conv1\._conv\.weight is another array"):
        to_canonical(state, "paddle", arch)


def test_letters_run_past_z():
    names = [entry.name for entry in state_entries(spec("fresresnet100"), "paddle") if entry.twin]
    units = list(dict.fromkeys(name.split(".")[0] for name in names))
    assert units[:4] == ["res2a", "res2b", "res2c", "res3a"]
    assert units[16:19] == ["res4a", "res4b", "res4c"]
    assert units[41:46] == ["res4z", "res4{", "res4|", "res4}", "res4~"]


def test_kit_correspondence(upstream_kit):
    """The pairs with torch's iresnet50 that the kit found by running the upstreams are the listings' order."""
    file = upstream_kit / "correspondence" / "paddle_insightface_fresresnet50__torch_insightface_iresnet50.tsv"
    theirs = {tuple(line.split("\t")[:2]) for line in file.read_text(encoding="utf-8").splitlines()[1:]}
    ours = [entry.name for entry in state_entries(spec("fresresnet50"), "paddle") if not entry.twin]
    torch = [entry.name for entry in state_entries(spec("iresnet50"), "torch") if entry.parameter]
    assert set(zip(ours, torch, strict=True)) == theirs


def test_two_nets_in_one_process_and_upstreams_tensor_names(upstream_kit, paddle_module):
    import json

    facts = json.loads((upstream_kit / "paddle/insightface_arcface_paddle_fresresnet100.json").read_text("utf-8"))
    build("fresresnet100", "paddle", embedding_size=8)
    state = build("fresresnet100", "paddle", embedding_size=8).state_dict()
    for name, tensor in facts["tensor_names"]["pairs"]:
        assert state[name].name == tensor


def test_hyper_parameters_are_upstreams(torch_module, paddle_module, mxnet_module):
    """What inference does not show: momentum, initial slopes, dropout by head."""
    for kind, rate in (("E", 0.4), ("FC", 0.0), ("Z", 0.4)):
        net = build("fresresnet50", "torch", fc_type=kind, embedding_size=8)
        assert [module.p for module in net.modules() if isinstance(module, torch_module.nn.Dropout)] == [rate]
        net = build("fresresnet50", "paddle", fc_type=kind, embedding_size=8)
        assert [layer.p for layer in net.sublayers() if isinstance(layer, paddle_module.nn.Dropout)] == [rate]
        for layer in net.sublayers():
            if isinstance(layer, paddle_module.nn.layer.norm._BatchNormBase):
                assert (layer._momentum, layer._epsilon) == (0.9, 1e-5)
            elif isinstance(layer, paddle_module.nn.PReLU):
                assert layer._weight.numpy().tolist() == [0.25]
        nodes = build("fresresnet50", "mxnet", fc_type=kind).attr_dict()
        assert nodes.get("fc_dropout", {}).get("p") == (str(rate) if rate else None)
    slopes = [m.weight for m in build("fresresnet50", "torch").modules() if isinstance(m, torch_module.nn.PReLU)]
    assert [slope.tolist() for slope in slopes] == [[0.25]] * 25
    assert nodes["block_list3_prelu_gamma"]["__init__"] == '["constant", {"value": 0.25}]'
