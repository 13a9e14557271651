"""What a verification found: one immutable object, from which every report is made.

Verdicts and exit codes:

    agree            0   every output and every compared inner value is within its tolerance
    differ           1   a number is not, an output has no partner, or the target cannot run what the source can
    not_verified     4   the target's framework is not installed, or nobody asked
    not_comparable   5   too little was compared for either answer, or the source itself proves nothing
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from facecvt.parity_tests.align import Coverage, Unmapped
from facecvt.parity_tests.metrics import Metrics, bits_lost
from facecvt.parity_tests.tolerance import Gate

if TYPE_CHECKING:
    from facecvt.converters.passes.to_half import HalfPlan

Verdict = Literal["agree", "differ", "not_comparable", "not_verified"]
NOTHING_COVERED = Coverage(0.0, 0.0)
EXIT_CODES: dict[Verdict, int] = {"agree": 0, "differ": 1, "not_verified": 4, "not_comparable": 5}


@dataclass(frozen=True)
class TensorResult:
    """One value of the source held against its partner, over all runs; the figures are those of the worst run.

    Attributes:
        name: value name in the source.
        target: where the target holds it; None where it has no partner.
        operator: what computes it in the source; "" where that is not known.
        node: name of the source's node.
        position: place in the source's order of computation; of an output, its number.
        parametric: whether its operator reads weights.
        verdict: "agree", "differ", or "not_comparable" where nothing can be said.
        reason: why it is not "agree"; "" where it is.
        metrics: the worst run's, None where nothing was measured.
        kind: kind of input of the worst run.
        batch: batch size of the worst run.
        floor: rel-RMSE that float32 costs at this value; 0 where values must be equal.
        own_rel_rmse: the layer's own error when it is fed the source's inputs; None where that was not measured.
    """

    name: str
    target: str | None
    operator: str
    node: str
    position: int
    parametric: bool
    verdict: Verdict
    reason: str
    metrics: Metrics | None
    kind: str
    batch: int
    floor: float
    own_rel_rmse: float | None = None

    def __bool__(self) -> bool:
        return self.verdict == "agree"

    @property
    def ratio(self) -> float:
        """Error over floor: the smallest factor k that would pass; infinite where nothing was measured."""
        return float("inf") if self.metrics is None else Gate(self.metrics.rel_rmse, self.floor).ratio

    @property
    def bits_lost(self) -> float:
        """Bits lost beyond what float32 costs here; infinite where the values must be equal and are not."""
        if self.metrics is None:
            return float("inf")
        if self.floor == 0.0:
            return float("inf") if self.metrics.rel_rmse > 0.0 else 0.0
        return bits_lost(self.metrics.rel_rmse, self.floor)


@dataclass(frozen=True)
class Verification:
    """What a verification found; truthy when both sides agree.

    Attributes:
        verdict: see the module's docstring.
        reasons: why it is not "agree", the most telling first; empty where it is.
        batches: batch sizes that were run.
        kinds: kinds of input that were run.
        outputs: one for each output of either side, in order.
        layers: one for each compared inner value, in the source's order of computation.
        unmapped: computed source values that were not compared, and why.
        coverage: how much of the source was compared.
        rows_compared: how many rows were held against the same sample in another batch.
        warnings: what the user should know even where both sides agree.
        command: for "not_verified": the command that would change that, None where there is none.
        float16: what is proven of a target in float16 besides; None of any other.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    batches: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ()
    outputs: tuple[TensorResult, ...] = ()
    layers: tuple[TensorResult, ...] = ()
    unmapped: tuple[Unmapped, ...] = ()
    coverage: Coverage = NOTHING_COVERED
    rows_compared: int = 0
    warnings: tuple[str, ...] = ()
    command: str | None = None
    float16: Float16Proof | None = None

    def __bool__(self) -> bool:
        return self.verdict == "agree"

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]

    @property
    def layers_compared(self) -> int:
        """Inner values of which every run was compared."""
        return sum(layer.verdict != "not_comparable" for layer in self.layers)

    @property
    def first_divergence(self) -> TensorResult | None:
        """The first value in the source's order of computation that is beyond its tolerance; else the first output."""
        return first_differing([*self.layers, *self.outputs])


@dataclass(frozen=True)
class Float16Proof:
    """What a verdict on a target in float16 rests on, besides its own figures.

    Attributes:
        plan: what of it computes in float16.
        single: the verification of the same model written in float32.
        differences: what else than rounding tells the file from that model; empty where nothing does.
        limits: (output, rel-RMSE, 1 - cos) that an output may have at most; they follow from its floor.
    """

    plan: HalfPlan
    single: Verification
    differences: tuple[str, ...]
    limits: tuple[tuple[str, float, float], ...]


def first_differing(results: Sequence[TensorResult]) -> TensorResult | None:
    """The first result that differs, in their order."""
    return next((result for result in results if result.verdict == "differ"), None)


def not_verified(reason: str, command: str | None = None) -> Verification:
    """A verification that did not take place.

    Args:
        reason: why.
        command: what would change that, for example a pip command.
    """
    return Verification("not_verified", (reason,), command=command)
