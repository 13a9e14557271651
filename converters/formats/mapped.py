"""Files by memory map, and tensors as typed windows on them.

A tensor that was read from a file is a (file, offset, dtype, shape) record. Its array is a read-only view on the
map, made when asked for; a writer may instead copy the bytes from file to file inside the kernel
(:meth:`MappedFile.copy_into`), so that no second copy of the weights is ever held in memory.
"""

from __future__ import annotations

import math
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from facecvt.converters.errors import FormatError


class MappedFile:
    """A file mapped read-only into memory for as long as the object, or a view on it, lives.

    Args:
        path: the file; an empty file is legal and gives an empty view.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._file = open(self.path, "rb")  # noqa: SIM115 - stays open as long as the map, for copy_into
        except OSError as error:
            raise FormatError(self.path, None, f"cannot be opened: {error.strerror}") from error
        self.size = os.fstat(self._file.fileno()).st_size
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) if self.size else b""

    @property
    def view(self) -> memoryview:
        """The whole file as a read-only memoryview of bytes."""
        return memoryview(self._map)

    def window(self, offset: int, nbytes: int, what: str) -> memoryview:
        """The bytes [offset, offset + nbytes).

        Args:
            offset: first byte.
            nbytes: length.
            what: what they hold, for the error.

        Raises:
            FormatError: the file ends before that.
        """
        if offset < 0 or nbytes < 0 or offset + nbytes > self.size:
            raise FormatError(
                self.path, offset, f"{what} needs {nbytes} bytes, but the file ends at byte {self.size}: truncated"
            )
        return self.view[offset : offset + nbytes]

    def forget(self, offset: int, nbytes: int) -> None:
        """Give the memory of some bytes back to the system, which has them from the file when they are read again."""
        if nbytes and isinstance(self._map, mmap.mmap):
            _give_back(self._map, offset, nbytes)

    def copy_into(self, target: BinaryIO, offset: int, nbytes: int) -> None:
        """Append bytes of this file to ``target`` without mapping them (kernel copy where the system has one)."""
        target.flush()
        position, end = offset, offset + nbytes
        while position < end:
            try:
                copied = os.copy_file_range(self._file.fileno(), target.fileno(), end - position, position)
            except (AttributeError, OSError):
                copied = 0
            if copied == 0:
                break
            position += copied
        if position < end:  # other systems, and file systems without copy_file_range
            step = 1 << 22
            target.seek(0, os.SEEK_END)
            while position < end:
                block = os.pread(self._file.fileno(), min(step, end - position), position)
                if not block:
                    raise FormatError(self.path, position, "the file became shorter while it was copied")
                target.write(block)
                position += len(block)
        target.seek(0, os.SEEK_END)


@dataclass(frozen=True)
class MappedTensor:
    """A dense, C-ordered, little-endian tensor that lies in a file.

    Attributes:
        file: the mapped file.
        offset: first byte of the data.
        dtype: numpy dtype of one element.
        shape: dimensions; () is a scalar.
    """

    file: MappedFile
    offset: int
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def numpy(self) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
        """A read-only view on the file, no copy."""
        window = self.file.window(self.offset, self.nbytes, "a tensor")
        return np.frombuffer(window, dtype=self.dtype).reshape(self.shape)

    def forget(self) -> None:
        """:meth:`MappedFile.forget` of the tensor's bytes; arrays of it stay good."""
        self.file.forget(self.offset, self.nbytes)


def forget_view(array: np.ndarray[Any, np.dtype[Any]]) -> None:
    """:meth:`MappedFile.forget` of a dense array that is a view on a mapped file; of any other, nothing."""
    behind: Any = array
    while isinstance(behind, np.ndarray):
        behind = behind.base
    whole = behind.obj if isinstance(behind, memoryview) else None
    dense = array.flags.c_contiguous or array.flags.f_contiguous
    if array.nbytes and dense and isinstance(whole, mmap.mmap):
        offset = array.ctypes.data - np.frombuffer(whole, np.uint8).ctypes.data
        _give_back(whole, offset, array.nbytes)


def _give_back(mapped: mmap.mmap, offset: int, nbytes: int) -> None:
    if hasattr(mmap, "MADV_DONTNEED"):
        begin = offset - offset % mmap.PAGESIZE
        mapped.madvise(mmap.MADV_DONTNEED, begin, offset + nbytes - begin)


Array = (
    MappedTensor | np.ndarray[tuple[int, ...], np.dtype[np.generic]]
)  # what a record holds: a window on a file, or an array made in memory


def as_numpy(array: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """The array itself, or the view of a mapped tensor."""
    return array.numpy() if isinstance(array, MappedTensor) else array
