"""Parts of tensors: Slice, Gather, Compress, ArgMax, NonZero.

An end of 2**63 - 1 means up to the last element, and 0 as a start with it the whole axis. Sources: MXNet 1.9.1 and
Paddle 3.3.1 operator registrations, ONNX operator specification.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Builder, attribute, constant, dims
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops import int_lists
from facecvt.converters.ops.paddle_operands import as_int64, ints_or_value
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, lower, to_torch
from facecvt.converters.ops.rewriting import drop_attribute
from facecvt.converters.ops.runtime_squeeze import serves_squeeze
from facecvt.converters.ops.target_shape import INT64_MAX
from facecvt.converters.ops.unchanged import unchanged
from facecvt.converters.ops.value_facts import known_rank
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp
from facecvt.converters.torch_code import TorchCode

FAR = 2**31 - 1  # from here on a bound means "to the end", whoever wrote it

# ---- MXNet -----------------------------------------------------------------------------------------------------------


def emit_slice(
    b: Builder, x: ir.Value, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int], steps: Sequence[int] = ()
) -> Any:
    bounds = [b.const(starts), b.const(ends), b.const(axes)]
    return b.emit("Slice", [x, *bounds, *([b.const(steps)] if any(step != 1 for step in steps) else [])])


@from_mxnet("slice", "crop")
def slice_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """Bounds of the first axes; None is the end that the step walks from, or to."""
    begins, ends, written = optional_ints(op, "begin"), optional_ints(op, "end"), optional_ints(op, "step", ())
    steps = [step or 1 for step in written] or [1] * len(begins)
    starts = [
        begin if begin is not None else (0 if step > 0 else INT64_MAX)
        for begin, step in zip(begins, steps, strict=True)
    ]
    stops = [
        end if end is not None else (1 if step > 0 else -1) * INT64_MAX for end, step in zip(ends, steps, strict=True)
    ]
    return emit_slice(b, op.inputs[0], starts, stops, list(range(len(starts))), steps)


def optional_ints(op: MxnetOp, key: str, default: Any = None) -> list[int | None]:
    """A tuple attribute whose entries may be None."""
    text = op.raw(key) if default is None else op.raw(key, default)
    value = ast.literal_eval(text) if isinstance(text, str) else text
    return list(value) if isinstance(value, (list, tuple)) else [value]


@from_mxnet("slice_axis")
def slice_axis_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    end = optional_ints(op, "end")[0]
    return emit_slice(b, op.inputs[0], [op.integer("begin")], [INT64_MAX if end is None else end], [op.integer("axis")])


@from_mxnet("slice_like")
def slice_like_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """Cut from 0 to the sizes of the second input, along all axes or the given ones."""
    axes, shape = op.ints("axes", ()), b.emit("Shape", [op.inputs[1]])
    if not axes:
        return b.emit("Slice", [op.inputs[0], b.emit("Sub", [shape, shape]), shape])
    sizes = b.emit("Gather", [shape, b.const(axes)], axis=0)
    return b.emit("Slice", [op.inputs[0], b.const([0] * len(axes)), sizes, b.const(axes)])


@from_mxnet("argmax", "argmin", "argmax_channel")
def argmax_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """MXNet gives the place as a float32, a vector of one where there is no axis."""
    axis, keep, x = op.ints("axis", None), op.boolean("keepdims", False), op.inputs[0]
    operator = "ArgMin" if op.op == "argmin" else "ArgMax"
    if op.op == "argmax_channel":
        axis = [1]
    if axis:
        return b.emit("Cast", [b.emit(operator, [x], axis=axis[0], keepdims=int(keep))], to=int(ir.DataType.FLOAT))
    place = b.emit(operator, [b.emit("Reshape", [x, b.const([-1])])], axis=0, keepdims=1)
    if keep:
        rank = known_rank(x)
        if rank is None:
            raise op.refuse("keepdims without an axis needs an input of known rank; give the input shapes")
        place = b.emit("Reshape", [place, b.const([1] * rank)])
    return b.emit("Cast", [place], to=int(ir.DataType.FLOAT))


# ---- Paddle ----------------------------------------------------------------------------------------------------------


@from_paddle("slice")
def slice_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """Bounds along the given axes; the axes of ``decrease_axis`` have size 1 then, and go."""
    axes, drop = op.ints("axes"), op.ints("decrease_axis", ())
    op.raw("infer_flags", [])  # says which bounds were known when the program was built
    starts = ints_or_value(op, b, "starts", tensor="StartsTensor", parts="StartsTensorList", operand=1, default=())
    ends = ints_or_value(op, b, "ends", tensor="EndsTensor", parts="EndsTensorList", operand=2, default=())
    bounds = [value if isinstance(value, ir.Value) else b.const(value) for value in (starts, ends)]
    result = b.emit("Slice", [op.value("Input", 0), *bounds, b.const(axes)])
    return b.emit("Squeeze", [result, b.const(drop)]) if drop else result


@from_paddle("strided_slice")
def strided_slice_from_paddle(op: PaddleOp, b: Builder) -> Any:
    axes, drop = op.ints("axes"), op.ints("decrease_axis", ())
    op.raw("infer_flags", [])
    bounds = []
    for position, (name, tensor) in enumerate(
        (("starts", "StartsTensor"), ("ends", "EndsTensor"), ("strides", "StridesTensor")), start=1
    ):
        found = ints_or_value(op, b, name, tensor=tensor, parts=f"{tensor}List", operand=position, default=())
        bounds.append(found if isinstance(found, ir.Value) else b.const(found))
    result = b.emit("Slice", [op.value("Input", 0), bounds[0], bounds[1], b.const(axes), bounds[2]])
    return b.emit("Squeeze", [result, b.const(drop)]) if drop else result


@from_paddle("gather")
def gather_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """Indices of one dimension, or of two with one column, which counts as one dimension."""
    indices = op.value("Index", 1)
    axis = ints_or_value(op, b, "axis", tensor="Axis", operand=2, default=(0,))
    if isinstance(axis, ir.Value):
        raise op.refuse("the axis must be constant")
    shape = dims(indices)
    if shape is None or len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
        raise op.refuse(f"indices of shape {shape} are not supported")
    if len(shape) == 2:
        indices = b.emit("Reshape", [indices, b.const([-1])])
    return b.emit("Gather", [op.value("X", 0), as_int64(b, indices)], axis=axis[0])


@from_paddle("index_select")
def index_select_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """Places of an axis, one after the other."""
    axis = op.integer("axis" if op.pir else "dim", 0)
    return b.emit("Gather", [op.value("X", 0), as_int64(b, op.value("Index", 1))], axis=axis)


@from_paddle("gather_nd")
def gather_nd_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """The coordinates of a place lie along the last axis of the indices, as in ONNX."""
    return b.emit("GatherND", [op.value("X", 0), as_int64(b, op.value("Index", 1))])


@from_paddle("arg_max", "argmax", "arg_min", "argmin")
def argmax_from_paddle(op: PaddleOp, b: Builder) -> Any:
    axis = ints_or_value(op, b, "axis", operand=1, default=(-1,))
    x, keep = op.value("X", 0), op.boolean("keepdims", False)
    if isinstance(axis, ir.Value):
        raise op.refuse("the axis must be constant")
    kind = str(op.raw("dtype", 3))
    if kind not in ("3", "-1", "int64", "2", "int32"):
        raise op.refuse(f"dtype {kind} is not supported")
    if op.boolean("flatten", False):
        if keep:
            raise op.refuse("keepdims together with flatten is not supported")
        x, axis = b.emit("Reshape", [x, b.const([-1])]), [0]
    place = b.emit("ArgMax" if "max" in op.op else "ArgMin", [x], axis=axis[0], keepdims=int(keep))
    return b.emit("Cast", [place], to=int(ir.DataType.INT32)) if kind in ("2", "int32") else place


# ---- ONNX ------------------------------------------------------------------------------------------------------------


@from_onnx("Slice")
def slice_from_onnx(op: OnnxOp, b: Builder) -> Any:
    """Bounds are attributes before opset 10 and inputs from then on."""
    starts = op.raw("starts", None)
    if starts is None:
        return unchanged(op, b)
    axes = op.raw("axes", None)
    return emit_slice(b, op.value(0), starts, op.raw("ends"), list(range(len(starts))) if axes is None else axes)


@from_onnx("Gather", "Compress")
def gather_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b, "axis")


@from_onnx("ArgMax", "ArgMin")
def argmax_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b, "axis", "keepdims", "select_last_index")


@from_onnx("NonZero")
def non_zero_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b)


@lower("ArgMax", below=12)
@lower("ArgMin", below=12)
def lower_argmax(node: ir.Node, opset: int) -> None:
    drop_attribute(node, "select_last_index", opset, harmless=0)


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


def along(axis: int, picked: str) -> str:
    """The subscript that picks along one axis; a negative one is counted from the end."""
    return ", ".join([*[":"] * axis, picked] if axis >= 0 else ["...", picked, *[":"] * (-axis - 1)])


@to_torch("Gather")
def gather_to_torch(node: ir.Node, t: TorchCode) -> None:
    data, indices, axis = node.inputs[0], node.inputs[1], attribute(node, "axis", 0)
    whole, wanted = t.ints(data), t.ints(indices)
    if whole is not None and int_lists.is_list(whole) and wanted is not None and constant(data) is None:
        places = [wanted] if not int_lists.is_list(wanted) else int_lists.elements(wanted)
        numbers = None if places is None else [int_lists.as_int(place) for place in places]
        if numbers is not None and None not in numbers:
            picked = [int_lists.pick(whole, number) for number in numbers if number is not None]
            listed = int_lists.is_list(wanted)
            t.assign_ints(node.outputs[0], int_lists.display(picked) if listed else picked[0])
            return
    x = t.arg(data)
    t.assign(node.outputs[0], f"{x}[{along(axis, wanted or t.arg(indices))}]")


def vector_length(value: ir.Value | None) -> int | None:
    """How many elements a vector has, None where that is not known."""
    shape = dims(value)
    if shape is not None and len(shape) == 1 and shape[0] is not None:
        return shape[0]
    node = None if value is None else value.producer()
    if node is not None and node.op_type == "Shape" and not node.attributes:
        return known_rank(node.inputs[0])
    return None


@to_torch("Slice")
def slice_to_torch(node: ir.Node, t: TorchCode) -> None:
    inputs = [*node.inputs, None, None][:5]
    whole = t.ints(inputs[0])
    bounds = [None if value is None else t.ints(value) for value in inputs[1:]]
    numbers = [None if text is None else int_lists.as_ints(text) for text in bounds]
    if whole is not None and int_lists.is_list(whole) and constant(inputs[0]) is None and inputs[1] is not None:
        starts, ends, _, steps = numbers
        if starts is not None and ends is not None and (inputs[4] is None or steps is not None):
            step = steps[0] if steps else 1
            start, end = python_bounds(starts[0], ends[0], step)
            t.assign_ints(node.outputs[0], int_lists.take(whole, start, end, step, vector_length(inputs[0])))
            return
    x = t.arg(inputs[0])
    start_of, end_of = (nth(t, value) for value in inputs[1:3])
    axes = sliced_axes(node, numbers, inputs)
    if axes is None:
        lists = [
            f"{t.arg(value)}.tolist()" if text is None else text
            for value, text in zip(inputs[1:3], bounds, strict=False)
        ]
        t.assign(node.outputs[0], f"{x}[tuple(map(slice, {lists[0]}, {lists[1]}))]")
        return
    steps = numbers[3] if inputs[4] is not None else [1] * len(axes)
    if steps is None:
        raise ConversionError(f"Slice {node.name!r}: steps that are computed at run time have no PyTorch form")
    found = known_rank(inputs[0])
    if min(axes, default=0) < 0 and found is not None:
        axes = [axis % found for axis in axes]
    if min(axes, default=0) < 0 and len(axes) > 1:
        raise ConversionError(f"Slice {node.name!r}: negative axes need an operand of known rank")
    parts = {axis: part(x, axis, start_of(i), end_of(i), steps[i]) for i, axis in enumerate(axes)}
    if sum(step < 0 for step in steps) > 1:  # two lists of places would be paired
        expression = x
        for axis in axes:
            expression += f"[{along(axis, parts[axis])}]"
        t.assign(node.outputs[0], expression)
        return
    if min(axes, default=0) < 0:
        subscript = along(axes[0], parts[axes[0]])
    else:
        subscript = ", ".join(parts.get(axis, ":") for axis in range(max(axes, default=-1) + 1)) or "..."
    t.assign(node.outputs[0], f"{x}[{subscript}]")


def python_bounds(start: int, end: int, step: int) -> tuple[int | None, int | None]:
    """ONNX's bounds as Python's: None where they lie beyond any tensor."""
    if step > 0:
        return (None if start == 0 or start <= -FAR else start), (None if end >= FAR else end)
    return (None if start >= FAR else start), (None if end <= -FAR else end)


def nth(t: TorchCode, value: ir.Value | None) -> Any:
    """A function that gives the i-th bound as Python source."""
    text = t.ints(value)
    if text is None:
        name = t.arg(value)
        return lambda index: f"int({name}[{index}])"
    return lambda index: int_lists.pick(text, index)


def part(x: str, axis: int, start: str, end: str, step: int) -> str:
    """One axis of a subscript. A tensor cannot be sliced backward: places are listed then."""
    first, last = int_lists.as_int(start), int_lists.as_int(end)
    if first is not None:
        bound = python_bounds(first, 0, step)[0]
        start = "" if bound is None else str(bound)
    if last is not None:
        bound = python_bounds(0, last, step)[1]
        end = "" if bound is None else str(bound)
    text = f"{start}:{end}" + ("" if step == 1 else f":{step}")
    return text if step > 0 else f"list(range({x}.shape[{axis}]))[{text}]"


def sliced_axes(
    node: ir.Node, numbers: Sequence[list[int] | None], inputs: Sequence[ir.Value | None]
) -> list[int] | None:
    """The axes as numbers; None where not even their count is known."""
    if inputs[3] is not None:
        if numbers[2] is None:
            raise ConversionError(f"Slice {node.name!r}: axes that are computed at run time have no PyTorch form")
        return numbers[2]
    for bound, value in zip(numbers[:2], inputs[1:3], strict=True):
        count = len(bound) if bound is not None else vector_length(value)
        if count is not None:
            return list(range(count))
    return None


@to_torch("Compress")
def compress_to_torch(node: ir.Node, t: TorchCode) -> None:
    """The condition may be shorter than the axis; what lies behind it is left out."""
    if serves_squeeze(node):
        t.assign_ints(node.outputs[0], "0")
        return
    x, condition = t.arg(node.inputs[0]), t.arg(node.inputs[1])
    axis = attribute(node, "axis")
    places = f"{condition}.nonzero().flatten()"
    if axis is None:
        t.assign(node.outputs[0], f"{x}.flatten()[{places}]")
    else:
        t.assign(node.outputs[0], f"{x}.index_select({axis}, {places})")


@to_torch("ArgMax", "ArgMin")
def argmax_to_torch(node: ir.Node, t: TorchCode) -> None:
    if attribute(node, "select_last_index", 0):
        raise ConversionError(f"{node.op_type} {node.name!r}: select_last_index has no PyTorch form")
    keep = "" if attribute(node, "keepdims", 1) == 0 else ", keepdim=True"
    t.assign(
        node.outputs[0],
        f"torch.{node.op_type.lower()}({t.arg(node.inputs[0])}, dim={attribute(node, 'axis', 0)}{keep})",
    )


@to_torch("NonZero")
def non_zero_to_torch(node: ir.Node, t: TorchCode) -> None:
    t.assign(node.outputs[0], f"{t.arg(node.inputs[0])}.nonzero().T")
