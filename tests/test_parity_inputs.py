"""Inputs: the same always, in the range of the contract, of the shapes that prove what is free."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from facecvt.converters.contract import InputContract
from facecvt.parity_tests.inputs import KINDS, InputPlan, face_like, normalised, sample_numbers

FREE = ("batch", 3, "height", "width")


def image(kind: str = "image", batch: int = 2, **contract: object) -> np.ndarray:
    made = InputContract("data", **{"shape": FREE, "layout": "NCHW", **contract})  # type: ignore[arg-type]
    return InputPlan().feeds([made], kind, batch)["data"]


def test_inputs_are_the_same_on_every_machine() -> None:
    found = {kind: zlib.crc32(image(kind, 3, in_graph=True).tobytes()) for kind in KINDS}
    again = {kind: zlib.crc32(image(kind, 3, in_graph=True).tobytes()) for kind in KINDS}
    assert found == again
    pixels = face_like(np.random.RandomState(7), 64, 48, 3)
    assert pixels.shape == (64, 48, 3)
    assert pixels.dtype == np.uint8
    # Computed once; RandomState's stream is frozen, so another number means that the picture changed.
    assert abs(float(pixels.mean()) - EXPECTED_MEAN) < 0.05


EXPECTED_MEAN = 148.17


def test_a_graph_that_normalises_itself_is_fed_pixels() -> None:
    fed = image(in_graph=True, mean=(127.5,), scale=(1 / 128,))
    assert fed.dtype == np.float32
    assert np.array_equal(fed, np.rint(fed))
    assert fed.min() >= 0
    assert fed.max() <= 255
    assert fed.std() > 20


def test_a_known_mean_and_scale_are_applied_outside() -> None:
    pixels = image(in_graph=True)
    fed = image(mean=(123.0, 117.0, 104.0), scale=(1 / 57.0, 1 / 58.0, 1 / 59.0))
    for channel, (mean, scale) in enumerate(zip((123.0, 117.0, 104.0), (1 / 57.0, 1 / 58.0, 1 / 59.0), strict=True)):
        np.testing.assert_allclose(fed[:, channel], (pixels[:, channel] - mean) * scale, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(image(scale=(1 / 255.0,)), pixels / 255.0, rtol=1e-6)


def test_an_unknown_normalisation_is_the_usual_one() -> None:
    np.testing.assert_allclose(image(), (image(in_graph=True) - 127.5) / 128.0, rtol=1e-6, atol=1e-7)


def test_normal_inputs_have_the_range_of_pictures() -> None:
    for contract in ({"in_graph": True}, {}, {"mean": (123.0,), "scale": (1 / 57.0,)}):
        made = InputContract("data", FREE, layout="NCHW", **contract)  # type: ignore[arg-type]
        low, high = normalised(np.array([[[0.0]]]), made).item(), normalised(np.array([[[255.0]]]), made).item()
        fed = image("normal", 3, **contract)
        assert abs(fed.mean() - (low + high) / 2) < 0.02 * (high - low)
        assert fed.std() == pytest.approx((high - low) * 64 / 255, rel=0.03)


def test_colour_and_layout_are_the_contracts() -> None:
    rgb = image(color="RGB", in_graph=True)
    assert np.array_equal(image(color="BGR", in_graph=True), rgb[:, ::-1])
    free = ("batch", "height", "width", 3)
    assert np.array_equal(image(shape=free, layout="NHWC", in_graph=True), rgb.transpose(0, 2, 3, 1))
    assert np.array_equal(image(shape=free, layout=None, in_graph=True), rgb.transpose(0, 2, 3, 1))
    grey = image(shape=("batch", 1, 112, 112), in_graph=True)
    assert grey.shape == (2, 1, 112, 112)
    np.testing.assert_allclose(grey[:, 0], np.rint(rgb.mean(axis=1)), atol=1)


def test_free_sizes_differ_by_batch_and_are_not_square_twice() -> None:
    sizes = [image(batch=batch).shape for batch in (1, 2, 3)]
    assert sizes == [(1, 3, 96, 128), (2, 3, 112, 112), (3, 3, 125, 99)]
    assert image(batch=2, shape=("batch", 3, 24, 24)).shape == (2, 3, 24, 24)
    made = InputContract("data", FREE, layout="NCHW")
    assert InputPlan(sizes={2: (40, 56)}).feeds([made], "image", 2)["data"].shape == (2, 3, 40, 56)
    assert all(side % 32 == 0 for batch in (1, 2, 3) for side in InputPlan().aligned().shape(made, batch)[2:])


def test_a_fixed_batch_is_the_only_one() -> None:
    plan = InputPlan()
    assert plan.batches_for([InputContract("data", FREE)]) == (1, 2, 3)
    assert plan.batches_for([InputContract("data", (6, 3, 48, 192))]) == (6,)
    assert plan.batches_for([InputContract("info", ("batch", 2)), InputContract("data", (1, 3, 8, 8))]) == (1,)


def test_a_sample_is_the_same_in_every_batch() -> None:
    shape = ("batch", 3, 20, 20)
    batches = {batch: image(batch=batch, shape=shape) for batch in (1, 2, 3)}
    assert [sample_numbers(batch) for batch in (1, 2, 3)] == [[0], [1, 0], [2, 0, 1]]
    assert np.array_equal(batches[2][1], batches[1][0])
    assert np.array_equal(batches[3][1:], batches[2][[1, 0]])
    assert not np.array_equal(batches[3][0], batches[3][1])


def test_other_inputs_are_noise_of_their_shape_and_type() -> None:
    plan = InputPlan()
    contracts = [InputContract("a", ("batch", 7)), InputContract("b", ("batch", "length"), dtype="float64")]
    feeds = plan.feeds(contracts, "normal", 3)
    assert feeds["a"].shape == (3, 7)
    assert feeds["a"].dtype == np.float32
    assert feeds["b"].shape == (3, 8)
    assert feeds["b"].dtype == np.float64
    assert np.array_equal(feeds["b"], feeds["b"].astype(np.float32)), "both sides must see the same numbers"
    with pytest.raises(ValueError, match="kind"):
        plan.feeds(contracts, "zeros", 1)
