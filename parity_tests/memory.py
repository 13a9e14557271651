"""Memory that is free, given back to the system: glibc would keep it, and a peak is what both together are."""

from __future__ import annotations

import ctypes
import gc
import sys


def give_back_memory() -> None:
    """Return what is free to the system; it costs some milliseconds, and nothing where the C library is not glibc."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
