"""The oracle of a source that is computed once for several targets: the same values in the same order, never others."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from facecvt.parity_tests.recorded import RecordedSource, digest_of


class Counting:
    """An oracle of one operator, which doubles what it is fed."""

    input_names = ("x",)
    output_names = ("y",)
    layers = ()

    def __init__(self, conversion, dtype):
        self.dtype = np.dtype(dtype)

    def walk(self, feeds):
        value = feeds["x"].astype(self.dtype) * 2
        yield "half", value / 2
        yield "y", value
        return {"y": value}


def conversion(path="net.onnx"):
    return SimpleNamespace(source_framework="onnx", source_files=(path,))


def walked(oracle, x):
    values, walk = [], oracle.walk({"x": x})
    while True:
        try:
            values.append(next(walk))
        except StopIteration as end:
            return values, end.value


def test_the_same_feed_is_computed_once_and_another_again():
    record = RecordedSource(Counting)
    first, second = record.open(conversion(), np.float64), record.open(conversion(), np.float64)
    assert first is second
    for x, computed in ((1.0, 1), (1.0, 1), (3.0, 2), (1.0, 2)):
        values, outputs = walked(first, np.full((2, 3), x, np.float32))
        assert [name for name, _ in values] == ["half", "y"]
        assert np.all(values[0][1] == x)
        assert np.all(outputs["y"] == 2 * x)
        assert first.computed == computed


def test_each_dtype_has_its_own_oracle():
    record = RecordedSource(Counting)
    x = np.full((1, 2), 0.1)
    for dtype in (np.float64, np.float32):
        _, outputs = walked(record.open(conversion(), dtype), x)
        assert outputs["y"].dtype == dtype


def test_a_walk_that_was_left_is_computed_again():
    oracle = RecordedSource(Counting).open(conversion(), np.float64)
    x = np.ones((1, 2))
    next(oracle.walk({"x": x}))
    assert len(walked(oracle, x)[0]) == 2
    assert oracle.computed == 2


def test_another_model_is_refused():
    record = RecordedSource(Counting)
    record.open(conversion(), np.float64)
    with pytest.raises(ValueError, match="is asked for"):
        record.open(conversion("other.onnx"), np.float64)


@pytest.mark.parametrize(
    "other",
    [
        {"x": np.zeros((2, 3), np.float32)},
        {"x": np.zeros((3, 2), np.float64)},
        {"x": np.eye(2, 3)},
        {"z": np.zeros((2, 3))},
        {"x": np.zeros((2, 3)), "z": np.zeros(0)},
    ],
)
def test_feeds_are_told_apart_by_all_they_are(other):
    assert digest_of({"x": np.zeros((2, 3))}) != digest_of(other)
    assert digest_of({"x": np.zeros((2, 3))}) == digest_of({"x": np.zeros((2, 6))[:, ::2]})
