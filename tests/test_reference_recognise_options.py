"""A bare state of every variant: units, outputs, codes, settings and filters are read off keys and shapes.

Each variant's names and shapes are recognised; the net that is named, with its options, has to have the same names and
shapes again, and the variant is among the candidates. What weights do not tell is said to be ambiguous.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from facecvt.parity_tests.support.listed_entries import MOST_ENTRIES, listed_entries
from facecvt.reference_models import spec
from facecvt.reference_models.mxnet_outputs import OUTPUTS, OUTPUTS_OF_2018
from facecvt.reference_models.recognise_state import compared_with, recognise_state
from facecvt.reference_models.slimfacenet.spec import CHANNELS
from facecvt.reference_models.state_readings import MOST_CANDIDATES, signature
from facecvt.reference_models.weights import state_entries

Variant = tuple[str, dict[str, Any]]

SETTINGS = [
    ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 4, 1)),
    ((2, 32, 3, 2), (4, 64, 2, 2), (2, 64, 4, 1), (4, 96, 1, 2)),
    ((2, 64, 1, 2), (2, 96, 1, 2), (2, 128, 1, 2)),
    ((3, 48, 2, 2), (6, 80, 3, 2), (3, 80, 1, 1), (6, 160, 2, 2), (3, 160, 5, 1)),
    ((1, 64, 1, 8),),
]
DOUBLE_ROWS = ((48, 24, 96, 2), (96, 24, 96), (96, 24, 96, 2), (96, 24, 96))


def fresnets() -> list[Variant]:
    """Every unit with every output and revision, every stem with gates, every activation, both sizes, bottlenecks."""
    found: list[Variant] = []
    for unit in (1, 2, 3):
        for output in OUTPUTS:
            found.append(("fresnet18", {"unit": unit, "output": output}))
        for output in (*OUTPUTS_OF_2018, "E", "GDC"):
            found.append(("fresnet18", {"unit": unit, "output": output, "revision": "2018"}))
        for output in ("E", "A", "B", "GAP"):
            found.append(("fresnet101", {"unit": unit, "output": output, "revision": "2018"}))
        for stem in (0, 1, 2):
            found.append(("fresnet34", {"unit": unit, "input": stem, "se": True, "output": "B", "revision": "2018"}))
    for act in ("relu", "sigmoid", "tanh", "softrelu", "softsign"):
        found.append(("fresnet18", {"activation": act}))
        found.append(("fresnet18", {"activation": act, "revision": "2018", "output": "D", "unit": 1}))
    found.append(("fresnet50", {"input_size": 224, "output": "GDC"}))
    found.append(("fresnet50", {"output": "B", "revision": "2018", "embedding_size": 256, "se": True}))
    return found


def slimfacenets() -> list[Variant]:
    """Every width, and codes at random."""
    random_codes = random.Random(3)
    found: list[Variant] = [("slimfacenet_a_x0_60", {"width": width, "relu": True}) for width in CHANNELS]
    for _ in range(6):
        width, codes = random_codes.choice(list(CHANNELS)), tuple(random_codes.randrange(6) for _ in range(15))
        found.append(("slimfacenet_a_x0_60", {"width": width, "arch": codes, "embedding_size": 77}))
    found += [("slimfacenet_b_x0_75", {"arch": (code,) * 15}) for code in (0, 5)]
    return found


def blazefaces() -> list[Variant]:
    """Both kernels with every neck and activation, rows of one's own, joined outputs."""
    found: list[Variant] = []
    for neck in ("none", "only_fpn", "only_ssh", "fpn_ssh"):
        for act in ("relu", "hard_swish"):
            found.append(("blazeface", {"neck_type": neck, "act": act, "use_5x5kernel": act == "relu"}))
    found.append(("blazeface_fpn_ssh", {"double_blaze_filters": DOUBLE_ROWS}))
    found.append(("blazeface", {"joined": True}))
    return found


ALL = {
    "fresnet": fresnets(),
    "slimfacenet": slimfacenets(),
    "mobilefacenet": [("mobilefacenet", {"setting": setting, "embedding_size": 96}) for setting in SETTINGS],
    "blazeface": blazefaces(),
}
FAST = {
    "fresnet": [
        *(("fresnet18", {"unit": unit, "output": "B", "revision": "2018"}) for unit in (1, 2, 3)),
        ("fresnet18", {"output": "GNAP", "embedding_size": 256, "se": True}),
        ("fresnet101", {"unit": 3, "output": "A", "revision": "2018"}),
    ],
    "slimfacenet": slimfacenets()[3:6],
    "mobilefacenet": ALL["mobilefacenet"],
    "blazeface": [("blazeface_fpn_ssh", {"double_blaze_filters": DOUBLE_ROWS, "use_5x5kernel": False})],
}


def check(variants: list[Variant], framework: str) -> None:
    for name, options in variants:
        net = spec(name, **options)
        shapes = {entry.name: entry.shape for entry in state_entries(net, framework)}
        with listed_entries() as listed:
            found = recognise_state(shapes, framework)
        assert found is not None, (name, options)
        assert found.exact, (name, options, str(found.candidates[0]), found.difference)
        for each in found.candidates:
            again = {entry.name: entry.shape for entry in state_entries(each.architecture, found.framework)}
            assert again == shapes, (name, options, str(each))
        same = [each for each in found.candidates if signature(each.architecture.layers()) == signature(net.layers())]
        assert same, (name, options, [str(each) for each in found.candidates])
        assert len(shapes) <= listed.entries <= MOST_ENTRIES, (name, options)


@pytest.mark.parametrize("family", FAST)
def test_an_unusual_variant_is_recognised(family: str) -> None:
    check(FAST[family], "torch")


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["torch", "paddle", "mxnet"])
@pytest.mark.parametrize("family", ALL)
def test_every_variant_is_recognised(family: str, framework: str) -> None:
    check(ALL[family], framework)


def test_strides_of_a_setting_are_not_told() -> None:
    """The bottlenecks are; where maps are halved is not, and there are more ways than are listed."""
    rows = ((2, 32, 3), (4, 64, 2), (2, 64, 4), (4, 96, 1), (2, 96, 9))
    setting = tuple((*row, stride) for row, stride in zip(rows, (1, 2, 2, 1, 2), strict=True))
    net = spec("mobilefacenet", setting=setting)
    shapes = {entry.name: entry.shape for entry in state_entries(net, "torch")}
    found = recognise_state(shapes, "torch")
    assert found is not None
    assert (found.exact, found.ambiguous, len(found.candidates)) == (True, True, MOST_CANDIDATES)
    assert set(found.open_options) == {"setting", "normalize"}
    for each in found.candidates:
        assert tuple(row[:3] for row in each.architecture.options["setting"]) == rows
    likeliest = found.architecture.options["setting"]
    assert [row[3] for row in likeliest] == [2, 2, 1, 2, 1], "rows that widen"
    asked = compared_with(shapes, "torch", net)
    assert asked is not None
    assert [each.architecture.options["setting"] for each in asked.candidates] == [setting]
    plain = compared_with(shapes, "torch", spec("mobilefacenet", normalize=True))
    assert plain is not None
    assert {each.architecture.normalised for each in plain.candidates} == {True}
    published = recognise_state(
        {entry.name: entry.shape for entry in state_entries(spec("mobilefacenet"), "torch")}, "torch"
    )
    assert published is not None
    assert set(published.open_options) == {"normalize"}
