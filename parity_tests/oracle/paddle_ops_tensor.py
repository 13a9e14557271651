"""Paddle: constants, shapes as data, indices, resampling.

Paddle computes the coordinates of a resampling in float32. For the nearest element so does the oracle, because at a
rounding edge they choose the element; a linear interpolation has its exact coordinates.
Source: ``paddle/phi/kernels/cpu/interpolate_kernel.cc`` and others of Paddle 3.3.1; the tests hold each against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle.kernels_resize import linear_axis, nearest_axis
from facecvt.parity_tests.oracle.paddle_attributes import Operands, PaddleAttributes, PaddleCompute, paddle_operator
from facecvt.parity_tests.oracle.values import Value


@paddle_operator(legacy=("fill_constant",), operands=("ShapeTensor", "ShapeTensorList", "ValueTensor"))
def define_fill_constant(attributes: PaddleAttributes) -> PaddleCompute:
    """shape filled with str_value where it is written, else value."""
    shape, text = attributes.integers("shape", default=()), str(attributes.raw("str_value", ""))
    value, dtype = attributes.raw("value", 0.0), attributes.element_type("dtype") or attributes.dtype
    number = (float(text) if dtype.kind == "f" or not text.lstrip("-").isdigit() else int(text)) if text else value
    return lambda x: [
        np.full(
            x.integers(shape, "ShapeTensor", "ShapeTensorList"), _filling(x.maybe("ValueTensor"), number), dtype=dtype
        )
    ]


def _filling(tensor: Value | None, number: Any) -> Any:
    return number if tensor is None else tensor.reshape(-1)[0]


@paddle_operator(pir=("full", "full_int_array"), operands=())
def define_full(attributes: PaddleAttributes) -> PaddleCompute:
    """shape filled with one value, or a vector of the given values."""
    value, dtype = attributes.required("value"), attributes.element_type("dtype") or attributes.dtype
    if isinstance(value, (list, tuple)):
        return lambda x: [np.array(value, dtype=dtype)]
    shape = attributes.integers("shape", default=())
    return lambda x: [np.full(shape, value, dtype=dtype)]


@paddle_operator(pir=("full_with_tensor",), operands=("Value", "Shape"))
def define_full_with_tensor(attributes: PaddleAttributes) -> PaddleCompute:
    """Shape and value as operands."""
    dtype = attributes.element_type("dtype") or attributes.dtype
    return lambda x: [np.full(x.integers((), "Shape"), x.one("Value").reshape(-1)[0], dtype=dtype)]


@paddle_operator(legacy=("fill_any_like", "fill_zeros_like"), pir=("full_like",), operands=("X", "Value"))
def define_full_like(attributes: PaddleAttributes) -> PaddleCompute:
    """The operand's shape filled with one value."""
    value, dtype = float(attributes.raw("value", 0.0)), attributes.element_type("dtype")
    return lambda x: [np.full(x.one("X").shape, x.number(value, "Value"), dtype=dtype or x.one("X").dtype)]


@paddle_operator(legacy=("fill_constant_batch_size_like",), operands=("Input",))
def define_fill_like_batch(attributes: PaddleAttributes) -> PaddleCompute:
    """shape with one dimension taken from the operand."""
    shape, text = list(attributes.integers("shape")), str(attributes.raw("str_value", ""))
    value = float(text) if text else attributes.raw("value", 0.0)
    source, target = int(attributes.raw("input_dim_idx", 0)), int(attributes.raw("output_dim_idx", 0))
    dtype = attributes.element_type("dtype") or attributes.dtype

    def compute(x: Operands) -> Sequence[Any]:
        shape[target] = x.one("Input").shape[source]
        return [np.full(shape, value, dtype=dtype)]

    return compute


@paddle_operator("assign_value", operands=("Output",))
def define_assign_value(attributes: PaddleAttributes) -> PaddleCompute:
    """Values written into the program; old programs keep one list for each type."""
    shape, dtype = attributes.integers("shape"), attributes.element_type("dtype") or attributes.dtype
    lists = [attributes.raw(name) for name in ("values", "fp32_values", "int32_values", "int64_values", "bool_values")]
    values: Any = next((listed for listed in lists if listed), [])
    return lambda x: [np.array(values, dtype=dtype).reshape(shape)]


@paddle_operator(legacy=("range",), pir=("arange",), operands=("Start", "End", "Step"))
def define_range(attributes: PaddleAttributes) -> PaddleCompute:
    """start, start + step, ... before end."""
    wanted = attributes.element_type("dtype")

    def compute(x: Operands) -> Sequence[Any]:
        start, end, step = (x.one(slot).reshape(-1)[0] for slot in ("Start", "End", "Step"))
        return [np.arange(start, end, step, dtype=wanted or x.one("Start").dtype)]

    return compute


def _define_shape(name: str, legacy: bool, dtype: type[np.signedinteger[Any]]) -> None:
    @paddle_operator(legacy=(name,) if legacy else (), pir=(name,), operands=("Input",))
    def define(attributes: PaddleAttributes) -> PaddleCompute:
        return lambda x: [np.array(x.one("Input").shape, dtype=dtype)]


_define_shape("shape", True, np.int32)
_define_shape("shape64", False, np.int64)


@paddle_operator(legacy=("size",), pir=("numel",), operands=("Input",))
def define_size(attributes: PaddleAttributes) -> PaddleCompute:
    """Number of elements."""
    return lambda x: [np.array(x.one("Input").size, dtype=np.int64)]


@paddle_operator("gather", operands=("X", "Index", "Axis"))
def define_gather(attributes: PaddleAttributes) -> PaddleCompute:
    """Rows of an axis (0) by index."""
    axis = int(attributes.raw("axis", 0))
    attributes.ignore("overwrite")
    return lambda x: [np.take(x.one("X"), x.one("Index").reshape(-1), axis=int(x.number(axis, "Axis")))]


@paddle_operator("gather_nd", operands=("X", "Index"))
def define_gather_nd(attributes: PaddleAttributes) -> PaddleCompute:
    """Every row of the indices names a place by its first coordinates."""
    return lambda x: [x.one("X")[tuple(np.moveaxis(x.one("Index"), -1, 0))]]


@paddle_operator("index_select", operands=("X", "Index"))
def define_index_select(attributes: PaddleAttributes) -> PaddleCompute:
    """Rows of an axis by index."""
    axis = int(attributes.either("dim", "axis", default=0))
    return lambda x: [np.take(x.one("X"), x.one("Index"), axis=axis)]


@paddle_operator("where", operands=("Condition", "X", "Y"))
def define_where(attributes: PaddleAttributes) -> PaddleCompute:
    """x where the condition holds, y elsewhere."""
    return lambda x: [np.where(x.one("Condition"), x.one("X"), x.one("Y"))]


@paddle_operator("meshgrid")
def define_meshgrid(attributes: PaddleAttributes) -> PaddleCompute:
    """Coordinates of a grid, the first vector along the first axis."""
    return lambda x: [list(np.meshgrid(*x.many("X"), indexing="ij"))]


@paddle_operator(legacy=("one_hot_v2",), pir=("one_hot",), operands=("X", "depth_tensor"))
def define_one_hot(attributes: PaddleAttributes) -> PaddleCompute:
    """A new last axis of length depth with a 1 at each index."""
    depth, dtype = int(attributes.raw("depth", 1)), attributes.element_type("dtype") or attributes.dtype
    attributes.ignore("allow_out_of_range")

    def compute(x: Operands) -> Sequence[Any]:
        length = int(x.number(depth, "depth_tensor"))
        return [(x.one("X")[..., None] == np.arange(length)).astype(dtype)]

    return compute


@paddle_operator(legacy=("lookup_table_v2",), pir=("embedding",), operands=("Ids", "W"))
def define_embedding(attributes: PaddleAttributes) -> PaddleCompute:
    """Rows of a table; the row padding_idx reads as zeros."""
    padding = int(attributes.raw("padding_idx", -1))
    attributes.ignore("sparse", "is_sparse", "is_distributed", "remote_prefetch", "entry", "trainer_id")

    def compute(x: Operands) -> Sequence[Any]:
        ids = x.one("Ids")
        rows = np.take(x.one("W"), ids, axis=0)
        return [rows if padding < 0 else np.where((ids == padding)[..., None], 0, rows)]

    return compute


@paddle_operator(legacy=("tril_triu",), pir=("tril", "triu"))
def define_triangle(attributes: PaddleAttributes) -> PaddleCompute:
    """The part on and below (tril) or above (triu) a diagonal (0)."""
    diagonal = int(attributes.raw("diagonal", 0))
    lower = bool(attributes.raw("lower", attributes.operator != "triu"))
    return lambda x: [np.tril(x.one("X"), diagonal) if lower else np.triu(x.one("X"), diagonal)]


def _define_resize(kind: str, attributes: PaddleAttributes, old: bool) -> PaddleCompute:
    attributes.one_of("interp_method", kind, (kind,))
    axis = attributes.channel_axis("data_layout", "data_format")
    corners, mode = bool(attributes.raw("align_corners", True)), int(attributes.raw("align_mode", 1))
    height, width = int(attributes.raw("out_h", 0)), int(attributes.raw("out_w", 0))
    written = attributes.raw("scale", [])
    factors = [float(item) for item in (written if isinstance(written, (list, tuple)) else [written])]
    attributes.ignore("out_d")

    def positions(length: int, out: int, factor: float) -> Value:
        real: Any = np.float32 if kind == "nearest" else np.float64
        steps, ratio = np.arange(out, dtype=real), real(0)
        if out > 1 and corners:
            ratio = real(length - 1) / real(out - 1)
        elif out > 1:
            # The first version of the operator derives the ratio from the lengths even where a scale is given.
            ratio = real(1 / factor) if factor > 0 and not old else real(length) / real(out)
        if kind == "nearest":
            return np.asarray(np.floor(ratio * steps + real(0.5) if corners else ratio * steps), dtype=np.float64)
        return np.asarray(ratio * (steps + 0.5) - 0.5 if mode == 0 and not corners else ratio * steps)

    def compute(x: Operands) -> Sequence[Any]:
        y = np.moveaxis(x.one("X"), axis, 1)
        tensor = x.maybe("Scale")
        scales = factors if tensor is None else [float(item) for item in tensor.reshape(-1)]
        scales = (scales * 2 if len(scales) == 1 else scales) or [0.0, 0.0]
        lengths = y.shape[2:]
        out = [int(n * s) for n, s in zip(lengths, scales, strict=True)] if min(scales) > 0 else [height, width]
        out = x.integers(out, "OutSize", "SizeTensor")
        for position, (length, target, factor) in enumerate(zip(lengths, out, scales, strict=True)):
            where = positions(length, target, factor)
            along = position + 2
            y = nearest_axis(y, along, where, "floor") if kind == "nearest" else linear_axis(y, along, where)
        return [np.moveaxis(y, 1, axis)]

    return compute


def _register_resize(kind: str) -> None:
    slots = ("X", "OutSize", "SizeTensor", "Scale")

    @paddle_operator(legacy=(f"{kind}_interp",), operands=slots)
    def define_old(attributes: PaddleAttributes) -> PaddleCompute:
        return _define_resize(kind, attributes, True)

    @paddle_operator(legacy=(f"{kind}_interp_v2",), pir=(f"{kind}_interp",), operands=slots)
    def define_new(attributes: PaddleAttributes) -> PaddleCompute:
        return _define_resize(kind, attributes, False)


_register_resize("nearest")
_register_resize("bilinear")
