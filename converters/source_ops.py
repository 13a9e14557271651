"""What a ``from_*`` rule sees of a source node: its inputs as canonical values, its attributes with types.

Attributes are read strictly. A performance hint is ignored; an attribute whose neutral value changes nothing must have
that value; every other attribute that the rule did not read is an error, because it may change the numbers.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any, overload

from facecvt.converters.errors import AttributeValueError, WeightsError
from facecvt.converters.graph import NumpyArray, constant
from facecvt.converters.onnx_ir_lazy import ir

MXNET_HINTS = frozenset(
    """
    cudnn_off mkldnn_off onednn_off cudnn_tune workspace cudnn_algo_verbose cudnn_algo_fwd
    cudnn_algo_bwd_data cudnn_algo_bwd_filter cudnn_algo_fwd_prec cudnn_algo_bwd_prec momentum lr_mult
    wd_mult ctx_group force_mirroring num_args
    """.split()  # noqa: SIM905 - a word list reads better than 20 quoted lines
)
PADDLE_HINTS = frozenset(
    """
    op_role op_role_var op_namescope op_device op_callstack with_quant_attr use_cudnn use_mkldnn
    use_onednn use_quantizer mkldnn_data_type workspace_size_MB exhaustive_search use_addto is_test
    stop_gradient persistable x_data_format y_data_format force_fp32_output momentum
    trainable_statistics op_legacy_attrs struct_name sub_block Scale_in_eltwise fuse_alpha fuse_beta
    fuse_brelu_threshold name
    """.split()  # noqa: SIM905 - a word list reads better than 20 quoted lines
)
PADDLE_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "fuse_relu": (False,),
    "fuse_brelu": (False,),
    "fuse_relu_before_depthwise_conv": (False,),
    "fuse_residual_connection": (False,),
    "fuse_with_relu": (False,),
    "fuse_activation": ("",),
    "Scale_in": (1.0,),
    "Scale_out": (1.0,),
    "Scale_x": (1.0,),
    "Scale_y": (1.0,),
    "Scale_weights": ([1.0],),
    "fused_reshape_X": ([],),
    "fused_reshape_Y": ([],),
    "fused_reshape_Out": ([],),
    "fused_transpose_X": ([],),
    "fused_transpose_Y": ([],),
    "fused_transpose_Out": ([],),
    "head_number": (1,),
}

REQUIRED: Any = object()


class SourceOp:
    """A source node as its rule sees it.

    Attributes:
        framework: "mxnet", "paddle" or "onnx".
        op: operator name.
        name: node name.
    """

    framework = ""

    def __init__(self, op: str, name: str, attrs: Mapping[str, Any]) -> None:
        self.op = op
        self.name = name
        self._attrs = attrs
        self._read: set[str] = set()

    def raw(self, key: str, default: Any = REQUIRED) -> Any:
        """The attribute as its format gives it."""
        self._read.add(key)
        if key in self._attrs:
            return self._attrs[key]
        if default is REQUIRED:
            raise AttributeValueError(f"{self.op} {self.name!r}: attribute {key!r} is required and missing")
        return default

    def has(self, key: str) -> bool:
        """Whether the source wrote this attribute; does not count as reading it."""
        return key in self._attrs

    def refuse(self, message: str) -> AttributeValueError:
        """The error to raise for something this rule cannot honour."""
        return AttributeValueError(f"{self.op} {self.name!r}: {message}")

    def check_all_read(self) -> None:
        """Raise for an attribute that is neither known to be harmless nor was read by the rule."""
        for key, value in self._attrs.items():
            if key in self._read or self._is_harmless(key, value):
                continue
            raise AttributeValueError(
                f"{self.op} {self.name!r}: attribute {key!r} = {value!r} is not known for this operator and may change "
                "its result. Remove it from the model if it has no meaning, or report the operator."
            )

    def _is_harmless(self, key: str, value: Any) -> bool:
        raise NotImplementedError

    def weight(self, value: ir.Value | None, what: str) -> NumpyArray:
        """The array of an input that must be a weight or constant."""
        array = constant(value)
        if array is None:
            raise WeightsError(f"{self.op} {self.name!r}: {what} must be a weight, but is computed or missing")
        return array


class MxnetOp(SourceOp):
    """An MXNet node; attribute values are strings in the file (``"(3, 3)"``, ``"True"``, ``"1e-05"``, ``"None"``).

    Attributes:
        inputs: canonical values in the node's input order.
    """

    framework = "mxnet"

    def __init__(self, op: str, name: str, attrs: Mapping[str, str], inputs: Sequence[ir.Value]) -> None:
        super().__init__(op, name, attrs)
        self.inputs = list(inputs)

    def _is_harmless(self, key: str, value: Any) -> bool:
        return key in MXNET_HINTS or (key.startswith("__") and key.endswith("__"))

    def _literal(self, key: str, text: str) -> Any:
        try:
            return ast.literal_eval(re.sub(r"(?<=\d)L\b", "", text.strip()))
        except (ValueError, SyntaxError) as error:
            raise self.refuse(f"attribute {key!r} = {text!r} is not a number, boolean or tuple") from error

    @overload
    def ints(self, key: str) -> list[int]: ...
    @overload
    def ints(self, key: str, default: None) -> list[int] | None: ...
    @overload
    def ints(self, key: str, default: Sequence[int]) -> list[int]: ...
    def ints(self, key: str, default: Sequence[int] | None = REQUIRED) -> list[int] | None:
        """A tuple of ints; ``None`` entries of a tuple are not allowed here (see :meth:`raw`)."""
        text = self.raw(key, default)
        if text is None or text == "None":
            return None
        if not isinstance(text, str):
            return list(text)
        value = self._literal(key, text)
        values = [value] if isinstance(value, (int, float)) else list(value)
        if any(not isinstance(item, int) for item in values):
            raise self.refuse(f"attribute {key!r} = {text!r}: expected whole numbers")
        return [int(item) for item in values]

    def integer(self, key: str, default: int = REQUIRED) -> int:
        text = self.raw(key, default)
        value = self._literal(key, text) if isinstance(text, str) else text
        if not isinstance(value, int):
            raise self.refuse(f"attribute {key!r} = {text!r}: expected a whole number")
        return int(value)

    def number(self, key: str, default: float = REQUIRED) -> float:
        text = self.raw(key, default)
        if isinstance(text, str):
            try:
                return float(text)
            except ValueError as error:
                raise self.refuse(f"attribute {key!r} = {text!r}: expected a number") from error
        return float(text)

    def boolean(self, key: str, default: bool = REQUIRED) -> bool:
        text = self.raw(key, default)
        if isinstance(text, str):
            truth = {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower())
            if truth is None:
                raise self.refuse(f"attribute {key!r} = {text!r}: expected True or False")
            return truth
        return bool(text)

    def text(self, key: str, default: str = REQUIRED, *, allowed: Sequence[str] | None = None) -> str:
        """A word; where ``allowed`` is given any other is refused."""
        value = str(self.raw(key, default))
        if allowed is not None and value not in allowed:
            raise self.refuse(f"attribute {key!r} = {value!r}: expected one of {', '.join(allowed)}")
        return value


class PaddleOp(SourceOp):
    """A Paddle node of either dialect: slots by name in a legacy program, operands by position in PIR.

    Attributes:
        pir: True for a PIR program.
        inputs: slot (or position as text) -> canonical values.
    """

    framework = "paddle"

    def __init__(
        self, op: str, name: str, attrs: Mapping[str, Any], inputs: Mapping[str, Sequence[ir.Value]], *, pir: bool
    ) -> None:
        super().__init__(op, name, attrs)
        self.inputs = inputs
        self.pir = pir

    def _is_harmless(self, key: str, value: Any) -> bool:
        return key in PADDLE_HINTS or (key in PADDLE_NEUTRAL and value in PADDLE_NEUTRAL[key])

    def many(self, slot: str, position: int) -> list[ir.Value]:
        """All values of an input: the slot's name in legacy programs, its position in PIR."""
        return list(self.inputs.get(str(position) if self.pir else slot, ()))

    def optional(self, slot: str | None, position: int | None) -> ir.Value | None:
        """The value of an input that may be absent; None for a slot (or position) that this dialect does not have."""
        key = (None if position is None else str(position)) if self.pir else slot
        values = [] if key is None else list(self.inputs.get(key, ()))
        return values[0] if values else None

    def value(self, slot: str, position: int) -> ir.Value:
        """The value of an input that must be there."""
        found = self.optional(slot, position)
        if found is None:
            raise self.refuse(f"input {slot!r} is missing")
        return found

    def ints(self, key: str, default: Sequence[int] = REQUIRED, *, operand: int | None = None) -> list[int]:
        """Ints from an attribute, or in PIR from a constant operand at this position."""
        if self.pir and operand is not None and key not in self._attrs:
            given = self.optional(None, operand)
            if given is not None:
                return [int(item) for item in self.weight(given, key).reshape(-1)]
        value = self.raw(key, default)
        return [int(item) for item in value] if isinstance(value, (list, tuple)) else [int(value)]

    def integer(self, key: str, default: int = REQUIRED) -> int:
        return int(self.raw(key, default))

    def number(self, key: str, default: float = REQUIRED, *, operand: int | None = None) -> float:
        """A number from an attribute, or in PIR from a constant operand at this position."""
        if self.pir and operand is not None and key not in self._attrs:
            given = self.optional(None, operand)
            if given is not None:
                return float(self.weight(given, key).reshape(-1)[0])
        return float(self.raw(key, default))

    def boolean(self, key: str, default: bool = REQUIRED) -> bool:
        return bool(self.raw(key, default))

    def text(self, key: str, default: str = REQUIRED, *, allowed: Sequence[str] | None = None) -> str:
        value = str(self.raw(key, default))
        if allowed is not None and value not in allowed:
            raise self.refuse(f"attribute {key!r} = {value!r}: expected one of {', '.join(allowed)}")
        return value


class OnnxOp(SourceOp):
    """An ONNX node of any opset.

    Attributes:
        opset: version of the model's default operator set.
        inputs: canonical values, None for an optional input that is left out.
        output_count: how many outputs the node lists.
    """

    framework = "onnx"

    def __init__(
        self,
        op: str,
        name: str,
        attrs: Mapping[str, Any],
        inputs: Sequence[ir.Value | None],
        *,
        opset: int,
        output_count: int,
    ) -> None:
        super().__init__(op, name, attrs)
        self.inputs = list(inputs)
        self.opset = opset
        self.output_count = output_count

    def _is_harmless(self, key: str, value: Any) -> bool:
        return False

    def input(self, index: int) -> ir.Value | None:
        """An input, None where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def value(self, index: int) -> ir.Value:
        """An input that must be there."""
        found = self.input(index)
        if found is None:
            raise self.refuse(f"input {index} is missing")
        return found

    def ints_or_input(self, key: str, index: int) -> list[int] | None:
        """Ints that are an attribute in old opsets and a constant input in new ones; None where absent."""
        if key in self._attrs:
            return [int(item) for item in self.raw(key)]
        given = self.input(index)
        return None if given is None else [int(item) for item in self.weight(given, key).reshape(-1)]
