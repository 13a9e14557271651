"""A conversion that nobody asked to verify, as text: what was written, and that no verdict stands behind it.

It needs no table, and so no rendering library: `--no-verify` is for those who count milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from facecvt.converters.conversion import Conversion

NOT_ASKED = "the conversion was not verified, because --no-verify was given"


def written_text(conversion: Conversion, *, quiet: bool, color: bool) -> str:
    """The text for stdout.

    Args:
        conversion: what was converted.
        quiet: no warnings.
        color: with the escape codes of a terminal.
    """
    recognised = f" ({conversion.recognised})" if conversion.recognised is not None else ""
    verdict = click.style("not verified", fg="yellow", bold=True)
    lines = [f"{verdict}  {conversion.source_framework} -> {conversion.target_framework}{recognised}", f"  {NOT_ASKED}"]
    if conversion.warnings and not quiet:
        lines += ["", *(f"{click.style('warning:', fg='yellow')} {warning}" for warning in conversion.warnings)]
    lines += ["", *map(str, conversion.files)]
    text = "\n".join(lines)
    return text if color else click.unstyle(text)
