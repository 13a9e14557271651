"""Values that are not computed from data: constants, shapes, ranges; and Cast.

An ONNX Constant and a Paddle fill of constant size become initializers. Shape is int64 here; Paddle's is int32, so a
Cast follows it. Sources: ONNX operator specification; Paddle's data type numbers (VarType of the framework's schema).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Builder, attribute, constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops import int_lists
from facecvt.converters.ops.paddle_operands import ints_or_value
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, lower, to_torch
from facecvt.converters.ops.rewriting import add_constant, become, insert_before
from facecvt.converters.ops.unchanged import unchanged
from facecvt.converters.ops.value_facts import element_type, known_rank, number_like
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp, SourceOp
from facecvt.converters.torch_code import TorchCode

PADDLE_TYPES = {
    0: "bool",
    1: "int16",
    2: "int32",
    3: "int64",
    4: "float16",
    5: "float32",
    6: "float64",
    20: "uint8",
    21: "int8",
    22: "bfloat16",
}
ASSIGNED_TYPES = ("fp32", "fp64", "int32", "int64", "int8", "bool")
SMALL = 4096  # elements up to which a filled tensor is written out as a constant


# ---- MXNet -----------------------------------------------------------------------------------------------------------


@from_mxnet("Cast", "cast", "amp_cast")
def cast_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit("Cast", op.inputs, to=type_number(op, op.text("dtype")))


@from_mxnet("shape_array")
def shape_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return b.emit("Shape", op.inputs)


@from_mxnet("_zeros", "_ones", "_full")
def fill_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """One number everywhere: ``mx.sym.zeros``, ``ones`` and ``full``."""
    number = op.number("value") if op.op == "_full" else float(op.op == "_ones")
    op.raw("ctx", None)
    return filled(b, op.ints("shape") or [], number, np.dtype(op.text("dtype", "float32")))


@from_mxnet("zeros_like", "ones_like")
def fill_like_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """One number in the shape and type of the operand, whose own numbers do not matter."""
    return filled_like(b, op.inputs[0], float(op.op == "ones_like"))


def filled_like(b: Builder, like: ir.Value, number: float) -> Any:
    """A number in the shape and element type of a value."""
    return b.emit("Expand", [number_like(b, like, number), b.emit("Shape", [like])])


def type_number(op: SourceOp, name: str) -> int:
    """ONNX's number of a data type that is named as in numpy."""
    if name == "bfloat16":
        return int(ir.DataType.BFLOAT16)
    try:
        return int(ir.DataType.from_numpy(np.dtype(name)))
    except TypeError as error:
        raise op.refuse(f"data type {name!r} is not supported") from error


# ---- Paddle ----------------------------------------------------------------------------------------------------------


def paddle_type(op: PaddleOp, key: str, default: Any = 5) -> str:
    """A data type attribute as a numpy name; a legacy program numbers them, PIR names them."""
    value = op.raw(key, default)
    name = PADDLE_TYPES.get(value) if isinstance(value, int) else str(value)
    if name is None:
        raise op.refuse(f"data type {value} is not supported")
    return name


@from_paddle("cast")
def cast_from_paddle(op: PaddleOp, b: Builder) -> Any:
    op.raw("in_dtype", None)
    target = paddle_type(op, "dtype" if op.pir else "out_dtype")
    return b.emit("Cast", [op.value("X", 0)], to=type_number(op, target))


@from_paddle("shape", "shape64")
def shape_from_paddle(op: PaddleOp, b: Builder) -> Any:
    shape = b.emit("Shape", [op.value("Input", 0)])
    return shape if op.op == "shape64" else b.emit("Cast", [shape], to=int(ir.DataType.INT32))


@from_paddle("fill_constant", "full", "full_int_array")
def fill_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """One number everywhere; ``full_int_array`` is a vector of numbers."""
    if op.op == "full_int_array":
        return b.const(op.ints("value"), np.dtype(paddle_type(op, "dtype", "int64")))
    dtype = np.dtype(paddle_type(op, "dtype"))
    text = "" if op.pir else str(op.raw("str_value", ""))
    number = op.number("value", 0.0)
    number = float(text) if text else number
    op.raw("place_type", -1)
    op.raw("force_cpu", False)
    given = op.optional("ValueTensor", None)
    if given is not None:
        number = float(op.weight(given, "ValueTensor").reshape(-1)[0])
    shape = ints_or_value(op, b, "shape", tensor="ShapeTensor", parts="ShapeTensorList", default=())
    return filled(b, shape, number, dtype)


@from_paddle("fill_any_like", "fill_zeros_like", "full_like")
def fill_like_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """One number in the shape of the operand, of its type unless another is asked for."""
    x, number = op.value("X", 0), op.number("value", 0.0, operand=1)
    written = op.raw("dtype", -1)
    if written == -1 or str(written).lower().startswith("undefined"):
        return filled_like(b, x, number)
    return b.emit("Expand", [b.const(number, np.dtype(paddle_type(op, "dtype"))), b.emit("Shape", [x])])


@from_paddle("size", "numel")
def size_from_paddle(op: PaddleOp, b: Builder) -> Any:
    return b.emit("Size", [op.value("Input", 0)])


@from_paddle("full_with_tensor")
def full_from_paddle(op: PaddleOp, b: Builder) -> Any:
    number = float(op.weight(op.value("", 0), "the value").reshape(-1)[0])
    shape = ints_or_value(op, b, "shape", operand=1, default=())
    return filled(b, shape, number, np.dtype(paddle_type(op, "dtype")))


def filled(b: Builder, shape: list[int] | ir.Value, number: float, dtype: Any) -> Any:
    if isinstance(shape, ir.Value):
        return b.emit("Expand", [b.const(number, dtype), shape])
    if int(np.prod(shape)) <= SMALL:
        return b.const(np.full(shape, number, dtype), dtype)
    return b.emit("Expand", [b.const(number, dtype), b.const(shape)])


@from_paddle("assign_value")
def assign_value_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """Numbers written out in the program, in the attribute of their type."""
    dtype, shape = np.dtype(paddle_type(op, "dtype")), op.ints("shape")
    written = [op.raw(key, []) for key in ("values", *(f"{kind}_values" for kind in ASSIGNED_TYPES))]
    numbers: list[Any] = next((values for values in written if values), [])
    if len(numbers) != int(np.prod(shape)):
        raise op.refuse(f"{len(numbers)} numbers are written for shape {shape}")
    return b.const(np.array(numbers, dtype).reshape(shape), dtype)


@from_paddle("range", "arange")
def range_from_paddle(op: PaddleOp, b: Builder) -> Any:
    values = [op.value(slot, index) for index, slot in enumerate(("Start", "End", "Step"))]
    arrays = [constant(value) for value in values]
    written = op.raw("dtype", None)
    target = element_type(values[0]) if written is None else ir.DataType(type_number(op, paddle_type(op, "dtype")))
    if all(array is not None for array in arrays):
        start, end, step = (array.reshape(-1)[0] for array in arrays if array is not None)
        return b.const(np.arange(start, end, step), (target or ir.DataType.FLOAT).numpy())
    scalars = [value if known_rank(value) == 0 else b.emit("Reshape", [value, b.const([])]) for value in values]
    if target is not None:
        scalars = [
            value if element_type(value) == target else b.emit("Cast", [value], to=int(target)) for value in scalars
        ]
    return b.emit("Range", scalars)


# ---- ONNX ------------------------------------------------------------------------------------------------------------


@from_onnx("Constant")
def constant_from_onnx(op: OnnxOp, b: Builder) -> Any:
    forms: dict[str, Any] = {"value": None, "value_int": np.int64, "value_ints": np.int64}
    forms.update({"value_float": np.float32, "value_floats": np.float32})
    for key, dtype in forms.items():
        if op.has(key):
            value = op.raw(key)
            return b.const(value.numpy(), None) if key == "value" else b.const(value, dtype)
    raise op.refuse("only dense constants of numbers are supported")


@from_onnx("ConstantOfShape")
def constant_of_shape_from_onnx(op: OnnxOp, b: Builder) -> Any:
    value, shape = op.raw("value", None), constant(op.value(0))
    number = np.zeros(1, np.float32) if value is None else value.numpy()
    if shape is not None and int(np.prod(shape)) <= SMALL:
        return b.const(np.full(shape.tolist(), number.reshape(-1)[0], number.dtype), None)
    return b.emit("Expand", [b.const(number.reshape(-1)[0], number.dtype), op.value(0)])


@from_onnx("Shape")
def shape_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b, "start", "end")


@from_onnx("Cast")
def cast_from_onnx(op: OnnxOp, b: Builder) -> Any:
    """``saturate`` counts for 8-bit floats only, and ONNX Runtime refuses it elsewhere."""
    target = ir.DataType(int(op.raw("to")))
    saturate = int(op.raw("saturate", 1))
    small = target.name.startswith("FLOAT8")
    return b.emit("Cast", op.inputs, to=int(target), saturate=saturate if small and not saturate else None)


@from_onnx("Range", "Size")
def range_from_onnx(op: OnnxOp, b: Builder) -> Any:
    return unchanged(op, b)


@lower("Shape", below=15)
def lower_shape(node: ir.Node, opset: int) -> None:
    """A part of the shape is cut out by a Slice."""
    start, end = attribute(node, "start", 0), attribute(node, "end")
    for name in ("start", "end"):
        node.attributes.pop(name, None)
    if start == 0 and end is None:
        return
    whole = insert_before(node, "Shape", [node.inputs[0]])
    bounds = [add_constant(node, [place], np.int64) for place in (start, 2**63 - 1 if end is None else end, 0)]
    become(node, "Slice", [whole, *bounds])


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


@to_torch("Shape")
def shape_to_torch(node: ir.Node, t: TorchCode) -> None:
    start, end, inner = attribute(node, "start", 0), attribute(node, "end"), t.ints(node.inputs[0])
    if inner is not None and int_lists.is_list(inner):  # the shape of a shape
        items = int_lists.elements(inner)
        whole = f"[{len(items) if items is not None else f'len({int_lists.source(inner)})'}]"
    else:
        whole = f"list({t.arg(node.inputs[0])}.shape)"
    t.assign_ints(node.outputs[0], whole if (start, end) == (0, None) else int_lists.take(whole, start or None, end, 1))


@to_torch("Size")
def size_to_torch(node: ir.Node, t: TorchCode) -> None:
    t.assign_ints(node.outputs[0], f"{t.arg(node.inputs[0])}.numel()")


@to_torch("Cast")
def cast_to_torch(node: ir.Node, t: TorchCode) -> None:
    """Shape arithmetic stays Python ints through int32 and int64, unless it leaves the model."""
    target, ints = ir.DataType(attribute(node, "to")), t.ints(node.inputs[0])
    leaves = any(value is node.outputs[0] for value in t.graph.outputs)
    if ints is not None and not leaves and target in (ir.DataType.INT64, ir.DataType.INT32):
        t.assign_ints(node.outputs[0], ints)
        return
    t.assign(node.outputs[0], f"{t.arg(node.inputs[0])}.to({torch_type(target, node)})")


def torch_type(target: ir.DataType, node: ir.Node) -> str:
    """``torch.float32`` and the like."""
    if target == ir.DataType.BFLOAT16:
        return "torch.bfloat16"
    if target == ir.DataType.STRING:
        raise ConversionError(f"Cast {node.name!r}: text has no PyTorch form")
    return f"torch.{target.numpy().name}"


@to_torch("Range")
def range_to_torch(node: ir.Node, t: TorchCode) -> None:
    ints = [t.ints(value) for value in node.inputs]
    if all(text is not None and not int_lists.is_list(text) for text in ints):
        t.assign_ints(node.outputs[0], f"list(range({', '.join(text for text in ints if text is not None)}))")
        return
    bounds = []
    for value in node.inputs:
        array = constant(value)
        bounds.append(t.number(float(array)) if array is not None else f"float({t.arg(value)})")
    kind = element_type(node.inputs[0]) or ir.DataType.FLOAT
    t.assign(node.outputs[0], f"torch.arange({', '.join(bounds)}, dtype={torch_type(kind, node)})")
