"""How much the recognition of a bare state looks at, counted: the same on every machine, which seconds are not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

from facecvt.reference_models import state_keys
from facecvt.reference_models.spec import ArchitectureSpec
from facecvt.reference_models.weights import StateEntry, state_entries

MOST_ENTRIES = 40_000  # for one state; 10 to 20 microseconds each, where 36,449 are the most that a known variant takes


@dataclass
class Listed:
    """What was listed.

    Attributes:
        entries: of all nets whose names and shapes were listed, one net as often as that was done.
    """

    entries: int = 0


@contextmanager
def listed_entries() -> Iterator[Listed]:
    """Counts the entries of the nets that a recognition lists to hold a state against them."""
    listed = Listed()

    def counted(architecture: ArchitectureSpec, framework: str) -> list[StateEntry]:
        entries = state_entries(architecture, framework)
        listed.entries += len(entries)
        return entries

    with mock.patch.object(state_keys, "state_entries", counted):
        yield listed
