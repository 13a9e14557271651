"""Whether an ONNX file in float16 is a given float32 model and nothing else; read from the two files alone.

Casts that the float32 model does not have are looked through. What remains has to be the same nodes in the same order,
with the same operators, attributes, operands and value names; every weight the same numbers, rounded to float16 where
the node computes in float16, bit for bit elsewhere; the same inputs and outputs, in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from facecvt.converters.passes.to_half import HalfPlan


def differences_of(half: Path, single: Path, plan: HalfPlan) -> Iterator[str]:
    """What tells the two apart, the first difference of each kind.

    Args:
        half: the file in float16.
        single: the float32 model.
        plan: which values are to be computed in float16.
    """
    import onnx

    ours, theirs = onnx.load(str(half)), onnx.load(str(single))
    if ours.opset_import != theirs.opset_import:
        yield "it is of another opset"
    for what in ("input", "output"):
        for mine, its in zip(getattr(ours.graph, what), getattr(theirs.graph, what), strict=False):
            if mine != its:
                yield f"{what} {mine.name} is not declared as {its.name} is"
        if len(getattr(ours.graph, what)) != len(getattr(theirs.graph, what)):
            yield f"it has another number of {what}s"
    yield from _Comparison(ours.graph, theirs.graph, plan).differences()


class _Comparison:
    def __init__(self, ours: Any, theirs: Any, plan: HalfPlan) -> None:
        self.plan = plan
        self.outputs = {item.name for item in theirs.output}
        self.our_weights = {item.name: item for item in ours.initializer}
        self.their_weights = {item.name: item for item in theirs.initializer}
        casts = {name for node in theirs.node if node.op_type == "Cast" for name in node.output}
        added = [node for node in ours.node if node.op_type == "Cast" and node.output[0] not in casts]
        self.behind = {node.output[0]: node.input[0] for node in added}  # of an added Cast: result -> operand
        looked_through = {node.output[0] for node in added}
        self.our_nodes = [node for node in ours.node if not (node.output and node.output[0] in looked_through)]
        self.their_nodes = list(theirs.node)
        self.same: dict[str, str] = {item.name: item.name for item in theirs.input}  # our value -> their value

    def origin(self, name: str) -> str:
        while name in self.behind:
            name = self.behind[name]
        return name

    def differences(self) -> Iterator[str]:
        if len(self.our_nodes) != len(self.their_nodes):
            yield f"it has {len(self.our_nodes)} operators where {len(self.their_nodes)} are expected"
            return
        for mine, its in zip(self.our_nodes, self.their_nodes, strict=True):
            problem = self.node_difference(mine, its)
            if problem:
                yield f"{its.op_type} {its.name or its.output[0]}: {problem}"
                return
        for name in self.outputs:
            if self.same.get(self.origin(name)) != name:
                yield f"output {name} is another value"

    def node_difference(self, mine: Any, its: Any) -> str:
        if mine.op_type != its.op_type or mine.domain != its.domain:
            return f"it is {mine.op_type} here"
        attributes = [sorted(a.SerializeToString() for a in node.attribute) for node in (mine, its)]
        if attributes[0] != attributes[1]:
            return "its attributes are not the same"
        if len(mine.input) != len(its.input) or len(mine.output) != len(its.output):
            return "it has another number of operands or results"
        in_half = not self.plan.values.isdisjoint(its.output)
        for our_name, their_name in zip(mine.input, its.input, strict=True):
            if their_name in self.their_weights:
                problem = self.weight_difference(our_name, their_name, in_half)
                if problem:
                    return f"weight {their_name}: {problem}"
            elif their_name and self.same.get(self.origin(our_name)) != their_name:
                return f"it reads {our_name} where {their_name} is expected"
            elif bool(their_name) != bool(our_name):
                return "an operand is missing, or there is one too many"
        for our_name, their_name in zip(mine.output, its.output, strict=True):
            if our_name != their_name and their_name not in self.outputs:
                return f"it gives {our_name} where {their_name} is expected"
            self.same[our_name] = their_name
        return ""

    def weight_difference(self, our_name: str, their_name: str, in_half: bool) -> str:
        from onnx import numpy_helper

        found = self.our_weights.get(self.origin(our_name))
        if found is None:
            return "it is not a weight here"
        array, expected = numpy_helper.to_array(found), numpy_helper.to_array(self.their_weights[their_name])
        if expected.dtype == np.float32 and in_half and array.dtype == np.float16:
            with np.errstate(over="ignore"):
                expected = expected.astype(np.float16)
        if array.dtype != expected.dtype or array.shape != expected.shape:
            return f"{array.dtype} {list(array.shape)} where {expected.dtype} {list(expected.shape)} is expected"
        return "" if array.tobytes() == expected.tobytes() else "other numbers"
