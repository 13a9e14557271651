"""Every Paddle operator of the oracle, in both dialects, against Paddle 3.3.1 itself, over its attributes.

The programs are built, run and saved by oracle_paddle_programs.py, once for each dialect, in a process of its own; here
each is read from its files and evaluated.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facecvt.converters.errors import AttributeValueError, UnsupportedOperatorsError
from facecvt.converters.formats.paddle_model import PaddleModel
from facecvt.converters.formats.paddle_params import read_combined
from facecvt.converters.formats.paddle_program import PaddleOp, PaddleProgram, PaddleVar, read_program
from facecvt.parity_tests.oracle.paddle_attributes import LEGACY_OPERATORS, PIR_OPERATORS
from facecvt.parity_tests.oracle.paddle_program import PaddleOracle

SCRIPT = Path(__file__).parent / "oracle_paddle_programs.py"
EXTENSION = {"legacy": ".pdmodel", "pir": ".json"}

# Operators that Paddle 3.3.1 no longer has, or not on a CPU. Each shares its definition with one that is held here.
WITHOUT_PADDLE = {
    "flatten": "flatten2",
    "squeeze": "squeeze2",
    "unsqueeze": "unsqueeze2",
    "fill_zeros_like": "fill_any_like",
    "sync_batch_norm": "batch_norm",
    "multiclass_nms": "multiclass_nms3",
    "multiclass_nms2": "multiclass_nms3",
}
# Others that Paddle 3.3.1 no longer has, of definitions of their own; test_paddle_old_operators.py holds them.
RECORDED = {"density_prior_box", "one_hot"}


@pytest.fixture(scope="session", params=["legacy", "pir"])
def programs(request, paddle_module, tmp_path_factory) -> tuple[str, Path, dict[str, str]]:
    """(dialect, folder, case -> file stem)."""
    folder = tmp_path_factory.mktemp(f"paddle_{request.param}")
    subprocess.run([sys.executable, str(SCRIPT), str(folder), request.param], check=True, capture_output=True)
    index = json.loads((folder / "cases.json").read_text())
    assert index["failures"] == {}
    return request.param, folder, index["cases"]


def load(folder: Path, stem: str, dialect: str) -> PaddleModel:
    program = read_program(folder / (stem + EXTENSION[dialect]))
    weights = folder / f"{stem}.pdiparams"
    params = read_combined(weights, program.parameters, program.vars) if program.parameters else {}
    return PaddleModel(program, params, stem, ())


def difference(name: str, found: np.ndarray, wanted: np.ndarray) -> str | None:
    """None where the two agree, else what is wrong."""
    if found.shape != wanted.shape:
        return f"shape {found.shape}, Paddle {wanted.shape}"
    if found.dtype.kind != wanted.dtype.kind or (found.dtype.kind in "iu" and found.dtype != wanted.dtype):
        return f"type {found.dtype}, Paddle {wanted.dtype}"
    if wanted.dtype.kind != "f":
        return None if np.array_equal(found, wanted) else f"values {found}, Paddle {wanted}"
    scale = max(float(np.abs(wanted).max(initial=0)), 1e-3)
    error = float(np.abs(found - wanted).max(initial=0)) / scale
    limit = 1e-5 if wanted.dtype == np.float32 else 1e-7  # attributes are float32 in the program
    # Paddle's coordinates are float32 whatever the data: up to 5e-7 off at 8, times the slope, which is up to 4.
    limit = 2e-6 if "bilinear" in name else limit
    return None if error <= limit else f"relative error {error}"


def test_every_case_agrees_with_paddle(programs) -> None:
    dialect, folder, cases = programs
    wrong: dict[str, str] = {}
    for name, stem in cases.items():
        arrays = np.load(folder / f"{stem}.npz")
        wanted = [arrays[f"found_{index}"] for index in range(sum(key.startswith("found_") for key in arrays))]
        try:
            oracle = PaddleOracle(load(folder, stem, dialect))
            feeds = {key: arrays[f"feed_{key}"] for key in oracle.input_names}
            names: list[str] = []
            found = oracle.run(feeds, on_value=lambda value_name, value, names=names: names.append(value_name))
        except Exception as error:
            wrong[name] = f"{type(error).__name__}: {error}"
            continue
        assert names == oracle.layer_names, name
        assert len(oracle.output_names) == len(wanted) > 0, name
        for output, expected in zip(oracle.output_names, wanted, strict=True):
            problem = difference(name, found[output], expected)
            if problem:
                wrong[name] = problem
        single = PaddleOracle(load(folder, stem, dialect), np.float32).run(feeds)
        for output, exact in found.items():  # the same code in float32 stays in float32
            if single[output].dtype != (np.float32 if exact.dtype == np.float64 else exact.dtype):
                wrong[name] = f"float32 variant gives {single[output].dtype}"
            elif np.abs(single[output] * 1.0 - exact).max(initial=0) > 1e-4 * max(np.abs(exact).max(initial=0), 1e-3):
                wrong[name] = "float32 variant is another function"
    assert wrong == {}, "\n".join(f"{name}: {problem}" for name, problem in wrong.items())


def test_every_registered_operator_has_a_case(programs) -> None:
    dialect, folder, cases = programs
    table = LEGACY_OPERATORS if dialect == "legacy" else PIR_OPERATORS
    used = {op.type for stem in cases.values() for op in read_program(folder / (stem + EXTENSION[dialect])).ops}
    missing = set(table.names()) - used
    missing -= RECORDED if dialect == "legacy" else set()
    for name in missing & set(WITHOUT_PADDLE):
        assert table.get(name) is table.get(WITHOUT_PADDLE[name])
    assert missing - set(WITHOUT_PADDLE) == set()
    assert {table.get(name) for name in WITHOUT_PADDLE.values()} - {None}


def tiny_model(op: PaddleOp) -> PaddleModel:
    variables = {name: PaddleVar(name, np.dtype(np.float32), (-1, 2), False) for name in ("x", "y")}
    return PaddleModel(PaddleProgram("legacy", [op], variables, ["x"], ["y"], [], 0), {}, "tiny", ())


def test_unknown_operators_are_all_named() -> None:
    op = PaddleOp("deformable_conv", "y", {"Input": ["x"]}, {"Output": ["y"]}, {})
    with pytest.raises(UnsupportedOperatorsError, match=r"tiny: 1 operator.*\n  deformable_conv x1: y"):
        PaddleOracle(tiny_model(op))


@pytest.mark.parametrize(
    ("kind", "attrs", "words"),
    [
        ("relu", {"shift": 1.0}, "relu y: attribute.* shift=1.0"),
        ("batch_norm", {"is_test": False}, "one of training"),
        ("dropout", {"dropout_implementation": "upscale_in_train"}, "one of training"),
        ("conv2d", {"fuse_relu": True}, "without passes"),
        ("hard_swish", {"offset": 2.0}, "offset = 2.0: Paddle 3 computes with 3.0"),
        ("conv2d", {"data_format": "HWCN"}, "data_format = 'HWCN'"),
        ("prelu", {"mode": "sample"}, "mode = 'sample'"),
    ],
)
def test_attributes_that_would_matter_are_refused(kind: str, attrs: dict[str, object], words: str) -> None:
    output = {"conv2d": "Output", "batch_norm": "Y"}.get(kind, "Out")
    with pytest.raises(AttributeValueError, match=words):
        PaddleOracle(tiny_model(PaddleOp(kind, "y", {"X": ["x"]}, {output: ["y"]}, attrs)))


def test_a_variable_that_is_written_twice_is_read_as_written_last() -> None:
    ops = [
        PaddleOp("relu", "x", {"X": ["x"]}, {"Out": ["x"]}, {}),
        PaddleOp("scale", "y", {"X": ["x"]}, {"Out": ["y"]}, {"scale": 2.0, "bias": 1.0}),
    ]
    program = PaddleProgram("legacy", ops, {}, ["x"], ["y"], [], 0)
    found = PaddleOracle(PaddleModel(program, {}, "twice", ())).run({"x": np.array([-1.0, 3.0])})
    assert found["y"].tolist() == [1.0, 7.0]


def test_squeeze_leaves_longer_axes_alone() -> None:
    op = PaddleOp("squeeze2", "y", {"X": ["x"]}, {"Out": ["y"]}, {"axes": [0, 1]})
    oracle = PaddleOracle(tiny_model(op))
    assert oracle.run({"x": np.zeros((1, 2, 1))})["y"].shape == (2, 1)
    assert oracle.run({"x": np.zeros((3, 1, 1))})["y"].shape == (3, 1)
