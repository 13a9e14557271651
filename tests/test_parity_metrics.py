"""Metrics against their definitions in extended precision, and what must never compare as fine."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facecvt.parity_tests.metrics import bits_lost, compare, compare_each
from facecvt.parity_tests.tolerance import (
    MOST_RESCALED,
    UNIT_ROUNDING,
    Gate,
    floor_of,
    floor_of_run,
    lowest_floor,
)

# A loaded machine is no failure: how long a draw takes says nothing about the metrics.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
finite = hnp.arrays(np.float64, hnp.array_shapes(max_dims=4, max_side=5), elements=st.floats(-1e6, 1e6, width=32))


def by_definition(expected: np.ndarray, actual: np.ndarray) -> tuple[float, float, float]:
    """rel-RMSE, max |d| and 1 - cos = |e/|e| - a/|a||^2 / 2, in extended precision."""
    e, a = np.longdouble(expected.ravel()), np.longdouble(actual.ravel())
    d = a - e
    between = e / np.sqrt(e @ e) - a / np.sqrt(a @ a)
    return float(np.sqrt(d @ d) / np.sqrt(e @ e)), float(np.abs(d).max()), float(between @ between / 2)


@pytest.mark.parametrize("noise", [1e-1, 1e-4, 1e-7, 1e-9])
@pytest.mark.parametrize("elements", [10, 1 << 16, (1 << 17) + 3])
def test_figures_are_their_definitions(noise: float, elements: int) -> None:
    random = np.random.RandomState(elements)
    expected = random.standard_normal((elements,)) * 3
    actual = expected * (1 + noise * random.standard_normal(elements)) + noise * random.standard_normal(elements)
    found = compare(expected, actual)
    rel_rmse, max_abs, one_minus_cos = by_definition(expected, actual)
    assert found.rel_rmse == pytest.approx(rel_rmse, rel=1e-12)
    assert found.max_abs == pytest.approx(max_abs, rel=1e-12)
    assert found.one_minus_cos == pytest.approx(one_minus_cos, rel=1e-6)
    assert found.elements == elements
    assert found.worst is not None
    (position,) = found.worst.index
    assert position == np.abs(actual - expected).argmax()
    assert (found.worst.expected, found.worst.actual) == (expected[position], actual[position])


def test_a_mere_scale_is_no_angle() -> None:
    expected = np.random.RandomState(0).standard_normal(1000)
    found = compare(expected, expected * 1.5)
    assert found.rel_rmse == pytest.approx(0.5)
    assert found.one_minus_cos < 1e-15
    assert compare(expected, -expected).one_minus_cos == pytest.approx(2.0)


@patient
@given(finite)
def test_equal_arrays_have_no_error(array: np.ndarray) -> None:
    found = compare(array, array.copy())
    assert (found.rel_rmse, found.max_abs, found.one_minus_cos, found.problem) == (0.0, 0.0, 0.0, None)


@patient
@given(finite, st.data())
def test_one_changed_element_is_found_where_it_is(array: np.ndarray, data: st.DataObject) -> None:
    index = data.draw(st.tuples(*[st.integers(0, side - 1) for side in array.shape]))
    changed = array.copy()
    changed[index] += 1.0 + abs(changed[index])
    found = compare(array, changed)
    assert found.rel_rmse > 0.0
    assert found.worst is not None
    assert found.worst.index == index


@patient
@given(
    finite, st.data(), st.sampled_from([math.nan, math.inf, -math.inf]), st.sampled_from(["expected", "actual", "both"])
)
def test_nan_and_inf_never_compare_as_fine(array: np.ndarray, data: st.DataObject, value: float, side: str) -> None:
    index = data.draw(st.tuples(*[st.integers(0, side - 1) for side in array.shape]))
    broken = array.copy()
    broken[index] = value
    found = compare(array if side == "actual" else broken, array if side == "expected" else broken)
    assert found.rel_rmse == found.max_abs == found.one_minus_cos == math.inf
    assert found.problem is not None
    assert "NaN or Inf" in found.problem
    assert found.expected_is_finite == (side == "actual")
    assert not Gate(found.rel_rmse, 1.0)
    assert found.worst is not None
    assert found.worst.index == index


def test_shapes_are_not_broadcast() -> None:
    found = compare(np.ones((2, 3)), np.ones((1, 3)))
    assert found.rel_rmse == math.inf
    assert found.problem == "shape [1, 3] where [2, 3] is expected"
    assert compare(np.ones((2, 3)), np.ones((3, 2))).problem is not None


def test_zeros_against_something() -> None:
    zeros, ones = np.zeros(4), np.ones(4)
    assert compare(zeros, zeros).rel_rmse == 0.0
    assert compare(zeros, ones).rel_rmse == math.inf
    assert compare(ones, zeros).rel_rmse == pytest.approx(1.0)
    assert compare(ones, zeros).one_minus_cos == 1.0


def test_great_values_do_not_overflow() -> None:
    expected = np.array([3e200, -4e200])
    found = compare(expected, expected * 1.1)
    assert found.rel_rmse == pytest.approx(0.1)
    assert found.max_abs == pytest.approx(4e199)
    assert found.worst is not None
    assert found.worst.index == (1,)


def test_nothing_compared_says_so() -> None:
    assert compare(np.zeros((0, 4)), np.zeros((0, 4))).elements == 0


def test_integers_and_booleans_are_measured_as_numbers() -> None:
    assert compare(np.array([1, 2, 2**40]), np.array([1, 2, 2**40])).rel_rmse == 0.0
    assert compare(np.array([True, False]), np.array([True, True])).max_abs == 1.0


def test_several_are_measured_in_one_pass_as_two_are() -> None:
    rng = np.random.default_rng(11)
    exact = rng.standard_normal((3, 70_001))
    near = (exact + 1e-7 * rng.standard_normal(exact.shape)).astype(np.float32)
    far = near.copy()
    far[2, 69_999] += 4
    broken = near.copy()
    broken[1, 5] = np.nan
    arrays = [exact, near, 1e300 * exact, far, broken, np.zeros_like(near)]
    found = compare_each(arrays)
    assert list(found) == [(one, other) for one in range(6) for other in range(one + 1, 6)]
    for (one, other), metrics in found.items():
        assert repr(metrics) == repr(compare(arrays[one], arrays[other]))  # NaN of a worst element is not equal to NaN
    assert found[1, 3].worst is not None
    assert found[1, 3].worst.index == (2, 69_999)


FIGURES = """
import numpy as np
from facecvt.parity_tests.metrics import compare

rng = np.random.default_rng(7)
for size in (8191, 8192, 70_001, 1_000_003):
    expected = rng.standard_normal(size)
    found = compare(expected, (expected + 1e-7 * rng.standard_normal(size)).astype(np.float32))
    print(found.rel_rmse.hex(), found.one_minus_cos.hex(), found.scale.hex())
"""


def test_figures_do_not_depend_on_how_many_threads_there_are() -> None:
    told = set()
    for threads in ("1", "2", "4"):
        environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
        told.add(
            subprocess.run([sys.executable, "-c", FIGURES], env=environment, capture_output=True, check=True).stdout
        )
    assert len(told) == 1
    assert len(told.pop().split()) == 12


def test_bits_lost_is_the_logarithm_over_the_floor() -> None:
    assert bits_lost(8e-6, 1e-6) == pytest.approx(3.0)
    assert bits_lost(1e-7, 1e-6) == 0.0
    assert bits_lost(math.nan, 1e-6) == bits_lost(math.inf, 1e-6) == math.inf


def test_a_floor_is_the_greatest_clean_run_but_not_below_rounding() -> None:
    assert floor_of([1e-6, 3e-6], depth=4) == 3e-6
    assert floor_of([0.0], depth=4) == 2 * UNIT_ROUNDING
    assert floor_of([], depth=0) == lowest_floor(1) == 2.0**-24
    assert floor_of([1e-8], depth=1, inherited=2e-6) == 2e-6
    assert floor_of([math.inf], depth=1) == floor_of([1e-7, math.nan], depth=1) == math.inf


def test_a_run_of_small_values_has_the_absolute_floor_of_the_clean_run() -> None:
    assert floor_of_run(1e-6, clean_scale=2.0, scale=0.5) == pytest.approx(4e-6)
    assert floor_of_run(1e-6, clean_scale=2.0, scale=8.0) == 1e-6, "greater values do not lower it"
    assert floor_of_run(1e-6, clean_scale=0.0, scale=0.5) == 1e-6
    assert floor_of_run(1e-6, clean_scale=1.0, scale=1e-9) == floor_of_run(1e-6, 1.0, 0.0) == MOST_RESCALED * 1e-6


def test_a_gate_carries_what_would_pass() -> None:
    gate = Gate(2e-5, 1e-6)
    assert not gate
    assert gate.ratio == pytest.approx(20.0)
    assert gate.tolerance == pytest.approx(1e-5)
    assert Gate(2e-5, 1e-6, k=20.1)
    assert Gate(0.99e-5, 1e-6)
    assert Gate(0.0, 0.0), "equal values pass where they must be equal"
    assert not Gate(1e-30, 0.0)
    assert not Gate(0.0, math.inf), "an unmeasurable floor lets nothing pass"
    assert not Gate(math.nan, 1.0)


@pytest.mark.parametrize("depth", [1, 4, 25, 400])
def test_the_lowest_floor_is_what_rounding_costs(depth: int) -> None:
    """A chain of float32 products costs about u x sqrt(depth): never ten times less, so the bound hides nothing."""
    random = np.random.RandomState(depth)
    factors = random.uniform(0.7, 1.4, (depth, 20000)).astype(np.float32)
    exact = np.prod(factors.astype(np.float64), axis=0)
    single = np.ones(20000, np.float32)
    for factor in factors:
        single *= factor
    measured = compare(exact, single).rel_rmse
    assert lowest_floor(depth) / 10 < measured + UNIT_ROUNDING
    assert measured < 2 * lowest_floor(depth)
