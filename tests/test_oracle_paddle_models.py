"""Real Paddle models: the oracle against Paddle 3.3.1 at every value, weights combined, separate and synthesised."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from facecvt.converters.formats.mapped import as_numpy
from facecvt.converters.formats.paddle_model import PaddleModel
from facecvt.converters.formats.paddle_params import read_combined, read_separate, write_combined
from facecvt.converters.formats.paddle_program import PaddleProgram, read_program
from facecvt.parity_tests.oracle.paddle_program import PaddleOracle

SCRIPT = Path(__file__).parent / "oracle_paddle_layers.py"
MODELS = {  # name -> (program, weights, input shape)
    "combined-PNet": ("mtcnn-pdmodel-combined/PNet.pdmodel", "mtcnn-pdmodel-combined/PNet.pdiparams", (2, 3, 12, 12)),
    "combined-RNet": ("mtcnn-pdmodel-combined/RNet.pdmodel", "mtcnn-pdmodel-combined/RNet.pdiparams", (3, 3, 24, 24)),
    "combined-ONet": ("mtcnn-pdmodel-combined/ONet.pdmodel", "mtcnn-pdmodel-combined/ONet.pdiparams", (2, 3, 48, 48)),
    "separate-PNet": ("mtcnn-old-model-separate/PNet/__model__", "mtcnn-old-model-separate/PNet", (1, 3, 12, 12)),
    "separate-RNet": ("mtcnn-old-model-separate/RNet/__model__", "mtcnn-old-model-separate/RNet", (2, 3, 24, 24)),
    "separate-ONet": ("mtcnn-old-model-separate/ONet/__model__", "mtcnn-old-model-separate/ONet", (2, 3, 48, 48)),
    "mobilefacenet-head": ("mobilefacenet-program-only/head.pdmodel", None, (2, 3, 112, 112)),
    "mobilenet-older": ("mobilefacenet-program-only/older.pdmodel", None, (2, 3, 112, 112)),
}


def synthesised(program: PaddleProgram) -> dict[str, np.ndarray]:
    """Weights from the variables' shapes; variances positive, all small enough to keep values of order one."""
    variances = {name for op in program.ops if op.type == "batch_norm" for name in op.inputs["Variance"]}
    scales = {name for op in program.ops if op.type == "batch_norm" for name in op.inputs["Scale"]}
    arrays = {}
    for name in program.parameters:
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        shape = program.vars[name].shape
        if name in variances or name in scales:
            array = rng.uniform(0.5, 1.5, shape)
        elif len(shape) > 1:
            fan_in = np.prod(shape[1:]) if len(shape) == 4 else shape[0]
            array = rng.standard_normal(shape) / np.sqrt(fan_in)
        else:
            array = rng.uniform(-0.2, 0.2, shape)
        arrays[name] = array.astype(np.float32)
    return arrays


@pytest.fixture(scope="session")
def computed(real_models, paddle_module, tmp_path_factory) -> Path:
    """Folder with each model in one form, its feed, and what Paddle computes."""
    folder = tmp_path_factory.mktemp("paddle_models")
    for name, (program_name, weights_name, shape) in MODELS.items():
        source = real_models / "paddle" / program_name
        program = read_program(source)
        shutil.copy(source, folder / f"{name}.pdmodel")
        if weights_name is None:
            write_combined(folder / f"{name}.pdiparams", synthesised(program))
        elif (real_models / "paddle" / weights_name).is_dir():
            params = read_separate(real_models / "paddle" / weights_name, program.parameters, program.vars)
            write_combined(folder / f"{name}.pdiparams", params)
        else:
            shutil.copy(real_models / "paddle" / weights_name, folder / f"{name}.pdiparams")
        feed = np.random.default_rng(zlib.crc32(name.encode())).uniform(-1, 1, shape).astype(np.float32)
        np.savez(folder / f"{name}.feed.npz", **{program.inputs[0]: feed})
    subprocess.run([sys.executable, str(SCRIPT), str(folder), *MODELS], check=True, capture_output=True)
    return folder


def rel_rmse(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - exact) ** 2) / max(float(np.mean(exact**2)), 1e-300)))


@pytest.mark.parametrize("name", MODELS)
def test_real_model_agrees_layer_by_layer(name: str, computed: Path) -> None:
    program = read_program(computed / f"{name}.pdmodel")
    params = read_combined(computed / f"{name}.pdiparams", program.parameters, program.vars)
    assert all(np.isfinite(as_numpy(array)).all() for array in params.values())
    oracle = PaddleOracle(PaddleModel(program, params, name, ()))
    found = dict(np.load(computed / f"{name}.found.npz"))
    feeds = dict(np.load(computed / f"{name}.feed.npz"))
    assert oracle.input_names == list(feeds)
    assert set(oracle.output_names) <= set(found)
    errors: dict[str, float] = {}

    def compare(value_name: str, value: np.ndarray) -> None:
        assert value.shape == found[value_name].shape, value_name
        errors[value_name] = rel_rmse(found[value_name], value)

    oracle.run(feeds, compare)
    assert set(errors) == set(oracle.layer_names)
    worst = max(errors, key=errors.__getitem__)
    assert errors[worst] <= 5e-6, (worst, errors[worst])
    assert max(errors[value] for value in oracle.output_names) > 0
