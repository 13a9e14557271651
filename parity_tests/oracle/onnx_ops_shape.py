"""ONNX: shapes, joins, parts, padding. Axes and sizes are attributes in older opsets and operands in newer ones.

Source: the ONNX operator specification, https://onnx.ai/onnx/operators; the tests hold each against its reference
evaluator, its node tests and ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facecvt.parity_tests.oracle import kernels_shape as shapes
from facecvt.parity_tests.oracle.onnx_attributes import OnnxAttributes, onnx_operator, operand, operand_integers
from facecvt.parity_tests.oracle.values import Compute, Value, normal_axes


@onnx_operator("Reshape")
def define_reshape(attributes: OnnxAttributes) -> Compute:
    """0 copies a dimension unless allowzero; -1 is inferred."""
    copies = not attributes.integer("allowzero", 0)
    return lambda x: [shapes.reshape_copying(x[0], operand_integers(x, 1) or (), zero_copies=copies)]


@onnx_operator("Flatten")
def define_flatten(attributes: OnnxAttributes) -> Compute:
    """A matrix, split at axis (1)."""
    axis = attributes.integer("axis", 1)
    return lambda x: [shapes.flatten_to_matrix(x[0], axis)]


@onnx_operator("Transpose")
def define_transpose(attributes: OnnxAttributes) -> Compute:
    """perm, reversed when absent."""
    order = attributes.integers("perm")
    return lambda x: [np.transpose(x[0], order)]


@onnx_operator("Squeeze")
def define_squeeze(attributes: OnnxAttributes) -> Compute:
    """The given axes removed, all of length one when none is given."""
    written = attributes.integers("axes")

    def compute(x: list[Any]) -> Sequence[Any]:
        axes = operand_integers(x, 1) if written is None else written
        return [np.squeeze(x[0], axis=axes)]

    return compute


@onnx_operator("Unsqueeze")
def define_unsqueeze(attributes: OnnxAttributes) -> Compute:
    """New axes of length one at the given places of the result."""
    written = attributes.integers("axes")

    def compute(x: list[Any]) -> Sequence[Any]:
        axes = operand_integers(x, 1) if written is None else written
        return [np.expand_dims(x[0], axes or ())]

    return compute


@onnx_operator("Concat")
def define_concat(attributes: OnnxAttributes) -> Compute:
    """Along axis."""
    axis = int(attributes.required("axis"))
    return lambda x: [np.concatenate(x, axis=axis)]


@onnx_operator("Split")
def define_split(attributes: OnnxAttributes) -> Compute:
    """Into the given sizes, or as many equal parts as there are outputs; along axis (0)."""
    axis, written = attributes.integer("axis", 0), attributes.integers("split")
    parts = attributes.integer("num_outputs", attributes.results)

    def compute(x: list[Any]) -> Sequence[Any]:
        sizes = operand_integers(x, 1) if written is None else written
        return shapes.split_at(x[0], sizes or shapes.even_sizes(x[0].shape[axis], parts), axis)

    return compute


@onnx_operator("Slice")
def define_slice(attributes: OnnxAttributes) -> Compute:
    """starts, ends[, axes[, steps]]: attributes before opset 10."""
    first, last, along = attributes.integers("starts"), attributes.integers("ends"), attributes.integers("axes")

    def compute(x: list[Any]) -> Sequence[Any]:
        starts = operand_integers(x, 1) if first is None else first
        ends = operand_integers(x, 2) if last is None else last
        axes = operand_integers(x, 3) if along is None else along
        return [
            shapes.slice_axes(x[0], starts or (), ends or (), axes or range(len(starts or ())), operand_integers(x, 4))
        ]

    return compute


@onnx_operator("Gather")
def define_gather(attributes: OnnxAttributes) -> Compute:
    """Rows of axis (0) by index; negative indices count from the end."""
    axis = attributes.integer("axis", 0)
    return lambda x: [np.take(x[0], x[1], axis=axis)]


@onnx_operator("GatherElements")
def define_gather_elements(attributes: OnnxAttributes) -> Compute:
    """One element of axis (0) for each index."""
    axis = attributes.integer("axis", 0)
    return lambda x: [np.take_along_axis(x[0], np.where(x[1] < 0, x[1] + x[0].shape[axis], x[1]), axis=axis)]


@onnx_operator("GatherND")
def define_gather_nd(attributes: OnnxAttributes) -> Compute:
    """Slices by index tuples; batch_dims 0."""
    if attributes.integer("batch_dims", 0):
        raise attributes.refuse("batch_dims", "the oracle computes it with 0")
    return lambda x: [x[0][tuple(np.moveaxis(x[1], -1, 0))]]


REDUCTIONS: dict[str, np.ufunc] = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


@onnx_operator("ScatterElements")
def define_scatter_elements(attributes: OnnxAttributes) -> Compute:
    """The data with one update at each place of axis (0), put there or, with a reduction, joined to what is there."""
    axis = attributes.integer("axis", 0)
    reduction = attributes.one_of("reduction", "none", ("none", *REDUCTIONS))

    def compute(x: list[Any]) -> Sequence[Any]:
        y, places = x[0].copy(), list(np.indices(x[1].shape))
        places[axis] = np.where(x[1] < 0, x[1] + y.shape[axis], x[1])
        if reduction == "none":
            y[tuple(places)] = x[2]
        else:
            REDUCTIONS[reduction].at(y, tuple(places), x[2])
        return [y]

    return compute


@onnx_operator("Compress")
def define_compress(attributes: OnnxAttributes) -> Compute:
    """Where the condition holds, along an axis or flattened."""
    axis = attributes.raw("axis")
    return lambda x: [np.compress(x[1], x[0], axis=None if axis is None else int(axis))]


@onnx_operator("NonZero")
def define_non_zero(attributes: OnnxAttributes) -> Compute:
    """Indices of the elements that are not zero, (rank, count)."""
    return lambda x: [np.array(np.nonzero(x[0]), dtype=np.int64).reshape(x[0].ndim, -1)]


@onnx_operator("Expand")
def define_expand(attributes: OnnxAttributes) -> Compute:
    """Broadcast against a shape, in both directions."""
    return lambda x: [np.broadcast_to(x[0], np.broadcast_shapes(x[0].shape, operand_integers(x, 1) or ()))]


@onnx_operator("Tile")
def define_tile(attributes: OnnxAttributes) -> Compute:
    """Each axis repeated."""
    return lambda x: [np.tile(x[0], operand_integers(x, 1) or ())]


@onnx_operator("Pad")
def define_pad(attributes: OnnxAttributes) -> Compute:
    """pads (all begins, then all ends) and value: attributes before opset 11; axes since 18."""
    mode = attributes.one_of("mode", "constant", ("constant", "edge", "reflect", "wrap"))
    written, value = attributes.integers("pads"), attributes.number("value", 0.0)

    def compute(x: list[Any]) -> Sequence[Any]:
        data = x[0]
        pads = (operand_integers(x, 1) if written is None else written) or ()
        filling = operand(x, 2)
        axes = normal_axes(operand_integers(x, 3), data.ndim)
        begin, end = [0] * data.ndim, [0] * data.ndim
        for position, axis in enumerate(axes):
            begin[axis], end[axis] = pads[position], pads[position + len(axes)]
        return [shapes.pad_any(data, begin, end, mode, value if filling is None else filling.reshape(-1)[0])]

    return compute


@onnx_operator("DepthToSpace")
def define_depth_to_space(attributes: OnnxAttributes) -> Compute:
    """(N, C b^2, H, W) -> (N, C, H b, W b); the blocks come first in the channels (DCR) or the channels (CRD)."""
    block, mode = int(attributes.required("blocksize")), attributes.one_of("mode", "DCR", ("DCR", "CRD"))

    def compute(x: list[Any]) -> Sequence[Any]:
        n, c, h, w = x[0].shape
        if mode == "DCR":
            y = x[0].reshape(n, block, block, c // block**2, h, w).transpose(0, 3, 4, 1, 5, 2)
        else:
            y = x[0].reshape(n, c // block**2, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
        return [y.reshape(n, c // block**2, h * block, w * block)]

    return compute


@onnx_operator("SpaceToDepth")
def define_space_to_depth(attributes: OnnxAttributes) -> Compute:
    """(N, C, H b, W b) -> (N, C b^2, H, W), the inverse of DepthToSpace; mode since opset 26, DCR."""
    block, mode = int(attributes.required("blocksize")), attributes.one_of("mode", "DCR", ("DCR", "CRD"))

    def compute(x: list[Any]) -> Sequence[Any]:
        n, c, h, w = x[0].shape
        split = x[0].reshape(n, c, h // block, block, w // block, block)
        y = split.transpose((0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4))
        return [y.reshape(n, c * block**2, h // block, w // block)]

    return compute


@onnx_operator("Trilu")
def define_triangle(attributes: OnnxAttributes) -> Compute:
    """The upper (default) or lower triangle, from diagonal k (0)."""
    upper = attributes.integer("upper", 1)

    def compute(x: list[Any]) -> Sequence[Any]:
        diagonal = (operand_integers(x, 1) or (0,))[0]
        return [np.triu(x[0], diagonal) if upper else np.tril(x[0], diagonal)]

    return compute


@onnx_operator("Shape")
def define_shape(attributes: OnnxAttributes) -> Compute:
    """Dimensions start (0) to end (rank) as int64."""
    start, end = attributes.integer("start", 0), attributes.raw("end")
    return lambda x: [np.array(x[0].shape[start : None if end is None else int(end)], dtype=np.int64)]


@onnx_operator("Size")
def define_size(attributes: OnnxAttributes) -> Compute:
    """Number of elements, int64."""
    return lambda x: [np.array(x[0].size, dtype=np.int64)]


@onnx_operator("Constant")
def define_constant(attributes: OnnxAttributes) -> Compute:
    """A tensor, or numbers."""
    tensor, dtype = attributes.raw("value"), attributes.dtype
    for name in ("value_float", "value_floats"):
        if attributes.has(name):
            tensor = np.array(attributes.raw(name), dtype=dtype)
    for name in ("value_int", "value_ints"):
        if attributes.has(name):
            tensor = np.array(attributes.raw(name), dtype=np.int64)
    if not isinstance(tensor, np.ndarray):
        raise attributes.refuse("value", "the oracle knows dense tensors and numbers")
    constant: Value = tensor.astype(dtype) if tensor.dtype.kind == "f" else tensor
    return lambda x: [constant]


@onnx_operator("ConstantOfShape")
def define_constant_of_shape(attributes: OnnxAttributes) -> Compute:
    """A shape filled with one value, 0 in floating point by default."""
    value = np.asarray(attributes.raw("value", np.zeros(1, dtype=attributes.dtype))).reshape(-1)[0]
    dtype = attributes.dtype if value.dtype.kind == "f" else value.dtype
    return lambda x: [np.full(operand_integers(x, 0) or (), value, dtype=dtype)]


@onnx_operator("Range")
def define_range(attributes: OnnxAttributes) -> Compute:
    """start, start + delta, ... before limit."""
    return lambda x: [np.arange(x[0].item(), x[1].item(), x[2].item(), dtype=x[0].dtype)]
