"""How many dimensions a value has, deduced from what computes it where its shape is not written down.

An MXNet symbol and an ONNX graph hold no shapes of computed values. Rules that differ by rank (a PReLU slope, axes of a
normalisation) walk back to something that fixes the rank: a convolution's kernel, a Flatten, a Reshape's target.
"""

from __future__ import annotations

from facecvt.converters.graph import attribute, constant, rank
from facecvt.converters.onnx_ir_lazy import ir

TWO_DIMENSIONAL = frozenset(("Gemm", "Flatten"))
BY_WEIGHT = frozenset(("Conv", "ConvTranspose"))
BY_KERNEL = frozenset(("MaxPool", "AveragePool"))
AS_FIRST_INPUT = frozenset(
    """
    Relu LeakyRelu PRelu Elu Selu Celu Gelu Sigmoid HardSigmoid HardSwish Mish Tanh Softplus Softsign Clip
    ThresholdedRelu Softmax LogSoftmax BatchNormalization InstanceNormalization LayerNormalization
    GroupNormalization LpNormalization LRN GlobalAveragePool GlobalMaxPool Identity Dropout Cast Abs Neg Exp Log Sqrt
    Reciprocal Erf Floor Ceil Round Sign Not Pad Slice Resize CumSum Tile DepthToSpace SpaceToDepth
    """.split()  # noqa: SIM905 - a word list reads better than 40 quoted lines
)
AS_WIDEST_INPUT = frozenset(
    "Add Sub Mul Div Pow Max Min Where MatMul Concat Sum Mean Equal Greater Less And Or Mod".split()  # noqa: SIM905
)


def deduced_rank(value: ir.Value | None) -> int | None:
    """Number of dimensions of a value, None where it cannot be told."""
    return None if value is None else _rank(value, {})


def _rank(value: ir.Value, known: dict[int, int | None]) -> int | None:
    if id(value) not in known:
        known[id(value)] = None  # a cycle cannot occur in a graph; this only bounds the work
        declared = rank(value)
        known[id(value)] = _rank_of_result(value.producer(), known) if declared is None else declared
    return known[id(value)]


def _rank_of_result(node: ir.Node | None, known: dict[int, int | None]) -> int | None:
    if node is None or not node.inputs:
        return None
    inputs = [value for value in node.inputs if value is not None]
    operator = node.op_type
    if operator in TWO_DIMENSIONAL:
        return 2
    if operator in BY_WEIGHT:
        return _rank(inputs[1], known)
    if operator in BY_KERNEL:
        return 2 + len(attribute(node, "kernel_shape"))
    if operator == "Transpose":
        order = attribute(node, "perm")
        return _rank(inputs[0], known) if order is None else len(order)
    if operator == "Reshape":
        return None if (target := constant(inputs[1])) is None else int(target.size)
    if operator in ("Squeeze", "Unsqueeze"):
        before, axes = _rank(inputs[0], known), constant(inputs[1]) if len(inputs) > 1 else None
        if before is None or axes is None:
            return None
        return before + int(axes.size) * (1 if operator == "Unsqueeze" else -1)
    if operator.startswith("Reduce"):
        return _rank(inputs[0], known) if attribute(node, "keepdims", 1) else None
    if operator in AS_FIRST_INPUT or operator in ("Split", "TopK"):
        return _rank(inputs[0], known)
    if operator in AS_WIDEST_INPUT:
        ranks = [_rank(item, known) for item in inputs]
        return None if None in ranks else max(item for item in ranks if item is not None)
    return None
