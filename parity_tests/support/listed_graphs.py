"""Canonical graphs of reference architectures, made from their listings in the spellings that sources have for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from facecvt.converters.graph import Builder, Graph, NumpyArray
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.reference_models.layers import Layer
from facecvt.reference_models.spec import ArchitectureSpec

Attributes = dict[str, Any]
Edit = Callable[[Layer, Attributes], Attributes]
Spelling = Callable[[Builder, ir.Value], Any]
BATCH_NORM_ROLES = ("scale", "shift", "mean", "variance")


def length_by_reduce(b: Builder, x: ir.Value) -> Any:
    length = b.emit("ReduceL2", [x, b.const([1])], keepdims=1)
    guarded = b.emit("Clip", [length, b.const(1e-12, np.float32)])
    return b.emit("Div", [x, b.emit("Expand", [guarded, b.emit("Shape", [x])])])


def length_by_sum(b: Builder, x: ir.Value) -> Any:
    squares = b.emit("ReduceSum", [b.emit("Mul", [x, x]), b.const([1])], keepdims=1)
    root = b.emit("Sqrt", [b.emit("Add", [squares, b.const(1e-10, np.float32)])])
    return b.emit("Div", [x, root])


NORMALIZE: dict[str, Spelling] = {
    "lp": lambda b, x: b.emit("LpNormalization", [x], axis=1, p=2),
    "reduce": length_by_reduce,
    "sum": length_by_sum,
}


def column_by_sum(b: Builder, x: ir.Value) -> Any:
    squares = b.emit("ReduceSum", [b.emit("Pow", [x, b.const(2.0, np.float32)]), b.const([-1])], keepdims=0)
    return b.emit("Unsqueeze", [b.emit("Sqrt", [squares]), b.const([1])])


LENGTH: dict[str, Spelling] = {
    "lp": lambda b, x: b.emit("ReduceL2", [x, b.const([1])], keepdims=1),
    "reduce": lambda b, x: b.emit("Sqrt", [b.emit("ReduceSumSquare", [x, b.const([1])], keepdims=1)]),
    "sum": column_by_sum,
}
FLATTEN: dict[str, Spelling] = {
    "flatten": lambda b, x: b.emit("Flatten", [x], axis=1),
    "reshape": lambda b, x: b.emit("Reshape", [x, b.const([0, -1])]),
    "squeeze": lambda b, x: b.emit("Squeeze", [x, b.const([2, 3])]),
}


def emit_gemm(b: Builder, x: ir.Value, weight: NumpyArray, bias: NumpyArray | None, how: str) -> Any:
    """The fully connected layer in one of its spellings."""
    if bias is None:
        if how == "matmul":
            return b.emit("MatMul", [x, b.const(weight.T, None)])
        return b.emit("Gemm", [x, b.const(weight, None)], transB=1)
    if how == "matmul":
        return b.emit("Add", [b.const(bias, None), b.emit("MatMul", [x, b.const(weight.T, None)])])
    if how == "untransposed":
        return b.emit("Gemm", [x, b.const(weight.T, None), b.const(bias, None)])
    if how == "added":
        return b.emit("Add", [b.emit("Gemm", [x, b.const(weight, None)], transB=1), b.const(bias, None)])
    return b.emit("Gemm", [x, b.const(weight, None), b.const(bias, None)], transB=1)


def untouched(layer: Layer, attributes: Attributes) -> Attributes:
    """The attributes as the listing has them."""
    return attributes


def changed(layer_name: str, **changes: Any) -> Edit:
    """An edit of one layer's attributes."""
    return lambda layer, attributes: attributes | (changes if layer.name == layer_name else {})


def graph_of(
    arch: ArchitectureSpec,
    *,
    arrays: Mapping[str, NumpyArray] | None = None,
    preprocessing: bool = False,
    noise: bool = False,
    slope: str = "C11",
    gemm: str = "gemm",
    flatten: str = "flatten",
    normalize: str = "lp",
    swap: bool = False,
    edit: Edit = untouched,
) -> Graph:
    """A canonical graph of an architecture, built from its listing, with names that say nothing.

    Args:
        arch: the architecture, for 112x112 images.
        arrays: weights by canonical name; zeros where there are none, since recognition looks at shapes.
        preprocessing: True puts arithmetic in front.
        noise: True puts an Identity behind every layer and a Dropout in front of a fully connected one.
        slope: shape of slopes, "C11", "1C11" or "C".
        gemm: how the fully connected layer is spelled, see emit_gemm.
        flatten: a key of FLATTEN.
        normalize: a key of NORMALIZE and LENGTH.
        swap: True turns the inputs of sums and products round.
        edit: changes the attributes of layers.
    """
    b = Builder("onnx", "made")
    x = b.input("picture", ["n", 3, 112, 112], ir.DataType.FLOAT)
    values: dict[str, Any] = {}
    if preprocessing:
        b.begin("", "p")
        x = b.emit("Mul", [b.emit("Sub", [x, b.const(127.5, np.float32)]), b.const(0.0078125, np.float32)])
    values["input"] = x
    for index, layer in enumerate(arch.layers()):
        b.begin("?", f"n{index}")
        weights = {p.role: (arrays[p.name] if arrays else np.zeros(p.shape, np.float32)) for p in layer.parameters}
        inputs = [values[name] for name in layer.inputs]
        if layer.op == "Conv":
            attributes = edit(layer, {"dilations": (1, 1)} | dict(layer.attributes))
            y = b.emit("Conv", [inputs[0], b.const(weights["weight"], None)], **attributes)
        elif layer.op == "BatchNormalization":
            if not layer.attributes.get("affine", True):
                ones = np.ones_like(weights["mean"])
                weights |= {"scale": ones, "shift": 0 * ones}
            y = b.emit(layer.op, [inputs[0], *(b.const(weights[r], None) for r in BATCH_NORM_ROLES)], epsilon=2e-5)
        elif layer.op == "PRelu":
            shape = {"C11": (-1, 1, 1), "1C11": (1, -1, 1, 1), "C": (-1,)}[slope]
            y = b.emit("PRelu", [inputs[0], b.const(weights["slope"].reshape(shape), None)])
        elif layer.op in ("Add", "Mul"):
            y = b.emit(layer.op, inputs[::-1] if swap else inputs)
        elif layer.op == "MaxPool":
            y = b.emit("MaxPool", [inputs[0]], **edit(layer, dict(layer.attributes)))
        elif layer.op == "GlobalAveragePool" and swap:
            y = b.emit("ReduceMean", [inputs[0], b.const([2, -1])], keepdims=1)
        elif layer.op in ("GlobalAveragePool", "Relu", "Sigmoid"):
            y = b.emit(layer.op, [inputs[0]])
        elif layer.op == "ReduceL2":
            y = LENGTH[normalize](b, inputs[0])
        elif layer.op == "Flatten":
            y = FLATTEN[flatten](b, inputs[0])
        elif layer.op == "Gemm":
            y = b.emit("Dropout", [inputs[0]]) if noise else inputs[0]
            y = emit_gemm(b, y, weights["weight"], weights.get("bias"), gemm)
        else:
            y = NORMALIZE[normalize](b, inputs[0])
        values[layer.name] = b.emit("Identity", [y]) if noise else y
    fed = {name for layer in arch.layers() for name in layer.inputs}
    for layer in arch.layers():
        if layer.name not in fed:
            b.output(values[layer.name], f"out_{layer.name}")
    return b.graph
