"""MXNet's operator attributes: strings, typed by the operator that reads them, with defaults where they are absent.

Booleans are written True, False, 1 or 0; tuples (3, 3), (3,3), (3,), [3, 3] or (); an absent optional value None;
files made under Python 2 may hold 3L.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle.registry import AttributeReader, OperatorTable
from facecvt.parity_tests.oracle.values import Compute

# They choose an implementation, tune it or calibrate a quantised one; none changes what is computed. num_args repeats
# the number of inputs.
PERFORMANCE_HINTS = (
    "workspace",
    "cudnn_tune",
    "cudnn_off",
    "mkldnn_off",
    "num_args",
    "min_calib_range",
    "max_calib_range",
    "cudnn_algo_verbose",
    "cudnn_tensor_core_only",
)
FLOAT_NAMES = ("float16", "float32", "float64", "bfloat16")


class MxnetAttributes(AttributeReader):
    """Attributes of one MXNet node.

    Args:
        operator: operator name.
        node: node name.
        attributes: as in the file, all strings.
        operands: number of inputs that the node has.
        dtype: what floating point numbers are computed in.
    """

    def __init__(
        self, operator: str, node: str, attributes: Mapping[str, str], operands: int, dtype: np.dtype[Any]
    ) -> None:
        super().__init__(operator, node, attributes, PERFORMANCE_HINTS)
        self.operands = operands
        self.dtype = dtype

    def _text(self, name: str) -> str | None:
        value = self.raw(name)
        return None if value is None or str(value).strip() == "None" else str(value).strip()

    def text(self, name: str, default: str) -> str:
        """A string."""
        value = self._text(name)
        return default if value is None else value

    def flag(self, name: str, default: bool) -> bool:
        """A boolean."""
        value = self._text(name)
        if value is None:
            return default
        if value.lower() in ("true", "1"):
            return True
        if value.lower() in ("false", "0"):
            return False
        raise self.refuse(name, "expected True, False, 1 or 0")

    def number(self, name: str, default: float | None = None) -> float:
        """A floating point number; without a default it must be written."""
        value = self._text(name)
        if value is None:
            if default is None:
                raise self.refuse(name, "a number is required")
            return default
        try:
            return float(value)
        except ValueError:
            raise self.refuse(name, "expected a number") from None

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer; without a default it must be written."""
        value = self.optional_integer(name)
        if value is None:
            if default is None:
                raise self.refuse(name, "an integer is required")
            return default
        return value

    def optional_integer(self, name: str) -> int | None:
        """An integer or None."""
        value = self._text(name)
        if value is None:
            return None
        try:
            return int(value.rstrip("L"))
        except ValueError:
            raise self.refuse(name, "expected an integer") from None

    def optional_integers(self, name: str) -> tuple[int | None, ...]:
        """A tuple whose elements may be None; () when it is absent."""
        value = self._text(name)
        if value is None:
            return ()
        try:
            parsed = ast.literal_eval(re.sub(r"(\d)L", r"\1", value))
        except (ValueError, SyntaxError):
            raise self.refuse(name, "expected integers such as (3, 3)") from None
        listed = tuple(parsed) if isinstance(parsed, (tuple, list)) else (parsed,)
        if not all(item is None or isinstance(item, int) for item in listed):
            raise self.refuse(name, "expected integers such as (3, 3)")
        return listed

    def integers(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """A tuple of integers."""
        listed = self.optional_integers(name)
        if None in listed:
            raise self.refuse(name, "expected integers such as (3, 3)")
        return tuple(item for item in listed if item is not None) if listed else default

    def steps(self, name: str, rank: int) -> tuple[int, ...]:
        """A stride or dilation for each axis; absent, () and (0, 0) all mean 1."""
        listed = self.integers(name) or (1,) * rank
        if len(listed) != rank:
            raise self.refuse(name, f"expected {rank} values")
        return tuple(step or 1 for step in listed)

    def channels_first(self) -> None:
        """Check that a layout attribute, if any, has the channels on axis 1."""
        layout = self.text("layout", "NC")
        if not layout.startswith("NC"):
            raise self.refuse("layout", "MXNet computes it on no CPU; only layouts that begin with NC are known")

    def result_dtype(self, name: str) -> np.dtype[Any] | None:
        """A requested element type: floating point types are the oracle's own; None when it is absent."""
        value = self._text(name)
        if value is None:
            return None
        return self.dtype if value in FLOAT_NAMES else np.dtype(value)


@dataclass(frozen=True)
class MxnetDefinition:
    """How the oracle computes an MXNet operator.

    Attributes:
        build: attributes -> computation; reads all attributes.
        operands: how many leading inputs are used at inference (labels come behind them); None means all.
        suffixes: suffixes of the results' names, as a function of the attributes.
    """

    build: Callable[[MxnetAttributes], Compute]
    operands: int | None
    suffixes: Callable[[MxnetAttributes], tuple[str, ...]]


MXNET_OPERATORS: OperatorTable[MxnetDefinition] = OperatorTable("MXNet")

Build = Callable[[MxnetAttributes], Compute]


def mxnet_operator(
    *names: str,
    operands: int | None = None,
    suffixes: Callable[[MxnetAttributes], tuple[str, ...]] = lambda attributes: ("output",),
) -> Callable[[Build], Build]:
    """Register a definition under an operator's names."""

    def register(build: Build) -> Build:
        MXNET_OPERATORS.add(names, MxnetDefinition(build, operands, suffixes))
        return build

    return register


def define_elementwise(names: Collection[str], compute: Callable[..., Any]) -> None:
    """Register an operator without attributes whose one result is a function of all its operands."""
    MXNET_OPERATORS.add(
        names, MxnetDefinition(lambda attributes: lambda x: [compute(*x)], None, lambda attributes: ("output",))
    )
