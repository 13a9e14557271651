"""Zip archives as PyTorch and numpy write them: members found in the mapped file, and a writer that aligns them.

Layout, from the end of the file: the end record (``PK 05 06``, preceded by its 64-bit form and a locator where numbers
do not fit), the central directory (``PK 01 02`` for each member), the members (``PK 03 04``, name, extra field, data).
Everything a reader needs is in the central directory, except where a member's data begins.

A member that is stored uncompressed stays a window on the file. Archives that are encrypted, that overlap, or that do
not end exactly with their end record are refused. Checksums are verified; PyTorch writes 0 for "none" on request.

Source: PKWARE's APPNOTE 6.3, sections 4.3 to 4.5.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO

from facecvt.converters.errors import FormatError
from facecvt.converters.formats.mapped import MappedFile

STORED, DEFLATED = 0, 8
ALIGNMENT = 64

_END = struct.Struct("<4s4H2IH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF
_DOS_1980 = 0x21  # 1 January 1980, the earliest date there is: equal inputs give equal archives
_UTF8 = 0x800
_MOST_DEFLATED = 1032  # deflate cannot shrink by more than this factor


@dataclass(frozen=True)
class ZipMember:
    """One member.

    Attributes:
        name: its name in the archive.
        method: STORED or DEFLATED.
        crc: CRC-32 of the contents; 0 may mean that the writer made none.
        offset: first byte of its data in the file.
        stored_size: bytes in the file.
        size: bytes of the contents.
    """

    name: str
    method: int
    crc: int
    offset: int
    stored_size: int
    size: int


def read_members(file: MappedFile) -> dict[str, ZipMember]:
    """The members of an archive, in the order of its directory.

    Raises:
        FormatError: truncated, padded, encrypted, or otherwise not a sound archive.
    """
    start, size, count = _directory(file)
    if count * _CENTRAL.size > size:
        raise FormatError(file.path, start, f"a zip directory of {size} bytes cannot hold {count} members")
    members: dict[str, ZipMember] = {}
    position = start
    for _ in range(count):
        member, position = _central_entry(file, position, start + size, start)
        if member.name in members:
            raise FormatError(file.path, position, f"the archive has two members named {member.name!r}")
        members[member.name] = member
    if position != start + size:
        raise FormatError(file.path, position, "the zip directory holds more than its members")
    _refuse_overlap(file, members.values())
    return members


def contents(file: MappedFile, member: ZipMember) -> memoryview:
    """The contents of a member, checked against its checksum.

    Raises:
        FormatError: damaged.
    """
    data = file.window(member.offset, member.stored_size, f"member {member.name!r}")
    if member.method == DEFLATED:
        data = _inflate(file, member, data)
    if member.crc and zlib.crc32(data) != member.crc:
        raise FormatError(file.path, member.offset, f"member {member.name!r} does not match its checksum: damaged")
    return data


def _inflate(file: MappedFile, member: ZipMember, data: memoryview) -> memoryview:
    if member.size > member.stored_size * _MOST_DEFLATED + 64:
        raise FormatError(file.path, member.offset, f"member {member.name!r} claims an impossible size {member.size}")
    machine = zlib.decompressobj(-15)
    try:
        inflated = machine.decompress(data, member.size + 1)
    except zlib.error as error:
        raise FormatError(file.path, member.offset, f"member {member.name!r} cannot be inflated: {error}") from error
    if len(inflated) != member.size or not machine.eof or machine.unused_data:
        raise FormatError(
            file.path,
            member.offset,
            f"member {member.name!r} inflates to another size than the {member.size} it claims",
        )
    return memoryview(inflated)


def _directory(file: MappedFile) -> tuple[int, int, int]:
    """Offset, size and member count of the central directory."""
    end = _end_offset(file)
    _, disk, first_disk, here, count, size, start, _ = _END.unpack(file.window(end, _END.size, "the zip end record"))
    bound = end
    locator_at = end - _LOCATOR.size
    if locator_at >= 0 and bytes(file.view[locator_at : locator_at + 4]) == b"PK\x06\x07":
        _, _, end64, _ = _LOCATOR.unpack(file.window(locator_at, _LOCATOR.size, "the zip64 locator"))
        found = end64 + _END64.size <= locator_at
        record = _END64.unpack(file.window(end64, _END64.size, "the zip64 end record")) if found else (b"", 0)
        if record[0] != b"PK\x06\x06" or end64 + 12 + record[1] != locator_at:
            raise FormatError(file.path, locator_at, f"the zip64 end record is not at byte {end64}, as is said here")
        disk, first_disk, here, count, size, start = record[4:]
        bound = end64
    if disk or first_disk or here != count:
        raise FormatError(file.path, end, "an archive in several parts; join the parts first")
    if start + size != bound:
        raise FormatError(
            file.path,
            end,
            f"the zip directory should lie at bytes {start} to {start + size}, but its end record follows byte "
            f"{bound}: truncated, padded or damaged",
        )
    return start, size, count


def _end_offset(file: MappedFile) -> int:
    plain = file.size - _END.size
    record = bytes(file.view[max(plain, 0) :])
    if record[:4] == b"PK\x05\x06" and record[20:] == b"\0\0":
        return plain
    tail_at = max(0, plain - _MAX16)
    tail = bytes(file.view[tail_at:])
    found = tail.rfind(b"PK\x05\x06")
    while found >= 0:
        at = tail_at + found
        if at + _END.size <= file.size and at + _END.size + int.from_bytes(tail[found + 20 : found + 22], "little") == (
            file.size
        ):
            return at
        found = tail.rfind(b"PK\x05\x06", 0, found)
    raise FormatError(file.path, file.size, "the file does not end as a zip archive does: truncated or padded")


def _central_entry(file: MappedFile, position: int, end: int, data_end: int) -> tuple[ZipMember, int]:
    if position + _CENTRAL.size > end:
        raise FormatError(file.path, position, "the zip directory ends within a member")
    fields = _CENTRAL.unpack(file.window(position, _CENTRAL.size, "a zip directory entry"))
    if fields[0] != b"PK\x01\x02":
        raise FormatError(file.path, position, "no zip directory entry where one was expected")
    flags, method, crc, stored_size, size = fields[3], fields[4], fields[7], fields[8], fields[9]
    name_size, extra_size, comment_size, local = fields[10], fields[11], fields[12], fields[16]
    after = position + _CENTRAL.size + name_size + extra_size + comment_size
    if after > end:
        raise FormatError(file.path, position, "the zip directory ends within a member")
    raw_name = bytes(file.window(position + _CENTRAL.size, name_size, "a member's name"))
    try:
        name = raw_name.decode("utf-8" if flags & _UTF8 else "cp437")
    except UnicodeDecodeError as error:
        raise FormatError(file.path, position, f"a member's name is not UTF-8: {raw_name!r}") from error
    extra = file.window(position + _CENTRAL.size + name_size, extra_size, "a member's extra field")
    size, stored_size, local = _wide_numbers(file, position, extra, size, stored_size, local)
    if flags & 0x2041:
        raise FormatError(file.path, position, f"member {name!r} is encrypted")
    if method not in (STORED, DEFLATED) or (method == STORED and size != stored_size):
        raise FormatError(
            file.path, position, f"member {name!r} is packed with method {method}; stored and deflated are known"
        )
    if local + _LOCAL.size + name_size > data_end:
        raise FormatError(file.path, position, f"member {name!r} should begin at byte {local}, past the directory")
    offset = _data_offset(file, local, raw_name)
    if offset + stored_size > data_end:
        raise FormatError(
            file.path, position, f"member {name!r} should end at byte {offset + stored_size}, past the directory"
        )
    return ZipMember(name, method, crc, offset, stored_size, size), after


def _wide_numbers(
    file: MappedFile, position: int, extra: memoryview, size: int, stored_size: int, local: int
) -> tuple[int, int, int]:
    """Replace numbers that did not fit 32 bits by those of the zip64 extra field."""
    numbers = [size, stored_size, local]
    wanted = [index for index, number in enumerate(numbers) if number == _MAX32]
    at = 0
    while wanted and at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1 and length >= 8 * len(wanted) and at + 4 + length <= len(extra):
            for place, index in enumerate(wanted):
                numbers[index] = struct.unpack_from("<Q", extra, at + 4 + 8 * place)[0]
            wanted = []
        at += 4 + length
    if wanted:
        raise FormatError(file.path, position, "a member's size needs a zip64 field that is not there")
    return numbers[0], numbers[1], numbers[2]


def _data_offset(file: MappedFile, local: int, raw_name: bytes) -> int:
    fields = _LOCAL.unpack(file.window(local, _LOCAL.size, "a zip member's header"))
    name_size, extra_size = fields[9], fields[10]
    name = file.window(local + _LOCAL.size, len(raw_name), "a member's name")
    if fields[0] != b"PK\x03\x04" or name_size != len(raw_name) or name != raw_name:
        raise FormatError(file.path, local, f"no header of the zip member {raw_name!r} where the directory says")
    return local + _LOCAL.size + int(name_size) + int(extra_size)


def _refuse_overlap(file: MappedFile, members: Iterable[ZipMember]) -> None:
    """Members that share bytes could inflate to any size."""
    end = 0
    for member in sorted(members, key=lambda each: (each.offset, each.stored_size)):
        if member.offset < end:
            raise FormatError(file.path, member.offset, f"member {member.name!r} overlaps another one: damaged")
        end = member.offset + member.stored_size


class ZipWriter:
    """Writes stored members one after the other, each member's data at a multiple of 64 bytes.

    The extra field that pads a header is the one PyTorch uses ("FB", filled with "Z"). Two archives of the same members
    are the same bytes.

    Args:
        stream: open for writing, at its start.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._position = 0
        self._entries: list[tuple[bytes, int, int, int]] = []

    def add(self, name: str, nbytes: int, crc: int) -> None:
        """Begin a member; its ``nbytes`` bytes have to be written to the stream next.

        Args:
            name: its name in the archive.
            nbytes: size of the contents.
            crc: CRC-32 of the contents.
        """
        raw_name = name.encode()
        wide = struct.pack("<2H2Q", 1, 16, nbytes, nbytes) if nbytes >= _MAX32 else b""
        start = self._position + _LOCAL.size + len(raw_name) + len(wide) + 4
        padding = -start % ALIGNMENT
        extra = wide + struct.pack("<2s H", b"FB", padding) + b"Z" * padding
        short = min(nbytes, _MAX32)
        version = 45 if wide else 20
        header = _LOCAL.pack(
            b"PK\x03\x04", version, _UTF8, STORED, 0, _DOS_1980, crc, short, short, len(raw_name), len(extra)
        )
        self._stream.write(header + raw_name + extra)
        self._entries.append((raw_name, self._position, nbytes, crc))
        self._position = start + padding + nbytes

    def add_bytes(self, name: str, data: bytes) -> None:
        """Write a whole member."""
        self.add(name, len(data), zlib.crc32(data))
        self._stream.write(data)

    def close(self) -> None:
        """Write the directory and the end records."""
        directory = b"".join(self._directory_entry(*entry) for entry in self._entries)
        start, count = self._position, len(self._entries)
        self._stream.write(directory)
        end64 = start + len(directory)
        if count > 0xFFFE or end64 >= _MAX32:
            self._stream.write(
                _END64.pack(b"PK\x06\x06", _END64.size - 12, 45, 45, 0, 0, count, count, len(directory), start)
                + _LOCATOR.pack(b"PK\x06\x07", 0, end64, 1)
            )
        short = min(count, _MAX16)
        self._stream.write(
            _END.pack(b"PK\x05\x06", 0, 0, short, short, min(len(directory), _MAX32), min(start, _MAX32), 0)
        )

    @staticmethod
    def _directory_entry(raw_name: bytes, local: int, nbytes: int, crc: int) -> bytes:
        wide = [number for number in (nbytes, nbytes, local) if number >= _MAX32]
        extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
        short = min(nbytes, _MAX32)
        version = 45 if wide else 20
        fields = (version, version, _UTF8, STORED, 0, _DOS_1980, crc, short, short, len(raw_name), len(extra))
        return _CENTRAL.pack(b"PK\x01\x02", *fields, 0, 0, 0, 0, min(local, _MAX32)) + raw_name + extra

    def __enter__(self) -> ZipWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
