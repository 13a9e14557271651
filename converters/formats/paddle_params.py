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

import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from facecvt.converters.errors import FormatError, WeightsError
from facecvt.converters.formats.atomic import atomic_file
from facecvt.converters.formats.mapped import Array, MappedFile, MappedTensor, as_numpy
from facecvt.converters.formats.paddle_program import PaddleVar
from facecvt.converters.formats.paddle_schema import TENSOR_DESC, dtype_of_number, number_of_dtype
from facecvt.converters.formats.protobuf import read_message
from facecvt.converters.formats.protobuf_writer import encode_varint
from facecvt.converters.formats.safe_pickle import load_pickle

_PIECES = "UnpackBigParamInfor@@"  # key under which Paddle notes what it cut in pieces
_DEEPEST_LOD = 16  # levels of sequence information; Paddle itself never writes more than a few


def read_combined(path: str | Path, names: Sequence[str], variables: Mapping[str, PaddleVar]) -> dict[str, Array]:
    """Read a combined weights file.

    Args:
        path: ``.pdiparams`` or ``__params__``.
        names: the names of the program's parameters; the file has them in sorted order, whatever the order here.
        variables: what the program says about them.

    Returns:
        name -> tensor mapped from the file, in sorted order.

    Raises:
        FormatError: truncated, too long, or a record that is not the variable expected there; names the byte offset.
    """
    file = MappedFile(path)
    arrays: dict[str, Array] = {}
    ordered = sorted(names)
    position = 0
    for index, name in enumerate(ordered):
        if position == file.size:
            raise FormatError(
                path,
                position,
                f"the file ends after {index} of {len(ordered)} records; the next one would be {name!r}: "
                "truncated, or not the weights of this program",
            )
        arrays[name], position = _read_record(file, position, variables[name], f"record {index} of {len(ordered)}")
    if position != file.size:
        raise FormatError(
            path,
            position,
            f"{file.size - position} bytes follow the last of the program's {len(ordered)} records: "
            "padded, or not the weights of this program",
        )
    return arrays


def read_separate(folder: str | Path, names: Sequence[str], variables: Mapping[str, PaddleVar]) -> dict[str, Array]:
    """Read one file per variable.

    Args:
        folder: where they lie, each under its variable's name.
        names: the names of the program's parameters.
        variables: what the program says about them.

    Returns:
        name -> tensor mapped from its file, in sorted order.

    Raises:
        WeightsError: files are missing; all of them are named. Or a variable's name leads out of the folder.
        FormatError: a file that is not one record of that variable.
    """
    folder = Path(folder)
    paths = {name: folder / name for name in sorted(names)}
    for name, path in paths.items():
        if not path.resolve().is_relative_to(folder.resolve()):
            raise WeightsError(
                f"{folder}: the program names a variable {name!r}, whose file would lie outside the folder"
            )
    missing = [name for name, path in paths.items() if not path.is_file()]
    if missing:
        raise WeightsError(
            f"{folder}: {len(missing)} of {len(paths)} parameters have no file of their name: {', '.join(missing)}"
        )
    arrays: dict[str, Array] = {}
    for name, path in paths.items():
        file = MappedFile(path)
        arrays[name], position = _read_record(file, 0, variables[name], "the record")
        if position != file.size:
            raise FormatError(path, position, f"{file.size - position} bytes follow the only record of a file: padded")
    return arrays


def _read_record(file: MappedFile, start: int, variable: PaddleVar, what: str) -> tuple[MappedTensor, int]:
    """One record, held against its variable; returns the tensor and the offset behind it."""
    what = f"{what} ({variable.name!r})"
    position = _read_zero(file, start, f"the version of {what}")
    (levels,) = struct.unpack("<Q", file.window(position, 8, f"the lod level of {what}"))
    if levels > _DEEPEST_LOD:
        raise FormatError(file.path, position, f"{what} claims {levels} lod levels: not a tensor record, or damaged")
    position += 8
    for _ in range(levels):
        (nbytes,) = struct.unpack("<Q", file.window(position, 8, f"a lod size of {what}"))
        file.window(position + 8, nbytes, f"a lod level of {what}")
        position += 8 + nbytes
    position = _read_zero(file, position, f"the tensor version of {what}")
    (desc_size,) = struct.unpack("<i", file.window(position, 4, f"the description size of {what}"))
    desc_start = position + 4
    if desc_size < 0:
        raise FormatError(file.path, position, f"the description of {what} has size {desc_size}: damaged")
    file.window(desc_start, desc_size, f"the description of {what}")
    position = desc_start + desc_size
    description = read_message(file.view, TENSOR_DESC, file.path, desc_start, position)
    dtype, shape = dtype_of_number(description["data_type"]), tuple(description["dims"])
    if dtype is None:
        raise FormatError(
            file.path, desc_start, f"{what} has element type {description['data_type']}, which is unknown"
        )
    if variable.dtype is None:
        raise FormatError(file.path, desc_start, f"{what} is a tensor, but the program says that it is none")
    if (dtype, shape) != (variable.dtype, variable.shape):
        raise FormatError(
            file.path,
            desc_start,
            f"{what} is {dtype.name} {list(shape)}, but the program expects {variable.dtype.name} "
            f"{list(variable.shape)}: a record is missing or too many, or these are not the weights of this program",
        )
    nbytes = math.prod(shape) * dtype.itemsize
    file.window(position, nbytes, f"the data of {what}")
    return MappedTensor(file, position, dtype, shape), position + nbytes


def _read_zero(file: MappedFile, position: int, what: str) -> int:
    """Check a version field, which has been 0 in every Paddle so far; returns the offset behind it."""
    (version,) = struct.unpack("<I", file.window(position, 4, what))
    if version != 0:
        raise FormatError(file.path, position, f"{what} is {version}, expected 0: not a tensor record, or damaged")
    return position + 4


def write_combined(path: str | Path, arrays: Mapping[str, Array]) -> None:
    """Write a combined weights file: records in sorted order of the names, byte for byte as Paddle writes them.

    Args:
        path: target; it appears whole or not at all. A tensor that lies in a file is copied from it, not loaded.
        arrays: name -> array.

    Raises:
        WeightsError: an element type that Paddle does not have.
    """
    with atomic_file(path) as target:
        for name in sorted(arrays):
            _write_record(target, name, arrays[name])


def _write_record(target: BinaryIO, name: str, array: Array) -> None:
    number = number_of_dtype(array.dtype)
    if number is None:
        raise WeightsError(f"parameter {name!r} has element type {array.dtype.name}, which Paddle does not have")
    description = b"\x08" + encode_varint(number) + b"".join(b"\x10" + encode_varint(size) for size in array.shape)
    target.write(struct.pack("<IQIi", 0, 0, 0, len(description)) + description)
    if isinstance(array, MappedTensor):
        array.file.copy_into(target, array.offset, array.nbytes)
    else:
        little_endian = array.dtype.newbyteorder("<") if array.dtype.kind in "iufc" else array.dtype
        target.write(np.ascontiguousarray(array, dtype=little_endian).tobytes())


def read_pdparams(path: str | Path) -> dict[str, Array]:
    """Read a pickled state dict (``paddle.save`` of a state_dict, ``paddle.static.save``).

    A tensor is an array, or a pair (name, array) as Paddle pickles its own tensors. Arrays of more than a gigabyte,
    which Paddle cuts in pieces below pickle protocol 4, are put together again.

    Returns:
        key of the state dict -> array, mapped where its bytes lie in the file as they are, in the order of the file.

    Raises:
        FormatError: not a pickle, not a state dict, or a global outside the allow-list.
    """
    path = Path(path)
    content = load_pickle(path)
    if not isinstance(content, dict):
        raise FormatError(path, None, f"holds a {type(content).__name__}; a state dict was expected")
    pieces = content.get(_PIECES, {})
    notes = (_PIECES, "StructuredToParameterName@@")
    arrays = {_key(path, key): _array(path, key, value) for key, value in content.items() if key not in notes}
    try:
        for key, info in pieces.items():
            flat = [as_numpy(arrays.pop(piece)) for piece in info["slices"]]
            arrays[_key(path, key)] = np.concatenate(flat).reshape(info["OriginShape"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FormatError(path, None, f"the pieces of large arrays do not fit together: {error!r}") from error
    return arrays


def _key(path: Path, key: object) -> str:
    if not isinstance(key, str):
        raise FormatError(path, None, f"the key {key!r:.60} of the state dict is not text")
    return key


def _array(path: Path, key: object, value: object) -> Array:
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        value = value[1]
    if not isinstance(value, (MappedTensor, np.ndarray)):
        raise FormatError(
            path, None, f"{key!r} of the state dict holds a {type(value).__name__}; an array was expected"
        )
    return value
