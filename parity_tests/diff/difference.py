"""What ``facecvt diff`` found: one immutable object, from which every report is made."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Difference:
    """Two models held against each other; truthy when they agree.

    Attributes:
        a, b: the models as they were given.
        frameworks: those of A and B.
        verification: verdict, outputs, layers, coverage; what A is, is the reference.
        own: value of A -> own error of the layer of B; empty where that was not asked for and both sides agree.
        how: value of A -> what tells that it is the value of B.
        fault: the first layer at fault.
        cause: why, where one of the known causes was proven.
        unmapped_b: values of B without a partner -> why.
        anchors: layers that were aligned by their weights.
        environment: what computed it.
        shown: names of the layers to report; all where None.
    """

    a: str
    b: str
    frameworks: tuple[str, str]
    verification: Verification
    own: Mapping[str, Metrics] = field(default_factory=dict)
    how: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None
    cause: Cause | None = None
    unmapped_b: Mapping[str, str] = field(default_factory=dict)
    anchors: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    shown: frozenset[str] | None = None

    def __bool__(self) -> bool:
        return bool(self.verification)

    @property
    def verdict(self) -> Verdict:
        return self.verification.verdict

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
