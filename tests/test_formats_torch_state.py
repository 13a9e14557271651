"""PyTorch checkpoints, held against torch in both directions."""

from __future__ import annotations

import argparse
import os
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from facecvt.converters.errors import ConversionError, FormatError
from facecvt.converters.formats.mapped import MappedTensor, as_numpy
from facecvt.converters.formats.torch_state import read_state_dict, write_state_dict

REAL = {
    "blazeface-mediapipe/blazeface.pth": (74, ""),
    "blazeface-mediapipe/blazefaceback.pth": (138, ""),
    "blazeface-paddledet-port/blazeface_1000e.pt": (236, ""),
    "blazeface-paddledet-port/blazeface_1000e.pth": (198, ""),
    "blazeface-paddledet-port/blazeface_fpn_ssh_1000e.pt": (314, ""),
    "face-detector-1mb/mobilenet0.25_Final.pth": (300, ""),
    "face-detector-1mb/slim_Final.pth": (198, ""),
    "minifasnet/2.7_80x80_MiniFASNetV2.pth": (334, "module."),
    "minifasnet/4_0_0_80x80_MiniFASNetV1SE.pth": (370, "module."),
    "ultra-light-face/version-RFB-320.pth": (244, ""),
    "ultra-light-face/version-slim-320.pth": (184, ""),
}
DTYPES = "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool"
WITHOUT_STORAGE_CLASS = "uint16 uint32 uint64"


def same(ours: Any, theirs: Any) -> None:
    """Bit for bit; numpy has no bfloat16, so bytes are compared."""
    array = as_numpy(ours)
    assert array.dtype.name == str(theirs.dtype).removeprefix("torch.")
    assert array.shape == tuple(theirs.shape)
    flat = theirs.detach().contiguous().reshape(-1)
    assert array.tobytes() == flat.view(__import__("torch").uint8).numpy().tobytes()


def example(torch: ModuleType, dtype: str, shape: tuple[int, ...] = (2, 3, 4)) -> Any:
    count = int(np.prod(shape))
    return (torch.arange(count) % (2 if dtype == "bool" else 100)).reshape(shape).to(getattr(torch, dtype))


def save(torch: ModuleType, value: Any, path: Path, legacy: bool) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_read_as_torch_reads_them(name: str, real_models: Path, torch_module: ModuleType) -> None:
    path = real_models / "pytorch" / name
    state = read_state_dict(path)
    theirs = torch_module.load(path, weights_only=True, map_location="cpu")
    assert (len(state.tensors), state.prefix) == REAL[name]
    assert state.wrapper is None
    assert [state.prefix + key for key in state.tensors] == list(theirs)
    for key, tensor in state.tensors.items():
        assert isinstance(tensor, MappedTensor)  # a window on the file, not a copy
        same(tensor, theirs[state.prefix + key])


@pytest.mark.parametrize("name", REAL)
def test_real_files_survive_being_written(
    name: str, real_models: Path, tmp_path: Path, torch_module: ModuleType
) -> None:
    state = read_state_dict(real_models / "pytorch" / name)
    path = tmp_path / "a.pth"
    write_state_dict(path, state.tensors)
    loaded = torch_module.load(path, weights_only=True, mmap=True)
    assert type(loaded) is OrderedDict
    assert list(loaded) == list(state.tensors)
    for key, tensor in state.tensors.items():
        same(tensor, loaded[key])


@pytest.mark.parametrize("net", ["ONet", "PNet", "RNet"])
def test_torchscript_is_refused_by_its_name(net: str, real_models: Path) -> None:
    with pytest.raises(FormatError, match="TorchScript archive: a program with its weights"):
        read_state_dict(real_models / f"pytorch/mtcnn-torchscript/{net}.pth")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("dtype", [*DTYPES.split(), *WITHOUT_STORAGE_CLASS.split()])
def test_every_dtype_is_read(dtype: str, legacy: bool, tmp_path: Path, torch_module: ModuleType) -> None:
    tensor = example(torch_module, dtype)
    path = save(torch_module, {"w": tensor, "s": tensor[1, 2, 3], "e": tensor[:0]}, tmp_path / "a.pth", legacy)
    state = read_state_dict(path)
    same(state.tensors["w"], tensor)
    same(state.tensors["s"], tensor[1, 2, 3])
    same(state.tensors["e"], tensor[:0])


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_strides_and_shared_storages(legacy: bool, tmp_path: Path, torch_module: ModuleType) -> None:
    whole = example(torch_module, "float32", (4, 5, 6))
    views = {
        "whole": whole,
        "part": whole[1:3],
        "transposed": whole.permute(2, 0, 1),
        "every_other": whole[:, ::2, 1::3],
        "expanded": whole[0, 0, :1].expand(3, 4),
        "column": whole[:, :, 2],
        "channels_last": example(torch_module, "float32", (2, 3, 4, 5)).to(memory_format=torch_module.channels_last),
        "ones": whole[:1, :, :1],
    }
    state = read_state_dict(save(torch_module, views, tmp_path / "a.pth", legacy))
    for key, tensor in views.items():
        same(state.tensors[key], tensor)
    assert isinstance(state.tensors["part"], MappedTensor)
    parts = [each for each in (state.tensors["whole"], state.tensors["part"]) if isinstance(each, MappedTensor)]
    assert parts[1].offset - parts[0].offset == 30 * 4
    write_state_dict(tmp_path / "b.pth", state.tensors)
    loaded = torch_module.load(tmp_path / "b.pth", weights_only=True, mmap=True)
    for key, tensor in views.items():
        assert torch_module.equal(loaded[key], tensor)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_parameters_and_layer_versions(legacy: bool, tmp_path: Path, torch_module: ModuleType) -> None:
    net = torch_module.nn.Sequential(torch_module.nn.Conv2d(2, 3, 3), torch_module.nn.BatchNorm2d(3))
    state = read_state_dict(save(torch_module, net.state_dict(), tmp_path / "a.pth", legacy))
    assert list(state.tensors) == list(net.state_dict())
    state = read_state_dict(save(torch_module, dict(net.named_parameters()), tmp_path / "b.pth", legacy))
    same(state.tensors["0.weight"], net[0].weight)
    write_state_dict(tmp_path / "c.pth", read_state_dict(tmp_path / "a.pth").tensors)
    other = torch_module.nn.Sequential(torch_module.nn.Conv2d(2, 3, 3), torch_module.nn.BatchNorm2d(3))
    other.load_state_dict(torch_module.load(tmp_path / "c.pth", weights_only=True), strict=True)
    assert torch_module.equal(other[0].weight, net[0].weight)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_cuda_storages(legacy: bool, tmp_path: Path, torch_module: ModuleType) -> None:
    """A checkpoint saved on a GPU differs in the location that its storages name, and in nothing else."""
    path = save(torch_module, {"w": example(torch_module, "float32")}, tmp_path / "a.pth", legacy)
    if legacy:
        path.write_bytes(path.read_bytes().replace(b"X\x03\0\0\0cpu", b"X\x06\0\0\0cuda:0"))
    else:
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "b.pth", "w") as target:
            for member in source.infolist():
                target.writestr(member, source.read(member).replace(b"X\x03\0\0\0cpu", b"X\x06\0\0\0cuda:0"))
        path = tmp_path / "b.pth"
    assert b"cuda:0" in path.read_bytes()
    assert torch_module.equal(
        torch_module.load(path, map_location="cpu", weights_only=True)["w"], example(torch_module, "float32")
    )
    same(read_state_dict(path).tensors["w"], example(torch_module, "float32"))


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "net_state_dict", "model_state_dict"])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_wrappers(wrapper: str, legacy: bool, tmp_path: Path, torch_module: ModuleType) -> None:
    inner = OrderedDict({"module.conv.weight": example(torch_module, "float32")})
    value = {"epoch": 3, wrapper: inner, "loss": example(torch_module, "float32")[0, 0, 0], "optimizer": {"lr": 0.1}}
    state = read_state_dict(save(torch_module, value, tmp_path / "a.pth", legacy))
    assert (state.wrapper, state.prefix) == (wrapper, "module.")
    assert list(state.tensors) == ["conv.weight"]


def test_a_state_dict_under_a_name_of_its_own(tmp_path: Path, torch_module: ModuleType) -> None:
    inner = {f"layer{index}.weight": example(torch_module, "float32") for index in range(9)}
    head = {"weight": example(torch_module, "float32")}
    value = {"epoch": 3, "state_dict_softmax_fc": head, "state_dict_backbone": inner, "state_optimizer": {"state": {}}}
    state = read_state_dict(save(torch_module, value, tmp_path / "x.pt", False))
    assert state.wrapper == "state_dict_backbone"
    assert list(state.tensors) == list(inner)
    save(torch_module, {"first": inner, "second": inner}, tmp_path / "y.pt", False)
    with pytest.raises(FormatError, match="more than one state_dict, under first, second"):
        read_state_dict(tmp_path / "y.pt")


def test_nested_wrappers(tmp_path: Path, torch_module: ModuleType) -> None:
    value = {"model": {"state_dict": {"w": example(torch_module, "int8")}}}
    state = read_state_dict(save(torch_module, value, tmp_path / "a.pth", False))
    assert state.wrapper == "model.state_dict"
    assert list(state.tensors) == ["w"]


@pytest.mark.parametrize(
    ("names", "prefix"),
    [
        (["module.a.w", "module.b.w"], "module."),
        (["module.backbone.a", "module.backbone.b"], "module.backbone."),
        (["model.backbone.a"], "model.backbone."),
        (["backbone.a", "head.a"], ""),
        (["backbone1.a", "backbone2.a"], ""),
        (["module.a", "module."], ""),
        (["modules.a"], ""),
    ],
)
def test_prefixes(names: list[str], prefix: str, tmp_path: Path, torch_module: ModuleType) -> None:
    value = {name: example(torch_module, "int8") for name in names}
    state = read_state_dict(save(torch_module, value, tmp_path / "a.pth", False))
    assert state.prefix == prefix
    assert [prefix + key for key in state.tensors] == names


def test_values_that_are_no_tensors_are_told(tmp_path: Path, torch_module: ModuleType) -> None:
    value = {"w": example(torch_module, "int8"), "epoch": 3, "size": torch_module.Size([1, 2]), "array": np.ones(3)}
    state = read_state_dict(save(torch_module, value, tmp_path / "a.pth", False))
    assert list(state.tensors) == ["w"]
    assert state.skipped == {"epoch": "int", "size": "tuple", "array": "ndarray"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "holds a list, not a state_dict"),
        ({"generator": {"w": 1}}, "no tensor at its top level.*'generator'"),
        ({}, "keys: none"),
        ({"model": {}, "state_dict": {}}, "more than one state_dict, under state_dict, model"),
    ],
)
def test_what_is_no_state_dict_is_refused(value: Any, message: str, tmp_path: Path, torch_module: ModuleType) -> None:
    with pytest.raises(FormatError, match=message):
        read_state_dict(save(torch_module, value, tmp_path / "a.pth", False))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("foreign", [os.system, Path, argparse.Namespace(lr=1)], ids=["system", "Path", "Namespace"])
def test_a_foreign_global_is_refused_by_its_full_name(
    foreign: Any, legacy: bool, tmp_path: Path, torch_module: ModuleType
) -> None:
    kind = foreign if isinstance(foreign, type) or callable(foreign) else type(foreign)
    value = {"w": example(torch_module, "int8"), "x": foreign}
    path = save(torch_module, value, tmp_path / "a.pth", legacy)
    full_name = re.escape(f"{kind.__module__}.{kind.__qualname__}")
    with pytest.raises(ConversionError, match=f"names {full_name}, which is not among") as caught:
        read_state_dict(path)
    assert caught.value.exit_code == 3


def test_a_whole_module_is_refused(tmp_path: Path, torch_module: ModuleType) -> None:
    path = save(torch_module, torch_module.nn.Linear(2, 3), tmp_path / "a.pth", False)
    with pytest.raises(FormatError, match=r"names torch\.nn\.modules\.linear\.Linear"):
        read_state_dict(path)


@pytest.mark.parametrize("dtype", DTYPES.split())
def test_every_dtype_is_written(dtype: str, tmp_path: Path, torch_module: ModuleType) -> None:
    tensor = example(torch_module, dtype)
    save(torch_module, {"w": tensor, "s": tensor[1, 2, 3], "e": tensor[:0]}, tmp_path / "a.pth", False)
    write_state_dict(tmp_path / "b.pth", read_state_dict(tmp_path / "a.pth").tensors)
    for mapped in (False, True):
        loaded = torch_module.load(tmp_path / "b.pth", weights_only=True, mmap=mapped)
        assert torch_module.equal(loaded["w"], tensor)
        assert loaded["w"].dtype == tensor.dtype
        assert torch_module.equal(loaded["s"], tensor[1, 2, 3])
        assert loaded["e"].shape == (0, 3, 4)


def test_arrays_of_memory_are_written(tmp_path: Path, torch_module: ModuleType) -> None:
    arrays = {
        "big": np.arange(6, dtype=">f4").reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "scalar": np.array(7, np.int64),
        "Größe": np.ones(1, np.float32),
    }
    write_state_dict(tmp_path / "a.pth", arrays)
    loaded = torch_module.load(tmp_path / "a.pth", weights_only=True)
    assert loaded["big"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert loaded["fortran"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert loaded["scalar"].item() == 7
    assert list(loaded) == list(arrays)


def test_a_dtype_without_storage_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="tensor 'w' has dtype complex64"):
        write_state_dict(tmp_path / "a.pth", {"w": np.zeros(2, np.complex64)})
    assert list(tmp_path.iterdir()) == []


def test_the_layout_that_is_written(tmp_path: Path) -> None:
    arrays = {f"w{index}": np.full(index + 1, index, np.float32) for index in range(5)}
    write_state_dict(tmp_path / "a.pth", arrays)
    write_state_dict(tmp_path / "b.pth", arrays)
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()
    state = read_state_dict(tmp_path / "a.pth")
    assert all(isinstance(each, MappedTensor) and each.offset % 64 == 0 for each in state.tensors.values())
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:  # an independent reader; checks every CRC
        assert archive.testzip() is None
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.read("archive/data/2") == arrays["w2"].tobytes()


def test_deflated_and_big_endian_archives(tmp_path: Path, torch_module: ModuleType) -> None:
    values = example(torch_module, "float32")
    save(torch_module, {"w": values, "t": values.permute(2, 1, 0)}, tmp_path / "a.pth", False)
    with zipfile.ZipFile(tmp_path / "a.pth") as source, zipfile.ZipFile(tmp_path / "b.pth", "w") as target:
        for member in source.infolist():
            data = source.read(member)
            if "/data/" in member.filename:
                data = np.frombuffer(data, "<f4").astype(">f4").tobytes()
            if member.filename.endswith("byteorder"):
                data = b"big"
            target.writestr(member.filename, data, zipfile.ZIP_DEFLATED)
    loaded = torch_module.load(tmp_path / "b.pth", weights_only=True)
    assert torch_module.equal(loaded["w"], values)
    state = read_state_dict(tmp_path / "b.pth")
    same(state.tensors["w"], values)
    same(state.tensors["t"], values.permute(2, 1, 0))


def test_archives_without_checksums(tmp_path: Path, torch_module: ModuleType) -> None:
    former = torch_module.serialization.get_crc32_options()
    torch_module.serialization.set_crc32_options(False)
    try:
        save(torch_module, {"w": example(torch_module, "float32")}, tmp_path / "a.pth", False)
    finally:
        torch_module.serialization.set_crc32_options(former)
    same(read_state_dict(tmp_path / "a.pth").tensors["w"], example(torch_module, "float32"))


def test_other_archives_and_pickles_are_refused(tmp_path: Path) -> None:
    import pickle

    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(FormatError, match=r"without exactly one <name>/data\.pkl"):
        read_state_dict(tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps({"w": 1}, protocol=2))
    with pytest.raises(FormatError, match="magic number is missing"):
        read_state_dict(tmp_path / "b.pth")
    (tmp_path / "c.pth").write_bytes(b"")
    with pytest.raises(FormatError, match="truncated"):
        read_state_dict(tmp_path / "c.pth")
