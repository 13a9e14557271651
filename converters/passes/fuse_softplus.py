"""Makes one Softplus of max(x, 0) + log(1 + exp(-|x|)) spelled out, as facecvt itself writes it for MXNet.

MXNet's own softrelu loses every digit far below zero, so that the writer spells it out, with MXNet's ``log1p``; and
ONNX has no log1p, so that its reader spells that out (``ops/functions.py``). What comes back is one operator again:

    Relu(x) + l,   l = Where(|e| < 1, near, Log(u)),   near = Where(u = 1, e, Log(u) * e / (u - 1)),
                   u = e + 1,   e = Exp(-|x|)

The values in between no longer exist. They are recorded in ``Graph.absorbed``, so that nobody looks for them.
"""

from __future__ import annotations

from facecvt.converters.graph import Graph, constant, name_of
from facecvt.converters.onnx_ir_lazy import ir


def fuse_softplus(graph: Graph) -> None:
    """Replace every such sum whose parts nothing else reads."""
    outputs = {name_of(value) for value in graph.outputs}
    for add in list(graph.body):
        if add.op_type != "Add":
            continue
        for curve, rest in ((add.inputs[0], add.inputs[1]), (add.inputs[1], add.inputs[0])):
            relu = made_by(curve, "Relu")
            parts: list[ir.Node] = []
            if relu is None or not is_log1p_of_exp(rest, relu.inputs[0], parts):
                continue
            parts.append(relu)
            inner = [value for node in parts for value in node.outputs]
            own = {id(node) for node in (*parts, add)}
            if any(name_of(value) in outputs for value in inner) or any(
                id(use.node) not in own for value in inner for use in value.uses()
            ):
                continue
            replace(graph, add, relu.inputs[0], parts)
            break


def is_log1p_of_exp(value: ir.Value | None, x: ir.Value | None, parts: list[ir.Node]) -> bool:
    """Whether a value is log1p(exp(-|x|)) as MXNet's log1p is read; its nodes go into ``parts``."""
    outer = made_by(value, "Where")
    if outer is None:
        return False
    less, near, log = (
        made_by(outer.inputs[0], "Less"),
        made_by(outer.inputs[1], "Where"),
        made_by(outer.inputs[2], "Log"),
    )
    if less is None or near is None or log is None:
        return False
    u = log.inputs[0]
    raised, equal, ratio = made_by(u, "Add"), made_by(near.inputs[0], "Equal"), made_by(near.inputs[2], "Div")
    if raised is None or equal is None or ratio is None:
        return False
    e = raised.inputs[0]
    product, below, size = (
        made_by(ratio.inputs[0], "Mul"),
        made_by(ratio.inputs[1], "Sub"),
        made_by(less.inputs[0], "Abs"),
    )
    power = made_by(e, "Exp")
    if product is None or below is None or size is None or power is None:
        return False
    minus = made_by(power.inputs[0], "Neg")
    distance = made_by(minus.inputs[0], "Abs") if minus is not None else None
    if minus is None or distance is None or distance.inputs[0] is not x:
        return False
    ones = (less.inputs[1], raised.inputs[1], equal.inputs[1], below.inputs[1])
    wired = (
        near.inputs[1] is e
        and size.inputs[0] is e
        and equal.inputs[0] is u
        and below.inputs[0] is u
        and product.inputs[0] is log.outputs[0]
        and product.inputs[1] is e
    )
    if not wired or not all(is_one(each) for each in ones):
        return False
    found = {id(node): node for node in (outer, less, near, log, raised, equal, ratio, product, below, size, power)}
    parts += [*found.values(), minus, distance]
    return True


def made_by(value: ir.Value | None, op_type: str) -> ir.Node | None:
    """The node of this operator that computes a value, None where another or none does."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == op_type else None


def is_one(value: ir.Value | None) -> bool:
    """Whether a value is the constant 1."""
    array = constant(value)
    return array is not None and array.size == 1 and float(array.reshape(-1)[0]) == 1.0


def replace(graph: Graph, add: ir.Node, x: ir.Value | None, parts: list[ir.Node]) -> None:
    """Put a Softplus of x in the place of a sum and its parts."""
    old = add.outputs[0]
    fused = ir.Node("", "Softplus", [x], name=add.name, metadata_props=dict(add.metadata_props))
    result, name = fused.outputs[0], name_of(old)
    result.name, result.shape, result.type = name, old.shape, old.type
    graph.body.insert_before(add, fused)
    old.replace_all_uses_with(result, replace_graph_outputs=True)
    graph.body.remove(add, safe=True)
    place = {id(node): index for index, node in enumerate(graph.body)}
    for node in sorted(parts, key=lambda node: -place[id(node)]):  # what reads a part goes before it
        gone = name_of(node.outputs[0])
        graph.body.remove(node, safe=True)
        graph.origins.pop(gone, None)
        graph.absorbed[gone] = name
        for held, holder in list(graph.absorbed.items()):
            if holder == gone:
                graph.absorbed[held] = name
