"""Weights files under damage: every truncation, padding and header flip is refused with a byte offset."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facecvt.converters.errors import FormatError, WeightsError
from facecvt.converters.formats.mapped import as_numpy
from facecvt.converters.formats.paddle_params import read_combined, read_pdparams, read_separate, write_combined
from facecvt.converters.formats.paddle_program import PaddleVar

GENEROUS = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def variables_of(arrays):
    return {name: PaddleVar(name, array.dtype, array.shape, True) for name, array in arrays.items()}


def batch_norm_net():
    """Vectors of one shape, told apart by order alone, with names whose sorted order is not the numeric one."""
    generator = np.random.default_rng(5)
    names = [f"batch_norm2d_{index}.{part}" for index in (0, 2, 10) for part in ("w_0", "b_0", "w_1", "w_2")]
    arrays = {name: generator.standard_normal(4).astype("float32") for name in names}
    arrays["conv2d_0.w_0"] = generator.standard_normal((4, 3, 3, 3)).astype("float32")
    arrays["scalar"] = np.array(2.5, "float64")
    arrays["empty"] = np.zeros((0, 3), "int64")
    return arrays


def write(path: Path, arrays) -> Path:
    write_combined(path, arrays)
    return path


def test_round_trip_in_sorted_order(tmp_path):
    arrays = batch_norm_net()
    path = write(tmp_path / "w.pdiparams", dict(reversed(arrays.items())))
    read = read_combined(path, list(arrays), variables_of(arrays))
    assert list(read) == sorted(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name].numpy(), array)
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
    assert list(arrays).index("batch_norm2d_10.b_0") > list(arrays).index("batch_norm2d_2.b_0")
    assert list(read).index("batch_norm2d_10.b_0") < list(read).index("batch_norm2d_2.b_0")


dtypes = st.sampled_from(
    ["bool", "int8", "uint8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64"]
)
shapes = st.lists(st.integers(0, 200), max_size=3).map(tuple)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1), st.tuples(dtypes, shapes), min_size=1, max_size=5
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip_of_any_arrays(tmp_path, content):
    arrays = {name: np.ones(shape[:2], dtype) for name, (dtype, shape) in content.items()}
    path = write(tmp_path / "w.pdiparams", arrays)
    read = read_combined(path, sorted(arrays), variables_of(arrays))
    for name, array in arrays.items():
        np.testing.assert_array_equal(as_numpy(read[name]), array)


def test_bfloat16(tmp_path):
    import ml_dtypes

    arrays = {"a": np.array([1.0, -2.5, 3e38], ml_dtypes.bfloat16)}
    path = write(tmp_path / "w.pdiparams", arrays)
    read = read_combined(path, ["a"], variables_of(arrays))
    np.testing.assert_array_equal(read["a"].numpy().astype("float32"), arrays["a"].astype("float32"))
    assert path.read_bytes()[20:23] == b"\x08\x16\x10"  # data_type = BF16 (22), then dims


def test_element_type_that_paddle_lacks(tmp_path):
    with pytest.raises(WeightsError, match=r"'a' has element type str96"):
        write_combined(tmp_path / "w.pdiparams", {"a": np.array(["abc"])})
    assert list(tmp_path.iterdir()) == []


def damaged(tmp_path: Path, data: bytes, arrays) -> FormatError:
    path = tmp_path / "damaged.pdiparams"
    path.write_bytes(data)
    with pytest.raises(FormatError) as caught:
        read_combined(path, list(arrays), variables_of(arrays))
    assert caught.value.offset is not None
    assert 0 <= caught.value.offset <= len(data)
    assert "damaged.pdiparams, byte " in str(caught.value)
    return caught.value


@given(st.data())
@GENEROUS
def test_every_truncation_is_refused(tmp_path, data):
    arrays = batch_norm_net()
    content = write(tmp_path / "w.pdiparams", arrays).read_bytes()
    damaged(tmp_path, content[: data.draw(st.integers(0, len(content) - 1))], arrays)


@given(st.binary(min_size=1, max_size=100))
@GENEROUS
def test_every_padding_is_refused(tmp_path, padding):
    arrays = batch_norm_net()
    content = write(tmp_path / "w.pdiparams", arrays).read_bytes()
    error = damaged(tmp_path, content + padding, arrays)
    assert error.offset == len(content)
    assert f"{len(padding)} bytes follow" in str(error)


@given(st.data())
@GENEROUS
def test_flips_in_a_header_are_refused(tmp_path, data):
    """A bit of the data can be flipped unseen; one of a record's header cannot, but for unknown protobuf fields."""
    arrays = {"a": np.arange(6, dtype="float32").reshape(2, 3), "b": np.arange(4, dtype="float32")}
    content = bytearray(write(tmp_path / "w.pdiparams", arrays).read_bytes())
    header = 20 + 6
    position, bit = data.draw(st.integers(0, header - 1)), data.draw(st.integers(0, 7))
    content[position] ^= 1 << bit
    damaged(tmp_path, bytes(content), arrays)


@pytest.mark.parametrize("missing", ["batch_norm2d_0.w_1", "conv2d_0.w_0", "scalar"])
def test_one_record_missing_or_too_many(tmp_path, missing):
    arrays = batch_norm_net()
    fewer = {name: array for name, array in arrays.items() if name != missing}
    content = write(tmp_path / "fewer.pdiparams", fewer).read_bytes()
    damaged(tmp_path, content, arrays)
    content = write(tmp_path / "more.pdiparams", arrays).read_bytes()
    damaged(tmp_path, content, fewer)


def test_wrong_shape_and_type_are_named(tmp_path):
    arrays = {"a": np.zeros((2, 3), "float32"), "b": np.zeros(4, "float32")}
    content = write(tmp_path / "w.pdiparams", arrays).read_bytes()
    error = damaged(tmp_path, content, {**arrays, "a": np.zeros((3, 2), "float32")})
    assert "record 0 of 2 ('a') is float32 [2, 3], but the program expects float32 [3, 2]" in str(error)
    assert error.offset == 20
    error = damaged(tmp_path, content, {**arrays, "b": np.zeros(4, "int32")})
    assert "is float32 [4], but the program expects int32 [4]" in str(error)


def test_lod_levels_are_skipped_and_their_sizes_checked(tmp_path):
    array = np.arange(3, dtype="float32")
    description = b"\x08\x05\x10\x03"
    tail = struct.pack("<Ii", 0, len(description)) + description + array.tobytes()
    path = tmp_path / "w"
    path.write_bytes(struct.pack("<IQQ2Q", 0, 1, 16, 0, 3) + tail)
    variables = variables_of({"w": array})
    np.testing.assert_array_equal(read_separate(tmp_path, ["w"], variables)["w"].numpy(), array)
    path.write_bytes(struct.pack("<IQQ2Q", 0, 1, 1 << 60, 0, 3) + tail)
    with pytest.raises(FormatError, match=f"lod level .* needs {1 << 60} bytes"):
        read_separate(tmp_path, ["w"], variables)
    path.write_bytes(struct.pack("<IQ", 0, 1 << 40) + tail)
    with pytest.raises(FormatError, match="lod levels"):
        read_separate(tmp_path, ["w"], variables)


def test_huge_and_negative_dimensions_allocate_nothing(tmp_path):
    for dims in (b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x10" + b"\xff" * 9 + b"\x01"):
        size = -1 if dims.endswith(b"\x01") else 2**63 - 1
        description = b"\x08\x05" + dims
        (tmp_path / "w").write_bytes(struct.pack("<IQIi", 0, 0, 0, len(description)) + description)
        with pytest.raises(FormatError, match="byte"):
            read_separate(tmp_path, ["w"], {"w": PaddleVar("w", np.dtype("float32"), (size,), True)})


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FormatError, match="cannot be opened"):
        read_combined(tmp_path / "nothing.pdiparams", [], {})
    with pytest.raises(FormatError, match="cannot be opened"):
        read_pdparams(tmp_path / "nothing.pdparams")
