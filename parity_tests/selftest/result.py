"""What the selftest found: records, and the figures that must be reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LEAST_DETECTED, LEAST_LOCALISED, LEAST_NAMED = 0.98, 0.95, 0.80
LEAST_FAULTS, LEAST_VARIANTS = 40, 8


@dataclass(frozen=True)
class FaultRun:
    """A fault in one net.

    Attributes:
        net: name of the architecture.
        fault: name of the fault.
        layers: names of the layers that are wrong, any of which may be named; empty where the net has no place for it.
        size: rel-RMSE of the wrong layer by itself, in float64.
        floor: what float32 costs at that layer.
        cause: what is to be named.
        verdict: of the comparison.
        found: layer that it names.
        found_cause: cause that it names.
    """

    net: str
    fault: str
    layers: tuple[str, ...] = ()
    size: float = 0.0
    floor: float = 0.0
    cause: str = ""
    verdict: str = ""
    found: str | None = None
    found_cause: str | None = None
    detected: bool = False
    localised: bool = False
    named: bool = False

    @property
    def injected(self) -> bool:
        """Whether the fault changes what the net computes; below the floor it is none."""
        return bool(self.layers) and not self.size <= self.floor

    @property
    def is_whole(self) -> bool:
        return self.detected and self.localised and self.named


@dataclass(frozen=True)
class VariantRun:
    """A harmless variant of one net; ``reasons`` is empty where it agreed."""

    net: str
    variant: str
    verdict: str
    reasons: tuple[str, ...] = ()

    @property
    def alarmed(self) -> bool:
        return self.verdict != "agree"


@dataclass(frozen=True)
class Selftest:
    """Everything that was run; truthy when the figures are reached.

    Attributes:
        faults: every fault in every net, those without a place among them.
        variants: every harmless variant of every net.
    """

    faults: tuple[FaultRun, ...]
    variants: tuple[VariantRun, ...]

    @property
    def injected(self) -> list[FaultRun]:
        return [run for run in self.faults if run.injected]

    @property
    def names(self) -> list[str]:
        """Different faults that were injected anywhere."""
        return sorted({run.fault for run in self.injected})

    @property
    def misses(self) -> list[FaultRun]:
        return [run for run in self.injected if not run.is_whole]

    @property
    def alarms(self) -> list[VariantRun]:
        return [run for run in self.variants if run.alarmed]

    def share(self, what: str, net: str | None = None) -> float:
        """Share of the injected faults that are ``detected``, ``localised`` or ``named``; of one net or of all."""
        runs: Sequence[FaultRun] = [run for run in self.injected if net in (None, run.net)]
        return sum(getattr(run, what) for run in runs) / len(runs) if runs else 0.0

    @property
    def shortfalls(self) -> list[str]:
        """Figures that are not reached."""
        found = [
            f"{what} {self.share(what):.1%}, at least {least:.0%} are wanted"
            for what, least in (
                ("detected", LEAST_DETECTED),
                ("localised", LEAST_LOCALISED),
                ("named", LEAST_NAMED),
            )
            if self.share(what) < least
        ]
        if self.alarms:
            found.append(f"{len(self.alarms)} false alarms")
        if len(self.names) < LEAST_FAULTS:
            found.append(f"{len(self.names)} different faults injected, at least {LEAST_FAULTS} are wanted")
        for net in dict.fromkeys(run.net for run in self.variants):
            count = sum(run.net == net for run in self.variants)
            if count < LEAST_VARIANTS:
                found.append(f"{count} harmless variants of {net}, at least {LEAST_VARIANTS} are wanted")
        return found

    def __bool__(self) -> bool:
        return not self.shortfalls

    @property
    def exit_code(self) -> int:
        """0 where the figures are reached, else 1."""
        return 0 if self else 1
