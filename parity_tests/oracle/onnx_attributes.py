"""ONNX operators: attributes with the standard's defaults, the opset they are read under, the table of definitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle.registry import AttributeReader, OperatorTable
from facecvt.parity_tests.oracle.values import Compute, Value


class OnnxAttributes(AttributeReader):
    """Attributes of one ONNX node.

    Args:
        operator: operator type, with its domain where that is not ONNX's own.
        node: node name, or its first output where it has none.
        attributes: name -> int, float, str, list of these, or array.
        opset: version of the operator's domain.
        results: number of outputs that the node has.
        dtype: what floating point numbers are computed in.
    """

    def __init__(
        self,
        operator: str,
        node: str,
        attributes: Mapping[str, Any],
        opset: int,
        results: int,
        dtype: np.dtype[Any],
    ) -> None:
        super().__init__(operator, node, attributes)
        self.opset = opset
        self.results = results
        self.dtype = dtype

    def integer(self, name: str, default: int) -> int:
        """An integer."""
        return int(self.raw(name, default))

    def number(self, name: str, default: float) -> float:
        """A floating point number."""
        return float(self.raw(name, default))

    def integers(self, name: str) -> tuple[int, ...] | None:
        """A list of integers, None where it is absent."""
        value = self.raw(name)
        return None if value is None else tuple(int(item) for item in value)

    def element_type(self, name: str) -> np.dtype[Any]:
        """An element type by its number; floating point types are the oracle's own.

        Raises:
            AttributeValueError: a type that is not numeric.
        """
        import onnx

        number = int(self.required(name))
        if number in (1, 10, 11, 16):  # float, float16, double, bfloat16
            return self.dtype
        found = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(number))
        if found.kind not in "iub":
            raise self.refuse(name, "the oracle casts between numbers and booleans")
        return found


OnnxBuild = Callable[[OnnxAttributes], Compute]
ONNX_OPERATORS: OperatorTable[OnnxBuild] = OperatorTable("ONNX")


def onnx_operator(*names: str) -> Callable[[OnnxBuild], OnnxBuild]:
    """Register a definition under an operator's names."""

    def register(build: OnnxBuild) -> OnnxBuild:
        ONNX_OPERATORS.add(names, build)
        return build

    return register


def define_plain(name: str, compute: Callable[..., Any]) -> None:
    """Register an operator without attributes whose one result is a function of all its operands."""
    ONNX_OPERATORS.add((name,), lambda attributes: lambda x: [compute(*x)])


def operand(x: Sequence[Value | None], index: int) -> Value | None:
    """An operand, None where the node leaves it out."""
    return x[index] if index < len(x) else None


def operand_integers(x: Sequence[Value | None], index: int) -> tuple[int, ...] | None:
    """An operand as integers, None where the node leaves it out."""
    array = operand(x, index)
    return None if array is None else tuple(int(item) for item in array.reshape(-1))
