"""The verifier on a net of its own, with every fault that must be found and every way to pass for want of evidence.

The source is a little net, evaluated by a fake oracle; the target is a fake runtime that computes the same in float32,
with one thing broken.

    data (n,3,6,6) -> conv (weights) -> norm (weights) -> act (slope) -> pool -> embed (weights) = output "embed"
                                                                     \\-> score = output "score"
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import ConversionError, FrameworkMissingError
from facecvt.parity_tests.runtimes.runtime import Capture, RunFailedError, Runtime
from facecvt.parity_tests.source import Layer, Walk
from facecvt.parity_tests.verification import Verification
from facecvt.parity_tests.verify import verify

Arrays = dict[str, np.ndarray]
LAYERS = [
    Layer("conv", "Convolution", "conv0", parametric=True, depth=1),
    Layer("norm", "BatchNorm", "bn0", parametric=True, depth=2, operands=("conv",)),
    Layer("act", "LeakyReLU", "relu0", parametric=True, depth=3, operands=("norm",)),
    Layer("pool", "Pooling", "pool0", depth=4, operands=("act",)),
    Layer("embed", "FullyConnected", "fc0", parametric=True, depth=5, operands=("pool",)),
    Layer("score", "FullyConnected", "fc1", parametric=True, depth=5, operands=("pool",)),
]
NAMES = [layer.value for layer in LAYERS]
OUTPUTS = ["embed", "score"]


@dataclass(frozen=True)
class Net:
    """Parameters of the net; a fault is a changed field."""

    eps: float = 2e-5
    slope: float = 0.25
    width: int = 8
    weights: dict[str, np.ndarray] = field(default_factory=dict)

    @staticmethod
    def seeded() -> Net:
        random = np.random.RandomState(1)
        shapes = {"conv": (8, 3), "gain": (8, 1, 1), "embed": (16, 8), "score": (16, 8)}
        weights = {name: random.standard_normal(shape) for name, shape in shapes.items()}
        return Net(weights={**weights, "variance": random.uniform(0.001, 0.01, (8, 1, 1))})

    def values(self, data: np.ndarray, dtype: Any) -> Arrays:
        """Every value of the net."""
        w = {name: array.astype(dtype) for name, array in self.weights.items()}
        x = data.astype(dtype)
        values = {"conv": np.einsum("mc,nchw->nmhw", w["conv"], x)}
        values["norm"] = values["conv"] * w["gain"] / np.sqrt(w["variance"] + dtype(self.eps))
        values["act"] = np.where(values["norm"] > 0, values["norm"], values["norm"] * dtype(self.slope))
        values["pool"] = values["act"].mean(axis=(2, 3), dtype=dtype)
        values["embed"] = values["pool"] @ w["embed"].T
        values["score"] = values["pool"] @ w["score"].T
        return values


Change = Callable[[Arrays], Arrays]


def unchanged(values: Arrays) -> Arrays:
    return values


@dataclass
class FakeOracle:
    """The net in one dtype; ``change`` acts on its values."""

    net: Net
    dtype: Any
    change: Change = unchanged
    layers: list[Layer] = field(default_factory=lambda: list(LAYERS))
    output_names: list[str] = field(default_factory=lambda: list(OUTPUTS))
    input_names: ClassVar[list[str]] = ["data"]

    def walk(self, feeds: Mapping[str, np.ndarray]) -> Walk:
        values = self.change(self.net.values(feeds["data"], self.dtype))
        for layer in self.layers:
            yield layer.value, values[layer.value]
        return {name: values[name] for name in self.output_names}


class FakeRuntime(Runtime):
    """The net in float32; ``change`` acts on all its values, ``outputs`` on what it returns."""

    framework = "onnxruntime"

    def __init__(
        self,
        net: Net,
        change: Change = unchanged,
        outputs: Change = unchanged,
        fails: Callable[[np.ndarray], bool] = lambda data: False,
        missing: bool = False,
    ) -> None:
        super().__init__("fake")
        self.net, self.change, self.outputs, self.fails, self.missing = net, change, outputs, fails, missing

    def _open(self) -> None:
        if self.missing:
            raise FrameworkMissingError("onnxruntime", "run fake", "pip install onnxruntime")
        self.input_names = ["data"]
        values = self.net.values(np.ones((1, 3, 6, 6)), np.float32)
        self.output_names = list(self.outputs({name: values[name] for name in OUTPUTS}))

    def _run_impl(self, inputs: Mapping[str, np.ndarray], taps: Sequence[str]) -> Capture:
        if self.fails(inputs["data"]):
            raise ValueError("this batch is not supported")
        values = self.change(self.net.values(inputs["data"], np.float32))
        outputs = self.outputs({name: values[name].copy() for name in OUTPUTS})
        return Capture(outputs, {tap: values[tap.removeprefix("t:")].copy() for tap in taps})


def conversion(
    taps: Sequence[str] = NAMES,
    aliases: Mapping[str, str] | None = None,
    absorbed: Mapping[str, str] | None = None,
    target: str = "onnx",
    **contract: Any,
) -> Any:
    """What verify needs of a Conversion."""
    value = lambda name: SimpleNamespace(name=name)  # noqa: E731
    graph = SimpleNamespace(
        inputs=[value("data")],
        outputs=[value(name) for name in OUTPUTS],
        aliases=dict(aliases or {}),
        absorbed=dict(absorbed or {}),
    )
    shape = contract.pop("shape", ("batch", 3, 6, 6))
    return SimpleNamespace(
        graph=graph,
        target_framework=target,
        taps={name: f"t:{name}" for name in taps},
        contracts=[InputContract("data", shape, layout="NCHW", **contract)],
    )


NET = Net.seeded()


def run(
    target: FakeRuntime | None = None,
    source: Change = unchanged,
    *,
    layers: Sequence[Layer] = LAYERS,
    outputs: Sequence[str] = OUTPUTS,
    made: Any = None,
    **options: Any,
) -> Verification:
    """Verify the net against a target."""
    return verify(
        made or conversion(),
        oracle=lambda _, dtype: FakeOracle(NET, dtype, source, list(layers), list(outputs)),
        runtime=lambda _: target or FakeRuntime(NET),
        **options,
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


def test_a_source_without_outputs_or_whose_outputs_show_nothing_is_not_comparable() -> None:
    none = run(FakeRuntime(NET, outputs=lambda o: {}), outputs=[])
    assert none.verdict == "not_comparable"
    assert none.exit_code == 5
    same = lambda values: {**values, **{n: np.tile(np.arange(16.0), (len(values[n]), 1)) for n in OUTPUTS}}  # noqa: E731
    ignored = run(FakeRuntime(NET, outputs=same), same, made=conversion(NAMES[:5]))
    assert ignored.verdict in ("not_comparable", "differ")
    assert any("different inputs" in reason or "changes with what is fed" in reason for reason in ignored.reasons)


def test_an_output_that_depends_on_no_input_is_compared_but_proves_nothing_alone() -> None:
    anchors = np.linspace(0, 1, 16)
    fixed = lambda values: {**values, "score": anchors.astype(values["score"].dtype)}  # noqa: E731
    layers = [replace(layer, computed=layer.value != "score", parametric=layer.value != "score") for layer in LAYERS]
    taps = [name for name in NAMES if name != "score"]
    together = run(FakeRuntime(NET, outputs=fixed), fixed, layers=layers, made=conversion(taps))
    assert together.verdict == "agree", together.reasons
    alone = run(
        FakeRuntime(NET, outputs=lambda o: {"score": fixed(o)["score"]}), fixed, layers=layers, outputs=["score"]
    )
    assert alone.verdict == "not_comparable"
    wrong = run(
        FakeRuntime(NET, outputs=lambda o: {**o, "score": (anchors + 1e-3).astype(np.float32)}), fixed, layers=layers
    )
    assert wrong.verdict == "differ"


def test_a_source_that_computes_nan_is_not_comparable() -> None:
    def broken(values: Arrays) -> Arrays:
        return {**values, "embed": values["embed"] * math.nan}

    found = run(FakeRuntime(NET, change=broken), broken)
    assert found.verdict == "not_comparable"
    assert any("the source itself" in reason for reason in found.reasons)
    assert "embed" in {unmapped.value for unmapped in found.unmapped}


def test_whole_numbers_must_be_equal() -> None:
    count = lambda values: {**values, "score": np.rint(values["score"]).astype(np.int64)}  # noqa: E731
    assert run(FakeRuntime(NET, change=count), count).verdict == "agree"
    one_more = lambda values: {**values, "score": count(values)["score"] + np.eye(16, dtype=np.int64)[3]}  # noqa: E731
    found = run(FakeRuntime(NET, change=one_more), count)
    assert found.verdict == "differ"
    assert found.first_divergence is not None
    assert (found.first_divergence.name, found.first_divergence.floor) == ("score", 0.0)


def test_an_output_that_float32_cannot_hold_is_not_called_different() -> None:
    def cancelled(values: Arrays) -> Arrays:
        return {
            **values,
            "embed": (values["embed"] + values["embed"].dtype.type(1e4)) - values["embed"].dtype.type(1e4),
        }

    found = run(FakeRuntime(NET, change=cancelled), cancelled)
    assert found.verdict == "not_comparable"
    assert any("float32 alone costs" in reason for reason in found.reasons)


def test_a_target_that_fails_at_a_batch_differs_and_says_which() -> None:
    found = run(FakeRuntime(NET, fails=lambda data: len(data) == 2))
    assert found.verdict == "differ"
    assert any("this batch is not supported" in reason and "[2, 3, 6, 6]" in reason for reason in found.reasons)


def test_a_target_that_ignores_its_batch_differs() -> None:
    first_row = lambda o: {name: np.repeat(array[:1], len(array), axis=0) for name, array in o.items()}  # noqa: E731
    found = run(FakeRuntime(NET, outputs=first_row))
    assert found.verdict == "differ"
    assert run(FakeRuntime(NET, outputs=first_row), batches=(1,)).verdict == "agree", "batch 1 alone cannot show it"


def test_a_missing_framework_is_not_verified_and_names_the_command() -> None:
    found = run(FakeRuntime(NET, missing=True))
    assert (found.verdict, found.exit_code) == ("not_verified", 4)
    assert found.command == "pip install onnxruntime"
    assert "pip install onnxruntime" in found.reasons[0]


def test_a_target_that_cannot_be_opened_differs() -> None:
    class Broken(FakeRuntime):
        def _open(self) -> None:
            raise ValueError("corrupt")

    found = run(Broken(NET))
    assert found.verdict == "differ"
    assert "corrupt" in found.reasons[0]


def test_a_source_that_the_oracle_cannot_compute_is_not_comparable() -> None:
    def refused(values: Arrays) -> Arrays:
        raise ConversionError("NonMaxSuppression nms0 cannot be computed")

    found = run(source=refused)
    assert found.verdict == "not_comparable"
    assert "nms0" in found.reasons[0]


def test_sizes_that_the_source_cannot_take_are_replaced_by_aligned_ones() -> None:
    def only_aligned(values: Arrays) -> Arrays:
        if any(side % 32 for side in values["conv"].shape[2:]):
            raise ConversionError("Concat concat0: 4 and 5 do not fit")
        return values

    found = run(source=only_aligned, made=conversion(shape=("batch", 3, "height", "width")))
    assert found.verdict == "agree", found.reasons
    assert "multiples of 32" in found.warnings[0]
    assert "concat0" in found.warnings[0]
    assert run(source=only_aligned).verdict == "not_comparable", "fixed sizes have no other"


def test_a_fixed_batch_is_the_only_one_that_runs() -> None:
    found = run(made=conversion(shape=(6, 3, 6, 6)))
    assert found.verdict == "agree"
    assert found.batches == (6,)


def test_ambiguous_and_vanished_names() -> None:
    dropout = Layer("dropped", "Dropout", "drop0", depth=4, operands=("act",))
    layers = [*LAYERS[:3], dropout, *LAYERS[3:]]

    def with_dropout(values: Arrays) -> Arrays:
        return {**values, "dropped": values["act"]}

    made = conversion(aliases={"dropped": "again", "again": "act"})
    found = run(source=with_dropout, layers=layers, made=made)
    assert found.verdict == "agree", found.reasons
    assert found.layers_compared == 7

    def scaled(values: Arrays) -> Arrays:
        return {**values, "dropped": values["act"] * 0.5}

    wrong = run(source=scaled, layers=layers, made=made)
    assert wrong.first_divergence is not None
    assert wrong.first_divergence.name == "dropped", "an operator that was dropped wrongly is named"

    twice = [*LAYERS, Layer("pool", "Pooling", "pool1", depth=6)]
    ambiguous = run(layers=twice)
    assert "2 values of the source have this name" in {unmapped.reason for unmapped in ambiguous.unmapped}


def test_a_value_that_the_target_never_forms_is_proven_by_the_one_that_includes_it() -> None:
    absorbed = {"norm": "act"}
    taps = [name for name in NAMES if name != "norm"]
    found = run(made=conversion(taps, absorbed=absorbed))
    assert found.verdict == "agree", found.reasons
    assert (found.coverage.parametric, found.coverage.taps, found.layers_compared) == (1.0, 1.0, 5)
    assert found.unmapped == ()
    wrong = run(FakeRuntime(replace(NET, eps=1e-5)), made=conversion(taps, absorbed=absorbed))
    assert wrong.first_divergence is not None
    assert wrong.first_divergence.name == "act"
    neither = run(made=conversion([name for name in taps if name != "act"], absorbed=absorbed))
    assert neither.verdict == "not_comparable"
    assert {unmapped.value for unmapped in neither.unmapped} == {"norm", "act"}


def test_progress_counts_every_value_once() -> None:
    seen: list[tuple[str, int, int]] = []
    run(progress=lambda stage, done, total: seen.append((stage, done, total)))
    assert seen[-1] == ("verifying", 36, 36)
    assert [done for _, done, _ in seen] == list(range(1, 37))


def test_run_failed_is_an_error_of_the_tree() -> None:
    assert RunFailedError("x").exit_code == 1
