"""MXNet symbol and weights -> canonical graph.

Weights are found by input edge, never by name (``pre_fc1`` may well use ``fc1_weight``). Computed values bear MXNet's
own output names: ``<node>_output``, or ``<node>_output0``, ``<node>_output1``, ... for operators with several outputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from facecvt.converters.errors import ConversionError, UnsupportedOperatorsError, WeightsError
from facecvt.converters.formats.mxnet_model import MxnetModel, VariableRoles, variable_roles
from facecvt.converters.formats.mxnet_symbol import MxnetNode
from facecvt.converters.graph import Builder, Graph
from facecvt.converters.mxnet_nodes import DTYPE_CODES, OUTPUT_NAMES
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import rule_for
from facecvt.converters.passes.infer_shapes import infer_nodes
from facecvt.converters.passes.input_shapes import settle_input_shapes
from facecvt.converters.passes.pipeline import run_passes
from facecvt.converters.source_ops import MxnetOp

# operators of which MXNet shows one output only, but counts it
HIDES_SOME = frozenset(("sort", "_contrib_box_nms", "_contrib_box_non_maximum_suppression"))


def read_mxnet(
    model: MxnetModel,
    input_shapes: Mapping[str, Sequence[int | str]] | None = None,
    recorded: Mapping[str, tuple[int, int]] | None = None,
) -> Graph:
    """Build the canonical graph of an MXNet model.

    Args:
        model: symbol and weights.
        input_shapes: shape of data inputs where the caller knows them, batch included; a symbol holds none. Where
            not given, the size that fits the fully-connected weights is searched, else height and width stay dynamic.
        recorded: height and width by input name, which are tried first in that search.

    Raises:
        UnsupportedOperatorsError: some operators have no rule; all are listed.
        WeightsError: the graph needs weights that the file lacks.
        AttributeValueError: an attribute is unknown or cannot be honoured.
    """
    symbol = model.symbol
    reachable = _reachable(model)
    unsupported: dict[str, list[str]] = {}
    for index in reachable:
        node = symbol.nodes[index]
        if node.op != "null" and rule_for("from_mxnet", node.op) is None:
            unsupported.setdefault(node.op, []).append(node.name)
    if unsupported:
        raise UnsupportedOperatorsError(symbol.path, unsupported)
    roles = variable_roles(model)
    _refuse_missing(model, roles)

    builder = Builder("mxnet", model.name)
    graph = builder.graph
    if roles.extra:
        graph.warnings.append(
            f"{len(roles.extra)} array(s) of the weights file are not used by the graph: {', '.join(roles.extra[:8])}"
        )
    repeated = [name for name, count in Counter(symbol.nodes[i].name for i in reachable).items() if count > 1]
    if repeated:
        graph.warnings.append(f"node names that occur more than once were numbered: {', '.join(sorted(repeated)[:8])}")

    labels = set(roles.labels)
    if labels:
        graph.warnings.append(f"input(s) of the loss were removed: {', '.join(roles.labels)}")
    variables: dict[str, ir.Value] = {}
    values: dict[tuple[int, int], ir.Value] = {}
    for index in reachable:
        node = symbol.nodes[index]
        if node.op == "null":
            if node.name in labels:
                continue
            if node.name not in variables:
                array = model.args.get(node.name, model.aux.get(node.name))
                variables[node.name] = (
                    builder.input(node.name, (input_shapes or {}).get(node.name), declared_type(node))
                    if array is None
                    else builder.weight(node.name, array)
                )
            values[index, 0] = variables[node.name]
            continue
        edges = [edge for edge in node.inputs if symbol.nodes[edge[0]].name not in labels or edge in values]
        for edge in edges:
            if edge not in values:
                raise ConversionError(
                    f"{symbol.path}: {node.op} {node.name!r} reads output {edge[1]} of {symbol.nodes[edge[0]].name!r}, "
                    "which facecvt does not compute"
                )
        op = MxnetOp(node.op, node.name, node.attrs, [values[edge] for edge in edges])
        builder.begin(node.op, node.name)
        rule = rule_for("from_mxnet", node.op)
        if rule is None:
            raise UnsupportedOperatorsError(symbol.path, {node.op: [node.name]})
        result = rule(op, builder)
        op.check_all_read()
        infer_nodes(builder.take_new_nodes())
        outputs = list(result) if isinstance(result, (list, tuple)) else [result]
        for position, value in enumerate(outputs):
            builder.rename(value, _value_name(node, position, len(outputs)))
            values[index, position] = value
    for node_index, output in symbol.heads:
        if (node_index, output) not in values:
            raise ConversionError(
                f"{symbol.path}: output {output} of {symbol.nodes[node_index].name!r} is not computed"
            )
        value = values[node_index, output]
        builder.output(value, _head_name(model, node_index, output, values))
    settle_input_shapes(graph, input_shapes or {}, str(symbol.path), recorded)
    return run_passes(graph)


def _reachable(model: MxnetModel) -> list[int]:
    """Indices of the nodes that the heads need, in file order, which is topological."""
    nodes = model.symbol.nodes
    needed: set[int] = set()
    waiting = [index for index, _ in model.symbol.heads]
    while waiting:
        index = waiting.pop()
        if index in needed:
            continue
        needed.add(index)
        waiting.extend(source for source, _ in nodes[index].inputs)
    return sorted(needed)


def _refuse_missing(model: MxnetModel, roles: VariableRoles) -> None:
    if not roles.missing:
        return
    weights = next((path.name for path in model.files if path != model.symbol.path), "the weights file")
    lines = [
        f"{model.symbol.path}: the graph needs {len(roles.missing)} weight(s) that {weights} does not hold; "
        "nothing was written.",
        f"  the graph asks for: {', '.join(roles.missing[:6])}{', ...' if len(roles.missing) > 6 else ''}",
    ]
    if roles.extra:
        lines.append(
            f"  it holds, unasked: {', '.join(sorted(roles.extra)[:6])}{', ...' if len(roles.extra) > 6 else ''}"
        )
        lines.append("The two files are not of one model, or were renamed. Use the symbol that was saved with them.")
    else:
        lines.append("Use the weights file that was saved with this symbol.")
    raise WeightsError("\n".join(lines))


def _head_name(model: MxnetModel, index: int, output: int, values: Mapping[tuple[int, int], ir.Value]) -> str:
    """MXNet's name of a graph output."""
    node = model.symbol.nodes[index]
    if node.op == "null":
        return node.name
    return _value_name(node, output, 2 if (index, 1) in values else 1)


def _value_name(node: MxnetNode, output: int, count: int) -> str:
    """MXNet's name of a node's output; where it hides some of several, the first is counted all the same."""
    hidden = node.op in HIDES_SOME or (node.op == "topk" and node.attrs.get("ret_typ") == "value")
    if count > 1 or hidden:
        return f"{node.name}_output{output}"
    return f"{node.name}_{OUTPUT_NAMES.get(node.op, 'output')}"


def declared_type(node: MxnetNode) -> ir.DataType:
    """The element type that a variable says it has, by MXNet's number; float32 where it says none."""
    name = {str(code): name for name, code in DTYPE_CODES.items()}.get(node.user_attrs.get("__dtype__", ""), "float32")
    return ir.DataType.from_numpy(np.dtype(name))
