"""The console tables of ``models`` for margin heads: all of them, or one in full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from facecvt.parity_tests.report.model_tables import MEDIUM, WIDE, line_table
from facecvt.parity_tests.report.tables import plain_table

if TYPE_CHECKING:
    from facecvt.reference_models.listing_heads import HeadRow, HeadSheet


def heads_table(rows: Sequence[HeadRow], width: int = WIDE) -> list[Any]:
    """A row a head, a line a row: where the width does not do, the columns of text are left out."""
    headers = ["margin head", "logit of the target class"]
    headers += ["published in"] * (width >= MEDIUM) + ["what it is, source"] * (width >= WIDE)
    lines = []
    for row in rows:
        source = row.source[0] if row.published_in and row.source else row.paper or "no paper"
        formula = row.target if not row.published_in else " or ".join(row.heads)
        lines.append([row.name, formula, row.published_in or "", escape(f"{row.title} ({source})")][: len(headers)])
    return [
        line_table(headers, lines),
        f"\n{len(rows)} margin heads to train with, written by hand in {', '.join(rows[0].frameworks)}; a published\n"
        "one is built in each of them. `facecvt models NAME` shows one in full.",
    ]


def head_tables(sheet: HeadSheet) -> list[Any]:
    """Everything that one head declares."""
    row = sheet.row
    facts = Table.grid(padding=(0, 2))
    facts.add_row("margin head", row.name)
    facts.add_row("what it is", escape(row.title))
    if row.published_in:
        facts.add_row("which is", " or ".join(row.heads) + ", as its options say" * (len(row.heads) > 1))
    facts.add_row("target's logit", escape(row.target))
    facts.add_row("written in", ", ".join(row.frameworks))
    if row.paper:
        facts.add_row("paper", escape(row.paper))
    parts: list[Any] = [facts]
    if sheet.own_options:
        own = plain_table("its own option", "default")
        for name, value in sheet.own_options.items():
            own.add_row(name, escape(repr(value)))
        parts += ["", own]
    options = plain_table("option", "value", "accepts")
    for option in sheet.options:
        options.add_row(option.name, escape(repr(option.value)), escape(option.accepts))
    centres = plain_table("framework", "class centres", "shape")
    for framework, stored in sheet.centres.items():
        centres.add_row(framework, escape(stored.name), " x ".join(stored.shape))
    parts += ["", options, "", centres]
    if sheet.upstreams:
        published = plain_table("published as", "in", "where")
        for each in sheet.upstreams:
            where = f"{each.source.repository}, {each.source.path}"
            published.add_row(each.name, each.source.framework, escape(where))
        parts += ["", published]
    return parts
