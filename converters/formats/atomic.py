"""Targets that appear whole or not at all: written beside their place, then renamed into it.

A rename within one folder is atomic on every system that facecvt runs on, so a reader never sees half a file and a
failed run leaves nothing behind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from facecvt.converters.errors import UsageError


def refuse_existing(path: str | Path, force: bool) -> None:
    """Stop before any work when the target exists.

    Args:
        path: target file or folder.
        force: the user said that it may be replaced.

    Raises:
        UsageError: it exists and ``force`` is false; or its parent is not a folder.
    """
    target = Path(path)
    if not target.absolute().parent.is_dir():
        raise UsageError(f"{target}: the folder {target.absolute().parent} does not exist; make it first")
    if (target.exists() or target.is_symlink()) and not force:
        raise UsageError(f"{target} exists; use --force to replace it, or -o to write elsewhere")


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file, open for writing and reading, that becomes ``path`` when the block ends without an error.

    Args:
        path: target; a file there is replaced in the same instant. A folder there is an error.

    Raises:
        UsageError: the target cannot be written.
    """
    raise NotImplementedError
    yield


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A new empty folder that becomes ``path`` when the block ends without an error.

    Args:
        path: target; whatever is there is replaced as a whole, and is still there if the block fails.

    Raises:
        UsageError: the target cannot be written.
    """
    raise NotImplementedError
    yield
