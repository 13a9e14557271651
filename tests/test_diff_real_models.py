"""Real models against what facecvt makes of them: all is compared, no layer is off by itself, either way round."""

from __future__ import annotations

import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from facecvt.parity_tests.diff.compare import diff
from facecvt.parity_tests.proven import convert_and_verify

RETINAFACE = "mxnet/retinaface-mnet25"
BLAZEFACE = "onnx/blazeface-paddledet-port/blazeface.onnx"
SLIM = "onnx/ultra-light-face/version-slim-320_simplified.onnx"
SHAPES = {RETINAFACE: {"data": ("batch", 3, 160, 192)}}  # the others fix their size
ANCHORS = {RETINAFACE: 56, BLAZEFACE: 55, SLIM: 42}
slow = pytest.mark.slow
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


def model_of(real_models: Path, name: str, folder: Path) -> Path:
    """The model; of RetinaFace the symbol that fits the weights, under their name."""
    if name != RETINAFACE:
        return real_models / name
    shutil.copyfile(real_models / name / "M25-symbol.json", folder / "M25-symbol.json")
    shutil.copyfile(real_models / name / "mnet.25-0000.params", folder / "M25-0000.params")
    return folder / "M25-symbol.json"


def opened(path: Path, framework: str) -> Any:
    """What is compared: of PyTorch the model that ``model.py`` loads."""
    if framework != "torch":
        return path
    found = spec_from_file_location("made_by_facecvt", path / "model.py")
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module.load()


@pytest.mark.parametrize(
    ("name", "target"),
    [
        (RETINAFACE, "onnx"),
        (SLIM, "mxnet"),
        *(pytest.param(RETINAFACE, target, marks=slow) for target in ("torch", "paddle")),
        *(pytest.param(SLIM, target, marks=slow) for target in ("torch", "paddle")),
        *(pytest.param(BLAZEFACE, target, marks=slow) for target in ("torch", "paddle", "mxnet")),
    ],
)
def test_a_real_model_and_its_conversion_agree_layer_by_layer(
    real_models: Path, tmp_path: Path, ort_module: Any, request: pytest.FixtureRequest, name: str, target: str
) -> None:
    if target == "torch":
        request.getfixturevalue("torch_module")
    path = model_of(real_models, name, tmp_path)
    source = name.partition("/")[0]
    made = tmp_path / ("made.onnx" if target == "onnx" else "made")
    convert_and_verify(path, source, target, output=made, verify=False)
    both = path, opened(made, target)
    for a, b in (both, both[::-1]):
        found = diff(a, b, shapes=SHAPES.get(name), isolate=True)
        assert found.verdict == "agree", found.verification.reasons
        assert (found.anchors, found.verification.coverage.parametric) == (ANCHORS[name], 1.0)
        assert found.verification.coverage.taps > 0.95
        assert len(found.own) >= found.verification.layers_compared - 2
        assert all(layer.ratio < 10 for layer in found.verification.layers)
        assert max(own.rel_rmse for own in found.own.values()) < 1e-5
