"""Every real model in every direction against the float64 oracle: outputs, inner layers, batches, coverage."""

from __future__ import annotations

from pathlib import Path

import pytest

from facecvt.converters.errors import ConversionError
from facecvt.parity_tests.inputs import DEFAULT_BATCHES, KINDS
from facecvt.parity_tests.support.real_models import (
    LARGEST_ONE_MINUS_COS,
    LARGEST_REL_RMSE,
    LEFT_OUT,
    REAL_MODELS,
    RealModel,
    conversions,
    worst_of,
)
from facecvt.parity_tests.tolerance import K
from facecvt.parity_tests.verify import verify

# Other spellings of a model that the fast part holds, and sizes that take long.
SLOW = {
    ("mobilefacenet", "mxnet"),
    ("combined-RNet", "mxnet"),
    ("combined-ONet", "mxnet"),
    ("separate-ONet", "mxnet"),
    ("mobilenet-enhance", "mxnet"),
    ("rfb320-raw", "mxnet"),
    ("blazeface", "mxnet"),
    ("blazeface-sim", "mxnet"),
    ("det1-new", "torch"),
    ("det2-new", "torch"),
    ("det3-new", "torch"),
    ("rfb320-raw", "torch"),
    ("blazeface", "torch"),
    *((model.key, target) for model, target in conversions() if target == "paddle" and model.key != "det1"),
    *((model.key, target) for model, target in conversions() if model.framework == "torch"),
} - {("script-PNet", "onnx")}
CASES = [
    pytest.param(model, target, id=f"{model.key}-{target}", marks=[pytest.mark.slow] * ((model.key, target) in SLOW))
    for model, target in conversions()
]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("real")


@pytest.mark.parametrize(("model", "target"), CASES)
def test_it_agrees_with_the_oracle(
    model: RealModel, target: str, real_models: Path, scratch: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(f"{'ort' if target == 'onnx' else target}_module")
    conversion = model.convert(target, real_models, scratch)
    found = verify(conversion)
    assert found.verdict == "agree", found.reasons
    assert found.batches == model.batches
    assert found.kinds == KINDS
    assert found.warnings == ()
    for output in found.outputs:
        assert output.metrics is not None
        assert output.metrics.elements > 0
        assert output.metrics.rel_rmse <= LARGEST_REL_RMSE, output.name
        assert output.metrics.one_minus_cos <= LARGEST_ONE_MINUS_COS, output.name
        assert output.ratio <= K, output.name
    assert found.coverage.parametric == 1.0
    assert found.coverage.taps == 1.0
    assert found.unmapped == ()
    assert found.layers_compared == len(found.layers) > 9
    assert worst_of(found).within_goals
    one_size = all(isinstance(size, int) for contract in conversion.contracts for size in contract.shape[1:])
    if one_size and len(model.batches) > 1:  # else each batch has another size, and no two rows are of one picture
        assert found.rows_compared > 0


REFUSED = [(model, target) for model in REAL_MODELS for target in model.refused]


@pytest.mark.parametrize(("model", "target"), REFUSED, ids=[f"{model.key}-{target}" for model, target in REFUSED])
def test_what_a_target_cannot_express_is_refused(
    model: RealModel, target: str, real_models: Path, scratch: Path
) -> None:
    with pytest.raises(ConversionError, match=model.refused[target]):
        model.convert(target, real_models, scratch)
    assert not (scratch / f"{model.key}_{target}").exists()


def test_every_model_file_is_in_the_list_or_left_out_for_a_reason(real_models: Path) -> None:
    """A model that is added to the folder must be added here."""
    listed = {model.path for model in REAL_MODELS}
    candidates = set()
    for pattern in (
        "mxnet/*/*.json",
        "paddle/*/*.pdmodel",
        "paddle/*/*/__model__",
        "paddle/*/*.pdparams",
        "onnx/*/*.onnx",
        "pytorch/*/*.pt",
        "pytorch/*/*.pth",
    ):
        candidates |= {str(path.relative_to(real_models)) for path in real_models.glob(pattern)}
    assert len(candidates) >= 41
    spelled = {path.removesuffix("/__model__").removesuffix("-symbol.json") for path in candidates - LEFT_OUT.keys()}
    assert spelled == {path.removesuffix("-symbol.json") for path in listed}
    assert LEFT_OUT.keys() <= candidates
    assert not LEFT_OUT.keys() & listed


def test_the_list_is_sound() -> None:
    keys = [model.key for model in REAL_MODELS]
    assert len(set(keys)) == len(keys)
    assert len({model.title for model in REAL_MODELS}) == len(keys)
    assert len(CASES) == sum(len(model.targets) for model in REAL_MODELS) == 3 * len(keys) - len(REFUSED) == 103
    assert {model.batches for model in REAL_MODELS} == {DEFAULT_BATCHES, (1,), (6,)}
    assert {(model, target) for model, target in SLOW} <= {(model.key, target) for model, target in conversions()}
