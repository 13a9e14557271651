"""``assert_parity``: two models held against each other inside a test of anybody's suite.

What fails is an ``AssertionError`` that says where and why, in the manner of ``torch.testing.assert_close``. Only
"agree" passes: two models that cannot be compared are as much a failure as two that differ. Who wants to collect what
the assertions of a process find, such as the pytest plugin, puts itself on :data:`LISTENERS`.

Importing this imports nothing else; the comparison is imported when the first assertion is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from facecvt.parity_tests.diff.difference import Difference
    from facecvt.parity_tests.diff.given_inputs import Inputs
    from facecvt.parity_tests.diff.model import Model
    from facecvt.parity_tests.verification import TensorResult

LISTENERS: list[Callable[[Difference], object]] = []  # the last one hears of every assertion
FIRST_LINES = {
    "differ": "The models differ!",
    "not_comparable": "The models cannot be compared, and what cannot be compared is not at parity!",
    "not_verified": "The models were not compared, and what was not compared is not at parity!",
}


class ParityAssertionError(AssertionError):
    """Two models are not at parity.

    Args:
        difference: what was found.
    """

    def __init__(self, difference: Difference) -> None:
        super().__init__(message(difference))
        self.difference = difference


def assert_parity(
    a: Model,
    b: Model,
    *,
    frameworks: tuple[str | None, str | None] = (None, None),
    seed: int = 0,
    batch: int = 2,
    inputs: Inputs | None = None,
    shapes: Mapping[str, Sequence[int | str]] | None = None,
    repro: str | Path | None = None,
) -> Difference:
    """Pass if two models agree; see :func:`facecvt.assert_parity`."""
    __tracebackhide__ = True
    from facecvt.parity_tests.diff.compare import diff

    found = diff(a, b, frameworks=frameworks, seed=seed, batch=batch, inputs=inputs, shapes=shapes, repro=repro)
    if LISTENERS:
        LISTENERS[-1](found)
    if not found:
        raise ParityAssertionError(found)
    return found


def message(found: Difference) -> str:
    """What the error of a failed assertion says."""
    from facecvt.parity_tests.report.diff_report import divergence_lines, other_faults, repro_command

    verification = found.verification
    lines = [FIRST_LINES[found.verdict], ""]
    lines.append(f"A: {found.a} ({found.frameworks[0]}), by {found.environment.get('a', '')}")
    lines.append(f"B: {found.b} ({found.frameworks[1]}), by {found.environment.get('b', '')}")
    lines += [f"Reason: {reason}" for reason in verification.reasons]
    compared = [layer for layer in verification.layers if layer.verdict != "not_comparable"]
    if compared:
        wrong = sum(layer.verdict == "differ" for layer in compared)
        lines.append(f"Mismatched layers: {wrong} / {len(compared)} ({wrong / len(compared):.1%})")
    lines.append(
        f"Coverage: {verification.coverage.parametric:.1%} of A's layers with weights, "
        f"{verification.coverage.taps:.1%} of all; {found.anchors} aligned by their weights"
    )
    for what, results in (("output", verification.outputs), ("layer", verification.layers)):
        furthest = worst(results)
        if furthest is not None:
            lines += greatest(what, furthest)
    parts = [*divergence_lines(found), *other_faults(found)]
    if parts:
        lines += ["", parts[0][0].upper() + parts[0][1:], *parts[1:]]
    elif found.of_outputs is not None:
        lines += ["", f"Cause: {found.of_outputs.name}: {found.of_outputs.detail}"]
    if found.repro is not None:
        lines.append(f"The first layer at fault alone: {repro_command(found.repro)}")
    return "\n".join(lines)


def worst(results: Sequence[TensorResult]) -> TensorResult | None:
    """The value that is furthest beyond its floor; None where none is beyond its tolerance."""
    wrong = [result for result in results if result.verdict == "differ" and result.metrics is not None]
    return max(wrong, key=lambda result: result.ratio, default=None)


def greatest(what: str, result: TensorResult) -> list[str]:
    """The figures of a value that differs."""
    metrics = result.metrics
    assert metrics is not None
    lines = [f"Worst {what}: {result.name} in A, {result.target} in B"]
    if metrics.problem is not None:
        return [*lines, f"  {metrics.problem}"]
    lines.append(
        f"  Relative RMS difference: {metrics.rel_rmse:.3g}, {result.ratio:.3g} times what float32 costs there "
        f"({result.floor:.3g})"
    )
    if metrics.worst is not None:
        place = metrics.worst
        lines.append(
            f"  Greatest absolute difference: {metrics.max_abs:.6g} at index {place.index} "
            f"({place.expected:.6g} in A, {place.actual:.6g} in B)"
        )
    return lines
