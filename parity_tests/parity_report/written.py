"""The files of a result: ``parity.json``, ``junit.xml``, ``parity.md`` and the page, ``parity.html``."""

from __future__ import annotations

from pathlib import Path

from facecvt.parity_tests.parity_report.junit import write_junit
from facecvt.parity_tests.parity_report.markdown import write_markdown
from facecvt.parity_tests.parity_report.result import ParityResult
from facecvt.parity_tests.parity_report.result_json import NAME, write_json
from facecvt.parity_tests.report.parity_page import write_page


def write_report(result: ParityResult, folder: str | Path) -> list[Path]:
    """Write every report of a result; files of these names are replaced.

    Args:
        result: what was found.
        folder: made where it is missing.

    Returns:
        The files.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / NAME, folder / "junit.xml", folder / "parity.md", folder / "parity.html"]
    for path, write in zip(files, (write_json, write_junit, write_markdown, write_page), strict=True):
        write(result, path)
    return files
