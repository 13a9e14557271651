"""`facecvt models`: the margin heads beside the architectures, their sheets, and the JSON document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import facecvt
from facecvt import cli
from facecvt.reference_models import build_head, head_names, head_spec
from facecvt.reference_models.heads.spec import HEADS, OPTIONS
from facecvt.reference_models.heads.upstreams import UPSTREAMS
from facecvt.reference_models.listing_heads import head_rows, head_sheet, listed
from facecvt.reference_models.naming import FRAMEWORKS

SCHEMA = json.loads((Path(facecvt.__path__[0]) / "docs/schemas/commands.schema.json").read_text(encoding="utf-8"))

# what makes a published head each of the heads that it can be, where its defaults do not
CHOICES: dict[tuple[str, str], dict[str, Any]] = {
    ("insightface_arcface_torch_losses", "cosface"): {"m2": 0.0, "m3": 0.4},
    ("insightface_mxnet_2018_train_softmax", "softmax"): {"loss_type": 0},
    ("insightface_mxnet_2018_train_softmax", "cosface"): {"loss_type": 2},
    ("insightface_mxnet_2018_train_softmax", "combined"): {"loss_type": 5},
    ("build_your_own_face_model_metric", "cosface"): {"metric": "CosFace"},
}


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["models", *arguments])
    return code, *capsys.readouterr()


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    code, out, err = answer(capsys, *arguments, "--json")
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    jsonschema.validate(found, SCHEMA)
    return found


def test_every_head_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    rows = document(capsys)["heads"]
    assert [row["name"] for row in rows] == [*head_names(), *UPSTREAMS]
    assert len(rows) == 8 + 12
    assert {tuple(row["frameworks"]) for row in rows} == {FRAMEWORKS}
    by_name = {row["name"]: row for row in rows}
    assert by_name["arcface"]["target"] == "s cos(theta + m)"
    assert by_name["paddleclas_cosmargin"]["heads"] == ["cosface"]
    assert by_name["softmax"]["paper"] is None
    text = answer(capsys)[1]
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    for row in rows:
        assert row["title"] in lines[row["name"]]
    assert "8 margin heads" not in text
    assert "20 margin heads to train with" in text


@pytest.mark.parametrize("name", UPSTREAMS)
def test_what_a_published_head_can_be(name: str) -> None:
    """The heads that a row names are those that the published code's options lead to, the default first."""
    heads = UPSTREAMS[name].heads
    assert head_spec(name).name == heads[0]
    for head in heads[1:]:
        assert head_spec(name, **CHOICES[name, head]).name == head
    assert {head for upstream, head in CHOICES if upstream == name} == set(heads[1:])


def test_the_sheet_of_arcface(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = answer(capsys, "arcface")
    assert (code, err) == (0, "")
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    for option, value in head_spec("arcface").options.items():
        assert lines[option][1] == repr(value)
    for text in ("s cos(theta + m)", "arxiv.org/abs/1801.07698", "PaddlePaddle/PaddleClas", "classes x features"):
        assert text in out, text
    assert lines["yeyupiaoling_torch_arcnet"][1] == "torch"
    assert "iresnet50" not in out, "an upstream's name of a backbone is not what was asked for"
    found = document(capsys, "ArcFace")
    assert found["models"] == []
    assert found["head"]["asked"] == "ArcFace"
    assert found["head"]["centres"]["paddle"] == {"name": "weight", "shape": ["features", "classes"]}
    assert {each["name"] for each in found["head"]["upstreams"]} == {
        name for name, upstream in UPSTREAMS.items() if "arcface" in upstream.heads
    }


def test_the_sheet_of_a_published_head(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "paddleclas_arcmargin")["head"]
    assert found["own_options"] == {"margin": 0.5, "scale": 80.0, "easy_margin": False}
    assert {option["name"]: option["value"] for option in found["options"]}["loss_clip"] == 64.0
    assert {option["name"]: option["accepts"] for option in found["options"]}["margin"] == OPTIONS["margin"][0]
    assert found["upstreams"][0]["path"] == "ppcls/arch/gears/arcmargin.py"
    lines = {line.split()[0]: line.split() for line in answer(capsys, "paddleclas_arcmargin")[1].splitlines() if line}
    assert lines["easy_margin"][1] == "False"
    assert lines["fallback"][1] == "'linear'"


def test_class_centres_are_stored_as_the_sheet_says(torch_module: Any, paddle_module: Any, mxnet_module: Any) -> None:
    """Name and shape in the nets themselves, for every head and framework."""
    sizes = {"classes": 7, "features": 5}
    for row in head_rows():
        for framework, stored in head_sheet(row.name).centres.items():
            net = build_head(row.name, framework, embedding_size=5, classes=7)
            if framework == "mxnet":
                shapes, _, _ = net.infer_shape_partial(data=(2, 5))
                found = dict(zip(net.list_arguments(), shapes, strict=True))
            else:
                found = {name: tuple(value.shape) for name, value in net.state_dict().items()}
            assert tuple(found[stored.name]) == tuple(sizes[axis] for axis in stored.shape), (row.name, framework)


def test_names_and_patterns_of_both(capsys: pytest.CaptureFixture[str]) -> None:
    both = document(capsys, "adaface")
    assert [row["name"] for row in both["heads"]] == ["adaface"]
    assert both["head"]["name"] == "adaface"
    assert {row["family"] for row in both["models"]} == {"adaface"}
    assert len(both["models"]) == 10
    assert "adaface_ir_se200" in answer(capsys, "adaface")[1]
    models, heads = listed("*margin*")
    assert models == []
    assert {row.name for row in heads} == {name for name in (*HEADS, *UPSTREAMS) if "margin" in name}
    assert [row.name for row in listed("paddleclas_*")[1]] == [name for name in UPSTREAMS if "paddleclas" in name]
    assert document(capsys, "r50")["heads"] == []
    code, out, err = answer(capsys, "arcfase")
    assert (code, out) == (2, "")
    assert "Margin heads of nearly that name: arcface." in err
