"""Canonical graph -> a folder NAME with ``NAME-symbol.json`` and ``NAME-0000.params``, without MXNet.

The pair is what ``mx.model.load_checkpoint(prefix, 0)`` of MXNet 1.9.1 reads: every attribute is written out, BatchNorm
with ``fix_gamma`` False and its eps. Weights keep their names, a value's node bears the value's name, the batch size is
free. Weights that are stored as they were go from the source's file to the target's without a second copy.
"""

from __future__ import annotations

from pathlib import Path

from facecvt.converters.errors import ConversionError, UnsupportedOperatorsError
from facecvt.converters.formats.atomic import atomic_folder
from facecvt.converters.formats.mxnet_params import write_params
from facecvt.converters.formats.mxnet_symbol import WRITTEN_VERSION, MxnetSymbol, write_symbol
from facecvt.converters.graph import Graph
from facecvt.converters.mxnet_nodes import VANISHING, MxnetNodes
from facecvt.converters.ops.registry import rule_for
from facecvt.converters.targets import WriteOptions, Written


def write_target(graph: Graph, folder: Path, options: WriteOptions) -> Written:
    """:func:`write_mxnet`, as :mod:`facecvt.converters.targets` calls it."""
    return Written(*write_mxnet(graph, folder))


def write_mxnet(graph: Graph, folder: str | Path) -> tuple[list[Path], dict[str, str]]:
    """Write the folder.

    Args:
        graph: canonical graph; not changed.
        folder: target, whose name the files bear; replaced whole if it exists.

    Returns:
        ([symbol, weights], canonical value name -> name of MXNet's internal output that holds it).

    Raises:
        UnsupportedOperatorsError: operators without an MXNet form, all of them.
        ConversionError: a node that MXNet cannot express. Nothing was written then.
    """
    folder = Path(folder)
    written, heads = mxnet_nodes(graph)
    symbol = MxnetSymbol(written.nodes, heads, WRITTEN_VERSION, folder)
    prefix = folder.resolve().name or "model"
    names = [f"{prefix}-symbol.json", f"{prefix}-0000.params"]
    with atomic_folder(folder) as temporary:
        write_symbol(temporary / names[0], symbol)
        write_params(temporary / names[1], written.args, written.aux)
    return [folder / name for name in names], written.taps


def mxnet_nodes(graph: Graph) -> tuple[MxnetNodes, list[tuple[int, int]]]:
    """The nodes of a graph and the heads that are its outputs; raises as :func:`write_mxnet` does."""
    unsupported: dict[str, list[str]] = {}
    for node in graph.body:
        if node.op_type not in VANISHING and rule_for("to_mxnet", node.op_type) is None:
            unsupported.setdefault(node.op_type, []).append(node.name or "")
    if unsupported:
        raise UnsupportedOperatorsError(f"{graph.name} (to MXNet)", unsupported)
    code = MxnetNodes(graph)
    for node in graph.body:
        code.begin(node)
        if node.op_type in VANISHING:
            code.repeat(node)
            continue
        rule = rule_for("to_mxnet", node.op_type)
        if rule is None:
            raise UnsupportedOperatorsError(f"{graph.name} (to MXNet)", {node.op_type: [node.name or ""]})
        rule(node, code)
        code.end(node)
    heads = [code.output(value) for value in graph.outputs]
    if not heads:
        raise ConversionError(f"{graph.name}: the model has no output")
    return code, heads
