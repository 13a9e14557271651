"""Keys and shapes of a state, held against what an architecture's net would have; what lies beside the net in it.

    prefix       what every key of the net carries in the file: "module.", "model.backbone.", ...
    leftover     what training leaves in a checkpoint: class centres, scalars of a margin head, whatever lies outside
                 the prefix

Shapes alone are looked at, so that a file of a gigabyte costs no more than its table of contents.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from facecvt.reference_models.naming import COUNTER, LEAVES, SEPARATORS
from facecvt.reference_models.spec import ArchitectureSpec
from facecvt.reference_models.weights import state_entries

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
PREFIX_DEPTH = 4
LEAST_SHARE = 0.2  # of the keys that a prefix has to be on
LEAF_NAMES = frozenset(leaf for leaves in LEAVES.values() for leaf in leaves.values())
DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class Leftover:
    """An array that is no part of the network.

    Attributes:
        name: as the file has it.
        shape: of the array.
        what: what it seems to be.
    """

    name: str
    shape: Shape
    what: str


@dataclass(frozen=True)
class Difference:
    """What a state has otherwise than an architecture's net; names without the prefix.

    Attributes:
        matched: entries with the same name and shape.
        missing: names that the state lacks; torch's step counters are not among them.
        unexpected: names that the net lacks.
        reshaped: name, shape in the state, shape in the net.
        counters_missing: step counters that the state lacks, which old checkpoints do not have.
    """

    matched: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[tuple[str, Shape, Shape], ...]
    counters_missing: int

    @property
    def cost(self) -> float:
        """0 where nothing differs; a shape counts less than a name, the less the nearer it is."""
        shapes = sum(0.3 + 0.7 * min(1.0, _distance(found, wanted) / 8) for _, found, wanted in self.reshaped)
        return len(self.missing) + len(self.unexpected) + shapes

    @property
    def share(self) -> float:
        """Matched entries among all that either side has, from 0 to 1."""
        everything = self.matched + len(self.missing) + len(self.unexpected) + len(self.reshaped)
        return self.matched / everything if everything else 0.0


@dataclass(frozen=True)
class Expected:
    """What an architecture's net keeps in one framework.

    Attributes:
        shapes: name -> shape of what a state must have.
        counters: names of torch's step counters, which it may lack.
        twins: second names of arrays, which it may lack as well, with their shapes.
    """

    shapes: Mapping[str, Shape]
    counters: frozenset[str]
    twins: Mapping[str, Shape]

    def compared(self, found: Shapes) -> Difference:
        """The differences of a state, whose names have lost their prefix."""
        missing = [name for name in self.shapes if name not in found]
        known = {**self.shapes, **self.twins}
        unexpected = [name for name in found if name not in known and name not in self.counters]
        shared = [(name, found[name], shape) for name, shape in known.items() if name in found]
        reshaped = tuple(entry for entry in shared if entry[1] != entry[2])
        lost = sum(name not in found for name in self.counters)
        return Difference(len(shared) - len(reshaped), tuple(missing), tuple(unexpected), reshaped, lost)


def expected_state(architecture: ArchitectureSpec, framework: str) -> Expected:
    """What the architecture's net keeps in a framework."""
    entries = state_entries(architecture, framework)
    arrays = [entry for entry in entries if entry.parameter is not None]
    return Expected(
        {entry.name: entry.shape for entry in arrays if not entry.twin},
        frozenset(entry.name for entry in entries if entry.parameter is None),
        {entry.name: entry.shape for entry in arrays if entry.twin},
    )


def patterns(names: Iterable[str]) -> set[str]:
    """Names without their numbers, which nets of one family share; step counters are left out."""
    return {DIGITS.sub("#", name) for name in names if not name.endswith(f".{COUNTER}")}


def prefixes(names: Iterable[str]) -> list[str]:
    """What the net's keys may begin with: nothing, or a path that a good part of the keys carries."""
    counts: Counter[str] = Counter()
    names = list(names)
    for name in names:
        parts = name.split(".")[:-1][:PREFIX_DEPTH]
        counts.update(".".join(parts[: end + 1]) + "." for end in range(len(parts)))
    often = [prefix for prefix, count in counts.items() if count > LEAST_SHARE * len(names)]
    return ["", *sorted(often, key=lambda prefix: (len(prefix), prefix))]


def under(shapes: Shapes, prefix: str) -> dict[str, Shape]:
    """The entries under a prefix, by their names without it."""
    return {name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)}


def leftovers(unexpected: Shapes, size: int, framework: str) -> list[Leftover]:
    """Those of the unexpected entries that training leaves behind.

    Args:
        unexpected: name -> shape of entries that the net does not have.
        size: length of the net's output.
        framework: whose names these are.
    """
    found = []
    classes: dict[str, int] = {}
    for name, shape in unexpected.items():
        if len(shape) == 2 and size in shape:
            count = shape[0] if shape[1] == size else shape[1]
            classes[name.rpartition(SEPARATORS[framework])[0]] = count
            found.append(Leftover(name, shape, f"class centres of {count} classes"))
    for name, shape in unexpected.items():
        owner = name.rpartition(SEPARATORS[framework])[0]
        if len(shape) == 1 and shape[0] > 1 and classes.get(owner) == shape[0]:
            found.append(Leftover(name, shape, "bias of the classes"))
        elif math.prod(shape) == 1 and len(shape) < 2 and name.rpartition(".")[2] not in LEAF_NAMES:
            found.append(Leftover(name, shape, "a number that training keeps"))
    return found


def _distance(found: Shape, wanted: Shape) -> float:
    """Octaves between two shapes, summed over the axes; infinite where the ranks differ."""
    if len(found) != len(wanted):
        return math.inf
    return sum(abs(math.log2(max(a, 1) / max(b, 1))) for a, b in zip(found, wanted, strict=True))
