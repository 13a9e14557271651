"""Tensors put together, taken apart and repeated: Concat, Split, Tile, Expand.

Sources: MXNet 1.9.1 and Paddle 3.3.1 operator registrations, ONNX operator specification.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facecvt.converters.graph import Builder, attribute, constant, dims
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops import int_lists
from facecvt.converters.ops.paddle_operands import ints_or_value
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, lower, to_torch
from facecvt.converters.ops.rewriting import add_constant, input_to_attribute
from facecvt.converters.ops.target_shape import INT64_MAX
from facecvt.converters.ops.value_facts import known_rank
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp
from facecvt.converters.torch_code import TorchCode

# ---- MXNet -----------------------------------------------------------------------------------------------------------


@from_mxnet("Concat", "concat")
def concat_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    axis = op.integer("dim", 1)
    return b.emit("Concat", op.inputs, axis=axis) if len(op.inputs) > 1 else op.inputs[0]


@from_mxnet("stack")
def stack_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return stacked(b, op.inputs, op.integer("axis", 0))


def stacked(b: Builder, values: list[ir.Value], axis: int) -> Any:
    """Values joined along an axis that none of them has yet."""
    parts = [b.emit("Unsqueeze", [value, b.const([axis])]) for value in values]
    return b.emit("Concat", parts, axis=axis) if len(parts) > 1 else parts[0]


@from_mxnet("SliceChannel", "split")
def split_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    count, axis = op.integer("num_outputs"), op.integer("axis", 1)
    parts = [op.inputs[0]] if count == 1 else b.emit("Split", op.inputs, count, axis=axis, num_outputs=count)
    if op.boolean("squeeze_axis", False):
        parts = [b.emit("Squeeze", [part, b.const([axis])]) for part in parts]
    return parts


@from_mxnet("_split_v2")
def split_at_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """Into equal ``sections``, or cut at ``indices``, of which the first, 0, begins the first part."""
    axis, count, places = op.integer("axis", 1), op.integer("sections", 0), op.ints("indices", ())
    x = op.inputs[0]
    if count > 0:
        parts = [x] if count == 1 else b.emit("Split", [x], count, axis=axis, num_outputs=count)
    else:
        ends = [*places[1:], INT64_MAX]
        parts = [
            b.emit("Slice", [x, b.const([start]), b.const([end]), b.const([axis])])
            for start, end in zip(places, ends, strict=True)
        ]
    if op.boolean("squeeze_axis", False):
        parts = [b.emit("Squeeze", [part, b.const([axis])]) for part in parts]
    return parts


@from_mxnet("tile")
def tile_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """Repeats belong to the last axes; where there are more of them than axes, axes of size 1 are put in front."""
    return tiled(b, op.inputs[0], op.ints("reps"))


def tiled(b: Builder, x: ir.Value, repeats: list[int]) -> Any:
    found = known_rank(x)
    if found is None:
        x = b.emit("Expand", [x, b.const([1] * len(repeats))])  # now at least as many axes as repeats
        missing = b.emit("Sub", [b.emit("Shape", [b.emit("Shape", [x])]), b.const([len(repeats)])])
        ones = b.emit("Expand", [b.const(1), missing])
        return b.emit("Tile", [x, b.emit("Concat", [ones, b.const(repeats)], axis=0)])
    if found < len(repeats):
        x = b.emit("Unsqueeze", [x, b.const(list(range(len(repeats) - found)))])
    return b.emit("Tile", [x, b.const([*[1] * (found - len(repeats)), *repeats])])


@from_mxnet("broadcast_like")
def broadcast_like_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """To the shape of the second input, or some axes of length 1 to the lengths that axes of the second have."""
    x, like = op.inputs
    shape = b.emit("Shape", [like])
    axes, theirs = op.ints("lhs_axes", None), op.ints("rhs_axes", None)
    if not axes or not theirs:
        return b.emit("Expand", [x, shape])
    own, other = known_rank(x), known_rank(like)
    if own is None or (other is None and min(theirs) < 0):
        raise op.refuse("lhs_axes need inputs whose number of dimensions is known")
    sizes = [b.const([1])] * own  # Expand leaves an axis alone where 1 is asked for
    for axis, place in zip(axes, theirs, strict=True):
        counted = place + (other or 0) if place < 0 else place
        sizes[axis % own] = b.emit("Gather", [shape, b.const([counted])], axis=0)
    return b.emit("Expand", [x, b.emit("Concat", sizes, axis=0)])


@from_mxnet("broadcast_to")
def broadcast_to_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """0 keeps a dimension, which is what Expand does for 1."""
    return b.emit("Expand", [op.inputs[0], b.const([size or 1 for size in op.ints("shape")])])


@from_mxnet("broadcast_axis", "broadcast_axes")
def broadcast_axis_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """Axes of length 1 widened to sizes; Expand leaves an axis alone where 1 is asked for."""
    axes, sizes, found = op.ints("axis", ()), op.ints("size", ()), known_rank(op.inputs[0])
    if found is None:
        raise op.refuse("the number of dimensions of the operand is not known; give the input shapes")
    shape = [1] * found
    for axis, size in zip(axes, sizes, strict=True):
        shape[axis] = size
    return b.emit("Expand", [op.inputs[0], b.const(shape)])


# ---- Paddle ----------------------------------------------------------------------------------------------------------


@from_paddle("concat")
def concat_from_paddle(op: PaddleOp, b: Builder) -> Any:
    values = op.many("X", 0)
    axis = constant_axis(op, b, "AxisTensor", 1)
    return b.emit("Concat", values, axis=axis) if len(values) > 1 else values[0]


def constant_axis(op: PaddleOp, b: Builder, tensor: str, operand: int) -> int:
    """The one axis of an operator, from its attribute or a constant input."""
    axis = ints_or_value(op, b, "axis", tensor=tensor, operand=operand, default=(0,))
    if isinstance(axis, ir.Value):
        raise op.refuse("the axis must be constant")
    return axis[0]


@from_paddle("stack")
def stack_from_paddle(op: PaddleOp, b: Builder) -> Any:
    return stacked(b, op.many("X", 0), op.integer("axis", 0))


@from_paddle("split", "split_with_num")
def split_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """By sections, one of which may be -1 (the rest), or into equal parts."""
    x, by_number = op.value("X", 0), op.op == "split_with_num"
    axis = constant_axis(op, b, "AxisTensor", 1 if by_number else 2)
    count = op.integer("num", 0)
    sections = [] if by_number else ints_or_value(op, b, "sections", parts="SectionsTensorList", operand=1, default=())
    if isinstance(sections, ir.Value):
        raise op.refuse("the sections must be constant")
    if not sections:
        return [x] if count == 1 else b.emit("Split", [x], count, axis=axis, num_outputs=count)
    if -1 in sections:
        shape = dims(x)
        whole = None if shape is None else shape[axis]
        if whole is None:
            raise op.refuse("a section of -1 needs the size of the axis, which is dynamic")
        sections[sections.index(-1)] = whole - sum(size for size in sections if size != -1)
    if len(sections) == 1:
        return [x]
    return b.emit("Split", [x, b.const(sections)], len(sections), axis=axis)


@from_paddle("unstack", "unbind")
def unstack_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """Every element of an axis, the axis removed."""
    x, axis = op.value("X", 0), op.integer("axis", 0)
    op.raw("num", None)  # the size of the axis, which the shape tells
    shape = dims(x)
    count = None if shape is None else shape[axis]
    if count is None:
        raise op.refuse("the size of the axis must be known")
    parts = [x] if count == 1 else b.emit("Split", [x], count, axis=axis, num_outputs=count)
    return [b.emit("Squeeze", [part, b.const([axis])]) for part in parts]


@from_paddle("meshgrid")
def meshgrid_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """Each vector along an axis of its own, widened to the lengths of all."""
    vectors = op.many("X", 0)
    count = len(vectors)
    known = [dims(vector) for vector in vectors]
    lengths = [1 if shape == () else shape[0] if shape else None for shape in known]
    if None in lengths:
        whole = b.emit("Concat", [b.emit("Shape", [b.emit("Reshape", [v, b.const([-1])])]) for v in vectors], axis=0)
    else:
        whole = b.const([size or 0 for size in lengths])
    grids = []
    for axis, vector in enumerate(vectors):
        along = b.emit("Reshape", [vector, b.const([*[1] * axis, -1, *[1] * (count - axis - 1)])])
        grids.append(b.emit("Expand", [along, whole]))
    return grids


@from_paddle("tile")
def tile_from_paddle(op: PaddleOp, b: Builder) -> Any:
    repeats = ints_or_value(
        op, b, "repeat_times", tensor="RepeatTimes", parts="repeat_times_tensor", operand=1, default=()
    )
    if isinstance(repeats, ir.Value):
        if known_rank(repeats) == 1 and dims(repeats) == (known_rank(op.value("X", 0)),):
            return b.emit("Tile", [op.value("X", 0), repeats])
        raise op.refuse("repeats that are computed must be as many as the operand has axes")
    return tiled(b, op.value("X", 0), repeats)


@from_paddle("expand", "expand_v2")
def expand_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """-1 keeps a dimension, which is what Expand does for 1; the oldest form repeats each axis, as tile does."""
    if op.op == "expand" and not op.pir:
        times = ints_or_value(op, b, "expand_times", tensor="ExpandTimes", parts="expand_times_tensor", default=())
        if isinstance(times, ir.Value):
            return b.emit("Tile", [op.value("X", 0), times])  # one number an axis, by definition
        return tiled(b, op.value("X", 0), times)
    shape = ints_or_value(op, b, "shape", tensor="Shape", parts="expand_shapes_tensor", operand=1, default=())
    if isinstance(shape, ir.Value):
        return b.emit("Expand", [op.value("X", 0), b.emit("Abs", [shape])])
    return b.emit("Expand", [op.value("X", 0), b.const([1 if size == -1 else size for size in shape])])


@from_paddle("expand_as_v2", "expand_as")
def expand_as_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """To the shape of the target, which the program also records."""
    if op.op == "expand_as" and not op.pir:
        raise op.refuse("this form of the operator (Paddle 1.x) is not supported")
    target = op.optional("Y", 1)
    recorded = op.ints("target_shape", ())
    if target is None and -1 in recorded:
        raise op.refuse(f"target_shape {recorded} is dynamic and no target is given")
    shape = b.const(recorded) if target is None else b.emit("Shape", [target])
    return b.emit("Expand", [op.value("X", 0), shape])


# ---- ONNX ------------------------------------------------------------------------------------------------------------


@from_onnx("Concat")
def concat_from_onnx(op: OnnxOp, b: Builder) -> Any:
    axis = int(op.raw("axis"))
    return b.emit("Concat", op.inputs, axis=axis) if len(op.inputs) > 1 else op.inputs[0]


@from_onnx("Split")
def split_from_onnx(op: OnnxOp, b: Builder) -> Any:
    """Sizes are an attribute before opset 13 and an input from then on; without them the parts are equal."""
    axis, sizes, count = int(op.raw("axis", 0)), op.raw("split", None), op.output_count
    given = op.input(1) if sizes is None else b.const(sizes)
    if int(op.raw("num_outputs", count)) != count:
        raise op.refuse(f"num_outputs is not the number of outputs, {count}")
    if given is not None:
        return b.emit("Split", [op.value(0), given], count, axis=axis)
    return b.emit("Split", [op.value(0)], count, axis=axis, num_outputs=count)


@from_onnx("Tile", "Expand")
def repeat_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return b.emit(op.op, op.inputs)


@lower("Split", below=18)
def lower_split_count(node: ir.Node, opset: int) -> None:
    """Before opset 18 a Split without sizes makes equal parts; uneven ones need their sizes."""
    count = attribute(node, "num_outputs")
    if count is None:
        return
    del node.attributes["num_outputs"]
    shape, axis = dims(node.inputs[0]), attribute(node, "axis", 0)
    whole = None if shape is None else shape[axis]
    if whole is not None and whole % count:
        step = -(-whole // count)
        node.resize_inputs(2)
        sizes = [*[step] * (count - 1), whole - step * (count - 1)]
        node.replace_input_with(1, add_constant(node, sizes, np.int64))


@lower("Split", below=13)
def lower_split_sizes(node: ir.Node, opset: int) -> None:
    input_to_attribute(node, 1, "split", opset)


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


@to_torch("Concat")
def concat_to_torch(node: ir.Node, t: TorchCode) -> None:
    ints = [t.ints(value) for value in node.inputs]
    if all(text is not None and int_lists.is_list(text) for text in ints) and shape_like(node):
        t.assign_ints(node.outputs[0], int_lists.concat([text for text in ints if text is not None]))
        return
    parts = ", ".join(t.arg(value) for value in node.inputs)
    t.assign(node.outputs[0], f"torch.cat([{parts}], dim={attribute(node, 'axis')})")


def shape_like(node: ir.Node) -> bool:
    """Whether constants among the inputs may pass for shape arithmetic: one is computed, or all are int64."""
    arrays = [constant(value) for value in node.inputs]
    return any(array is None or array.dtype == np.int64 for array in arrays)


@to_torch("Split")
def split_to_torch(node: ir.Node, t: TorchCode) -> None:
    axis, x = attribute(node, "axis", 0), t.arg(node.inputs[0])
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        sizes = t.ints(node.inputs[1]) or f"{t.arg(node.inputs[1])}.tolist()"
        expression = f"torch.split({x}, {sizes}, dim={axis})"
    else:
        expression = f"torch.chunk({x}, {len(node.outputs)}, dim={axis})"
    if len(node.outputs) == 1:
        t.assign(node.outputs[0], f"{expression}[0]")
    else:
        t.assign_many(list(node.outputs), expression)


@to_torch("Tile")
def tile_to_torch(node: ir.Node, t: TorchCode) -> None:
    x, repeats = t.arg(node.inputs[0]), t.ints(node.inputs[1])
    text = f"{t.arg(node.inputs[1])}.tolist()" if repeats is None else int_lists.arguments(repeats)
    t.assign(node.outputs[0], f"{x}.repeat({text})")


@to_torch("Expand")
def expand_to_torch(node: ir.Node, t: TorchCode) -> None:
    """ONNX lets the operand's own dimensions win over ones of the target, which Tensor.expand does not."""
    data, sizes = node.inputs[0], t.ints(node.inputs[1])
    text = f"{t.arg(node.inputs[1])}.tolist()" if sizes is None else sizes
    array, literal = constant(data), None if sizes is None else int_lists.as_ints(sizes)
    if array is not None and array.ndim == 0:
        number = str(array.item()) if array.dtype.kind in "iub" else t.number(float(array))
        t.assign(node.outputs[0], f"torch.full({text}, {number}, dtype=torch.{array.dtype.name})")
        return
    x, found = t.arg(data), known_rank(data)
    if literal is not None and found is not None and len(literal) >= found and 1 not in literal[-found:]:
        t.assign(node.outputs[0], f"{x}.expand({int_lists.arguments(text)})")
        return
    t.assign(node.outputs[0], f"{x}.expand(torch.broadcast_shapes({x}.shape, {text}))")
