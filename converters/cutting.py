"""A source model cut at values in the middle: those become its outputs, and what lies behind them is left out.

    facecvt paddle2onnx blazeface_infer --cut-at concat_3.tmp_0 --cut-at softmax_0.tmp_0

The cut is made in the record that was read, before anything looks at its operators: an operator behind the cut needs no
rule, and the evaluator that a target is held against computes the same cut model. Inputs that nothing in front of the
cut reads are left out too. Bare weights have no record of operators: there the canonical graph is cut.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from facecvt.converters.errors import FormatError, UsageError
from facecvt.converters.formats.mxnet_model import MxnetModel
from facecvt.converters.formats.mxnet_symbol import MxnetNode, MxnetSymbol
from facecvt.converters.formats.paddle_model import PaddleModel
from facecvt.converters.graph import Graph, name_of
from facecvt.converters.passes.drop_unused import drop_unused


def cut_paddle(model: PaddleModel, names: Sequence[str]) -> PaddleModel:
    """The program with these variables, or PIR values, as its outputs, in this order.

    Raises:
        UsageError: no operator computes a value of this name; the nearest are given.
    """
    program = model.program
    computed = {name for op in program.ops for results in op.outputs.values() for name in results}
    check_known(names, names, sorted(computed), str(program.path))
    needed = set(names)
    for op in reversed(program.ops):
        if any(name in needed for results in op.outputs.values() for name in results):
            needed.update(name for operands in op.inputs.values() for name in operands)
    inputs = [name for name in program.inputs if name in needed]
    return replace(model, program=replace(program, inputs=inputs, outputs=list(names)))


def cut_mxnet(model: MxnetModel, names: Sequence[str]) -> MxnetModel:
    """The symbol with these nodes, or their outputs (``fc1``, ``fc1_output``, ``split_output1``), as its heads.

    Raises:
        UsageError: the symbol has no node of this name; the nearest are given.
    """
    symbol = model.symbol
    index_of = {node.name: index for index, node in enumerate(symbol.nodes) if node.op != "null"}
    check_known(names, [node_of(name, index_of) for name in names], list(index_of), str(symbol.path))
    heads = [(index_of[node_of(name, index_of)], output_number(name, index_of)) for name in names]
    kept = reached(symbol.nodes, [index for index, _ in heads])
    place = {index: position for position, index in enumerate(kept)}
    nodes = [
        replace(node, inputs=[(place[source], output) for source, output in node.inputs])
        for node in (symbol.nodes[index] for index in kept)
    ]
    cut = MxnetSymbol(nodes, [(place[index], output) for index, output in heads], symbol.version, symbol.path)
    variables = set(cut.variable_names())
    args = {name: array for name, array in model.args.items() if name in variables}
    aux = {name: array for name, array in model.aux.items() if name in variables}
    return replace(model, symbol=cut, args=args, aux=aux)


def load_cut_onnx(path: Path, names: Sequence[str]) -> Any:
    """The ``onnx.ModelProto`` of a file, external data included, cut at values; see :func:`cut_onnx`.

    Raises:
        FormatError: the file is not an ONNX model.
        UsageError: no node computes a value of this name.
    """
    import onnx

    try:
        model = onnx.load(str(path))
    except OSError as error:
        raise FormatError(path, None, f"cannot be read: {error.strerror or error}") from error
    except Exception as error:  # protobuf and onnx raise many kinds; every one of them means: not this format
        raise FormatError(path, None, f"is not a readable ONNX model: {error}") from error
    return cut_onnx(model, names, str(path))


def cut_onnx(model: Any, names: Sequence[str], source: str) -> Any:
    """An ``onnx.ModelProto`` with these values as its outputs, in this order.

    Args:
        model: not changed.
        names: of values that its nodes compute; those in the file's own functions among them.
        source: for messages.

    Raises:
        UsageError: no node computes a value of this name; the nearest are given.
    """
    import onnx

    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    cut = type(model)()
    cut.CopyFrom(model)
    graph = cut.graph
    check_known(names, names, sorted({name for node in graph.node for name in node.output if name}), source)
    needed, kept = set(names), []
    for node in reversed(graph.node):
        if any(name in needed for name in node.output):
            needed.update(name for name in node.input if name)
            kept.append(node)
    known = {item.name: item for item in (*graph.value_info, *graph.output)}
    parts = {
        "node": kept[::-1],
        "input": [item for item in graph.input if item.name in needed],
        "output": [known.get(name) or onnx.ValueInfoProto(name=name) for name in names],
        "initializer": [item for item in graph.initializer if item.name in needed],
    }
    copies = {
        name: [type(item).FromString(item.SerializeToString()) for item in items] for name, items in parts.items()
    }
    for name, items in copies.items():
        graph.ClearField(name)
        getattr(graph, name).extend(items)
    return cut


def cut_graph(graph: Graph, names: Sequence[str]) -> None:
    """Make values of a canonical graph its outputs, in place; what only others need goes.

    Args:
        graph: of any source.
        names: of values that it computes, or names that its source has for them.
    """
    values = {name_of(value): value for node in graph.body for value in node.outputs}
    graph.body.outputs.clear()
    graph.body.outputs.extend(values[graph.aliases.get(name, name)] for name in names)
    drop_unused(graph)
    for value in list(graph.body.inputs):
        if not value.uses():
            graph.body.inputs.remove(value)
    left = {name_of(value) for value in graph.body.inputs}
    graph.contracts = [item for item in graph.contracts if item.name in left]


def reached(nodes: Sequence[MxnetNode], heads: Sequence[int]) -> list[int]:
    """Indices of the nodes that lead to some others, in their order."""
    found = set(heads)
    for index in range(len(nodes) - 1, -1, -1):
        if index in found:
            found.update(source for source, _ in nodes[index].inputs)
    return sorted(found)


def node_of(name: str, known: dict[str, int]) -> str:
    """The node that an output's name belongs to; a node's own name is taken as it is."""
    return name if name in known else re.sub(r"_output\d*$", "", name)


def output_number(name: str, known: dict[str, int]) -> int:
    """Which output of its node a name means."""
    digits = None if name in known else re.search(r"_output(\d+)$", name)
    return int(digits[1]) if digits else 0


def check_known(asked: Sequence[str], names: Sequence[str], known: Sequence[str], source: str) -> None:
    """Raise UsageError for the first of the names that is not known, in the words in which it was asked for."""
    for name, meant in zip(asked, names, strict=True):
        if meant not in known:
            near = difflib.get_close_matches(meant, known, n=4, cutoff=0.5)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise UsageError(
                f"{source}: cannot be cut at {name!r}, which nothing in it computes.{hint} "
                "`facecvt inspect --layers` lists what there is."
            )
