"""What ``facecvt parity`` found: immutable objects, from which every report is made; result_json.py writes and reads.

A layer's figures lie in columns: ``pair.figures["rel_rmse"][i]`` belongs to ``architecture.layers[i]``. That is a fifth
of the size of a record a figure, and what a chart needs. Numbers are rounded to four digits; one that is NaN or
infinite is None, as is one that was not measured; ``pair.differ`` and ``pair.unclear`` say which layers are meant to be
looked at.

Everything but ``run`` is the same in every run on one machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

DIGITS = 4
REPRO = "repro"  # folder beside the reports, of the layers at fault

Verdict = Literal["agree", "differ", "not_comparable", "not_run"]
# The gravest first; the verdict of several is the first of these that one of them has.
GRAVITY: tuple[Verdict, ...] = ("differ", "not_run", "not_comparable", "agree")
EXIT_CODES: dict[Verdict, int] = {"agree": 0, "differ": 1, "not_run": 4, "not_comparable": 5}
FIGURES = ("rel_rmse", "own_rel_rmse", "max_abs", "one_minus_cos", "ratio", "bits_lost")


@dataclass(frozen=True)
class SideInfo:
    """One implementation: how it is called, what runs it.

    Attributes:
        id: "oracle", "torch", "paddle", "mxnet", or "onnx_torch", "onnx_paddle", "onnx_mxnet" for the ONNX model that
            facecvt makes from that framework's.
        label: the same for people.
        runs: what computes it, with its version.
        available: False where a framework that it needs is not installed.
        reason: why it is not available, and the command that changes that; "" where it is.
    """

    id: str
    label: str
    runs: str
    available: bool = True
    reason: str = ""


@dataclass(frozen=True)
class InputInfo:
    """One input that every side is run on.

    Attributes:
        name: for example "normal/1".
        kind: "normal", "image", or what it proves: "extreme".
        batch: number of samples.
        layers: True where every named layer is compared, False where only the outputs are.
        what: in words.
    """

    name: str
    kind: str
    batch: int
    layers: bool
    what: str


@dataclass(frozen=True)
class Fed:
    """What one architecture was fed for one input: name of the input, shape, SHA-256 of the little-endian float32."""

    name: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class WeightsOfSide:
    """The weights that a side runs with, read back from it.

    Attributes:
        side: id.
        tensors: how many tensors, in canonical layout.
        identical: how many of them are bit-identical with the seeded ones.
        sha256: of all of them in canonical order and layout.
        other: canonical names of those that are not identical.
    """

    side: str
    tensors: int
    identical: int
    sha256: str
    other: tuple[str, ...] = ()


@dataclass(frozen=True)
class LayerInfo:
    """One named value, in the order of the architecture's own listing; the outputs come last.

    Attributes:
        name: canonical layer name.
        operator: ONNX operator.
        inputs: names of the named layers that it is computed from, what lies between looked through; "input" for the
            network's.
        shape: at batch 1; () where no side gave it.
        depth: operators on the longest path from the input.
        parametric: whether it owns weights.
        output: its number among the outputs, None for an inner value.
        floor: rel-RMSE that float32 costs here, measured; None where it could not be.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    depth: int
    parametric: bool
    output: int | None
    floor: float | None


@dataclass(frozen=True)
class OutputFigures:
    """One output of a pair over all inputs but the extremes, each figure the worst; None where it is infinite.

    Attributes:
        layer: canonical name of the output.
        rel_rmse, max_abs, one_minus_cos: as in FIGURES.
        ratio: error over floor, over all inputs.
        input: name of the input that has the greatest ratio.
    """

    layer: str
    rel_rmse: float | None
    max_abs: float | None
    one_minus_cos: float | None
    ratio: float | None
    input: str


@dataclass(frozen=True)
class PairResult:
    """Two sides held against each other over all inputs.

    Attributes:
        a, b: ids; a is what b is measured against.
        verdict: of the pair.
        reason: why it is not "agree", "" where it is.
        compared: layers that were compared.
        worst_ratio: greatest error over floor; None where infinite or nothing was compared.
        worst_layer: name of the layer that has it.
        outputs: figures of every output that was compared, in order.
        figures: each of FIGURES -> one number a layer; ``own_rel_rmse`` is there for the pairs of the oracle with an
            ONNX side.
        worst: index of the element with the greatest difference, one a layer; None where not compared.
        input: number of the input, in ``ParityResult.inputs``, that gave the layer's figures.
        differ: numbers of the layers beyond their tolerance.
        unclear: numbers of the layers where nothing can be said; layers that one of the sides cannot show are in
            ``missing`` and in neither of these.
        missing: numbers of the layers that a side has no name for.
    """

    a: str
    b: str
    verdict: Verdict
    reason: str = ""
    compared: int = 0
    worst_ratio: float | None = None
    worst_layer: str | None = None
    outputs: tuple[OutputFigures, ...] = ()
    figures: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    worst: tuple[tuple[int, ...] | None, ...] = ()
    input: tuple[int | None, ...] = ()
    differ: tuple[int, ...] = ()
    unclear: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """For example "oracle/torch"."""
        return f"{self.a}/{self.b}"

    @property
    def embedding(self) -> OutputFigures | None:
        """The first output's figures: the embedding where the net gives one; None where there are none."""
        return self.outputs[0] if self.outputs else None


@dataclass(frozen=True)
class CheckResult:
    """One metamorphic check of one side.

    Attributes:
        side: id.
        check: "batches", "permuted", "repeated", "extremes", "aliases", "depends" or "weights".
        verdict: of the check.
        detail: what was found, with its figures.
        figure: the greatest error over its tolerance, None where the check has no such number.
    """

    side: str
    check: str
    verdict: Verdict
    detail: str
    figure: float | None = None


@dataclass(frozen=True)
class Divergence:
    """The first layer that is off while what it is computed from agrees.

    Attributes:
        side: id of the side at fault.
        against: id of what it was held against.
        layer: canonical name.
        operator: ONNX operator.
        rel_rmse, own_rel_rmse, floor, ratio: the layer's figures; own where it was measured.
        worst: index of the element with the greatest difference.
        inputs_agree: whether everything that the layer is computed from is within its tolerance.
        cause: in a few words, None where none was proven.
        evidence: what proves it, or the figures.
        command: what shows it again.
        repro: what runs the layer alone, from the folder of the reports; None where it was not kept.
    """

    side: str
    against: str
    layer: str
    operator: str
    rel_rmse: float | None
    own_rel_rmse: float | None
    floor: float | None
    ratio: float | None
    worst: tuple[int, ...] | None
    inputs_agree: bool
    cause: str | None
    evidence: str
    command: str
    repro: str | None = None


@dataclass(frozen=True)
class Coverage:
    """What of one side was compared: names of the listing's layers that it has no value for, and the shares."""

    side: str
    parametric: float
    layers: float
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class ArchitectureResult:
    """One reference architecture.

    Attributes:
        name, family, title: as ``facecvt models`` lists it.
        verdict: of all its pairs and checks.
        reasons: why it is not "agree", the most telling first.
        options: every option with its value.
        parameters: count of trainable numbers.
        multiply_adds: of one image.
        seed: of its weights.
        weights: SHA-256 of the seeded weights in canonical order and layout.
        weights_of: what each side runs with.
        inputs: what it was fed.
        outputs: names of its outputs, in order.
        coverage: one a side that ran.
        pairs: every pair of sides.
        layers: every named layer.
        checks: metamorphic checks, by side.
        first_divergence: None where everything agrees.
    """

    name: str
    family: str
    title: str
    verdict: Verdict
    reasons: tuple[str, ...]
    options: Mapping[str, Any]
    parameters: int
    multiply_adds: int
    seed: int
    weights: str
    weights_of: tuple[WeightsOfSide, ...]
    inputs: tuple[Fed, ...]
    outputs: tuple[str, ...]
    coverage: tuple[Coverage, ...]
    pairs: tuple[PairResult, ...]
    layers: tuple[LayerInfo, ...]
    checks: tuple[CheckResult, ...]
    first_divergence: Divergence | None = None

    def pair(self, a: str, b: str) -> PairResult:
        """The pair of two sides, in whatever order; KeyError where there is none."""
        for pair in self.pairs:
            if {pair.a, pair.b} == {a, b}:
                return pair
        raise KeyError(f"{self.name} has no pair {a}/{b}")


@dataclass(frozen=True)
class Settings:
    """What was asked for.

    Attributes:
        patterns: names and patterns of architectures; empty for all.
        frameworks: of torch, paddle, mxnet, onnx.
        quick: fewer architectures where none is named, and fewer inputs.
        seed: of weights and inputs.
        shard: "I/N", or None for all.
    """

    patterns: tuple[str, ...]
    frameworks: tuple[str, ...]
    quick: bool
    seed: int
    shard: str | None = None


@dataclass(frozen=True)
class Limits:
    """What was allowed: error over floor of every layer, and what an output must meet besides."""

    k: float
    output_rel_rmse: float
    output_one_minus_cos: float


@dataclass(frozen=True)
class ParityResult:
    """Everything that a run found; truthy when all agree.

    Attributes:
        verdict: the gravest of all architectures'; "not_comparable" where there is none.
        settings: what was asked for.
        limits: what was allowed.
        sides: every implementation that was asked for.
        inputs: what every side was run on.
        environment: versions, machine.
        architectures: in the order of ``facecvt models``.
        run: what another run gives otherwise: when, how long ("started", "seconds", "cpu_seconds", "peak_memory_mb",
            "architectures": name -> seconds of CPU time, and "peaks_mb": name -> most MB of its process).
    """

    verdict: Verdict
    settings: Settings
    limits: Limits
    sides: tuple[SideInfo, ...]
    inputs: tuple[InputInfo, ...]
    environment: Mapping[str, str]
    architectures: tuple[ArchitectureResult, ...]
    run: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.verdict == "agree"

    @property
    def exit_code(self) -> int:
        """0 agree, 1 differ, 4 a framework is missing, 5 not comparable."""
        return EXIT_CODES[self.verdict]

    def count(self, verdict: Verdict) -> int:
        """How many architectures have a verdict."""
        return sum(found.verdict == verdict for found in self.architectures)


def gravest(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of several; nothing proves nothing."""
    found = set(verdicts)
    return next((verdict for verdict in GRAVITY if verdict in found), "not_comparable")


def rounded(value: float | None) -> float | None:
    """A figure as reports hold it: four digits; None for NaN and Inf."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS - 1}e}")
