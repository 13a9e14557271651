"""What a fault is: a name, an edit of a converted model, and the cause that the comparison is to name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from facecvt.converters.graph import NumpyArray
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.parity_tests.selftest.draft import Draft

Edited = str | tuple[str, ...] | None  # name(s) of the edited layer(s); None where the net has no place for the fault


@dataclass(frozen=True)
class Fault:
    """A mistake that a converter makes.

    Attributes:
        name: what it is.
        cause: the cause that is to be named; ``{layer}`` stands for the edited layer.
        apply: makes the mistake; returns the layer that is wrong then, or layers any of which may be named.
    """

    name: str
    cause: str
    apply: Callable[[Draft], Edited]


def of_attribute(name: str, cause: str, operators: tuple[str, ...], **values: object) -> Fault:
    """A wrong attribute of a node of these operators."""

    def apply(draft: Draft) -> Edited:
        nodes = [
            node
            for node in draft.nodes(*operators)
            if any(
                name not in node.attributes or node.attributes[name].value != value for name, value in values.items()
            )
        ]
        return draft.set(draft.pick(nodes), **values)

    return Fault(name, cause, apply)


def of_weight(
    name: str,
    cause: str,
    operators: tuple[str, ...],
    place: int,
    edit: Callable[[NumpyArray], object],
    fits: Callable[[NumpyArray, ir.Node], bool] = lambda array, node: True,
) -> Fault:
    """A wrong constant operand of a node of these operators."""

    def apply(draft: Draft) -> Edited:
        nodes = [
            node
            for node in draft.nodes(*operators)
            if (array := draft.weight(node, place)) is not None and fits(array, node)
        ]
        return draft.change(draft.pick(nodes), place, edit)

    return Fault(name, cause, apply)


def of_operator(name: str, cause: str, operator: str, other: str, **attributes: object) -> Fault:
    """One operator in another's place."""
    return Fault(name, cause, lambda draft: draft.become(draft.pick(draft.nodes(operator)), other, 1, **attributes))
