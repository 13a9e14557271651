"""Faults of weights: of convolutions and matrices."""

from __future__ import annotations

import numpy as np

from facecvt.converters.graph import NumpyArray, attribute
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.parity_tests.selftest.draft import Draft
from facecvt.parity_tests.selftest.fault import Edited, Fault, of_weight

LINEAR = ("Conv", "Gemm", "MatMul")


def is_spatial(array: NumpyArray, node: ir.Node) -> bool:
    """A kernel of 3 x 3 and more."""
    return array.ndim == 4 and array.shape[2] == array.shape[3] and array.shape[2] > 1


def is_square_kernel(array: NumpyArray, node: ir.Node) -> bool:
    return array.ndim == 4 and array.shape[0] == array.shape[1] > 1


def is_of_picture(array: NumpyArray, node: ir.Node) -> bool:
    """The first layer: it reads three channels."""
    return array.ndim == 4 and array.shape[1] == 3 and attribute(node, "group", 1) == 1


def is_square(array: NumpyArray, node: ir.Node) -> bool:
    return array.ndim == 2 and array.shape[0] == array.shape[1]


def is_oblong(array: NumpyArray, node: ir.Node) -> bool:
    return array.ndim == 2 and array.shape[0] != array.shape[1]


def is_depthwise(array: NumpyArray, node: ir.Node) -> bool:
    return array.ndim == 4 and attribute(node, "group", 1) > 1


def is_mixed(array: NumpyArray, node: ir.Node) -> bool:
    """Neither of the picture nor depthwise: its layout can be mistaken."""
    return array.ndim >= 2 and array.shape[0] > 1 and array.shape[1] > 1


def one_weight(array: NumpyArray) -> NumpyArray:
    array = array.copy()
    array.flat[array.size // 3] += np.float32(1e-3)
    return array


def as_fp16(array: NumpyArray) -> NumpyArray:
    return array.astype(np.float16).astype(np.float32)


def as_bf16(array: NumpyArray) -> NumpyArray:
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def as_int8(array: NumpyArray) -> NumpyArray:
    step = np.float32(np.abs(array).max() / 127.0)
    return np.asarray(np.rint(array / step) * step)


def other_layout(array: NumpyArray) -> NumpyArray:
    """Height, width, inputs, outputs, as TensorFlow stores a kernel; a matrix the other way round; read as if not."""
    return array.transpose(2, 3, 1, 0).reshape(array.shape) if array.ndim == 4 else array.T.reshape(array.shape)


def without_tail(array: NumpyArray) -> NumpyArray:
    """The last eighth of the outputs was never read."""
    array = array.copy()
    array[-max(1, len(array) // 8) :] = 0.0
    return array


def exchanged(draft: Draft) -> Edited:
    """Two layers of one shape hold each other's weights."""
    shapes: dict[tuple[int, ...], list[ir.Node]] = {}
    for node in draft.nodes(*LINEAR):
        array = draft.weight(node, 1)
        if array is not None and array.ndim >= 2 and array.size >= 64:
            shapes.setdefault((*array.shape, attribute(node, "group", 1)), []).append(node)
    first = draft.pick([nodes[0] for nodes in shapes.values() if len(nodes) > 1])
    if first is None:
        return None
    pair = next(nodes for nodes in shapes.values() if nodes[0] is first)[:2]
    arrays = [draft.weight(node, 1) for node in pair]
    return draft.set_weight(pair[0], 1, arrays[1]), draft.set_weight(pair[1], 1, arrays[0])


def flattened_as_nhwc(draft: Draft) -> Edited:
    """A matrix for features that were flattened channels last."""
    for node in draft.nodes("Gemm"):
        source = node.inputs[0].producer() if node.inputs[0] is not None else None
        array = draft.weight(node, 1)
        if source is None or source.op_type not in ("Flatten", "Reshape", "Dropout") or array is None:
            continue
        shape = draft.shape(source.inputs[0])
        if len(shape) != 4 or shape[2] * shape[3] < 2 or shape[1] < 2:
            continue
        if not attribute(node, "transB", 0):
            array = array.T
        rows = array.reshape(-1, *shape[1:]).transpose(0, 2, 3, 1).reshape(array.shape)
        return draft.set_weight(node, 1, rows if attribute(node, "transB", 0) else rows.T)
    return None


def without_bias(draft: Draft) -> Edited:
    nodes = [node for node in draft.nodes("Conv", "Gemm") if draft.weight(node, 2) is not None]
    node = draft.pick([node for node in nodes if (bias := draft.weight(node, 2)) is not None and bias.any()])
    return None if node is None else draft.become(node, node.op_type, 2, **attributes_of(node))


def attributes_of(node: ir.Node) -> dict[str, object]:
    """A node's attributes as Python values."""
    return {name: attribute(node, name) for name in node.attributes}


FAULTS = [
    of_weight("flipped kernel", "flipped kernel", ("Conv",), 1, lambda w: w[:, :, ::-1, ::-1], is_spatial),
    of_weight(
        "kernel height and width exchanged",
        "kernel height and width exchanged",
        ("Conv",),
        1,
        lambda w: w.swapaxes(2, 3),
        is_spatial,
    ),
    of_weight(
        "kernel inputs and outputs exchanged",
        "kernel inputs and outputs exchanged",
        ("Conv",),
        1,
        lambda w: w.swapaxes(0, 1),
        is_square_kernel,
    ),
    of_weight("kernel of another layout", "weights of another layout", ("Conv",), 1, other_layout, is_mixed),
    of_weight("RGB and BGR exchanged", "RGB and BGR exchanged", ("Conv",), 1, lambda w: w[:, ::-1], is_of_picture),
    of_weight(
        "divided by 127.5 for 128",
        "weights off by one factor",
        ("Conv",),
        1,
        lambda w: w * (128 / 127.5),
        is_of_picture,
    ),
    of_weight("fp16 weights", "weights rounded to fp16", LINEAR, 1, as_fp16),
    of_weight("bf16 weights", "weights rounded to bf16", LINEAR, 1, as_bf16),
    of_weight("int8 weights", "weights rounded to int8", LINEAR, 1, as_int8),
    of_weight("one weight + 1e-3", "1 weight changed", ("Conv",), 1, one_weight, is_mixed),
    of_weight("outputs never read", "outputs that are zero", LINEAR, 1, without_tail, is_mixed),
    of_weight(
        "outputs shifted by one", "outputs in another order", LINEAR, 1, lambda w: np.roll(w, 1, axis=0), is_mixed
    ),
    of_weight(
        "groups mixed",
        "outputs in another order",
        ("Conv",),
        1,
        lambda w: np.roll(w, len(w) // 2, axis=0),
        is_depthwise,
    ),
    Fault("weights of two layers exchanged", "weights of another layer", exchanged),
    of_weight("transposed square matrix", "transposed matrix", ("Gemm", "MatMul"), 1, lambda w: w.T, is_square),
    of_weight("matrix of another layout", "weights of another layout", ("Gemm", "MatMul"), 1, other_layout, is_oblong),
    Fault("matrix for NHWC features", "matrix for NHWC-flattened features", flattened_as_nhwc),
    Fault("bias dropped", "dropped bias", without_bias),
    of_weight("bias twice", "bias twice", ("Conv", "Gemm"), 2, lambda b: 2 * b, lambda b, node: bool(b.any())),
]
