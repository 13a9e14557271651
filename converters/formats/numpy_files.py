"""numpy's ``.npy`` and ``.npz``, which MXNet 2 writes; read as windows on the file where they are stored so.

``.npy``: ``\\x93NUMPY``, major, minor, u16 or u32 header length, a Python dictionary literal with exactly the keys
``descr``, ``fortran_order`` and ``shape``, data. ``.npz``: a zip archive of such files, named ``<key>.npy``.
Only numbers and truth values are read: an object array is a pickle. Source: ``numpy.lib.format``.
"""

from __future__ import annotations

import ast
import zlib
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

from facecvt.converters.errors import ConversionError, FormatError
from facecvt.converters.formats.array_bytes import element_bytes, write_elements
from facecvt.converters.formats.cursor import check_size
from facecvt.converters.formats.mapped import Array, MappedFile, MappedTensor
from facecvt.converters.formats.zip_archive import STORED, ZipWriter, contents, read_members

_MOST_HEADER = 10_000  # numpy's own bound on what it parses as a literal


def read_npy(file: MappedFile) -> Array:
    """Read a ``.npy`` file.

    Raises:
        FormatError: not one, or of a kind that is not read.
    """
    return _array(file, file.view, 0, "the array")


def read_npz(file: MappedFile) -> dict[str, Array]:
    """Read an ``.npz`` archive; the names lose their ``.npy``.

    Raises:
        FormatError: not one, or an array of a kind that is not read.
    """
    arrays: dict[str, Array] = {}
    for member in read_members(file).values():
        data = contents(file, member)
        at = member.offset if member.method == STORED else None
        arrays[member.name.removesuffix(".npy")] = _array(file, data, at, f"array {member.name!r}")
    return arrays


def write_npz(stream: BinaryIO, arrays: Mapping[str, Array]) -> None:
    """Write a stored ``.npz`` that ``numpy.load`` reads without pickle.

    Raises:
        ConversionError: a dtype that ``.npy`` does not have.
    """
    with ZipWriter(stream) as archive:
        for name, array in arrays.items():
            head = _header(array, name)
            crc = zlib.crc32(element_bytes(array), zlib.crc32(head))
            archive.add(f"{name}.npy", len(head) + array.nbytes, crc)
            stream.write(head)
            write_elements(stream, array)


def _header(array: Array, name: str) -> bytes:
    if array.dtype.kind not in "biuf":
        raise ConversionError(f"array {name!r} has dtype {array.dtype.name}, which .npy does not have")
    literal = {"descr": array.dtype.newbyteorder("<").str, "fortran_order": False, "shape": tuple(array.shape)}
    text = f"{literal}".encode("latin1")
    text += b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def _array(file: MappedFile, data: memoryview, at: int | None, what: str) -> Array:
    """Parse one ``.npy``; ``at`` is where ``data`` begins in the file, None if it was inflated into memory."""
    where = at or 0
    if bytes(data[:6]) != b"\x93NUMPY" or len(data) < 12:
        raise FormatError(file.path, where, f"{what} does not begin as a .npy file does")
    if data[6] not in (1, 2, 3):
        raise FormatError(file.path, where + 6, f"{what} is of .npy version {data[6]}; 1 to 3 are known")
    width = 2 if data[6] == 1 else 4
    length = int.from_bytes(data[8 : 8 + width], "little")
    begin = 8 + width + length
    if length > _MOST_HEADER or begin > len(data):
        raise FormatError(file.path, where + 8, f"{what} claims a header of {length} bytes: truncated or damaged")
    descr, fortran_order, shape = _parse_header(file, bytes(data[8 + width : begin]), where, what)
    check_size(file, where, descr, shape, what)
    needed = int(np.prod(shape, dtype=object)) * descr.itemsize
    if begin + needed != len(data):
        raise FormatError(
            file.path,
            where + begin,
            f"{what}, {descr.name} {list(shape)}, needs {needed} bytes, but {len(data) - begin} are there: "
            "truncated or padded",
        )
    little = descr.newbyteorder("<")
    if at is not None and not fortran_order and descr == little:
        return MappedTensor(file, at + begin, little, shape)
    array = np.frombuffer(data[begin:], descr).reshape(shape, order="F" if fortran_order else "C")
    return np.ascontiguousarray(array.astype(little, copy=False)).reshape(shape)


def _parse_header(
    file: MappedFile, text: bytes, where: int, what: str
) -> tuple[np.dtype[np.generic], bool, tuple[int, ...]]:
    try:
        header = ast.literal_eval(text.decode("utf-8").strip())
        if set(header) != {"descr", "fortran_order", "shape"} or not isinstance(header["descr"], str):
            raise ValueError("other keys than descr, fortran_order and shape, or a structured type")
        shape, fortran_order = header["shape"], header["fortran_order"]
        if not isinstance(fortran_order, bool) or not isinstance(shape, tuple):
            raise ValueError("fortran_order or shape of another type")
        if not all(type(dim) is int for dim in shape):
            raise ValueError("a shape that is not made of integers")
        dtype = np.dtype(header["descr"])
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise FormatError(file.path, where, f"{what} has a header that cannot be read: {error}") from error
    if dtype.kind not in "biuf":
        raise FormatError(file.path, where, f"{what} is of type {header['descr']!r}; only numbers are read")
    return dtype, fortran_order, shape
