"""The elements of an array as every file format here wants them: little-endian, C-ordered, uncopied if possible."""

from __future__ import annotations

import sys
from typing import BinaryIO

import numpy as np

from facecvt.converters.formats.mapped import Array, MappedTensor


def element_bytes(array: Array) -> memoryview:
    """The elements as bytes; a view on the file or the array where they already lie as wanted."""
    if isinstance(array, MappedTensor):
        return array.file.window(array.offset, array.nbytes, "a tensor")
    big_endian = array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and sys.byteorder == "big")
    little = array.astype(array.dtype.newbyteorder("<")) if big_endian else array
    return np.ascontiguousarray(little).reshape(-1).view(np.uint8).data


def write_elements(stream: BinaryIO, array: Array) -> None:
    """Append the elements to a file; a mapped tensor goes from file to file inside the kernel."""
    if isinstance(array, MappedTensor):
        array.file.copy_into(stream, array.offset, array.nbytes)
    else:
        stream.write(element_bytes(array))
