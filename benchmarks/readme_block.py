"""Fills a marked block of README.md: the lines between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def fill_block(name: str, lines: Sequence[str], readme: Path = README) -> None:
    """Replace what lies between the two marks.

    Raises:
        ValueError: the marks are missing, or there more than once.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    text = readme.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{readme} has to hold {begin} and {end} once each")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    readme.write_text("\n".join([before + begin, *lines, end + after]), encoding="utf-8")
