"""Real models in their own framework against the oracle, at every inner value that both name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facecvt.converters.contract import InputContract
from facecvt.converters.formats.locate import MxnetFiles, PaddleFiles, located
from facecvt.parity_tests.inputs import InputPlan
from facecvt.parity_tests.metrics import compare
from facecvt.parity_tests.runtimes.runtime import Runtime
from facecvt.parity_tests.runtimes.runtime_mxnet import MxnetRuntime
from facecvt.parity_tests.runtimes.runtime_paddle import PaddleRuntime
from facecvt.parity_tests.tolerance import Gate, floor_of, lowest_floor

MXNET = {
    "mtcnn-det1/det1-symbol.json": (3, 40, 56),
    "mtcnn-det2/det2-newjson-symbol.json": (3, 24, 24),
    "mtcnn-det3/det3-symbol.json": (3, 48, 48),
    "insightface-gender-age": (3, 112, 112),
    "retinaface-mnet25/M25-symbol.json": (3, 96, 128),
}
PADDLE = {
    "mtcnn-pdmodel-combined/ONet.pdmodel": (3, 48, 48),
    "mtcnn-old-model-separate/RNet": (3, 24, 24),
}
BATCH = 2


def hold(runtime: Runtime, exact: Any, clean: Any, shape: tuple[int, ...]) -> None:
    """Every inner value and output of the framework within 10 floors of the oracle's."""
    (name,) = exact.input_names
    feeds = InputPlan().feeds([InputContract(name, ("batch", *shape), layout="NCHW")], "image", BATCH)
    single: dict[str, np.ndarray] = {}
    clean.run(feeds, single.__setitem__)
    names = [value for value in exact.layer_names if single[value].dtype.kind == "f"]
    with runtime:
        capture = runtime.run(feeds, names)
    ratios: dict[str, float] = {}

    def measure(value: str, array: np.ndarray) -> None:
        if value in capture.taps:
            floor = floor_of([compare(array, single[value]).rel_rmse], len(ratios) + 1)
            ratios[value] = Gate(compare(array, capture.taps[value]).rel_rmse, floor).ratio

    outputs = exact.run(feeds, measure)
    assert list(ratios) == names
    assert max(ratios.values()) < 10, max(ratios, key=lambda value: ratios[value])
    assert len(capture.outputs) == len(outputs)
    for expected, actual in zip(outputs.values(), capture.outputs.values(), strict=True):
        assert compare(expected, actual).rel_rmse < 100 * lowest_floor(len(names))


@pytest.mark.parametrize("model", list(MXNET))
def test_mxnet_gives_what_the_oracle_computes(real_models: Path, mxnet_module: Any, model: str) -> None:
    from facecvt.converters.formats.mxnet_model import load_mxnet
    from facecvt.parity_tests.oracle.mxnet_symbol import MxnetOracle

    with located("mxnet", real_models / "mxnet" / model) as files:
        assert isinstance(files, MxnetFiles)
        source = load_mxnet(files)
        runtime = MxnetRuntime(files.symbol, files.params)
        hold(runtime, MxnetOracle(source), MxnetOracle(source, np.float32), MXNET[model])


@pytest.mark.parametrize("model", list(PADDLE))
def test_paddle_gives_what_the_oracle_computes(real_models: Path, paddle_module: Any, model: str) -> None:
    from facecvt.converters.formats.paddle_model import load_paddle
    from facecvt.parity_tests.oracle.paddle_program import PaddleOracle

    with located("paddle", real_models / "paddle" / model) as files:
        assert isinstance(files, PaddleFiles)
        source = load_paddle(files)
        assert files.program is not None
        runtime = PaddleRuntime(files.program, files.weights)
        hold(runtime, PaddleOracle(source), PaddleOracle(source, np.float32), PADDLE[model])
