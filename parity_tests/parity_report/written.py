"""The files of a result: ``parity.json``, ``junit.xml``, ``parity.md`` and the page, ``parity.html``.

Beside them ``repro/ARCH`` is the first layer at fault of an architecture, which was written when it was found; that of
an earlier report is removed where the architecture has none now.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from facecvt.parity_tests.diff.repro import FINDING
from facecvt.parity_tests.parity_report.junit import write_junit
from facecvt.parity_tests.parity_report.markdown import write_markdown
from facecvt.parity_tests.parity_report.result import REPRO, ParityResult
from facecvt.parity_tests.parity_report.result_json import NAME, write_json
from facecvt.parity_tests.report.parity_page import write_page


def write_report(result: ParityResult, folder: str | Path) -> list[Path]:
    """Write every report of a result; files of these names are replaced, what they no longer speak of is removed.

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
    for arch in result.architectures:
        if arch.first_divergence is None or arch.first_divergence.repro is None:
            _remove_repro(folder / REPRO / arch.name)
    return files


def _remove_repro(folder: Path) -> None:
    """Remove a layer at fault, and the folder of all where it was the last; nothing that is something else."""
    if (folder / FINDING).is_file():
        shutil.rmtree(folder)
        with suppress(OSError):  # others lie there
            folder.parent.rmdir()


def gather_repros(folders: Iterable[str | Path], target: Path) -> None:
    """Copy the layers at fault that lie beside the reports of shards to beside the report of all.

    Args:
        folders: those of the shards; none, where nothing differs.
        target: folder of the joined report.
    """
    for folder in folders:
        source = Path(folder) / REPRO
        if source.is_dir() and source.resolve() != (target / REPRO).resolve():
            shutil.copytree(source, target / REPRO, dirs_exist_ok=True)
