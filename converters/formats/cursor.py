"""A position in a mapped file that reads little-endian fields, each checked against the end of the file first."""

from __future__ import annotations

import struct
from typing import NoReturn

import numpy as np

from facecvt.converters.errors import FormatError
from facecvt.converters.formats.mapped import MappedFile, MappedTensor

_LARGEST = 1 << 62  # bytes; numpy's own limit is 2**63 - 1, also where a zero dimension makes the array empty


class Cursor:
    """Reads one field after the other.

    Args:
        file: the mapped file.
        offset: where to begin.

    Attributes:
        offset: the next byte.
    """

    def __init__(self, file: MappedFile, offset: int = 0) -> None:
        self.file = file
        self.offset = offset

    @property
    def remaining(self) -> int:
        return self.file.size - self.offset

    def take(self, nbytes: int, what: str) -> memoryview:
        """The next ``nbytes`` bytes, which hold ``what``."""
        window = self.file.window(self.offset, nbytes, what)
        self.offset += nbytes
        return window

    def number(self, code: str, what: str) -> int:
        """One integer; ``code`` is that of :mod:`struct`: I u32, i i32, Q u64, q i64."""
        layout = struct.Struct("<" + code)
        value: int = layout.unpack(self.take(layout.size, what))[0]
        return value

    def numbers(self, code: str, count: int, what: str) -> tuple[int, ...]:
        """``count`` integers."""
        layout = struct.Struct("<" + code)
        window = self.take(layout.size * count, what)
        return tuple(value for (value,) in layout.iter_unpack(window))

    def tensor(self, dtype: np.dtype[np.generic], shape: tuple[int, ...], what: str) -> MappedTensor:
        """A dense C-ordered tensor, as a window on the file."""
        at = self.offset
        check_size(self.file, at, dtype, shape, what)
        tensor = MappedTensor(self.file, at, dtype, shape)
        self.take(tensor.nbytes, f"{what}, {dtype.name} {list(shape)},")
        return tensor

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        raise FormatError(self.file.path, self.offset if at is None else at, message)

    def expect_end(self, what: str) -> None:
        """The file must end here."""
        if self.remaining:
            self.fail(f"{what} ends here, but {self.remaining} more bytes follow: padded or damaged")


def check_size(file: MappedFile, at: int, dtype: np.dtype[np.generic], shape: tuple[int, ...], what: str) -> None:
    """Refuse shapes that no array can have: negative, too many dimensions, or sizes beyond the address space."""
    if len(shape) > 32:
        raise FormatError(file.path, at, f"{what} has {len(shape)} dimensions; 32 are the most there can be")
    nbytes = max(dtype.itemsize, 1)
    for dim in shape:
        if dim < 0:
            raise FormatError(file.path, at, f"{what} has the negative dimension {dim} in shape {list(shape)}")
        nbytes *= max(dim, 1)
    if nbytes > _LARGEST:
        raise FormatError(file.path, at, f"{what} has the impossible shape {list(shape)}")
