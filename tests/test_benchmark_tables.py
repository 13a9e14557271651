"""The pages that the benchmarks write about every direction: what is in them is what was run, and the lines say so."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from facecvt.parity_tests.measured_figures import MeasuredFigure
from facecvt.parity_tests.parity_report.result import ArchitectureResult, Limits, ParityResult, Settings
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


def test_the_sum_of_real_models_has_the_worst_of_all(benchmark):
    real = benchmark("real_models")
    (first, target), (second, _) = [each for each in real.conversions() if each[1] == "onnx"][:2]
    rows = {
        real.key_of(first, target): real.Row("| a | x | agree | 9 | 100% / 90% | 2.0e-06 | 1.0e-12 | 1.1 |", True),
        real.key_of(second, target): real.Row("| b | x | agree | 9 | 98% / 100% | 1.0e-05 | 3.0e-13 | 9.5 |", True),
    }
    assert real.summary(rows).endswith(
        "were not run. Worst rel-RMSE 1.0e-05, 1 - cos 1.0e-12, 9.5 floors; least coverage 98% of the layers with "
        "weights, 90% of all values."
    )
    assert real.summary({}).endswith("were not run.")


def told(times: int = 102, architectures: int | None = None, gradients: float = 1.25) -> list[MeasuredFigure]:
    """What the suites tell after a whole run, as three figures of it may be otherwise."""
    return [
        MeasuredFigure("boxes that are the same after suppression", 30000.0, times),
        MeasuredFigure("corners of the same box apart, pixels", 1.5e-4, times, "a test"),
        MeasuredFigure("tensors byte-identical once around", 9e4, architectures or len(names())),
        MeasuredFigure("gradients of a training step in float32, x floor", gradients, 5, "a test"),
    ]


def test_what_the_suites_told_is_set_beside_its_goal(benchmark):
    figures = benchmark("parity_figures")
    boxes, chains, gradients = figures.suite_rows(told(), [])
    assert all(row.met for row in (boxes, chains, gradients))
    assert boxes.markdown() == (
        "| detectors after suppression | the same boxes | 30000 boxes in 102 of 102 runs, corners at most 1.5e-04 "
        "pixels apart | `pytest parity_tests/suite/test_detections.py` |"
    )
    assert chains.reached == f"90000 tensors, {len(names())} of {len(names())} architectures"
    assert gradients.reached == "1.25, the worst of 5 nets and heads"


@pytest.mark.parametrize(
    ("changes", "others", "missed"),
    [
        ({"times": 96}, [], [0]),
        ({"architectures": 2}, [], [1]),
        ({"gradients": 10.5}, [], [2]),
        ({}, ["test_chains::test_a_state[r50]", "test_elsewhere::test_it"], [1]),
        ({}, ["test_detections::test_a", "test_training::test_b"], [0, 2]),
    ],
)
def test_suites_that_did_not_do_it_all_are_not_reached(benchmark, changes, others, missed):
    rows = benchmark("parity_figures").suite_rows(told(**changes), others)
    assert [place for place, row in enumerate(rows) if not row.met] == missed
    assert all("**" in rows[place].markdown() for place in missed)
    assert all(("1 tests did not pass" in row.reached) == (bool(others) and not row.met) for row in rows)


def test_nothing_told_is_not_run(benchmark):
    rows = benchmark("parity_figures").suite_rows([], [])
    assert [(row.reached, row.met) for row in rows] == [("not run", False)] * 3


def test_faults_are_counted_as_shares(benchmark):
    figures = benchmark("parity_figures")
    document = {"faults": 200, "different_faults": 81, "detected": 200, "localised": 189, "named": 160}
    document |= {"clean_variants": 50, "false_alarms": 0}
    rows = figures.selftest_rows(document)
    assert [(row.reached, row.met) for row in rows] == [
        ("0 of 50", True),
        ("81; 200 over all nets", True),
        ("100.0% (200 of 200)", True),
        ("94.5% (189 of 200)", False),
        ("80.0% (160 of 200)", True),
    ]
    worse = figures.selftest_rows(document | {"different_faults": 39, "clean_variants": 0, "faults": 0})
    assert [row.met for row in worse] == [False] * 5


COST = """| r50 | wall time | processor time | peak | anonymous | model + largest activation | ratio |
|---|---|---|---|---|---|---|
| facecvt diff, MXNet and ONNX, batch 4 | {wall} s | 9.5 s | {peak} MB | 170 MB | 180 MB | {ratio} |
| facecvt mxnet2onnx, verified | 99.0 s | 90.0 s | 999 MB | 900 MB | 180 MB | 5.55 |

Medians of 3 run(s), greatest peaks; 2 cores, Linux, Python 3.11.7.
"""


def test_cost_is_what_its_table_says(benchmark):
    figures = benchmark("parity_figures")
    rows = figures.cost_rows(COST.format(wall="12.5", peak=351, ratio="1.95"))
    assert [(row.figure, row.goal, row.reached, row.met) for row in rows] == [
        ("per-layer check of r50 at batch 4", "<= 60 s", "12.5 s", True),
        ("peak memory over model + largest activation", "<= 2", "1.95 (351 MB over 180 MB)", True),
    ]
    rows = figures.cost_rows(COST.format(wall="60.5", peak=362, ratio="2.01"))
    assert [(row.reached, row.met) for row in rows] == [("60.5 s", False), ("2.01 (362 MB over 180 MB)", False)]
    rows = figures.cost_rows(COST.splitlines()[0])
    assert [(row.reached, row.met) for row in rows] == [("not run", False)] * 2


def test_a_file_that_is_missing_is_named(benchmark, tmp_path, monkeypatch, capsys):
    (tmp_path / "parity.json").write_text("{}")
    (tmp_path / "suites.xml").write_text("<testsuites/>")
    monkeypatch.setattr(sys, "argv", ["parity_figures.py", str(tmp_path)])
    assert benchmark("parity_figures").main() == 2
    assert "holds no selftest.json, cost.md;" in capsys.readouterr().err


def test_the_readme_takes_whole_runs_alone(benchmark):
    figures = benchmark("parity_figures")

    def run(some: list[str], quick: bool = False, frameworks: tuple[str, ...] = ("torch", "paddle", "mxnet", "onnx")):
        found = [
            ArchitectureResult(name, "", "", "agree", (), {}, 0, 0, 0, "", (), (), (), (), (), (), ()) for name in some
        ]
        settings = Settings((), frameworks, quick, 0)
        took = {"seconds": 1891.0, "peak_memory_mb": 3900.0}
        return ParityResult(
            "agree", settings, Limits(10.0, 2e-5, 1e-10), (), (), {"cores": "2"}, tuple(found), run=took
        )

    every = list(names())
    assert figures.is_whole(run(every))
    assert not figures.is_whole(run(every[1:]))
    assert not figures.is_whole(run(every, quick=True))
    assert not figures.is_whole(run(every, frameworks=("torch", "onnx")))
    rows = figures.parity_rows(run(every))
    assert [row.command for row in rows] == ["facecvt parity"] * 12
    assert [(row.reached, row.met) for row in rows[-2:]] == [("31.5 min on 2 cores", False), ("3.9 GB", True)]


def test_the_readme_has_a_command_beside_every_figure():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    block = text.partition("<!-- figures:begin -->")[2].partition("<!-- figures:end -->")[0].strip().splitlines()
    assert block[0] == "| figure | goal | reached | command |"
    assert len(block) > 2
    assert all(line.endswith("` |") and line.count(" | ") == 3 for line in block[2:])


def test_what_a_check_costs_is_measured_of_the_process(benchmark, tmp_path, monkeypatch):
    """64 MB that a process fills are in its peak, a failure is told, and the ratio is to what was said."""
    cost = benchmark("check_cost")
    monkeypatch.setattr(cost, "WORK", tmp_path)
    code = "import time; block = b'x' * (64 << 20); time.sleep(2); del block"
    plain, filled = (cost.Check("c", [sys.executable, "-c", text], 32 << 20) for text in ("pass", code))
    for check in (plain, filled):
        check.run()
    assert 60 << 20 < filled.peak[0] - plain.peak[0] < 80 << 20
    assert filled.ratio == filled.peak[0] / (32 << 20)
    if sys.platform == "linux":
        assert 60 << 20 < filled.anonymous[0] <= filled.peak[0]
    with pytest.raises(RuntimeError, match="c: exit 1: ValueError: why"):
        cost.Check("c", [sys.executable, "-c", "raise ValueError('why')"]).run()


def test_the_largest_activation_is_that_of_the_batch(benchmark, tmp_path):
    from facecvt.parity_tests.diff.model import open_side
    from facecvt.parity_tests.support.small_net import small_net

    cost = benchmark("check_cost")
    with open_side(small_net().write(tmp_path / "a.onnx")) as side:
        assert cost.largest_activation(side.graph, 4) == 4 * 4 * 8 * 8 * 8  # float32 of 8 maps of 8 x 8
