"""Reshape and Flatten.

MXNet's Reshape codes, read from left to right (or from right to left with ``reverse``), each at its own place of the
operand's shape: 0 copies a dimension, -1 is inferred, -2 copies all that remain, -3 multiplies two, -4 divides one into
the two numbers that follow (one of them may be -1). Paddle's and ONNX's 0 copies the dimension at the same place.
Sources: MXNet 1.9.1 (behaviour of the installed library), Paddle 3.3.1, ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facecvt.converters.graph import Builder, attribute, constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops import int_lists
from facecvt.converters.ops.paddle_operands import ints_or_value
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, lower, to_torch
from facecvt.converters.ops.rewriting import drop_attribute
from facecvt.converters.ops.runtime_squeeze import squeezed_axes
from facecvt.converters.ops.target_shape import (
    INFER,
    INT64_MAX,
    Copied,
    Divided,
    Multiplied,
    Piece,
    Remaining,
    reshape_by_pieces,
)
from facecvt.converters.ops.value_facts import known_rank
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp
from facecvt.converters.torch_code import TorchCode

# ---- MXNet -----------------------------------------------------------------------------------------------------------


@from_mxnet("Flatten", "flatten")
def flatten_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit("Flatten", op.inputs, axis=1)


@from_mxnet("Reshape", "reshape")
def reshape_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    codes = op.ints("shape", ())
    oldest, keep = op.ints("target_shape", ()), op.boolean("keep_highest", False)
    reverse = op.boolean("reverse", False)
    if not codes:  # the form of before 0.9, in which 0 is inferred
        if not oldest:
            raise op.refuse("a target shape is missing")
        if reverse:
            raise op.refuse("reverse does not go with target_shape")
        codes = [INFER if dim == 0 else dim for dim in oldest]
        codes = [0, *codes[1:]] if keep else codes
    return reshape_by_pieces(b, op.inputs[0], pieces_of(op, codes, reverse))


def pieces_of(op: MxnetOp, codes: Sequence[int], reverse: bool) -> list[Piece]:
    """MXNet's codes as pieces; with ``reverse`` both shapes are read, and the result is written, from the right."""
    pieces: list[Piece] = []
    waiting = list(codes)[::-1] if reverse else list(codes)
    place = 0  # in the operand's shape, counted from the end that is read first
    shifted = False
    while waiting:
        code = waiting.pop(0)
        axis = -place - 1 if reverse else place
        place += 2 if code == -3 else 1
        if code >= 1:
            pieces.append(code)
        elif code == 0:
            pieces.append(Copied(axis))
        elif code == INFER:
            if shifted:
                raise op.refuse(f"shape {tuple(codes)}: MXNet itself gives a wrong shape for -1 after -2 or -4")
            pieces.append(INFER)
        elif code == -2:
            pieces.append(Remaining(0, axis + 1 if axis != -1 else None) if reverse else Remaining(axis, None))
            shifted = True
        elif code == -3:
            pieces.append(Multiplied(axis - 1 if reverse else axis))
        elif code == -4 and len(waiting) >= 2:
            first, second = waiting.pop(0), waiting.pop(0)
            if min(first, second) < -1 or 0 in (first, second) or first == second == INFER:
                raise op.refuse(f"shape {tuple(codes)}: -4 must be followed by two numbers, one of which may be -1")
            pieces.append(Divided(axis, second) if first == INFER else first)
            pieces.append(Divided(axis, first) if second == INFER else second)
            shifted = True
        else:
            raise op.refuse(f"shape {tuple(codes)}: code {code} is not known")
    return pieces[::-1] if reverse else pieces


@from_mxnet("reshape_like")
def reshape_like_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """To the second operand's shape, or a range of axes (``lhs_*``) to a range of the second operand's (``rhs_*``)."""
    keys = ("lhs_begin", "lhs_end", "rhs_begin", "rhs_end")
    begin, end, first, last = (None if op.text(key, "None") == "None" else op.integer(key) for key in keys)
    own, other = (b.emit("Shape", [value]) for value in op.inputs)

    def part(shape: ir.Value, start: int | None, stop: int | None) -> ir.Value:
        bounds = [start or 0, INT64_MAX if stop is None else stop, 0]
        result: ir.Value = b.emit("Slice", [shape, *(b.const([bound]) for bound in bounds)])
        return result

    target = other if not first and last is None else part(other, first, last)
    before = [] if not begin else [part(own, 0, begin)]
    behind = [] if end is None else [part(own, end, None)]
    if before or behind:
        target = b.emit("Concat", [*before, target, *behind], axis=0)
    return b.emit("Reshape", [op.inputs[0], target])


# ---- Paddle ----------------------------------------------------------------------------------------------------------


@from_paddle("reshape", "reshape2")
def reshape_from_paddle(op: PaddleOp, b: Builder) -> Any:
    shape = ints_or_value(op, b, "shape", tensor="Shape", parts="ShapeTensor", operand=1, default=())
    target = shape if isinstance(shape, ir.Value) else b.const(shape, name=None)
    return b.emit("Reshape", [op.value("X", 0), target])


@from_paddle("flatten", "flatten2", "flatten_contiguous_range")
def flatten_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """The oldest form makes a matrix of the axes before and from ``axis`` on; the newer one merges a range of axes."""
    x = op.value("X", 0)
    if not op.pir and op.op != "flatten_contiguous_range":
        return b.emit("Flatten", [x], axis=op.integer("axis", 1))
    start, stop = op.integer("start_axis", 1), op.integer("stop_axis", 1 if op.pir else -1)
    found = known_rank(x)
    if found is None:
        raise op.refuse("the operand's rank is not known")
    if found == 0:
        return b.emit("Reshape", [x, b.const([1])])
    start, stop = start % found, stop % found
    if start == 1 and stop == found - 1:
        return b.emit("Flatten", [x], axis=1)
    if start == stop:
        return x
    return reshape_by_pieces(b, x, [*map(Copied, range(start)), INFER, *map(Copied, range(stop + 1, found))])


# ---- ONNX ------------------------------------------------------------------------------------------------------------


@from_onnx("Reshape")
def reshape_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return b.emit("Reshape", op.inputs, allowzero=int(op.raw("allowzero", 0)) or None)


@from_onnx("Flatten")
def flatten_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return b.emit("Flatten", op.inputs, axis=int(op.raw("axis", 1)))


@lower("Reshape", below=14)
def lower_reshape(node: ir.Node, opset: int) -> None:
    """A target without 0 means the same with and without ``allowzero``."""
    target = constant(node.inputs[1])
    drop_attribute(node, "allowzero", opset, harmless=0 if target is None or 0 in target else 1)


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


@to_torch("Flatten")
def flatten_to_torch(node: ir.Node, t: TorchCode) -> None:
    axis, found = attribute(node, "axis", 1), known_rank(node.inputs[0])
    x = t.arg(node.inputs[0])
    if axis < 0 and found is not None:
        axis += found
    if axis == 1 and found != 1:
        t.assign(node.outputs[0], f"torch.flatten({x}, 1)")
    elif axis == 0:
        t.assign(node.outputs[0], f"{x}.reshape(1, -1)")
    else:
        t.assign(node.outputs[0], f"{x}.reshape({x}.shape[:{axis}].numel(), -1)")


@to_torch("Reshape")
def reshape_to_torch(node: ir.Node, t: TorchCode) -> None:
    data, target, squeezed = node.inputs[0], t.ints(node.inputs[1]), squeezed_axes(node)
    if squeezed is not None:
        t.assign(node.outputs[0], f"{t.arg(data)}.squeeze({squeezed[0] if len(squeezed) == 1 else tuple(squeezed)})")
        return
    whole = t.ints(data)
    if whole is not None and constant(data) is None and target in ("[1]", "[-1]", "[]"):  # shape arithmetic
        listed = int_lists.is_list(whole)
        if target == "[]":
            t.assign_ints(node.outputs[0], int_lists.pick(whole, 0) if listed else whole)
        else:
            t.assign_ints(node.outputs[0], whole if listed else f"[{whole}]")
        return
    x = t.arg(data)
    if target is None:
        sizes = f"{t.arg(node.inputs[1])}.tolist()"
        target = f"[{x}.shape[i] if size == 0 else size for i, size in enumerate({sizes})]"
        t.assign(node.outputs[0], f"{x}.reshape({target})")
        return
    items = int_lists.elements(target)
    if items is None and int_lists.literal_zero(target) and not attribute(node, "allowzero", 0):
        target = f"[{x}.shape[i] if size == 0 else size for i, size in enumerate({target})]"
        t.assign(node.outputs[0], f"{x}.reshape({target})")
        return
    if items is not None and not attribute(node, "allowzero", 0):
        target = int_lists.display([f"{x}.shape[{i}]" if item == "0" else item for i, item in enumerate(items)])
    t.assign(node.outputs[0], f"{x}.reshape({int_lists.arguments(target)})")
