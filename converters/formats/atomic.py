"""Targets that appear whole or not at all: written beside their place, then renamed into it.

A rename within one folder is atomic, so a reader never sees half a file, and a failed run leaves nothing behind and
leaves what was there before as it was. Nothing is forced to the disk (``fsync``): the promise is against failures of
this program, not against a power cut.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from facecvt.converters.errors import UsageError

DISK_FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})


def refuse_existing(path: str | Path, force: bool, *, inputs: Iterable[str | Path] = (), option: str = "-o") -> None:
    """Stop before any work when the target must not be written.

    Args:
        path: target file or folder.
        force: the user said that it may be replaced.
        inputs: files that are being read; none of them may be replaced, not even with ``force``.
        option: where the user names another target.

    Raises:
        UsageError: it exists and ``force`` is false; it is or holds an input; or its parent is not a folder.
    """
    target = Path(path).absolute()
    if not target.parent.is_dir():
        raise UsageError(f"{path}: the folder {target.parent} does not exist; make it first")
    if not os.path.lexists(target):
        return
    for source in inputs:
        if target.resolve() in (Path(source).resolve(), *Path(source).resolve().parents):
            raise UsageError(
                f"{path}: writing there would replace the input {source}; choose another target with {option}"
            )
    if not force:
        raise UsageError(f"{path} exists; use --force to replace it, or {option} to write elsewhere")


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file, open for writing, that becomes ``path`` when the block ends without an error.

    Args:
        path: target; a file or link of that name is replaced in the same instant.

    Raises:
        UsageError: the folder cannot be written, the disk is full, or ``path`` is a folder.
    """
    target = Path(path).absolute()
    if target.is_dir() and not target.is_symlink():
        raise UsageError(f"{path} is a folder, and the target has to be a file")
    temporary = _beside(target)
    with _readable_errors(path):
        # O_EXCL: a name that someone else prepared, or a link, is never followed; mode 666 leaves the rest to umask
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with _readable_errors(path, DISK_FULL), os.fdopen(descriptor, "wb", buffering=1 << 20) as stream:
            yield stream
        with _readable_errors(path):
            os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A new empty folder that becomes ``path`` when the block ends without an error.

    Args:
        path: target; whatever is there is replaced as a whole, and is still there if the block fails.

    Raises:
        UsageError: the parent cannot be written, the disk is full, or replacing ``path`` would delete the current
            folder or the user's home.
    """
    target = Path(path).absolute()
    if target.is_dir() and not target.is_symlink():
        for precious, what in ((Path.cwd(), "the current folder"), (Path.home(), "your home folder")):
            if target.resolve() in (precious.resolve(), *precious.resolve().parents):
                raise UsageError(f"{path}: replacing it would delete {what}; name a folder of its own with -o")
    temporary = _beside(target)
    with _readable_errors(path):
        temporary.mkdir()
    try:
        with _readable_errors(path, DISK_FULL):
            yield temporary
        with _readable_errors(path):
            _swap_in(temporary, target)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


def _swap_in(temporary: Path, target: Path) -> None:
    """Rename a finished folder into place; what was there goes only after the new one has its name."""
    if not os.path.lexists(target):
        os.rename(temporary, target)
        return
    former = _beside(target)
    os.rename(target, former)
    try:
        os.rename(temporary, target)
    except BaseException:
        os.rename(former, target)
        raise
    if former.is_dir() and not former.is_symlink():
        shutil.rmtree(former, ignore_errors=True)
    else:
        former.unlink()


def _beside(target: Path) -> Path:
    """A hidden name of our own in the same folder, hence on the same file system."""
    return target.with_name(f".{target.name[:80]}.{secrets.token_hex(6)}.part")


@contextlib.contextmanager
def _readable_errors(path: str | Path, only: frozenset[int] | None = None) -> Iterator[None]:
    """Tell of a full disk or a folder without write permission in one line.

    ``only`` holds the error numbers that can be meant: inside a caller's block another one may be about another file.
    """
    try:
        yield
    except OSError as error:
        if only is not None and error.errno not in only:
            raise
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error
