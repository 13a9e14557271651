"""``facecvt parity``: what is shared between the ONNX models of one architecture, and between architectures on disk."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from facecvt.converters.graph import Builder, Graph, NumpyArray
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.writers.to_onnx import element_type, element_types
from facecvt.parity_tests.diff.own_error import OwnErrors
from facecvt.parity_tests.parity_report.checks import sha256_of, weights_of
from facecvt.parity_tests.parity_report.one_by_one import OneByOne
from facecvt.parity_tests.parity_report.own_layers import OwnLayers, OwnModel
from facecvt.parity_tests.parity_report.same_graph import digests_of
from facecvt.parity_tests.parity_report.values_on_disk import ValuesOnDisk, WeightsOnDisk
from facecvt.parity_tests.peak_memory import begin_peak, peak_mb, resident_mb

SHAPE = (2, 3, 4, 4)
LAYERS = ("bn", "act", "bn2")
X = np.random.RandomState(1).standard_normal(SHAPE).astype(np.float32)
EXACT = {layer: np.random.RandomState(place).standard_normal(SHAPE) for place, layer in enumerate(LAYERS)}


def model(name: str, epsilon: float = 1e-5, slope: float = 0.1, weight: float = 1.0, fed: str = "pixels") -> OwnModel:
    """bn -> act -> bn2 with names of its own; ``weight`` is the second scale, the rest is the same."""
    b = Builder("onnx", name)
    b.begin("test", name)
    taps = {}
    value = b.input(f"{name}_x", SHAPE, ir.DataType.FLOAT)
    for layer, scale in (("bn", 2.0), ("act", None), ("bn2", weight)):
        if scale is None:
            value = b.emit("LeakyRelu", [value], alpha=slope)
        else:
            arrays = [np.full(3, scale, np.float32), *(np.full(3, v, np.float32) for v in (0.5, 0.25, 1.5))]
            weights = [b.weight(f"{name}_{layer}_{place}", array) for place, array in enumerate(arrays)]
            value = b.emit("BatchNormalization", [value, *weights], epsilon=epsilon if layer == "bn" else 1e-3)
        taps[layer] = str(value.name)
    net: Any = SimpleNamespace(graph=b.graph, values=taps)
    return OwnModel(net, X, fed, dict.fromkeys(LAYERS, SHAPE))


def alone(one: OwnModel) -> dict[str, float]:
    """Own errors of a model with nothing shared."""
    taps = one.net.values
    errors = OwnErrors(one.net.graph, {taps[layer]: SHAPE for layer in LAYERS}, {str(one.net.graph.inputs[0].name): X})
    for layer in LAYERS:
        errors.take(layer, taps[layer], EXACT[layer])
    errors.flush()
    return {layer: found.rel_rmse for layer, found in errors.metrics.items()}


@pytest.mark.parametrize(
    ("other", "computed"),
    [
        (model("same"), set()),
        (model("epsilon", epsilon=1e-2), {"bn"}),
        (model("slope", slope=0.2), {"act"}),
        (model("weight", weight=1.5), {"bn2"}),
        (model("fed", fed="scaled pixels"), {"bn"}),
    ],
    ids=["same", "epsilon", "slope", "weight", "fed"],
)
def test_a_layer_is_computed_once_unless_it_differs(
    other: OwnModel, computed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    results = OwnErrors._results

    def counted(self: OwnErrors, taps: tuple[str, ...]) -> Any:
        asked.extend(taps)
        return results(self, taps)

    first = model("first")
    expected = {"onnx_torch": alone(first), "onnx_mxnet": alone(other)}
    monkeypatch.setattr(OwnErrors, "_results", counted)
    layers = OwnLayers({"onnx_torch": first, "onnx_mxnet": other})
    for layer in LAYERS:
        layers.take(layer, EXACT[layer])
    assert layers.result() == expected
    assert sorted(asked) == sorted(
        [*first.net.values.values(), *(tap for layer, tap in other.net.values.items() if layer in computed)]
    )
    assert all(0.1 < error < 100 for found in expected.values() for error in found.values())


def test_digests_of_layers_by_themselves_do_not_depend_on_what_is_before() -> None:
    def digests(one: OwnModel) -> list[str]:
        graph, taps = one.net.graph, one.net.values
        found = digests_of(graph, {tap: layer for layer, tap in taps.items()})
        return [found[taps[layer]] for layer in LAYERS]

    first, changed = digests(model("a")), digests(model("b", epsilon=1e-2))
    assert [x == y for x, y in zip(first, changed, strict=True)] == [False, True, True]
    whole = [list(digests_of(model(name, epsilon=e).net.graph).values()) for name, e in (("c", 1e-5), ("d", 1e-2))]
    assert [x == y for x, y in zip(*whole, strict=True)] == [False, False, False]


def test_types_found_in_one_walk_are_those_found_one_by_one() -> None:
    b = Builder("onnx", "types")
    b.begin("test", "types")
    x = b.input("x", (1, 4), ir.DataType.FLOAT)
    less = b.emit("Less", [x, b.weight("limit", np.zeros(1, np.float32))])
    whole = b.emit("Cast", [b.emit("Relu", [x])], to=int(ir.DataType.INT64))
    doubled = b.emit("Add", [whole, whole])
    b.emit("Where", [less, x, x])
    b.emit("Shape", [b.emit("Identity", [doubled])])
    graph: Graph = b.graph
    unwanted = ir.node("MaxPool", [x], num_outputs=2)
    unwanted.outputs[0].name, unwanted.outputs[1].name = "pooled", ""
    graph.body.append(unwanted)
    one_by_one = {value.name: element_type(value) for node in graph.body for value in node.outputs if value.name}
    assert element_types(graph) == one_by_one
    assert one_by_one[doubled.name] == ir.DataType.INT64
    assert one_by_one[less.name] == ir.DataType.BOOL
    assert set(one_by_one.values()) == {ir.DataType.FLOAT, ir.DataType.INT64, ir.DataType.BOOL}


def written(folder: Path, values: dict[str, NumpyArray]) -> ValuesOnDisk:
    disk = ValuesOnDisk(folder)
    with disk.writing("torch", "image/1") as keep:
        for layer, value in values.items():
            keep(layer, value)
    return disk


def test_values_are_written_over_those_of_an_earlier_architecture(tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    great = {str(place): random.standard_normal((50, 50)).astype(np.float32) for place in range(9)}
    small: dict[str, NumpyArray] = {
        "odd": np.arange(3, dtype=np.uint8),
        "turned": random.standard_normal((3, 5)).T,
        "scalar": np.array(7, np.int64),
    }
    written(tmp_path, great)
    (path,) = tmp_path.iterdir()
    length = path.stat().st_size
    disk = written(tmp_path, small)
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_size == length
    for layer, value in small.items():
        with disk.read(layer, "image/1", ["oracle", "torch"]) as found:
            assert list(found) == ["torch"]
            np.testing.assert_array_equal(found["torch"], value, strict=True)
    with disk.read("0", "image/1", ["torch"]) as found:
        assert found == {}
    assert disk.shapes("torch", "image/1") == {"odd": (3,), "turned": (5, 3), "scalar": ()}
    assert disk.layers("torch") == set(small)


def test_of_a_layer_that_comes_twice_the_last_value_counts(tmp_path: Path) -> None:
    disk = ValuesOnDisk(tmp_path)
    with disk.writing("torch", "image/1") as keep:
        keep("a", np.zeros(4, np.float32))
        keep("a", np.ones(2, np.float32))
    with disk.read("a", "image/1", ["torch"]) as found:
        np.testing.assert_array_equal(found["torch"], np.ones(2, np.float32))


def test_a_value_that_another_side_has_bit_for_bit_is_written_once(tmp_path: Path) -> None:
    nan, zero = np.array([1, np.nan], np.float32), np.zeros(1000, np.float32)
    disk = ValuesOnDisk(tmp_path)
    with disk.writing("onnx_torch", "image/1") as keep:
        for layer, value in {"same": zero, "nan": nan, "sign": zero, "shape": zero, "twice": zero}.items():
            keep(layer, value)
    theirs = {"same": zero.copy(), "nan": nan.copy(), "sign": -zero, "shape": zero[:8], "more": zero}
    with disk.writing("onnx_mxnet", "image/1", "onnx_torch") as keep:
        keep("twice", zero)
        for layer, value in theirs.items():
            keep(layer, value)
        keep("twice", zero[:5] + 1)
    for layer, value in (theirs | {"twice": np.ones(5, np.float32)}).items():
        with disk.read(layer, "image/1", ["onnx_mxnet"]) as found:
            np.testing.assert_array_equal(found["onnx_mxnet"], value, strict=True)
            assert np.signbit(found["onnx_mxnet"]).tolist() == np.signbit(value).tolist()
    assert (tmp_path / "1.values").stat().st_size < 2.5 * zero.nbytes  # "sign", "more", and small ones


def test_weights_are_compared_one_at_a_time(tmp_path: Path) -> None:
    """Neither the file nor the other side is in memory as a whole; each array counts once on both sides."""
    arrays = {f"{i}.weight": np.full(4 << 18, i, np.float32) for i in range(20)}  # 4 MB each
    held = WeightsOnDisk(tmp_path / "weights", arrays)
    sha256 = sha256_of(held)
    arrays.clear()
    held.forget()
    made: list[str] = []

    def made_now(name: str) -> np.ndarray[Any, Any]:
        made.append(name)
        return np.full(4 << 18, int(name.split(".")[0]), np.float32)

    theirs = OneByOne({name: name for name in held}, made_now)
    begin_peak()
    before = resident_mb()
    found = weights_of("torch", theirs, held.one_by_one(), sha256)
    assert (found.identical, found.tensors, found.sha256) == (20, 20, sha256)
    assert made == list(held)
    if Path("/proc/self/clear_refs").exists():
        assert peak_mb() < before + 30  # of 160 MB


def test_reading_the_next_array_forgets_the_last() -> None:
    forgotten: list[int] = []
    arrays = OneByOne({"a": 1, "b": 2}, lambda held: np.full(1, held), forgotten.append)
    assert "a" in arrays
    assert [*arrays, len(arrays)] == ["a", "b", 2]
    assert forgotten == []
    assert arrays["b"] == 2
    assert arrays["a"] == 1
    assert forgotten == [2]


def test_weights_are_written_over_those_of_an_earlier_architecture(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    WeightsOnDisk(path, {"great": np.ones(5000, np.float32)})
    arrays = {"a": np.arange(7, dtype=np.float32), "b": np.full((2, 2), 3, np.float32)}
    held = WeightsOnDisk(path, arrays)
    assert list(held) == ["a", "b"]
    for name, array in arrays.items():
        np.testing.assert_array_equal(held[name], array, strict=True)
