"""The safetensors format: read and written without its package.

Layout: ``u64 n | n bytes of JSON | data``. The JSON maps a name to its ``dtype``, ``shape`` and ``data_offsets`` (begin
and end, counted from the first byte behind the JSON), and ``__metadata__`` to a map of strings. The tensors cover the
data without gap or overlap; everything is little-endian and C-ordered. Source: the format's own specification.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facecvt.converters.errors import ConversionError, FormatError
from facecvt.converters.formats.array_bytes import write_elements
from facecvt.converters.formats.atomic import atomic_file
from facecvt.converters.formats.cursor import check_size
from facecvt.converters.formats.mapped import Array, MappedFile, MappedTensor
from facecvt.converters.formats.torch_pickle import numpy_dtype

MOST_HEADER = 100_000_000  # the format's own bound
_ALIGNMENT = 64
_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "BF16": "bfloat16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
}


def read_safetensors(path: str | Path) -> dict[str, Array]:
    """Tensors by name, in the order of their bytes in the file.

    Args:
        path: the file; it stays mapped as long as one of the arrays lives.

    Raises:
        FormatError: the bytes are not that, or a data type that numpy does not have.
    """
    file = MappedFile(path)
    length = struct.unpack("<Q", file.window(0, 8, "the header's length"))[0]
    if length > MOST_HEADER:
        raise FormatError(file.path, 0, f"a header of {length} bytes is announced, so no safetensors file, or damaged")
    data_at = 8 + length
    header = _header(file, bytes(file.window(8, length, "the header")))
    tensors = [(name, *_tensor(file, name, entry, data_at)) for name, entry in header.items()]
    tensors.sort(key=lambda each: (each[2], each[3]))
    position = 0
    for name, _, begin, end in tensors:
        if begin != position:
            raise FormatError(
                file.path, 8, f"tensor {name!r} begins at byte {begin} of the data; {position} was expected: damaged"
            )
        position = end
    if data_at + position != file.size:
        raise FormatError(
            file.path,
            data_at + position,
            f"the tensors end here, but the file has {file.size} bytes: truncated or padded",
        )
    return {name: tensor for name, tensor, _, _ in tensors}


def _header(file: MappedFile, raw: bytes) -> dict[str, Any]:
    def without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise ValueError("a name occurs twice")
        return made

    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=without_repetition)
    except (ValueError, RecursionError) as error:
        raise FormatError(
            file.path, 8, f"the header is not JSON, so no safetensors file, or damaged: {error}"
        ) from error
    if not isinstance(header, dict):
        raise FormatError(file.path, 8, "the header is JSON, but no object")
    header.pop("__metadata__", None)
    return header


def _tensor(file: MappedFile, name: str, entry: Any, data_at: int) -> tuple[MappedTensor, int, int]:
    found = entry.get("dtype") if isinstance(entry, dict) else entry
    if not isinstance(found, str) or found not in _DTYPES or not isinstance(entry, dict):
        raise FormatError(file.path, 8, f"tensor {name!r} has dtype {found!r:.30}; known are {', '.join(_DTYPES)}")
    shape, offsets = _numbers(entry.get("shape")), _numbers(entry.get("data_offsets"))
    if shape is None or offsets is None or len(offsets) != 2:
        raise FormatError(file.path, 8, f"tensor {name!r} lacks a shape or two offsets made of numbers from 0 up")
    dtype = numpy_dtype(_DTYPES[found])
    check_size(file, 8, dtype, shape, f"tensor {name!r}")
    tensor = MappedTensor(file, data_at + offsets[0], dtype, shape)
    if offsets[1] - offsets[0] != tensor.nbytes:
        raise FormatError(
            file.path,
            8,
            f"tensor {name!r}, {dtype.name} {list(shape)}, takes {tensor.nbytes} bytes, but has "
            f"{offsets[1] - offsets[0]}",
        )
    file.window(tensor.offset, tensor.nbytes, f"tensor {name!r}")
    return tensor, offsets[0], offsets[1]


def _numbers(value: Any) -> tuple[int, ...] | None:
    if not isinstance(value, list) or not all(type(number) is int and number >= 0 for number in value):
        return None
    return tuple(value)


def write_safetensors(
    path: str | Path, tensors: Mapping[str, Array], *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors by name; the ``safetensors`` package reads the file.

    Args:
        path: target; appears whole or not at all.
        tensors: name -> array. In the file wider data types come first, so that each tensor is aligned.
        metadata: free text to store beside them; ``{"format": "pt"}`` is what PyTorch's loaders look for.

    Raises:
        ConversionError: a data type or name that the format does not have.
    """
    codes = {dtype: code for code, dtype in _DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    in_file = sorted(tensors.items(), key=lambda each: -each[1].dtype.itemsize)
    for name, array in in_file:
        if array.dtype.name not in codes or name == "__metadata__":
            raise ConversionError(f"{path}: tensor {name!r} of dtype {array.dtype.name} does not go into safetensors")
        offsets = [position, position + array.nbytes]
        header[name] = {"dtype": codes[array.dtype.name], "shape": list(array.shape), "data_offsets": offsets}
        position += array.nbytes
    raw = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    raw += b" " * (-(8 + len(raw)) % _ALIGNMENT)
    with atomic_file(path) as stream:
        stream.write(struct.pack("<Q", len(raw)) + raw)
        for _, array in in_file:
            write_elements(stream, array)
