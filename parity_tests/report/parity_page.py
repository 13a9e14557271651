"""``parity.html``: one file without network that shows what ``facecvt parity`` found.

The page is ``page/page.html`` with its style, its script and the chart library uPlot (``page/vendor``, MIT) put in, and
the figures as gzip in base64. A figure is packed as a hundred times its decimal logarithm (two digits are what the page
shows; parity.json has four). Where that is still more than a page should weigh, figures go that nobody looks at first:
those of pairs that agree, of which the float64 oracle is none.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from facecvt.converters.formats.atomic import atomic_file
from facecvt.parity_tests.parity_report.figures import HEAD, figures_of
from facecvt.parity_tests.parity_report.result import ArchitectureResult, LayerInfo, PairResult, ParityResult, Verdict
from facecvt.parity_tests.parity_report.result_json import document_of

PAGE = files("facecvt.parity_tests.report") / "page"
MOST_BYTES = 1_900_000
ZERO = -100_000
HEADLINES: dict[Verdict, str] = {
    "agree": "All agree",
    "differ": "The numbers differ",
    "not_comparable": "Not comparable",
    "not_run": "Not everything could be run",
}
MARKS: dict[Verdict, str] = {"agree": "✓", "differ": "✗", "not_comparable": "?", "not_run": "-"}
# What a pair keeps of its columns, from everything to nothing: of pairs that agree and do not hold the oracle.
THINNED: tuple[frozenset[str], ...] = (
    frozenset({"rel_rmse", "own_rel_rmse", "ratio", "max_abs", "one_minus_cos", "worst"}),
    frozenset({"rel_rmse", "ratio"}),
    frozenset(),
)


def write_page(result: ParityResult, path: str | Path) -> None:
    """Write the page; nothing half-written stays behind."""
    with atomic_file(Path(path)) as stream:
        stream.write(page_of(result).encode("utf-8"))


def page_of(result: ParityResult) -> str:
    """The page as text, below two megabytes but for results that are larger than any of ours."""
    text = ""
    for kept in THINNED:
        text = filled(result, packed(result, kept))
        if len(text.encode("utf-8")) <= MOST_BYTES:
            break
    return text


def filled(result: ParityResult, data: Mapping[str, Any]) -> str:
    """The template with everything put in."""
    counts = Counter(each.verdict for each in result.architectures)
    pairs = sum(len(each.pairs) for each in result.architectures)
    agreeing = f"{counts['agree']} of {len(result.architectures)} architectures agree in all of {pairs} pairs"
    raw = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    parts = {
        "title": html.escape(f"facecvt parity: {HEADLINES[result.verdict].lower()}"),
        "verdict": result.verdict,
        "mark": MARKS[result.verdict],
        "headline": html.escape(HEADLINES[result.verdict]),
        "summary": html.escape(f"{agreeing}; {result.run['started']}"),
        "k": f"{result.limits.k:g}",
        "chart_css": read("vendor/uPlot.min.css"),
        "css": read("page.css"),
        "figures": figures_table(result),
        "data": base64.b64encode(gzip.compress(raw, 9, mtime=0)).decode("ascii"),
        "chart_js": f"/*\n{read('vendor/uPlot.LICENSE')}*/\n{read('vendor/uPlot.iife.min.js')}",
        "js": read("page.js"),
    }
    text = read("page.html")
    for name, part in parts.items():
        if name in ("chart_js", "js") and "</script" in part:
            raise ValueError(f"{name} would end the script element that it stands in")
    pieces = text.split("{{")
    return pieces[0] + "".join(parts[name] + rest for name, rest in (piece.split("}}", 1) for piece in pieces[1:]))


def figures_table(result: ParityResult) -> str:
    """What was reached beside what is to be reached."""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in HEAD)
    rows = []
    for figure in figures_of(result):
        name, *cells = (html.escape(cell) for cell in figure.row())
        kind = "" if figure.met else ' class="beyond"'
        rows.append(f'<tr{kind}><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def read(name: str) -> str:
    """A part of the page."""
    return PAGE.joinpath(name).read_text(encoding="utf-8")


def packed(result: ParityResult, kept: frozenset[str] = THINNED[0]) -> dict[str, Any]:
    """What page.js reads: the JSON document with its columns packed.

    Args:
        result: what was found.
        kept: columns that are kept of pairs that agree and do not hold the oracle.
    """
    document = document_of(result)
    return {
        **{key: document[key] for key in ("settings", "limits", "sides", "inputs", "environment", "run")},
        "architectures": [
            {
                **plain,
                "layers": packed_layers(each.layers),
                "pairs": [packed_pair(each, pair, kept) for pair in each.pairs],
            }
            for each, plain in zip(result.architectures, document["architectures"], strict=True)
        ],
    }


def packed_layers(layers: Sequence[LayerInfo]) -> dict[str, Any]:
    """Layers as columns."""
    return {
        "name": [layer.name for layer in layers],
        "operator": [layer.operator for layer in layers],
        "inputs": [list(layer.inputs) for layer in layers],
        "shape": [list(layer.shape) for layer in layers],
        "depth": [layer.depth for layer in layers],
        "floor": [packed_figure(layer.floor) for layer in layers],
    }


def packed_pair(architecture: ArchitectureResult, pair: PairResult, kept: frozenset[str]) -> dict[str, Any]:
    """A pair with those of its columns that the page has room for."""
    if pair.verdict != "agree" or "oracle" in (pair.a, pair.b):
        kept = THINNED[0]
    shapes = [layer.shape for layer in architecture.layers]
    document: dict[str, Any] = {
        "a": pair.a,
        "b": pair.b,
        "verdict": pair.verdict,
        "reason": pair.reason,
        "compared": pair.compared,
        "worst_ratio": packed_figure(pair.worst_ratio),
        "worst_layer": pair.worst_layer,
        "embedding": None if pair.embedding is None else vars(pair.embedding),
        "differ": list(pair.differ),
        "unclear": list(pair.unclear),
        "missing": list(pair.missing),
    }
    for name, column in pair.figures.items():
        if name in kept:
            document[name] = [packed_figure(figure) for figure in column]
    if "worst" in kept:
        document["worst"] = [flat_index(index, shape) for index, shape in zip(pair.worst, shapes, strict=False)]
        document["input"] = list(pair.input)
    return document


def packed_figure(value: float | None) -> int | None:
    """A hundred times the decimal logarithm; ZERO for 0."""
    if value is None:
        return None
    return ZERO if value == 0 else round(100 * math.log10(value))


def flat_index(index: Sequence[int] | None, shape: Sequence[int]) -> int | None:
    """Indices within a batch as one number, the batch first; ``shape`` is that of one sample."""
    if index is None or len(index) != len(shape):
        return None
    flat = index[0]
    for place, size in zip(index[1:], shape[1:], strict=True):
        flat = flat * size + place
    return flat
