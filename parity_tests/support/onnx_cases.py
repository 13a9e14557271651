"""One node of every ONNX operator of the oracle, over attributes and opsets: the table that the tests hold elsewhere.

An operand is a shape, filled with random numbers, an array, or None where it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Operand = tuple[int, ...] | np.ndarray[Any, Any] | None
X = (2, 6, 7, 9)


@dataclass(frozen=True)
class Case:
    """One node.

    Attributes:
        op: operator.
        operands: what it reads.
        attrs: attributes.
        opset: version under which it is read.
        outputs: number of results.
        low, high: range of the random numbers.
    """

    op: str
    operands: tuple[Operand, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    opset: int = 13
    outputs: int = 1
    low: float = -2.0
    high: float = 2.0

    def __str__(self) -> str:
        shown = [
            "none" if o is None else "x".join(map(str, o)) if isinstance(o, tuple) else f"{o.tolist()}"
            for o in self.operands
        ]
        written = ",".join(f"{key}={value}" for key, value in self.attrs.items())
        return f"{self.op}-{self.opset}-{'-'.join(shown)}-{written}"


def ints(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.int64)


def flags(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=bool)


def scales(*values: float) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.float32)


def convolutions() -> Iterator[Case]:
    x = (2, 4, 9, 8)
    yield Case("Conv", (x, (6, 4, 3, 3)))
    yield Case("Conv", (x, (6, 4, 3, 3), (6,)), {"kernel_shape": [3, 3], "pads": [1, 2, 0, 3], "strides": [2, 1]})
    yield Case("Conv", (x, (6, 2, 3, 2)), {"group": 2, "dilations": [2, 1]})
    yield Case("Conv", (x, (8, 1, 3, 3)), {"group": 4, "pads": [1, 1, 1, 1]}, opset=7)
    yield Case("Conv", (x, (6, 4, 1, 1)), {"strides": [2, 2]})
    yield Case("Conv", ((2, 4, 11), (6, 4, 3)), {"strides": [2], "pads": [1, 1]}, opset=21)
    yield Case("Conv", ((1, 2, 5, 6, 7), (3, 2, 2, 3, 2)))
    for rule in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        yield Case("Conv", (x, (6, 4, 4, 3)), {"auto_pad": rule, "strides": [2, 3]})
        yield Case("ConvTranspose", ((1, 2, 4, 5), (2, 3, 3, 3)), {"auto_pad": rule, "strides": [2, 2]})
        for op in ("MaxPool", "AveragePool"):
            yield Case(op, (x,), {"auto_pad": rule, "kernel_shape": [3, 2], "strides": [2, 2]})
    yield Case("ConvTranspose", ((1, 4, 4, 5), (4, 3, 3, 3), (3,)), {"strides": [2, 2], "pads": [1, 0, 0, 1]})
    yield Case("ConvTranspose", ((1, 4, 4, 5), (4, 2, 3, 3)), {"group": 2, "strides": [2, 2], "output_padding": [1, 1]})
    yield Case("ConvTranspose", ((1, 4, 4, 5), (4, 2, 3, 3)), {"dilations": [2, 2]})
    yield Case("ConvTranspose", ((1, 2, 4, 5), (2, 3, 3, 3)), {"strides": [2, 2], "output_shape": [8, 10]})
    yield Case("ConvTranspose", ((1, 4, 5), (4, 3, 4)), {"strides": [2], "pads": [1, 1]}, opset=11)
    for op in ("MaxPool", "AveragePool", "LpPool"):
        opset = 18 if op == "LpPool" else 13
        yield Case(op, (x,), {"kernel_shape": [2, 2]}, opset)
        yield Case(op, (x,), {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}, opset)
    for op in ("MaxPool", "AveragePool"):
        yield Case(op, (x,), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, 19)
        yield Case(op, (x,), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}, 19)
        yield Case(op, (x,), {"kernel_shape": [3, 2], "dilations": [2, 3]}, 19)
        yield Case(op, ((1, 2, 6, 6),), {"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1}, 19)
        yield Case(op, ((1, 3, 9),), {"kernel_shape": [3], "strides": [2]}, 7)
    padded = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 0, 1], "count_include_pad": 1}
    yield Case("AveragePool", (x,), padded)
    yield Case("AveragePool", (x,), padded | {"ceil_mode": 1}, 19)
    yield Case("GlobalAveragePool", (x,))
    yield Case("GlobalMaxPool", (x,))
    yield Case("Gemm", ((3, 4), (4, 5), (5,)))
    yield Case("Gemm", ((4, 3), (5, 4), (3, 1)), {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0}, 9)
    yield Case("Gemm", ((3, 4), (4, 5)), {"alpha": 0.25}, 11)
    yield Case("MatMul", ((2, 3, 4), (4, 5)))
    yield Case("MatMul", ((4,), (2, 4, 3)))
    yield Case("Einsum", ((2, 3, 4), (2, 4, 5)), {"equation": "bij,bjk->bik"})


def normalisations() -> Iterator[Case]:
    vector, positive = (6,), np.linspace(0.3, 2.0, 6)
    for opset in (7, 9, 13, 14, 15):
        yield Case("BatchNormalization", (X, vector, vector, vector, positive), {"epsilon": 1e-3}, opset)
    yield Case("BatchNormalization", ((3, 6), vector, vector, vector, positive))
    for opset in (7, 8):
        whole = (2, 3, 1)
        variance = positive.reshape(whole)
        yield Case("BatchNormalization", ((4, 2, 3, 1), whole, whole, whole, variance), {"spatial": 0}, opset)
    yield Case("InstanceNormalization", (X, vector, vector), {"epsilon": 1e-2})
    yield Case("GroupNormalization", (X, (3,), (3,)), {"num_groups": 3}, 18)
    yield Case("GroupNormalization", (X, vector, vector), {"num_groups": 2, "epsilon": 1e-2}, 21)
    yield Case("LayerNormalization", (X, (9,), (9,)), {}, 17)
    yield Case("LayerNormalization", (X, (7, 9)), {"axis": 2, "epsilon": 1e-2}, 17, outputs=3)
    for axis, power in ((-1, 2), (1, 2), (1, 1)):
        yield Case("LpNormalization", (X,), {"axis": axis, "p": power})
    yield Case("LRN", (X,), {"size": 3})
    yield Case("LRN", (X,), {"size": 5, "alpha": 0.3, "beta": 0.5, "bias": 1.5})
    for op in ("Softmax", "LogSoftmax", "Hardmax"):
        for opset in (7, 11, 12, 13):
            yield Case(op, ((2, 3, 4),), {}, opset)
            yield Case(op, ((2, 3, 4),), {"axis": 2}, opset)
            yield Case(op, ((2, 3, 4),), {"axis": 0}, opset)
    for opset in (7, 10, 13):
        yield Case("Dropout", (X,), {}, opset)


def elementwise() -> Iterator[Case]:
    two = ((3, 1, 4), (2, 1))
    for op in ("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sum", "Mean"):
        yield Case(op, two, low=0.3)
    for op in ("Add", "Sub", "Mul", "Div", "Min", "Max"):
        yield Case(op, (ints(7, -7, 5), ints(2, 2, -3)))
    for op in ("Min", "Max", "Sum", "Mean"):
        yield Case(op, ((2, 3), (3,), (1, 3)))
    yield Case("Mod", (ints(7, -7, 5), ints(3, 3, -3)))
    yield Case("Mod", (two[0], two[1]), {"fmod": 1}, low=0.3)
    for op in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"):
        yield Case(op, (ints(1, 2, 3), ints(2, 2, 2)))
        yield Case(op, ((3, 4), (4,)), opset=16)
    for op in ("And", "Or", "Xor"):
        yield Case(op, (flags(0, 0, 1, 1), flags(0, 1, 0, 1)))
    yield Case("Not", (flags(0, 1),))
    yield Case("Where", (flags(0, 1, 0), (2, 3), (3,)))
    for slope in ((1,), (6, 1, 1), (1, 6, 1, 1), (9,), X):
        yield Case("PRelu", (X, slope))
    yield Case("PRelu", ((3, 4), (4,)), opset=7)
    for op in (
        "Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Exp", "Abs", "Neg", "Reciprocal", "Sign", "Floor",
        "Ceil", "Round", "Erf", "Sin", "Cos", "Tan", "Atan", "Sinh", "Cosh", "Asinh", "IsNaN", "Identity", "LeakyRelu",
        "ThresholdedRelu", "HardSigmoid", "Elu", "Celu", "Selu", "Shrink",
    ):  # fmt: skip
        yield Case(op, ((3, 4),))
    yield Case("Mish", ((3, 4),), opset=18)
    yield Case("HardSwish", ((3, 4),), opset=14, low=-5, high=5)
    for op in ("Sqrt", "Log"):
        yield Case(op, ((3, 4),), low=0.1)
    for op in ("Asin", "Acos", "Atanh"):
        yield Case(op, ((3, 4),), low=-0.9, high=0.9)
    yield Case("Acosh", ((3, 4),), low=1.1, high=3)
    yield Case("LeakyRelu", (X,), {"alpha": 0.25}, 7)
    yield Case("ThresholdedRelu", (X,), {"alpha": 0.5})
    yield Case("HardSigmoid", (X,), {"alpha": 0.25, "beta": 0.75})
    for op in ("Elu", "Celu"):
        yield Case(op, (X,), {"alpha": 0.5})
    yield Case("Selu", (X,), {"alpha": 1.5, "gamma": 1.25})
    yield Case("Shrink", (X,), {"lambd": 1.0, "bias": 0.5})
    yield Case("Gelu", ((3, 4),), {}, 20)
    yield Case("Gelu", ((3, 4),), {"approximate": "tanh"}, 20)
    yield Case("Clip", (X,), {"min": -0.5, "max": 1.0}, 7)
    yield Case("Clip", (X,), {}, 9)
    yield Case("Clip", (X, np.array(-0.5), np.array(1.0)))
    yield Case("Clip", (X, None, np.array(1.0)))
    yield Case("Clip", (X, np.array(-0.5)))
    for target in (1, 6, 7, 9, 11):
        yield Case("Cast", (X,), {"to": target})
    yield Case("Cast", (ints(1, 0, 3),), {"to": 11})
    yield Case("CastLike", (X, ints(1)), opset=15)


def shaping() -> Iterator[Case]:
    yield Case("Reshape", ((2, 6, 4), ints(0, -1, 8)))
    yield Case("Reshape", ((2, 6, 4), ints(4, 12)), {"allowzero": 1}, 14)
    for axis in (0, 1, 2, 3, -1):
        yield Case("Flatten", ((2, 3, 4),), {"axis": axis}, 11)
    yield Case("Transpose", ((2, 3, 4),))
    yield Case("Transpose", ((2, 3, 4),), {"perm": [2, 0, 1]})
    yield Case("Squeeze", ((2, 1, 3, 1),))
    yield Case("Squeeze", ((2, 1, 3, 1), ints(1, -1)))
    yield Case("Squeeze", ((2, 1, 3, 1),), {"axes": [1, 3]}, 11)
    yield Case("Unsqueeze", ((2, 3), ints(0, -1)))
    yield Case("Unsqueeze", ((2, 3),), {"axes": [1, 2]}, 7)
    yield Case("Concat", ((2, 3), (2, 4)), {"axis": 1})
    yield Case("Concat", ((2, 3), (2, 4)), {"axis": -1}, 11)
    yield Case("Split", ((2, 6),), {"axis": 1}, outputs=3)
    yield Case("Split", ((2, 6), ints(1, 2, 3)), {"axis": 1}, outputs=3)
    yield Case("Split", ((2, 6),), {"axis": 1, "split": [4, 2]}, 11, outputs=2)
    yield Case("Split", ((2, 7),), {"axis": 1, "num_outputs": 3}, 18, outputs=3)
    yield Case("Slice", ((4, 6, 5),), {"starts": [1, -3], "ends": [3, 100], "axes": [0, 2]}, 9)
    yield Case("Slice", ((4, 6, 5),), {"starts": [1], "ends": [3]}, 7)
    yield Case("Slice", ((4, 6, 5), ints(1, -3), ints(3, 100), ints(0, -1)), {}, 10)
    yield Case("Slice", ((4, 6, 5), ints(3, 5), ints(-10, 0), ints(0, 1), ints(-1, -2)))
    yield Case("Slice", ((4, 6), ints(0, 1), ints(4, 6)))
    yield Case("Slice", ((4, 6), ints(0), ints(6), ints(1), ints(4)))
    yield Case("Gather", ((4, 5), np.array([[0, -1], [2, 1]])))
    yield Case("Gather", ((4, 5), np.array(2)), {"axis": 1})
    yield Case("GatherElements", ((3, 4), np.array([[0, -1], [2, 1], [3, 0]])), {"axis": 1})
    yield Case("GatherND", ((3, 4, 2), np.array([[0, 1], [2, 3]])))
    places = np.array([[2, 0, 1], [0, 2, 0]])
    yield Case("ScatterElements", ((3, 5), places, (2, 3)), {}, 11)
    yield Case("ScatterElements", ((2, 5), places, (2, 3)), {"axis": 1}, 18)
    random = np.random.default_rng(0)
    low, sides = random.uniform(0, 6, (2, 20, 2)), random.uniform(0.5, 3, (2, 20, 2))
    boxes, centred = np.concatenate([low, low + sides], axis=-1), np.concatenate([low, sides], axis=-1)
    limits = (ints(4), scales(0.3), scales(0.2))
    scores = random.uniform(0, 1, (2, 3, 20)).astype(np.float32)
    yield Case("NonMaxSuppression", (boxes.astype(np.float32), scores, *limits), {}, 10)
    yield Case("NonMaxSuppression", (boxes[..., [2, 1, 0, 3]].astype(np.float32), scores, *limits[:2]), {}, 11)
    yield Case("NonMaxSuppression", (centred.astype(np.float32), scores, *limits), {"center_point_box": 1}, 11)
    yield Case("Compress", ((3, 4), flags(0, 1, 1)), {"axis": 0}, 11)
    yield Case("Compress", ((3, 4), flags(0, 1, 0, 0, 1)), {}, 11)
    yield Case("NonZero", (np.array([[1, 0], [2, 3]]),))
    yield Case("Expand", ((3, 1), ints(2, 1, 4)))
    yield Case("Tile", ((2, 3), ints(2, 3)))
    for mode in ("constant", "edge", "reflect"):
        yield Case("Pad", ((3, 4), ints(1, 2, 0, 1)), {"mode": mode})
    yield Case("Pad", ((3, 4), ints(1, 0, 0, 1), np.array(1.5)))
    yield Case("Pad", ((3, 4), ints(0, -1, 1, -1)))
    yield Case("Pad", ((3, 4),), {"pads": [1, 0, 0, 2], "value": 0.5}, 7)
    yield Case("Pad", ((2, 3, 4), ints(1, 2), np.array(0.5), ints(-1)), {}, 18)
    yield Case("Pad", ((3, 4), ints(1, 2, 0, 1)), {"mode": "wrap"}, 19)
    for mode in ("DCR", "CRD"):
        yield Case("DepthToSpace", ((2, 8, 3, 4),), {"blocksize": 2, "mode": mode})
    yield Case("SpaceToDepth", ((2, 3, 6, 4),), {"blocksize": 2})
    yield Case("Trilu", ((4, 5),), {}, 14)
    yield Case("Trilu", ((4, 5), np.array(1)), {"upper": 0}, 14)
    yield Case("Shape", (X,))
    yield Case("Shape", (X,), {"start": 1, "end": -1}, 15)
    yield Case("Size", (X,))
    yield Case("Constant", (), {"value": np.array([1.5, 2.0])})
    yield Case("Constant", (), {"value_ints": [1, 2]})
    yield Case("Constant", (), {"value_floats": [1.5, 2.5]})
    yield Case("ConstantOfShape", (ints(2, 3),))
    yield Case("ConstantOfShape", (ints(2, 3),), {"value": np.array([5], dtype=np.int64)})
    yield Case("Range", (np.array(2), np.array(9), np.array(3)))
    yield Case("Range", (np.array(1.0), np.array(2.0), np.array(0.25)))


def reductions() -> Iterator[Case]:
    for op in (
        "ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare",
        "ReduceLogSum", "ReduceLogSumExp",
    ):  # fmt: skip
        yield Case(op, ((2, 3, 4),), {"axes": [0, -1], "keepdims": 0}, 11, low=0.5)
        yield Case(op, ((2, 3, 4),), {}, 11, low=0.5)
        yield Case(op, ((2, 3, 4), ints(1)), {"keepdims": 1}, 18, low=0.5)
        yield Case(op, ((2, 3, 4),), {"noop_with_empty_axes": 1} if op == "ReduceSum" else {}, 18, low=0.5)
    yield Case("ReduceMean", (ints(1, 2, 5),), {"keepdims": 0}, 13)
    yield Case("ReduceSum", (ints(1, 2, 5),))
    for op in ("ArgMax", "ArgMin"):
        yield Case(op, ((3, 4),))
        yield Case(op, ((3, 4),), {"axis": 1, "keepdims": 0})
        yield Case(op, (np.array([[1, 3, 3, 1]]),), {"axis": 1, "select_last_index": 1})
    yield Case("TopK", ((3, 6), ints(2)), {}, 11, outputs=2)
    yield Case("TopK", ((6, 3), ints(2)), {"axis": 0, "largest": 0}, 11, outputs=2)
    yield Case("TopK", ((3, 6),), {"k": 3}, 9, outputs=2)
    yield Case("TopK", (np.array([[3, 1, 3, 2]]), ints(3)), {}, 11, outputs=2)
    for attrs in ({}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}):
        yield Case("CumSum", ((3, 4), np.array(1)), attrs)


def resampling() -> Iterator[Case]:
    x = (1, 2, 4, 5)
    for mode in ("nearest", "linear"):
        yield Case("Upsample", (x,), {"mode": mode, "scales": [1.0, 1.0, 2.0, 3.0]}, 7)
        yield Case("Upsample", (x, scales(1, 1, 2, 2)), {"mode": mode}, 9)
        yield Case("Resize", (x, scales(1, 1, 2, 1.5)), {"mode": mode}, 10)
        yield Case("Resize", (x, scales(1, 1, 0.5, 0.6)), {"mode": mode}, 10)
        for rule in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
            for opset in (11, 13):
                attrs: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": rule}
                empty = scales() if opset == 11 else None
                yield Case("Resize", (x, empty, scales(1, 1, 2, 2)), attrs, opset)
                yield Case("Resize", (x, empty, empty, ints(1, 2, 7, 3)), attrs, opset)
        yield Case("Resize", (x, None, scales(1, 1, 2.5, 0.5)), {"mode": mode}, 18)
        yield Case("Resize", (x, None, scales(2.5, 0.5)), {"mode": mode, "axes": [2, 3]}, 18)
        symmetric = {"mode": mode, "coordinate_transformation_mode": "half_pixel_symmetric"}
        yield Case("Resize", (x, None, scales(1, 1, 2.3, 0.7)), symmetric, 19)
        for policy in ("not_larger", "not_smaller"):
            attrs = {"mode": mode, "axes": [2, 3], "keep_aspect_ratio_policy": policy}
            yield Case("Resize", (x, None, None, ints(7, 8)), attrs, 18)
        crop = {"mode": mode, "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 10.0}
        yield Case("Resize", (x, scales(0, 0, 0.4, 0.6, 1, 1, 1.2, 0.9), None, ints(1, 2, 3, 3)), crop, 13)
    for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
        for rule in ("half_pixel", "asymmetric", "align_corners"):
            attrs = {"nearest_mode": rounding, "coordinate_transformation_mode": rule}
            yield Case("Resize", (x, None, None, ints(1, 2, 7, 8)), attrs)
    attrs = {"coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor"}
    yield Case("Resize", (x, scales(), scales(), ints(1, 2, 7, 8)), attrs, 11)
    yield Case("Resize", ((1, 1, 8, 9), None, scales(1, 1, 0.5, 0.4)), {"mode": "linear", "antialias": 1}, 18)


CASES: list[Case] = [
    *convolutions(), *normalisations(), *elementwise(), *shaping(), *reductions(), *resampling(),
]  # fmt: skip
