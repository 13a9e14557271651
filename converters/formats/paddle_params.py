"""Paddle weights: combined ``.pdiparams``, one file per variable, ``.pdparams``.

A combined file is a run of records without header and without names::

    u32 0 | u64 lod_level, per level u64 nbytes + that many bytes | u32 0
    i32 desc_size | TensorDesc { dtype = 1, dims = 2* } | raw data, C order

All integers are little-endian. The order is that of the *sorted* names of the program's persistable variables. Any
other order can look plausible (BatchNorm vectors are all of one shape), so each record's shape and dtype and the
exact end of the file are checked against the program. A file of a single variable is one such record.

Source: ``SerializeToStream`` of Paddle's LoDTensor, and files written by Paddle 1.x, 2.x and 3.3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from facecvt.converters.formats.mapped import Array
from facecvt.converters.formats.paddle_program import PaddleVar


def read_combined(path: str | Path, names: Sequence[str], variables: Mapping[str, PaddleVar]) -> dict[str, Array]:
    """Read a combined weights file.

    Args:
        path: ``.pdiparams`` or ``__params__``.
        names: the sorted names of the program's parameters.
        variables: what the program says about them.

    Returns:
        name -> tensor mapped from the file.

    Raises:
        FormatError: truncated, too long, or a record that is not the variable expected there; names the byte offset.
    """
    raise NotImplementedError


def read_separate(folder: str | Path, names: Sequence[str], variables: Mapping[str, PaddleVar]) -> dict[str, Array]:
    """Read one file per variable.

    Raises:
        WeightsError: files are missing; all of them are named.
        FormatError: a file that is not one record of that variable.
    """
    raise NotImplementedError


def read_pdparams(path: str | Path) -> dict[str, Array]:
    """Read a pickled state dict (``paddle.save``, ``paddle.static.save``).

    Returns:
        key of the state dict -> array in memory.
    """
    raise NotImplementedError


def write_combined(path: str | Path, arrays: Mapping[str, Array]) -> None:
    """Write a combined weights file: records in sorted order of the names."""
    raise NotImplementedError
