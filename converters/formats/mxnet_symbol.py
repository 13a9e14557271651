"""MXNet ``symbol.json`` of every generation (0.8 to 1.9) -> one record, with MXNet's own upgrades done.

Layout: ``{"nodes": [{op, name, inputs, attrs?}], "arg_nodes", "node_row_ptr"?, "heads", "attrs"?}``.

=================  ==========================================  ============================================
generation         operator parameters and user attributes     an input, a head
=================  ==========================================  ============================================
before 0.9         ``param`` and ``attr``                      ``[node, output]``; auxiliary inputs missing
0.9 to 0.12        ``attr``, both kinds                        ``[node, output, version]``
from 1.0           ``attrs``, both kinds                       ``[node, output, version]``
=================  ==========================================  ============================================

All values are strings. Source: the MXNet loader's behaviour (``Symbol.load_json`` of 1.9.1), which the tests hold
this module against.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

# operator -> name suffixes of its auxiliary inputs, which are its last inputs
AUX_INPUTS: dict[str, tuple[str, ...]] = {
    "BatchNorm": ("moving_mean", "moving_var"),
    "BatchNorm_v1": ("moving_mean", "moving_var"),
    "CuDNNBatchNorm": ("moving_mean", "moving_var"),
    "_contrib_SyncBatchNorm": ("moving_mean", "moving_var"),
    "SyncBatchNorm": ("moving_mean", "moving_var"),
}


@dataclass
class MxnetNode:
    """One node of a symbol.

    Attributes:
        op: operator name; "null" is a variable.
        name: node name.
        inputs: (index into ``MxnetSymbol.nodes``, output number) of each input.
        attrs: operator parameters as written, strings; empty for a variable.
        user_attrs: everything else: ``__x__``, ``ctx_group``, ``lr_mult``, and whatever a variable carries.
    """

    op: str
    name: str
    inputs: list[tuple[int, int]]
    attrs: dict[str, str] = field(default_factory=dict)
    user_attrs: dict[str, str] = field(default_factory=dict)


@dataclass
class MxnetSymbol:
    """A whole symbol; ``nodes`` are in topological order: every input of a node comes before it.

    Attributes:
        nodes: all nodes that a head needs.
        heads: (node index, output number) of each output of the model.
        version: ``major * 10000 + minor * 100 + patch`` of the MXNet that wrote it; 800 where the file does not say.
        path: the file.
    """

    nodes: list[MxnetNode]
    heads: list[tuple[int, int]]
    version: int
    path: Path

    def variable_names(self) -> list[str]:
        """Names of all variables in node order: arguments (inputs, weights, labels) and auxiliary states."""
        return [node.name for node in self.nodes if node.op == "null"]

    def aux_names(self) -> list[str]:
        """Names of the auxiliary states (moving mean and variance), in node order."""
        raise NotImplementedError

    def argument_names(self) -> list[str]:
        """Names of the variables that are not auxiliary states, in node order."""
        aux = set(self.aux_names())
        return [name for name in self.variable_names() if name not in aux]


def read_symbol(path: str | Path) -> MxnetSymbol:
    """Read a symbol file.

    Args:
        path: a ``-symbol.json``.

    Returns:
        The record, upgraded: auxiliary inputs present, attributes merged.

    Raises:
        FormatError: not JSON, not a symbol, or an index that points nowhere.
    """
    raise NotImplementedError
