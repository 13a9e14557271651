"""Shape arithmetic as Python source: expressions of lists of ints, and of single ints, put together textually.

    Shape(x)                          list(x.shape)
    Gather(Shape(x), 0)               x.shape[0]
    Slice(Shape(x), 0, 2)             list(x.shape[:2])
    Concat([x.shape[0]], [-1], [4])   [x.shape[0], -1, 4]
    Mul([x.shape[2]], [2])            [x.shape[2] * 2]

An expression is a list (a display, a comprehension, ``list(...)``) or an int (anything else); which of them is read off
its syntax tree. Literals are folded.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Div": lambda a, b: int(a / b),  # toward zero, as ONNX divides whole numbers
}
SYMBOLS = {"Add": "+", "Sub": "-", "Mul": "*"}


def tree(expression: str) -> ast.expr:
    return ast.parse(expression, mode="eval").body


def is_list(expression: str) -> bool:
    """Whether an expression stands for a list; otherwise it stands for one int."""
    node = tree(expression)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "list"
    return isinstance(node, (ast.List, ast.ListComp))


def elements(expression: str) -> list[str] | None:
    """The element expressions of a list whose length is written out, None for any other."""
    node = tree(expression)
    if not isinstance(node, ast.List) or any(isinstance(item, ast.Starred) for item in node.elts):
        return None
    return [ast.unparse(item) for item in node.elts]


def as_int(expression: str) -> int | None:
    """The value of an int literal, None for any other expression."""
    try:
        value = ast.literal_eval(expression)
    except ValueError:
        return None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_ints(expression: str) -> list[int] | None:
    """The values of a list of int literals, None for any other expression."""
    items = elements(expression)
    values = None if items is None else [as_int(item) for item in items]
    return (
        None if values is None or any(value is None for value in values) else [int(v) for v in values if v is not None]
    )


def literal_zero(expression: str) -> bool:
    """Whether a list has a 0 written in it, as an element."""
    node = tree(expression)
    return isinstance(node, ast.List) and any(isinstance(item, ast.Constant) and item.value == 0 for item in node.elts)


def display(items: Sequence[str]) -> str:
    return f"[{', '.join(items)}]"


def source(expression: str) -> str:
    """What ``list(...)`` holds: an expression that can be indexed, sliced or starred without making the list."""
    node = tree(expression)
    if isinstance(node, ast.Call) and is_list(expression):
        return ast.unparse(node.args[0])
    return expression


def arguments(expression: str) -> str:
    """A list as call arguments: ``[1, -1]`` becomes ``1, -1``, ``list(x.shape)`` becomes ``x.shape``."""
    node = tree(expression)
    return (expression[1:-1] or "()") if isinstance(node, ast.List) else source(expression)


def concat(expressions: Sequence[str]) -> str:
    """One list of the elements of several."""
    if len(expressions) == 1:
        return expressions[0]
    parts: list[str] = []
    for expression in expressions:
        node = tree(expression)
        parts += [ast.unparse(item) for item in node.elts] if isinstance(node, ast.List) else [f"*{source(expression)}"]
    return display(parts)


def pick(expression: str, index: int) -> str:
    """One element of a list, as an int."""
    items = elements(expression)
    if items is not None:
        return items[index]
    inner = tree(source(expression))
    if index >= 0 and isinstance(inner, ast.Subscript) and isinstance(inner.slice, ast.Slice) and not inner.slice.step:
        start = 0 if inner.slice.lower is None else as_int(ast.unparse(inner.slice.lower))
        if start is not None and start >= 0:  # x.shape[2:4][0] is x.shape[2]
            return f"{ast.unparse(inner.value)}[{start + index}]"
    return f"{ast.unparse(inner)}[{index}]"


def take(expression: str, start: int | None, end: int | None, step: int, length: int | None = None) -> str:
    """A slice of a list, with Python's bounds.

    Args:
        expression: the list.
        start: first element, None for the first one there is.
        end: the one after the last, None for all.
        step: every how many.
        length: how many elements the list has, where that is known; the result is then written out.
    """
    items = elements(expression)
    if items is not None:
        return display(items[slice(start, end, step)])
    if length is not None:
        return display([pick(expression, index) for index in range(length)[slice(start, end, step)]])
    text = f"{'' if start is None else start}:{'' if end is None else end}" + ("" if step == 1 else f":{step}")
    return f"list({source(expression)}[{text}])"


def single(operator: str, left: str, right: str) -> str:
    """One int out of two."""
    a, b = as_int(left), as_int(right)
    if a is not None and b is not None and not (operator == "Div" and b == 0):
        return str(ARITHMETIC[operator](a, b))
    left, right = (
        text if isinstance(tree(text), (ast.Name, ast.Constant, ast.Subscript, ast.Call)) else f"({text})"
        for text in (left, right)
    )
    return f"int({left} / {right})" if operator == "Div" else f"{left} {SYMBOLS[operator]} {right}"


def arithmetic(operator: str, operands: Sequence[str]) -> str | None:
    """Add, Sub, Mul or Div of two ints or lists by ONNX's broadcasting; None where the lengths are not known."""
    left, right = operands
    if not is_list(left) and not is_list(right):
        return single(operator, left, right)
    parts = [elements(text) if is_list(text) else [text] for text in (left, right)]
    first, second = parts
    if first is None or second is None:
        return None
    length = max(len(first), len(second))
    if len(first) not in (1, length) or len(second) not in (1, length):
        return None
    first, second = (part * length if len(part) == 1 else part for part in (first, second))
    return display([single(operator, a, b) for a, b in zip(first, second, strict=True)])
