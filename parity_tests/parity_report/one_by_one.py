"""Arrays of which one at a time is in memory: a net's weights, which need not be there twice to be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from facecvt.parity_tests.parity_report.native import NumpyArray

Held = TypeVar("Held")


class OneByOne(Mapping[str, NumpyArray], Generic[Held]):
    """Arrays by name, each read when it is asked for; whoever asks does not keep it.

    Args:
        held: name -> what has the array.
        read: gives the array.
        forget: gives what reading it took back to the system; called when the next one is asked for.
    """

    def __init__(
        self,
        held: Mapping[str, Held],
        read: Callable[[Held], NumpyArray],
        forget: Callable[[Held], object] | None = None,
    ) -> None:
        self._held, self._read, self._forget = held, read, forget
        self._last: Held | None = None

    def __getitem__(self, name: str) -> NumpyArray:
        if self._forget is not None and self._last is not None:
            self._forget(self._last)
        self._last = self._held[name]
        return self._read(self._last)

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)
