"""Paddle operators in both dialects: attributes, named operands, and the two tables of definitions.

A legacy operator has named slots; a PIR operator has positions, to which a definition gives the same names. What is an
attribute in one dialect may be an operand in the other (a kernel size made by ``full_int_array``), and old operators
take optional tensors that override an attribute: :class:`Operands` reads both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facecvt.converters.errors import AttributeValueError
from facecvt.converters.formats.paddle_schema import dtype_of_number
from facecvt.parity_tests.oracle.registry import AttributeReader, OperatorTable
from facecvt.parity_tests.oracle.values import Value, is_float

# They choose a kernel, describe its quantisation, or belong to training.
PERFORMANCE_HINTS = (
    "use_mkldnn", "use_onednn", "use_cudnn", "use_gpudnn", "mkldnn_data_type", "onednn_data_type", "use_quantizer",
    "workspace_size_MB", "exhaustive_search", "force_fp32_output", "use_addto", "force_cpu", "place_type",
    "Scale_in", "Scale_out", "Scale_x", "Scale_y", "Scale_in_eltwise", "Scale_weights",
    "x_data_format", "y_data_format", "fuse_alpha", "fuse_beta", "fuse_brelu_threshold", "place",
)  # fmt: skip
# A fused step would change the result; an inference pass writes them, an export leaves them empty.
FUSIONS = (
    "fuse_relu", "fuse_brelu", "fuse_with_relu", "fuse_activation", "fuse_residual_connection",
    "fuse_relu_before_depthwise_conv",     "fused_reshape_X", "fused_reshape_Y", "fused_reshape_Out",
    "fused_transpose_X", "fused_transpose_Y", "fused_transpose_Out",
)  # fmt: skip


class PaddleAttributes(AttributeReader):
    """Attributes of one Paddle operator.

    Args:
        operator: operator type.
        node: operator name.
        attributes: as the record holds them.
        dialect: "legacy" or "pir".
        results: number of names in each output slot.
        dtype: what floating point numbers are computed in.
    """

    def __init__(
        self,
        operator: str,
        node: str,
        attributes: Mapping[str, Any],
        dialect: str,
        results: Mapping[str, int],
        dtype: np.dtype[Any],
    ) -> None:
        super().__init__(operator, node, attributes, PERFORMANCE_HINTS)
        self.dialect = dialect
        self.results = results
        self.dtype = dtype
        for name in FUSIONS:
            if self.raw(name):
                raise self.refuse(name, "an operator that an inference pass has fused; export the model without passes")

    def either(self, *names: str, default: Any = None) -> Any:
        """The first attribute of these that is written; dialects and versions differ in the name."""
        for name in names:
            if self.has(name):
                return self.raw(name)
        return default

    def integers(self, *names: str, default: Sequence[int] = ()) -> tuple[int, ...]:
        """A list of integers, or one integer as a list."""
        value = self.either(*names, default=default)
        return tuple(int(item) for item in value) if isinstance(value, (list, tuple)) else (int(value),)

    def channel_axis(self, *names: str) -> int:
        """1, or -1 where the layout has the channels last; AnyLayout means channels first."""
        names = names or ("data_format", "data_layout")
        layout = str(self.either(*names, default="NCHW"))
        if layout in ("NCHW", "NCDHW", "NCL", "NC", "NCW", "AnyLayout", "Undefined(AnyLayout)"):
            return 1
        if layout in ("NHWC", "NDHWC", "NLC", "NWC"):
            return -1
        written = next(name for name in names if self.has(name))
        raise self.refuse(written, "the oracle knows layouts with the channels on the second or the last axis")

    def element_type(self, *names: str) -> np.dtype[Any] | None:
        """An element type; floating point types are the oracle's own; None where none is asked for."""
        value = self.either(*names, default=-1)
        if isinstance(value, str):
            if value.startswith("Undefined"):
                return None
            return self.dtype if "float" in value else np.dtype(value)
        found = dtype_of_number(int(value)) if int(value) >= 0 else None
        return self.dtype if found is not None and is_float(np.empty(0, found)) else found


class Operands:
    """Operands of one operator by slot name.

    Args:
        slots: slot -> arrays; a slot that is not there, or empty, is absent.
    """

    def __init__(self, slots: Mapping[str, Sequence[Value]]) -> None:
        self._slots = slots

    def many(self, slot: str) -> list[Value]:
        """All arrays of a slot."""
        return list(self._slots.get(slot, ()))

    def maybe(self, slot: str) -> Value | None:
        """The one array of a slot, None where it is absent."""
        arrays = self._slots.get(slot, ())
        return arrays[0] if len(arrays) else None

    def one(self, slot: str) -> Value:
        """The one array of a slot.

        Raises:
            AttributeValueError: it is absent.
        """
        array = self.maybe(slot)
        if array is None:
            raise AttributeValueError(f"operand {slot} is missing")
        return array

    def integers(self, default: Sequence[int], tensor: str, listed: str = "") -> list[int]:
        """Integers that a tensor, or a list of tensors of one element, may give instead of an attribute."""
        parts = self.many(listed) if listed else []
        if parts:
            return [int(part.reshape(-1)[0]) for part in parts]
        many = self.many(tensor)
        if len(many) > 1:
            return [int(part.reshape(-1)[0]) for part in many]
        return [int(item) for item in many[0].reshape(-1)] if many else [int(item) for item in default]

    def number(self, default: float, tensor: str) -> float:
        """A number that a tensor may give instead of an attribute."""
        array = self.maybe(tensor)
        return float(default) if array is None else float(array.reshape(-1)[0])


PaddleCompute = Callable[[Operands], Sequence[Any]]
Build = Callable[[PaddleAttributes], PaddleCompute]


@dataclass(frozen=True)
class PaddleDefinition:
    """How the oracle computes a Paddle operator.

    Attributes:
        build: attributes -> computation; reads all attributes. A result is an array, or a list for a slot of several.
        operands: slot names; in PIR they name the positions.
        outputs: output slots in the order of the results; in PIR they name the positions. Others are not computed.
    """

    build: Build
    operands: tuple[str, ...]
    outputs: tuple[str, ...]


LEGACY_OPERATORS: OperatorTable[PaddleDefinition] = OperatorTable("Paddle (legacy)")
PIR_OPERATORS: OperatorTable[PaddleDefinition] = OperatorTable("Paddle (PIR)")


def paddle_operator(
    *both: str,
    legacy: Sequence[str] = (),
    pir: Sequence[str] = (),
    operands: Sequence[str] = ("X",),
    outputs: Sequence[str] = ("Out",),
) -> Callable[[Build], Build]:
    """Register a definition.

    Args:
        both: types under which both dialects hold it.
        legacy: further types of legacy programs.
        pir: further types of PIR programs.
        operands: slot names, in the order of the PIR operands.
        outputs: output slots, in the order of the PIR results.
    """

    def register(build: Build) -> Build:
        definition = PaddleDefinition(build, tuple(operands), tuple(outputs))
        LEGACY_OPERATORS.add((*both, *legacy), definition)
        PIR_OPERATORS.add((*both, *pir), definition)
        return build

    return register
