"""The options of an architecture that a state's names and shapes tell.

Options are not looked up in a list of what people publish; they are solved for. An option's values are tried where they
make the net's own listing come nearer to the state, until nothing differs or nothing helps:

    True or False, a word         each value; the words that the option's check accepts, and those of upstream names
    a whole number, a factor      numbers that the differing shapes suggest: a size itself, the option times the ratio
                                  of the sizes (or its root, for an edge of a map); a factor is then bracketed, and the
                                  plainest number of the bracket is taken
    a tuple of such numbers       every place by itself, also in steps that double; also one place more or less

Options that change the net without changing names and shapes cannot be told; see state_readings.py.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from facecvt.converters.errors import FacecvtError
from facecvt.reference_models.spec import (
    OPTION_VALUES,
    ArchitectureSpec,
    Family,
    NamePattern,
    architectures,
    families,
)
from facecvt.reference_models.state_keys import Difference, Shapes, expected_state

MOST_LISTED = 80_000  # entries of the nets that are listed for one architecture
MOST_ROUNDS = 12
MOST_GUESSES = 8  # values of one option in one round
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|\d+(?:\.\d+)?")
REFUSALS = (FacecvtError, ArithmeticError, LookupError, ValueError)  # of options that do not go together
UNSEEN = ("eps", "dropout", "norm_layer")  # never in names or shapes
PROBES = (7919, 8192, 8064)  # numbers that only a check for any number, or for any multiple of one, accepts


@dataclass
class Fit:
    """An architecture with the options that fit a state best.

    Attributes:
        architecture: with these options.
        difference: of the state to its net.
    """

    architecture: ArchitectureSpec
    difference: Difference


@dataclass
class Fitting:
    """Fits one architecture's options to a state.

    Attributes:
        framework: whose names the state has.
        found: name without prefix -> shape.
        base: cost that no option can remove.
        listed: entries of the nets that were listed so far.
    """

    framework: str
    found: Shapes
    base: float = 0.0
    listed: int = 0
    _known: dict[Any, Fit | None] = field(default_factory=dict)

    def fit(self, architecture: ArchitectureSpec, base: float = 0.0) -> Fit:
        """The best options, from the architecture's own and from those of its upstream names.

        Args:
            architecture: with its default options.
            base: cost that no option can remove, namely that of what training leaves behind.
        """
        self.listed, self.base = 0, base
        best = self.start(architecture)
        if best.difference.cost > base:
            best = self._best(best, starting_points(architecture))
        for _ in range(MOST_ROUNDS):
            if best.difference.cost <= base or self.listed >= MOST_LISTED:
                break
            better = best
            for name in architecture.options:
                if better.difference.cost > base:
                    better = self._best(better, ({name: value} for value in self._values(better, name)))
                    better = self._climbed(better, name)
            if better.difference.cost >= best.difference.cost and not best.difference.missing:
                better = self._best(best, self._double_moves(best))
            if better.difference.cost >= best.difference.cost:
                break
            best = better
        return self._plainer(best)

    def start(self, architecture: ArchitectureSpec) -> Fit:
        """The fit of the options that the architecture has."""
        expected = expected_state(architecture, self.framework)
        self.listed += len(expected.shapes)
        return Fit(architecture, expected.compared(self.found))

    def _try(self, architecture: ArchitectureSpec, options: Mapping[str, Any]) -> Fit | None:
        """The fit with other options, None where the architecture refuses them."""
        key = (architecture.name, repr(sorted({**architecture.options, **options}.items(), key=lambda item: item[0])))
        if key not in self._known:
            self._known[key] = None
            if self.listed < MOST_LISTED:
                with suppress(*REFUSALS):
                    self._known[key] = self.start(architecture.with_options(**options))
        return self._known[key]

    def _best(self, best: Fit, moves: Iterable[Mapping[str, Any]]) -> Fit:
        """The best of a fit and its moves; nothing is tried behind one that fits."""
        for options in moves:
            fit = self._try(best.architecture, options)
            if fit is not None and fit.difference.cost < best.difference.cost:
                best = fit
                if best.difference.cost <= self.base:
                    break
        return best

    def _climbed(self, fit: Fit, name: str) -> Fit:
        """The fit with the best numbers in an option that is a tuple of them, each found by steps that double."""
        value = fit.architecture.options[name]
        if name in UNSEEN or not isinstance(value, (tuple, list)):
            return fit
        for path in number_paths(value):
            for direction in (1, -1):
                step = 1
                while step:
                    now = fit.architecture.options[name]
                    moved = self._best(fit, [{name: with_number(now, path, direction * step)}])
                    step = step * 2 if moved is not fit else step // 2 if step > 1 else 0
                    fit = moved
        return fit

    def _double_moves(self, fit: Fit) -> Iterator[dict[str, Any]]:
        """Two options at once, for those that only help together."""
        values = {name: list(self._values(fit, name)) for name in fit.architecture.options}
        names = [name for name in values if values[name]]
        for place, first in enumerate(names):
            for second in names[place + 1 :]:
                for one, other in product(values[first], values[second]):
                    yield {first: one, second: other}

    def _values(self, fit: Fit, name: str) -> Iterator[Any]:
        """What an option could be instead of what it is."""
        if name in UNSEEN:
            return
        now = fit.architecture.options[name]
        yield from (value for value in vocabulary(fit.architecture, name) if value != now)
        if is_number(name):
            if isinstance(now, (int, float)):
                guesses = list(guessed_numbers(fit.difference, now, whole=not is_factor(name)))
                yield from guesses
                if is_factor(name):
                    yield from self._bracketed(fit, name, guesses)
        elif isinstance(now, (tuple, list)):
            yield from resized(tuple(now), fit.difference)

    def _bracketed(self, fit: Fit, name: str, guesses: Iterable[float]) -> Iterator[float]:
        """Bisection for a factor on which all widths depend one way."""
        ends = sorted({float(fit.architecture.options[name]), *guesses})
        low, high = ends[0] / 1.1, ends[-1] * 1.1
        for _ in range(24):
            middle = (low + high) / 2
            tried = self._try(fit.architecture, {name: middle})
            if tried is None:
                return
            lean = sum(_lean(found, wanted) for _, found, wanted in tried.difference.reshaped)
            if lean == 0.0:
                break
            low, high = (middle, high) if lean > 0 else (low, middle)
        yield (low + high) / 2

    def _plainer(self, fit: Fit) -> Fit:
        """The same net with the shortest decimal for every factor, and with own values that change nothing."""
        for name, value in fit.architecture.options.items():
            if name in UNSEEN or not is_factor(name) or not isinstance(value, (int, float)):
                continue
            low, high = self._edge(fit, name, 0.5), self._edge(fit, name, 2.0)
            default = architectures()[fit.architecture.name].options[name]
            chosen = default if low <= default <= high else shortest(low, high)
            plain = self._try(fit.architecture, {name: chosen})
            if plain is not None and plain.difference == fit.difference:
                fit = plain
        return fit

    def _edge(self, fit: Fit, name: str, times: float) -> float:
        """How far a factor can go without a change of any shape."""
        inside, outside = float(fit.architecture.options[name]), float(fit.architecture.options[name]) * times
        for _ in range(14):
            middle = (inside + outside) / 2
            tried = self._try(fit.architecture, {name: middle})
            if tried is not None and tried.difference == fit.difference:
                inside = middle
            else:
                outside = middle
        return inside


def starting_points(architecture: ArchitectureSpec) -> list[Mapping[str, Any]]:
    """The options of the architecture itself and of the upstream names that stand for it."""
    found: list[Mapping[str, Any]] = [{}]
    for alias in architecture.aliases:
        found.append(alias.options)
    for pattern in families()[architecture.family].patterns:
        if names_architecture(pattern, architecture.name):
            found.append(pattern.options)
    unique: list[Mapping[str, Any]] = []
    for options in found:
        if options not in unique and all(name in architecture.options for name in options):
            unique.append(options)
    return unique


def names_architecture(pattern: NamePattern, name: str) -> bool:
    """Whether an upstream's names with numbers inside can stand for an architecture."""
    template = re.sub(r"\\(\d+|g<\w+>)", "\0", pattern.architecture)
    return re.fullmatch(".*".join(map(re.escape, template.split("\0"))), name) is not None


def accepts(name: str, value: Any) -> bool:
    """Whether an option may have a value, as far as its own check goes."""
    try:
        return bool(OPTION_VALUES[name][1](value))
    except (TypeError, ValueError):
        return False


def is_number(name: str) -> bool:
    """True for options that are any whole number, or any factor."""
    return any(accepts(name, number) for number in PROBES)


def is_factor(name: str) -> bool:
    """True for options that need not be whole."""
    return accepts(name, 0.7311)


def vocabulary(architecture: ArchitectureSpec, name: str) -> list[Any]:
    """The values of an option that can be counted: both truths, the words of its check, those of upstream names."""
    values = [options[name] for options in starting_points(architecture) if name in options]
    for other in families()[architecture.family].architectures:
        values += [options[name] for options in starting_points(other) if name in options]
    usual = architectures()[architecture.name].options[name]
    if not is_number(name):
        said = WORD.findall(OPTION_VALUES[name][0])
        values += [*said, *(int(word) for word in said if word.isdigit())]
        values += [False, True, None, *product((False, True), repeat=3)]
    values = [value for value in values if None in (value, usual) or type(value) is type(usual)]
    unique: list[Any] = []
    for value in (architecture.options[name], *values):
        if accepts(name, value) and value not in unique:
            unique.append(value)
    return unique


def guessed_numbers(difference: Difference, now: float, *, whole: bool) -> Sequence[float]:
    """Numbers that the differing shapes suggest for an option, the most frequent first."""
    counts: Counter[float] = Counter()
    for _, found, wanted in difference.reshaped:
        if len(found) != len(wanted):
            continue
        if len(found) == 4 and found[1]:
            counts[found[0] / found[1]] += 1  # groups of a convolution of equal widths
        for size, own in zip(found, wanted, strict=True):
            if size != own and size and own:
                counts.update((float(size), now * size / own, now * math.sqrt(size / own)))
    ordered = [number for number, _ in counts.most_common() if number != now]
    if whole:
        return [int(number) for number in ordered if number.is_integer() and number > 0][:MOST_GUESSES]
    return ordered[:MOST_GUESSES]


def number_paths(value: Sequence[Any]) -> list[tuple[int, ...]]:
    """Where the whole numbers of a tuple of numbers and tuples lie."""
    paths: list[tuple[int, ...]] = []
    for place, part in enumerate(value):
        if isinstance(part, (tuple, list)):
            paths += [(place, *path) for path in number_paths(part)]
        elif isinstance(part, int) and not isinstance(part, bool):
            paths.append((place,))
    return paths


def with_number(value: Sequence[Any], path: tuple[int, ...], step: int) -> tuple[Any, ...]:
    """The tuple with a step added to one of its numbers."""
    changed: list[Any] = list(value)
    if len(path) == 1:
        changed[path[0]] += step
    else:
        changed[path[0]] = with_number(changed[path[0]], path[1:], step)
    return tuple(changed)


def resized(value: tuple[Any, ...], difference: Difference) -> Iterator[tuple[Any, ...]]:
    """Tuples that differ in one place by what the shapes suggest, or have one place more or less at the end."""
    for place, part in enumerate(value):
        others: Iterable[Any] = ()
        if isinstance(part, (tuple, list)):
            others = resized(tuple(part), difference)
        elif isinstance(part, int) and not isinstance(part, bool):
            others = guessed_numbers(difference, part, whole=True)
        for other in others:
            yield (*value[:place], other, *value[place + 1 :])
    if value:
        yield (*value, value[-1])
        yield value[:-1]


def shortest(low: float, high: float) -> float:
    """The plainest number between two: a multiple of 1, of a half, a quarter, a tenth, and so on."""
    for unit in (scale * share for scale in (1, 0.1, 0.01, 0.001, 1e-4, 1e-5) for share in (1, 0.5, 0.25)):
        nearest = round((low + high) / 2 / unit)
        for count in (nearest, nearest - 1, nearest + 1):
            if low <= count * unit <= high:
                return round(count * unit, 9)
    return low


def smallest(family: Family) -> ArchitectureSpec:
    """The family's net with the fewest units."""
    return min(family.architectures, key=lambda each: sum(stage.units for stage in each.stages))


def _lean(found: tuple[int, ...], wanted: tuple[int, ...]) -> float:
    """Above 0 where the state is wider than the net."""
    if len(found) != len(wanted):
        return 0.0
    return sum(math.log2(max(a, 1) / max(b, 1)) for a, b in zip(found, wanted, strict=True))
