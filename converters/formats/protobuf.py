"""A reader for the protobuf wire format, driven by a schema that is data; enough for proto2 files of known layout.

Wire format: a message is a run of fields; a field is a varint key ``number << 3 | wire type`` and its value::

    wire type 0  varint, least significant 7 bits first, at most 10 bytes
              1  8 bytes little-endian
              2  varint length + that many bytes: text, a nested message, or packed scalars
              5  4 bytes little-endian

Every length is checked against the enclosing message before it is used, so that a damaged file ends in one
:class:`FormatError` with the byte offset and never in a huge allocation. Fields that the schema does not list are
skipped, as proto2 asks; groups (wire types 3 and 4) are refused, because no schema here has any.

Source: the Protocol Buffers encoding specification.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NoReturn

from facecvt.converters.errors import FormatError

Scalar = Literal["int", "bool", "float", "double", "text"]
Record = dict[str, Any]

_WIRE_TYPE_OF: dict[str, int] = {"int": 0, "bool": 0, "double": 1, "text": 2, "float": 5}
_FIXED: dict[str, struct.Struct] = {"float": struct.Struct("<f"), "double": struct.Struct("<d")}
_REMEMBERED = 128  # bytes of the longest nested message that is looked up before it is decoded


@dataclass(frozen=True)
class Field:
    """One field of a message.

    Attributes:
        name: key under which the value appears in the record.
        kind: a scalar, or the schema of a nested message.
        repeated: the value is a list; packed and unpacked scalars are both accepted.
        required: its absence is an error.
    """

    name: str
    kind: Scalar | Message
    repeated: bool = False
    required: bool = False


@dataclass(frozen=True)
class Message:
    """The schema of a message: its name (for errors) and its fields by number."""

    name: str
    fields: Mapping[int, Field]

    @cached_property
    def lists(self) -> tuple[str, ...]:
        """Names of the repeated fields."""
        return tuple(field.name for field in self.fields.values() if field.repeated)

    @cached_property
    def required(self) -> tuple[str, ...]:
        """Names of the required fields."""
        return tuple(field.name for field in self.fields.values() if field.required)


def read_message(view: memoryview, schema: Message, path: str | Path, start: int = 0, end: int | None = None) -> Record:
    """Decode one message.

    Args:
        view: the whole file, so that offsets in errors are offsets in the file.
        schema: layout of the message.
        path: the file's name, for errors.
        start: first byte of the message.
        end: byte after its last one; None is the end of the view.

    Returns:
        field name -> value. A repeated field is always there, as a list; an absent optional field is not. Integers
        are signed 64-bit (enumerations included), text is str. Nested messages of the same bytes are one record, which
        is not to be changed: a program repeats the attributes of its operators hundreds of times.

    Raises:
        FormatError: a length that leads out of its message, a wire type that does not fit the schema, a required
            field that is missing, a varint of more than 10 bytes, text that is not UTF-8.
    """
    return _MessageReader(view, path).message(schema, start, len(view) if end is None else end)


@dataclass(frozen=True)
class FieldSpan:
    """Where one field of a message lies.

    Attributes:
        number: of the field.
        start: offset of its key.
        value: offset of its value; of a length-delimited one, of the first byte behind the length.
        end: offset behind it.
    """

    number: int
    start: int
    value: int
    end: int


def field_spans(view: memoryview, name: str, path: str | Path, start: int, end: int) -> Iterator[FieldSpan]:
    """The fields of one message in their order, undecoded.

    Args:
        view: the whole file.
        name: the message's name, for errors.
        path: the file's name, for errors.
        start, end: of the message.

    Raises:
        FormatError: a length that leads out of the message, or a wire type that no field has.
    """
    reader, schema, position = _MessageReader(view, path), Message(name, {}), start
    while position < end:
        key_offset = position
        key, value = reader.varint(position, end, name)
        position = reader.skip(key >> 3, key & 7, value, end, schema, key_offset)
        if key & 7 == 2:
            value = reader.extent(value, end, name)[0]
        yield FieldSpan(key >> 3, key_offset, value, position)


class _MessageReader:
    """Holds the file for the recursion over nested messages, which is as deep as the schema and no deeper."""

    def __init__(self, view: memoryview, path: str | Path) -> None:
        self.view = view
        self.path = path
        self.remembered: dict[tuple[str, bytes], Record] = {}

    def message(self, schema: Message, start: int, end: int) -> Record:
        record: Record = {name: [] for name in schema.lists}
        fields, position = schema.fields, start
        while position < end:
            key_offset = position
            key, position = self.varint(position, end, schema.name)
            field = fields.get(key >> 3)
            if field is None:
                position = self.skip(key >> 3, key & 7, position, end, schema, key_offset)
            else:
                position = self.field(record, field, key & 7, position, end, schema, key_offset)
        for name in schema.required:
            if name not in record:
                self.fail(start, f"{schema.name} without its required field {name!r}")
        return record

    def nested(self, schema: Message, start: int, end: int) -> Record:
        """A message inside another one; one that was met before is not decoded again."""
        if end - start > _REMEMBERED:
            return self.message(schema, start, end)
        key = (schema.name, bytes(self.view[start:end]))
        record = self.remembered.get(key)
        if record is None:
            record = self.remembered[key] = self.message(schema, start, end)
        return record

    def field(
        self, record: Record, field: Field, wire_type: int, position: int, end: int, schema: Message, key_offset: int
    ) -> int:
        """Decode the value of one known field into ``record``; returns the offset behind it."""
        what = f"{schema.name}.{field.name}"
        kind = field.kind
        expected = 2 if isinstance(kind, Message) else _WIRE_TYPE_OF[kind]
        packed = wire_type == 2 and expected != 2 and field.repeated
        if wire_type != expected and not packed:
            self.fail(key_offset, f"{what} has wire type {wire_type}, expected {expected}")
        value: Any
        if wire_type == 2:
            position, stop = self.extent(position, end, what)
            if packed:
                assert not isinstance(kind, Message)
                while position < stop:
                    value, position = self.scalar(kind, position, stop, what)
                    record[field.name].append(value)
                return stop
            value = self.nested(kind, position, stop) if isinstance(kind, Message) else self.text(position, stop, what)
            position = stop
        else:
            assert not isinstance(kind, Message)
            value, position = self.scalar(kind, position, end, what)
        if field.repeated:
            record[field.name].append(value)
        else:
            record[field.name] = value  # the last one counts, as proto2 asks
        return position

    def scalar(self, kind: Scalar, position: int, end: int, what: str) -> tuple[int | float | bool, int]:
        if kind == "int":
            value, position = self.varint(position, end, what)
            return value - (1 << 64) if value >> 63 else value, position
        if kind == "bool":
            value, position = self.varint(position, end, what)
            return value != 0, position
        layout = _FIXED[kind]
        if position + layout.size > end:
            self.fail(position, f"{what} needs {layout.size} bytes, but its message ends at byte {end}: truncated")
        number: float = layout.unpack_from(self.view, position)[0]
        return number, position + layout.size

    def varint(self, position: int, end: int, what: str) -> tuple[int, int]:
        if position < end and self.view[position] < 0x80:  # most are one byte long
            return self.view[position], position + 1
        start, value, shift = position, 0, 0
        while True:
            if position == end:
                self.fail(start, f"{what}: the varint runs over the end of its message at byte {end}: truncated")
            byte = self.view[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, position
            shift += 7
            if shift == 70:
                self.fail(start, f"{what}: a varint of more than 10 bytes")

    def extent(self, position: int, end: int, what: str) -> tuple[int, int]:
        """Start and end of a length-delimited value."""
        start = position
        length, position = self.varint(position, end, what)
        if length > end - position:
            self.fail(start, f"{what} needs {length} bytes, but its message ends at byte {end}: truncated or damaged")
        return position, position + length

    def text(self, start: int, end: int, what: str) -> str:
        try:
            return str(self.view[start:end], "utf-8")
        except UnicodeDecodeError as error:
            raise FormatError(self.path, start + error.start, f"{what} is not UTF-8 text") from error

    def skip(self, number: int, wire_type: int, position: int, end: int, schema: Message, key_offset: int) -> int:
        """The offset behind a field that the schema does not list."""
        what = f"field {number} of {schema.name}"
        if number == 0 or wire_type not in (0, 1, 2, 5):
            self.fail(key_offset, f"{what} has wire type {wire_type}: this is not a {schema.name}")
        if wire_type == 0:
            return self.varint(position, end, what)[1]
        if wire_type == 2:
            return self.extent(position, end, what)[1]
        size = 8 if wire_type == 1 else 4
        if position + size > end:
            self.fail(position, f"{what} needs {size} bytes, but its message ends at byte {end}: truncated")
        return position + size

    def fail(self, offset: int, message: str) -> NoReturn:
        raise FormatError(self.path, offset, message)
