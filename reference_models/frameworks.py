"""Whether a framework is installed, asked without importing it."""

from __future__ import annotations

import importlib.util

from facecvt.converters.errors import FrameworkMissingError

PIP_COMMANDS = {
    "torch": "pip install torch==2.13.0",
    "paddle": "pip install paddlepaddle==3.3.1",
    "mxnet": 'pip install "mxnet==1.9.1" "numpy==1.26.4"',
}


def require(framework: str, purpose: str) -> None:
    """Raise FrameworkMissingError where a framework is not installed.

    Args:
        framework: its import name: torch, paddle or mxnet.
        purpose: what it is needed for, as a clause after "is needed to".
    """
    if importlib.util.find_spec(framework) is None:
        raise FrameworkMissingError(framework, purpose, PIP_COMMANDS[framework])
