"""ONNX files written as a stream: the graph first, then every weight straight from where it lies.

An ONNX file is one protobuf message (onnx.proto3 of the ONNX project). Protobuf lets the fields of a message come in
any order, so that a file can be laid out as

    ModelProto without graph | tag 7, length | GraphProto without initializers | tag 5, length, TensorProto | ...

with each TensorProto's ``raw_data`` last. Lengths follow from shapes; the weights themselves are copied from their
source file inside the kernel, or written from their array, and never pass through a protobuf object.

TensorProto: dims = 1, data_type = 2, name = 8, raw_data = 9, external_data = 13 {key = 1, value = 2}, and
data_location = 14.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from facecvt.converters.formats.mapped import Array, MappedTensor
from facecvt.converters.formats.protobuf_writer import encode_varint

LARGEST_MESSAGE = 2**31 - 1  # a protobuf message can not be longer
LEAST_EXTERNAL = 1024  # bytes; smaller tensors stay in the model, as with onnx.save
EXTERNAL_ALIGNMENT = 4096  # a page, so that a runtime can map each weight


@dataclass(frozen=True)
class Initializer:
    """One weight of an ONNX graph.

    Attributes:
        name: value name.
        data_type: number of its type in TensorProto.DataType.
        shape: dimensions.
        data: its elements.
    """

    name: str
    data_type: int
    shape: tuple[int, ...]
    data: Array

    @cached_property
    def inline_header(self) -> bytes:
        """Everything of the initializer's field in GraphProto up to its raw bytes."""
        body = _tensor_head(self) + _tag(9, 2) + encode_varint(self.data.nbytes)
        return _tag(5, 2) + encode_varint(len(body) + self.data.nbytes) + body


def write_streamed(
    target: BinaryIO,
    model_without_graph: bytes,
    graph_without_initializers: bytes,
    initializers: Sequence[Initializer],
    *,
    external: BinaryIO | None = None,
    external_name: str = "",
    advance: Callable[[int], None] = lambda nbytes: None,
) -> None:
    """Write one ONNX model.

    Args:
        target: the ``.onnx`` file, open for writing in binary mode without anything in it.
        model_without_graph: serialised ModelProto with no graph.
        graph_without_initializers: serialised GraphProto with no initializers.
        initializers: the weights.
        external: where the weights go instead, if they do not fit one message; the smallest stay, because ONNX Runtime
            reads shapes, axes and scales out of the model alone.
        external_name: name of that file, relative to the model's folder.
        advance: called with the number of bytes after each weight.
    """
    offset = 0
    headers: list[bytes] = []
    for item in initializers:
        if external is None or item.data.nbytes < LEAST_EXTERNAL:
            headers.append(item.inline_header)
        else:
            offset += -offset % EXTERNAL_ALIGNMENT
            headers.append(external_entry(item, external_name, offset))
            offset += item.data.nbytes
    length = len(graph_without_initializers)
    length += sum(
        len(head) + (item.data.nbytes if external is None or item.data.nbytes < LEAST_EXTERNAL else 0)
        for head, item in zip(headers, initializers, strict=True)
    )
    target.write(model_without_graph)
    target.write(_tag(7, 2) + encode_varint(length))
    target.write(graph_without_initializers)
    for head, item in zip(headers, initializers, strict=True):
        target.write(head)
        if external is None or item.data.nbytes < LEAST_EXTERNAL:
            _write_array(target, item.data)
        else:
            external.write(b"\0" * (-external.tell() % EXTERNAL_ALIGNMENT))
            _write_array(external, item.data)
        advance(item.data.nbytes)


def message_size(model_without_graph: bytes, graph: bytes, initializers: Sequence[Initializer]) -> int:
    """Bytes of the one-file form, to decide whether it fits a message."""
    weights = sum(len(item.inline_header) + item.data.nbytes for item in initializers)
    return len(model_without_graph) + len(graph) + weights + 16


def _write_array(target: BinaryIO, data: Array) -> None:
    if isinstance(data, MappedTensor):
        data.file.copy_into(target, data.offset, data.nbytes)
    elif data.size:
        target.write(np.ascontiguousarray(data).reshape(-1).view(np.uint8).data)


def external_entry(item: Initializer, location: str, offset: int) -> bytes:
    """The initializer's field in GraphProto where its bytes lie in another file, or elsewhere in the same one."""
    entries = {"location": location, "offset": str(offset), "length": str(item.data.nbytes)}
    body = _tensor_head(item)
    for key, value in entries.items():
        entry = bytes_field(1, key.encode()) + bytes_field(2, value.encode())
        body += bytes_field(13, entry)
    body += _tag(14, 0) + encode_varint(1)
    return bytes_field(5, body)


def _tensor_head(item: Initializer) -> bytes:
    dims = b"".join(_tag(1, 0) + encode_varint(dim) for dim in item.shape)
    return dims + _tag(2, 0) + encode_varint(item.data_type) + bytes_field(8, item.name.encode())


def bytes_field(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return _tag(number, 2) + encode_varint(len(payload)) + payload


def _tag(number: int, wire_type: int) -> bytes:
    return encode_varint(number << 3 | wire_type)


def external_path(path: Path) -> Path:
    """Where the weights of a model over 2 GB go: beside it, ``model.onnx.data``."""
    return path.with_name(path.name + ".data")
