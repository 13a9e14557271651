"""MXNet ``.params`` (NDArray list) of every version and MXNet 2's ``.npz``/``.npy``, without MXNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from facecvt.converters.formats.mapped import Array

ParamsVersion = Literal["V0", "V1", "V2", "V3", "npz"]


@dataclass
class MxnetParams:
    """What a ``.params`` file holds, in file order.

    Attributes:
        args: arrays named ``arg:<name>``, by name.
        aux: arrays named ``aux:<name>``, by name.
        unnamed: the arrays of a plain list.
        bare: arrays whose name has neither prefix (gluon ``save_parameters``, ``.npz``), by name.
    """

    args: dict[str, Array] = field(default_factory=dict)
    aux: dict[str, Array] = field(default_factory=dict)
    unnamed: list[Array] = field(default_factory=list)
    bare: dict[str, Array] = field(default_factory=dict)


def read_params(path: str | Path) -> MxnetParams:
    """Read a ``.params``, ``.npz`` or ``.npy`` file; which one is seen from its first bytes.

    Raises:
        FormatError: the bytes are not that, with the offset at which they stop being it.
    """
    raise NotImplementedError


def write_params(
    path: str | Path,
    args: Mapping[str, Array],
    aux: Mapping[str, Array],
    *,
    bare: Mapping[str, Array] | None = None,
    unnamed: Sequence[Array] | None = None,
    version: ParamsVersion = "V2",
) -> None:
    """Write an NDArray list that ``mx.nd.load`` reads (V0 to V3) or an ``.npz``."""
    raise NotImplementedError
