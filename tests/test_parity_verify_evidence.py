"""The verifier on a net of its own: every way to pass for want of evidence, and what is not comparable."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from facecvt.converters.errors import ConversionError
from facecvt.parity_tests.runtimes.runtime import RunFailedError
from facecvt.parity_tests.source import Layer
from facecvt.parity_tests.support.fake_conversions import (
    LAYERS,
    NAMES,
    NET,
    OUTPUTS,
    Arrays,
    FakeRuntime,
    conversion,
    run,
)


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
