"""Why a layer is wrong: each hypothesis is tried on the layer alone, in float64, and counts only if it explains it.

The layer at fault is cut out of both graphs and fed the same values. Then one thing of it at a time is exchanged:

    an attribute of B's node for A's         epsilon, pads, ceil_mode, count_include_pad, axis, ...
    an operand of B's node for A's           and what was done to it is told by weight_changes.py; as it is used, if it
                                             is transposed before that
    the operator of B's node for A's         PRelu read as Relu
    a step that only one side has            left out on the other side as well
    a Transpose that only B has              the axes turned another way
    a part of A's BatchNormalization         where B has folded it: another epsilon, gamma 1, no shift, no mean

What brings the error to within 10 floors is the cause. Nothing is named that was not tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facecvt.converters.errors import FacecvtError
from facecvt.converters.graph import NumpyArray
from facecvt.parity_tests.diff.difference import Cause
from facecvt.parity_tests.diff.layer import CutLayer
from facecvt.parity_tests.diff.layout import computing, constant_of, in_other_orders
from facecvt.parity_tests.diff.own_error import arranged
from facecvt.parity_tests.diff.provenance import EXCHANGED
from facecvt.parity_tests.diff.weight_changes import change_of
from facecvt.parity_tests.metrics import compare
from facecvt.parity_tests.tolerance import Gate

LEFT_OUT = "left out: "
EPSILONS = (0.0, 1e-5, 2e-5, 1e-3, 1e-12, 1e-6, 1e-4, 1e-2, 0.1, 0.9, 0.99, 0.01)  # 0.9 and the like are momenta


@dataclass(frozen=True)
class Case:
    """A layer at fault, cut out of both sides.

    Attributes:
        a, b: the layer in either.
        feeds_a, feeds_b: what each is fed, by its own names; the same numbers.
        partner: input of B's layer -> input of A's layer.
        floor: of the layer's value.
        how: what told that both are one layer.
        others: all weights of A by name.
    """

    a: CutLayer
    b: CutLayer
    feeds_a: Mapping[str, NumpyArray]
    feeds_b: Mapping[str, NumpyArray]
    partner: Mapping[str, str]
    floor: float
    how: str = ""
    others: Mapping[str, NumpyArray] = field(default_factory=dict)


def diagnose(case: Case) -> Cause | None:
    """The first cause that is proven; None where no hypothesis explains the error."""
    try:
        right = case.a.compute(case.feeds_a)
    except FacecvtError:
        return None
    try:
        wrong = case.b.compute(case.feeds_b)
    except FacecvtError:  # it cannot be computed as it is
        wrong = np.full((), np.nan)
    before = _error(right, wrong)
    for name, detail, layer, feeds, meant in _hypotheses(case, right, wrong):
        try:
            found = layer.compute(feeds)
        except FacecvtError:
            continue
        after = _error(meant, found)
        if Gate(after, case.floor):
            step = name.removeprefix(LEFT_OUT) if name.startswith(LEFT_OUT) else None
            return Cause(name, detail, before, after, step)
    return None


Hypothesis = tuple[str, str, CutLayer, Mapping[str, NumpyArray], NumpyArray]


def _hypotheses(case: Case, right: NumpyArray, wrong: NumpyArray) -> Iterator[Hypothesis]:
    ours, theirs = case.a.data_nodes(), case.b.data_nodes()
    both = dict(case.feeds_b)  # and what only A reads
    both |= {b: case.feeds_a[a] for b, a in case.partner.items() if a in case.feeds_a and b not in both}
    for one, other in same_steps(ours, theirs):
        yield from ((*found, both, right) for found in _exchanges(case, one, other))
        yield from ((*found, both, right) for found in several(case, one, other))
    if kinds_of(computing(ours)) == kinds_of(computing(theirs)) and kinds_of(ours) != kinds_of(theirs):
        for detail, layer in in_other_orders(case.b):
            yield "axes in another order", detail, layer, both, right
    for own, feeds, meant, others in (
        (case.a, case.feeds_a, wrong, theirs),
        (case.b, case.feeds_b, right, ours),
    ):
        known = {node.op_type for node in others}
        word = LEFT_OUT if own is case.a else "added: "
        for node in own.data_nodes():
            if node.op_type not in known and node.output[0] != own.output:
                for layer in own.without(node):
                    detail = f"the {node.op_type} {node.output[0]} is {word.strip(': ')} in B"
                    yield f"{word}{node.output[0]}", detail, layer, feeds, meant
    for node in ours:
        if node.op_type == "BatchNormalization" and len(theirs) < len(ours):
            for name, detail, edit in _folded_wrongly(node.output[0]):
                yield name, detail, case.a.edited(edit), case.feeds_a, wrong
    kinds = [" and ".join(kinds_of(nodes)) for nodes in (ours, theirs)]
    if all(kinds) and len(ours) != len(theirs) and set(case.partner.values()).issuperset(case.a.inputs):
        yield f"{kinds[0]} read as {kinds[1]}", f"A computes {kinds[0]}, B {kinds[1]}", _as_in_a(case), both, right


def same_steps(ours: Sequence[Any], theirs: Sequence[Any]) -> list[tuple[Any, Any]]:
    """What corresponds: one step and one step, or the same steps, those that only move numbers left out if need be."""
    if len(ours) == len(theirs) == 1 or kinds_of(ours) == kinds_of(theirs):
        return list(zip(ours, theirs, strict=True))
    ours, theirs = computing(ours), computing(theirs)
    return list(zip(ours, theirs, strict=True)) if kinds_of(ours) == kinds_of(theirs) else []


def kinds_of(nodes: Sequence[Any]) -> list[str]:
    return [node.op_type for node in nodes]


def _exchanges(case: Case, ours: Any, theirs: Any) -> Iterator[tuple[str, str, CutLayer]]:
    """B's layer with one thing of A's; the names of what is fed are B's."""
    if ours.op_type != theirs.op_type:
        name = f"{ours.op_type} read as {theirs.op_type}"
        yield name, f"A computes {ours.op_type}, B {theirs.op_type}", _as_in_a(case)
        return
    ours_by_name = {attribute.name: attribute for attribute in ours.attribute}
    theirs_by_name = {attribute.name: attribute for attribute in theirs.attribute}
    for name in sorted({*ours_by_name, *theirs_by_name}):
        one, other = ours_by_name.get(name), theirs_by_name.get(name)
        if one == other:
            continue

        def attributes(layer: CutLayer, name: str = name, one: Any = one) -> None:
            node = next(n for n in layer.nodes if n.output[0] == theirs.output[0])
            kept = [attribute for attribute in node.attribute if attribute.name != name]
            del node.attribute[:]
            node.attribute.extend([*kept, *([one] if one is not None else [])])

        yield name, f"{name} is {_shown(other)} where A has {_shown(one)}", case.b.edited(attributes)
    for place in range(max(len(ours.input), len(theirs.input))):
        right, wrong = _operand(case.a, ours, place), _operand(case.b, theirs, place)
        if (right is None and wrong is None) or (right is not None and wrong is not None and _equal(right, wrong)):
            continue

        def operand(layer: CutLayer, place: int = place, right: NumpyArray | None = right) -> None:
            node = next(n for n in layer.nodes if n.output[0] == theirs.output[0])
            while len(node.input) <= place:
                node.input.append("")
            node.input[place] = "" if right is None else "right"
            if right is not None:
                layer.weights["right"] = right

        name = _operand_name(case, ours.op_type, place, right, wrong)
        yield name, f"operand {place} of {ours.op_type} {theirs.output[0]}: {name}", case.b.edited(operand)


def _as_in_a(case: Case) -> CutLayer:
    """B's layer with all that A computes in it."""
    back = {a: b for b, a in case.partner.items()}

    def operator(layer: CutLayer) -> None:
        layer.nodes = [_renamed(node, back, case.b.output, case.a.output) for node in case.a.nodes]
        layer.weights = dict(case.a.weights)
        layer.inputs = [back.get(name, name) for name in case.a.inputs]

    return case.b.edited(operator)


def several(case: Case, ours: Any, theirs: Any) -> Iterator[tuple[str, str, CutLayer]]:
    """B's layer with several things of A's at once: its attributes, its operands, their order."""
    if ours.op_type != theirs.op_type:
        return
    one, other = ({attribute.name: attribute for attribute in node.attribute} for node in (ours, theirs))
    unlike = {name for name in {*one, *other} if one.get(name) != other.get(name)}
    names = sorted(unlike - {"momentum"})  # which says nothing once a model is trained

    def node_of(layer: CutLayer) -> Any:
        return next(node for node in layer.nodes if node.output[0] == theirs.output[0])

    def attributes(layer: CutLayer) -> None:
        del node_of(layer).attribute[:]
        node_of(layer).attribute.extend(ours.attribute)

    if len(names) > 1:
        yield " and ".join(names), f"B has other {', '.join(names)} than A", case.b.edited(attributes)
    pairs = [(_operand(case.a, ours, place), _operand(case.b, theirs, place)) for place in range(len(ours.input))]
    wrong = [place for place, (a, b) in enumerate(pairs) if a is not None and b is not None and not _equal(a, b)]

    def operands(layer: CutLayer) -> None:
        for place in wrong:
            node_of(layer).input[place] = f"right{place}"
            layer.weights[f"right{place}"] = pairs[place][0]  # type: ignore[assignment]  # not None by the choice above

    if len(wrong) > 1:
        turned = {(a.tobytes(), a.shape) for p in wrong if (a := pairs[p][0]) is not None} == {
            (b.tobytes(), b.shape) for p in wrong if (b := pairs[p][1]) is not None
        }
        causes = {_operand_name(case, ours.op_type, place, *pairs[place]) for place in wrong}
        name = "operands exchanged" if turned else " and ".join(sorted(causes))
        yield name, f"operands {wrong} of {ours.op_type} {theirs.output[0]}: {name}", case.b.edited(operands)
    if names and wrong:

        def both(layer: CutLayer) -> None:
            attributes(layer)
            operands(layer)

        name = " and ".join([*names, *sorted({_operand_name(case, ours.op_type, p, *pairs[p]) for p in wrong})])
        yield (
            name,
            f"B has other {', '.join(names)} than A, and {ours.op_type} other operands {wrong}",
            case.b.edited(both),
        )
    back = {a: b for b, a in case.partner.items()}
    order = [back.get(name, "") for name in ours.input]
    fed = {*case.feeds_b, *(b for b, a in case.partner.items() if a in case.feeds_a)}
    if list(theirs.input) != order and fed.issuperset(order):

        def turn(layer: CutLayer) -> None:
            node_of(layer).input[:] = order
            layer.inputs = list(dict.fromkeys([*layer.inputs, *order]))

        name = "operands exchanged" if sorted(theirs.input) == sorted(order) else "reads another value"
        yield name, f"{ours.op_type} reads {list(theirs.input)} where A has {order}", case.b.edited(turn)


def _operand_name(case: Case, operator: str, place: int, right: NumpyArray | None, wrong: NumpyArray | None) -> str:
    if right is None or wrong is None:
        return "dropped bias" if wrong is None else "added bias"
    if case.how == EXCHANGED and place == 1:
        return "weights of another layer"
    name = change_of(operator, place, right, wrong)
    if name == "other weights" and any(_equal(array, wrong) for array in case.others.values()):
        return "weights of another layer"
    return name


def _folded_wrongly(output: str) -> Iterator[tuple[str, str, Callable[[CutLayer], None]]]:
    """A's BatchNormalization as it may have been when it was folded."""

    def node_of(layer: CutLayer) -> Any:
        return next(node for node in layer.nodes if node.output[0] == output)

    for epsilon in EPSILONS:

        def with_epsilon(layer: CutLayer, epsilon: float = epsilon) -> None:
            for attribute in node_of(layer).attribute:
                if attribute.name == "epsilon":
                    attribute.f = epsilon

        yield "epsilon", f"folded with epsilon {epsilon:g}", with_epsilon
    for name, place, change in (
        ("mean of the other sign", 3, lambda mean: -mean),
        ("variance is the standard deviation", 4, np.sqrt),
        ("variance without its root", 4, np.square),
    ):

        def with_changed(layer: CutLayer, place: int = place, change: Any = change) -> None:
            node = node_of(layer)
            epsilon = next((a for a in node.attribute if a.name == "epsilon"), None)
            array = layer.weights[node.input[place]].astype(np.float64)
            if place == 4 and epsilon is not None:
                array, epsilon.f = array + epsilon.f, 0.0
            layer.weights["folded"] = change(array)
            node.input[place] = "folded"

        yield name, f"folded as if {name}", with_changed
    for name, place, value in (
        ("gamma is 1 (fix_gamma)", 1, 1.0),
        ("dropped shift", 2, 0.0),
        ("dropped mean", 3, 0.0),
        ("variance is 1", 4, 1.0),
    ):

        def with_operand(layer: CutLayer, place: int = place, value: float = value) -> None:
            node = node_of(layer)
            layer.weights["folded"] = np.full_like(layer.weights[node.input[place]], value)
            node.input[place] = "folded"

        yield name, f"folded as if {name}", with_operand


def _operand(layer: CutLayer, node: Any, place: int) -> NumpyArray | None:
    return constant_of(layer, node.input[place]) if place < len(node.input) and node.input[place] else None


def _equal(one: NumpyArray, other: NumpyArray) -> bool:
    return one.shape == other.shape and np.array_equal(one, other)


def _renamed(node: Any, names: Mapping[str, str], output: str, old_output: str) -> Any:
    other = type(node)()
    other.CopyFrom(node)
    for place, name in enumerate(node.input):
        other.input[place] = names.get(name, name)
    for place, name in enumerate(node.output):
        other.output[place] = output if name == old_output else name
    return other


def _shown(attribute: Any) -> str:
    if attribute is None:
        return "no value"
    import onnx

    value = onnx.helper.get_attribute_value(attribute)
    return f"{value:g}" if isinstance(value, float) else value.decode() if isinstance(value, bytes) else str(value)


def _error(right: NumpyArray, wrong: NumpyArray) -> float:
    fitting = arranged(wrong, right.shape)
    return compare(right, wrong if fitting is None else fitting).rel_rmse
