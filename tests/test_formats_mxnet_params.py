"""MXNet weights of every version, held against MXNet itself in both directions."""

from __future__ import annotations

import struct
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from facecvt.converters.errors import ConversionError, FormatError
from facecvt.converters.formats.mapped import MappedTensor, as_numpy
from facecvt.converters.formats.mxnet_params import read_params, write_params
from facecvt.converters.formats.mxnet_sparse import SparseArray

REAL = {
    "mtcnn-det1/det1-0001.params": (13, 0),
    "mtcnn-det2/det2-0001.params": (16, 0),
    "mtcnn-det3/det3-0001.params": (21, 0),
    "insightface-gender-age/model-0000.params": (88, 58),
    "retinaface-mnet25/mnet.25-0000.params": (179, 94),
}
SAVED_BY_MXNET = ["float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool"]
WRITTEN = [*SAVED_BY_MXNET, "bfloat16"]


def same(ours: Any, theirs: np.ndarray[Any, Any]) -> None:
    array = as_numpy(ours)
    assert array.dtype == theirs.dtype
    assert array.shape == theirs.shape
    assert array.tobytes() == theirs.tobytes()


def example(dtype: str) -> np.ndarray[Any, Any]:
    values = np.arange(24).reshape(2, 3, 4) % (2 if dtype == "bool" else 100)
    if dtype == "bfloat16":
        import ml_dtypes

        return values.astype(ml_dtypes.bfloat16)
    return values.astype(dtype)


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_read_as_mxnet_reads_them(name: str, real_models: Path, mxnet_module: ModuleType) -> None:
    path = real_models / "mxnet" / name
    params = read_params(path)
    assert (len(params.args), len(params.aux)) == REAL[name]
    assert not params.unnamed
    assert not params.bare
    ours = {f"arg:{key}": value for key, value in params.args.items()}
    ours |= {f"aux:{key}": value for key, value in params.aux.items()}
    theirs = mxnet_module.nd.load(str(path))
    assert set(ours) == set(theirs)
    for key, array in theirs.items():
        same(ours[key], array.asnumpy())
        assert isinstance(ours[key], MappedTensor)  # a window on the file, not a copy


def test_the_file_without_magic_is_read_as_mxnet_reads_it(real_models: Path, mxnet_module: ModuleType) -> None:
    path = real_models / "mxnet/apache-legacy-fixtures/legacy_ndarray.v0"
    params = read_params(path)
    theirs = mxnet_module.nd.load(str(path))
    assert len(params.unnamed) == len(theirs) == 6
    for ours, array in zip(params.unnamed, theirs, strict=True):
        same(ours, array.asnumpy())


@pytest.mark.parametrize("dtype", SAVED_BY_MXNET)
def test_v2_of_every_dtype(dtype: str, tmp_path: Path, mxnet_module: ModuleType) -> None:
    array = mxnet_module.nd.array(example(dtype), dtype=dtype)
    path = tmp_path / "a.params"
    mxnet_module.nd.save(str(path), {"arg:w": array, "aux:m": array * 1 if dtype != "bool" else array, "bare": array})
    params = read_params(path)
    same(params.args["w"], example(dtype))
    same(params.bare["bare"], example(dtype))
    assert list(params.aux) == ["m"]


def test_v2_plain_list(tmp_path: Path, mxnet_module: ModuleType) -> None:
    path = tmp_path / "a.params"
    mxnet_module.nd.save(str(path), [mxnet_module.nd.ones((2,)), mxnet_module.nd.zeros((1, 3))])
    params = read_params(path)
    assert [array.shape for array in params.unnamed] == [(2,), (1, 3)]


def test_v3_scalars_and_empty_arrays(tmp_path: Path, mxnet_module: ModuleType) -> None:
    mx = mxnet_module
    path = tmp_path / "a.params"
    with mx.util.np_shape(True), mx.util.np_array(True):
        arrays = {"arg:s": mx.np.array(3.5), "z": mx.np.zeros((0, 3)), "aux:w": mx.np.ones((2, 1))}
        mx.npx.save(str(path), arrays)
    assert struct.pack("<I", 0xF993FACA) in path.read_bytes()
    params = read_params(path)
    same(params.args["s"], np.float32(3.5).reshape(()))
    same(params.bare["z"], np.zeros((0, 3), np.float32))
    same(params.aux["w"], np.ones((2, 1), np.float32))


DENSE = np.array([[0, 0, 0], [1, 0, 2], [0, 0, 0], [0, 3, 0]], np.float32)


@pytest.mark.parametrize("kind", ["row_sparse", "csr"])
@pytest.mark.parametrize("dense", [DENSE, np.zeros_like(DENSE)], ids=["some", "none"])
def test_sparse_arrays_become_dense(
    kind: str, dense: np.ndarray[Any, Any], tmp_path: Path, mxnet_module: ModuleType
) -> None:
    path = tmp_path / "a.params"
    array = mxnet_module.nd.array(dense).tostype(kind)
    array.wait_to_read()  # else MXNet may write the storage shape before it is computed, and the file is damaged
    mxnet_module.nd.save(str(path), {"arg:w": array})
    same(read_params(path).args["w"], dense)
    mxnet_module.nd.save(str(path), {"arg:w": mxnet_module.nd.zeros(DENSE.shape, stype=kind)})
    same(read_params(path).args["w"], np.zeros_like(DENSE))


@pytest.mark.parametrize(
    "array",
    [
        SparseArray("row_sparse", (4, 3), DENSE[[1, 3]], (np.array([1, 3]),)),
        SparseArray("csr", (4, 3), np.array([1, 2, 3], np.float32), (np.array([0, 0, 2, 2, 3]), np.array([0, 2, 1]))),
    ],
    ids=["row_sparse", "csr"],
)
def test_sparse_arrays_are_written_for_mxnet(array: SparseArray, tmp_path: Path, mxnet_module: ModuleType) -> None:
    path = tmp_path / "a.params"
    write_params(path, {"w": array}, {})
    loaded = mxnet_module.nd.load(str(path))["arg:w"]
    assert loaded.stype == array.kind
    same(loaded.asnumpy(), DENSE)
    same(read_params(path).args["w"], DENSE)
    for version in ("V0", "V1", "V3", "npz"):
        with pytest.raises(ConversionError, match="sparse"):
            write_params(tmp_path / "b", {"w": array}, {}, version=version)


@pytest.mark.parametrize("version", ["V0", "V1", "V2", "V3"])
@pytest.mark.parametrize("dtype", WRITTEN)
def test_every_version_is_read_by_mxnet(version: Any, dtype: str, tmp_path: Path, mxnet_module: ModuleType) -> None:
    path = tmp_path / "a.params"
    array = example(dtype)
    write_params(path, {"w": array, "t": array.transpose(2, 0, 1)}, {"m": array[1]}, bare={"b": array}, version=version)
    with mxnet_module.util.np_shape(version == "V3"):
        loaded = mxnet_module.nd.load(str(path))
        assert set(loaded) == {"arg:w", "arg:t", "aux:m", "b"}
        if dtype == "bfloat16":  # MXNet hands it out as float32 only
            loaded = {key: value.astype("float32") for key, value in loaded.items()}
            array = array.astype(np.float32)
        same(loaded["arg:w"].asnumpy(), array)
        same(loaded["arg:t"].asnumpy(), np.ascontiguousarray(array.transpose(2, 0, 1)))
        same(loaded["aux:m"].asnumpy(), array[1])
    params = read_params(path)
    same(params.args["w"], example(dtype))
    same(params.bare["b"], example(dtype))


@pytest.mark.parametrize("dtype", ["int16", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("version", ["V0", "V1", "V2", "V3", "npz"])
def test_dtypes_that_mxnet_1_lacks_survive(dtype: str, version: Any, tmp_path: Path) -> None:
    write_params(tmp_path / "a", {"w": example(dtype)}, {}, version=version)
    same(read_params(tmp_path / "a").args["w"], example(dtype))


@pytest.mark.parametrize("version", ["V0", "V1", "V2", "V3"])
def test_a_plain_list_is_read_by_mxnet(version: Any, tmp_path: Path, mxnet_module: ModuleType) -> None:
    path = tmp_path / "a.params"
    write_params(path, {}, {}, unnamed=[example("float32"), example("int32")], version=version)
    with mxnet_module.util.np_shape(version == "V3"):
        loaded = mxnet_module.nd.load(str(path))
        assert isinstance(loaded, list)
        same(loaded[1].asnumpy(), example("int32"))
    assert len(read_params(path).unnamed) == 2


def test_v3_scalars_are_read_by_mxnet(tmp_path: Path, mxnet_module: ModuleType) -> None:
    path = tmp_path / "a.params"
    write_params(path, {"s": np.array(2.5), "z": np.zeros((0, 2), np.int32)}, {}, version="V3")
    with mxnet_module.util.np_shape(True):
        loaded = mxnet_module.nd.load(str(path))
        same(loaded["arg:s"].asnumpy(), np.array(2.5))
        assert loaded["arg:z"].shape == (0, 2)


@pytest.mark.parametrize("version", ["V0", "V1", "V2"])
@pytest.mark.parametrize("shape", [(), (0, 3)])
def test_what_only_v3_holds_is_refused_elsewhere(version: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="write version V3"):
        write_params(tmp_path / "a", {"w": np.zeros(shape, np.float32)}, {}, version=version)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", REAL)
def test_real_weights_survive_being_written(name: str, real_models: Path, tmp_path: Path) -> None:
    source = real_models / "mxnet" / name
    params = read_params(source)
    copy = tmp_path / "copy.params"
    write_params(copy, params.args, params.aux)
    written = read_params(copy)
    assert list(written.args) == list(params.args)
    assert list(written.aux) == list(params.aux)
    for key, array in (params.args | params.aux).items():
        same((written.args | written.aux)[key], as_numpy(array))


def test_v2_bytes_equal_those_of_mxnet(tmp_path: Path, mxnet_module: ModuleType) -> None:
    arrays = {"arg:w": example("float32"), "aux:m": example("int8")}
    mxnet_module.nd.save(str(tmp_path / "a"), {k: mxnet_module.nd.array(v, dtype=v.dtype) for k, v in arrays.items()})
    write_params(tmp_path / "b", {"w": arrays["arg:w"]}, {"m": arrays["aux:m"]})
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()


def test_no_array_is_told_apart(tmp_path: Path) -> None:
    """V2 writes an uninitialised array as a shape without dimensions and nothing after it."""
    none = struct.pack("<Iii", 0xF993FAC9, 0, 0)
    head = struct.pack("<3Q", 0x112, 0, 2)
    write_params(tmp_path / "one", {}, {}, unnamed=[example("float32")])
    array = (tmp_path / "one").read_bytes()[24:-8]
    path = tmp_path / "a.params"
    path.write_bytes(head + none + array + struct.pack("<Q", 0))
    assert [each.shape for each in read_params(path).unnamed] == [(0,), (2, 3, 4)]
    names = struct.pack("<QQ5sQ5s", 2, 5, b"arg:n", 5, b"arg:w")
    path.write_bytes(head + none + array + names)
    params = read_params(path)
    assert params.absent == ["arg:n"]
    assert list(params.args) == ["w"]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(save: Any, tmp_path: Path) -> None:
    arrays = {"arg:w": example("float32"), "aux:m": example("int64"), "b": np.asfortranarray(example("float64"))}
    arrays |= {"big": example("int32").astype(">i4"), "s": np.array(True)}
    save(tmp_path / "a.npz", **arrays)
    params = read_params(tmp_path / "a.npz")
    same(params.args["w"], arrays["arg:w"])
    same(params.aux["m"], arrays["aux:m"])
    same(params.bare["b"], np.ascontiguousarray(arrays["b"]))
    same(params.bare["big"], example("int32"))
    same(params.bare["s"], np.array(True))


def test_npz_is_read_by_numpy(tmp_path: Path) -> None:
    write_params(tmp_path / "a.npz", {"w": example("float16")}, {"m": np.array(1.5)}, version="npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as loaded:
        assert set(loaded) == {"arg:w", "aux:m"}
        same(loaded["arg:w"], example("float16"))
        same(loaded["aux:m"], np.array(1.5))
    write_params(tmp_path / "b.npz", {}, {}, unnamed=[example("bool")], version="npz")
    with np.load(tmp_path / "b.npz") as loaded:
        same(loaded["arr_0"], example("bool"))


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", example("uint8"))
    same(read_params(tmp_path / "a.npy").unnamed[0], example("uint8"))


def test_pickled_and_structured_npy_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(FormatError, match="only numbers"):
        read_params(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.zeros(2, [("x", "f4")]))
    with pytest.raises(FormatError, match="structured"):
        read_params(tmp_path / "a.npy")


def test_errors_name_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.params"
    write_params(path, {"w": example("float32")}, {})
    good = path.read_bytes()
    path.write_bytes(good + b"\0")
    with pytest.raises(FormatError, match=rf"a\.params, byte {len(good)}: .*1 more bytes follow: padded") as caught:
        read_params(path)
    assert caught.value.offset == len(good)
    path.write_bytes(good[:100])
    with pytest.raises(FormatError, match="truncated"):
        read_params(path)
    path.write_bytes(b"")
    with pytest.raises(FormatError, match="truncated"):
        read_params(path)
    path.write_bytes(b"x" * 64)
    with pytest.raises(FormatError, match="neither an NDArray list"):
        read_params(path)


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.params"
    write_params(path, {"v": example("int8"), "w": example("int8")}, {})
    path.write_bytes(path.read_bytes().replace(b"arg:w", b"arg:v"))
    with pytest.raises(FormatError, match="'arg:v' occurs more than once"):
        read_params(path)


def test_a_bare_name_that_would_change_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="read back as another"):
        write_params(tmp_path / "a", {}, {}, bare={"arg:w": example("int8")})


@pytest.mark.parametrize("version", ["V0", "V1", "V2", "V3"])
def test_a_mapped_tensor_is_copied_from_file_to_file(version: Any, tmp_path: Path) -> None:
    write_params(tmp_path / "a", {"v": example("int8"), "w": example("float32")}, {})
    params = read_params(tmp_path / "a")
    write_params(tmp_path / "b", params.args, params.aux, version=version)
    same(read_params(tmp_path / "b").args["w"], example("float32"))


def test_a_sparse_array_out_of_proportion_is_refused(tmp_path: Path) -> None:
    huge = SparseArray("row_sparse", (1 << 40, 3), DENSE[[1]], (np.array([5]),))
    write_params(tmp_path / "a", {"w": huge}, {})
    with pytest.raises(ConversionError, match="would take"):
        read_params(tmp_path / "a")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (SparseArray("row_sparse", (4, 3), DENSE[[1]], (np.array([4]),)), "row number 4 is outside"),
        (SparseArray("row_sparse", (4, 3), DENSE[[1]], (np.array([-1]),)), "row number -1 is outside"),
        (SparseArray("row_sparse", (4, 3), DENSE[[1]], (np.array([1, 2]),)), "2 row numbers"),
        (SparseArray("csr", (1, 3), DENSE[0], (np.array([0, 3]), np.array([0, 1, 3]))), "column number 3 is outside"),
        (SparseArray("csr", (2, 3), DENSE[0], (np.array([0, 5, 3]), np.array([0, 1, 2]))), "do not rise"),
        (SparseArray("csr", (2, 3), DENSE[0], (np.array([0, 3]), np.array([0, 1, 2]))), "2 row starts"),
        (SparseArray("csr", (1, 3), DENSE[0], (np.array([1, 3]), np.array([0, 1, 2]))), "do not rise from 0 to 3"),
    ],
)
def test_sparse_parts_that_do_not_fit_are_refused(array: SparseArray, message: str, tmp_path: Path) -> None:
    write_params(tmp_path / "a", {"w": array}, {})
    with pytest.raises(ConversionError, match=message):
        read_params(tmp_path / "a")
