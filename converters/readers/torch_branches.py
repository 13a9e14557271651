"""The branches that PyTorch's exporter writes for ``squeeze(x, axis)`` where the axis' size is known at run time only.

    If (Gather(Shape(x), axis) == 1)   then Squeeze(x, axis)   else Identity(x)

No format but ONNX has such a branch. The same without one is a reshape to the sizes that stay:

    Reshape(x, Concat(sizes before the axis, Compress(its size, its size != 1), sizes behind it))

Any other branch is left as it is. Source: torch.onnx, ``symbolic_opset11.squeeze``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

END = np.iinfo(np.int64).max


def squeeze_without_branches(proto: Any) -> None:
    """Replace every such branch of a model, in place.

    Args:
        proto: an ``onnx.ModelProto`` as the exporter wrote it.
    """
    graph = proto.graph
    made_by = {output: node for node in graph.node for output in node.output}
    numbers = constants_of(graph)
    nodes: list[Any] = []
    for node in graph.node:
        axis = squeezed_axis(node, made_by, numbers) if node.op_type == "If" else None
        nodes += [node] if axis is None else reshaped(node, axis, made_by)
    del graph.node[:]
    graph.node.extend(nodes)


def squeezed_axis(branch: Any, made_by: dict[str, Any], numbers: dict[str, Any]) -> int | None:
    """The axis that an If takes away where it has one element; None for an If that does something else."""
    parts = {attribute.name: attribute.g for attribute in branch.attribute}
    equal = made_by.get(branch.input[0])
    gather = made_by.get(equal.input[0]) if equal is not None and equal.op_type == "Equal" else None
    shape = made_by.get(gather.input[0]) if gather is not None and gather.op_type == "Gather" else None
    if equal is None or gather is None or shape is None or shape.op_type != "Shape" or shape.attribute:
        return None
    inner = numbers | constants_of(parts["then_branch"])
    squeeze, same = last_node(parts["then_branch"], "Squeeze"), last_node(parts["else_branch"], "Identity")
    if squeeze is None or same is None or not shape.input[0] == squeeze.input[0] == same.input[0]:
        return None
    read = [numbers.get(gather.input[1]), numbers.get(equal.input[1]), inner.get(squeeze.input[1])]
    found = [array for array in read if array is not None and array.size == 1]
    if len(found) != 3:
        return None
    axis, one, taken = (int(array.reshape(-1)[0]) for array in found)
    plain = all(attribute.name == "axis" and attribute.i == 0 for attribute in gather.attribute)
    return axis if plain and one == 1 and axis == taken and axis >= 0 else None


def reshaped(branch: Any, axis: int, made_by: dict[str, Any]) -> list[Any]:
    """The nodes that take an If's place."""
    from onnx import helper, numpy_helper

    shape = made_by[made_by[made_by[branch.input[0]].input[0]].input[0]]
    stem = branch.name or branch.output[0]
    nodes: list[Any] = []

    def add(operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        output = f"{stem}/{name}"
        nodes.append(helper.make_node(operator, inputs, [output], name=f"/{operator}", **attributes))
        return output

    def number(value: int, name: str) -> str:
        return add("Constant", [], name, value=numpy_helper.from_array(np.array([value], np.int64)))

    sizes, zero, one = shape.output[0], number(0, "zero"), number(1, "one")
    here, behind = number(axis, "axis"), number(axis + 1, "behind")
    own = add("Slice", [sizes, here, behind, zero], "own")
    stays = add("Not", [add("Equal", [own, one], "is_one")], "stays")
    kept = [
        add("Slice", [sizes, zero, here, zero], "before"),
        add("Compress", [own, stays], "kept", axis=0),
        add("Slice", [sizes, behind, number(END, "end"), zero], "rest"),
    ]
    target = add("Concat", kept if axis else kept[1:], "sizes", axis=0)
    nodes.append(helper.make_node("Reshape", [shape.input[0], target], list(branch.output), name="/Reshape"))
    return nodes


def constants_of(graph: Any) -> dict[str, Any]:
    """Arrays of a graph's Constant nodes and initializers, by value name."""
    from onnx import numpy_helper

    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def last_node(graph: Any, operator: str) -> Any:
    """The one node of a branch that computes, where it is of an operator; else None."""
    computing = [node for node in graph.node if node.op_type != "Constant"]
    if len(computing) != 1 or computing[0].op_type != operator or len(graph.output) != 1:
        return None
    return computing[0] if list(computing[0].output) == [graph.output[0].name] else None
