"""A state's shapes asked for by canonical layer names, whatever framework's names and layouts it has.

A family whose options cannot be found by trying reads them off such a view: see ``Family.told``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from facecvt.reference_models.naming import FrameworkNames
from facecvt.reference_models.state_keys import Shape, Shapes


@dataclass(frozen=True)
class StateView:
    """The shapes of a state by canonical names.

    Attributes:
        names: of the framework that the state's names are of.
        shapes: name without prefix -> shape.
    """

    names: FrameworkNames
    shapes: Shapes

    def shape(self, layer: str, role: str = "weight") -> Shape | None:
        """The shape that the state stores for a layer, None where it has nothing of that name."""
        return self.shapes.get(self.names.key(layer, role))

    def has(self, layer: str, role: str = "weight") -> bool:
        """Whether the state has it."""
        return self.shape(layer, role) is not None

    def kernel(self, layer: str) -> tuple[int, int, int]:
        """A convolution's output channels, input channels a group, and kernel height; LookupError where it has none."""
        found = self.shape(layer)
        if found is None or len(found) != 4 or 0 in found:
            raise LookupError(f"no convolution {layer}")
        return found[0], found[1], found[2]

    def numbered(self, pattern: str) -> Iterator[str]:
        """Layers ``pattern`` with 0, 1, ... in place of ``{}`` that have a weight, up to the first that has none."""
        for number in count():
            layer = pattern.format(number)
            if not self.has(layer):
                return
            yield layer
