"""One NDArray of an MXNet ``.params`` file, in each of its four layouts.

=================  ===================  =======================================================================
first u32          version              what follows (all little-endian)
=================  ===================  =======================================================================
``0xF993FAC9``     V2, since 0.12       i32 storage type; [storage shape if sparse]; shape; **nothing more if there
                                        are no dimensions**; i32 device, i32 number; i32 dtype; [per auxiliary
                                        array: i32 dtype, shape]; data; [auxiliary data]
``0xF993FACA``     V3, np-shape, 1.5    as V2, dense; no dimensions is a scalar, ndim -1 is "no array"
``0xF993FAC8``     V1, 0.11             shape; nothing more if no dimensions; device; dtype; data
anything else      V0, before 0.11      the number itself is ndim, dimensions are u32; as V1 from there
=================  ===================  =======================================================================

A shape is i32 ndim and ndim x i64. The device is where the array lay when it was saved; it is of no use to a reader.
Source: files written by MXNet 1.9.1 and before, and ``mx.nd.load``, which the tests hold this module against.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, Literal

import numpy as np

from facecvt.converters.errors import ConversionError
from facecvt.converters.formats.array_bytes import write_elements
from facecvt.converters.formats.cursor import Cursor, check_size
from facecvt.converters.formats.mapped import Array, MappedTensor
from facecvt.converters.formats.mxnet_sparse import SPARSE_KINDS, SparseArray

NdarrayVersion = Literal["V0", "V1", "V2", "V3"]
NDARRAY_VERSIONS: tuple[NdarrayVersion, ...] = ("V0", "V1", "V2", "V3")

_MAGICS: dict[int, NdarrayVersion] = {0xF993FAC8: "V1", 0xF993FAC9: "V2", 0xF993FACA: "V3"}
_MAGIC_OF = {version: magic for magic, version in _MAGICS.items()}
_DTYPES = (
    "float32",
    "float64",
    "float16",
    "uint8",
    "int32",
    "int8",
    "int64",
    "bool",
    "int16",
    "uint16",
    "uint32",
    "uint64",
    "bfloat16",
)


def dtype_of_code(cursor: Cursor, what: str) -> np.dtype[np.generic]:
    """Read a dtype code."""
    code = cursor.number("i", f"the dtype of {what}")
    if not 0 <= code < len(_DTYPES):
        cursor.fail(f"{what} has the dtype code {code}; known are 0 to {len(_DTYPES) - 1}", cursor.offset - 4)
    return _numpy_dtype(_DTYPES[code])


def _numpy_dtype(name: str) -> np.dtype[np.generic]:
    if name == "bfloat16":
        import ml_dtypes  # numpy has no bfloat16 of its own; only such files need it

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def read_ndarray(cursor: Cursor, what: str) -> MappedTensor | SparseArray | None:
    """Read one array.

    Args:
        cursor: at its first byte; left behind its last.
        what: what the array is called in errors.

    Returns:
        a window on the file, a sparse array of such windows, or None where the file says "no array".

    Raises:
        FormatError: the bytes are not an array.
    """
    first = cursor.number("I", f"the version of {what}")
    version = _MAGICS.get(first, "V0")
    at = cursor.offset - 4
    kind = 0
    storage_shape: tuple[int, ...] = ()
    if version in ("V2", "V3"):
        kind = cursor.number("i", f"the storage type of {what}")
        if kind != 0 and (version == "V3" or kind not in SPARSE_KINDS):
            cursor.fail(f"{what} has the storage type {kind}; known are 0 (dense), 1 (row_sparse), 2 (csr)", at + 4)
        if kind:
            storage_shape = _read_shape(cursor, f"the storage shape of {what}") or ()
    shape: tuple[int, ...] | None
    if version == "V0":
        if first > 32:
            cursor.fail(
                f"{what} begins with {first:#x}, which is no version of an array and no count of dimensions", at
            )
        shape = cursor.numbers("I", first, f"the shape of {what}")
    else:
        shape = _read_shape(cursor, f"the shape of {what}", unknown_allowed=version == "V3")
    if shape is None or (not shape and version != "V3"):
        return None
    cursor.numbers("i", 2, f"the device of {what}")
    dtype = dtype_of_code(cursor, what)
    if not kind:
        return cursor.tensor(dtype, shape, what)
    check_size(cursor.file, at, dtype, shape, what)
    layouts = []
    for part in SPARSE_KINDS[kind].index_names:
        part_dtype = dtype_of_code(cursor, f"{part} of {what}")
        layouts.append((part_dtype, _read_shape(cursor, f"the shape of {part} of {what}") or (), f"{part} of {what}"))
    data = cursor.tensor(dtype, storage_shape or (0,), f"the data of {what}")
    indices = [cursor.tensor(*layout) for layout in layouts]
    return SparseArray(SPARSE_KINDS[kind].name, shape, data, tuple(indices))


def _read_shape(cursor: Cursor, what: str, unknown_allowed: bool = False) -> tuple[int, ...] | None:
    ndim = cursor.number("i", what)
    if ndim == -1 and unknown_allowed:
        return None
    if not 0 <= ndim <= 32:
        cursor.fail(f"{what} has {ndim} dimensions; 0 to 32 were expected", cursor.offset - 4)
    return cursor.numbers("q", ndim, what)


def write_ndarray(stream: BinaryIO, array: Array | SparseArray, version: NdarrayVersion, what: str) -> None:
    """Write one array.

    Args:
        stream: open for writing.
        array: dense or sparse.
        version: the layout; scalars and empty arrays exist only in V3, sparse arrays only in V2.
        what: what the array is called in errors.

    Raises:
        ConversionError: the layout cannot hold it.
    """
    if isinstance(array, SparseArray):
        _write_sparse(stream, array, version, what)
        return
    shape = tuple(array.shape)
    if version != "V3" and (not shape or 0 in shape):
        raise ConversionError(f"{what} has shape {list(shape)}, which {version} cannot hold; write version V3")
    head = b"" if version == "V0" else struct.pack("<I", _MAGIC_OF[version])
    if version in ("V2", "V3"):
        head += struct.pack("<i", 0)
    if version == "V0":
        if max(shape) >= 1 << 32:
            raise ConversionError(f"{what} has shape {list(shape)}, which V0 with its u32 dimensions cannot hold")
        head += struct.pack(f"<I{len(shape)}I", len(shape), *shape)
    else:
        head += _shape_bytes(shape)
    stream.write(head + struct.pack("<iii", 1, 0, _dtype_code(array.dtype, what)))
    write_elements(stream, array)


def _write_sparse(stream: BinaryIO, array: SparseArray, version: NdarrayVersion, what: str) -> None:
    if version != "V2":
        raise ConversionError(f"{what} is sparse, which {version} cannot hold; write version V2 or a dense array")
    kind = next(number for number, each in SPARSE_KINDS.items() if each.name == array.kind)
    stream.write(struct.pack("<Ii", _MAGIC_OF["V2"], kind) + _shape_bytes(array.data.shape))
    stream.write(_shape_bytes(array.shape) + struct.pack("<iii", 1, 0, _dtype_code(array.data.dtype, what)))
    for part in array.indices:
        stream.write(struct.pack("<i", _dtype_code(part.dtype, what)) + _shape_bytes(part.shape))
    for part in (array.data, *array.indices):
        write_elements(stream, part)


def _shape_bytes(shape: tuple[int, ...]) -> bytes:
    return struct.pack(f"<i{len(shape)}q", len(shape), *shape)


def _dtype_code(dtype: np.dtype[np.generic], what: str) -> int:
    if dtype.name not in _DTYPES:
        raise ConversionError(f"{what} has dtype {dtype.name}, which MXNet does not have")
    return _DTYPES.index(dtype.name)
