"""The zip reader and writer, held against the standard library's."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from facecvt.converters.errors import FormatError
from facecvt.converters.formats.atomic import atomic_file
from facecvt.converters.formats.mapped import MappedFile
from facecvt.converters.formats.zip_archive import DEFLATED, STORED, ZipWriter, contents, read_members


def write(path: Path, members: dict[str, bytes]) -> Path:
    with atomic_file(path) as stream, ZipWriter(stream) as archive:
        for name, data in members.items():
            archive.add_bytes(name, data)
    return path


def read(path: Path) -> dict[str, bytes]:
    file = MappedFile(path)
    return {name: bytes(contents(file, member)) for name, member in read_members(file).items()}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("comment", [b"", b"a comment PK\x05\x06 in which an end record seems to begin"])
def test_what_zipfile_writes_is_read(method: int, comment: bytes, tmp_path: Path) -> None:
    members = {"a/one": b"1" * 1000, "empty": b"", "Größe": bytes(range(256)), "last": b"z"}
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.comment = comment
    assert read(tmp_path / "a.zip") == members
    methods = {member.method for member in read_members(MappedFile(tmp_path / "a.zip")).values()}
    assert methods == {STORED if method == zipfile.ZIP_STORED else DEFLATED}


def test_64_bit_sizes_are_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, archive.open("x", "w", force_zip64=True) as stream:
        stream.write(b"abc")
    assert read(tmp_path / "a.zip") == {"x": b"abc"}
    # a directory entry whose numbers all lie in its 64-bit field, as writers make beyond 4 GB
    data, name = b"hello", b"x"
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 45, 0, 0, 0, 0x21, zlib.crc32(data), 5, 5, 1, 0) + name + data
    wide = struct.pack("<2H3Q", 1, 24, 5, 5, 0)
    sizes = (zlib.crc32(data), 0xFFFFFFFF, 0xFFFFFFFF, 1, len(wide), 0, 0, 0, 0, 0xFFFFFFFF)
    central = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 45, 45, 0, 0, 0, 0x21, *sizes) + name + wide
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(central), len(local))
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, len(local) + len(central), 1)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    (tmp_path / "b.zip").write_bytes(local + central + end64 + locator + end)
    assert zipfile.ZipFile(tmp_path / "b.zip").read("x") == data
    assert read(tmp_path / "b.zip") == {"x": data}


def test_what_is_written_is_read_by_zipfile(tmp_path: Path) -> None:
    members = {f"{'n' * length}": bytes(length) for length in range(1, 150)}
    path = write(tmp_path / "a.zip", members)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == members
    assert read(path) == members
    assert all(member.offset % 64 == 0 for member in read_members(MappedFile(path)).values())


def test_more_members_than_16_bits_count(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {str(index): b"" for index in range(65_536)})
    assert len(read_members(MappedFile(path))) == 65_536
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 65_536


def changed(tmp_path: Path, old: bytes, new: bytes, count: int = -1) -> Path:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one", b"1" * 1000)
        archive.writestr("two", b"2" * 1000)
    whole = (tmp_path / "a.zip").read_bytes()
    assert old in whole
    (tmp_path / "a.zip").write_bytes(whole.replace(old, new, count))
    return tmp_path / "a.zip"


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="two members named 'one'"):
        read(changed(tmp_path, b"two", b"one"))


def test_a_size_that_deflate_cannot_reach_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="impossible size"):
        read(changed(tmp_path, struct.pack("<I", 1000), struct.pack("<I", 0x70000000)))
    with pytest.raises(FormatError, match="another size than the 1001"):
        read(changed(tmp_path, struct.pack("<I", 1000), struct.pack("<I", 1001)))


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"one": b"1" * 64, "two": b"1" * 64})
    whole = bytearray(path.read_bytes())
    first, second = whole.find(b"PK\x01\x02"), whole.rfind(b"PK\x01\x02")
    whole[second + 42 : second + 46] = whole[first + 42 : first + 46]  # the second begins where the first does
    whole[second + 46 : second + 49] = b"one"
    path.write_bytes(whole)
    with pytest.raises(FormatError, match="two members"):
        read(path)
    whole[first + 24 : first + 28] = whole[first + 20 : first + 24] = struct.pack("<I", 190)
    whole[second + 42 : second + 46] = struct.pack("<I", whole.find(b"PK\x03\x04", 10))
    whole[second + 46 : second + 49] = b"two"
    path.write_bytes(whole)
    with pytest.raises(FormatError, match="overlaps"):
        read(path)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"one": b"1"})
    whole = bytearray(path.read_bytes())
    whole[whole.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(whole)
    with pytest.raises(FormatError, match="'one' is encrypted"):
        read(path)


def test_padding_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.zip", {"one": b"1"}).read_bytes()
    for padded in (b"\0" + whole, whole + b"\0", whole + b"\0" * 100):
        (tmp_path / "b.zip").write_bytes(padded)
        with pytest.raises(FormatError, match="padded"):
            read(tmp_path / "b.zip")
