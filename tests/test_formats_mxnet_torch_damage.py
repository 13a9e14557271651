"""Damaged files give the right arrays or one clear refusal: never another exception, never much memory.

Cut and padded files are always refused. A changed byte inside the numbers of a format without checksums cannot be
seen; what is asked there is that the arrays that come out fit into the file. Where a file is long, the fast tests take
every few bytes, the slow one all.
"""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from facecvt.converters.errors import ConversionError, FormatError
from facecvt.converters.formats.mapped import MappedTensor, as_numpy
from facecvt.converters.formats.mxnet_params import read_params, write_params
from facecvt.converters.formats.mxnet_sparse import MOST_DENSE_BYTES, SparseArray
from facecvt.converters.formats.safe_pickle import load_pickle
from facecvt.converters.formats.safetensors_file import read_safetensors, write_safetensors
from facecvt.converters.formats.torch_state import read_state_dict, write_state_dict

Arrays = dict[str, np.ndarray[Any, Any]]
ARRAYS: Arrays = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a.count": np.array([7], np.int64),
    "b": np.arange(5, dtype=np.uint8).reshape(1, 5),
}


def of_params(path: Path) -> Arrays:
    params = read_params(path)
    unnamed = {str(index): array for index, array in enumerate(params.unnamed)}
    return {name: as_numpy(array) for name, array in {**params.args, **params.aux, **params.bare, **unnamed}.items()}


def of_state(path: Path) -> Arrays:
    state = read_state_dict(path)
    return {state.prefix + name: as_numpy(array) for name, array in state.tensors.items()}


def of_safetensors(path: Path) -> Arrays:
    return {name: as_numpy(array) for name, array in read_safetensors(path).items()}


def of_pickle(path: Path) -> Arrays:
    value = load_pickle(path)
    if not isinstance(value, dict):
        return {}
    arrays = {str(key): each for key, each in value.items() if isinstance(each, (np.ndarray, MappedTensor))}
    return {key: as_numpy(each) for key, each in arrays.items()}


def sparse(path: Path) -> None:
    rows = SparseArray("row_sparse", (4, 3), np.ones((2, 3), np.float32), (np.array([1, 3]),))
    cells = SparseArray("csr", (2, 3), np.ones(2, np.float32), (np.array([0, 1, 2]), np.array([2, 0])))
    write_params(path, {"r": rows, "c": cells}, {})


def legacy(path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch==2.13.0")
    tensors = {name: torch.from_numpy(array) for name, array in ARRAYS.items()}
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


def torch_zip(path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch==2.13.0")
    torch.save({name: torch.from_numpy(array) for name, array in ARRAYS.items()}, path)


def pickled(path: Path) -> None:
    import pickle

    path.write_bytes(pickle.dumps({**ARRAYS, "StructuredToParameterName@@": {"a": "b"}}, 4))


# name -> (writer, reader, whether every changed byte is seen)
FORMATS: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Arrays], bool]] = {
    "V0": (lambda path: write_params(path, ARRAYS, {}, version="V0"), of_params, False),
    "V1": (lambda path: write_params(path, ARRAYS, {}, version="V1"), of_params, False),
    "V2": (lambda path: write_params(path, ARRAYS, {}, version="V2"), of_params, False),
    "V3": (lambda path: write_params(path, ARRAYS, {}, version="V3"), of_params, False),
    "plain": (lambda path: write_params(path, {}, {}, unnamed=list(ARRAYS.values())), of_params, False),
    "sparse": (sparse, of_params, False),
    "npz": (lambda path: write_params(path, ARRAYS, {}, version="npz"), of_params, True),
    "deflated": (lambda path: path.write_bytes(deflated()), of_params, True),
    "pth": (lambda path: write_state_dict(path, ARRAYS), of_state, True),
    "torch": (torch_zip, of_state, True),
    "legacy": (legacy, of_state, False),
    "safetensors": (lambda path: write_safetensors(path, ARRAYS), of_safetensors, False),
    "pickle": (pickled, of_pickle, False),
}


def deflated() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **ARRAYS)  # type: ignore[arg-type]
    return stream.getvalue()


def equal(one: Arrays, other: Arrays) -> bool:
    return list(one) == list(other) and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


def outcome(name: str, path: Path) -> Arrays | None:
    """The arrays, or None for a refusal; any other exception passes through and fails the test."""
    return read_or_refuse(FORMATS[name][1], path)


def read_or_refuse(reader: Callable[[Path], Arrays], path: Path) -> Arrays | None:
    try:
        return reader(path)
    except ConversionError as caught:
        error = caught
    assert str(path) in str(error)
    offset = error.offset if isinstance(error, FormatError) else None
    assert offset is None or 0 <= offset <= path.stat().st_size
    return None


@pytest.fixture(params=FORMATS)
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, bytes, Arrays]:
    name = request.param
    FORMATS[name][0](tmp_path / "whole")
    arrays = outcome(name, tmp_path / "whole")
    assert arrays
    return name, (tmp_path / "whole").read_bytes(), arrays


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Fails when more memory was asked for at once than a small file can be worth."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_DENSE_BYTES + (1 << 25)


def test_cuts_are_refused(whole: tuple[str, bytes, Arrays], tmp_path: Path) -> None:
    name, data, _ = whole
    path = tmp_path / "cut"
    for cut in range(0, len(data), 1 if len(data) < 700 else 5):
        path.write_bytes(data[:cut])
        assert outcome(name, path) is None, f"cut at byte {cut}"


def test_every_padding_is_refused(whole: tuple[str, bytes, Arrays], tmp_path: Path) -> None:
    name, data, _ = whole
    path = tmp_path / "padded"
    for padding in (b"\0", b" ", b"\xff", b"\0" * 64, data[-8:], data):
        path.write_bytes(data + padding)
        assert outcome(name, path) is None, f"padded with {padding[:8]!r}"
        path.write_bytes(padding + data)
        assert outcome(name, path) is None or padding == b"\0" * 64 == data[:64]


def check_changed(name: str, path: Path, size: int, arrays: Arrays, what: str) -> None:
    found = outcome(name, path)
    if found is None:
        return
    if FORMATS[name][2]:
        assert equal(found, arrays), what
    elif name != "sparse":  # a sparse array's dense form may be larger than its file
        assert sum(array.nbytes for array in found.values()) <= size, what


def change_every_byte(whole: tuple[str, bytes, Arrays], path: Path, masks: Callable[[int], tuple[int, ...]]) -> None:
    name, data, arrays = whole
    for at in range(len(data)):
        for mask in masks(at):
            changed = bytearray(data)
            changed[at] ^= mask
            path.write_bytes(changed)
            check_changed(name, path, len(data), arrays, f"byte {at} xor {mask:#x}")


def test_changed_bits(whole: tuple[str, bytes, Arrays], tmp_path: Path) -> None:
    change_every_byte(
        whole, tmp_path / "changed", lambda at: (1 << at * 5 % 8,) if len(whole[1]) < 700 or at % 3 == 0 else ()
    )


@pytest.mark.slow
def test_all_cuts_and_more_changed_bits(whole: tuple[str, bytes, Arrays], tmp_path: Path, little_memory: None) -> None:
    name, data, _ = whole
    change_every_byte(whole, tmp_path / "changed", lambda at: (1, 16, 128, 255))
    for cut in range(len(data)):
        (tmp_path / "cut").write_bytes(data[:cut])
        assert outcome(name, tmp_path / "cut") is None, f"cut at byte {cut}"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=9)), min_size=1, max_size=4))
def test_several_changes(
    whole: tuple[str, bytes, Arrays], changes: list[tuple[float, bytes]], tmp_path: Path, little_memory: None
) -> None:
    name, data, _ = whole
    changed = bytearray(data)
    for where, new in changes:
        at = int(where * len(changed))
        changed[at : at + len(new)] = new
    path = tmp_path / "changed"
    path.write_bytes(changed)
    outcome(name, path)


@pytest.mark.parametrize("reader", [of_params, of_state, of_safetensors, of_pickle])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
@example(data=b"")
@example(data=b"PK\x05\x06" + b"\0" * 18)
def test_noise(reader: Callable[[Path], Arrays], data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "noise"
    for start in (b"", b"\x12\x01" + b"\0" * 14, b"PK\x03\x04", b"\x93NUMPY\x01\0", b"\x80\x02", b"\x20" + b"\0" * 7):
        path.write_bytes(start + data)
        read_or_refuse(reader, path)
