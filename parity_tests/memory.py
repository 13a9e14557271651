"""Memory that is free, given back to the system: glibc would keep it, and a peak is what both together are."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

SECONDS_BETWEEN = 0.01


def give_back_memory() -> None:
    """Drop what only cycles hold, then :func:`trim_memory`; looking for cycles may cost a second in a great process."""
    gc.collect()
    trim_memory()


def trim_memory() -> None:
    """Return what is free to the system; it costs some milliseconds, and nothing where the C library is not glibc."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@contextmanager
def memory_given_back() -> Iterator[None]:
    """Trim again and again while a library works that frees much of what it takes, as one does that opens a model.

    A limit of glibc from which on blocks are given back one by one would do the same, but it cannot be taken back
    afterwards, and the arrays of a whole program would be cleared by the system time and again.
    """
    trim = _malloc_trim()
    if trim is None:
        yield
        return
    done = Event()

    def trim_until_done() -> None:
        while not done.wait(SECONDS_BETWEEN):
            trim(0)

    thread = Thread(target=trim_until_done, name="facecvt-trim", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        trim(0)


def _malloc_trim() -> Callable[[int], object] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
