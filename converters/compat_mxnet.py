"""The one place that imports MXNet 1.9.1.

MXNet is retired; its last release reads the alias ``numpy.bool`` that numpy 1.24 removed, and fuses operators on the
CPU unless told not to, which hides internal outputs from anyone who asks for them by name: a group of them cannot even
be bound. ``MXNET_SUBGRAPH_BACKEND=NONE`` would be the plain way to tell it, but then every executor writes a line on
stderr. Its backend ``default`` fuses the operators that a program has named to it, and nobody names any: the same bits
come out of the same kernels, and with ``MXNET_SUBGRAPH_VERBOSE=0`` in silence.
"""

from __future__ import annotations

import os
from types import ModuleType

import numpy as np

from facecvt.converters.errors import FrameworkMissingError

QUIET_AND_WHOLE = {"MXNET_SUBGRAPH_BACKEND": "default", "MXNET_SUBGRAPH_VERBOSE": "0"}
PIP_COMMAND = 'pip install "mxnet==1.9.1" "numpy==1.26.4"'


def import_mxnet(purpose: str = "run an MXNet model") -> ModuleType:
    """Import MXNet with what it needs in place.

    Args:
        purpose: what it is needed for, as a clause after "is needed to" in the error.

    Raises:
        FrameworkMissingError: MXNet is not installed, or its import fails.
    """
    for name, value in QUIET_AND_WHOLE.items():
        os.environ.setdefault(name, value)
    if "bool" not in np.__dict__:
        np.bool = bool  # type: ignore[attr-defined]
    try:
        import mxnet
    except (ImportError, AttributeError, OSError) as error:
        raise FrameworkMissingError("mxnet", purpose, PIP_COMMAND) from error
    module: ModuleType = mxnet
    return module
