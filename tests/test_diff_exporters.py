"""The real MXNet gender-age model against its ONNX with the known mistakes of another exporter: each cause is named.

fix_gamma ignored     the gamma that the file holds (0.5676 in 28 layers) where MXNet takes 1
slope over the width  PRelu's slope as (256,) where its input is (batch, 256, 7, 7): ONNX Runtime refuses the model
epsilon               no epsilon is written, so that it is ONNX's 1e-5 where the model has 1e-3 and 2e-5
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facecvt.cli import main
from facecvt.converters.formats.mxnet_params import read_params
from facecvt.parity_tests.diff.compare import diff
from facecvt.parity_tests.diff.difference import Difference

NORM = "BatchNormalization"
Weights = Mapping[str, Any]


def default_epsilon(graph: Any, _: Weights) -> None:
    for node in graph.node:
        if node.op_type == NORM:
            kept = [attribute for attribute in node.attribute if attribute.name != "epsilon"]
            del node.attribute[:]
            node.attribute.extend(kept)


def fix_gamma_ignored(graph: Any, stored: Weights) -> None:
    import onnx

    norms = {node.input[1]: node.output[0].removesuffix("_output") for node in graph.node if node.op_type == NORM}
    for weight in graph.initializer:
        if weight.name in norms:
            gamma = np.array(stored[f"{norms[weight.name]}_gamma"].numpy())
            weight.CopyFrom(onnx.numpy_helper.from_array(gamma, weight.name))


def slope_over_width(graph: Any, _: Weights) -> None:
    slopes = {node.input[1] for node in graph.node if node.op_type == "PRelu"}
    for weight in graph.initializer:
        if weight.name in slopes:
            del weight.dims[1:]


@pytest.fixture(scope="module")
def model(real_models: Path) -> Path:
    return real_models / "mxnet" / "insightface-gender-age"


@pytest.fixture(scope="module")
def right(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("exporters") / "right.onnx"
    assert main(["mxnet2onnx", str(model), "-o", str(target), "--no-verify", "-q"]) == 0
    return target


def held(model: Path, right: Path, *mistakes: Callable[[Any, Weights], None]) -> Difference:
    """The model against its ONNX with these mistakes."""
    import onnx

    (params,) = model.glob("*.params")
    stored = read_params(params).args
    proto = onnx.load(str(right))
    for mistake in mistakes:
        mistake(proto.graph, stored)
    wrong = right.with_name(f"{'-'.join(mistake.__name__ for mistake in mistakes)}.onnx")
    onnx.save(proto, str(wrong))
    return diff(model, wrong, batch=1)


def causes(found: Difference) -> dict[str, str | None]:
    """Layer at fault -> its cause."""
    return {each.fault.a: each.cause.name if each.cause is not None else None for each in found.divergences}


def test_without_a_mistake_they_agree(model: Path, right: Path) -> None:
    found = diff(model, right, batch=1, isolate=True)
    assert found.verdict == "agree", found.verification.reasons
    assert found.verification.coverage.taps == 1.0
    assert not found.divergences


def test_a_lost_epsilon(model: Path, right: Path) -> None:
    """Where the variance is large the mistake is below ten floors; everywhere else it is found and named."""
    found = held(model, right, default_epsilon)
    assert found.verdict == "differ"
    assert set(causes(found).values()) == {"epsilon"}
    assert 20 <= len(found.divergences) <= 28
    assert found.cause is not None
    assert found.cause.detail == "epsilon is 1e-05 where A has 0.001"


def test_an_ignored_fix_gamma(model: Path, right: Path) -> None:
    found = held(model, right, fix_gamma_ignored)
    assert found.verdict == "differ"
    assert set(causes(found).values()) == {"fix_gamma ignored"}
    assert len(found.divergences) == 28  # all 28 layers with fix_gamma, and not the one without
    assert "bn1_output" not in causes(found)


def test_a_slope_over_the_width(model: Path, right: Path) -> None:
    """The model does not run at all; its layers do, and the one is named."""
    found = held(model, right, slope_over_width)
    assert found.verdict == "differ"
    assert "onnxruntime cannot run" in found.verification.reasons[0]
    assert causes(found) == {"relu1_output": "slope over the width"}


def test_all_three_at_once(model: Path, right: Path) -> None:
    found = held(model, right, default_epsilon, fix_gamma_ignored, slope_over_width)
    assert found.verdict == "differ"
    named = causes(found)
    assert None not in named.values()
    assert named["relu1_output"] == "slope over the width"
    assert named["conv_2_batchnorm_output"] == "epsilon and fix_gamma ignored"
    words = {word for name in named.values() for word in str(name).split(" and ")}
    assert words == {"epsilon", "fix_gamma ignored", "slope over the width"}
    assert len(named) >= 29
