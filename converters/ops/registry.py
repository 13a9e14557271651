"""Which rule serves which operator of which framework.

    from_mxnet(*operators)    rule(op: MxnetOp, b: Builder)   -> the value(s) that stand for the node's outputs
    from_paddle(*operators)   rule(op: PaddleOp, b: Builder)  -> the same; one rule for legacy and PIR spelling
    from_onnx(*operators)     rule(op: OnnxOp, b: Builder)    -> the same; any opset from 7 to the canonical one
    to_torch(*operators)      rule(node: ir.Node, t: TorchCode) -> None
    to_mxnet(*operators)      rule(node: ir.Node, m: MxnetNodes) -> None
    to_paddle(*operators)     rule(node: ir.Node, p: PaddleNodes) -> None
    lower(operator, below=N)  rule(node: ir.Node, opset: int) -> None; rewrites a canonical node for an older opset

A rule is registered by decorating it. A second registration of the same operator raises and names both. Rules are
found by importing the modules of this package once (:func:`load_rules`); one operator family lives in one module.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

Rule = TypeVar("Rule", bound=Callable[..., Any])


class DuplicateRuleError(Exception):
    """Two rules for one operator of one framework: a bug in facecvt, found at import."""


@dataclass(frozen=True)
class LoweringRule:
    """Rewrites a canonical node where the target opset is below ``below``."""

    operator: str
    below: int
    rewrite: Callable[..., None]


DIRECTIONS = ("from_mxnet", "from_paddle", "from_onnx", "to_torch", "to_mxnet", "to_paddle")

_rules: dict[str, dict[str, Callable[..., Any]]] = {direction: {} for direction in DIRECTIONS}
_lowerings: dict[str, list[LoweringRule]] = {}


def _register(direction: str, operators: tuple[str, ...]) -> Callable[[Rule], Rule]:
    def decorate(rule: Rule) -> Rule:
        for operator in operators:
            known = _rules[direction].get(operator)
            if known is not None:
                raise DuplicateRuleError(
                    f"{direction} {operator!r} is registered by {known.__module__}.{known.__name__} "
                    f"and again by {rule.__module__}.{rule.__name__}"
                )
            _rules[direction][operator] = rule
        return rule

    return decorate


def from_mxnet(*operators: str) -> Callable[[Rule], Rule]:
    """Register a rule that reads these MXNet operators."""
    return _register("from_mxnet", operators)


def from_paddle(*operators: str) -> Callable[[Rule], Rule]:
    """Register a rule that reads these Paddle operators (names without dialect prefix and trailing underscore)."""
    return _register("from_paddle", operators)


def from_onnx(*operators: str) -> Callable[[Rule], Rule]:
    """Register a rule that lifts these ONNX operators, of any opset from 7, to the canonical opset."""
    return _register("from_onnx", operators)


def to_torch(*operators: str) -> Callable[[Rule], Rule]:
    """Register a rule that writes these canonical operators as PyTorch code."""
    return _register("to_torch", operators)


def to_mxnet(*operators: str) -> Callable[[Rule], Rule]:
    """Register a rule that writes these canonical operators as MXNet nodes."""
    return _register("to_mxnet", operators)


def to_paddle(*operators: str) -> Callable[[Rule], Rule]:
    """Register a rule that writes these canonical operators as operators of a Paddle program."""
    return _register("to_paddle", operators)


def lower(operator: str, *, below: int) -> Callable[[Rule], Rule]:
    """Register a rule that rewrites a canonical operator for targets older than opset ``below``."""

    def decorate(rule: Rule) -> Rule:
        _lowerings.setdefault(operator, []).append(LoweringRule(operator, below, rule))
        return rule

    return decorate


@cache
def load_rules() -> None:
    """Import every operator family once."""
    package = importlib.import_module("facecvt.converters.ops")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"facecvt.converters.ops.{module.name}")


def rule_for(direction: str, operator: str) -> Callable[..., Any] | None:
    """The rule, or None where there is none."""
    load_rules()
    return _rules[direction].get(operator)


def lowerings(operator: str) -> list[LoweringRule]:
    """Lowering rules of a canonical operator, newest opset first."""
    load_rules()
    return sorted(_lowerings.get(operator, []), key=lambda rule: -rule.below)


def table(direction: str) -> dict[str, str]:
    """Operator -> family (module name) for everything that is registered in a direction."""
    load_rules()
    return {operator: family_of(rule) for operator, rule in sorted(_rules[direction].items())}


def family_of(rule: Callable[..., Any]) -> str:
    """Module of a rule; rules of one target that fill a module of their own belong to the family it is named after."""
    module = rule.__module__.rpartition(".")[2]
    return module.removesuffix("_to_mxnet").removesuffix("_to_paddle")
