"""Paddle: arithmetic of two arrays, matrix products, reductions.

A legacy elementwise operator has an ``axis``: the axis of the longer operand at which the shorter one's shape begins;
-1 aligns the last axes. Source: ``paddle/phi/kernels/funcs/{elementwise_base,common_shape}.h`` of Paddle 3.3.1; the
tests hold each against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle.kernels_shape import extreme_index, leading
from facecvt.parity_tests.oracle.paddle_attributes import Operands, PaddleAttributes, PaddleCompute, paddle_operator
from facecvt.parity_tests.oracle.values import Value


def divide(x: Value, y: Value) -> Value:
    """The quotient; that of whole numbers is cut off towards zero."""
    if x.dtype.kind not in "iu":
        return np.divide(x, y)
    quotient: Value = (np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y))).astype(x.dtype)
    return quotient


# operation -> (function, legacy types, PIR types)
BINARY: dict[str, tuple[Callable[[Any, Any], Any], tuple[str, ...], tuple[str, ...]]] = {
    "add": (np.add, ("elementwise_add",), ("add",)),
    "subtract": (np.subtract, ("elementwise_sub",), ("subtract",)),
    "multiply": (np.multiply, ("elementwise_mul",), ("multiply",)),
    "divide": (divide, ("elementwise_div",), ("divide",)),
    "maximum": (np.maximum, ("elementwise_max",), ("maximum",)),
    "minimum": (np.minimum, ("elementwise_min",), ("minimum",)),
    "power": (np.power, ("elementwise_pow",), ("elementwise_pow",)),
    "modulo": (np.mod, ("elementwise_mod",), ("remainder",)),
    "floor_divide": (np.floor_divide, ("elementwise_floordiv",), ("floor_divide",)),
}
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less_than": np.less,
    "less_equal": np.less_equal,
    "greater_than": np.greater,
    "greater_equal": np.greater_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}


def aligned(x: Value, y: Value, axis: int) -> tuple[Value, Value]:
    """Both operands with shapes that broadcast, the shorter one beginning at ``axis`` of the longer one."""
    if axis == -1 or x.ndim == y.ndim:
        return x, y
    long, short = (x, y) if x.ndim > y.ndim else (y, x)
    shape = list(short.shape)
    while len(shape) + axis > long.ndim and shape[-1] == 1:  # trailing ones may reach beyond
        shape.pop()
    short = short.reshape([1] * axis + shape + [1] * (long.ndim - axis - len(shape)))
    return (long, short) if x.ndim > y.ndim else (short, long)


def _define_binary(function: Callable[[Any, Any], Any], legacy: Sequence[str], pir: Sequence[str]) -> None:
    @paddle_operator(legacy=legacy, pir=pir, operands=("X", "Y"))
    def define(attributes: PaddleAttributes) -> PaddleCompute:
        axis = int(attributes.raw("axis", -1))
        return lambda x: [function(*aligned(x.one("X"), x.one("Y"), axis))]


for _function, _legacy, _pir in BINARY.values():
    _define_binary(_function, _legacy, _pir)
for _name, _function in COMPARISONS.items():
    _define_binary(_function, (_name,), (_name,))


@paddle_operator(legacy=("sum",), pir=("add_n",))
def define_sum_of_arrays(attributes: PaddleAttributes) -> PaddleCompute:
    """Sum of any number of arrays."""
    return lambda x: [sum(x.many("X")[1:], start=x.many("X")[0])]


def _swapped(x: Value, swap: bool) -> Value:
    return x.swapaxes(-1, -2) if swap and x.ndim > 1 else x


@paddle_operator(legacy=("matmul", "matmul_v2"), pir=("matmul",), operands=("X", "Y"))
def define_matrix_product(attributes: PaddleAttributes) -> PaddleCompute:
    """As numpy's matmul, operands transposed before where asked, times alpha in the oldest form."""
    left = bool(attributes.either("trans_x", "transpose_X", "transpose_x", default=False))
    right = bool(attributes.either("trans_y", "transpose_Y", "transpose_y", default=False))
    alpha = float(attributes.raw("alpha", 1.0))
    if int(attributes.raw("head_number", 1)) != 1:
        raise attributes.refuse("head_number", "the oracle computes one head")

    def compute(x: Operands) -> Sequence[Any]:
        y = _swapped(x.one("X"), left) @ _swapped(x.one("Y"), right)
        return [y if alpha == 1.0 else y * alpha]

    return compute


@paddle_operator("bmm", operands=("X", "Y"))
def define_batched_product(attributes: PaddleAttributes) -> PaddleCompute:
    """Matrix product of each pair in a batch."""
    return lambda x: [x.one("X") @ x.one("Y")]


@paddle_operator(legacy=("mul",), operands=("X", "Y"))
def define_flattened_product(attributes: PaddleAttributes) -> PaddleCompute:
    """Both operands flattened to matrices at x_num_col_dims and y_num_col_dims (1), then multiplied."""
    left, right = int(attributes.raw("x_num_col_dims", 1)), int(attributes.raw("y_num_col_dims", 1))

    def compute(x: Operands) -> Sequence[Any]:
        a, b = x.one("X"), x.one("Y")
        y = a.reshape(math.prod(a.shape[:left]), -1) @ b.reshape(math.prod(b.shape[:right]), -1)
        return [y.reshape(a.shape[:left] + b.shape[right:])]

    return compute


@paddle_operator("addmm", operands=("Input", "X", "Y"))
def define_add_product(attributes: PaddleAttributes) -> PaddleCompute:
    """beta * input + alpha * x @ y."""
    alpha = float(attributes.either("Alpha", "alpha", default=1.0))
    beta = float(attributes.either("Beta", "beta", default=1.0))
    return lambda x: [beta * x.one("Input") + alpha * (x.one("X") @ x.one("Y"))]


def _log_sum_exp(x: Value, axis: tuple[int, ...], keepdims: bool) -> Value:
    top = x.max(axis=axis, keepdims=True)
    total = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return np.asarray(total if keepdims else np.squeeze(total, axis=axis))


REDUCTIONS: dict[str, tuple[Callable[..., Any], tuple[str, ...], tuple[str, ...]]] = {
    "sum": (np.sum, ("reduce_sum",), ("sum",)),
    "mean": (np.mean, ("reduce_mean", "mean"), ("mean",)),
    "max": (np.max, ("reduce_max",), ("max",)),
    "min": (np.min, ("reduce_min",), ("min",)),
    "prod": (np.prod, ("reduce_prod",), ("prod",)),
    "any": (np.any, ("reduce_any",), ("any",)),
    "all": (np.all, ("reduce_all",), ("all",)),
    "logsumexp": (_log_sum_exp, ("logsumexp",), ("logsumexp",)),
}


def _define_reduction(function: Callable[..., Any], legacy: Sequence[str], pir: Sequence[str]) -> None:
    @paddle_operator(legacy=legacy, pir=pir, operands=("X", "Axes"))
    def define(attributes: PaddleAttributes) -> PaddleCompute:
        # A legacy reduce without a written dim reduces axis 0; "mean" and PIR without axes reduce everything.
        default = (0,) if attributes.operator.startswith("reduce_") else ()
        axes = attributes.integers("dim", "axis", default=default)
        keep = bool(attributes.either("keep_dim", "keepdim", default=False))
        everything = bool(attributes.raw("reduce_all", False))
        wanted = attributes.element_type("out_dtype", "dtype")
        attributes.ignore("in_dtype")

        def compute(x: Operands) -> Sequence[Any]:
            data = x.one("X")
            chosen = x.integers(axes, "Axes")
            over = tuple(range(data.ndim)) if everything or not chosen else tuple(axis % data.ndim for axis in chosen)
            y = np.asarray(function(data, axis=over, keepdims=keep))
            return [y.astype(wanted) if wanted is not None else y]

        return compute


for _reduce, _legacy, _pir in REDUCTIONS.values():
    _define_reduction(_reduce, _legacy, _pir)


def _define_extreme(legacy: str, pir: str, smallest: bool) -> None:
    @paddle_operator(legacy=(legacy,), pir=(pir,), operands=("X", "Axis"))
    def define(attributes: PaddleAttributes) -> PaddleCompute:
        axis, keep = int(attributes.raw("axis", -1)), bool(attributes.raw("keepdims", False))
        flat = bool(attributes.raw("flatten", False))
        wanted = attributes.element_type("dtype") or np.dtype(np.int64)

        def compute(x: Operands) -> Sequence[Any]:
            data = x.one("X")
            if flat:
                index = extreme_index(data.reshape(-1), 0, False, smallest=smallest)
                index = index.reshape((1,) * data.ndim) if keep else index
            else:
                index = extreme_index(data, int(x.number(axis, "Axis")), keep, smallest=smallest)
            return [index.astype(wanted)]

        return compute


_define_extreme("arg_max", "argmax", False)
_define_extreme("arg_min", "argmin", True)


@paddle_operator(legacy=("top_k", "top_k_v2"), pir=("topk",), operands=("X", "K"), outputs=("Out", "Indices"))
def define_top_k(attributes: PaddleAttributes) -> PaddleCompute:
    """The k greatest (or smallest) along an axis in order, and their indices; of equals the first."""
    count, axis = int(attributes.raw("k", 1)), int(attributes.raw("axis", -1))
    largest = bool(attributes.raw("largest", True))
    attributes.ignore("sorted")

    def compute(x: Operands) -> Sequence[Any]:
        return leading(x.one("X"), int(x.number(count, "K")), axis, largest=largest)

    return compute


@paddle_operator("cumsum", operands=("X", "Axis"))
def define_cumulative_sum(attributes: PaddleAttributes) -> PaddleCompute:
    """Along an axis or flattened; exclusive leaves the element itself out, reverse sums from the end."""
    axis, flat = int(attributes.raw("axis", -1)), bool(attributes.raw("flatten", False))
    exclusive, backwards = bool(attributes.raw("exclusive", False)), bool(attributes.raw("reverse", False))

    def compute(x: Operands) -> Sequence[Any]:
        along = 0 if flat else int(x.number(axis, "Axis"))
        data = x.one("X").reshape(-1) if flat else x.one("X")
        data = np.flip(data, along) if backwards else data
        y = np.cumsum(data, axis=along)
        y = y - data if exclusive else y
        return [np.flip(y, along) if backwards else y]

    return compute
