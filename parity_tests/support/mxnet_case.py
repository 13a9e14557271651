"""What a case of mxnet_cases.py is: one node of MXNet. Attributes are written as a symbol file holds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One node: operator, operands by name and shape, attributes.

    Attributes:
        op: operator.
        operands: shape of each input; those named moving_mean and moving_var are auxiliary states, label is not fed.
        attrs: attributes; MXNet is given their text.
        single: MXNet computes it in float32 only, or wrongly in float64.
        values: range of the operands.
        outputs: number of results.
        integers: operands that hold small whole numbers.
        whole: operands that MXNet is given as int32.
        halved: these are divided by two and moved to both sides of zero.
    """

    op: str
    operands: dict[str, Shape]
    attrs: dict[str, object] = field(default_factory=dict)
    single: bool = False
    values: tuple[float, float] = (-2.0, 2.0)
    outputs: int = 1
    integers: tuple[str, ...] = ()
    halved: bool = False
    whole: tuple[str, ...] = ()

    def __str__(self) -> str:
        written = ",".join(f"{key}={value}" for key, value in self.attrs.items())
        return f"{self.op}-{'-'.join('x'.join(map(str, s)) for s in self.operands.values())}-{written}"


def data(*shape: int) -> dict[str, Shape]:
    """One operand."""
    return {"data": shape}


def pair(left: Shape, right: Shape) -> dict[str, Shape]:
    """Two operands."""
    return {"lhs": left, "rhs": right}


def conv(x: Shape, w: Shape, bias: bool = True, **attrs: Any) -> Case:
    """A convolution."""
    operands = {"data": x, "weight": w} | ({"bias": (w[0],)} if bias else {})
    if not bias:
        attrs["no_bias"] = "True"
    return Case("Convolution", operands, {"kernel": w[2:], "num_filter": w[0], **attrs})


def deconv(x: Shape, w: Shape, bias: bool = False, **attrs: Any) -> Case:
    """A transposed convolution."""
    groups = attrs.get("num_group", 1)
    filters = w[1] * groups
    operands = {"data": x, "weight": w} | ({"bias": (filters,)} if bias else {})
    if bias:
        attrs["no_bias"] = "False"
    return Case("Deconvolution", operands, {"kernel": w[2:], "num_filter": filters, **attrs})


def batch_norm(shape: Shape, channels: int, op: str = "BatchNorm", outputs: int = 1, **attrs: Any) -> Case:
    """A batch normalisation with its statistics."""
    vector = (channels,)
    operands = {"data": shape, "gamma": vector, "beta": vector, "moving_mean": vector, "moving_var": vector}
    return Case(op, operands, attrs, outputs=outputs, single=True)
