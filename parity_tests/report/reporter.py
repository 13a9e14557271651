"""Where a command's result goes: one rendering on stdout, progress and log on stderr.

Tables are as wide as they need where stdout is no terminal, so that nothing is cut from a pipe or a file. A reader that
closes the pipe early changes neither the exit code nor stderr.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from facecvt.converters.ops_table import OperatorRow
    from facecvt.parity_tests.diff.difference import Difference
    from facecvt.parity_tests.environment import Diagnosis
    from facecvt.parity_tests.inspection import Inspection
    from facecvt.parity_tests.proven import ProvenConversion
    from facecvt.parity_tests.selftest.result import Selftest
    from facecvt.reference_models.listing import ModelRow, ModelSheet
    from facecvt.reference_models.listing_heads import HeadRow, HeadSheet

SCHEMA_VERSION = "1.0"  # of every document but a conversion's, which has its own in json_report
PIPE_WIDTH = 1000


def table_width() -> int:
    """Characters a line of a table may have."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH


def silence_stdout() -> None:
    """Stop writing to a pipe that nobody reads, so that the interpreter does not complain when it ends."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


def write(text: str) -> None:
    """Put text and a line end on stdout, all at once."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        silence_stdout()


@dataclass(frozen=True)
class Reporter:
    """Renders results as the user asked.

    Attributes:
        as_json: one JSON document instead of a text.
        quiet: no progress, no warnings on stderr.
        verbose: log on stderr.
    """

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False

    def __post_init__(self) -> None:
        level = logging.DEBUG if self.verbose else logging.ERROR if self.quiet else logging.WARNING
        logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("facecvt").setLevel(level)

    @contextmanager
    def progress(self) -> Iterator[Callable[[str, int, int], None]]:
        """A function that takes a stage's name, the units done and the units in all, and shows them while it lasts."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda stage, done, total: None
            return
        from facecvt.parity_tests.report.progress import progress_bars

        with progress_bars() as advance:
            yield advance

    def text(self, text: str, document: dict[str, Any], command: str) -> None:
        """Put the text, or the document in its envelope, on stdout."""
        if self.as_json:
            envelope = {"schema_version": SCHEMA_VERSION, "command": command, **document}
            text = json.dumps(envelope, indent=2, allow_nan=False)
        write(text.rstrip("\n"))

    def show(self, parts: Sequence[RenderableType]) -> None:
        """Put tables and texts on stdout."""
        self.render(lambda console: console.print(*parts, sep="\n"))

    def render(self, draw: Callable[[Console], object]) -> None:
        """Put on stdout what a function draws on a console."""
        from rich.console import Console

        console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)
        with console.capture() as captured:
            draw(console)
        write("\n".join(line.rstrip() for line in captured.get().splitlines()))

    def operators(self, rows: Sequence[OperatorRow]) -> None:
        """The answer of ``facecvt ops``."""
        if self.as_json:
            self.text("", {"operators": [row.as_json() for row in rows]}, "ops")
            return
        from facecvt.parity_tests.report.tables import operators_table

        self.show(operators_table(rows))

    def models(self, rows: Sequence[ModelRow], heads: Sequence[HeadRow]) -> None:
        """The answer of ``facecvt models``."""
        if self.as_json:
            self.text(
                "", {"models": [row.as_json() for row in rows], "heads": [row.as_json() for row in heads]}, "models"
            )
            return
        from facecvt.parity_tests.report.head_tables import heads_table
        from facecvt.parity_tests.report.model_tables import models_table

        tables = [models_table(rows, table_width())] * bool(rows) + [heads_table(heads, table_width())] * bool(heads)
        self.show([part for table in tables for part in ("", *table)][1:])

    def model(self, sheet: ModelSheet) -> None:
        """The answer of ``facecvt models NAME``."""
        if self.as_json:
            self.text("", {"models": [sheet.row.as_json()], "heads": [], "sheet": sheet.as_json()}, "models")
            return
        from facecvt.parity_tests.report.model_tables import sheet_tables

        self.show(sheet_tables(sheet))

    def head(self, sheet: HeadSheet, rows: Sequence[ModelRow]) -> None:
        """The answer of ``facecvt models NAME`` for a margin head; ``rows`` are architectures of the same name."""
        if self.as_json:
            models = [row.as_json() for row in rows]
            self.text("", {"models": models, "heads": [sheet.row.as_json()], "head": sheet.as_json()}, "models")
            return
        from facecvt.parity_tests.report.head_tables import head_tables
        from facecvt.parity_tests.report.model_tables import models_table

        self.show([*head_tables(sheet), *(["", *models_table(rows, table_width())] if rows else [])])

    def diagnosis(self, diagnosis: Diagnosis) -> None:
        """The answer of ``facecvt doctor``."""
        if self.as_json:
            self.text("", diagnosis.as_json(), "doctor")
            return
        from facecvt.parity_tests.report.tables import diagnosis_tables

        self.show(diagnosis_tables(diagnosis))

    def inspection(self, inspection: Inspection, *, every_layer: bool = False) -> None:
        """The answer of ``facecvt inspect``."""
        if self.as_json:
            self.text("", inspection.as_json(), "inspect")
            return
        from facecvt.parity_tests.report.tables import inspection_tables

        self.show(inspection_tables(inspection, every_layer=every_layer))

    def difference(self, found: Difference) -> None:
        """The answer of ``facecvt diff``."""
        from facecvt.parity_tests.report.diff_report import diff_document, render_diff

        if self.as_json:
            self.text("", diff_document(found), "diff")
            return
        self.render(lambda console: render_diff(console, found, quiet=self.quiet, verbose=self.verbose))

    def selftest(self, found: Selftest) -> None:
        """The answer of ``facecvt selftest``."""
        from facecvt.parity_tests.report.selftest_report import render_selftest, selftest_document

        if self.as_json:
            self.text("", selftest_document(found), "selftest")
            return
        self.render(lambda console: render_selftest(console, found, verbose=self.verbose))

    def conversion(self, result: ProvenConversion) -> None:
        """The answer of a conversion: what was written, the verdict, the numbers behind it."""
        conversion, verification = result.conversion, result.verification
        if self.as_json:
            from facecvt.parity_tests.report.json_report import conversion_json

            write(conversion_json(conversion, verification, model=result.source, reference=result.reference))
            return
        if verification is None:
            from facecvt.parity_tests.report.written import written_text

            write(
                written_text(conversion, quiet=self.quiet, color=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
            )
            return
        from facecvt.parity_tests.report.console import render_conversion

        self.render(lambda console: render_conversion(console, conversion, verification, self.quiet, self.verbose))
