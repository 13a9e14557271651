"""Memory that is free, given back to the system: glibc would keep it, and a peak is what both together are."""

from __future__ import annotations

import ctypes
import gc
import sys


def give_back_memory() -> None:
    """Drop what only cycles hold, then :func:`trim_memory`; looking for cycles may cost a second in a great process."""
    gc.collect()
    trim_memory()


def trim_memory() -> None:
    """Return what is free to the system; it costs some milliseconds, and nothing where the C library is not glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
