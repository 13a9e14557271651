"""The pages that the benchmarks write about every direction: what is in them is what was run, and the lines say so."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from facecvt.reference_models import names

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch):
    """A module of the folder of benchmarks, which is no package."""
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))

    def load(name: str) -> ModuleType:
        found = importlib.util.spec_from_file_location(f"benchmarks_{name}", PROJECT / "benchmarks" / f"{name}.py")
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        monkeypatch.setitem(sys.modules, found.name, module)
        found.loader.exec_module(module)
        return module

    return load


def test_the_page_of_directions_is_that_of_its_data(benchmark):
    directions = benchmark("directions")
    results = directions.load()
    text = directions.PAGE.read_text(encoding="utf-8")
    assert text == "\n".join(directions.page(results)) + "\n"
    assert directions.summary(results) in (PROJECT / "README.md").read_text(encoding="utf-8")
    assert {name for name, _ in results} <= set(names())
    assert len(results) >= 350


def test_a_result_survives_the_file_and_a_refusal_shows(benchmark, tmp_path, monkeypatch):
    directions = benchmark("directions")
    monkeypatch.setattr(directions, "DATA", tmp_path / "d.json")
    monkeypatch.setattr(directions, "PAGE", tmp_path / "d.md")
    assert directions.load() == {}
    make, infinite = directions.DirectionResult, float("inf")
    good = make("mobilefacenet", "torch", "onnx", "agree", "", 8.5e-7, 3.5e-13, 1.0, 1.0, 0.99, 146)
    bad = make("mobilefacenet", "torch", "paddle", "refused", "conv0: why", infinite, infinite, infinite, 0.0, 0.0, 0)
    results = {("mobilefacenet", each.direction): each for each in (good, bad)}
    directions.save(results)
    assert directions.load() == results
    text = (tmp_path / "d.md").read_text(encoding="utf-8")
    total = 9 * len(names())
    assert f"1 of 2 conversions agree; {total - 2} of {total} were not run. Worst rel-RMSE 8.5e-07" in text
    row = "| mobilefacenet | 1.0 | **refused** |" + " not run |" * 7 + " 8.5e-07 | 3.5e-13 | 100% / 99% |"
    assert row in text
    assert "- `mobilefacenet`, torch2paddle: conv0: why" in text


def test_the_smallest_architecture_comes_first(benchmark):
    order = benchmark("directions").smallest_first()
    assert sorted(order) == sorted(names())
    assert order.index("mobilefacenet") < order.index("iresnet50") < order.index("iresnet200")


def test_the_page_of_real_models_is_whole_or_says_what_is_missing(benchmark):
    real = benchmark("real_models")
    rows, text = real.load(), real.PAGE.read_text(encoding="utf-8")
    wanted = [real.key_of(model, target) for model, target in real.conversions()]
    assert real.summary(rows) in text
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert "\n".join([real.summary(rows), "", *real.by_direction(rows)]) in readme
    assert len([key for key in wanted if key in rows]) >= 90
    lost = [key for key in wanted if key not in rows]
    assert ("Not run: " in text) == bool(lost)
    for model in real.REAL_MODELS:
        for target, why in model.refused.items():
            assert f"- {model.title}, {model.framework}2{target}: {why}" in text


def test_the_short_table_has_the_worst_of_each_direction(benchmark):
    real = benchmark("real_models")
    (first, target), (second, _) = [each for each in real.conversions() if each[1] == "onnx"][:2]
    rows = {
        real.key_of(first, target): real.Row("| a | x | agree | 9 | 100% / 90% | 2.0e-06 | 1.0e-12 | 1.1 |", True),
        real.key_of(second, target): real.Row("| b | x | agree | 9 | 98% / 100% | 1.0e-05 | 3.0e-13 | 9.5 |", True),
    }
    assert real.by_direction(rows)[2:] == ["| mxnet2onnx | 2 of 2 | 98% / 90% | 1.0e-05 | 1.0e-12 | 9.5 |"]
