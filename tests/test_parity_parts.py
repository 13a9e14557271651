"""ONNX models run in parts give the numbers of the whole model, and hold a few layers at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event
from threading import enumerate as threads
from typing import Any

import numpy as np
import pytest

from facecvt.parity_tests import memory
from facecvt.parity_tests.diff.compare import diff
from facecvt.parity_tests.runtimes import ort_parts, runtime_ort
from facecvt.parity_tests.runtimes.in_turn import InTurn, outputs_first
from facecvt.parity_tests.runtimes.runtime import Capture, NumpyArray, RunFailedError
from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime
from facecvt.parity_tests.support.small_net import small_net

CHANNELS = 24  # so that weights are great enough to lie outside of the skeleton


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, ort_module: Any) -> Path:
    """A net with a branch that is read far behind, two outputs of one node, a Constant and a computed shape."""
    import onnx
    from onnx import TensorProto, helper

    random = np.random.RandomState(0)
    weights = {
        "w0": random.standard_normal((CHANNELS, 3, 3, 3)),
        "w1": random.standard_normal((CHANNELS, CHANNELS, 3, 3)),
        "w2": random.standard_normal((CHANNELS * 36, 300)),
    }
    nodes = [
        helper.make_node("Conv", ["data", "w0"], ["conv0"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv0"], ["act0"]),
        helper.make_node("Conv", ["act0", "w1"], ["conv1"], pads=[1, 1, 1, 1]),
        helper.make_node("Split", ["conv1"], ["half0", "half1"], axis=1, num_outputs=2),
        helper.make_node("Sigmoid", ["half1"], ["gate"]),
        helper.make_node("Mul", ["half0", "gate"], ["gated"]),
        helper.make_node("Constant", [], ["two"], value=onnx.numpy_helper.from_array(np.float32(2.0))),
        helper.make_node("Mul", ["conv1", "two"], ["doubled"]),
        helper.make_node("Add", ["doubled", "act0"], ["sum"]),
        helper.make_node("Shape", ["gated"], ["sizes"], end=1),
        helper.make_node("Concat", ["sizes", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["sum", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w2"], ["embedding"]),
        helper.make_node("Neg", ["conv0"], ["nobody_reads_this"]),
    ]
    stored = [onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    stored.append(onnx.numpy_helper.from_array(np.array([-1]), "rest"))
    graph = helper.make_graph(
        nodes,
        "branches",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["n", 3, 6, 6])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 300])],
        stored,
    )
    path = tmp_path_factory.mktemp("parts") / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


TAPS = ["act0", "conv1", "half0", "gate", "gated", "doubled", "sum", "shape", "flat", "embedding"]
FED = {"data": np.random.RandomState(1).standard_normal((3, 3, 6, 6)).astype(np.float32)}


@pytest.mark.parametrize(("values", "weights"), [(0, 1 << 40), (1 << 40, 0), (1 << 14, 1 << 12), (1 << 40, 1 << 40)])
def test_parts_of_any_size_give_the_bits_of_the_whole_model(
    model: Path, monkeypatch: pytest.MonkeyPatch, values: int, weights: int
) -> None:
    monkeypatch.setattr(ort_parts, "MOST_BYTES", values)
    monkeypatch.setattr(ort_parts, "MOST_WEIGHT_BYTES", weights)
    parts = []
    run_part = OrtRuntime._run_part

    def counted(self: OrtRuntime, *arguments: Any) -> Any:
        parts.append(arguments[1])
        return run_part(self, *arguments)

    monkeypatch.setattr(OrtRuntime, "_run_part", counted)
    with OrtRuntime(model) as runtime:
        whole = runtime.run(FED, TAPS).taps
        walked = list(runtime.walk(FED, TAPS))
    assert [name for name, _ in walked] == TAPS
    for name, array in walked:
        assert array.dtype == whole[name].dtype
        assert np.array_equal(array, whole[name]), name
    if values == 0:
        assert len(parts) == 13  # every node that a tap needs, by itself
        assert ["conv0"] in parts  # read by another part, though nobody asked for it
        assert ["half0", "half1"] in parts
    if weights == 0:
        assert len(parts) > 3
    assert not any("nobody_reads_this" in names for names in parts)


def test_a_value_that_is_not_computed_is_an_error(model: Path) -> None:
    with OrtRuntime(model) as runtime, pytest.raises(RunFailedError, match=r"m\.onnx.*no value of the name 'lost'"):
        list(runtime.walk(FED, ["act0", "lost"]))


def test_what_a_part_cannot_compute_is_an_error_that_names_the_model(model: Path) -> None:
    wrong = {"data": FED["data"][:, :, :5]}  # 5 rows: the last product does not fit
    with OrtRuntime(model) as runtime:
        walk = runtime.walk(wrong, TAPS)
        assert next(walk)[0] == "act0"
        with pytest.raises(RunFailedError, match=r"onnxruntime cannot run .*m\.onnx on data \[3, 3, 5, 6\]"):
            list(walk)


def test_models_that_parts_would_change_stay_whole(model: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    whole = onnx.load(model)
    half = onnx.numpy_helper.from_array(np.ones(3, np.float16), "h")
    body = helper.make_graph([], "body", [], [])
    refused = {
        "narrow cast": helper.make_node("Cast", ["sum"], ["h"], to=TensorProto.FLOAT16),
        "narrow constant": helper.make_node("Constant", [], ["h"], value=half),
        "graphs": helper.make_node("If", ["c"], ["i"], then_branch=body, else_branch=body),
        "no tensors": helper.make_node("SequenceConstruct", ["sum"], ["s"]),
    }

    def can_be_cut_with(nodes: Sequence[Any], weights: Sequence[Any] = ()) -> bool:
        other = onnx.ModelProto()
        other.CopyFrom(whole)
        other.graph.node.extend(nodes)
        other.graph.initializer.extend(weights)
        return ort_parts.can_be_cut(other)

    assert can_be_cut_with([])
    assert can_be_cut_with([helper.make_node("Cast", ["sum"], ["d"], to=TensorProto.DOUBLE)])
    assert not can_be_cut_with([], [half])
    assert {why: can_be_cut_with([node]) for why, node in refused.items()} == dict.fromkeys(refused, False)


def test_outputs_of_all_runs_come_first_and_their_session_is_closed(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []
    run, run_part = OrtRuntime.run, OrtRuntime._run_part

    def seen(self: OrtRuntime, inputs: Mapping[str, NumpyArray], taps: Sequence[str] = ()) -> Capture:
        order.append(("outputs", len(inputs["data"])))
        return run(self, inputs, taps)

    def seen_part(self: OrtRuntime, *arguments: Any) -> Any:
        order.append(("part", self._session is not None))
        return run_part(self, *arguments)

    monkeypatch.setattr(OrtRuntime, "run", seen)
    monkeypatch.setattr(OrtRuntime, "_run_part", seen_part)
    runs = [{"data": FED["data"][:count]} for count in (1, 2)]
    with OrtRuntime(model) as runtime:
        whole = {len(feeds["data"]): run(runtime, feeds, ["sum", "conv1"]) for feeds in runs}
        assert outputs_first(runtime, runs, 100) == [None, None]  # too little to spare memory for
        assert order == []
        given = outputs_first(runtime, runs, 1 << 30)
        assert order == [("outputs", 1), ("outputs", 2)]
        for feeds, outputs in zip(runs, given, strict=True):
            taken = InTurn(runtime, feeds, ["sum", "conv1", "sum"], outputs)
            expected = whole[len(feeds["data"])]
            assert np.array_equal(taken.outputs["embedding"], expected.outputs["embedding"])
            for name in ("sum", "conv1", "sum"):  # not in the order of computation, and one of them twice
                assert np.array_equal(taken.tap(name), expected.taps[name])
            assert taken._held == {}
    assert {each for each in order if each[0] == "part"} == {("part", False)}


def test_a_run_that_fails_is_told_when_its_turn_comes(model: Path) -> None:
    with OrtRuntime(model) as runtime:
        given = outputs_first(runtime, [{"data": FED["data"][:, :, :5]}, FED], 1 << 30)
        with pytest.raises(RunFailedError, match=r"data \[3, 3, 5, 6\]"):
            InTurn(runtime, FED, TAPS, given[0])
        assert InTurn(runtime, FED, TAPS, given[1]).outputs["embedding"].shape == (3, 300)


def test_a_comparison_in_parts_gives_the_same_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = small_net()
    other.node("bn2").attributes["epsilon"] = 1e-3
    one, wrong = small_net().write(tmp_path / "a.onnx"), other.write(tmp_path / "b.onnx")
    whole = [diff(one, b, isolate=True) for b in (one, wrong)]
    monkeypatch.setattr(runtime_ort, "LARGE", 0)
    monkeypatch.setattr(ort_parts, "MOST_BYTES", 0)
    used = []
    walk = OrtRuntime.walk

    def watched(self: OrtRuntime, *arguments: Any) -> Any:
        used.append(True)
        return walk(self, *arguments)

    monkeypatch.setattr(OrtRuntime, "walk", watched)
    parts = [diff(one, b, isolate=True) for b in (one, wrong)]
    assert len(used) == 4
    for ours, theirs in zip(whole, parts, strict=True):
        assert theirs.verification == ours.verification
        assert theirs.own == ours.own
        assert theirs.diverges_at == ours.diverges_at
    assert parts[1].diverges_at == "bn2"


def test_memory_is_given_back_while_a_library_works(monkeypatch: pytest.MonkeyPatch) -> None:

    trimmed = []
    twice = Event()

    def trim(_: int) -> None:
        trimmed.append(True)
        if len(trimmed) > 1:
            twice.set()

    monkeypatch.setattr(memory, "_malloc_trim", lambda: trim)
    with memory.memory_given_back():
        assert twice.wait(30)
        count = len(trimmed)
    assert len(trimmed) > count  # once more at the end
    assert not any(thread.name == "facecvt-trim" for thread in threads())
