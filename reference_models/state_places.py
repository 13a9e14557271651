"""Where a state is looked for: a family, a framework's names, and the prefix that the keys carry.

Keys without their numbers are much the same for all nets of a family, however deep: one small net of each family,
with the family's countable options (SE or not, which output) as they fit best, is enough to tell families apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from facecvt.reference_models.naming import FRAMEWORKS
from facecvt.reference_models.spec import ArchitectureSpec, Family, families
from facecvt.reference_models.state_keys import DIGITS, Shapes, expected_state, patterns, prefixes, under
from facecvt.reference_models.state_options import REFUSALS, UNSEEN, is_number, smallest, vocabulary
from facecvt.reference_models.state_view import StateView

LEAST_LIKENESS = 0.3  # of the keys' patterns, for a family to be looked at
NEAR_THE_BEST = 0.6  # of the best family's likeness, likewise
PLAINLY_ALIKE = 0.8  # enough not to try the names of other frameworks
MOST_STARTED = 12  # architectures of a family that are compared in full


@dataclass(frozen=True)
class Place:
    """Where a state is looked for.

    Attributes:
        family: whose nets.
        framework: whose names.
        prefix: of the keys that count.
        options: the countable ones of the family that make its keys most alike.
        likeness: of the keys, from 0 to 1.
        nets: what the family reads off the keys and shapes, where it does; these alone are looked at then.
    """

    family: Family
    framework: str
    prefix: str
    options: Mapping[str, Any]
    likeness: float
    nets: tuple[ArchitectureSpec, ...] = ()

    def architectures(self, count: int) -> list[ArchitectureSpec]:
        """The family's architectures with the options, as far as they take them.

        Args:
            count: of the state's keys; of many architectures, those are taken whose depth suggests as many.
        """
        if self.nets:
            return list(self.nets)
        found = []
        for architecture in self.family.architectures:
            options = {name: value for name, value in self.options.items() if name in architecture.options}
            try:
                found.append(architecture.with_options(**options))
            except REFUSALS:
                found.append(architecture)
        if len(found) > MOST_STARTED:  # the number of keys is a straight line over that of units
            found.sort(key=units)
            first, other = found[0], found[len(found) // 2]
            least, more = (len(expected_state(net, self.framework).shapes) for net in (first, other))
            slope = (more - least) / max(units(other) - units(first), 1)
            found.sort(key=lambda each: abs(least + slope * (units(each) - units(first)) - count))
        return found[:MOST_STARTED]


def units(net: ArchitectureSpec) -> int:
    """How many units a net has in all its stages."""
    return sum(stage.units for stage in net.stages)


def likely_places(shapes: Shapes, framework: str | None) -> list[Place]:
    """Families whose nets have keys like these, the likest first.

    Args:
        shapes: name -> shape of every array, as the file has them.
        framework: whose file it is; of equal likeness, its names count.
    """
    found = patterns_by_prefix(shapes)
    places = [best_place(family, found, shapes, framework) for family in families().values()]
    if max(place.likeness for place in places) < LEAST_LIKENESS:  # names may depend on options altogether
        places = [with_countable_options(place, found[place.prefix]) for place in places]
    least = max(LEAST_LIKENESS, NEAR_THE_BEST * max(place.likeness for place in places))
    return sorted((place for place in places if place.likeness >= least), key=lambda each: -each.likeness)


def patterns_by_prefix(shapes: Shapes) -> dict[str, set[str]]:
    """What the keys look like under each prefix that they may have."""
    return {prefix: patterns(under(shapes, prefix)) for prefix in prefixes(shapes)}


def best_place(family: Family, found: Mapping[str, set[str]], shapes: Shapes, framework: str | None) -> Place:
    """The framework's names, the prefix and the options under which a state is most like a family.

    Args:
        family: whose nets.
        found: what the keys look like under each prefix.
        shapes: name -> shape of every array, as the file has them.
        framework: whose file it is.
    """
    best = Place(family, framework or FRAMEWORKS[0], "", {}, -1.0)
    for names in sorted(FRAMEWORKS, key=lambda name: name != framework):
        if best.likeness > PLAINLY_ALIKE:
            break
        for own in kinds(family.name, names):
            for prefix, theirs in found.items():
                share = likeness(own, theirs)
                if share > best.likeness:
                    best = Place(family, names, prefix, {}, share)
    if best.likeness < LEAST_LIKENESS:
        return best
    told = with_told_nets(best, found[best.prefix], shapes)
    if told is not None or best.likeness == 1.0 or family.told is not None:
        return told or best
    return with_countable_options(best, found[best.prefix])


def with_told_nets(place: Place, theirs: set[str], shapes: Shapes) -> Place | None:
    """The place with the nets that the family reads off the state; None where it reads none that is more alike."""
    if place.family.told is None:
        return None
    view = StateView(smallest(place.family).names(place.framework), under(shapes, place.prefix))
    nets: list[ArchitectureSpec] = []
    with suppress(*REFUSALS):
        nets.extend(place.family.told(view))
    share = likeness(state_patterns(nets[0], place.framework), theirs) if nets else -1.0
    return replace(place, nets=tuple(nets), likeness=share) if share >= place.likeness else None


def with_countable_options(place: Place, theirs: set[str]) -> Place:
    """The place with the options, of those whose values can be counted, that make the keys most alike."""
    net = smallest(place.family)
    names = [name for name in net.options if name not in UNSEEN and not is_number(name)]
    options: dict[str, Any] = {}
    best = place.likeness
    for _ in names:
        tried = (
            (likeness(own, theirs), name, value)
            for name in names
            for value in vocabulary(net, name)
            if (own := net_patterns(net, {**options, name: value}, place.framework)) is not None
        )
        share, name, value = max(tried, key=lambda entry: entry[0], default=(0.0, "", None))
        if share <= best:
            break
        best, options = share, {**options, name: value}
    return Place(place.family, place.framework, place.prefix, options, best)


def likeness(own: Iterable[str], theirs: set[str]) -> float:
    """Patterns that both have, among all."""
    own = set(own)
    return len(own & theirs) / max(len(own | theirs), 1)


@cache
def kinds(family: str, framework: str) -> tuple[frozenset[str], ...]:
    """Keys, without their numbers, of the smallest net of each kind that a family has, as its names tell kinds."""
    smallest_of: dict[str, ArchitectureSpec] = {}
    for net in sorted(families()[family].architectures, key=units):
        smallest_of.setdefault(DIGITS.sub("", net.name), net)
    return tuple(frozenset(state_patterns(net, framework)) for net in smallest_of.values())


def state_patterns(net: ArchitectureSpec, framework: str) -> set[str]:
    """Keys of a net, without their numbers."""
    expected = expected_state(net, framework)
    return patterns([*expected.shapes, *expected.twins])


def net_patterns(net: ArchitectureSpec, options: Mapping[str, Any], framework: str) -> set[str] | None:
    """Keys of a net with other options, None where it refuses them."""
    try:
        return state_patterns(net.with_options(**options), framework)
    except REFUSALS:
        return None
