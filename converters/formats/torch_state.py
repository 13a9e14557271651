"""PyTorch state_dict files (zip and legacy) without torch: read through the allow-list, written streaming.

zip, since torch 1.6::

    <root>/data.pkl        the pickle; storages are persistent ids
    <root>/data/<key>      the bytes of a storage, stored uncompressed at a multiple of 64 bytes
    <root>/byteorder       "little" or "big"; files before 2.1 lack it and are little-endian
    <root>/version

legacy, before that: five pickles one after the other (magic number, protocol version, machine facts, the value, the
list of storage keys), then for each key i64 number of elements and the bytes. TorchScript archives are zip files too,
with ``constants.pkl`` and ``code/``; they hold a program and are not read here.

Source: ``torch/serialization.py`` and files written by torch 1.0 to 2.13, which the tests hold this module against.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facecvt.converters.errors import ConversionError, FormatError
from facecvt.converters.formats.array_bytes import element_bytes, write_elements
from facecvt.converters.formats.atomic import atomic_file
from facecvt.converters.formats.cursor import Cursor
from facecvt.converters.formats.mapped import Array, MappedFile
from facecvt.converters.formats.pickle_machine import Budget, PickleMachine
from facecvt.converters.formats.safe_pickle import numpy_globals, settled
from facecvt.converters.formats.torch_pickle import (
    STORAGES,
    ByteOrder,
    StorageTable,
    Tensor,
    tensor_array,
    torch_globals,
)
from facecvt.converters.formats.zip_archive import STORED, ZipMember, ZipWriter, contents, read_members

WRAPPERS = ("state_dict", "model_state_dict", "net_state_dict", "model")
PREFIXES = ("module.", "model.", "backbone.")
_FAR_MORE = 4  # tensors of the network for each one of a head that was saved beside it
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


@dataclass
class TorchState:
    """The tensors of a checkpoint, by name, in file order.

    Attributes:
        tensors: name without ``prefix`` -> array. Strided tensors are read-only strided views.
        prefix: what every key carried and lost ("module.", "module.backbone.", ...); "" if nothing.
        wrapper: key of the outer dictionary under which the state_dict lay ("state_dict", ...; "a.b" if nested), None
            if bare.
        path: the file.
        skipped: keys beside the tensors whose values are no tensors, with the type's name.
    """

    tensors: dict[str, Array]
    prefix: str
    wrapper: str | None
    path: Path
    skipped: dict[str, str]


def read_state_dict(path: str | Path) -> TorchState:
    """Read a ``.pth``/``.pt``/``.ckpt`` file: zip archive or legacy pickle.

    Args:
        path: the file; it stays mapped as long as one of the arrays lives.

    Raises:
        FormatError: the bytes are not that; a TorchScript archive; truncated or padded; a pickle that names anything
            outside the allow-list; or no state_dict in it.
    """
    file = MappedFile(path)
    value, order = _read_zip(file) if bytes(file.view[:2]) == b"PK" else (_read_legacy(file), "little")
    wrapper, state = _unwrapped(file, settled(value, file.path, {}))
    tensors = {key: tensor_array(file, each, order) for key, each in state.items() if isinstance(each, Tensor)}
    skipped = {str(key): type(each).__name__ for key, each in state.items() if not isinstance(each, Tensor)}
    prefix = ""
    while True:
        found = next((each for each in PREFIXES if all(key[len(prefix) :].startswith(each) for key in tensors)), None)
        if found is None or any(len(key) == len(prefix + found) for key in tensors):
            break
        prefix += found
    return TorchState({key[len(prefix) :]: each for key, each in tensors.items()}, prefix, wrapper, file.path, skipped)


def _unwrapped(file: MappedFile, value: Any) -> tuple[str | None, dict[str, Any]]:
    """Find the state_dict: the value itself, or what lies under one of the usual keys."""
    wrapper: str | None = None
    for _ in range(4):
        if type(value) is not dict:
            break
        inner = [key for key in WRAPPERS if type(value.get(key)) is dict]
        if not inner and not any(isinstance(each, Tensor) for each in value.values()):
            inner = _states(value)
        if len(inner) > 1:
            raise FormatError(
                file.path,
                None,
                f"holds more than one state_dict, under {', '.join(inner)}; save the one you mean alone",
            )
        if not inner:
            break
        wrapper = inner[0] if wrapper is None else f"{wrapper}.{inner[0]}"
        value = value[inner[0]]
    if type(value) is not dict:
        raise FormatError(file.path, None, f"holds a {type(value).__name__}, not a state_dict of tensors by name")
    if not any(isinstance(each, Tensor) for each in value.values()):
        keys = ", ".join(repr(key) for key in list(value)[:8]) or "none"
        raise FormatError(
            file.path, None, f"holds no tensor at its top level, where a state_dict has them; keys: {keys}"
        )
    strange = [key for key, each in value.items() if isinstance(each, Tensor) and type(key) is not str]
    if strange:
        raise FormatError(file.path, None, f"holds a tensor under {strange[0]!r}, which is no name")
    return wrapper, value


def _states(value: dict[Any, Any]) -> list[str]:
    """Keys under which tensors lie by name; one alone where it has far more of them than all others together."""
    counts = {
        key: sum(isinstance(each, Tensor) for each in inner.values())
        for key, inner in value.items()
        if type(key) is str and type(inner) is dict
    }
    counts = {key: count for key, count in counts.items() if count}
    most = max(counts, key=counts.__getitem__, default=None)
    if most is not None and counts[most] > _FAR_MORE * (sum(counts.values()) - counts[most]):
        return [most]
    return list(counts)


def _read_zip(file: MappedFile) -> tuple[Any, ByteOrder]:
    members = read_members(file)
    roots = [name.removesuffix("/data.pkl") for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if not roots and any(name.endswith("/archive_format") for name in members):
        raise FormatError(
            file.path,
            None,
            "an ExportedProgram: a program with its weights, not a state_dict. The commands torch2* convert it",
        )
    if len(roots) != 1:
        raise FormatError(file.path, None, "a zip archive without exactly one <name>/data.pkl, so no PyTorch file")
    root = roots[0]
    if f"{root}/constants.pkl" in members or any(name.startswith(f"{root}/code/") for name in members):
        raise FormatError(
            file.path,
            None,
            "a TorchScript archive: a program with its weights, not a state_dict. The commands torch2* convert it; the "
            "weights alone are saved with torch.save(torch.jit.load(path).state_dict(), 'weights.pth')",
        )
    order = _byte_order(file, members.get(f"{root}/byteorder"))
    pickle = members[f"{root}/data.pkl"]
    data = contents(file, pickle)
    table = StorageTable()
    offset = pickle.offset if pickle.method == STORED else None
    value, end = _machine(file, data, table, offset).run()
    if end != len(data):
        raise FormatError(file.path, pickle.offset + end, "the pickle ends before its member does: padded or damaged")
    for storage in table.storages.values():
        member = members.get(f"{root}/data/{storage.key}")
        if member is None or member.size != storage.nbytes:
            found = "missing" if member is None else f"of {member.size} bytes"
            raise FormatError(
                file.path,
                pickle.offset,
                f"storage {storage.key!r} should have {storage.nbytes} bytes, but is {found}: truncated or damaged",
            )
        view = contents(file, member)
        if member.method == STORED:
            storage.offset = member.offset
        else:
            storage.inflated = view
    return value, order


def _byte_order(file: MappedFile, member: ZipMember | None) -> ByteOrder:
    written = b"little" if member is None else bytes(contents(file, member))
    if written == b"little":
        return "little"
    if written == b"big":
        return "big"
    raise FormatError(file.path, member.offset if member else None, f"the byte order {written[:20]!r} is none")


def _machine(file: MappedFile, data: memoryview, table: StorageTable, offset: int | None) -> PickleMachine:
    names = numpy_globals(file, offset, Budget(len(data))) | torch_globals()
    return PickleMachine(data, file.path, names, persistent=table.from_persistent_id, offset=offset or 0)


def _read_legacy(file: MappedFile) -> Any:
    table = StorageTable()
    position = 0
    values = []
    for index in range(5):
        value, used = _machine(file, file.view[position:], table, position).run()
        if index == 0 and value != LEGACY_MAGIC:
            raise FormatError(file.path, 0, "a pickle, but not one of PyTorch's files (its magic number is missing)")
        position += used
        values.append(value)
    facts, root, keys = values[2:]
    if values[1] != 1001 or type(facts) is not dict or facts.get("little_endian") is not True:
        raise FormatError(file.path, 0, "a PyTorch file of another protocol than 1001, or written big-endian")
    if type(keys) is not list or not all(type(key) is str for key in keys) or len(set(keys)) != len(keys):
        raise FormatError(file.path, position, "no list of storage keys behind the pickle: damaged")
    cursor = Cursor(file, position)
    for key in keys:
        storage = table.storages.get(key)
        if storage is None:
            cursor.fail(f"storage {key!r} follows, but nothing names it: damaged")
        at = cursor.offset
        count = cursor.number("q", f"the size of storage {key!r}")
        if count != storage.count:
            cursor.fail(f"storage {key!r} has {count} elements, but {storage.count} were announced: damaged", at)
        storage.offset = cursor.offset
        cursor.take(storage.nbytes, f"storage {key!r}")
    cursor.expect_end("the list of storages")
    lost = sorted(set(table.storages) - set(keys))
    if lost:
        cursor.fail(f"storage {lost[0]!r} is named but not in the file: truncated or damaged")
    return root


def write_state_dict(path: str | Path, tensors: Mapping[str, Array]) -> None:
    """Write a zip checkpoint that ``torch.load(path, weights_only=True, mmap=True)`` reads.

    The bytes go from the source to the file without a second copy in memory; the same tensors give the same file.

    Args:
        path: target; appears whole or not at all.
        tensors: name -> array. Each one gets a storage of its own.

    Raises:
        ConversionError: a data type that PyTorch's storages do not have.
    """
    classes = {dtype: name for name, dtype in STORAGES.items()}
    for name, array in tensors.items():
        if array.dtype.name not in classes:
            raise ConversionError(
                f"{path}: tensor {name!r} has dtype {array.dtype.name}, which a state_dict cannot hold"
            )
    with atomic_file(path) as stream, ZipWriter(stream) as archive:
        archive.add_bytes("archive/data.pkl", _pickled(tensors, classes))
        archive.add_bytes("archive/byteorder", b"little")
        for index, array in enumerate(tensors.values()):
            archive.add(f"archive/data/{index}", array.nbytes, zlib.crc32(element_bytes(array)))
            write_elements(stream, array)
        archive.add_bytes("archive/version", b"3\n")


def _pickled(tensors: Mapping[str, Array], classes: Mapping[str, str]) -> bytes:
    """``OrderedDict`` of tensors in protocol 2; each storage is the persistent id of its index."""
    parts = [b"\x80\x02ccollections\nOrderedDict\n)R("]
    for index, (name, array) in enumerate(tensors.items()):
        strides, step = [], 1
        for dim in reversed(array.shape):
            strides.append(step)
            step *= max(dim, 1)
        count = array.nbytes // array.dtype.itemsize
        storage = f"ctorch\n{classes[array.dtype.name]}\n".encode()
        parts += [
            _text(name),
            b"ctorch._utils\n_rebuild_tensor_v2\n((",
            b"".join((_text("storage"), storage, _text(str(index)), _text("cpu"), _int(count), b"tQ")),
            _int(0),
            b"(" + b"".join(map(_int, array.shape)) + b"t",
            b"(" + b"".join(map(_int, reversed(strides))) + b"t",
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]
    return b"".join([*parts, b"u."])


def _text(text: str) -> bytes:
    raw = text.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def _int(number: int) -> bytes:
    if number < 1 << 31:
        return b"J" + struct.pack("<i", number)
    raw = number.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw
