"""Fully connected layers and matrix products: Gemm and MatMul.

Reading. MXNet's FullyConnected holds its weight as (out, in) and by default flattens its input to two dimensions.
Paddle holds it as (in, out); it stays so (MatMul, or Gemm with transB 0), so that its bytes can be copied. ONNX's Gemm
is brought to alpha = beta = 1 and an untransposed first operand by nodes around it.

Writing. A product with a weight becomes nn.Linear, which holds (out, in); any other product is ``a @ b``. Sources:
MXNet 1.9.1 and Paddle 3.3.1 operator registrations, ONNX operator specification, torch.nn.Linear.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facecvt.converters.graph import Builder, NumpyArray, attribute, constant, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, to_torch
from facecvt.converters.ops.unchanged import unchanged
from facecvt.converters.ops.value_facts import known_rank, number_like
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp, SourceOp
from facecvt.converters.torch_code import TorchCode


def last_two_swapped(op: SourceOp, b: Builder, value: ir.Value) -> ir.Value:
    """The transpose of the last two axes; a weight stays a weight, under its name with ``/transposed``."""
    array = constant(value)
    if array is not None and array.ndim >= 2:
        swapped = np.ascontiguousarray(np.swapaxes(array, -1, -2))
        weight: ir.Value = b.const(swapped, None, f"{name_of(value)}/transposed")
        return weight
    found = known_rank(value)
    if found is None or found < 2:
        raise op.refuse(f"transposing {name_of(value)!r} needs at least 2 dimensions, and their number to be known")
    result: ir.Value = b.emit("Transpose", [value], perm=[*range(found - 2), found - 1, found - 2])
    return result


# ---- MXNet -----------------------------------------------------------------------------------------------------------


@from_mxnet("FullyConnected")
def fully_connected_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """y = x W^T + b with W (num_hidden, in); x flattened from axis 1 on unless ``flatten`` is false."""
    x, weight = op.inputs[0], op.inputs[1]
    op.integer("num_hidden")
    bias = None if op.boolean("no_bias", False) else op.inputs[2]
    if op.boolean("flatten", True):
        if known_rank(x) != 2:
            x = b.emit("Flatten", [x], axis=1)
        return b.emit("Gemm", [x, weight] if bias is None else [x, weight, bias], transB=1)
    product = b.emit("MatMul", [x, last_two_swapped(op, b, weight)])
    return product if bias is None else b.emit("Add", [product, bias])


@from_mxnet("dot", "batch_dot")
def dot_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """Product of matrices; ``dot`` contracts the last axis with the *first*, which is a MatMul up to two dimensions."""
    transposed = op.boolean("transpose_a", False), op.boolean("transpose_b", False)
    op.text("forward_stype", "None", allowed=("None", "default"))
    values = list(op.inputs)
    if op.op == "dot":
        second = known_rank(values[1])
        if second is None or second > 2:
            raise op.refuse("the second operand must be known to have at most 2 dimensions; give the input shapes")
        if transposed[0] and known_rank(values[0]) != 2:
            raise op.refuse("transpose_a needs a first operand that is known to have 2 dimensions")
    for index in range(2):
        if transposed[index]:
            if op.op == "batch_dot" and known_rank(values[index]) is None:
                values[index] = b.emit("Transpose", [values[index]], perm=[0, 2, 1])  # always three dimensions
            else:
                values[index] = last_two_swapped(op, b, values[index])
    return b.emit("MatMul", values)


@from_mxnet("_npi_matmul")
def numpy_matmul_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit("MatMul", op.inputs)


@from_mxnet("linalg_gemm2", "_linalg_gemm2")
def linalg_gemm2_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """alpha A B over the last two axes, each transposed in them where asked; the leading axes are equal."""
    if op.integer("axis", -2) != -2:
        raise op.refuse("only matrices in the last two axes, axis -2, are supported")
    values = [
        last_two_swapped(op, b, value) if op.boolean(key, False) else value
        for value, key in zip(op.inputs, ("transpose_a", "transpose_b"), strict=True)
    ]
    alpha, product = op.number("alpha", 1.0), b.emit("MatMul", values)
    return product if alpha == 1.0 else b.emit("Mul", [product, number_like(b, product, alpha)])


# ---- Paddle ----------------------------------------------------------------------------------------------------------


@from_paddle("mul")
def mul_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """Product of x as a matrix of its first ``x_num_col_dims`` axes by the rest, with the matrix y."""
    x, y = op.value("X", 0), op.value("Y", 1)
    columns = op.integer("x_num_col_dims", 1)
    if op.integer("y_num_col_dims", 1) != 1 or known_rank(y) != 2:
        raise op.refuse("only a second operand of 2 dimensions, y_num_col_dims 1, is supported")
    found = known_rank(x)
    if found is None or found < columns + 1:
        raise op.refuse(f"x_num_col_dims {columns} does not fit a first operand of {found} dimensions")
    if found > columns + 1:
        x = b.emit("Flatten", [x], axis=1) if columns == 1 else b.emit("Reshape", [x, b.const([*[0] * columns, -1])])
    return b.emit("MatMul", [x, y])


@from_paddle("bmm")
def bmm_from_paddle(op: PaddleOp, b: Builder) -> Any:
    return b.emit("MatMul", [op.value("X", 0), op.value("Y", 1)])


@from_paddle("matmul", "matmul_v2")
def matmul_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """x y, each transposed in its last two axes where asked; times alpha in the oldest form."""
    x, y = op.value("X", 0), op.value("Y", 1)
    oldest = op.op == "matmul" and not op.pir
    if oldest:
        keys = ("transpose_X", "transpose_Y")
    else:
        keys = ("transpose_x", "transpose_y") if op.pir else ("trans_x", "trans_y")
    if oldest and 1 in (known_rank(x), known_rank(y)):
        raise op.refuse("operands of one dimension are not supported in this form of the operator")
    alpha = op.number("alpha", 1.0) if oldest else 1.0
    x, y = (
        last_two_swapped(op, b, value) if op.boolean(key, False) and known_rank(value) != 1 else value
        for value, key in zip((x, y), keys, strict=True)
    )
    product = b.emit("MatMul", [x, y])
    return product if alpha == 1.0 else b.emit("Mul", [product, number_like(b, product, alpha)])


# ---- ONNX ------------------------------------------------------------------------------------------------------------


@from_onnx("MatMul")
def matmul_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b)


@from_onnx("Gemm")
def gemm_from_onnx(op: OnnxOp, b: Builder) -> Any:
    """alpha A B + beta C."""
    x, weight, added = op.value(0), op.value(1), op.input(2)
    alpha, beta = float(op.raw("alpha", 1.0)), float(op.raw("beta", 1.0))
    if op.raw("transA", 0):
        x = b.emit("Transpose", [x], perm=[1, 0])
    trans_b = int(op.raw("transB", 0))
    if added is not None and beta != 1.0:
        array = constant(added)
        if array is not None:
            added = b.const(array * array.dtype.type(beta), None)
        else:
            added = b.emit("Mul", [added, number_like(b, added, beta)])
    if alpha == 1.0:
        return b.emit("Gemm", [x, weight] if added is None else [x, weight, added], transB=trans_b)
    product = b.emit("Gemm", [x, weight], transB=trans_b)
    product = b.emit("Mul", [product, number_like(b, product, alpha)])
    return product if added is None else b.emit("Add", [product, added])


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


def stand_in(value: ir.Value, array: NumpyArray) -> ir.Value:
    """A weight in another form under the same name, for the layer that holds it; not part of the graph."""
    return ir.Value(name=value.name, const_value=ir.Tensor(np.ascontiguousarray(array), name=value.name))


@to_torch("Gemm")
def gemm_to_torch(node: ir.Node, t: TorchCode) -> None:
    x, weight = node.inputs[0], node.inputs[1]
    added = node.inputs[2] if len(node.inputs) > 2 else None
    transposed = bool(attribute(node, "transB", 0))
    matrix, bias = constant(weight), constant(added)
    if matrix is None or weight is None or (added is not None and bias is None):
        product = f"{t.arg(x)} @ {t.arg(weight)}" + (".T" if transposed else "")
        t.assign(node.outputs[0], product if added is None else f"{product} + {t.arg(added)}")
        return
    out_features = matrix.shape[0] if transposed else matrix.shape[1]
    if bias is not None and (bias.size not in (1, out_features) or (bias.ndim and bias.shape[-1] != bias.size)):
        t.assign(node.outputs[0], f"{linear(node, t, weight, None)}({t.arg(x)}) + {t.arg(added)}")
        return
    t.assign(node.outputs[0], f"{linear(node, t, weight, added)}({t.arg(x)})")


@to_torch("MatMul")
def matmul_to_torch(node: ir.Node, t: TorchCode) -> None:
    x, weight = node.inputs
    matrix = constant(weight)
    if matrix is None or weight is None or matrix.ndim != 2 or constant(x) is not None:
        t.assign(node.outputs[0], f"{t.arg(x)} @ {t.arg(weight)}")
        return
    t.assign(node.outputs[0], f"{linear(node, t, weight, None)}({t.arg(x)})")


def linear(node: ir.Node, t: TorchCode, weight: ir.Value, added: ir.Value | None) -> str:
    """Declare nn.Linear; its weight is (out, in), so a weight that is used untransposed is turned."""
    transposed = node.op_type == "Gemm" and bool(attribute(node, "transB", 0))
    matrix, bias = constant(weight), constant(added)
    assert matrix is not None
    if not transposed:
        weight, matrix = stand_in(weight, matrix.T), matrix.T
    if added is not None and bias is not None and bias.shape != (matrix.shape[0],):
        added = stand_in(added, np.broadcast_to(bias.reshape(-1), (matrix.shape[0],)))
    options = "" if added is not None else ", bias=False"
    constructor = f"nn.Linear({matrix.shape[1]}, {matrix.shape[0]}{options})"
    return t.module(node, constructor, {"weight": weight, "bias": added})
