"""``parity.html`` as its readers meet it: in a real headless Chromium, from a file, without network.

The results are made up, as ``facecvt parity`` would give them: three architectures, one of them wrong from a layer on.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

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
)
from facecvt.parity_tests.report.parity_page import MOST_BYTES, flat_index, packed_figure, page_of, write_page

SIDES = ("oracle", "torch", "paddle", "mxnet", "onnx_torch", "onnx_paddle", "onnx_mxnet")
FLOOR = 2e-7
WRONG_FROM = 4


def pair_of(a: str, b: str, count: int, wrong: bool) -> PairResult:
    errors = [FLOOR * (1 + place % 5 / 7) * (3000 if wrong and place >= WRONG_FROM else 1) for place in range(count)]
    ratios = [error / FLOOR for error in errors]
    differ = tuple(place for place, ratio in enumerate(ratios) if ratio > 10)
    figures: dict[str, tuple[float | None, ...]] = {
        "rel_rmse": tuple(errors),
        "max_abs": tuple(error * 9 for error in errors),
        "one_minus_cos": tuple(error**2 / 2 for error in errors),
        "ratio": tuple(ratios),
        "bits_lost": (None,) * count,
    }
    if a == "oracle" and b.startswith("onnx_"):
        figures["own_rel_rmse"] = tuple(
            FLOOR * (2000 if wrong and place == WRONG_FROM else 0.5) for place in range(count)
        )
    worst = max(range(count), key=ratios.__getitem__)
    return PairResult(
        a, b, "differ" if wrong else "agree", "layer stage.4 differs" if wrong else "", count, ratios[worst],
        f"stage.{worst}",
        (OutputFigures(f"stage.{count - 1}", errors[-1], errors[-1] * 9, errors[-1] ** 2 / 2, ratios[-1], "normal/1"),),
        figures, tuple((1, place % 8, 3, 2) for place in range(count)), (0,) * count, differ,
    )  # fmt: skip


def architecture_of(name: str, count: int, wrong_side: str | None = None) -> ArchitectureResult:
    layers = tuple(
        LayerInfo(
            f"stage.{place}", "Conv" if place % 2 else "PRelu", (f"stage.{place - 1}" if place else "input",),
            (1, 8, 7, 5), place + 1, place % 2 == 1, None, FLOOR,
        )
        for place in range(count)
    )  # fmt: skip
    pairs = tuple(
        pair_of(a, b, count, wrong_side in (a, b)) for place, a in enumerate(SIDES) for b in SIDES[place + 1 :]
    )
    divergence = None
    if wrong_side:
        divergence = Divergence(
            wrong_side, "oracle", "stage.4", "PRelu", 6e-4, 4e-4, FLOOR, 3000.0, (1, 4, 3, 2), True,
            "one slope for all channels", "with one slope a channel its own error is 1.0e-07",
            f"facecvt parity {name} --frameworks paddle <again>", f"python repro/{name}/run.py",
        )  # fmt: skip
    return ArchitectureResult(
        name=name, family="nets", title=f"{name}, a net", verdict="differ" if wrong_side else "agree",
        reasons=("it differs",) if wrong_side else (), options={}, parameters=10, multiply_adds=20, seed=0,
        weights="ab" * 32, weights_of=(WeightsOfSide("torch", 4, 4, "cd" * 32),),
        inputs=(Fed("normal/1", (1, 3, 112, 112), "ef" * 32),), outputs=(f"stage.{count - 1}",),
        coverage=(Coverage("torch", 1.0, 1.0),), pairs=pairs, layers=layers,
        checks=(CheckResult("torch", "batches", "agree", "rows agree", 0.2),), first_divergence=divergence,
    )  # fmt: skip


def result_of(*architectures: ArchitectureResult) -> ParityResult:
    return ParityResult(
        verdict="differ" if any(each.verdict == "differ" for each in architectures) else "agree",
        settings=Settings((), ("torch", "paddle", "mxnet", "onnx"), False, 0),
        limits=Limits(10, 2e-5, 1e-10),
        sides=tuple(SideInfo(side, f"Side {side}", "1.0") for side in SIDES),
        inputs=(InputInfo("normal/1", "normal", 1, True, "noise"),),
        environment={"numpy": "2.0"},
        architectures=architectures,
        run={"started": "2026-01-02T03:04:05Z", "seconds": 1.0, "cpu_seconds": 2.0, "peak_memory_mb": 3.0,
             "architectures": {each.name: 1.0 for each in architectures}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def result() -> ParityResult:
    return result_of(architecture_of("first", 12), architecture_of("second", 9, "paddle"), architecture_of("third", 7))


def test_figures_are_packed_to_two_digits_and_indices_to_one_number() -> None:
    assert packed_figure(None) is None
    assert packed_figure(0.0) == -100_000
    for value in (1.0, 3.3e-7, 9.99e12, 5e-324):
        packed = packed_figure(value)
        assert packed is not None
        assert 10 ** (packed / 100 + 200) == pytest.approx(value * 1e100 * 1e100, rel=0.012)
    assert flat_index((1, 4, 3, 2), (1, 8, 7, 5)) == 1 * 8 * 7 * 5 + 4 * 7 * 5 + 3 * 5 + 2
    assert flat_index((1, 2), (1, 8, 7, 5)) is None


def test_a_page_is_one_file_that_asks_for_nothing(result: ParityResult) -> None:
    page = page_of(result)
    assert "{{" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page)
    assert "@import" not in page
    assert "url(" not in page
    assert "Leon Sorokin" in page  # the chart library's licence goes with it
    assert page == page_of(result)


def test_the_largest_result_stays_below_two_megabytes() -> None:
    """67 architectures of 600 layers are twice what there is."""
    large = architecture_of("large", 600)
    noisy = [
        replace(
            large,
            name=f"large{number}",
            pairs=tuple(
                replace(
                    pair,
                    figures={
                        name: tuple(
                            None if x is None else x * (1 + (place * 7919 + number * 104729) % 1000 / 300)
                            for place, x in enumerate(column)
                        )
                        for name, column in pair.figures.items()
                    },
                )
                for pair in large.pairs
            ),
        )
        for number in range(67)
    ]
    assert len(page_of(result_of(*noisy)).encode()) < MOST_BYTES


@pytest.fixture(scope="module")
def browser() -> Any:
    """Debian's Chromium, or the one that FACECVT_CHROMIUM names."""
    program = os.environ.get("FACECVT_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium is installed: `apt-get install chromium`, or name one in FACECVT_CHROMIUM")
    sync_api = pytest.importorskip("playwright.sync_api", reason="`pip install playwright` drives the browser")
    with sync_api.sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", "--no-first-run"]  # fmt: skip
        opened = driver.chromium.launch(executable_path=program, args=flags)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, result: ParityResult, tmp_path: Path) -> Any:
    """The page, open and filled; no error was logged and nothing was asked of the network."""
    path = tmp_path / "parity.html"
    write_page(result, path)
    context = browser.new_context(viewport={"width": 1300, "height": 900}, color_scheme="light", offline=True)
    context.set_default_timeout(300_000)
    tab = context.new_page()
    troubles: list[str] = []
    tab.on("console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.on("request", lambda request: None if request.url.startswith("file:") else troubles.append(request.url))
    tab.goto(path.as_uri())
    tab.wait_for_selector("html[data-ready=yes]")
    yield tab
    context.close()
    assert troubles == []


def cell(page: Any, architecture: str, label: str) -> Any:
    return page.get_by_role("button", name=re.compile(f"^{architecture}, {label}"))


def test_the_verdict_and_the_first_divergence_stand_on_top(page: Any) -> None:
    assert page.locator(".verdict").inner_text() == "✗ The numbers differ"
    assert "2 of 3 architectures agree in all of 63 pairs" in page.locator(".summary").inner_text()
    divergence = page.locator(".divergence").inner_text()
    assert "second: Side paddle leaves Side oracle at stage.4 (PRelu)" in divergence
    assert "Cause: one slope for all channels" in divergence
    assert "facecvt parity second --frameworks paddle <again>" in divergence
    assert "The layer alone, from the folder of the reports: python repro/second/run.py" in divergence
    assert page.locator("#detail-title").inner_text() == "second: Side paddle against Side oracle differs"


def test_the_matrix_has_a_cell_for_every_pair_and_filters(page: Any) -> None:
    cells = page.locator("#matrix-table tbody button")
    assert cells.count() == 3 * 6
    page.get_by_label("all", exact=True).check()
    assert cells.count() == 3 * 21
    page.get_by_label("frameworks", exact=True).check()
    assert cells.count() == 3 * 3
    assert page.locator("#matrix-table tbody button.differ").count() == 2
    page.get_by_label("only what does not agree").check()
    assert page.locator("#matrix-table tbody tr").count() == 1
    page.get_by_label("only what does not agree").uncheck()
    page.get_by_label("Architecture", exact=True).fill("THIRD")
    assert page.locator("#matrix-table tbody th").all_inner_texts() == ["third"]


def test_a_cell_shows_its_chart_and_the_pointer_its_layers(page: Any) -> None:
    cell(page, "second", "Side onnx_torch against Side oracle").click()
    assert page.locator("#detail-title").inner_text() == "second: Side onnx_torch against Side oracle agrees"
    assert page.evaluate("window.page.chart.scales.y.distr") == 3
    assert page.evaluate("window.page.chart.data[4][0]") == pytest.approx(FLOOR / 2, rel=0.02)
    cell(page, "second", "Side paddle against Side oracle").click()
    over = page.locator("#chart .u-over")
    box = over.bounding_box()
    left = page.evaluate("window.page.chart.valToPos(5, 'x')")
    page.mouse.move(box["x"] + left, box["y"] + 40)
    page.wait_for_function("document.getElementById('readout').textContent.includes('stage.4 ')")
    readout = page.locator("#readout").inner_text()
    assert readout.startswith("stage.4 (PRelu), 1\u00d78\u00d77\u00d75, from stage.3, depth 5; rel-RMSE 9.3e-4")
    assert "worst element [1, 4, 3, 2] on normal/1" in readout
    assert page.locator("#layer-table tr[aria-selected=true] th").inner_text() == "stage.4"


def test_layers_are_sorted_and_filtered(page: Any) -> None:
    cell(page, "second", "Side paddle against Side oracle").click()
    rows = page.locator("#layer-table tbody tr")
    assert rows.count() == 9
    page.get_by_role("button", name="\u00d7 floor").click()
    ratios = [float(text) for text in page.locator("#layer-table tbody td:nth-child(8)").all_inner_texts()]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] > 3000
    page.get_by_role("button", name="\u00d7 floor").click()
    assert page.locator("#layer-table thead th[aria-sort=ascending]").inner_text().startswith("\u00d7 floor")
    page.get_by_label("only those beyond tolerance").check()
    assert rows.count() == 5
    page.get_by_label("Layer or operator").fill("conv")
    assert set(page.locator("#layer-table tbody th").all_inner_texts()) == {"stage.5", "stage.7"}


def test_the_keyboard_does_it_all(page: Any) -> None:
    page.locator("#matrix-table button[tabindex='0']").focus()
    for key in ("ArrowDown", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    assert page.locator("#detail-title").inner_text() == "third: Side mxnet against Side oracle agrees"
    page.locator("#chart").focus()
    for key in ("Home", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert page.locator("#readout").inner_text().startswith("stage.2 (PRelu)")
    page.keyboard.press("End")
    assert page.locator("#readout").inner_text().startswith("stage.6 (PRelu)")


def test_dark_light_and_paper_are_readable(page: Any) -> None:
    """Text against its ground, by WCAG's contrast; 4.5 is its level AA."""
    contrast = """(selector) => {
        const light = (color) => { const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map((x) => {
            const c = x / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
        const it = document.querySelector(selector); let ground = it;
        while (getComputedStyle(ground).backgroundColor === 'rgba(0, 0, 0, 0)') ground = ground.parentElement;
        const [a, b] = [light(getComputedStyle(it).color), light(getComputedStyle(ground).backgroundColor)];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); }"""
    places = ("body", ".summary", ".hint", "button.agree", "button.differ", "code", "tr.beyond td", "thead th")
    grounds = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for place in places:
            assert page.evaluate(contrast, place) >= 4.5, (scheme, place)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 22, 26)"]
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("details").evaluate("each => each.open")
    assert not page.locator("#matrix .controls").is_visible()
    assert len(page.pdf()) > 20_000
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert not page.locator("details").evaluate("each => each.open")
