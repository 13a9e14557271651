"""The console tables of ``models``: all reference architectures, or one of them in full; those of heads lie beside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from facecvt.parity_tests.report.tables import plain_table, seen_pixels, shape_text

if TYPE_CHECKING:
    from facecvt.reference_models.listing import ModelRow, ModelSheet
    from facecvt.reference_models.spec import Alias

OUTPUTS_SHOWN = 2
MEDIUM, WIDE = 110, 150  # characters a line from which on the columns of text are shown


def figure(count: int) -> str:
    """A count in thousands, millions or billions: 43.6 M."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:#.3g}".rstrip(".") + f" {letter}"
    return str(count)


def output_text(row: ModelRow) -> str:
    """The shapes of the first outputs, the batch left out: ``512``, ``896x16, 896x1``."""
    shapes = ["x".join(map(str, shape[1:] if shape[:1] == ("batch",) else shape)) for shape in row.outputs]
    more = len(shapes) - OUTPUTS_SHOWN
    return ", ".join(shapes[:OUTPUTS_SHOWN]) + (f", +{more}" if more > 0 else "")


def line_table(headers: Sequence[str], lines: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> Table:
    """A table with a line a row, whatever the width: only the last column gives way; numbers stand to the right."""
    table = plain_table(*headers)
    for column in table.columns:
        column.no_wrap, column.overflow = True, "ellipsis"
        column.justify = "right" if column.header in numbers else "left"
    for index, column in enumerate(table.columns[:-1]):
        column.min_width = max(len(line[index]) for line in [headers, *lines])
    for line in lines:
        table.add_row(*line)
    return table


def models_table(rows: Sequence[ModelRow], width: int = WIDE) -> list[Any]:
    """A row a reference architecture, a line a row: where the width does not do, the columns of text are left out."""
    headers = ["name", "parameters", "multiply-adds", "input", "output"]
    headers += ["written in"] * (width >= MEDIUM) + ["what it is, source"] * (width >= WIDE)
    lines = []
    for row in rows:
        more = f" +{len(row.source) - 1}" if len(row.source) > 1 else ""
        cells = [
            row.name,
            figure(row.parameters),
            figure(row.multiply_adds),
            "x".join(map(str, row.input_shape[1:])),
            output_text(row),
            ", ".join(row.frameworks),
            escape(f"{row.title} ({row.source[0]}{more})"),
        ]
        lines.append(cells[: len(headers)])
    return [
        line_table(headers, lines, numbers=headers[1:3]),
        f"\n{len(rows)} architectures, each written by hand in every framework that is named. Multiply-adds are those\n"
        "of one image. `facecvt models NAME` shows one in full. Given to a conversion in place of a path, an\n"
        "architecture's weights are seeded random numbers, not trained ones.",
    ]


def sheet_tables(sheet: ModelSheet) -> list[Any]:
    """Everything that one architecture declares."""
    row = sheet.row
    facts = Table.grid(padding=(0, 2))
    facts.add_row("architecture", row.name)
    facts.add_row("what it is", escape(row.title))
    facts.add_row("family", f"{row.family}, written in {', '.join(row.frameworks)}")
    facts.add_row("parameters", f"{row.parameters:,}")
    facts.add_row("multiply-adds", f"{row.multiply_adds:,}")
    facts.add_row("outputs", ", ".join(shape_text(shape) for shape in row.outputs))
    if sheet.eps:
        facts.add_row("eps", ", ".join(f"{value:g} ({framework})" for framework, value in sheet.eps.items()))
    facts.add_row("paper", escape(sheet.source.paper))
    for upstream in sheet.source.upstreams:
        facts.add_row("upstream", escape(f"{upstream.repository}, {upstream.path} ({upstream.framework})"))
    parts: list[Any] = [facts]

    inputs = plain_table("framework", "input", "shape", "dtype", "color", "the network sees")
    for framework, contract in sheet.contracts.items():
        inputs.add_row(
            framework,
            contract.name,
            shape_text(contract.shape),
            contract.dtype,
            contract.color or "?",
            seen_pixels(contract),
        )
    parts += ["", inputs]
    if sheet.stages:
        stages = plain_table("stage", "units", "channels", "stride", "height = width")
        for stage in sheet.stages:
            stages.add_row(escape(stage.name), *map(str, (stage.units, stage.channels, stage.stride, stage.size)))
        parts += ["", stages]
    if sheet.options:
        options = plain_table("option", "value", "accepts")
        for option in sheet.options:
            options.add_row(option.name, escape(repr(option.value)), escape(option.accepts))
        parts += ["", options]
    if sheet.aliases:
        names = plain_table("also called", "in", "which sets")
        for alias in sheet.aliases:
            names.add_row(escape(alias.name), alias.framework or "", escape(brought(alias)))
        parts += ["", names]
    return parts


def brought(alias: Alias) -> str:
    """The options that a name brings, as they would be written."""
    return ", ".join(f"{name}={value!r}" for name, value in alias.options.items())
