"""``.pdparams``: a state dict as ``paddle.save`` pickles it, written without Paddle.

A pickle of protocol 4: one dict, name -> numpy array. An array is pickled as numpy 1 does it, which numpy 2 reads as
well: ``_reconstruct(ndarray, (0,), b"b")`` and the state (1, shape, dtype, False, bytes). Weights that lie in a file
are copied from it, not loaded. :func:`~facecvt.converters.formats.paddle_params.read_pdparams` reads it.

Source: the pickle protocol (PEP 3154), ``numpy.ndarray.__reduce__``, files written by ``paddle.save`` of 3.3.1.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from facecvt.converters.errors import WeightsError
from facecvt.converters.formats.atomic import atomic_file
from facecvt.converters.formats.mapped import Array, MappedTensor

_EMPTY_ARRAY = (
    b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
    + (pickle.BININT1 + b"\0" + pickle.TUPLE1)
    + (pickle.SHORT_BINBYTES + b"\1b" + pickle.TUPLE3)
    + pickle.REDUCE
)
_NO_FIELDS = pickle.NONE * 3 + (pickle.BININT + struct.pack("<i", -1)) * 2 + pickle.BININT1 + b"\0"


def write_pdparams(path: str | Path, arrays: Mapping[str, Array]) -> None:
    """Write a state dict that ``paddle.load`` reads.

    Args:
        path: target; it appears whole or not at all.
        arrays: name -> array, in the order in which they are to be listed.

    Raises:
        WeightsError: an element type that numpy itself does not have.
    """
    with atomic_file(path) as target:
        target.write(pickle.PROTO + b"\4" + pickle.EMPTY_DICT + pickle.MARK)
        for name, array in arrays.items():
            dtype, nbytes = np.dtype(array.dtype), array.nbytes
            if dtype.kind not in "biuf":
                raise WeightsError(f"{name!r} has element type {dtype.name}, which a .pdparams cannot hold")
            target.write(_text(name) + _EMPTY_ARRAY + _state(array.shape, dtype, nbytes))
            if isinstance(array, MappedTensor):
                array.file.copy_into(target, array.offset, nbytes)
            else:
                target.write(np.ascontiguousarray(array, dtype.newbyteorder("<")).tobytes())
            target.write(pickle.TUPLE + pickle.BUILD)
        target.write(pickle.SETITEMS + pickle.STOP)


def _state(shape: tuple[int, ...], dtype: np.dtype[np.generic], nbytes: int) -> bytes:
    """What ``__setstate__`` gets, up to where the bytes begin."""
    order = b"|" if dtype.itemsize == 1 else b"<"
    kind = b"cnumpy\ndtype\n" + _text(f"{dtype.kind}{dtype.itemsize}") + pickle.NEWFALSE + pickle.NEWTRUE
    kind += pickle.TUPLE3 + pickle.REDUCE
    kind += pickle.MARK + _whole(3) + _text(order.decode()) + _NO_FIELDS + pickle.TUPLE + pickle.BUILD
    sizes = pickle.MARK + b"".join(_whole(size) for size in shape) + pickle.TUPLE
    head = pickle.MARK + _whole(1) + sizes + kind + pickle.NEWFALSE
    return head + pickle.BINBYTES8 + struct.pack("<Q", nbytes)


def _text(text: str) -> bytes:
    data = text.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


def _whole(number: int) -> bytes:
    """A size; LONG1 takes what 31 bits do not hold."""
    if number < 1 << 31:
        return pickle.BININT + struct.pack("<i", number)
    return pickle.LONG1 + b"\10" + struct.pack("<q", number)
