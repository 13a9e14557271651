"""The most memory that this process had at one time, since it began or since the measuring began anew.

Linux keeps it as VmHWM in /proc/self/status, and forgets it where 5 is written to /proc/self/clear_refs. Elsewhere the
peak is that since the process began. Pages of files that are mapped count.
"""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

PROCESS = Path("/proc/self")
FORGET_PEAK = "5"
BYTES_OF_MAXRSS = 1 if sys.platform == "darwin" else 1024


def begin_peak() -> None:
    """Measure from now on, where the system can."""
    with contextlib.suppress(OSError):
        (PROCESS / "clear_refs").write_text(FORGET_PEAK, encoding="ascii")


def peak_mb() -> float:
    """The peak in MB (2^20 bytes)."""
    found = _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_OF_MAXRSS / 2**20 if found is None else found


def resident_mb() -> float:
    """What the process has now, in MB; 0 where the system does not tell."""
    return _status("VmRSS") or 0.0


def shared_mb() -> float:
    """What of it is pages of files that another process has in memory too, in MB; 0 where the system does not tell."""
    return _status("Shared_Clean", "smaps_rollup") or 0.0


def _status(key: str, file: str = "status") -> float | None:
    with contextlib.suppress(OSError):
        for line in (PROCESS / file).read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) / 1024
    return None
