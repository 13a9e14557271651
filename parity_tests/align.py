"""Which value of the source is which value of the target.

A conversion knows it by construction: every canonical value bears its source's name (or is reached from it through an
alias, where an operator vanished), and the writer says where the target holds each canonical value. Nothing is guessed:
a name that occurs twice, or has no place in the target, is unmapped and reported. Outputs belong together when they
have the same position and, where the target names its outputs, the same name.

Coverage is counted over what the source computes:

    parametric   share of layers with weights whose value was compared
    taps         share of all floating point values that was compared

A source that adds a layer's bias in an operator of its own computes a value that the target never forms, because there
the bias is part of the layer. Such a value counts as compared where the value with the bias was: that one contains it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from facecvt.parity_tests.source import Layer


@dataclass(frozen=True)
class Pair:
    """A source value and where the target holds it.

    Attributes:
        layer: the value in the source.
        position: its place in the source's order of computation.
        tap: its place in the target, in the spelling of the target's runtime.
    """

    layer: Layer
    position: int
    tap: str


@dataclass(frozen=True)
class Unmapped:
    """A computed source value that is not compared, and why."""

    value: str
    reason: str


@dataclass(frozen=True)
class OutputPair:
    """Output number ``position`` of both sides; ``target`` is None, and ``reason`` set, where there is no partner."""

    position: int
    source: str | None
    target: str | None
    reason: str | None = None


@dataclass(frozen=True)
class Alignment:
    """What is compared with what.

    Attributes:
        pairs: inner values, in the source's order of computation.
        unmapped: computed source values without a partner.
        outputs: one for each output of either side.
        absorbed: source value that the target never forms -> the compared source value that contains it.
    """

    pairs: tuple[Pair, ...]
    unmapped: tuple[Unmapped, ...]
    outputs: tuple[OutputPair, ...]
    absorbed: Mapping[str, str] = field(default_factory=dict)

    @property
    def taps(self) -> list[str]:
        """Every target value that is wanted, once, in order."""
        return list(dict.fromkeys(pair.tap for pair in self.pairs))


def align(
    layers: Sequence[Layer],
    source_outputs: Sequence[str],
    target_outputs: Sequence[str],
    taps: Mapping[str, str],
    aliases: Mapping[str, str],
    inputs: Collection[str],
    *,
    absorbed: Mapping[str, str] | None = None,
    outputs_are_named: bool = True,
) -> Alignment:
    """Align a source with the target that was made from it.

    Args:
        layers: what the source computes, in order.
        source_outputs: its outputs, in order.
        target_outputs: the target's outputs, in order.
        taps: canonical value name -> place in the target.
        aliases: source value name -> canonical value name, for operators that vanished.
        inputs: canonical names of what is fed; a value that only repeats an input needs no proof.
        absorbed: canonical value that no longer exists -> the canonical value that contains it.
        outputs_are_named: whether the target gives its outputs names of its own; then they must be the source's.
    """
    times = Counter(layer.value for layer in layers)
    pairs: list[Pair] = []
    unmapped: list[Unmapped] = []
    absorbed = absorbed or {}
    contained: dict[str, str] = {}
    for position, layer in enumerate(layers):
        if not layer.computed:
            continue
        canonical = resolved_alias(layer.value, aliases)
        if times[layer.value] > 1:
            unmapped.append(Unmapped(layer.value, f"{times[layer.value]} values of the source have this name"))
        elif canonical in taps:
            pairs.append(Pair(layer, position, taps[canonical]))
        elif canonical in absorbed:
            contained[layer.value] = resolved_alias(absorbed[canonical], aliases)
        elif canonical not in inputs:
            unmapped.append(Unmapped(layer.value, "the target does not hold this value"))
    holders = {resolved_alias(pair.layer.value, aliases): pair.layer.value for pair in pairs}
    for value, canonical in contained.items():
        if canonical not in holders:
            unmapped.append(Unmapped(value, f"the target holds neither this value nor {canonical}, which includes it"))
    return Alignment(
        tuple(pairs),
        tuple(unmapped),
        align_outputs(source_outputs, target_outputs, named=outputs_are_named),
        {value: holders[canonical] for value, canonical in contained.items() if canonical in holders},
    )


def resolved_alias(name: str, aliases: Mapping[str, str]) -> str:
    """The name at the end of a chain of aliases."""
    seen = {name}
    while name in aliases and aliases[name] not in seen:
        name = aliases[name]
        seen.add(name)
    return name


def align_outputs(source: Sequence[str], target: Sequence[str], *, named: bool = True) -> tuple[OutputPair, ...]:
    """Pair outputs by position and, where both sides name them, by name; nothing is cut to the shorter list."""
    result = []
    for position in range(max(len(source), len(target))):
        ours = source[position] if position < len(source) else None
        theirs = target[position] if position < len(target) else None
        reason = None
        if ours is None:
            reason = f"the target has an output {theirs!r} that the source does not have"
        elif theirs is None:
            reason = f"the target has {len(target)} output(s), the source {len(source)}"
        elif named and ours != theirs:
            reason = f"output {position} is {ours!r} in the source and {theirs!r} in the target"
        result.append(OutputPair(position, ours, theirs if reason is None else None, reason))
    return tuple(result)


@dataclass(frozen=True)
class Coverage:
    """How much of the source was compared.

    Attributes:
        parametric: share of layers with weights, 0 to 1; 1 where the source has none.
        taps: share of floating point values, 0 to 1; 1 where the source computes none.
    """

    parametric: float
    taps: float


def coverage_of(
    layers: Sequence[Layer], floating: Collection[str], compared: Collection[str], absorbed: Mapping[str, str]
) -> Coverage:
    """Coverage over the computed floating point values.

    Args:
        layers: what the source computes.
        floating: names of values that are floating point numbers.
        compared: names of values that were compared.
        absorbed: value that the target never forms -> the value that contains it.
    """
    proven = {layer.value for layer in layers if absorbed.get(layer.value, layer.value) in compared}
    counted = [layer for layer in layers if layer.computed and layer.value in floating]
    parametric = [layer for layer in counted if layer.parametric]
    return Coverage(_share(parametric, proven), _share(counted, proven))


def _share(layers: Sequence[Layer], compared: Collection[str]) -> float:
    if not layers:
        return 1.0
    return sum(layer.value in compared for layer in layers) / len(layers)
