"""What ``facecvt parity`` says that it reached: counted and compared by hand on results that are made up."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from facecvt.parity_tests.parity_report.console import render_parity
from facecvt.parity_tests.parity_report.figures import NOTHING, Figure, figures_of
from facecvt.parity_tests.parity_report.markdown import page
from facecvt.parity_tests.parity_report.result import (
    ArchitectureResult,
    CheckResult,
    Coverage,
    Limits,
    OutputFigures,
    PairResult,
    ParityResult,
    Settings,
    SideInfo,
    WeightsOfSide,
)
from facecvt.parity_tests.report.parity_page import page_of


def pair(a: str, b: str, *outputs: OutputFigures, compared: int = 10, worst: float | None = 2.0) -> PairResult:
    return PairResult(a, b, "agree", "", compared, worst, "stage.1", outputs)


def architecture(name: str, *pairs: PairResult, **others: object) -> ArchitectureResult:
    plain = ArchitectureResult(
        name=name, family="nets", title=name, verdict="agree", reasons=(), options={}, parameters=1, multiply_adds=1,
        seed=0, weights="ab" * 32,
        weights_of=(WeightsOfSide("torch", 7, 7, "cd" * 32), WeightsOfSide("onnx_torch", 7, 7, "cd" * 32)),
        inputs=(), outputs=("fc",), coverage=(Coverage("torch", 1.0, 0.9), Coverage("onnx_torch", 1.0, 1.0)),
        pairs=pairs, layers=(), checks=(CheckResult("torch", "batches", "agree", "rows agree"),) * 3,
    )  # fmt: skip
    return replace(plain, **others)  # type: ignore[arg-type]


def result(*architectures: ArchitectureResult) -> ParityResult:
    return ParityResult(
        "agree", Settings((), ("torch", "onnx"), False, 0), Limits(10.0, 2e-5, 1e-10),
        (SideInfo("oracle", "float64", ""), SideInfo("torch", "PyTorch", "")), (), {}, architectures,
        {"started": "2026-01-02", "seconds": 1.0, "cpu_seconds": 1.0, "peak_memory_mb": 1.0, "architectures": {}},
    )  # fmt: skip


def output(layer: str, error: float | None, cosine: float | None, ratio: float | None) -> OutputFigures:
    return OutputFigures(layer, error, 1.0, cosine, ratio, "normal/1")


GOOD = result(
    architecture(
        "first",
        pair("oracle", "torch", output("fc", 1e-6, 2e-13, 1.5), output("boxes", 3e-6, 1e-13, 0.5)),
        pair("oracle", "onnx_torch", output("fc", 2e-6, -1e-17, 4.25), worst=5.0),
        pair("torch", "onnx_torch", output("fc", 1e-3, 1e-4, 9.0), worst=6.5),  # not against float64
    ),
    architecture(
        "second",
        pair("oracle", "torch", output("fc", 1e-7, 7e-13, 0.1), compared=5),
        weights_of=(WeightsOfSide("torch", 3, 3, ""),),
        coverage=(Coverage("torch", 0.9625, 0.875),),
    ),
)


def named(found: ParityResult) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures_of(found)}


def test_the_worst_of_all_architectures_with_its_place() -> None:
    assert [figure.row() for figure in figures_of(GOOD)] == [
        ("architectures that agree", "all", "2 of 2", ""),
        ("outputs against float64, rel-RMSE", "<= 2e-05", "3.0e-06", "first, torch, boxes"),
        ("outputs against float64, 1 - cos", "<= 1e-10", "7.0e-13", "second, torch, fc"),
        ("outputs against float64, x floor", "<= 10", "4.2", "first, onnx_torch, fc"),
        ("any layer of any two implementations, x floor", "<= 10", "6.5", "first, torch/onnx_torch, stage.1"),
        ("pairs of layers beyond their tolerance, as a wrong pair is", "0", "0 of 35", ""),
        ("layers with weights that were compared", ">= 95%", "96.2%", "second, torch"),
        ("all layers that were compared", ">= 80%", "87.5%", "second, torch"),
        ("tensors bit-identical, read back", "all", "17 of 17", ""),
        ("checks of one implementation by itself", "all", "6 of 6", ""),
    ]
    assert all(figure.met for figure in figures_of(GOOD))


@pytest.mark.parametrize(
    ("others", "name", "reached", "where"),
    [
        ({"verdict": "not_run"}, "architectures that agree", "2 of 3", "third"),
        ({"pairs": (pair("oracle", "torch", output("fc", 2.1e-5, 0, 1)),)}, "outputs against float64, rel-RMSE",
         "2.1e-05", "third, torch, fc"),
        ({"pairs": (pair("oracle", "torch", output("fc", None, 0, 1)),)}, "outputs against float64, rel-RMSE",
         "beyond measure", "third, torch, fc"),
        ({"pairs": (pair("oracle", "torch", output("fc", 0, 1.1e-10, 1)),)}, "outputs against float64, 1 - cos",
         "1.1e-10", "third, torch, fc"),
        ({"pairs": (pair("oracle", "torch", output("fc", 0, 0, 10.5)),)}, "outputs against float64, x floor", "10.5",
         "third, torch, fc"),
        ({"pairs": (pair("torch", "mxnet", worst=None),)}, "any layer of any two implementations, x floor",
         "beyond measure", "third, torch/mxnet, stage.1"),
        ({"pairs": (replace(pair("torch", "mxnet"), differ=(3, 4)),)},
         "pairs of layers beyond their tolerance, as a wrong pair is", "2 of 45", "third, torch/mxnet"),
        ({"coverage": (Coverage("mxnet", 0.9499, 1.0),)}, "layers with weights that were compared", "94.9%",
         "third, mxnet"),
        ({"coverage": (Coverage("mxnet", 1.0, 0.7999),)}, "all layers that were compared", "79.9%", "third, mxnet"),
        ({"weights_of": (WeightsOfSide("mxnet", 5, 4, "", ("fc.weight",)),)}, "tensors bit-identical, read back",
         "21 of 22", "third, mxnet"),
        ({"checks": (CheckResult("mxnet", "aliases", "not_comparable", ""),)},
         "checks of one implementation by itself", "6 of 7", "third, mxnet, aliases"),
    ],
)  # fmt: skip
def test_one_that_is_beyond_its_goal_is_not_reached(
    others: dict[str, object], name: str, reached: str, where: str
) -> None:
    figure = named(result(*GOOD.architectures, architecture("third", **others)))[name]  # type: ignore[arg-type]
    assert (figure.reached, figure.where, figure.met) == (reached, where, False)
    assert figure.row()[2] == f"{reached} (not reached)"


def test_what_was_not_measured_is_not_reached() -> None:
    assert {figure.reached for figure in figures_of(result())} == {NOTHING}
    bare = architecture(
        "bare", weights_of=(), coverage=(), checks=(), pairs=(PairResult("oracle", "torch", "not_run"),)
    )
    found = named(result(bare))
    assert {name for name, figure in found.items() if figure.met} == {"architectures that agree"}
    assert {figure.reached for figure in found.values() if not figure.met} == {NOTHING}


def test_every_report_ends_with_them() -> None:
    console = Console(file=io.StringIO(), width=200)
    bad = result(*GOOD.architectures, architecture("third", verdict="differ"))
    render_parity(console, bad, [])
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    last = text.rstrip().splitlines()[-10:]
    assert [" ".join(line.split()) for line in (last[0], last[1])] == [
        "architectures that agree all 2 of 3 (not reached) third",
        "outputs against float64, rel-RMSE <= 2e-05 3.0e-06 first, torch, boxes",
    ]
    assert "| outputs against float64, 1 - cos | <= 1e-10 | 7.0e-13 | second, torch, fc |" in page(bad)
    table = page_of(bad).partition('<section id="figures">')[2].partition("</section>")[0]
    assert '<tr class="beyond"><th scope="row">architectures that agree</th><td>all</td>' in table
    assert '<th scope="row">outputs against float64, x floor</th><td>&lt;= 10</td><td>4.2</td>' in table
