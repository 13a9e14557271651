"""Sizes as a writer knows them: numbers, dimensions that are not known until run time, and simple formulas of both.

A target whose reshapes take numbers and codes, and no computed shapes, needs the canonical graph's shape arithmetic
(Shape, Gather, Concat, ... on int64) as formulas. A size is  factor * d1 * d2 * ... + offset  where each d is the key
of an unknown dimension. What no such formula expresses (a quotient, a sum of two dimensions) gets a key of its own that
spells it out, so that two computations of the same size are equal; nothing more is known of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """One size; a plain number has it in ``factor`` and neither keys nor offset.

    Attributes:
        factor: the number that multiplies the dimensions.
        keys: the unknown dimensions in it, sorted.
        offset: what is added.
    """

    factor: int
    keys: tuple[str, ...] = ()
    offset: int = 0

    @property
    def number(self) -> int | None:
        """The size as an int, None where it is not known."""
        return None if self.keys else self.factor

    @property
    def key(self) -> str | None:
        """The dimension that it is, None for a number and for anything computed from dimensions."""
        return self.keys[0] if len(self.keys) == 1 and (self.factor, self.offset) == (1, 0) else None

    def __str__(self) -> str:
        numbers = [str(self.factor)] if self.factor != 1 or not self.keys else []
        return "*".join([*numbers, *self.keys]) + (f"{self.offset:+d}" if self.offset else "")


@dataclass(frozen=True)
class Sizes:
    """A vector of sizes, or one size of rank 0.

    Attributes:
        items: the sizes; exactly one where ``scalar``.
        scalar: whether the value has rank 0.
    """

    items: tuple[Size, ...]
    scalar: bool = False

    @property
    def numbers(self) -> list[int] | None:
        """All sizes as ints, None where one is not known."""
        found = [item.number for item in self.items]
        return None if None in found else [number for number in found if number is not None]


def number_sizes(numbers: Sequence[int], scalar: bool = False) -> Sizes:
    """Known sizes."""
    return Sizes(tuple(Size(int(number)) for number in numbers), scalar)


def formula(factor: int, keys: Sequence[str], offset: int) -> Size:
    """A size in its one form: what has no dimension in it is a number."""
    return (
        Size(factor, tuple(sorted(keys)), offset)
        if keys and factor
        else Size(offset if factor == 0 else factor + offset)
    )


def product(sizes: Sequence[Size]) -> Size:
    """All sizes multiplied; 1 for none."""
    result = Size(1)
    for size in sizes:
        if (size.offset and result.keys) or (result.offset and size.keys):
            result = Size(1, (f"({result})*({size})",))
        elif size.keys:
            result = formula(result.factor * size.factor, [*result.keys, *size.keys], result.factor * size.offset)
        else:
            result = formula(result.factor * size.factor, result.keys, result.offset * size.factor)
    return result


def added(left: Size, right: Size) -> Size:
    if left.keys == right.keys and left.keys:
        return formula(left.factor + right.factor, left.keys, left.offset + right.offset)
    if not right.keys:
        left, right = right, left
    if not left.keys:
        return (
            formula(right.factor, right.keys, right.offset + left.factor)
            if right.keys
            else Size(left.factor + right.factor)
        )
    return Size(1, (f"({left})+({right})",))


def subtracted(left: Size, right: Size) -> Size:
    if left.keys == right.keys and left.keys:
        rest = formula(left.factor - right.factor, left.keys, left.offset - right.offset)
        return rest if left.factor != right.factor else Size(left.offset - right.offset)
    if not right.keys:
        return added(left, Size(-right.factor))
    return Size(1, (f"({left})-({right})",))


def divided(left: Size, right: Size) -> Size:
    """Rounded toward zero, as int64 tensors are divided."""
    keys = list(left.keys)
    for key in right.keys:
        if key not in keys:
            return Size(1, (f"({left})/({right})",))
        keys.remove(key)
    exact = right.factor and not left.factor % right.factor
    if right.factor == 0 or left.offset or right.offset or (keys and not exact):
        return Size(1, (f"({left})/({right})",))
    return (
        formula(math.trunc(left.factor / right.factor), keys, 0)
        if keys
        else Size(math.trunc(left.factor / right.factor))
    )


def quotient(left: Size, right: Size) -> Size | None:
    """The size that multiplied by ``right`` gives ``left``; None where no formula is that."""
    found = divided(left, right)
    return found if product([found, right]) == left else None


ARITHMETIC: dict[str, Callable[[Size, Size], Size]] = {
    "Add": added,
    "Sub": subtracted,
    "Mul": lambda left, right: product([left, right]),
    "Div": divided,
}


def arithmetic(operator: str, left: Sizes, right: Sizes) -> Sizes | None:
    """Add, Sub, Mul or Div of two vectors, element by element; a single size goes with every element of the other."""
    operate = ARITHMETIC.get(operator)
    count = max(len(left.items), len(right.items))
    if operate is None or any(len(side.items) not in (1, count) for side in (left, right)):
        return None
    ours, theirs = (side.items * count if len(side.items) == 1 else side.items for side in (left, right))
    items = tuple(operate(a, b) for a, b in zip(ours, theirs, strict=True))
    return Sizes(items, scalar=left.scalar and right.scalar)
