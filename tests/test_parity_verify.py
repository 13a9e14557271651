"""The verifier on a net of its own: faults that must be found, and where it says they are."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facecvt.parity_tests.support.fake_conversions import (
    LAYERS,
    NAMES,
    NET,
    OUTPUTS,
    Arrays,
    Change,
    FakeRuntime,
    Net,
    conversion,
    run,
)


def test_the_same_net_in_float32_agrees() -> None:
    found = run()
    assert found.verdict == "agree", found.reasons
    assert found
    assert (found.exit_code, found.reasons, found.first_divergence) == (0, (), None)
    assert found.batches == (1, 2, 3)
    assert found.layers_compared == len(LAYERS)
    assert (found.coverage.parametric, found.coverage.taps) == (1.0, 1.0)
    assert [output.name for output in found.outputs] == OUTPUTS
    assert all(0.0 < output.ratio < 5.0 for output in found.outputs)
    assert found.rows_compared == 2 * 2 * 3  # outputs, kinds, and rows whose sample an earlier batch had


@pytest.mark.parametrize(
    ("fault", "where"),
    [
        (replace(NET, eps=1e-5), "norm"),
        (replace(NET, eps=1e-3), "norm"),
        (replace(NET, slope=0.25 * (1 + 1e-5)), "act"),
        (replace(NET, slope=0.0), "act"),
        (replace(NET, weights={**NET.weights, "conv": NET.weights["conv"][:, ::-1]}), "conv"),
        (replace(NET, weights={**NET.weights, "embed": NET.weights["score"]}), "embed"),
        (replace(NET, weights={**NET.weights, "gain": NET.weights["gain"].astype(np.float16)}), "norm"),
    ],
)
def test_a_fault_is_found_and_named_at_its_layer(fault: Net, where: str) -> None:
    found = run(FakeRuntime(fault))
    assert (found.verdict, found.exit_code) == ("differ", 1)
    assert found.first_divergence is not None
    assert found.first_divergence.name == where
    assert found.first_divergence.operator == LAYERS[NAMES.index(where)].operator
    assert found.first_divergence.ratio > 10
    assert found.first_divergence.bits_lost > math.log2(10)
    assert any(where in reason for reason in found.reasons)


def swapped(outputs: Arrays) -> Arrays:
    embed, score = outputs.values()
    return {"embed": score, "score": embed}


def test_swapped_outputs_are_found_although_every_layer_agrees() -> None:
    found = run(FakeRuntime(NET, outputs=swapped))
    assert found.verdict == "differ"
    assert all(layer.verdict == "agree" for layer in found.layers)
    assert found.first_divergence is not None
    assert found.first_divergence.name == "embed"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda o: {"embed": o["embed"]}, "1 output"),
        (lambda o: {**o, "more": o["embed"]}, "'more'"),
        (lambda o: {"score": o["score"], "embed": o["embed"]}, "output 0"),
        (lambda o: {}, "0 output"),
        (lambda o: {"embed": o["embed"], "renamed": o["score"]}, "'renamed'"),
        (lambda o: {**o, "embed": o["embed"][:, :8]}, "shape"),
        (lambda o: {**o, "embed": o["embed"][:, :, None]}, "shape"),
    ],
)
def test_an_output_without_its_partner_never_agrees(change: Change, reason: str) -> None:
    found = run(FakeRuntime(NET, outputs=change))
    assert found.verdict == "differ"
    assert any(reason in text for text in found.reasons), found.reasons


def test_a_target_without_names_is_matched_by_position_and_number() -> None:
    rename = lambda o: dict(zip(["a", "b"], o.values(), strict=True))  # noqa: E731
    assert run(FakeRuntime(NET, outputs=rename)).verdict == "differ"
    made = conversion(target="torch")
    assert run(FakeRuntime(NET, outputs=rename), made=made).verdict == "agree"
    assert run(FakeRuntime(NET, outputs=lambda o: {"a": o["embed"]}), made=made).verdict == "differ"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(OUTPUTS + NAMES),
    st.sampled_from([math.nan, math.inf, -math.inf]),
    st.integers(0, 10**6),
    st.sampled_from([1, 2, 3]),
    st.booleans(),
)
def test_nan_or_inf_anywhere_in_the_target_never_agrees(
    name: str, value: float, position: int, batch: int, as_output: bool
) -> None:
    def broken(values: Arrays) -> Arrays:
        array = values[name].copy() if name in values else None
        if array is not None and array.shape[0] == batch:
            array.reshape(-1)[position % array.size] = value
            return {**values, name: array}
        return values

    found = run(FakeRuntime(NET, **{"outputs" if as_output and name in OUTPUTS else "change": broken}))
    assert found.verdict == "differ"
    assert any("NaN or Inf" in reason for reason in found.reasons)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(OUTPUTS), st.floats(-1e3, 1e3, width=32))
def test_a_constant_output_never_agrees(name: str, value: float) -> None:
    constant = lambda values: {**values, name: np.full_like(values[name], value)}  # noqa: E731
    assert run(FakeRuntime(NET, outputs=constant)).verdict == "differ"
    both = run(FakeRuntime(NET, outputs=constant), constant, made=conversion([n for n in NAMES if n != name]))
    assert both.verdict == "not_comparable"
    assert any("proves nothing" in reason for reason in both.reasons)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sets(st.sampled_from(NAMES), max_size=4))
def test_too_few_taps_never_agree(kept: set[str]) -> None:
    found = run(made=conversion(sorted(kept)))
    assert found.verdict == "not_comparable"
    assert found.exit_code == 5
    assert found.layers_compared == len(kept)
    assert found.coverage.taps == pytest.approx(len(kept) / 6)
    assert {unmapped.value for unmapped in found.unmapped} == set(NAMES) - kept
    assert any("too little was compared" in reason for reason in found.reasons)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(NAMES), st.integers(0, 10**6), st.floats(3e-4, 1e3), st.sampled_from([1, 2, 3]))
def test_one_wrong_element_in_one_run_is_found_where_it_is(name: str, position: int, size: float, batch: int) -> None:
    def broken(values: Arrays) -> Arrays:
        if values[name].shape[0] != batch:
            return values
        array = values[name].copy()
        array.reshape(-1)[position % array.size] += np.float32(size * np.abs(array).max())
        return {**values, name: array}

    found = run(FakeRuntime(NET, change=broken))
    assert found.verdict == "differ"
    assert found.first_divergence is not None
    assert found.first_divergence.name == name
    assert found.first_divergence.batch == batch
    worst = found.first_divergence.metrics
    assert worst is not None
    assert worst.worst is not None
    shape = (batch, *NET.values(np.ones((1, 3, 6, 6)), np.float32)[name].shape[1:])
    assert np.ravel_multi_index(worst.worst.index, shape) == position % math.prod(shape)
