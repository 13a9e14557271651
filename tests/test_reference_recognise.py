"""A graph is recognised by its structure alone, however it is spelled."""

from __future__ import annotations

import numpy as np
import pytest

from facecvt.converters.graph import attribute, name_of
from facecvt.parity_tests.support.listed_graphs import NORMALIZE, graph_of
from facecvt.reference_models import names, spec
from facecvt.reference_models.recognise import recognise
from facecvt.reference_models.seeded import seeded_arrays, seeded_state

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


def test_names_are_only_carried_along():
    found = recognise(graph_of(spec("r18")))
    assert found is not None
    node = found.layers["layer4.1.conv2"]
    assert node.op_type == "Conv"
    assert attribute(node, "strides") == [1, 1]
    assert found.parameters["layer4.1.conv2.weight"].value is node.inputs[1]
    assert name_of(node.outputs[0]).startswith("n")
