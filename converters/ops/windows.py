"""What convolutions and pools share: windows that slide over the spatial axes, and the pads around them.

Pads are kept in ONNX's order: all begins, then all ends. A side's pad that keeps ``ceil(size / stride)`` positions
(TensorFlow's SAME) is ``max((ceil(size / stride) - 1) * stride + extent - size, 0)`` in total, with
``extent = (kernel - 1) * dilation + 1``; where the total is odd the extra one goes to the end (SAME_UPPER, and Paddle's
SAME) or to the begin (SAME_LOWER).

Sources: ONNX operator specification (Conv, MaxPool), Paddle's ``UpdatePaddingAndDilation``.
"""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import dims
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp, SourceOp

MXNET_LAYOUTS = ("None", "NCW", "NCHW", "NCDHW")
PADDLE_LAYOUTS = ("NCHW", "AnyLayout", "ANYLAYOUT", "NCDHW", "NCL")


def refuse_other_layouts(op: MxnetOp | PaddleOp) -> None:
    """Raise where the channels do not come second."""
    if isinstance(op, MxnetOp):
        op.text("layout", "None", allowed=MXNET_LAYOUTS)
    else:
        op.text("data_format", "NCHW", allowed=PADDLE_LAYOUTS)


def mxnet_steps(op: MxnetOp, key: str, count: int) -> list[int]:
    """Strides or dilations of an MXNet operator: absent, ``()`` and zeros mean 1."""
    values = op.ints(key, ()) or [1] * count
    return [value or 1 for value in values]


def mxnet_pads(op: MxnetOp, count: int) -> list[int]:
    """Pads of an MXNet operator, the same at both ends of an axis."""
    return (op.ints("pad", ()) or [0] * count) * 2


def spatial_sizes(value: ir.Value) -> list[int | None] | None:
    """Sizes of the axes behind batch and channel, None where unknown."""
    shape = dims(value)
    return None if shape is None else list(shape[2:])


def same_pads(
    op: SourceOp,
    value: ir.Value,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    *,
    extra_at_end: bool = True,
) -> list[int]:
    """Pads that keep ``ceil(size / stride)`` positions.

    Raises:
        AttributeValueError: they depend on an input size that is not known.
    """
    sizes = spatial_sizes(value) or [None] * len(kernel)
    begins, ends = [], []
    for size, window, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        extent = (window - 1) * dilation + 1
        if size is None and stride != 1:
            raise op.refuse(
                f"'same' padding with stride {stride} depends on the size of {value.name!r}, which is not known; "
                "give the model a fixed input size"
            )
        total = max(extent - 1 if size is None else (-(-size // stride) - 1) * stride + extent - size, 0)
        begins.append(total // 2 if extra_at_end else total - total // 2)
        ends.append(total - begins[-1])
    return begins + ends


def paddle_pads(
    op: PaddleOp, value: ir.Value, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Pads and dilations of a Paddle operator; its SAME algorithm sets dilations to 1.

    ``paddings`` holds one number an axis, or begin and end of each axis in turn.
    """
    count = len(kernel)
    given = op.ints("paddings", [0] * count)
    algorithm = op.text("padding_algorithm", "EXPLICIT", allowed=("EXPLICIT", "SAME", "VALID"))
    if algorithm == "SAME":
        ones = [1] * count
        return same_pads(op, value, kernel, strides, ones), ones
    if algorithm == "VALID":
        return [0] * 2 * count, list(dilations)
    if len(given) == count:
        return given * 2, list(dilations)
    if len(given) == 2 * count:
        return given[0::2] + given[1::2], list(dilations)
    raise op.refuse(f"paddings {given} do not fit a kernel of {count} dimensions")


def onnx_pads(
    op: OnnxOp, value: ir.Value, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    """Explicit pads of an ONNX Conv or pool, ``auto_pad`` resolved."""
    given = [int(pad) for pad in op.raw("pads", [0] * 2 * len(kernel))]
    mode = str(op.raw("auto_pad", "NOTSET"))
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        return same_pads(op, value, kernel, strides, dilations, extra_at_end=mode == "SAME_UPPER")
    if mode == "VALID":
        return [0] * 2 * len(kernel)
    if mode not in ("NOTSET", ""):
        raise op.refuse(f"auto_pad {mode!r} is not an ONNX value")
    return given


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


def dimension(node: ir.Node, count: int) -> str:
    """``1d``, ``2d`` or ``3d``, the end of a PyTorch class name."""
    if count not in (1, 2, 3):
        raise ConversionError(f"{node.op_type} {node.name!r}: PyTorch has no such layer for {count} spatial axes")
    return f"{count}d"


def compact(values: Sequence[int]) -> str:
    """``3`` for (3, 3), else the tuple."""
    return str(values[0]) if len(set(values)) == 1 else str(tuple(values))


def keywords(**values: object) -> str:
    """``, name=value`` for every value that is not None."""
    return "".join(f", {name}={value}" for name, value in values.items() if value is not None)


def unless(values: Sequence[int], default: int) -> str | None:
    """The compact text, or None where every value is the default."""
    return None if set(values) == {default} else compact(values)


def padded(expression: str, pads: Sequence[int], fill: str | None = None) -> str:
    """``F.pad(x, [left, right, top, bottom])`` from ONNX pads; the expression itself where nothing is padded."""
    if not any(pads):
        return expression
    count = len(pads) // 2
    order = [pads[axis + side * count] for axis in reversed(range(count)) for side in (0, 1)]
    return f"F.pad({expression}, {order}{keywords(value=fill)})"
