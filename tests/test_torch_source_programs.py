"""Programs of PyTorch as a source: TorchScript archives, ExportedPrograms and code; names, free sizes, refusals."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from facecvt.converters.errors import ConversionError, FormatError, UsageError
from facecvt.converters.formats.model_files import TorchFiles
from facecvt.converters.formats.torch_state import read_state_dict
from facecvt.converters.readers.from_torch import kind_of, module_path
from facecvt.parity_tests.proven import ProvenConversion, convert_and_verify

CODE = """
import torch
from torch import nn


class Unit(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.PReLU(8))

    def forward(self, x):
        return x + self.body(x)


class Net(nn.Module):
    def __init__(self, named=True):
        super().__init__()
        self.named = named
        torch.manual_seed(1)
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.units = nn.Sequential(Unit(), Unit())
        self.fc = nn.Linear(8, 5)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight)
                nn.init.normal_(module.running_mean)
                nn.init.uniform_(module.running_var, 0.5, 2.0)

    def forward(self, picture):
        maps = self.units(self.stem(picture))
        embedding = self.fc(maps.mean((2, 3)))
        return {"maps": maps, "embedding": embedding} if self.named else (maps, embedding)


def make():
    return Net()


class Broken(Net):
    def forward(self, picture):
        return self.fc(picture)


def wrong():
    return 3
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torch_module: ModuleType) -> Any:
    """A module of the user's in the current folder."""
    import sys

    (tmp_path / "own_nets.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield __import__("own_nets")
    sys.modules.pop("own_nets", None)


def converted(source: Path | str, target: Path, to: str = "onnx", **options: Any) -> ProvenConversion:
    return convert_and_verify(source, "torch", to, output=target, **options)


def agreed(result: ProvenConversion) -> list[str]:
    """Names of the values that were compared."""
    assert result.verification is not None
    assert result.exit_code == 0, result.verification.reasons
    assert result.verification.coverage.parametric == 1.0
    return [layer.name for layer in result.verification.layers]


def test_code_keeps_its_paths_and_its_norms(package: Any, tmp_path: Path, ort_module: ModuleType) -> None:
    result = converted("own_nets:make", tmp_path / "x.onnx")
    compared = agreed(result)
    assert {"stem", "units.0.body.0", "units.0.body.1", "units.1.body.2"} <= set(compared)
    operators = [node.op_type for node in result.conversion.graph.body]
    assert (operators.count("BatchNormalization"), operators.count("Conv")) == (2, 3)
    assert "units.0.body.1.running_mean" in result.conversion.graph.body.initializers
    (contract,) = result.conversion.contracts
    assert (contract.name, contract.shape) == ("picture", ("batch", 3, "height", "width"))
    assert [value.name for value in result.conversion.graph.outputs] == ["maps", "embedding"]


def test_a_given_size_is_kept(package: Any, tmp_path: Path) -> None:
    result = converted("own_nets:make", tmp_path / "x.onnx", inputs={"picture": ["batch", 3, 40, 24]}, verify=False)
    assert result.conversion.contracts[0].shape == ("batch", 3, 40, 24)


def test_archives_of_both_kinds(package: Any, tmp_path: Path, torch_module: ModuleType, ort_module: ModuleType) -> None:
    torch, example = torch_module, torch_module.rand(2, 3, 32, 32)
    module = package.make().eval()
    script, program = tmp_path / "script.pt", tmp_path / "program.pt2"
    torch.jit.trace(package.Net(named=False).eval(), example).save(str(script))
    batch = torch.export.Dim("batch")
    torch.export.save(torch.export.export(module, (example,), dynamic_shapes=({0: batch},)), str(program))
    assert kind_of(TorchFiles("x", script)) == "script"
    assert kind_of(TorchFiles("x", program)) == "exported"
    with pytest.raises(FormatError, match="an ExportedProgram: a program with its weights"):
        read_state_dict(program)
    torch.save(module.state_dict(), tmp_path / "state.pth")
    assert kind_of(TorchFiles("x", tmp_path / "state.pth")) == "state"
    compared = agreed(converted(script, tmp_path / "script.onnx"))
    assert "units.0.body.1" in compared
    torch.jit.trace(module, example, strict=False).save(str(script))
    with pytest.raises(ConversionError, match=r"returns a dictionary \(maps, embedding\)"):
        converted(script, tmp_path / "other.onnx")
    result = converted(program, tmp_path / "program.onnx")
    agreed(result)
    assert result.conversion.contracts[0].shape == ("batch", 3, 32, 32)


@pytest.mark.parametrize("name", ["RNet", "ONet"])
def test_real_archives(name: str, real_models: Path, tmp_path: Path, torch_module: Any, ort_module: Any) -> None:
    result = converted(real_models / "pytorch" / "mtcnn-torchscript" / f"{name}.pth", tmp_path / "x.onnx")
    agreed(result)
    side = {"RNet": 24, "ONet": 48}[name]
    assert result.conversion.contracts[0].shape == ("batch", 3, side, side)


def test_what_is_refused(package: Any, tmp_path: Path) -> None:
    for spelling, message in (
        ("own_nets:wrong", "gives a int, where an nn.Module is expected"),
        ("own_nets:missing", "has no attribute 'missing'"),
        ("no_such_nets:make", "No module named 'no_such_nets'"),
        ("own_nets:Broken", r"at 3x112x112 it raises: mat1 and mat2 shapes cannot be multiplied \(672x112 and 8x5\)"),
    ):
        with pytest.raises(UsageError, match=message):
            converted(spelling, tmp_path / "x.onnx")
    with pytest.raises(UsageError, match="has no input 'data'; its inputs are picture"):
        converted("own_nets:make", tmp_path / "x.onnx", inputs={"data": [1, 3, 8, 8]})
    with pytest.raises(UsageError, match="is a program; --arch iresnet18 is for bare weights"):
        converted("own_nets:make", tmp_path / "x.onnx", arch="iresnet18")


def test_a_damaged_archive_is_an_error(package: Any, tmp_path: Path, torch_module: ModuleType) -> None:
    import zipfile

    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/constants.pkl", b"")
        archive.writestr("x/code/__torch__.py", b"?")
    with pytest.raises(FormatError, match="PyTorch cannot load it"):
        converted(path, tmp_path / "x.onnx")


def test_paths_of_modules() -> None:
    assert module_path("/layer1/layer1.0/conv1/Conv_2") == "layer1.0.conv1"
    assert module_path("/units/units.0/body/body.1/BatchNormalization") == "units.0.body.1"
    assert module_path("/Flatten") == ""
    assert module_path("") == ""
