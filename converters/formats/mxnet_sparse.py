"""MXNet's two sparse storages, as they lie in a file, and their dense form.

row_sparse: ``data[k]`` is row ``indices[k]``; all other rows are 0.
csr: row r holds ``data[indptr[r]:indptr[r + 1]]`` in the columns ``indices[indptr[r]:indptr[r + 1]]``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facecvt.converters.errors import ConversionError
from facecvt.converters.formats.mapped import Array, as_numpy

MOST_DENSE_BYTES = 1 << 28  # a file of a few bytes may not ask for more memory than this

Places = tuple[NDArray[np.int64], ...]


@dataclass(frozen=True)
class SparseKind:
    """Name of a storage and of its index arrays, in file order."""

    name: Literal["row_sparse", "csr"]
    index_names: tuple[str, ...]


SPARSE_KINDS: dict[int, SparseKind] = {
    1: SparseKind("row_sparse", ("the row numbers",)),
    2: SparseKind("csr", ("the row starts", "the column numbers")),
}


@dataclass(frozen=True)
class SparseArray:
    """A sparse array.

    Attributes:
        kind: "row_sparse" or "csr".
        shape: of the dense form.
        data: the stored rows, or the stored elements.
        indices: (row numbers,) or (row starts, column numbers), int64.
    """

    kind: Literal["row_sparse", "csr"]
    shape: tuple[int, ...]
    data: Array
    indices: tuple[Array, ...]

    def dense(self, what: str, room: int = 0) -> NDArray[np.generic]:
        """The dense form, in memory.

        Args:
            what: what the array is called in errors.
            room: bytes that the caller grants beyond :data:`MOST_DENSE_BYTES`, for example some multiple of a file.

        Raises:
            ConversionError: the parts do not fit together, or the dense form would be out of all proportion.
        """
        data = as_numpy(self.data)
        parts = [as_numpy(part) for part in self.indices]
        if any(part.ndim != 1 or part.dtype.kind not in "iu" for part in parts):
            raise ConversionError(f"{what}: the index arrays of a {self.kind} array have to be vectors of integers")
        if any(dim < 0 for dim in self.shape):
            raise ConversionError(f"{what}: negative dimension in shape {list(self.shape)}")
        # all is checked before the dense form is made: a damaged array must not cost memory
        if self.kind == "row_sparse":
            where = self._checked_rows(data, parts[0], what)
        else:
            where = self._checked_cells(data, parts[0], parts[1], what)
        needed = math.prod(self.shape) * data.dtype.itemsize
        if needed > max(MOST_DENSE_BYTES, room):
            raise ConversionError(
                f"{what}: a {self.kind} array of shape {list(self.shape)} with {data.size} stored elements would take "
                f"{needed} bytes as a dense one; facecvt makes at most {max(MOST_DENSE_BYTES, room)} of this file"
            )
        dense = np.zeros(self.shape, data.dtype)
        if data.size:  # else an array of zeros, whose storage shape may be unset
            dense[where] = data
        return dense

    def _checked_rows(self, data: NDArray[np.generic], rows: NDArray[np.generic], what: str) -> Places:
        if (data.size or rows.size) and data.shape != (rows.size, *self.shape[1:]):
            raise ConversionError(f"{what}: {rows.size} row numbers, but stored rows of shape {list(data.shape)}")
        _check_range(rows, self.shape[0], f"{what}: row number")
        return (rows.astype(np.int64),)

    def _checked_cells(
        self, data: NDArray[np.generic], starts: NDArray[np.generic], columns: NDArray[np.generic], what: str
    ) -> Places:
        if len(self.shape) != 2 or data.ndim != 1:
            raise ConversionError(f"{what}: a csr array has two dimensions, not {list(self.shape)}")
        if not data.size and not columns.size:
            return ()
        if starts.size != self.shape[0] + 1 or columns.size != data.size:
            raise ConversionError(
                f"{what}: {starts.size} row starts, {columns.size} column numbers and {data.size} elements do not "
                f"make a csr array of shape {list(self.shape)}"
            )
        ends = starts.astype(np.int64)
        if ends[0] != 0 or ends[-1] != data.size or np.any(np.diff(ends) < 0):
            raise ConversionError(f"{what}: the row starts do not rise from 0 to {data.size}")
        _check_range(columns, self.shape[1], f"{what}: column number")
        return np.repeat(np.arange(self.shape[0]), np.diff(ends)), columns.astype(np.int64)


def _check_range(numbers: NDArray[np.generic], limit: int, what: str) -> None:
    wrong = [int(number) for number in numbers.tolist() if not 0 <= number < limit]
    if wrong:
        raise ConversionError(f"{what} {wrong[0]} is outside 0 to {limit - 1}")
