"""The pickle machine makes what the real unpickler makes of plain data, and nothing of anything else."""

from __future__ import annotations

import argparse
import os
import pickle
import pickletools
import re
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facecvt.converters.errors import ConversionError, FormatError
from facecvt.converters.formats.mapped import MappedTensor, as_numpy
from facecvt.converters.formats.safe_pickle import load_pickle

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(min_size=1, max_size=300),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


def dumped(path: Path, value: Any, protocol: int) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=PLAIN, protocol=st.sampled_from([2, 3, 4]))
def test_plain_values_come_out_as_they_went_in(value: Any, protocol: int, tmp_path: Path) -> None:
    loaded = load_pickle(dumped(tmp_path / "a", value, protocol))
    assert loaded == value
    assert repr(loaded) == repr(value)  # 1 == 1.0 == True otherwise


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2", "<i8", ">i2", "u1", "i1", "?", "<u4"])
@pytest.mark.parametrize("shape", [(2, 3), (), (1, 1, 5)])
def test_arrays(dtype: str, shape: tuple[int, ...], protocol: int, tmp_path: Path) -> None:
    array = (np.arange(int(np.prod(shape))) % 2 + 1).reshape(shape).astype(dtype)
    value = {"c": array, "f": np.array(array, order="F"), "again": array, "in": [(array,)]}
    loaded = load_pickle(dumped(tmp_path / "a", value, protocol))
    for each in (loaded["c"], loaded["f"], loaded["again"], loaded["in"][0][0]):
        np.testing.assert_array_equal(as_numpy(each), array)
        assert as_numpy(each).dtype == array.dtype.newbyteorder("<")
        assert as_numpy(each).shape == shape
    assert loaded["c"] is loaded["again"]


def test_a_large_array_is_a_window_on_the_file(tmp_path: Path) -> None:
    loaded = load_pickle(dumped(tmp_path / "a", {"w": np.arange(100.0)}, 4))
    assert isinstance(loaded["w"], MappedTensor)
    assert loaded["w"].file.path == tmp_path / "a"


def test_scalars_ordered_dictionaries_and_cycles(tmp_path: Path) -> None:
    value: dict[str, Any] = {"s": np.float32(1.5), "b": np.bool_(True), "d": OrderedDict(x=1, y=[2]), "t": {1, 2}}
    value["self"] = value
    loaded = load_pickle(dumped(tmp_path / "a", value, 4))
    assert loaded["s"] == 1.5
    assert loaded["b"] is True
    assert loaded["d"] == {"x": 1, "y": [2]}
    assert loaded["t"] == {1, 2}
    assert loaded["self"] is loaded


def test_numpy_2_names(tmp_path: Path) -> None:
    """numpy 2 writes ``numpy._core`` where numpy 1 writes ``numpy.core``."""
    whole = pickle.dumps({"w": np.arange(30.0)}, 2)
    old, new = b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n"
    if old not in whole:
        old, new = new, old
    assert old in whole
    for text in (whole, whole.replace(old, new)):
        (tmp_path / "a").write_bytes(text)
        np.testing.assert_array_equal(as_numpy(load_pickle(tmp_path / "a")["w"]), np.arange(30.0))


class WrittenBy:
    """An object that pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.reduced


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_the_forms_in_which_paddle_wraps_tensors(protocol: int, tmp_path: Path) -> None:
    array = np.arange(20, dtype=np.float32)
    value = {
        "t": WrittenBy(tuple, ("conv.w", array)),
        "e": WrittenBy(eval, "data", {"data": array}),
    }
    loaded = load_pickle(dumped(tmp_path / "a", value, protocol))
    assert loaded["t"][0] == "conv.w"
    np.testing.assert_array_equal(as_numpy(loaded["t"][1]), array)
    np.testing.assert_array_equal(as_numpy(loaded["e"]), array)


def test_real_paddle_weights(real_models: Path) -> None:
    path = real_models / "paddle/blazeface-1000e/blazeface_1000e.pdparams"
    loaded = load_pickle(path)
    with path.open("rb") as stream:
        theirs = pickle.load(stream)  # the file of a known origin, as its own framework reads it
    assert list(loaded) == list(theirs)
    assert loaded.pop("StructuredToParameterName@@") == theirs.pop("StructuredToParameterName@@")
    for name, array in loaded.items():
        np.testing.assert_array_equal(as_numpy(array), theirs[name])


def full_name(function: Any, protocol: int) -> str:
    """As the pickle says it: protocols up to 2 use Python 2's names."""
    text = [argument for code, argument, _ in pickletools.genops(pickle.dumps(function, 2)) if code.name == "GLOBAL"]
    return str(text[0]).replace(" ", ".") if protocol == 2 else f"{function.__module__}.{function.__qualname__}"


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize(
    "function",
    [
        os.system,
        exec,
        getattr,
        __import__,
        pickle.loads,
        np.load,
        argparse.Namespace,
        list,
        set,
        Path,
        np.ma.array,
        open,
    ],
    ids=lambda function: function.__qualname__,
)
def test_every_other_global_is_refused_by_its_full_name(function: Any, protocol: int, tmp_path: Path) -> None:
    path = dumped(tmp_path / "a", {"w": WrittenBy(function, "true")}, protocol)
    with pytest.raises(ConversionError, match=f"names {re.escape(full_name(function, protocol))}, which") as caught:
        load_pickle(path)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (eval, ("__import__('os').system('true')", {"data": 1})),
        (eval, ("data", {"data": 1, "__builtins__": {}})),
        (eval, ("data",)),
        (tuple, ("text",)),
        (np.dtype, ("O",)),
        (np.dtype, ("S4",)),
        (np.dtype, ("f4,i4",)),
        (OrderedDict, ([1, 2],)),
        (OrderedDict, ([([], 1)],)),
        (np.ndarray, ((3,),)),
    ],
)
def test_allowed_names_do_nothing_else(function: Any, arguments: Any, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="with unfit arguments"):
        load_pickle(dumped(tmp_path / "a", WrittenBy(function, *arguments), 4))


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="only numbers and truth values"):
        load_pickle(dumped(tmp_path / "a", np.array([{}, None]), 4))


@pytest.mark.parametrize(
    ("whole", "message"),
    [
        (b"", "truncated"),
        (b"\x80\x04", "truncated"),
        (b"\x80\x09N.", "protocol above 5"),
        (b"N.x", "1 more bytes follow: padded"),
        (b"NN.", "more or less than one value"),
        (b"(N.", "more or less than one value"),
        (b".", "more or less than one value"),
        (b"Z", "opcode 0x5a"),
        (b"ios\nsystem\n.", "opcode 0x69"),  # INST
        (b"\x82\x01.", "opcode 0x82"),  # EXT1: names from a registry
        (b"cos\nsystem\n(S'true'\ntR.", r"names os\.system"),
        (b"\x8c\x02os\x8c\x06system\x93.", r"names os\.system"),
        (b"NN\x93.", "a global whose name is no text"),
        (b"N)R.", "called that is no function"),
        (b"b.", "expected on the stack|damaged"),
        (b"NQ.", "persistent id"),
        (b"B\xff\xff\xff\x7f.", "truncated"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "truncated"),
        (b"\x8b\xff\xff\xff\xff.", "truncated"),
        (b"Nr\xff\xff\xff\xff0h\x01.", "damaged"),  # fills place 2**32 - 1 of the memo, reads place 1
        (b"](((].", "more or less"),
        (b"}(NN(u.", "filled with pairs|damaged"),
        (b"}]Ns.", "no plain value"),
        (b"(0.", "expected on the stack"),
        (b"I1" + b"0" * 5000 + b"\n.", "within a line"),
    ],
)
def test_hostile_and_damaged_pickles(whole: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(whole)
    with pytest.raises(FormatError, match=message) as caught:
        load_pickle(tmp_path / "a")
    assert caught.value.offset is not None
    assert 0 <= caught.value.offset <= len(whole)


def test_deep_nesting_is_refused_or_read(tmp_path: Path) -> None:
    """Neither hashing nor walking may run out of stack."""
    depth = 100_000
    for deep in (b"]" * depth + b"a" * (depth - 1), b")" + b"\x85" * depth):
        (tmp_path / "a").write_bytes(deep + b".")
        with pytest.raises(FormatError, match="nested too deeply"):
            load_pickle(tmp_path / "a")
        (tmp_path / "a").write_bytes(b"}" + deep + b"Ns.")
        with pytest.raises(FormatError, match="no plain value"):
            load_pickle(tmp_path / "a")


def test_a_short_pickle_cannot_ask_for_much_memory(tmp_path: Path) -> None:
    """One long text, turned into bytes again and again from the memo."""
    text = b"X" + (1 << 20).to_bytes(4, "little") + b"a" * (1 << 20)
    again = b"h\x01h\x00h\x02\x86R"
    whole = b"](" + text + b"q\x00" + b"c_codecs\nencode\nq\x01" + b"\x8c\x06latin1q\x02" + again * 1000 + b"e."
    (tmp_path / "a").write_bytes(whole)
    with pytest.raises(FormatError, match="far more memory"):
        load_pickle(tmp_path / "a")


def test_many_references_to_one_value_stay_one(tmp_path: Path) -> None:
    value: list[Any] = [1]
    for _ in range(60):
        value = [value, value]  # 2**60 leaves if each was copied
    assert sys.getsizeof(value) < 1000
    loaded = load_pickle(dumped(tmp_path / "a", value, 4))
    assert loaded[0] is loaded[1]


def test_nothing_is_imported(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"csunau\nopen\n.")
    assert "sunau" not in sys.modules
    with pytest.raises(FormatError, match=r"names sunau\.open"):
        load_pickle(tmp_path / "a")
    assert "sunau" not in sys.modules
