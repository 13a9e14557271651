"""Unpickling through an exact allow-list: nothing that a pickle names is ever imported.

What numpy arrays and plain containers need, and no more; PyTorch's names are added by ``torch_pickle``. Each name
stands for an object of ours that can make an array, a data type or a container of the values that are already there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facecvt.converters.errors import FormatError
from facecvt.converters.formats.cursor import check_size
from facecvt.converters.formats.mapped import Array, MappedFile, MappedTensor
from facecvt.converters.formats.pickle_machine import Budget, ByteWindow, Global, PickleMachine, checked_key


class PickledDtype:
    """Stand-in for a ``numpy.dtype``: made of its kind and size, its byte order follows as state."""

    def __init__(self, dtype: np.dtype[np.generic]) -> None:
        self.dtype = dtype

    def set_state(self, state: Any) -> None:
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise ValueError("the state of a dtype that is no plain number")
        if state[1] in "<>":
            self.dtype = self.dtype.newbyteorder(state[1])


class PickledArray:
    """Stand-in for a ``numpy.ndarray``: made empty, everything follows as state; ``array`` is the result."""

    def __init__(self, file: MappedFile, offset: int | None, budget: Budget) -> None:
        self.array: Array | None = None
        self._file, self._offset, self._budget = file, offset, budget

    def set_state(self, state: Any) -> None:
        if type(state) is not tuple or len(state) not in (4, 5):
            raise ValueError("the state of an array that numpy does not write")
        shape, kind, fortran_order, raw = state[-4:]
        if type(shape) is not tuple or not all(type(dim) is int for dim in shape) or type(fortran_order) is not bool:
            raise ValueError("an array with a shape that is not made of integers")
        if not isinstance(kind, PickledDtype):
            raise ValueError("an array without a plain data type")
        dtype = kind.dtype
        check_size(self._file, self._offset or 0, dtype, shape, "a pickled array")
        start, view = _as_view(raw)
        needed = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if len(view) != needed:
            raise ValueError(f"an array of {dtype.name} {list(shape)} takes {needed} bytes, but {len(view)} are there")
        little = dtype.newbyteorder("<")
        if start is not None and self._offset is not None and not fortran_order and dtype == little:
            self.array = MappedTensor(self._file, self._offset + start, little, shape)
            return
        self._budget.spend(needed)
        array = np.frombuffer(view, dtype).reshape(shape, order="F" if fortran_order else "C")
        self.array = np.ascontiguousarray(array.astype(little, copy=False)).reshape(shape)


def _as_view(raw: Any) -> tuple[int | None, memoryview]:
    """Bytes in any of the forms in which pickles hold them, and where they begin in the pickle if they are a window."""
    if isinstance(raw, ByteWindow):
        return raw.start, raw.view
    if isinstance(raw, str):  # Python 2 wrote bytes as text
        raw = raw.encode("latin1")
    if not isinstance(raw, bytes):
        raise ValueError("an array of Python objects")
    return None, memoryview(raw)


def numpy_globals(file: MappedFile, offset: int | None, budget: Budget) -> dict[str, Global]:
    """The allow-list for numpy arrays and plain containers.

    Args:
        file: the mapped file.
        offset: where the pickle begins in it; None if it was inflated into memory.
        budget: of this load.
    """
    array_class = Global("numpy.ndarray", _not_callable)

    def reconstruct(kind: Any, shape: Any, code: Any) -> PickledArray:
        if kind is not array_class:
            raise ValueError("an array of another class")
        return PickledArray(file, offset, budget)

    def scalar(kind: Any, raw: Any) -> int | float | bool:
        if not isinstance(kind, PickledDtype):
            raise ValueError("a scalar without a plain data type")
        value: int | float | bool = np.frombuffer(_as_view(raw)[1], kind.dtype, count=1)[0].item()
        return value

    def ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
        if type(pairs) not in (list, tuple):
            raise ValueError("an OrderedDict that is not made of pairs")
        budget.spend(64 * len(pairs))
        made = {}
        for pair in pairs:
            if type(pair) not in (list, tuple) or len(pair) != 2:
                raise ValueError("an OrderedDict that is not made of pairs")
            made[checked_key(pair[0])] = pair[1]
        return made

    def make_tuple(values: Any = ()) -> tuple[Any, ...]:
        if type(values) not in (list, tuple):
            raise ValueError("a tuple of something else than a sequence")
        budget.spend(8 * len(values))
        return tuple(values)

    def encode(text: Any, encoding: Any) -> bytes:
        if type(text) is not str or encoding not in ("latin1", "latin-1", "iso-8859-1"):
            raise ValueError("another encoding than latin1")
        budget.spend(len(text))
        return text.encode("latin1")

    def data_itself(expression: Any, scope: Any) -> Any:
        """Paddle wraps a tensor as ``eval("data", {"data": tensor})``; this form alone has a meaning here."""
        if expression != "data" or type(scope) is not dict or set(scope) != {"data"}:
            raise ValueError("an expression to be evaluated; refused")
        return scope["data"]

    functions: dict[str, Callable[..., Any]] = {
        "numpy.dtype": _make_dtype,
        "collections.OrderedDict": ordered_dict,
        "_codecs.encode": encode,
    }
    for core in ("numpy.core.multiarray", "numpy._core.multiarray"):
        functions |= {f"{core}._reconstruct": reconstruct, f"{core}.scalar": scalar}
    for builtins in ("builtins", "__builtin__"):
        functions |= {f"{builtins}.tuple": make_tuple, f"{builtins}.eval": data_itself}
    table = {name: Global(name, function) for name, function in functions.items()}
    table["numpy.ndarray"] = array_class
    return table


def _not_callable(*arguments: Any) -> Any:
    raise ValueError("this name may be passed on but not called")


def _make_dtype(code: Any, *flags: Any) -> PickledDtype:
    if type(code) is not str or len(code) > 8:
        raise ValueError("a data type that is no plain number")
    dtype = np.dtype(code)
    if dtype.kind not in "biuf":
        raise ValueError(f"arrays of type {code!r} are not read, only numbers and truth values")
    return PickledDtype(dtype)


def load_pickle(path: str | Path) -> Any:
    """Read a file that is one pickle of arrays and plain containers, such as Paddle's ``.pdparams``.

    Args:
        path: the file; it stays mapped as long as one of the arrays lives.

    Returns:
        The value: dict, list, tuple, set, str, bytes, numbers, None; an array is a MappedTensor where its bytes lie in
        the file as they are, else a numpy array.

    Raises:
        FormatError: not a pickle, truncated, followed by other bytes, or naming a global outside the allow-list (the
            message has its full name).
    """
    file = MappedFile(path)
    table = numpy_globals(file, 0, Budget(file.size))
    value, end = PickleMachine(file.view, file.path, table).run()
    if end != file.size:
        raise FormatError(file.path, end, f"the pickle ends here, but {file.size - end} more bytes follow: padded")
    return settled(value, file.path, {})


def settled(value: Any, path: Path, done: dict[int, Any]) -> Any:
    """Replace stand-ins by what they stand for, all through a value.

    Args:
        value: what a machine returned.
        path: the file, for errors.
        done: results by identity, for values that occur many times; begin with {}.

    Raises:
        FormatError: an array without data, or containers nested beyond all reason.
    """
    try:
        return _settled(value, path, done)
    except RecursionError as error:
        raise FormatError(path, None, "containers nested too deeply: damaged or hostile") from error


def _settled(value: Any, path: Path, done: dict[int, Any]) -> Any:
    if value is None or type(value) in (str, int, float, bool, bytes):
        return value
    if id(value) in done:
        return done[id(value)]
    result: Any
    if isinstance(value, PickledArray):
        if value.array is None:
            raise FormatError(path, None, "the pickle holds an array without data: damaged")
        result = value.array
    elif isinstance(value, ByteWindow):
        result = bytes(value.view)
    elif isinstance(value, Mapping):
        result = done[id(value)] = {}
        result.update((key, _settled(inner, path, done)) for key, inner in value.items())
    elif type(value) is list:
        result = done[id(value)] = []
        result.extend(_settled(inner, path, done) for inner in value)
    elif type(value) is tuple:
        result = tuple(_settled(inner, path, done) for inner in value)
    else:
        result = value
    done[id(value)] = result
    return result
