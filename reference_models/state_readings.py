"""The nets that have the same names and shapes as one that fits a state, and which of them is the likeliest.

An option that changes what a net computes without changing names and shapes, such as the output's length or where
convolutions are dilated, is open: weights cannot tell it. Every value of it gives a reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice, product
from typing import Any

from facecvt.reference_models.layers import Layer
from facecvt.reference_models.spec import ArchitectureSpec, architectures, families
from facecvt.reference_models.state_keys import expected_state
from facecvt.reference_models.state_options import (
    REFUSALS,
    UNSEEN,
    is_number,
    names_architecture,
    smallest,
    vocabulary,
)

MOST_CANDIDATES = 16


def readings(net: ArchitectureSpec, framework: str) -> list[ArchitectureSpec]:
    """Every net that has a net's names and shapes, itself first; at most MOST_CANDIDATES.

    They differ in options that change what is computed and nothing else. Values are tried on the family's smallest net
    first, where that takes the options: what shows there shows in a deep one.
    """
    small = with_options_of(smallest(families()[net.family]), net) or net
    here, there = Same(small, framework), Same(net, framework)
    free: dict[str, list[Any]] = {}
    for name, now in net.options.items():
        for value in [] if name in UNSEEN else vocabulary(net, name):
            if value == now:
                continue
            shown = here.computes_otherwise({name: value})
            if there.computes_otherwise({name: value}) if shown is None else shown:
                free.setdefault(name, [now]).append(value)
    found = [net]
    for values in product(*free.values()):
        options = {name: value for name, value in zip(free, values, strict=True) if value != net.options[name]}
        if options and there.computes_otherwise(options):
            found.append(net.with_options(**options))
        if len(found) == MOST_CANDIDATES:
            break
    alike = families()[net.family].alike
    if alike is not None:
        others = islice(alike(net), MOST_CANDIDATES)
        found += [each.with_options(**options) for options in others for each in found]
    return found[:MOST_CANDIDATES]


class Same:
    """Tells which options of a net change what it computes and neither names nor shapes.

    Args:
        net: with the options to start from.
        framework: whose names.
    """

    def __init__(self, net: ArchitectureSpec, framework: str) -> None:
        self._net, self._framework = net, framework
        self._state, self._computed = expected_state(net, framework), signature(net.layers())

    def computes_otherwise(self, options: Mapping[str, Any]) -> bool | None:
        """Whether options do that; None where the net refuses them."""
        try:
            other = self._net.with_options(**options)
            return signature(other.layers()) != self._computed and (
                expected_state(other, self._framework) == self._state
            )
        except REFUSALS:
            return None


def with_options_of(net: ArchitectureSpec, other: ArchitectureSpec) -> ArchitectureSpec | None:
    """An architecture with the options of another of its family, None where it does not take them."""
    try:
        return net.with_options(**other.options)
    except REFUSALS:
        return None


def plainest(net: ArchitectureSpec) -> ArchitectureSpec:
    """The same net as the architecture of its family of which the fewest options are changed."""
    own, found = signature(net.layers()), [net]
    for other in families()[net.family].architectures:
        same = (
            with_options_of(other, net) if other.name != net.name and set(other.options) == set(net.options) else None
        )
        units = [(stage.units, stage.channels) for stage in net.stages]
        alike = same is not None and units == [(stage.units, stage.channels) for stage in same.stages]
        if same is not None and alike and signature(same.layers()) == own:
            found.append(same)
    order = list(architectures())
    return min(found, key=lambda each: (len(changed_options(each)), order.index(each.name)))


def changed_options(net: ArchitectureSpec) -> dict[str, Any]:
    """The options that are not the architecture's defaults."""
    usual = architectures()[net.name].options
    return {name: value for name, value in net.options.items() if value != usual[name]}


def is_upstreams(net: ArchitectureSpec, framework: str) -> bool:
    """True for the form that an upstream in a framework has, but for numbers such as the embedding's length."""
    declared = [(alias.framework, alias.options) for alias in net.aliases]
    for pattern in families()[net.family].patterns:
        if names_architecture(pattern, net.name):
            declared.append((pattern.framework, pattern.options))
    usual = architectures()[net.name].options
    countable = [name for name in net.options if name not in UNSEEN and not is_number(name)]
    return any(
        whose == framework and all({**usual, **options}[name] == net.options[name] for name in countable)
        for whose, options in declared
    )


def signature(layers: Iterable[Layer]) -> tuple[Any, ...]:
    """What a listing computes: operators, wiring and attributes; how weights are seeded is left out."""
    return tuple((layer.name, layer.op, layer.inputs, repr(sorted(layer.attributes.items()))) for layer in layers)
