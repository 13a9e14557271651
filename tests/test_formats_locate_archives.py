"""Models in archives: found as downloaded, unpacked beside nothing, and nothing that leads out of them."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest

from facecvt.converters.errors import AmbiguousModelError, FormatError, UsageError
from facecvt.converters.formats import archives
from facecvt.converters.formats.archives import archive_stem, unpack
from facecvt.converters.formats.locate import locate, located

MODEL = {"inference.pdmodel": b"\x0aprogram", "inference.pdiparams": b"weights", "infer_cfg.yml": b"x"}
MODES = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}


def pack(path: Path, content: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, data in content.items():
                zipped.writestr(name, data)
        return path
    mode = next(mode for suffix, mode in MODES.items() if path.name.endswith(suffix))
    with tarfile.open(path, mode) as tarred:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tarred.addfile(info, io.BytesIO(data))
    return path


def tar_of(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tarred:
        for member in members:
            tarred.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


@pytest.fixture
def scratch(tmp_path, monkeypatch) -> Path:
    """The folder in which temporary folders are made, to see that none is left."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("suffix", [*MODES, ".zip"])
@pytest.mark.parametrize("inner", ["", "mobileface_v1.0_infer/", "./mobileface_v1.0_infer/"])
def test_downloaded_archives(tmp_path, scratch, suffix, inner):
    archive = pack(tmp_path / f"mobileface_v1.0_infer{suffix}", {inner + name: data for name, data in MODEL.items()})
    before = archive.read_bytes()
    with located("paddle", archive) as files:
        assert files.name == "mobileface_v1.0_infer"
        assert files.layout == "combined"
        assert files.program.read_bytes() == MODEL["inference.pdmodel"]
        assert files.weights.read_bytes() == MODEL["inference.pdiparams"]
        assert files.program.is_relative_to(scratch)
    assert list(scratch.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([archive.name, "scratch"])
    assert archive.read_bytes() == before


def test_temporary_folder_goes_when_the_block_fails(tmp_path, scratch):
    archive = pack(tmp_path / "m.tar", MODEL)
    with pytest.raises(ZeroDivisionError), located("paddle", archive):
        raise ZeroDivisionError
    assert list(scratch.iterdir()) == []


def test_mxnet_archive_with_an_epoch(tmp_path, scratch):
    archive = pack(
        tmp_path / "r50.zip", {f"r50/model-{end}": b"" for end in ("symbol.json", "0000.params", "0007.params")}
    )
    with located("mxnet", archive, epoch=7) as files:
        assert (files.name, files.params.name) == ("r50", "model-0007.params")
    with pytest.raises(AmbiguousModelError, match="several epochs"), located("mxnet", archive):
        pass
    assert list(scratch.iterdir()) == []


def test_archive_without_or_with_two_models(tmp_path, scratch):
    archive = pack(tmp_path / "m.tar", {"a/x.onnx": b"", "b/y.onnx": b""})
    with pytest.raises(AmbiguousModelError, match="a, b"), located("onnx", archive):
        pass
    with pytest.raises(UsageError, match="no MXNet model"), located("mxnet", archive):
        pass
    with pytest.raises(UsageError, match="is an archive"):
        locate("onnx", archive)
    assert list(scratch.iterdir()) == []


OUTWARD = [
    member("../evil.onnx", size=3),
    member("/evil.onnx", size=3),
    member("a/../../evil.onnx", size=3),
    member("..\\evil.onnx", size=3),
    member("C:/evil.onnx", size=3),
    member("link", tarfile.SYMTYPE, "/etc/passwd"),
    member("link", tarfile.SYMTYPE, "../evil.onnx"),
    member("a/link", tarfile.SYMTYPE, "../../evil.onnx"),
    member("a/link", tarfile.LNKTYPE, "../evil.onnx"),
    member("a/link", tarfile.LNKTYPE, "/etc/passwd"),
    member("pipe", tarfile.FIFOTYPE),
    member("disk", tarfile.BLKTYPE),
]


@pytest.mark.parametrize("bad", OUTWARD, ids=lambda info: f"{info.name}-{info.linkname}")
def test_members_that_lead_out_are_refused(tmp_path, scratch, bad):
    archive = tar_of(tmp_path / "m.tar", member("x.onnx", size=3), bad)
    words = r"m\.tar: member .*(leads out of the archive|neither a file)"
    with pytest.raises(FormatError, match=words), located("onnx", archive):
        pass
    assert list(scratch.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.tar", "scratch"]


def test_writing_through_a_link_cannot_leave_the_folder(tmp_path):
    """A link to a folder outside, then a file below the link: the classical way out."""
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    archive = tar_of(tmp_path / "m.tar", member("a", tarfile.SYMTYPE, str(outside)), member("a/evil", size=3))
    with pytest.raises(FormatError, match="leads out"):
        unpack(archive, target)
    archive = tar_of(
        tmp_path / "n.tar", member("b/c", size=3), member("a", tarfile.SYMTYPE, "b"), member("a/d", size=3)
    )
    unpack(archive, target)
    assert not any(path.is_symlink() for path in target.rglob("*"))
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()) == ["a/d", "b/c"]
    assert list(outside.iterdir()) == []


def test_links_inside_become_copies(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    archive = tar_of(
        tmp_path / "m.tar",
        member("a/one", size=3),
        member("b/soft", tarfile.SYMTYPE, "../a/one"),
        member("hard", tarfile.LNKTYPE, "a/one"),
        member("chain", tarfile.SYMTYPE, "b/soft"),
        member("dangling", tarfile.SYMTYPE, "nowhere"),
        member("round", tarfile.SYMTYPE, "trip"),
        member("trip", tarfile.SYMTYPE, "round"),
    )
    unpack(archive, target)
    found = {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert found == dict.fromkeys(["a/one", "b/soft", "hard", "chain"], b"xxx")


def test_zip_names_and_links(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    for name in ("../evil", "/evil", "a/../../evil"):
        archive = pack(tmp_path / "m.zip", {"x": b"1", name: b"2"})
        with pytest.raises(FormatError, match="leads out of the archive"):
            unpack(archive, target)
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    for shown, words in (("../../etc/passwd", "leads out"), ("x", None)):
        with zipfile.ZipFile(tmp_path / "m.zip", "w") as zipped:
            zipped.writestr("x", b"1")
            zipped.writestr(link, shown)
        if words:
            with pytest.raises(FormatError, match=words):
                unpack(tmp_path / "m.zip", target)
        else:
            unpack(tmp_path / "m.zip", target)
            assert (target / "link").read_bytes() == b"1"
            assert not (target / "link").is_symlink()


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".zip"])
def test_damaged_archives(tmp_path, scratch, suffix):
    content = pack(tmp_path / f"good{suffix}", {"x.onnx": os.urandom(5000)}).read_bytes()
    archive = tmp_path / f"bad{suffix}"
    for cut in (3, 300, 2000, 4500):
        archive.write_bytes(content[:cut])
        with pytest.raises(FormatError, match="bad"), located("onnx", archive):
            pass
    archive.write_bytes(content[:1000] + bytes(4000) + content[5000:])
    if suffix != ".tar":  # a plain tar has no check sum over its data
        with pytest.raises(FormatError, match="bad"), located("onnx", archive):
            pass
    archive.write_bytes(b"")
    with pytest.raises(FormatError, match="bad"), located("onnx", archive):
        pass
    assert list(scratch.iterdir()) == []


def test_size_is_checked_before_anything_is_written(tmp_path, monkeypatch):
    target = tmp_path / "target"
    target.mkdir()
    archive = pack(tmp_path / "m.tar.gz", {"x": bytes(5000), "y": bytes(5000)})
    usage = archives.shutil.disk_usage(target)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda folder: usage._replace(free=9999))
    with pytest.raises(FormatError, match="unpacks to 10000 bytes, but only 9999 are free"):
        unpack(archive, target)
    assert list(target.iterdir()) == []


def test_a_zip_member_larger_than_it_claims(tmp_path):
    """The size in the central directory is what was checked against the disk; more than that is never written."""
    target = tmp_path / "target"
    target.mkdir()
    content = bytearray(pack(tmp_path / "m.zip", {"x": bytes(5000)}).read_bytes())
    central = content.index(b"PK\x01\x02")
    content[central + 24 : central + 28] = (10).to_bytes(4, "little")
    (tmp_path / "m.zip").write_bytes(bytes(content))
    with pytest.raises(FormatError):
        unpack(tmp_path / "m.zip", target)
    assert not (target / "x").exists() or (target / "x").stat().st_size <= 10


def test_too_many_members(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_MOST_MEMBERS", 3)
    archive = pack(tmp_path / "m.tar", {str(index): b"" for index in range(4)})
    with pytest.raises(FormatError, match="more than 3 members"):
        unpack(archive, tmp_path)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("mobileface_v1.0_infer.tar", "mobileface_v1.0_infer"),
        ("a.tar.gz", "a"),
        ("A.TGZ", "A"),
        ("a.zip", "a"),
        ("a.pth.tar", None),
        ("a.onnx", None),
        (".tar", None),
    ],
)
def test_archive_stem(name, stem):
    assert archive_stem(name) == stem


def test_real_model_in_an_archive(real_models, tmp_path):
    from facecvt.converters.formats.paddle_model import load_paddle

    folder = real_models / "paddle/mtcnn-old-model-separate/PNet"
    archive = tmp_path / "PNet_v1.tar.gz"
    with tarfile.open(archive, "w:gz") as tarred:
        tarred.add(folder, "PNet")
    expected = load_paddle(locate("paddle", folder))
    with located("paddle", archive) as files:
        model = load_paddle(files)
        assert model.name == "PNet"
        for name, array in expected.params.items():
            assert bytes(model.params[name].numpy()) == bytes(array.numpy())
