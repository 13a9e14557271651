"""What Paddle's image operators share: they want (N,C,H,W) or (N,C,D,H,W), and pads axis by axis.

A tensor (N,C,L) is taken for an image of height 1: an axis is put in before the operator and taken away behind it, as
Paddle's own 1-D layers do.
"""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.paddle_nodes import PaddleNodes

HEIGHT = 2  # axis that stands for the height of a sequence


def with_height(values: Sequence[int], number: int) -> list[int]:
    """Kernel, strides or dilations of one axis as those of two."""
    return [number, *values] if len(values) == 1 else list(values)


def pads_with_height(pads: Sequence[int]) -> list[int]:
    """ONNX pads (all begins, all ends) of one axis as those of two."""
    return [0, pads[0], 0, pads[1]] if len(pads) == 2 else list(pads)


def paddings(pads: Sequence[int]) -> list[int]:
    """Paddle's order: one number an axis where both ends are equal, else begin and end of every axis in turn."""
    count = len(pads) // 2
    begins, ends = list(pads[:count]), list(pads[count:])
    return begins if begins == ends else [pad for pair in zip(begins, ends, strict=True) for pad in pair]


def as_image(p: PaddleNodes, name: str) -> str:
    """A variable (N,C,L) as (N,C,1,L); any other as it is."""
    shape = p.shape(name)
    if len(shape) != 3:
        return name
    return p.emit("unsqueeze2", {"X": name}, sized=(*shape[:2], 1, shape[2]), axes=[HEIGHT])


def image_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of a sequence as that of an image."""
    return (*shape[:2], 1, shape[2]) if len(shape) == 3 else tuple(shape)


def as_sequence(p: PaddleNodes, name: str, into: ir.Value | None = None) -> str:
    """The reverse of :func:`as_image`."""
    shape = p.shape(name)
    return p.emit("squeeze2", {"X": name}, into, sized=(*shape[:2], shape[3]), axes=[HEIGHT])
