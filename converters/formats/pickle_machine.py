"""A pickle machine that can only make what it is given: no import, no class of anyone's, no code.

Pickle is a stack language. This machine runs the opcodes that weights files use (protocols 0 to 4), with every length
checked against the data first. Where a pickle names a global it gets a stand-in from the caller's table, or the load
ends there with the global's full name. Calls go to stand-ins only. Long byte strings stay windows on the data.

Source: the opcode list of the standard library's ``pickletools``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from facecvt.converters.errors import FormatError

_SHORT = 64  # byte strings up to this length are copied out
_LONGEST_LINE = 4096  # of the text opcodes of protocol 0: numbers, names, memo indices


@dataclass(frozen=True)
class Global:
    """A stand-in for a global that pickles may name.

    Attributes:
        name: the full name it stands for.
        call: what calling it makes; gets the pickle's arguments, raises ValueError or TypeError if they are unfit.
    """

    name: str
    call: Callable[..., Any]


@dataclass(frozen=True)
class ByteWindow:
    """A long byte string: where it begins in the data that was unpickled, and its bytes."""

    start: int
    view: memoryview


class Budget:
    """Bounds what the stand-ins of one load may make, so that a small file cannot ask for much memory.

    Args:
        size: bytes of the pickle; a load may make a small multiple of them.
    """

    def __init__(self, size: int) -> None:
        self._left = 4 * size + (1 << 20)

    def spend(self, nbytes: int) -> None:
        """Account for ``nbytes`` before they are made."""
        self._left -= nbytes
        if self._left < 0:
            raise ValueError("the pickle asks for far more memory than its own size")


class PickleMachine:
    """Runs one pickle.

    Args:
        data: bytes that begin with the pickle.
        path: the file, for errors.
        table: full name -> stand-in.
        persistent: makes the object of a persistent id; None refuses persistent ids.
        offset: where ``data`` begins in the file, for errors.
    """

    def __init__(
        self,
        data: memoryview,
        path: str | Path,
        table: Mapping[str, Global],
        *,
        persistent: Callable[[Any], Any] | None = None,
        offset: int = 0,
    ) -> None:
        self._data = data
        self._path = path
        self._table = table
        self._persistent = persistent
        self._offset = offset
        self._position = 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> tuple[Any, int]:
        """Run to the pickle's end.

        Returns:
            (what it holds, number of bytes read). Values are None, bool, int, float, str, bytes, list, tuple, dict,
            set, :class:`Global`, :class:`ByteWindow` and whatever the stand-ins make.

        Raises:
            FormatError: truncated, damaged, or naming a global outside the table.
        """
        while True:
            at = self._position
            code = self._take(1)[0]
            if code == 0x2E:  # STOP
                if len(self._stack) != 1 or self._marks:
                    self._fail(at, "the pickle ends with more or less than one value")
                return self._stack[0], self._position
            action = _ACTIONS.get(code)
            if action is None:
                self._fail(at, f"pickle opcode {code:#04x} is none that a weights file needs; refused")
            try:
                action(self)
            except FormatError:
                raise
            except (
                ArithmeticError,
                AttributeError,
                LookupError,
                RecursionError,
                TypeError,
                ValueError,
                struct.error,
            ) as error:
                message = f"damaged pickle, or one that is not of this kind: {error or type(error).__name__}"
                raise FormatError(self._path, self._offset + at, message) from error

    def _fail(self, at: int, message: str) -> NoReturn:
        raise FormatError(self._path, self._offset + at, message)

    # reading

    def _take(self, nbytes: int) -> memoryview:
        end = self._position + nbytes
        if nbytes < 0 or end > len(self._data):
            self._fail(self._position, f"the pickle ends within a value of {nbytes} bytes: truncated or damaged")
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def _number(self, layout: struct.Struct) -> int:
        value: int = layout.unpack(self._take(layout.size))[0]
        return value

    def _line(self) -> str:
        chunk = bytes(self._data[self._position : self._position + _LONGEST_LINE])
        end = chunk.find(b"\n")
        if end < 0:
            self._fail(self._position, "the pickle ends within a line: truncated or damaged")
        self._position += end + 1
        return chunk[:end].decode("ascii")

    def _bytes(self, length: int) -> None:
        start = self._position
        view = self._take(length)
        self._stack.append(bytes(view) if length <= _SHORT else ByteWindow(start, view))

    def _text(self, length: int, encoding: str = "utf-8") -> None:
        errors = "surrogatepass" if encoding == "utf-8" else "strict"
        self._stack.append(str(self._take(length), encoding, errors))

    # the stack

    def _pop(self) -> Any:
        if self._marks and self._marks[-1] == len(self._stack):
            raise IndexError("a value was expected on the stack")
        return self._stack.pop()

    def _top(self) -> Any:
        if self._marks and self._marks[-1] == len(self._stack):
            raise IndexError("a value was expected on the stack")
        return self._stack[-1]

    def _pop_mark(self) -> list[Any]:
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    # what the opcodes do

    def _float_line(self) -> None:
        self._stack.append(float(self._line()))

    def _int_line(self) -> None:
        line = self._line()
        self._stack.append({"00": False, "01": True}[line] if line in ("00", "01") else int(line))

    def _long_line(self) -> None:
        self._stack.append(int(self._line().removesuffix("L")))

    def _long(self, length: int) -> None:
        self._stack.append(int.from_bytes(self._take(length), "little", signed=True))

    def _string_line(self) -> None:
        line = self._line()
        if len(line) < 2 or line[0] != line[-1] or line[0] not in "'\"" or "\\" in line:
            raise ValueError("a string of protocol 0 that is not plain text")
        self._stack.append(line[1:-1])

    def _unicode_line(self) -> None:
        self._stack.append(self._line().encode("ascii").decode("raw-unicode-escape"))

    def _append(self) -> None:
        value = self._pop()
        self._extend([value])

    def _extend(self, values: list[Any]) -> None:
        target = self._top()
        if type(target) is not list:
            raise TypeError("something else than a list is appended to")
        target.extend(values)

    def _set_items(self, values: list[Any]) -> None:
        target = self._top()
        if type(target) is not dict or len(values) % 2:
            raise TypeError("something else than a dictionary is filled with pairs")
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[checked_key(key)] = value

    def _set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._set_items([key, value])

    def _dict(self) -> None:
        values = self._pop_mark()
        self._stack.append({})
        self._set_items(values)

    def _add_items(self) -> None:
        values = self._pop_mark()
        target = self._top()
        if type(target) is not set:
            raise TypeError("something else than a set is added to")
        target.update(checked_key(value) for value in values)

    def _tuple(self, length: int) -> None:
        values = [self._pop() for _ in range(length)]
        self._stack.append(tuple(reversed(values)))

    def _named_global(self, module: str, name: str) -> None:
        full_name = f"{module}.{name}"
        stand_in = self._table.get(full_name)
        if stand_in is None:
            self._fail(
                self._position,
                f"the pickle names {full_name}, which is not among what facecvt lets a weights file name; nothing was "
                "run. If you trust the file, load it in its own framework and save the plain tensors again, for "
                "PyTorch with torch.save(model.state_dict(), path)",
            )
        self._stack.append(stand_in)

    def _global_lines(self) -> None:
        module = self._line()
        self._named_global(module, self._line())

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            raise TypeError("a global whose name is no text")
        self._named_global(module, name)

    def _call(self) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, Global) or type(arguments) is not tuple:
            raise TypeError("something is called that is no function")
        try:
            self._stack.append(function.call(*arguments))
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{function.name} with unfit arguments: {error}") from error

    def _build(self) -> None:
        state, target = self._pop(), self._top()
        if type(target) is dict:  # an OrderedDict's own attributes: torch keeps layer versions there
            return
        target.set_state(state)

    def _put(self, index: int) -> None:
        self._memo[index] = self._top()

    def _get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def _persistent_id(self) -> None:
        if self._persistent is None:
            raise ValueError("a persistent id, which only PyTorch's files have")
        self._stack.append(self._persistent(self._pop()))


def checked_key(key: Any) -> Any:
    """A key that can be hashed in bounded time and depth: a plain value, or a flat tuple of them."""
    flat = key if type(key) is tuple else (key,)
    if not all(part is None or type(part) in (str, int, float, bool, bytes) for part in flat):
        raise TypeError("a dictionary key that is no plain value")
    return key


def _unsupported_protocol(machine: PickleMachine) -> None:
    if machine._take(1)[0] > 5:
        raise ValueError("a pickle protocol above 5")


_U8, _U16, _U32, _I32, _U64 = (struct.Struct(code) for code in ("<B", "<H", "<I", "<i", "<Q"))
_DOUBLE = struct.Struct(">d")
_Action = Callable[[PickleMachine], Any]
# opcode -> action, named as pickletools names them
_ACTIONS: dict[int, _Action] = {
    0x80: _unsupported_protocol,  # PROTO
    0x95: lambda m: m._take(8),  # FRAME: its length only groups what follows
    ord("("): lambda m: m._marks.append(len(m._stack)),  # MARK
    ord("0"): lambda m: m._pop(),  # POP
    ord("1"): lambda m: m._pop_mark(),  # POP_MARK
    ord("2"): lambda m: m._stack.append(m._top()),  # DUP
    ord("N"): lambda m: m._stack.append(None),  # NONE
    0x88: lambda m: m._stack.append(True),  # NEWTRUE
    0x89: lambda m: m._stack.append(False),  # NEWFALSE
    ord("I"): PickleMachine._int_line,  # INT
    ord("J"): lambda m: m._stack.append(m._number(_I32)),  # BININT
    ord("K"): lambda m: m._stack.append(m._number(_U8)),  # BININT1
    ord("M"): lambda m: m._stack.append(m._number(_U16)),  # BININT2
    ord("L"): PickleMachine._long_line,  # LONG
    0x8A: lambda m: m._long(m._number(_U8)),  # LONG1
    0x8B: lambda m: m._long(m._number(_I32)),  # LONG4
    ord("F"): PickleMachine._float_line,  # FLOAT
    ord("G"): lambda m: m._stack.append(_DOUBLE.unpack(m._take(8))[0]),  # BINFLOAT
    ord("S"): PickleMachine._string_line,  # STRING
    ord("T"): lambda m: m._text(m._number(_I32), "latin1"),  # BINSTRING: Python 2's, text or bytes
    ord("U"): lambda m: m._text(m._number(_U8), "latin1"),  # SHORT_BINSTRING
    ord("B"): lambda m: m._bytes(m._number(_U32)),  # BINBYTES
    ord("C"): lambda m: m._bytes(m._number(_U8)),  # SHORT_BINBYTES
    0x8E: lambda m: m._bytes(m._number(_U64)),  # BINBYTES8
    ord("V"): PickleMachine._unicode_line,  # UNICODE
    ord("X"): lambda m: m._text(m._number(_U32)),  # BINUNICODE
    0x8C: lambda m: m._text(m._number(_U8)),  # SHORT_BINUNICODE
    0x8D: lambda m: m._text(m._number(_U64)),  # BINUNICODE8
    ord("]"): lambda m: m._stack.append([]),  # EMPTY_LIST
    ord("l"): lambda m: m._stack.append(m._pop_mark()),  # LIST
    ord("a"): PickleMachine._append,  # APPEND
    ord("e"): lambda m: m._extend(m._pop_mark()),  # APPENDS
    ord(")"): lambda m: m._stack.append(()),  # EMPTY_TUPLE
    ord("t"): lambda m: m._stack.append(tuple(m._pop_mark())),  # TUPLE
    0x85: lambda m: m._tuple(1),  # TUPLE1
    0x86: lambda m: m._tuple(2),  # TUPLE2
    0x87: lambda m: m._tuple(3),  # TUPLE3
    ord("}"): lambda m: m._stack.append({}),  # EMPTY_DICT
    ord("d"): PickleMachine._dict,  # DICT
    ord("s"): PickleMachine._set_item,  # SETITEM
    ord("u"): lambda m: m._set_items(m._pop_mark()),  # SETITEMS
    0x8F: lambda m: m._stack.append(set()),  # EMPTY_SET
    0x90: PickleMachine._add_items,  # ADDITEMS
    ord("c"): PickleMachine._global_lines,  # GLOBAL
    0x93: PickleMachine._stack_global,  # STACK_GLOBAL
    ord("R"): PickleMachine._call,  # REDUCE
    0x81: PickleMachine._call,  # NEWOBJ
    ord("b"): PickleMachine._build,  # BUILD
    ord("p"): lambda m: m._put(int(m._line())),  # PUT
    ord("q"): lambda m: m._put(m._number(_U8)),  # BINPUT
    ord("r"): lambda m: m._put(m._number(_U32)),  # LONG_BINPUT
    0x94: lambda m: m._put(len(m._memo)),  # MEMOIZE
    ord("g"): lambda m: m._get(int(m._line())),  # GET
    ord("h"): lambda m: m._get(m._number(_U8)),  # BINGET
    ord("j"): lambda m: m._get(m._number(_U32)),  # LONG_BINGET
    ord("Q"): PickleMachine._persistent_id,  # BINPERSID
}
