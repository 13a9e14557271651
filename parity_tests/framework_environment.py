"""Environment variables that the frameworks' libraries read when they are loaded; set before the first is imported.

    GLOG_minloglevel=2      Paddle does not tell on stderr what it does
    MKL_DEBUG_CPU_TYPE=5    the MKL of 2019 in Paddle's wheel takes its slowest path on a processor that is not Intel's;
                            this makes it take the AVX2 path there: the convolutions of an IResNet-50 in 0.5 s, not 1.3

What is set already stays as it is.
"""

from __future__ import annotations

import os
from pathlib import Path

CPU_FACTS = Path("/proc/cpuinfo")


def framework_environment(cpu_facts: Path = CPU_FACTS) -> dict[str, str]:
    """The variables for this machine.

    Args:
        cpu_facts: what Linux tells of the processor; a file that is not there tells nothing.
    """
    found = {"GLOG_minloglevel": "2"}
    try:
        facts = cpu_facts.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return found
    if "AuthenticAMD" in facts and " avx2" in facts:
        found["MKL_DEBUG_CPU_TYPE"] = "5"
    return found


def settle_framework_environment() -> None:
    """Set what is not set."""
    for name, value in framework_environment().items():
        os.environ.setdefault(name, value)
