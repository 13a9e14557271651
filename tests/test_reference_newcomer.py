"""What CONTRIBUTING says about adding an architecture: the excerpts are real, and one folder is all it takes."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import facecvt.reference_models as package
from facecvt.reference_models.weights import exchange, state_entries

PROJECT = Path(__file__).resolve().parents[1]
EXAMPLE = "mobilenet_v1"
SECTION = "## How to add an architecture"
BLOCK = re.compile(r"^ *```python\n *# (\S+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def excerpts():
    """(file, text) of every block of the section, without the list's indentation."""
    text = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text[text.index(SECTION) :]
    section = section[: section.index("\n## ", 1)]
    for file, block in BLOCK.findall(section):
        yield file, "\n".join(line[3:] for line in block.rstrip().splitlines())


def test_excerpts_are_in_the_files_they_name():
    found = list(excerpts())
    assert {Path(file).name for file, _ in found} == {"net_torch.py", "net_mxnet.py", "names.py", "spec.py"}
    for file, text in found:
        assert text in (PROJECT / file).read_text(encoding="utf-8"), f"{file} has no longer\n{text}"


@pytest.fixture
def newcomer(tmp_path, monkeypatch):
    """A family that nobody knows: the example under another name, its last width changed, in a folder of its own."""
    folder = tmp_path / "newcomer"
    shutil.copytree(PROJECT / "reference_models" / EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in folder.glob("*.py"):
        text = path.read_text(encoding="utf-8").replace("1024", "1040")
        if path.name == "spec.py":
            assert 'Alias("MobileNetV1")' in text
            text = text.replace('Alias("MobileNetV1")', 'Alias("Newcomer-1")').replace("seed004_mobilenetv1", "new_net")
            text = re.sub(rf'"{EXAMPLE}"', '"newcomer"', text)
        path.write_text(text.replace(f"reference_models.{EXAMPLE}", "reference_models.newcomer"), encoding="utf-8")
    declared = importlib.import_module("facecvt.reference_models.spec")
    registers = (declared.families, declared.architectures, declared._spellings)
    for register in registers:
        register.cache_clear()
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    yield "newcomer"
    monkeypatch.undo()
    for register in registers:
        register.cache_clear()
    for name in [name for name in sys.modules if name.startswith("facecvt.reference_models.newcomer")]:
        del sys.modules[name]


def test_one_folder_is_all_it_takes(newcomer, torch_module, paddle_module, mxnet_module):
    from facecvt.reference_models import build, names, resolve, spec
    from facecvt.reference_models.seeded import seeded_state

    assert newcomer in names()
    assert resolve("newcomer-1").architecture == resolve("new_net").architecture == spec(newcomer)
    arch = spec(newcomer, num_classes=7)
    state = seeded_state(arch, "mxnet")
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 224, 224)).astype(np.float32)

    net = build(newcomer, "torch", num_classes=7)
    assert [(key, tuple(value.shape)) for key, value in net.state_dict().items()] == [
        (entry.name, entry.shape) for entry in state_entries(arch, "torch")
    ]
    ours = exchange(state, "mxnet", "torch", arch)
    net.load_state_dict({key: torch_module.from_numpy(array) for key, array in ours.items()}, strict=True)
    with torch_module.no_grad():
        reference = net.eval()(torch_module.from_numpy(x)).numpy()
    assert reference.shape == (2, 7)

    layer = build(newcomer, "paddle", num_classes=7)
    assert layer.set_state_dict(exchange(state, "mxnet", "paddle", arch)) == ([], [])
    layer.eval()
    with paddle_module.no_grad():
        assert np.abs(layer(paddle_module.to_tensor(x)).numpy() - reference).max() < 1e-5 * np.abs(reference).max()

    symbol = build(newcomer, "mxnet", num_classes=7)
    arrays = {key: mxnet_module.nd.array(array) for key, array in state.items()}
    args = {key: arrays[key] for key in symbol.list_arguments() if key != "data"} | {"data": mxnet_module.nd.array(x)}
    aux = {key: arrays[key] for key in symbol.list_auxiliary_states()}
    (output,) = symbol.bind(mxnet_module.cpu(), args, aux_states=aux, grad_req="null").forward(is_train=False)
    assert np.abs(output.asnumpy() - reference).max() < 1e-5 * np.abs(reference).max()


def test_it_is_listed_and_counted(newcomer, capsys):
    from facecvt import cli
    from facecvt.reference_models.listing_page import markdown

    assert cli.main(["models", "newcomer"]) == 0
    out = capsys.readouterr().out
    assert "newcomer, written in torch, paddle, mxnet" in out
    known, new = (package.spec(name).parameter_count() for name in (EXAMPLE, newcomer))
    # one depthwise convolution, two 1x1 ones, three BatchNormalizations, the linear layer: 16 channels more
    assert new - known == 16 * 9 + (16 * 512 + 1040 * 1040 - 1024 * 1024) + 3 * 2 * 16 + 16 * 1000
    assert f"{new:,}" in out
    assert "## newcomer" in markdown()


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_its_graphs_become_its_class(newcomer, tmp_path, torch_module):
    """Recognised from another framework's file, and written as its own ``net_torch.py``; the example's are not."""
    from facecvt.converters.readers.from_onnx import read_onnx
    from facecvt.reference_models import build
    from facecvt.reference_models.public_class import public_class

    for name in (newcomer, EXAMPLE):
        path, x = tmp_path / f"{name}.onnx", torch_module.zeros(1, 3, 224, 224)
        preserve = torch_module.onnx.TrainingMode.PRESERVE
        torch_module.onnx.export(build(name, "torch").eval(), (x,), str(path), dynamo=False, training=preserve)
        known = public_class(read_onnx(path))
        assert known is not None
        assert known.name == name
        assert ("1040" in known.class_source) == (name == newcomer)
