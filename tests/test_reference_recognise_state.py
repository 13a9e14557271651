"""A bare state is recognised from its names and shapes: every architecture, its options, what lies beside it."""

from __future__ import annotations

from typing import Any

import pytest

from facecvt.parity_tests.support.listed_entries import MOST_ENTRIES, listed_entries
from facecvt.reference_models import names, resolve, spec
from facecvt.reference_models.naming import COUNTER, FRAMEWORKS
from facecvt.reference_models.recognise_state import StateRecognition, compared_with, recognise_state
from facecvt.reference_models.spec import ArchitectureSpec
from facecvt.reference_models.state_options import shortest
from facecvt.reference_models.state_readings import signature
from facecvt.reference_models.weights import state_entries

Shapes = dict[str, tuple[int, ...]]


def shapes_of(net: ArchitectureSpec, framework: str) -> Shapes:
    return {entry.name: entry.shape for entry in state_entries(net, framework)}


def holds(found: StateRecognition | None, net: ArchitectureSpec) -> bool:
    """Whether a net is among the candidates, under whatever name."""
    assert found is not None
    return found.exact and any(
        signature(each.architecture.layers()) == signature(net.layers()) for each in found.candidates
    )


def recognised(shapes: Shapes, framework: str = "torch") -> StateRecognition:
    found = recognise_state(shapes, framework)
    assert found is not None
    return found


def units(name: str) -> int:
    return sum(stage.units for stage in spec(name).stages)


def check_all(chosen: list[str], framework: str) -> None:
    for name in chosen:
        net = spec(name)
        shapes = shapes_of(net, framework)
        with listed_entries() as listed:
            found = recognised(shapes, framework)
        assert holds(found, net), f"{name}: {[str(each) for each in found.candidates]}, {found.difference}"
        assert found.framework == framework or shapes_of(net, found.framework) == shapes
        assert (found.prefix, found.leftovers, found.difference.counters_missing) == ("", (), 0)
        assert len(shapes) <= listed.entries <= MOST_ENTRIES, name


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_small_architecture_is_recognised(framework: str) -> None:
    check_all([name for name in names() if units(name) <= 16], framework)


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_deep_architecture_is_recognised(framework: str) -> None:
    check_all([name for name in names() if units(name) > 16], framework)


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("iresnet50", {"embedding_size": 256}),
    ("mobilenet_v2", {"alpha": 0.35, "num_classes": 10}),
    ("mobilenet_v2", {"alpha": 0.5, "narrow_last": True}),
    ("mobilenet_v2", {"alpha": 0.62}),
    ("mobilenet_v2", {"alpha": 1.4, "num_classes": 7}),
    ("mbf", {"scale": 1, "embedding_size": 128}),
    ("mbf_large", {"scale": 3}),
    ("fmobilenet", {"multiplier": 0.25, "embedding_size": 256}),
    ("fmobilenet", {"multiplier": 0.5, "output": "GDC", "embedding_size": 256}),
    ("fmobilenet", {"multiplier": 0.1, "output": "J"}),
    ("fmobilefacenet", {"blocks": (3, 5, 9, 1), "embedding_size": 64}),
    ("fmobilefacenet", {"output": "GNAP"}),
    ("fmobilefacenet", {"output": "J", "embedding_size": 77}),
    ("mobilefacenet_y2", {"blocks": (2, 8, 20, 4)}),
    ("resnet50", {"groups": 2}),
    ("resnext50_32x4d", {"width_per_group": 8, "num_classes": 5}),
    ("resnet_std50", {"replace_stride_with_dilation": (False, False, True), "embedding_size": 128}),
    ("adaface_ir_se50", {"input_size": 224, "embedding_size": 256}),
    ("mobilefacenet", {"embedding_size": 512}),
]


@pytest.mark.parametrize("framework", ["torch", pytest.param("mxnet", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=lambda value: str(value).replace(" ", ""))
def test_options_are_found(name: str, options: dict[str, Any], framework: str) -> None:
    net = spec(name, **options)
    found = recognised(shapes_of(net, framework), framework)
    assert holds(found, net), f"{[str(each) for each in found.candidates]}, {found.difference}"
    same = [each for each in found.candidates if each.architecture.name == name]
    settled = {key: value for key, value in options.items() if key not in found.open_options}
    assert same, [str(each) for each in found.candidates]
    assert all(each.architecture.options[key] == value for each in same for key, value in settled.items())


def test_a_factor_is_the_plainest_that_gives_the_shapes() -> None:
    assert shortest(0.2344, 0.2812) == 0.25
    assert shortest(0.344, 0.356) == 0.35
    assert shortest(0.9, 1.1) == 1.0
    assert shortest(0.615, 0.6249) == 0.62


def test_an_output_of_length_one_is_not_told_by_weights() -> None:
    found = recognised(shapes_of(spec("iresnet50"), "torch"))
    assert found.ambiguous
    assert [str(each) for each in found.candidates] == ["iresnet50", "iresnet50 (normalize=True)"]
    assert "ffc_resnet_arcface_iresnet50" in found.candidates[1].names
    assert found.open_options == {"normalize": [False, True]}
    chosen = found.reading(resolve("ffc_resnet_arcface_iresnet50").architecture)
    assert chosen is not None
    assert [str(each) for each in chosen.candidates] == ["iresnet50 (normalize=True)"]
    assert found.reading(spec("iresnet100")) is None


def test_the_upstream_of_the_files_framework_comes_first() -> None:
    for framework, normalised in (("torch", True), ("paddle", False)):
        found = recognised(shapes_of(spec("adaface_ir18"), framework), framework)
        assert found.architecture.normalised is normalised
        assert len(found.candidates) == 2


def test_a_net_that_the_weights_tell_is_not_ambiguous() -> None:
    found = recognised(shapes_of(spec("mobilenet_v2"), "torch"))
    assert (found.exact, found.ambiguous, found.open_options) == (True, False, {})
    assert "torchvision_mobilenet_v2" in found.candidates[0].names


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "model.backbone.", "student.net.0.", "_orig_mod."])
def test_prefixes_and_what_training_leaves(prefix: str) -> None:
    shapes = {f"{prefix}{name}": shape for name, shape in shapes_of(spec("iresnet18"), "torch").items()}
    shapes |= {"head.weight": (85742, 512), "head.t": (1,), "margin.batch_mean": (1,)}
    found = recognised(shapes)
    assert (str(found.candidates[0]), found.exact, found.prefix) == ("iresnet18", True, prefix)
    assert {(each.name, each.what) for each in found.leftovers} == {
        ("head.weight", "class centres of 85742 classes"),
        ("head.t", "a number that training keeps"),
        ("margin.batch_mean", "a number that training keeps"),
    }
    own = found.own(shapes)
    assert own == shapes_of(spec("iresnet18"), "torch")


def test_class_centres_without_a_prefix() -> None:
    for name, framework in (("weight", "torch"), ("fc7_weight", "mxnet"), ("head.kernel", "torch")):
        net = spec("mobilefacenet")
        shapes = {**shapes_of(net, framework), name: (128, 1000)}
        found = recognised(shapes, framework)
        assert found.exact
        assert [(each.name, each.what) for each in found.leftovers] == [(name, "class centres of 1000 classes")]
        assert found.own(shapes) == shapes_of(net, framework)


def test_old_checkpoints_without_step_counters() -> None:
    shapes = {name: shape for name, shape in shapes_of(spec("iresnet18"), "torch").items() if COUNTER not in name}
    found = recognised(shapes)
    assert found.exact
    assert found.difference.counters_missing == 31


def test_the_nearest_with_its_differences() -> None:
    shapes = shapes_of(spec("iresnet50"), "torch")
    del shapes["layer3.4.conv1.weight"]
    shapes["layer3.4.se.weight"] = (16, 256, 1, 1)
    shapes["prelu.weight"] = (1,)
    found = recognised(shapes)
    assert not found.exact
    assert str(found.candidates[0]) == "iresnet50"
    assert found.difference.missing == ("layer3.4.conv1.weight",)
    assert found.difference.unexpected == ("layer3.4.se.weight",)
    assert found.difference.reshaped == (("prelu.weight", (1,), (64,)),)
    assert found.difference.matched == 396 - 2


def test_what_is_nothing_like_any_is_said_to_be_nothing() -> None:
    assert recognise_state({}, "torch") is None
    assert recognise_state({"a": (2, 3), "b": (4,)}, "mxnet") is None
    assert recognise_state({f"encoder.layer.{i}.attention.weight": (768, 768) for i in range(12)}, "torch") is None


def test_names_of_another_framework_in_a_file() -> None:
    found = recognised(shapes_of(spec("adaface_ir18"), "paddle"), "torch")
    assert (found.framework, found.exact) == ("paddle", True)


def test_a_state_is_held_against_the_architecture_that_is_asked_for() -> None:
    shapes = shapes_of(spec("iresnet50", embedding_size=256), "torch")
    found = compared_with(shapes, "torch", spec("iresnet50", normalize=True))
    assert found is not None
    assert [str(each) for each in found.candidates] == ["iresnet50 (embedding_size=256, normalize=True)"]
    other = compared_with(shapes, "torch", spec("iresnet34"))
    assert other is not None
    assert not other.exact
    assert len(other.difference.unexpected) > 50


REAL = {
    "pytorch/blazeface-mediapipe/blazeface.pth": ("blazeface_mediapipe_front", "torch"),
    "pytorch/blazeface-mediapipe/blazefaceback.pth": ("blazeface_mediapipe_back", "torch"),
    "pytorch/blazeface-paddledet-port/blazeface_1000e.pt": ("blazeface", "torch"),
    "pytorch/blazeface-paddledet-port/blazeface_1000e.pth": ("blazeface", "paddle"),
    "pytorch/blazeface-paddledet-port/blazeface_fpn_ssh_1000e.pt": ("blazeface_fpn_ssh", "torch"),
    "paddle/blazeface-1000e/blazeface_1000e.pdparams": ("blazeface", "paddle"),
    "pytorch/face-detector-1mb/mobilenet0.25_Final.pth": None,
    "pytorch/minifasnet/2.7_80x80_MiniFASNetV2.pth": None,
    "pytorch/ultra-light-face/version-RFB-320.pth": None,
}


@pytest.mark.parametrize("path", REAL)
def test_real_checkpoints(path: str, real_models: Any) -> None:
    from facecvt.parity_tests.inspect_files import inspect_model

    found, wanted = inspect_model(str(real_models / path)), REAL[path]
    if wanted is None:
        assert found.state is None or not found.state.exact
        assert found.recognised is None
        return
    assert found.state is not None
    assert (found.state.architecture.name, found.state.framework, found.state.exact) == (*wanted, True)
    assert found.state.difference.missing == ()
