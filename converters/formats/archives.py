"""Unpacks downloaded archives (``.tar``, ``.tgz``, ``.tar.gz``, ``.zip``, ...) without trusting them.

Only regular files and folders are made, below the given folder and nowhere else: absolute names, names with ``..``
and links that lead out of the archive are refused, and so are devices. A link to another file of the archive becomes
a copy of that file. Owners, permissions and times are not taken over. The unpacked size is checked against the free
disk space before anything is written, and each file against the size that its header claims.
"""

from __future__ import annotations

import lzma
import posixpath
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from facecvt.converters.errors import FormatError

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")
_MOST_MEMBERS = 100_000
_LONGEST_LINK = 4096
_LONGEST_PADDING = 1 << 22  # behind the last member; tar itself fills its last block up to some kilobytes
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
    RuntimeError,
)


@dataclass(frozen=True)
class _Member:
    """A file or link of an archive; ``link`` is the member that it stands for, None for a file."""

    name: str
    size: int
    link: str | None
    open: Callable[[], IO[bytes]]


def archive_stem(path: str | Path) -> str | None:
    """The file's name without its archive suffix, None where it has none.

    ``weights.pth.tar`` is how PyTorch users name a checkpoint and no archive.
    """
    name = Path(path).name
    if name.endswith((".pth.tar", ".pt.tar", ".ckpt.tar")):
        return None
    longest = max((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), key=len, default=None)
    return name[: -len(longest)] if longest and len(name) > len(longest) else None


def unpack(archive: str | Path, folder: str | Path) -> None:
    """Unpack an archive into an existing folder.

    Raises:
        FormatError: damaged, encrypted, larger than the disk, or leading out of the folder. The caller removes
            what was unpacked until then.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        with _members(archive) as members:
            needed = sum(member.size for member in members if member.link is None)
            free = shutil.disk_usage(folder).free
            if needed > free:
                raise FormatError(archive, None, f"unpacks to {needed} bytes, but only {free} are free in {folder}")
            for member in members:
                if member.link is None:
                    _write(archive, member, folder / member.name)
            for member in members:
                if member.link is not None:
                    _copy_linked(members, member, folder)
    except _DAMAGE as error:
        raise FormatError(archive, None, f"is damaged or encrypted: {error}") from error
    except OSError as error:  # gzip and bz2 report damage in this form
        raise FormatError(archive, None, f"cannot be unpacked: {error}") from error


@contextmanager
def _members(archive: Path) -> Iterator[list[_Member]]:
    """The checked members of an archive of either kind, open for as long as the block."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as zipped:
            yield list(_zip_members(archive, zipped))
    else:
        with tarfile.open(archive, "r:*") as tarred:
            yield list(_tar_members(archive, tarred))
            _read_to_the_end(archive, tarred)


def _read_to_the_end(archive: Path, tarred: tarfile.TarFile) -> None:
    """Reach the end of the compressed stream, because only there its check sum is compared."""
    stream = tarred.fileobj
    assert stream is not None
    left = _LONGEST_PADDING
    while block := stream.read(1 << 16):
        left -= len(block)
        if left < 0:
            raise FormatError(archive, None, "goes on for long after the end of its content: padded")


def _tar_members(archive: Path, tarred: tarfile.TarFile) -> Iterator[_Member]:
    for count, info in enumerate(tarred):
        _check_count(archive, count)
        name = _safe_name(archive, info.name)
        if info.isdir():
            continue
        link = None
        if info.issym():
            link = _safe_link(archive, name, posixpath.join(posixpath.dirname(name), info.linkname), info.linkname)
        elif info.islnk():
            link = _safe_link(archive, name, info.linkname, info.linkname)
        elif not info.isreg():
            _refuse(archive, name, "is neither a file nor a folder")
        yield _Member(name, info.size, link, lambda info=info: _opened(tarred.extractfile(info)))  # type: ignore[misc]


def _zip_members(archive: Path, zipped: zipfile.ZipFile) -> Iterator[_Member]:
    for count, info in enumerate(zipped.infolist()):
        _check_count(archive, count)
        name = _safe_name(archive, info.filename)
        if info.is_dir():
            continue
        link = None
        if stat.S_ISLNK(info.external_attr >> 16):
            if info.file_size > _LONGEST_LINK:
                _refuse(archive, name, "is a link of impossible length")
            target = zipped.read(info).decode("utf-8", "replace")
            link = _safe_link(archive, name, posixpath.join(posixpath.dirname(name), target), target)
        yield _Member(name, info.file_size, link, lambda info=info: zipped.open(info))  # type: ignore[misc]


def _safe_name(archive: Path, name: str) -> str:
    """The member's path below the folder, normalised."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or "\0" in name or parts[0].endswith(":"):
        _refuse(archive, name, "leads out of the archive")
    return posixpath.normpath("/".join(parts))


def _safe_link(archive: Path, name: str, target: str, shown: str) -> str:
    """The member that a link stands for; ``target`` is relative to the archive's root."""
    normal = posixpath.normpath(target)
    if normal.startswith(("/", "../")) or normal == "..":
        _refuse(archive, name, f"is a link to {shown!r}, which leads out of the archive")
    return normal


def _check_count(archive: Path, count: int) -> None:
    if count >= _MOST_MEMBERS:
        raise FormatError(archive, None, f"has more than {_MOST_MEMBERS} members; this is not a model")


def _opened(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # extractfile gives None for folders only
    return stream


def _write(archive: Path, member: _Member, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as source, open(target, "wb") as sink:
        left = member.size
        while left:
            block = source.read(min(1 << 20, left))
            if not block:
                _refuse(archive, member.name, f"ends {left} bytes early: truncated")
            sink.write(block)
            left -= len(block)
        if source.read(1):
            _refuse(archive, member.name, "is larger than its header says")


def _copy_linked(members: list[_Member], member: _Member, folder: Path) -> None:
    """Put a copy where the link was; a link to a folder or to nothing is left out."""
    links = {other.name: other.link for other in members if other.link is not None}
    target = member.link
    for _ in range(len(links)):
        if target not in links:
            break
        target = links[target]
    source = folder / target if target is not None else None
    if source is not None and source.is_file() and target not in links:
        destination = folder / member.name
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, destination)


def _refuse(archive: Path, name: str, reason: str) -> NoReturn:
    raise FormatError(archive, None, f"member {name!r} {reason}; nothing of it is used")
