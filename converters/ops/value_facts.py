"""What a rule can know of a value while the graph grows: element type and rank, from records or from its producers.

Readers give types and shapes to graph inputs, weights and (Paddle, PIR) declared variables. For the values in between
the answer follows from the producing nodes; it is None where it does not.
"""

from __future__ import annotations

import numpy as np

from facecvt.converters.graph import Builder, attribute, constant, rank
from facecvt.converters.onnx_ir_lazy import ir

TRUTH = ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Not", "And", "Or")
INT64_RESULTS = ("Shape", "Size", "ArgMax", "ArgMin", "NonZero", "NonMaxSuppression")
SAME_RANK = frozenset(
    """
    Relu LeakyRelu PRelu Sigmoid Tanh Softmax LogSoftmax HardSigmoid HardSwish Clip Elu Selu Gelu Softplus Exp Log
    Sqrt Abs Neg Reciprocal Floor Ceil Erf Identity Dropout Cast BatchNormalization InstanceNormalization
    LpNormalization LayerNormalization LRN GlobalAveragePool GlobalMaxPool Concat Pad Slice Tile Resize Softsign Mish
    Sign Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh Round
    """.split()  # noqa: SIM905 - a word list reads better than 40 quoted lines
)
BROADCASTING = frozenset(("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mod"))


def element_type(value: ir.Value | None) -> ir.DataType | None:
    """The value's element type, through its producers where it is not recorded."""
    while value is not None:
        if value.dtype is not None:
            return value.dtype
        if value.const_value is not None:
            return value.const_value.dtype
        node = value.producer()
        if node is None:
            return None
        if node.op_type == "Cast":
            return ir.DataType(attribute(node, "to"))
        if node.op_type in TRUTH:
            return ir.DataType.BOOL
        if node.op_type in INT64_RESULTS or (node.op_type == "TopK" and value is node.outputs[1]):
            return ir.DataType.INT64
        value = node.inputs[1 if node.op_type == "Where" else 0] if node.inputs else None
    return None


def is_integer(value: ir.Value | None) -> bool:
    """Whether the value is known to hold whole numbers."""
    found = element_type(value)
    return found is not None and found.is_integer()


def known_rank(value: ir.Value | None) -> int | None:
    """The value's number of dimensions, through its producers where no shape is recorded."""
    while value is not None:
        if value.shape is not None:
            return rank(value)
        node = value.producer()
        if node is None:
            return None
        if node.op_type in ("Gemm", "Flatten"):
            return 2
        if node.op_type in ("Shape", "NonZero"):
            return 1 if node.op_type == "Shape" else 2
        if node.op_type in ("Conv", "ConvTranspose"):  # a kernel has as many dimensions as what it runs over
            value = node.inputs[1]
            continue
        if node.op_type in ("MaxPool", "AveragePool"):
            return 2 + len(attribute(node, "kernel_shape"))
        if node.op_type == "Reshape":
            shape = constant(node.inputs[1])
            return None if shape is None else int(shape.size)
        if node.op_type == "Transpose" and attribute(node, "perm") is not None:
            return len(attribute(node, "perm"))
        if node.op_type in ("Unsqueeze", "Squeeze") and len(node.inputs) > 1:
            axes, inner = constant(node.inputs[1]), known_rank(node.inputs[0])
            if axes is None or inner is None:
                return None
            return inner + (int(axes.size) if node.op_type == "Unsqueeze" else -int(axes.size))
        if node.op_type in BROADCASTING:
            ranks = [known_rank(operand) for operand in node.inputs]
            return None if any(found is None for found in ranks) else max(found for found in ranks if found is not None)
        if node.op_type not in SAME_RANK and node.op_type not in ("Transpose", "Split"):
            return None
        value = node.inputs[0]
    return None


def number_like(b: Builder, value: ir.Value, number: float) -> ir.Value:
    """A scalar constant of the value's element type; float32 where that is not known."""
    found = element_type(value)
    dtype = np.dtype(np.float32) if found is None else found.numpy()
    if dtype.kind in "iu" and number != int(number):
        raise ValueError(f"{number} is not a whole number, but {value.name!r} holds {dtype}")
    result: ir.Value = b.const(int(number) if dtype.kind in "iu" else number, dtype)
    return result
