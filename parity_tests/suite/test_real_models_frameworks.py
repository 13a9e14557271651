"""Every real model in every direction against its own framework, and the same models as newer frameworks save them.

The oracle has no part in this: MXNet 1.9.1, Paddle 3.3.1 or ONNX Runtime runs the source files, the target's runtime
runs what was written, on the same inputs.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from facecvt.converters.conversion import Conversion, convert_files
from facecvt.converters.formats.locate import locate
from facecvt.converters.formats.model_files import MxnetFiles, OnnxFiles, PaddleFiles
from facecvt.parity_tests.inputs import KINDS, InputPlan
from facecvt.parity_tests.metrics import compare
from facecvt.parity_tests.runtimes.open_target import open_target
from facecvt.parity_tests.runtimes.runtime import NumpyArray, Runtime
from facecvt.parity_tests.runtimes.runtime_mxnet import MxnetRuntime
from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime
from facecvt.parity_tests.runtimes.runtime_paddle import PaddleRuntime
from facecvt.parity_tests.support.real_models import LARGEST_ONE_MINUS_COS, LARGEST_REL_RMSE, REAL_MODELS, RealModel
from facecvt.parity_tests.verify import verify

MODELS = {model.key: model for model in REAL_MODELS}
SLOW = {"blazeface", "rfb320-raw"}  # blazeface-sim and rfb320 stay
FRAMEWORK_FIXTURES = {"mxnet": "mxnet_module", "paddle": "paddle_module", "onnx": "ort_module", "torch": "torch_module"}
RESAVE = Path(__file__).with_name("resave_paddle_as_pir.py")
MXNET_RESAVED = ("det1", "det2", "det3", "gender-age", "retinaface")
PADDLE_RESAVED = tuple(f"{kind}-{net}" for kind in ("combined", "separate") for net in ("PNet", "RNet", "ONet"))
# Paddle translates the old `mul` into reshape, matmul, reshape: the same numbers, other operators.
TRANSLATED_OTHERWISE = ("separate-RNet", "separate-ONet")
MAGIC_V3 = 0xF993FACA


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frameworks")


@dataclass
class Converted:
    """Conversions that several tests use, made when they are first asked for."""

    models: Path
    folder: Path
    made: dict[tuple[str, str], Conversion] = field(default_factory=dict)

    def __call__(self, model: RealModel, target: str) -> Conversion:
        key = (model.key, target)
        if key not in self.made:
            self.made[key] = model.convert(target, self.models, self.folder)
        return self.made[key]


@pytest.fixture(scope="module")
def converted(real_models: Path, scratch: Path) -> Converted:
    return Converted(real_models, scratch)


def source_runtime(files: MxnetFiles | PaddleFiles | OnnxFiles) -> Runtime:
    """The source's own framework on the source's files."""
    if isinstance(files, MxnetFiles):
        return MxnetRuntime(files.symbol, files.params)
    if isinstance(files, PaddleFiles):
        assert files.program is not None
        return PaddleRuntime(files.program, files.weights)
    return OrtRuntime(files.model)


Outputs = dict[tuple[str, int], list[NumpyArray]]


def feeds_of(conversion: Conversion) -> dict[tuple[str, int], dict[str, NumpyArray]]:
    """(kind, batch) -> what is fed."""
    plan = InputPlan()
    batches = plan.batches_for(conversion.contracts)
    return {(kind, batch): plan.feeds(conversion.contracts, kind, batch) for kind in KINDS for batch in batches}


def outputs_of(runtime: Runtime, feeds: dict[tuple[str, int], dict[str, NumpyArray]]) -> Outputs:
    """Outputs in the model's order for everything that is fed."""
    with runtime:
        return {key: list(runtime.run(feed).outputs.values()) for key, feed in feeds.items()}


def assert_same_numbers(expected: Outputs, actual: Outputs, what: str) -> None:
    assert expected.keys() == actual.keys()
    for key, outputs in expected.items():
        assert len(outputs) == len(actual[key]) > 0
        for number, (ours, theirs) in enumerate(zip(outputs, actual[key], strict=True)):
            found = compare(ours.astype(np.float64), theirs)
            where = f"{what}, {key}, output {number}"
            assert found.problem is None, f"{where}: {found.problem}"
            assert found.elements > 0, where
            assert np.ptp(ours) > 0, f"{where}: a constant proves nothing"
            assert found.rel_rmse <= LARGEST_REL_RMSE, f"{where}: {found}"
            assert found.one_minus_cos <= LARGEST_ONE_MINUS_COS, f"{where}: {found}"


# The oracle of a PyTorch source is PyTorch itself. What goes to Paddle takes long, in a process of its own.
CASES = [
    pytest.param(
        model,
        targets,
        id=f"{model.key}-{'-'.join(targets)}",
        marks=[pytest.mark.slow] * (model.key in SLOW or targets == ("paddle",)),
    )
    for model in REAL_MODELS
    for targets in (tuple(target for target in model.targets if target != "paddle"), ("paddle",))
    if model.framework != "torch" and set(targets) <= set(model.targets)
]


@pytest.mark.parametrize(("model", "targets"), CASES)
def test_it_gives_what_its_framework_gives(
    model: RealModel,
    targets: tuple[str, ...],
    real_models: Path,
    scratch: Path,
    converted: Converted,
    request: pytest.FixtureRequest,
) -> None:
    for framework in (model.framework, *targets):
        request.getfixturevalue(FRAMEWORK_FIXTURES[framework])
    conversions = {target: converted(model, target) for target in targets}
    feeds = feeds_of(next(iter(conversions.values())))
    assert {batch for _, batch in feeds} == set(model.batches)
    expected = outputs_of(source_runtime(model.locate(real_models, scratch)), feeds)
    for target, conversion in conversions.items():
        assert_same_numbers(expected, outputs_of(open_target(conversion), feeds), f"{model.key} to {target}")


# ---- the same models, saved again


def first_magics(path: Path) -> set[int]:
    """The first word of the first array of an MXNet weights file."""
    return {struct.unpack_from("<I", path.read_bytes(), 24)[0]}


@pytest.mark.parametrize("key", MXNET_RESAVED)
def test_mxnet_saved_again_as_v3_arrays(
    key: str, real_models: Path, converted: Converted, mxnet_module: ModuleType, tmp_path: Path
) -> None:
    """MXNet reads model and weights and saves both: JSON of 1.9.1, and V3, the form for shapes as numpy has them."""
    mx = mxnet_module
    model = MODELS[key]
    original = model.locate(real_models, tmp_path)
    assert isinstance(original, MxnetFiles)
    stem = original.symbol.name.removesuffix("-symbol.json")
    folder = tmp_path / original.symbol.parent.name
    folder.mkdir()
    mx.sym.load(str(original.symbol)).save(str(folder / f"{stem}-symbol.json"))
    arrays = mx.nd.load(str(original.params))
    with mx.util.np_shape(True):
        mx.nd.save(str(folder / f"{stem}-0001.params"), arrays)
    assert first_magics(folder / f"{stem}-0001.params") == {MAGIC_V3} != first_magics(original.params)
    assert (folder / f"{stem}-symbol.json").read_bytes() != original.symbol.read_bytes()

    again = convert_files("mxnet", locate("mxnet", folder), "onnx", tmp_path / "again.onnx")
    assert again.target.read_bytes() == converted(model, "onnx").target.read_bytes()
    assert verify(again, batches=(1, 2)).verdict == "agree"


@pytest.fixture(scope="module")
def pir(real_models: Path, scratch: Path, paddle_module: ModuleType) -> Path:
    """Folder in which Paddle saved its MTCNN nets as PIR JSON."""
    folder = scratch / "pir"
    arguments = []
    for key in PADDLE_RESAVED:
        files = MODELS[key].locate(real_models, scratch)
        assert isinstance(files, PaddleFiles)
        arguments += [str(files.program), "-" if files.layout == "separate" else str(files.weights), key]
    command = [sys.executable, str(RESAVE), str(folder), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLAGS_")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def nameless(conversion: Conversion) -> tuple[list[str], dict[str, bytes], list[bytes]]:
    """An ONNX target but for the names of values, which PIR does not have: operators, weights, other constants."""
    import onnx

    graph = onnx.load(conversion.target).graph
    for node in graph.node:
        del node.input[:], node.output[:]
        node.ClearField("name")
        node.ClearField("metadata_props")
    weights, constants = {}, []
    for tensor in graph.initializer:
        if tensor.name in conversion.source_model.program.parameters:
            weights[tensor.name] = tensor.SerializeToString()
        else:
            tensor.ClearField("name")
            constants.append(tensor.SerializeToString())
    return [str(node) for node in graph.node], weights, sorted(constants)


@pytest.mark.parametrize("key", PADDLE_RESAVED)
def test_paddle_saved_again_as_pir_json(key: str, pir: Path, converted: Converted, torch_module: ModuleType) -> None:
    files = locate("paddle", pir / f"{key}.json")
    assert isinstance(files, PaddleFiles)
    legacy = converted(MODELS[key], "onnx")
    weights = legacy.source_files[-1]
    if weights.is_file():
        assert (pir / f"{key}.pdiparams").read_bytes() == weights.read_bytes()

    feeds = feeds_of(legacy)
    expected = outputs_of(open_target(legacy), feeds)
    for target, name in (("onnx", f"{key}.onnx"), ("torch", f"{key}_torch")):
        conversion = convert_files("paddle", files, target, pir / name)
        assert conversion.source_model.program.dialect == "pir"
        assert verify(conversion, batches=(1, 2, 3)).verdict == "agree"
        actual = outputs_of(open_target(conversion), feeds)
        if target == "onnx" and key not in TRANSLATED_OTHERWISE:
            assert nameless(conversion) == nameless(legacy)
            assert list(nameless(legacy)[1]) != []
            same = [np.array_equal(a, b) for fed in feeds for a, b in zip(expected[fed], actual[fed], strict=True)]
            assert len(same) == 3 * len(feeds)
            assert all(same)
        assert_same_numbers(expected, actual, f"{key} as PIR to {target} against the legacy program")
        assert_same_numbers(outputs_of(source_runtime(files), feeds), actual, f"{key} as PIR to {target}")
