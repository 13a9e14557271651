"""Made-up weights for programs without any: seeded, by role, and of order one when Paddle itself runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from facecvt.converters.formats.locate import locate
from facecvt.converters.formats.paddle_model import load_paddle
from facecvt.converters.formats.paddle_params import write_combined
from facecvt.converters.formats.paddle_program import read_program
from facecvt.parity_tests.support.synthetic import synthesise_params

RUN = """
import json, os, sys
os.environ["FLAGS_enable_pir_api"] = "0"
import numpy as np
import paddle
prefix, names = sys.argv[1], json.loads(sys.argv[2])
paddle.enable_static()
executor = paddle.static.Executor()
program, feeds, _ = paddle.static.load_inference_model(prefix, executor)
for name in names:
    program.global_block().var(name).persistable = True  # else it is freed before it can be fetched
image = np.random.default_rng(0).standard_normal((2, 3, 112, 112)).astype("float32")
values = executor.run(program, feed={feeds[0]: image}, fetch_list=names)
print(json.dumps([float(np.sqrt(np.mean(value.astype("float64") ** 2))) for value in values]))
"""


@pytest.fixture(params=["head", "older"])
def program(real_models, request):
    return read_program(real_models / f"paddle/mobilefacenet-program-only/{request.param}.pdmodel")


def test_shapes_roles_and_seeds(program):
    weights = synthesise_params(program, 3)
    assert list(weights) == program.parameters
    for name, array in weights.items():
        assert array.shape == program.vars[name].shape
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
    norms = [op for op in program.ops if op.type == "batch_norm"]
    assert len(norms) in (50, 28)
    for op in norms:
        variance, scale = weights[op.inputs["Variance"][0]], weights[op.inputs["Scale"][0]]
        assert 0.7 <= variance.min() <= variance.max() <= 1.3
        assert 0.27 <= scale.min() <= scale.max() <= 1.1
        assert np.abs(weights[op.inputs["Mean"][0]]).max() < 0.6
    for op in program.ops:
        if op.type == "prelu":
            assert 0.1 <= weights[op.inputs["Alpha"][0]].min() <= weights[op.inputs["Alpha"][0]].max() <= 0.4
    again, other = synthesise_params(program, 3), synthesise_params(program, 4)
    assert all(np.array_equal(again[name], weights[name]) for name in weights)
    assert not any(np.array_equal(other[name], weights[name]) for name in weights)
    assert len({array.tobytes() for array in weights.values()}) == len(weights)


def test_residual_branches_are_damped(real_models):
    """MobileFaceNet adds twelve times; the last BatchNorm of each of those branches, and no other, is scaled down."""
    program = read_program(real_models / "paddle/mobilefacenet-program-only/head.pdmodel")
    weights = synthesise_params(program)
    scales = [weights[op.inputs["Scale"][0]].mean() for op in program.ops if op.type == "batch_norm"]
    assert sum(scale < 0.4 for scale in scales) == 12
    assert sum(scale > 0.9 for scale in scales) == 38


def test_activations_are_of_order_one_in_paddle(program, paddle_module, tmp_path):
    """Also the proof that Paddle reads what write_combined writes: it refuses a misplaced record."""
    name = program.path.stem
    shutil.copy(program.path, tmp_path / program.path.name)
    weights = synthesise_params(program)
    write_combined(tmp_path / f"{name}.pdiparams", weights)
    model = load_paddle(locate("paddle", tmp_path))
    assert all(np.array_equal(model.params[key].numpy(), weights[key]) for key in weights)
    results = [next(op.outputs[slot][0] for slot in ("Output", "Out", "Y") if slot in op.outputs) for op in program.ops]
    command = [sys.executable, "-c", RUN, str(tmp_path / name), json.dumps(results)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("FLAGS_")}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert run.returncode == 0, run.stderr[-3000:]
    moments = json.loads(run.stdout.splitlines()[-1])
    assert len(moments) == len(program.ops)
    assert min(moments) > 0.2
    assert max(moments) < 6


def test_parameters_that_cannot_be_made_up(real_models):
    program = read_program(real_models / "paddle/mtcnn-old-model-separate/PNet/__model__")
    variable = program.vars["conv1.b_0"]
    program.vars["conv1.b_0"] = type(variable)("conv1.b_0", np.dtype("int64"), (10,), True)
    with pytest.raises(ValueError, match=r"'conv1\.b_0' is int64"):
        synthesise_params(program)
