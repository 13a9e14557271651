"""A writer of the protobuf wire format from the same schemas that :mod:`facecvt.converters.formats.protobuf` reads by.

Fields are written in the order of their numbers and repeated scalars one by one, as proto2 does by default; what is
written can be read back by :func:`~facecvt.converters.formats.protobuf.read_message` and is what protobuf's own
library writes for the same record.

Source: the Protocol Buffers encoding specification.
"""

from __future__ import annotations

import struct
from typing import Any

from facecvt.converters.formats.protobuf import Message, Record

_WIRE_TYPE_OF = {"int": 0, "bool": 0, "double": 1, "text": 2, "float": 5}
_LARGEST_FLOAT = 3.4028234663852886e38


def encode_message(record: Record, schema: Message) -> bytes:
    """Encode one message.

    Args:
        record: field name -> value; a repeated field is a list, a field that is left out is not written.
        schema: layout of the message.

    Raises:
        ValueError: a name that the schema does not have, or a required field that is missing.
    """
    unknown = sorted(set(record) - {field.name for field in schema.fields.values()})
    if unknown:
        raise ValueError(f"{schema.name} has no field {unknown[0]!r}")
    parts: list[bytes] = []
    for number, field in sorted(schema.fields.items()):
        if field.name not in record:
            if field.required:
                raise ValueError(f"{schema.name} without its required field {field.name!r}")
            continue
        values = record[field.name] if field.repeated else [record[field.name]]
        wire_type = 2 if isinstance(field.kind, Message) else _WIRE_TYPE_OF[field.kind]
        key = encode_varint(number << 3 | wire_type)
        for value in values:
            parts += (key, _encode_value(value, field.kind))
    return b"".join(parts)


def _encode_value(value: Any, kind: Any) -> bytes:
    if isinstance(kind, Message) or kind == "text":
        data = encode_message(value, kind) if isinstance(kind, Message) else str(value).encode()
        return encode_varint(len(data)) + data
    if kind == "double":
        return struct.pack("<d", value)
    if kind == "float":
        return struct.pack("<f", _as_float32(float(value)))
    return encode_varint(int(value) & 0xFFFFFFFFFFFFFFFF)


def _as_float32(value: float) -> float:
    """What rounds beyond the largest float32 becomes infinite, as numpy has it; struct raises there."""
    if abs(value) <= _LARGEST_FLOAT or value != value:
        return value
    return float("inf") if value > 0 else float("-inf")


def encode_varint(value: int) -> bytes:
    """A number of up to 64 bits, least significant 7 bits first."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
