"""Tells which reference architecture a bare state belongs to, from its keys and shapes, with every option they tell.

    1. Keys without their numbers are held against one small net of each family, in each framework's names and under
       every prefix that the keys suggest. What is nothing like a family costs no more than that.
    2. Families whose options are too many to be tried read them off the state (``Family.told``). The architectures of
       the families that are left are compared in full, nearest first, and their options solved for
       (state_options.py). Where nothing differs but what training leaves behind, the state is recognised.
    3. Options that change the net without changing names and shapes, such as an output of length 1, are open: every
       reading is a candidate.

Where nothing fits, the nearest architecture is given with the differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from facecvt.reference_models.naming import COUNTER
from facecvt.reference_models.spec import ArchitectureSpec, architectures, families
from facecvt.reference_models.state_keys import Difference, Leftover, Shapes, leftovers, under
from facecvt.reference_models.state_options import Fit, Fitting
from facecvt.reference_models.state_places import Place, best_place, likely_places, patterns_by_prefix
from facecvt.reference_models.state_readings import changed_options, is_upstreams, plainest, readings, signature

LEAST_SHARE = 0.2  # of the entries, for an architecture to be called the nearest
MOST_FITTED = 4  # architectures whose options are solved for


@dataclass(frozen=True)
class StateCandidate:
    """One net that a state could be of.

    Attributes:
        architecture: with its options.
        names: names that stand for exactly this net, those of upstreams in the state's framework first.
    """

    architecture: ArchitectureSpec
    names: tuple[str, ...]

    @property
    def changed(self) -> dict[str, Any]:
        """The options that are not the architecture's defaults."""
        return changed_options(self.architecture)

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.changed.items())
        return f"{self.architecture.name} ({options})" if options else self.architecture.name


@dataclass(frozen=True)
class StateRecognition:
    """What a state is, or what it is nearest to.

    Attributes:
        framework: whose names the keys are.
        exact: True where names and shapes are those of the candidates; False where the one candidate is the nearest.
        candidates: nets that have these names and shapes, the likeliest first.
        prefix: what every key of the net carries.
        difference: to the first candidate's net, without what is left over.
        leftovers: what is no part of the network.
    """

    framework: str
    exact: bool
    candidates: tuple[StateCandidate, ...]
    prefix: str
    difference: Difference
    leftovers: tuple[Leftover, ...]

    @property
    def architecture(self) -> ArchitectureSpec:
        """That of the likeliest candidate."""
        return self.candidates[0].architecture

    @property
    def ambiguous(self) -> bool:
        """True where several nets have these names and shapes."""
        return self.exact and len(self.candidates) > 1

    @property
    def open_options(self) -> dict[str, list[Any]]:
        """Options of the first candidate's architecture that weights do not tell, with the values they could have."""
        same = [each.architecture for each in self.candidates if each.architecture.name == self.architecture.name]
        values: dict[str, list[Any]] = {name: [] for name in self.architecture.options}
        for net in same:
            for name, found in values.items():
                if net.options[name] not in found:
                    found.append(net.options[name])
        return {name: found for name, found in values.items() if len(found) > 1}

    def own(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """The entries of a state that are the network's, by the names of its net."""
        beside = {leftover.name for leftover in self.leftovers}
        return {
            name[len(self.prefix) :]: value
            for name, value in state.items()
            if name.startswith(self.prefix) and name not in beside
        }

    def reading(self, asked: ArchitectureSpec) -> StateRecognition | None:
        """The same with the candidates that have the open options of an architecture; None where none has.

        Args:
            asked: what a user named; what shapes tell, such as the length of the embedding, may be otherwise. So may
                an option of which no value that is open is the architecture's: it stays open.
        """
        settled = [name for name, values in self.open_options.items() if asked.options.get(name) in values]
        chosen = tuple(
            each
            for each in self.candidates
            if each.architecture.name == asked.name
            and all(each.architecture.options[name] == asked.options[name] for name in settled)
        )
        return replace(self, candidates=chosen) if chosen else None

    def as_json(self) -> dict[str, Any]:
        """The recognition as a JSON object."""
        return {
            "names_of": self.framework,
            "exact": self.exact,
            "ambiguous": self.ambiguous,
            "candidates": [
                {
                    "architecture": each.architecture.name,
                    "family": each.architecture.family,
                    "options": {name: plain(value) for name, value in each.architecture.options.items()},
                    "changed": {name: plain(value) for name, value in each.changed.items()},
                    "names": list(each.names),
                }
                for each in self.candidates
            ],
            "open": {name: plain(values) for name, values in self.open_options.items()},
            "prefix": self.prefix,
            "matched": self.difference.matched,
            "missing": list(self.difference.missing),
            "unexpected": list(self.difference.unexpected),
            "reshaped": [
                {"name": name, "shape": list(found), "expected": list(wanted)}
                for name, found, wanted in self.difference.reshaped
            ],
            "counters_missing": self.difference.counters_missing,
            "leftovers": [{"name": each.name, "shape": list(each.shape), "what": each.what} for each in self.leftovers],
        }


@dataclass(frozen=True)
class Found:
    """An architecture fitted to a state, and where."""

    fit: Fit
    place: Place
    difference: Difference
    leftovers: tuple[Leftover, ...]

    @property
    def exact(self) -> bool:
        """True where nothing differs but what training leaves behind."""
        return not (self.difference.missing or self.difference.unexpected or self.difference.reshaped)


def recognise_state(shapes: Shapes, framework: str | None = None) -> StateRecognition | None:
    """The architecture that a state is of, or the nearest; None where it is nothing like any.

    Args:
        shapes: name -> shape of every array, as the file has them.
        framework: whose file it is; the names of other frameworks are tried as well.
    """
    found: list[Found] = []
    started = []
    for place in likely_places(shapes, framework):
        fitting = Fitting(place.framework, under(shapes, place.prefix))
        started += [(fitting.start(each), place, fitting) for each in place.architectures(counted(fitting.found))]
    started.sort(key=lambda entry: (entry[0].difference.cost, *likeliest(entry[0].architecture, entry[1].framework)))
    taken: Difference | None = None  # of a net that fits once its options are solved for
    for start, place, fitting in started[:MOST_FITTED]:
        if taken is None or start.difference == taken:  # a net with the same names and shapes would fit as well
            found.append(fitted(start, place, fitting, shapes))
            if found[-1].exact:
                taken = start.difference
    return recognition(found)


def compared_with(shapes: Shapes, framework: str | None, asked: ArchitectureSpec) -> StateRecognition | None:
    """A state held against one architecture, whose options are fitted; None where it has nothing of it.

    Args:
        shapes: name -> shape of every array, as the file has them.
        framework: whose file it is.
        asked: the architecture; its open options are kept.
    """
    place = best_place(families()[asked.family], patterns_by_prefix(shapes), shapes, framework)
    fitting = Fitting(place.framework, under(shapes, place.prefix))
    starts = [fitting.start(net) for net in (asked, *(net for net in place.nets if net.name == asked.name))]
    start = min(starts, key=lambda each: each.difference.cost)
    whole = recognition([fitted(start, place, fitting, shapes)])
    return whole if whole is None or not whole.exact else whole.reading(asked)


def fitted(start: Fit, place: Place, fitting: Fitting, shapes: Shapes) -> Found:
    """An architecture with the options that fit best, and what is left over."""
    beside = set_apart(start, place, shapes)
    best = start if beside.exact else fitting.fit(start.architecture, float(len(beside.leftovers)))
    return set_apart(Fit(plainest(best.architecture), best.difference), place, shapes)


def set_apart(fit: Fit, place: Place, shapes: Shapes) -> Found:
    """A fit with what training leaves behind taken out of the difference."""
    size = output_size(fit.architecture)
    inside = {name: shapes[place.prefix + name] for name in fit.difference.unexpected}
    left = leftovers(inside, size, place.framework)
    difference = replace(
        fit.difference,
        unexpected=tuple(name for name in fit.difference.unexpected if name not in {each.name for each in left}),
    )
    outside = {name: shape for name, shape in shapes.items() if not name.startswith(place.prefix)}
    known = {each.name: each for each in leftovers(outside, size, place.framework)}
    left = [replace(each, name=place.prefix + each.name) for each in left]
    left += [known.get(name) or Leftover(name, shape, "beside the network") for name, shape in outside.items()]
    return Found(fit, place, difference, tuple(left))


def recognition(found: list[Found]) -> StateRecognition | None:
    """All nets that fit exactly, or the one that is nearest."""
    if not found:
        return None
    exact = [each for each in found if each.exact]
    best = min(exact or found, key=lambda each: each.difference.cost)
    if not exact and best.difference.share < LEAST_SHARE:
        return None
    framework = best.place.framework
    nets = [best.fit.architecture]
    if exact:
        nets = [plainest(net) for each in exact for net in readings(each.fit.architecture, framework)]
    nets.sort(key=lambda net: likeliest(net, framework))
    same: list[tuple[Any, list[ArchitectureSpec]]] = []  # what is computed, and the nets that compute it
    for net in nets:
        computed = signature(net.layers())
        known = next((group for other, group in same if other == computed), None)
        if known is None:
            same.append((computed, [net]))
        else:
            known.append(net)
    for _, group in same:
        group.sort(key=lambda net: net.name != nets[0].name)
    candidates = tuple(StateCandidate(group[0], other_names(group, framework)) for _, group in same)
    return StateRecognition(framework, bool(exact), candidates, best.place.prefix, best.difference, best.leftovers)


def likeliest(net: ArchitectureSpec, framework: str) -> tuple[bool, int]:
    """A key that sorts the forms of a framework's upstreams in front, then those with few changed options."""
    return not is_upstreams(net, framework), len(changed_options(net))


def other_names(nets: list[ArchitectureSpec], framework: str) -> tuple[str, ...]:
    """Other names of what are the same nets, a framework's own first."""
    found: dict[str, bool] = {}
    for net in nets:
        usual = architectures()[net.name]
        if not changed_options(net) and net is not nets[0]:
            found[net.name] = False
        for alias in net.aliases:
            options = usual.with_options(**alias.options).options
            if options == net.options:
                found[alias.name] = alias.framework == framework
    return tuple(sorted(found, key=lambda name: not found[name]))


def counted(found: Shapes) -> int:
    """Arrays of a state but for step counters."""
    return sum(not name.endswith(f".{COUNTER}") for name in found)


def output_size(net: ArchitectureSpec) -> int:
    """Length of the output vector, 0 where a net has none."""
    return int(net.options.get("embedding_size", net.options.get("num_classes", 0)))


def plain(value: Any) -> Any:
    """An option's value as JSON has it."""
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str)) or value is None else str(value)
