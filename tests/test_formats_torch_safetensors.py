"""safetensors files, held against the format's own package in both directions."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from facecvt.converters.errors import ConversionError, FormatError
from facecvt.converters.formats.mapped import MappedTensor, as_numpy
from facecvt.converters.formats.safetensors_file import read_safetensors, write_safetensors

DTYPES = [
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
]


def example(dtype: str) -> np.ndarray[Any, Any]:
    values = np.arange(12).reshape(3, 4) % (2 if dtype == "bool" else 100)
    if dtype == "bfloat16":
        import ml_dtypes

        return values.astype(ml_dtypes.bfloat16)
    return values.astype(dtype)


@pytest.fixture
def package() -> ModuleType:
    module: ModuleType = pytest.importorskip("safetensors.numpy", reason="pip install safetensors")
    return module


def test_the_package_reads_what_is_written(package: ModuleType, tmp_path: Path) -> None:
    arrays = {dtype: example(dtype) for dtype in DTYPES if dtype != "bfloat16"}
    arrays |= {
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 3), np.float32),
        "t": example("int32").T,
        'é"': example("int8"),
    }
    write_safetensors(tmp_path / "a.safetensors", arrays, metadata={"format": "pt"})
    loaded = package.load_file(tmp_path / "a.safetensors")
    assert set(loaded) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype
    from safetensors import safe_open

    with safe_open(tmp_path / "a.safetensors", "np") as opened:
        assert opened.metadata() == {"format": "pt"}


def test_what_the_package_writes_is_read(package: ModuleType, tmp_path: Path) -> None:
    arrays = {dtype: example(dtype) for dtype in DTYPES if dtype != "bfloat16"} | {"scalar": np.array(2.5)}
    package.save_file(arrays, tmp_path / "a.safetensors", metadata={"x": "y"})
    tensors = read_safetensors(tmp_path / "a.safetensors")
    assert set(tensors) == set(arrays)
    for name, array in arrays.items():
        assert isinstance(tensors[name], MappedTensor)
        np.testing.assert_array_equal(as_numpy(tensors[name]), array)
        assert tensors[name].dtype == array.dtype


def test_torch_reads_what_is_written(torch_module: ModuleType, tmp_path: Path) -> None:
    package = pytest.importorskip("safetensors.torch", reason="pip install safetensors")
    arrays = {dtype: example(dtype) for dtype in DTYPES}
    write_safetensors(tmp_path / "a.safetensors", arrays)
    loaded = package.load_file(tmp_path / "a.safetensors")
    for name, array in arrays.items():
        assert str(loaded[name].dtype) == f"torch.{name}"
        assert loaded[name].to(torch_module.float64).tolist() == array.astype(np.float64).tolist()
    package.save_file({"b": loaded["bfloat16"]}, tmp_path / "b.safetensors")
    tensors = read_safetensors(tmp_path / "b.safetensors")
    assert as_numpy(tensors["b"]).tobytes() == arrays["bfloat16"].tobytes()


def test_tensors_are_aligned_and_the_file_repeats(tmp_path: Path) -> None:
    arrays = {dtype: example(dtype)[:1, :3] for dtype in DTYPES}
    write_safetensors(tmp_path / "a", arrays)
    write_safetensors(tmp_path / "b", arrays)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    tensors = read_safetensors(tmp_path / "a")
    for tensor in tensors.values():
        assert isinstance(tensor, MappedTensor)
        assert tensor.offset % tensor.dtype.itemsize == 0


def test_a_dtype_that_the_format_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="tensor 'w' of dtype complex64"):
        write_safetensors(tmp_path / "a", {"w": np.zeros(1, np.complex64)})


def raw(path: Path, header: str | bytes, data: bytes = b"") -> Path:
    text = header.encode() if isinstance(header, str) else header
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def entry(dtype: Any = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("[]", "no object"),
        ("{", "not JSON"),
        (b"\xff", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"a": 1, "a": 2}', "occurs twice"),
        ({"w": entry(dtype="F8_E4M3")}, "has dtype 'F8_E4M3'"),
        ({"w": entry(dtype=["F32"])}, "has dtype"),
        ({"w": 3}, "has dtype 3"),
        ({"w": entry(shape=[-1])}, "numbers from 0 up"),
        ({"w": entry(shape=[True])}, "numbers from 0 up"),
        ({"w": entry(offsets=[0])}, "two offsets"),
        ({"w": entry(shape=[2])}, r"takes 8 bytes, but has 4"),
        ({"w": entry(shape=[1 << 61], offsets=[0, 1 << 63])}, "impossible shape"),
        ({"w": entry(shape=[2], offsets=[0, 8])}, "truncated"),
        ({"w": entry(), "v": entry()}, "'v' begins at byte 0 of the data; 4 was expected|'w' begins"),
        ({"w": entry(shape=[0], offsets=[0, 0])}, "truncated or padded"),
        ({"w": entry(shape=[0], offsets=[2, 2])}, "begins at byte 2"),
    ],
)  # fmt: skip
def test_damage_is_refused(header: Any, message: str, tmp_path: Path) -> None:
    text = header if isinstance(header, (str, bytes)) else json.dumps(header)
    with pytest.raises(FormatError, match=message):
        read_safetensors(raw(tmp_path / "a", text, b"\0\0\0\0"))


def test_a_header_beyond_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(struct.pack("<Q", 1000) + b"{}")
    with pytest.raises(FormatError, match="truncated"):
        read_safetensors(tmp_path / "a")
    (tmp_path / "a").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    with pytest.raises(FormatError, match="no safetensors file"):
        read_safetensors(tmp_path / "a")
