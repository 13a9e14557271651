"""Targets appear whole or not at all, and what was there survives a failure."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from facecvt.converters.errors import UsageError
from facecvt.converters.formats.atomic import atomic_file, atomic_folder, refuse_existing


class DeliberateError(Exception):
    pass


def fail_after(written: int) -> None:
    assert written > 0
    raise DeliberateError


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    with atomic_file(target) as stream:
        stream.write(b"abc")
        assert not target.exists()
    assert target.read_bytes() == b"abc"
    assert names(tmp_path) == ["model.onnx"]


def test_a_failed_file_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    with pytest.raises(DeliberateError), atomic_file(target) as stream:
        fail_after(stream.write(b"half"))
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["model.onnx"]


def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a: cannot be written: No space left"), atomic_file(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "a"):  # another file's trouble stays what it is
        raise FileNotFoundError(errno.ENOENT, "gone")
    assert names(tmp_path) == []


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with atomic_file(tmp_path / "a") as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []


def test_the_mode_follows_the_umask(tmp_path: Path) -> None:
    former = os.umask(0o027)
    try:
        with atomic_file(tmp_path / "a") as stream:
            stream.write(b"x")
        with atomic_folder(tmp_path / "f") as folder:
            (folder / "b").write_bytes(b"y")
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o750


def test_a_link_is_replaced_and_its_goal_untouched(tmp_path: Path) -> None:
    source = tmp_path / "input.onnx"
    source.write_bytes(b"input")
    link = tmp_path / "link.onnx"
    link.symlink_to(source)
    with atomic_file(link) as stream:
        stream.write(b"new")
    assert source.read_bytes() == b"input"
    assert link.read_bytes() == b"new"
    assert not link.is_symlink()


def test_a_folder_is_no_target_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"), atomic_file(tmp_path):
        pass


def test_a_missing_parent_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"), atomic_file(tmp_path / "no" / "a"):
        pass
    with pytest.raises(UsageError, match="does not exist"):
        refuse_existing(tmp_path / "no" / "a", force=False)


def test_a_folder_replaces_a_folder_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").write_bytes(b"old")
    with atomic_folder(target) as folder:
        (folder / "new").write_bytes(b"new")
        assert names(target) == ["old"]
    assert names(target) == ["new"]
    assert names(tmp_path) == ["model"]


def test_a_failed_folder_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").write_bytes(b"old")
    with pytest.raises(DeliberateError), atomic_folder(target) as folder:
        fail_after((folder / "new").write_bytes(b"new"))
    assert names(target) == ["old"]
    assert names(tmp_path) == ["model"]


def test_a_file_is_replaced_by_a_folder(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.write_bytes(b"a file")
    with atomic_folder(target) as folder:
        (folder / "new").write_bytes(b"new")
    assert names(target) == ["new"]
    assert names(tmp_path) == ["model"]


def test_the_current_folder_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    for target in (Path("."), Path(".."), tmp_path):
        with pytest.raises(UsageError, match="current folder"), atomic_folder(target):
            pass
    assert inner.is_dir()


def test_existing_targets_are_refused_without_force(tmp_path: Path) -> None:
    target = tmp_path / "a"
    refuse_existing(target, force=False)
    target.write_bytes(b"")
    refuse_existing(target, force=True)
    with pytest.raises(UsageError, match="--force"):
        refuse_existing(target, force=False)


def test_force_never_replaces_an_input(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    weights = folder / "a.params"
    weights.write_bytes(b"weights")
    for target in (folder, weights):
        with pytest.raises(UsageError, match="replace the input"):
            refuse_existing(target, force=True, inputs=[weights])
    refuse_existing(tmp_path / "other", force=True, inputs=[weights])
