"""MXNet ``.params`` (NDArray list) of every version and MXNet 2's ``.npz``/``.npy``, without MXNet.

Layout, all little-endian::

    u64 0x112 | u64 reserved
    u64 number of arrays | the arrays (mxnet_arrays.py)
    u64 number of names (0, or one for each array) | per name: u64 length, bytes

The names come after the arrays; none at all makes a plain list. Module checkpoints name them ``arg:<name>`` and
``aux:<name>``; gluon's ``save_parameters`` writes bare names.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from facecvt.converters.errors import ConversionError
from facecvt.converters.formats.atomic import atomic_file
from facecvt.converters.formats.cursor import Cursor
from facecvt.converters.formats.mapped import Array, MappedFile
from facecvt.converters.formats.mxnet_arrays import read_ndarray, write_ndarray
from facecvt.converters.formats.mxnet_sparse import SparseArray
from facecvt.converters.formats.numpy_files import read_npy, read_npz, write_npz

ParamsVersion = Literal["V0", "V1", "V2", "V3", "npz"]

_LIST_MAGIC = 0x112
_DENSE_PER_BYTE = 64  # a sparse array may grow to this many times its file before it is refused
_PREFIXES = ("arg:", "aux:")


@dataclass
class MxnetParams:
    """What a ``.params`` file holds, in file order; sparse arrays in their dense form.

    Attributes:
        args: arrays named ``arg:<name>``, by name.
        aux: arrays named ``aux:<name>``, by name.
        unnamed: the arrays of a plain list; "no array" is an empty float32 vector, so that positions stay right.
        bare: arrays whose name has neither prefix (gluon ``save_parameters``, ``.npz``), by name.
        absent: names (as written) under which the file says "no array".
    """

    args: dict[str, Array] = field(default_factory=dict)
    aux: dict[str, Array] = field(default_factory=dict)
    unnamed: list[Array] = field(default_factory=list)
    bare: dict[str, Array] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)


def read_params(path: str | Path) -> MxnetParams:
    """Read a ``.params``, ``.npz`` or ``.npy`` file; which one is seen from its first bytes.

    Args:
        path: the file; it stays mapped as long as one of the arrays lives.

    Raises:
        FormatError: the bytes are not that, with the offset at which they stop being it.
        ConversionError: a sparse array that does not fit together.
    """
    file = MappedFile(path)
    start = bytes(file.view[:6])
    params = MxnetParams()
    if start == b"\x93NUMPY":
        params.unnamed.append(read_npy(file))
    elif start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        for name, array in read_npz(file).items():
            _file_under(params, name, array)
    else:
        _read_list(file, params)
    return params


def _read_list(file: MappedFile, params: MxnetParams) -> None:
    cursor = Cursor(file)
    if cursor.number("Q", "the header of an NDArray list") != _LIST_MAGIC:
        cursor.fail("neither an NDArray list (it would begin 12 01 00 00 00 00 00 00) nor .npz nor .npy", 0)
    cursor.number("Q", "the header of an NDArray list")
    count = cursor.number("Q", "the number of arrays")
    if count * 4 > cursor.remaining:
        cursor.fail(f"{count} arrays are announced, but only {cursor.remaining} bytes follow: truncated or damaged")
    arrays = [read_ndarray(cursor, f"array {index} of {count}") for index in range(count)]
    at = cursor.offset
    named = cursor.number("Q", "the number of names")
    if named not in (0, count):
        cursor.fail(f"{named} names for {count} arrays; either none or one for each was expected", at)
    names = [_read_name(cursor, index) for index in range(named)]
    cursor.expect_end("the NDArray list")
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        cursor.fail(f"the name {twice[0]!r} occurs more than once", at)
    room = file.size * _DENSE_PER_BYTE
    for index, array in enumerate(arrays):
        what = f"{file.path}: array {names[index] if names else index!r}"
        dense = array.dense(what, room) if isinstance(array, SparseArray) else array
        if not names:
            params.unnamed.append(np.empty(0, np.float32) if dense is None else dense)
        elif dense is None:
            params.absent.append(names[index])
        else:
            _file_under(params, names[index], dense)


def _read_name(cursor: Cursor, index: int) -> str:
    at = cursor.offset
    raw = bytes(cursor.take(cursor.number("Q", f"the length of name {index}"), f"name {index}"))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        cursor.fail(f"name {index} is not UTF-8: {error}", at)


def _file_under(params: MxnetParams, name: str, array: Array) -> None:
    if name.startswith("arg:"):
        params.args[name[4:]] = array
    elif name.startswith("aux:"):
        params.aux[name[4:]] = array
    else:
        params.bare[name] = array


def write_params(
    path: str | Path,
    args: Mapping[str, Array | SparseArray],
    aux: Mapping[str, Array | SparseArray],
    *,
    bare: Mapping[str, Array | SparseArray] | None = None,
    unnamed: Sequence[Array | SparseArray] | None = None,
    version: ParamsVersion = "V2",
) -> None:
    """Write an NDArray list that ``mx.nd.load`` reads (V0 to V3), or an ``.npz``.

    Args:
        path: target; appears whole or not at all.
        args: arrays to name ``arg:<name>``.
        aux: arrays to name ``aux:<name>``.
        bare: arrays to name as they are.
        unnamed: a plain list instead of any names.
        version: layout of the arrays. V2 is what MXNet 0.12 to 1.9 writes; V3 also holds scalars and empty arrays and
            is read back under np-shape semantics only; V0 and V1 are those of MXNet before 0.11 and 0.12.

    Raises:
        ConversionError: names and a plain list at once, a name twice, or an array that the version cannot hold.
    """
    named: dict[str, Array | SparseArray] = {f"arg:{name}": array for name, array in args.items()}
    named |= {f"aux:{name}": array for name, array in aux.items()}
    for name, array in (bare or {}).items():
        if name in named or name.startswith(_PREFIXES):
            raise ConversionError(f"{path}: the bare name {name!r} would be read back as another one")
        named[name] = array
    if named and unnamed is not None:
        raise ConversionError(f"{path}: an MXNet list has a name for every array or none; both kinds were given")
    everything = list(named.items()) if unnamed is None else [(f"#{i}", array) for i, array in enumerate(unnamed)]
    with atomic_file(path) as stream:
        if version == "npz":
            if unnamed is not None:
                everything = [(f"arr_{i}", array) for i, array in enumerate(unnamed)]
            write_npz(stream, {name: _dense_only(name, array) for name, array in everything})
            return
        stream.write(struct.pack("<3Q", _LIST_MAGIC, 0, len(everything)))
        for name, array in everything:
            write_ndarray(stream, array, version, f"{path}: array {name!r}")
        names = list(named) if unnamed is None else []
        stream.write(struct.pack("<Q", len(names)))
        for name in names:
            raw = name.encode()
            stream.write(struct.pack("<Q", len(raw)) + raw)


def _dense_only(name: str, array: Array | SparseArray) -> Array:
    if isinstance(array, SparseArray):
        raise ConversionError(f"array {name!r} is sparse, which .npz cannot hold; write version V2")
    return array
