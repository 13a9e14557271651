"""parity.json: what a result becomes, its schema, and the way back."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import facecvt
from facecvt.converters.errors import UsageError
from facecvt.parity_tests.parity_report.result import (
    ArchitectureResult,
    CheckResult,
    Coverage,
    Divergence,
    Fed,
    InputInfo,
    LayerInfo,
    Limits,
    OutputFigures,
    PairResult,
    ParityResult,
    Settings,
    SideInfo,
    WeightsOfSide,
    gravest,
    rounded,
)
from facecvt.parity_tests.parity_report.result_json import document_of, read_json, result_of, write_json

SCHEMA = json.loads((Path(facecvt.__path__[0]) / "docs/schemas/parity.schema.json").read_text(encoding="utf-8"))


def some_result() -> ParityResult:
    """Two layers, one of them wrong in Paddle, MXNet not installed."""
    layers = (
        LayerInfo("conv1", "Conv", ("input",), (1, 8, 4, 4), 1, True, None, 1.2e-7),
        LayerInfo("fc", "Gemm", ("conv1",), (1, 16), 3, True, 0, 2.5e-7),
    )
    figures = {
        "rel_rmse": (1e-7, 0.25),
        "own_rel_rmse": (None, None),
        "max_abs": (1e-6, None),
        "one_minus_cos": (0.0, 0.03),
        "ratio": (0.83, 1e6),
        "bits_lost": (0.0, 19.93),
    }
    output = OutputFigures("fc", 0.25, None, 0.03, 1e6, "normal/1")
    differing = PairResult("oracle", "paddle", "differ", "fc: rel-RMSE 2.5e-01", 2, 1e6, "fc", (output,), figures,
                           ((0, 1, 2, 3), (0, 5)), (0, 1), (1,), (), ())  # fmt: skip
    missing = PairResult("oracle", "mxnet", "not_run", "mxnet is not installed")
    divergence = Divergence("paddle", "oracle", "fc", "Gemm", 0.25, None, 2.5e-7, 1e6, (0, 5), True, "weights",
                            "fc.weight is not the seeded one", "facecvt parity small --seed 0")  # fmt: skip
    sha = "0" * 64
    architecture = ArchitectureResult(
        name="small", family="small", title="a small net", verdict="differ", reasons=("paddle: fc",),
        options={"embedding_size": 16, "blocks": (1, 2), "output": None}, parameters=100, multiply_adds=1000, seed=0,
        weights=sha, weights_of=(WeightsOfSide("paddle", 2, 1, sha, ("fc.weight",)),),
        inputs=(Fed("normal/1", (1, 3, 8, 8), sha),), outputs=("fc",), coverage=(Coverage("paddle", 1.0, 1.0, ()),),
        pairs=(differing, missing), layers=layers,
        checks=(CheckResult("paddle", "repeated", "agree", "three runs are bit-equal"),), first_divergence=divergence,
    )  # fmt: skip
    return ParityResult(
        verdict="differ",
        settings=Settings(("small",), ("paddle", "mxnet"), True, 0, "1/2"),
        limits=Limits(10.0, 2e-5, 1e-10),
        sides=(
            SideInfo("oracle", "float64 oracle", "numpy 1.26"),
            SideInfo("mxnet", "MXNet", "mxnet", False, "pip install mxnet"),
        ),
        inputs=(InputInfo("normal/1", "normal", 1, True, "noise"),),
        environment={"numpy": "1.26.4"},
        architectures=(architecture,),
        run={
            "started": "2025-01-01T00:00:00Z",
            "seconds": 1.5,
            "cpu_seconds": 1.25,
            "peak_memory_mb": 100.0,
            "architectures": {"small": 1.0},
        },
    )


def test_document_fits_its_schema_and_comes_back(tmp_path: Path) -> None:
    result = some_result()
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    write_json(result, tmp_path / "parity.json")
    document = json.loads((tmp_path / "parity.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, SCHEMA)
    assert document["exit_code"] == 1
    back = read_json(tmp_path)
    assert back.architectures[0].pairs == result.architectures[0].pairs
    assert back.architectures[0].first_divergence == result.architectures[0].first_divergence
    assert document_of(back) == document
    assert back.sides == result.sides
    assert back.architectures[0].pair("paddle", "oracle").worst_layer == "fc"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("verdict",), "fine"),
        (("architectures", 0, "pairs", 0, "a"), "caffe"),
        (("architectures", 0, "weights"), "abc"),
        (("settings", "shard"), "0/2"),
        (("architectures", 0, "pairs", 0, "figures", "cosine"), [1.0]),
    ],
)
def test_schema_refuses_what_is_none(path: tuple[Any, ...], value: Any) -> None:
    document = json.loads(json.dumps(document_of(some_result())))
    changed = copy.deepcopy(document)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    jsonschema.validate(document, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed, SCHEMA)


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    document = document_of(some_result())
    with pytest.raises(UsageError, match=r"schema 1\.1, this is 2\.0"):
        result_of({**document, "schema_version": "2.0"})
    with pytest.raises(UsageError, match=r"not a whole result.*environment"):
        result_of({key: value for key, value in document.items() if key != "environment"})
    with pytest.raises(UsageError, match="can be read"):
        read_json(tmp_path)


def test_figures_and_verdicts() -> None:
    assert rounded(1.23456e-7) == 1.235e-7
    assert [rounded(value) for value in (math.inf, math.nan, None)] == [None] * 3
    assert gravest([]) == "not_comparable"
    assert gravest(["agree", "not_run", "not_comparable"]) == "not_run"
    assert gravest(["agree", "not_run", "differ"]) == "differ"
