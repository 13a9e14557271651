"""Images made larger, smaller or cropped to another's size: Resize, and the crops of MXNet.

Resize maps a place of the result to one of the operand; the sources differ in that map (x: place in the result,
s: factor of the size):

    asymmetric          x / s                       MXNet nearest, Paddle align_mode 1 and nearest, ONNX before 11
    half_pixel          (x + 0.5) / s - 0.5         torch, align_corners=False
    pytorch_half_pixel  the same, 0 for one pixel   Paddle align_mode 0
    align_corners       x (in - 1) / (out - 1)      torch and Paddle with align_corners

MXNet's bilinear UpSampling is a transposed convolution with a weight. Sources: the behaviour of MXNet 1.9.1, Paddle
3.3.1 and torch 2.13, the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Builder, attribute, constant, dims
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops import int_lists
from facecvt.converters.ops.nearest_maps import torch_mode_of_nearest
from facecvt.converters.ops.paddle_operands import ints_or_value
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, lower, to_torch
from facecvt.converters.ops.rewriting import add_constant, drop_attribute
from facecvt.converters.ops.value_facts import known_rank
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp
from facecvt.converters.torch_code import TorchCode

OLD_MAP: dict[str, Any] = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}

# ---- MXNet -----------------------------------------------------------------------------------------------------------


@from_mxnet("UpSampling")
def up_sampling_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    kind, scale = op.text("sample_type", allowed=("nearest", "bilinear")), op.integer("scale")
    join = op.text("multi_input_mode", "concat", allowed=("concat", "sum"))  # counts for several inputs only
    filters = op.integer("num_filter", 0)
    if kind == "nearest":
        scales = b.const([1.0, 1.0, scale, scale], np.float32)
        first = b.emit("Resize", [op.inputs[0], None, scales], mode="nearest", **OLD_MAP)
        if len(op.inputs) == 1:
            return first
        size = spatial_shape(b, first)
        others = [emit_to_size(b, value, size, mode="nearest", **OLD_MAP) for value in op.inputs[1:]]
        return b.emit("Sum", [first, *others]) if join == "sum" else b.emit("Concat", [first, *others], axis=1)
    kernel, pad = 2 * scale - scale % 2, scale // 2
    return b.emit(
        "ConvTranspose",
        op.inputs,
        kernel_shape=[kernel, kernel],
        strides=[scale, scale],
        pads=[pad] * 4,
        dilations=[1, 1],
        group=filters,
    )


# what a size becomes that is even, and one that is odd
NEXT_SIZES = {"to_even_down": (0, -1), "to_even_up": (0, 1), "to_odd_down": (-1, 0), "to_odd_up": (1, 0)}


def neighbouring_size(op: MxnetOp, kind: str) -> list[int]:
    """Height and width of the modes that go by the input's own, whether it is even or odd."""
    inner = (dims(op.inputs[0]) or (None,) * 4)[2:]
    known = [size for size in inner if size is not None]
    if len(known) < 2:
        raise op.refuse(f"mode {kind!r} needs an input of known size; give the input shapes")
    if kind != "odd_scale":
        return [size + NEXT_SIZES[kind][size % 2] for size in known]
    scales = [op.number("scale_height"), op.number("scale_width")]
    return [int((n - 1) * s) + 1 if n % 2 else int(n * s) for n, s in zip(known, scales, strict=True)]


@from_mxnet("_contrib_BilinearResize2D")
def bilinear_resize_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """To a size, by factors (the product is cut to a whole size), to the size of a second input, or one more or less.

    Where corners are not aligned one pixel is the first one, not the middle that half_pixel takes.
    """
    kind, x = op.text("mode", "size", allowed=("size", "like", "odd_scale", *NEXT_SIZES)), op.inputs[0]
    written = [op.integer("height", 1), op.integer("width", 1)]
    factors = [op.raw(key, "None") for key in ("scale_height", "scale_width")]
    mapping = "align_corners" if op.boolean("align_corners", True) else "half_pixel"
    wanted: list[int | None] = [*written]
    if kind == "like":
        wanted = list((dims(op.inputs[1]) or (None,) * 4)[2:])
    elif kind != "size":
        wanted = [*neighbouring_size(op, kind)]
    elif "None" not in factors:
        scales = [op.number("scale_height"), op.number("scale_width")]
        inner = (dims(x) or (None,) * 4)[2:]
        if None in inner:
            if any(scale % 1 for scale in scales):
                raise op.refuse(f"scales {scales} need an input of known size; give the input shapes")
            return emit_linear(b, x, mapping, scales=scales)
        wanted = [None if old is None else int(scale * old) for scale, old in zip(scales, inner, strict=True)]
    known = [size for size in wanted if size is not None]
    if len(known) < 2:
        mapping = "pytorch_half_pixel" if mapping == "half_pixel" else mapping
        return emit_linear(b, x, mapping, sizes=spatial_shape(b, op.inputs[1]))
    single = [axis for axis, size in zip((2, 3), known, strict=True) if size == 1]
    if single and mapping == "half_pixel":
        count = len(single)
        x = b.emit("Slice", [x, b.const([0] * count), b.const([1] * count), b.const(single)])
    return emit_linear(b, x, mapping, sizes=b.const(known))


def emit_linear(
    b: Builder, x: ir.Value, mapping: str, *, scales: Sequence[float] = (), sizes: ir.Value | None = None
) -> ir.Value:
    """A linear Resize of height and width, by factors or to sizes."""
    options: dict[str, Any] = {"mode": "linear", "coordinate_transformation_mode": mapping}
    inputs: list[ir.Value | None] = [x, None]
    if sizes is None:
        inputs.append(b.const([1.0, 1.0, *scales], np.float32))
    else:
        return emit_to_size(b, x, sizes, **options)
    result: ir.Value = b.emit("Resize", inputs, **options)
    return result


def emit_to_size(b: Builder, x: ir.Value, sizes: ir.Value, **options: Any) -> ir.Value:
    """A Resize to a height and width."""
    leading = b.emit("Slice", [b.emit("Shape", [x]), b.const([0]), b.const([2]), b.const([0])])
    result: ir.Value = b.emit("Resize", [x, None, None, b.emit("Concat", [leading, sizes], axis=0)], **options)
    return result


@from_mxnet("Crop")
def crop_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    """Height and width cut to ``h_w`` or to those of a second input, from an offset or out of the middle."""
    x, offset, size = op.inputs[0], op.ints("offset", (0, 0)), op.ints("h_w", (0, 0))
    center = op.boolean("center_crop", False)
    wanted = spatial_shape(b, op.inputs[1]) if len(op.inputs) == 2 else b.const(size)
    if len(op.inputs) == 1 and 0 in size:
        raise op.refuse("neither h_w nor a second input says the size")
    if center:
        start = b.emit("Div", [b.emit("Sub", [spatial_shape(b, x), wanted]), b.const([2])])
        end = b.emit("Add", [start, wanted])
    elif len(op.inputs) == 1:
        start, end = b.const(offset), b.const([place + length for place, length in zip(offset, size, strict=True)])
    else:
        start = b.const(offset)
        end = wanted if offset == [0, 0] else b.emit("Add", [wanted, start])
    return b.emit("Slice", [x, start, end, b.const([2, 3])])


def spatial_shape(b: Builder, value: ir.Value) -> ir.Value:
    """Height and width as an int64 vector."""
    result: ir.Value = b.emit("Slice", [b.emit("Shape", [value]), b.const([2]), b.const([4]), b.const([0])])
    return result


# ---- Paddle ----------------------------------------------------------------------------------------------------------


@from_paddle("nearest_interp", "nearest_interp_v2", "bilinear_interp", "bilinear_interp_v2")
def interpolate_from_paddle(op: PaddleOp, b: Builder) -> Any:
    """By scale where one is given, else to a size; the oldest form always maps places by the sizes."""
    nearest = op.op.startswith("nearest")
    op.text("interp_method", "nearest" if nearest else "bilinear", allowed=("nearest", "bilinear"))
    op.text("data_format" if op.pir else "data_layout", "NCHW", allowed=("NCHW",))
    op.raw("out_d", -1)
    corners, align_mode = op.boolean("align_corners", True), op.integer("align_mode", 1)
    if nearest:
        mapping = "align_corners" if corners else "asymmetric"
    else:
        mapping = "align_corners" if corners else "pytorch_half_pixel" if align_mode == 0 else "asymmetric"
    options: dict[str, Any] = {
        "mode": "nearest" if nearest else "linear",
        "coordinate_transformation_mode": mapping,
        "nearest_mode": ("round_prefer_ceil" if corners else "floor") if nearest else None,
    }
    x = op.value("X", 0)
    sizes, scales = wanted_size(op, b), wanted_scales(op)
    if sizes is None:
        if scales is None:
            raise op.refuse("neither a size nor a scale is given")
        if not op.pir and not op.op.endswith("_v2") and any(scale % 1 for scale in scales):
            raise op.refuse(f"scale {scales}: this form of the operator is supported with whole scales only")
        return b.emit("Resize", [x, None, b.const([1.0, 1.0, *scales], np.float32)], **options)
    leading = b.emit("Slice", [b.emit("Shape", [x]), b.const([0]), b.const([2]), b.const([0])])
    return b.emit("Resize", [x, None, None, b.emit("Concat", [leading, sizes], axis=0)], **options)


def wanted_size(op: PaddleOp, b: Builder) -> ir.Value | None:
    """Height and width that an input asks for, or attributes where there is no scale."""
    written = [op.integer("out_h", -1), op.integer("out_w", -1)]
    given = op.many("SizeTensor", 2) or op.many("OutSize", 1)
    if given:
        slot = "SizeTensor" if op.many("SizeTensor", 2) else "OutSize"
        found = ints_or_value(op, b, "", tensor=slot, operand=2 if slot == "SizeTensor" else 1)
        return found if isinstance(found, ir.Value) else b.const(found)
    return b.const(written) if min(written) > 0 and wanted_scales(op) is None else None


def wanted_scales(op: PaddleOp) -> list[float] | None:
    """Factors of height and width, None where there are none."""
    given, written = op.optional("Scale", 3), op.raw("scale", [])
    if given is not None:
        scales = [float(item) for item in op.weight(given, "Scale").reshape(-1)]
    else:
        scales = [float(item) for item in (written if isinstance(written, (list, tuple)) else [written])]
    if not scales or min(scales) <= 0:
        return None
    return scales if len(scales) == 2 else [scales[0], scales[0]]


# ---- ONNX ------------------------------------------------------------------------------------------------------------


@from_onnx("Upsample")
def upsample_from_onnx(op: OnnxOp, b: Builder) -> Any:
    """Factors are an attribute at opset 7 and an input at 9; all are at least 1."""
    mode, written = str(op.raw("mode", "nearest")), op.raw("scales", None)
    scales = op.value(1) if written is None else b.const(written, np.float32)
    return b.emit("Resize", [op.value(0), None, scales], mode="linear" if mode == "bilinear" else mode, **OLD_MAP)


@from_onnx("Resize")
def resize_from_onnx(op: OnnxOp, b: Builder) -> Any:
    mode = str(op.raw("mode", "nearest"))
    if op.opset < 11:
        factors = constant(op.value(1))
        if mode == "nearest" and (factors is None or (factors < 1).any()):
            raise op.refuse("at opset 10 it is not defined which pixel is nearest where an image becomes smaller")
        return b.emit("Resize", [op.value(0), None, op.value(1)], mode=mode, **OLD_MAP)
    mapping = str(op.raw("coordinate_transformation_mode", "half_pixel"))
    if mapping in ("tf_crop_and_resize", "tf_half_pixel_for_nn"):
        raise op.refuse(f"coordinate_transformation_mode {mapping!r} is not supported")
    if str(op.raw("keep_aspect_ratio_policy", "stretch")) != "stretch":
        raise op.refuse("only keep_aspect_ratio_policy 'stretch' is supported")
    op.raw("extrapolation_value", 0.0)  # counts for tf_crop_and_resize only
    cubic = {key: op.raw(key) for key in ("cubic_coeff_a", "exclude_outside") if op.has(key)}
    scales, sizes = given_or_none(op.input(2)), given_or_none(op.input(3))
    axes = op.raw("axes", None)
    if axes is not None:
        scales, sizes = for_all_axes(op, b, axes, scales, sizes)
    return b.emit(
        "Resize",
        [op.value(0), None, scales] if sizes is None else [op.value(0), None, None, sizes],
        mode=mode,
        coordinate_transformation_mode=mapping,
        nearest_mode=str(op.raw("nearest_mode", "round_prefer_floor")) if mode == "nearest" else None,
        antialias=int(op.raw("antialias", 0)) or None,
        **(cubic if mode == "cubic" else {}),
    )


def given_or_none(value: ir.Value | None) -> ir.Value | None:
    """None for an input that is left out or empty, which opset 11 wrote for absent."""
    array = constant(value)
    return None if array is not None and array.size == 0 else value


def for_all_axes(
    op: OnnxOp, b: Builder, axes: Sequence[int], scales: ir.Value | None, sizes: ir.Value | None
) -> tuple[ir.Value | None, ir.Value | None]:
    """Scales or sizes of every axis from those of some."""
    found = known_rank(op.value(0))
    if found is None:
        raise op.refuse("axes need an operand of known rank")
    places = [axis % found for axis in axes]
    if scales is not None:
        factors = np.ones(found, np.float32)
        factors[places] = op.weight(scales, "scales")
        return b.const(factors, np.float32), None
    first = min(places)
    if places != list(range(first, found)):
        raise op.refuse(f"sizes for the axes {list(axes)} are supported only where these are the last ones, in order")
    leading = b.emit("Slice", [b.emit("Shape", [op.value(0)]), b.const([0]), b.const([first]), b.const([0])])
    return None, b.emit("Concat", [leading, sizes], axis=0)


@lower("Resize", below=19)
def lower_resize_mapping(node: ir.Node, opset: int) -> None:
    if attribute(node, "coordinate_transformation_mode") == "half_pixel_symmetric":
        raise ConversionError(f"Resize {node.name!r}: half_pixel_symmetric needs opset 19. Choose a newer --opset.")


@lower("Resize", below=18)
def lower_resize_antialias(node: ir.Node, opset: int) -> None:
    drop_attribute(node, "antialias", opset, harmless=0)


@lower("Resize", below=13)
def lower_resize_inputs(node: ir.Node, opset: int) -> None:
    """roi and scales must be there before opset 13, empty where they say nothing."""
    node.resize_inputs(max(3, len(node.inputs)))
    for index in (1, 2):
        if node.inputs[index] is None:
            node.replace_input_with(index, add_constant(node, [], np.float32))


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


@to_torch("Resize")
def resize_to_torch(node: ir.Node, t: TorchCode) -> None:
    if attribute(node, "antialias", 0):
        raise ConversionError(f"Resize {node.name!r}: antialias has no exact PyTorch form")
    factors, size = scale_factors(node), size_expression(node, t)
    mode = attribute(node, "mode", "nearest")
    pairs = spatial_pairs(node, size)
    options = nearest_options(node, factors, pairs) if mode == "nearest" else linear_options(node, factors, pairs, mode)
    if factors is None:
        size_text = f"size={size}"
    else:
        texts = [t.number(factor) for factor in factors]
        size_text = f"scale_factor={texts[0] if len(set(texts)) == 1 else '(' + ', '.join(texts) + ')'}"
    t.assign(node.outputs[0], f"F.interpolate({t.arg(node.inputs[0])}, {size_text}, {options})")


def scale_factors(node: ir.Node) -> list[float] | None:
    """Constant factors of the spatial axes; None where sizes are given."""
    scales = node.inputs[2] if len(node.inputs) > 2 else None
    if scales is None:
        return None
    array = constant(scales)
    if array is None:
        raise ConversionError(f"Resize {node.name!r}: scales that are computed at run time have no PyTorch form")
    if (array[:2] != 1).any():
        raise ConversionError(f"Resize {node.name!r}: scales {array.tolist()} also resize batch or channels")
    return [float(factor) for factor in array[2:]]


def size_expression(node: ir.Node, t: TorchCode) -> str | None:
    """The spatial sizes as Python source; None where factors are given."""
    if len(node.inputs) < 4 or node.inputs[3] is None:
        return None
    sizes, x = t.ints(node.inputs[3]), t.arg(node.inputs[0])
    items = None if sizes is None else int_lists.elements(sizes)
    if items is None:
        if sizes is None:
            return f"{t.arg(node.inputs[3])}[2:].tolist()"
        return int_lists.take(sizes, 2, None, 1)
    known = dims(node.inputs[0]) or (None, None)
    for axis in range(2):
        if items[axis] != f"{x}.shape[{axis}]" and items[axis] != str(known[axis]):
            raise ConversionError(
                f"Resize {node.name!r}: size {items[axis]} of axis {axis} is not known to be that of the operand, and "
                "PyTorch resizes neither batch nor channels"
            )
    return int_lists.display(items[2:])


def spatial_pairs(node: ir.Node, size: str | None) -> list[tuple[int | None, int | None]]:
    """Sizes before and after of every spatial axis, None where they are dynamic."""
    before, after = (dims(node.inputs[0]) or ())[2:], (dims(node.outputs[0]) or ())[2:]
    written = None if size is None or not int_lists.is_list(size) else int_lists.elements(size)
    if written is not None:
        after = tuple(int_lists.as_int(item) for item in written)
    count = max(len(before), len(after))
    return list(zip(before or (None,) * count, after or (None,) * count, strict=True))


def nearest_options(node: ir.Node, factors: list[float] | None, pairs: list[tuple[int | None, int | None]]) -> str:
    mapping = attribute(node, "coordinate_transformation_mode", "half_pixel")
    rounding = attribute(node, "nearest_mode", "round_prefer_floor")
    static = [(a, b) for a, b in pairs if a is not None and b is not None]
    mode = torch_mode_of_nearest(mapping, rounding, factors, static if static and len(static) == len(pairs) else None)
    if mode is None:
        raise ConversionError(
            f"Resize {node.name!r}: nearest with {mapping}, {rounding} picks other pixels than PyTorch at these sizes"
        )
    return f'mode="{mode}"'


def linear_options(
    node: ir.Node, factors: list[float] | None, pairs: list[tuple[int | None, int | None]], mode: str
) -> str:
    count = len(factors) if factors is not None else len(pairs) or (known_rank(node.inputs[0]) or 4) - 2
    mapping = attribute(node, "coordinate_transformation_mode", "half_pixel")
    if mapping == "pytorch_half_pixel" and never_one_pixel(factors, pairs):
        mapping = "half_pixel"
    if mode != "linear" or mapping not in ("half_pixel", "align_corners"):
        raise ConversionError(f"Resize {node.name!r}: mode {mode} with {mapping} has no exact PyTorch form")
    name = {1: "linear", 2: "bilinear", 3: "trilinear"}[count]
    return f'mode="{name}", align_corners={mapping == "align_corners"}'


def never_one_pixel(factors: list[float] | None, pairs: list[tuple[int | None, int | None]]) -> bool:
    """Whether no axis shrinks to one pixel, the only place where pytorch_half_pixel is not what PyTorch does."""
    if factors is not None and min(factors) >= 1:
        return True
    return bool(pairs) and all(before == 1 or (after is not None and after > 1) for before, after in pairs)
