"""What ``facecvt diff`` found: one immutable object, from which every report is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from facecvt.parity_tests.diff.localise import Fault
from facecvt.parity_tests.metrics import Metrics
from facecvt.parity_tests.verification import Verdict, Verification


@dataclass(frozen=True)
class Cause:
    """Why a layer differs, proven by an experiment.

    Attributes:
        name: what is wrong, as a short name, for example "epsilon".
        detail: the same with its figures.
        before: own error of the layer as it is.
        after: own error of the layer once that one thing is put right.
        step: value of A that B leaves out, where that is the cause.
    """

    name: str
    detail: str
    before: float
    after: float
    step: str | None = None

    @property
    def proof(self) -> str:
        """The experiment in words."""
        after = f"{self.after:.1e}" if self.after else "0"
        return f"with that put right its own error is {after}, before it was {self.before:.1e}"


@dataclass(frozen=True)
class Divergence:
    """A layer at fault, and why.

    Attributes:
        fault: the layer.
        cause: why, where one of the known causes was proven.
        was_tried: whether the known causes were tried on it: of many layers of one operator that is done on a few.
    """

    fault: Fault
    cause: Cause | None
    was_tried: bool = True


@dataclass(frozen=True)
class Difference:
    """Two models held against each other; truthy when they agree.

    Attributes:
        a, b: the models as they were given.
        frameworks: those of A and B.
        verification: verdict, outputs, layers, coverage; what A is, is the reference.
        own: value of A -> own error of the layer of B; empty where that was not asked for and both sides agree.
        how: value of A -> what tells that it is the value of B.
        divergences: every layer at fault, in A's order of computation.
        repro: folder in which the first of them lies alone, where it was asked for and there is one.
        unmapped_b: values of B without a partner -> why.
        anchors: layers that were aligned by their weights.
        environment: what computed it.
        of_outputs: why outputs differ although every layer is right, where that was found.
        shown: names of the layers to report; all where None.
    """

    a: str
    b: str
    frameworks: tuple[str, str]
    verification: Verification
    own: Mapping[str, Metrics] = field(default_factory=dict)
    how: Mapping[str, str] = field(default_factory=dict)
    divergences: tuple[Divergence, ...] = ()
    repro: str | None = None
    unmapped_b: Mapping[str, str] = field(default_factory=dict)
    anchors: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    shown: frozenset[str] | None = None
    of_outputs: Cause | None = None

    def __bool__(self) -> bool:
        return bool(self.verification)

    @property
    def verdict(self) -> Verdict:
        return self.verification.verdict

    @property
    def fault(self) -> Fault | None:
        """The first layer at fault."""
        return self.divergences[0].fault if self.divergences else None

    @property
    def cause(self) -> Cause | None:
        """Why the first layer at fault is wrong, where that was proven."""
        return self.divergences[0].cause if self.divergences else self.of_outputs

    @property
    def causes(self) -> dict[str, int]:
        """Every cause that was proven -> how many layers it was proven of; the first found first."""
        return dict(Counter(found.cause.name for found in self.divergences if found.cause is not None))

    @property
    def diverges_at(self) -> str | None:
        """The value of A that is wrong in B, or missing there; None where no layer is at fault."""
        if self.cause is not None and self.cause.step is not None:
            return self.cause.step
        return self.fault.a if self.fault is not None else None

    @property
    def exit_code(self) -> int:
        """0 agree, 1 differ, 4 a framework is missing, 5 not comparable."""
        return self.verification.exit_code
