"""ONNX files read without their weights, which stay windows on the file.

Parsing an ONNX file copies every byte of it at least twice, into the parser's input and into its messages. Here the
file is mapped and walked field by field, and every greater initializer is replaced by a reference to external data that
lies in the very same file:

    ModelProto 7 graph -> GraphProto 5 initializer -> TensorProto: dims = 1, data_type = 2, name = 8, raw_data = 9,
    external_data = 13, data_location = 14

What is left, the skeleton, is a valid model of some hundred kilobytes; everything but those initializers is in it byte
for byte. Source: onnx.proto3 of the ONNX project.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from facecvt.converters.errors import FormatError
from facecvt.converters.formats.mapped import MappedFile, MappedTensor
from facecvt.converters.formats.onnx_file import LEAST_EXTERNAL, Initializer, bytes_field, external_entry
from facecvt.converters.formats.protobuf import Field, FieldSpan, Message, field_spans, read_message

GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9
OTHER_FORMATS = frozenset((".json", ".onnxjson", ".textproto", ".prototxt", ".pbtxt", ".onnxtxt", ".onnxtext", ".txt"))
TYPES = {  # TensorProto.DataType -> dtype of raw_data, where numpy has it
    1: "<f4",
    2: "u1",
    3: "i1",
    4: "<u2",
    5: "<i2",
    6: "<i4",
    7: "<i8",
    9: "?",
    10: "<f2",
    11: "<f8",
    12: "<u4",
    13: "<u8",
}
TENSOR = Message(
    "TensorProto",
    {
        1: Field("dims", "int", repeated=True),
        2: Field("data_type", "int"),
        8: Field("name", "text"),
        14: Field("data_location", "int"),
    },
)
_open_files: WeakValueDictionary[tuple[int, ...], MappedFile] = WeakValueDictionary()


@dataclass(frozen=True)
class OnnxSkeleton:
    """An ONNX file without its greater weights.

    Attributes:
        model: serialised ModelProto; the weights that are missing in it are external data of the file's own name.
        weights: these weights by name.
    """

    model: bytes
    weights: dict[str, MappedTensor]

    def proto(self) -> Any:
        """The skeleton as an ``onnx.ModelProto``.

        Raises:
            google.protobuf.message.DecodeError: it is not a model.
        """
        import onnx

        return onnx.ModelProto.FromString(self.model)


def read_skeleton(path: str | Path) -> OnnxSkeleton | None:
    """Read an ONNX file without its greater initializers.

    Args:
        path: the ``.onnx`` file.

    Returns:
        None where the file as a whole has to be read by ONNX's own means: it is another form of ONNX, its weights are
        external data already, two have one name, or it is damaged, which ONNX then says.
    """
    path = Path(path)
    if path.suffix.lower() in OTHER_FORMATS:
        return None
    try:
        file = opened(path)
        view, weights = file.view, dict[str, MappedTensor]()
        model = [
            bytes_field(GRAPH, _graph(file, span, weights))
            if span.number == GRAPH
            else bytes(view[span.start : span.end])
            for span in field_spans(view, "ModelProto", path, 0, file.size)
        ]
    except (FormatError, OSError, _ForOnnxError):
        return None
    file.forget(0, file.size)  # the pages around every field that was read
    return OnnxSkeleton(b"".join(model), weights)


def opened(path: Path) -> MappedFile:
    """The file's map; the same one for as long as somebody holds it, so that its memory counts once."""
    facts = os.stat(path)
    key = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)
    file = _open_files.get(key)
    if file is None or file.path != path:  # another spelling has a map of its own, since errors tell the path
        file = _open_files[key] = MappedFile(path)
    return file


class _ForOnnxError(Exception):
    """The file is to be read by ONNX's own means."""


def _graph(file: MappedFile, graph: FieldSpan, weights: dict[str, MappedTensor]) -> bytes:
    """A GraphProto without the initializers that are noted in ``weights``."""
    view, pieces = file.view, []
    for span in field_spans(view, "GraphProto", file.path, graph.value, graph.end):
        found = _weight(file, span) if span.number == INITIALIZER else None
        if found is None:
            pieces.append(bytes(view[span.start : span.end]))
            continue
        if found.name in weights:
            raise _ForOnnxError
        assert isinstance(found.data, MappedTensor)
        weights[found.name] = found.data
        pieces.append(external_entry(found, file.path.name, found.data.offset))
    return b"".join(pieces)


def _weight(file: MappedFile, span: FieldSpan) -> Initializer | None:
    """An initializer as a window on the file; None where it is small, or its elements are not its raw data."""
    record = read_message(file.view, TENSOR, file.path, span.value, span.end)
    if record.get("data_location", 0):
        raise _ForOnnxError
    if span.end - span.value < LEAST_EXTERNAL:
        return None
    raw = [
        field
        for field in field_spans(file.view, "TensorProto", file.path, span.value, span.end)
        if field.number == RAW_DATA
    ]
    shape, kind = tuple(record["dims"]), TYPES.get(record.get("data_type", 0))
    if kind is None or len(raw) != 1 or not record.get("name") or any(dim < 0 for dim in shape):
        return None
    dtype, nbytes = np.dtype(kind), raw[0].end - raw[0].value
    if nbytes < LEAST_EXTERNAL or math.prod(shape) * dtype.itemsize != nbytes:
        return None
    data = MappedTensor(file, raw[0].value, dtype, shape)
    return Initializer(record["name"], record["data_type"], shape, data)
