"""An MXNet model: a symbol and its weights, and which variable of the graph is what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facecvt.converters.formats.mapped import Array
from facecvt.converters.formats.mxnet_symbol import MxnetSymbol

if TYPE_CHECKING:
    from facecvt.converters.formats.locate import MxnetFiles


@dataclass
class MxnetModel:
    """A symbol and its weights.

    Attributes:
        symbol: the graph.
        args: weights by variable name.
        aux: auxiliary states (moving mean and variance) by variable name.
        name: the model's name, for default targets.
        files: the files it was read from.
    """

    symbol: MxnetSymbol
    args: dict[str, Array]
    aux: dict[str, Array]
    name: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class VariableRoles:
    """What each variable of a graph is, and which arrays of the file it does not use. All in graph (or file) order.

    Attributes:
        inputs: data inputs: what a caller feeds at inference.
        labels: training targets; not fed, not weights.
        weights: variables with an array.
        missing: parameters without an array.
        extra: arrays without a variable.
    """

    inputs: tuple[str, ...]
    labels: tuple[str, ...]
    weights: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]


def load_mxnet(files: MxnetFiles) -> MxnetModel:
    """Read symbol and weights; names are sorted into ``args`` and ``aux`` by what the symbol lists.

    Raises:
        FormatError: a file is not what it should be.
    """
    raise NotImplementedError


def variable_roles(model: MxnetModel) -> VariableRoles:
    """Tell inputs, labels, weights, missing and extra names apart."""
    raise NotImplementedError


def unmatched(model: MxnetModel) -> tuple[list[str], list[str]]:
    """(names that the graph needs and the file lacks, names in the file that the graph does not know)."""
    roles = variable_roles(model)
    return list(roles.missing), list(roles.extra)
