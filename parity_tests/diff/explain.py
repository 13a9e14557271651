"""Every layer at fault with its cause: each is cut out of both sides and fed what A computes, while that is computed.

A layer is looked into as soon as all that it reads is known, and what nobody needs any more is dropped, so that the
values of a few layers are in memory and not those of the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from facecvt.converters.graph import NumpyArray
from facecvt.parity_tests.align import resolved_alias
from facecvt.parity_tests.diff.diagnose import Case, diagnose
from facecvt.parity_tests.diff.difference import Divergence
from facecvt.parity_tests.diff.layer import CutLayer, cut
from facecvt.parity_tests.diff.localise import Fault
from facecvt.parity_tests.diff.own_error import arranged
from facecvt.parity_tests.diff.side_by_side import Feeds, SideBySide

MOST_TRIED = 32  # layers of one operator that are looked into


@dataclass(frozen=True)
class Fed:
    """A layer at fault with what it is fed.

    Attributes:
        fault: the layer.
        case: the layer cut out of both sides, fed float32 numbers.
        exact_a, exact_b: the same in float64, by the names that A and B have for them.
        expected: what A gives, in float64.
    """

    fault: Fault
    case: Case
    exact_a: dict[str, NumpyArray]
    exact_b: dict[str, NumpyArray]
    expected: NumpyArray


def explained(
    pair: SideBySide, faults: Sequence[Fault], fed: Feeds, its: Feeds
) -> Iterator[tuple[Divergence, Fed | None]]:
    """The layers at fault with their causes; what the first was fed is handed out with it.

    Args:
        pair: the two models, compared.
        faults: the layers, in A's order of computation.
        fed: what A was fed.
        its: what B was fed.
    """
    tried: Counter[str] = Counter()
    chosen = []
    for fault in faults:
        tried[fault.result.operator] += 1
        if tried[fault.result.operator] <= MOST_TRIED:
            chosen.append(fault)
    causes = {}
    for layer in fed_layers(pair, chosen, fed, its):
        first = layer if layer.fault is faults[0] else None
        causes[layer.fault.a] = diagnose(layer.case), first
    for fault in faults:
        cause, first = causes.get(fault.a, (None, None))
        yield Divergence(fault, cause, fault.a in causes), first


def fed_layers(pair: SideBySide, faults: Sequence[Fault], fed: Feeds, its: Feeds) -> Iterator[Fed]:
    """Each layer at fault with what it is fed, as soon as that is known."""
    aliases = pair.a.graph.aliases
    ends = {resolved_alias(name, aliases) for name in pair.forced} | fed.keys()
    partner = {match.b: match.a for match in (*pair.provenance.matches, *pair.provenance.inputs)}
    how = {match.a: match.how for match in pair.provenance.matches}
    waiting: list[_Waiting] = []
    for fault in faults:
        name = resolved_alias(fault.a, aliases)
        layers = cut(pair.a.graph, name, ends), cut(pair.b.graph, fault.b, {*pair.shapes, *its})
        waiting.append(_Waiting(fault, *layers, name, how.get(name, "")))
    needs: Counter[str] = Counter(name for layer in waiting for name in layer.needs(partner))
    known: dict[str, NumpyArray] = {name: array for name, array in fed.items() if needs[name]}
    for source, value in pair.reference.values(fed):
        name = resolved_alias(source, aliases)
        if not needs[name] or name in known:
            continue
        known[name] = value
        for layer in [layer for layer in waiting if layer.needs(partner) <= known.keys()]:
            waiting.remove(layer)
            yield layer.fed(pair, partner, known, its)
            for read in layer.needs(partner):
                needs[read] -= 1
                if not needs[read]:
                    known.pop(read)
        if not waiting:
            return


@dataclass(eq=False)
class _Waiting:
    """A layer at fault before what it reads is known."""

    fault: Fault
    ours: CutLayer
    theirs: CutLayer
    name: str
    how: str
    _needs: set[str] = field(default_factory=set)

    def needs(self, partner: Mapping[str, str]) -> set[str]:
        """Names of A's values that the layer reads on either side, and of what it gives."""
        if not self._needs:
            self._needs = {self.name, *self.ours.inputs, *(partner[name] for name in self.theirs.inputs)}
        return self._needs

    def fed(self, pair: SideBySide, partner: Mapping[str, str], known: Mapping[str, NumpyArray], its: Feeds) -> Fed:
        """The layer with what it reads."""
        exact_a = {name: known[name] for name in self.ours.inputs}
        exact_b = {}
        for name in self.theirs.inputs:
            array = its[name] if name in its else arranged(known[partner[name]], pair.shapes[name])
            assert array is not None  # or it would not be among the shapes
            exact_b[name] = array
        case = Case(
            self.ours,
            self.theirs,
            {name: rounded(array) for name, array in exact_a.items()},
            {name: rounded(array) for name, array in exact_b.items()},
            partner,
            self.fault.floor,
            self.how,
            pair.a.graph.weights(),
        )
        return Fed(self.fault, case, exact_a, exact_b, known[self.name])


def rounded(array: NumpyArray) -> NumpyArray:
    """float64 as float32; anything else as it is."""
    return array.astype(np.float32) if array.dtype == np.float64 else array
