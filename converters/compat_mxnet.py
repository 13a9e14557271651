"""The one place that imports MXNet 1.9.1.

MXNet is retired; its last release reads the alias ``numpy.bool`` that numpy 1.24 removed, and fuses operators on the
CPU unless told not to, which hides internal outputs from anyone who asks for them by name: a group of them cannot even
be bound. ``MXNET_SUBGRAPH_BACKEND=NONE`` tells it, at the price of a line on stderr for every executor. Its backend
``default`` would be silent and gives the same bits, but does not bind a symbol whose variables share a name.
"""

from __future__ import annotations

import os
from types import ModuleType

import numpy as np

from facecvt.converters.errors import FrameworkMissingError

PIP_COMMAND = 'pip install "mxnet==1.9.1" "numpy==1.26.4"'


def import_mxnet(purpose: str = "run an MXNet model") -> ModuleType:
    """Import MXNet with what it needs in place.

    Args:
        purpose: what it is needed for, as a clause after "is needed to" in the error.

    Raises:
        FrameworkMissingError: MXNet is not installed, or its import fails.
    """
    os.environ.setdefault("MXNET_SUBGRAPH_BACKEND", "NONE")
    if "bool" not in np.__dict__:
        np.bool = bool  # type: ignore[attr-defined]
    try:
        import mxnet
    except (ImportError, AttributeError, OSError) as error:
        raise FrameworkMissingError("mxnet", purpose, PIP_COMMAND) from error
    module: ModuleType = mxnet
    return module
