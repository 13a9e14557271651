"""Pad, written to Paddle.

Zeros or another number go around any axis (``pad``); the other modes around the spatial axes only (``pad3d``, which
wants five dimensions: axes of size 1 are put in before and taken away behind it). Negative amounts are a slice. Source:
Paddle 3.3.1 ``pad`` and ``pad3d``.
"""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.converters.graph import constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import to_paddle
from facecvt.converters.paddle_nodes import UNKNOWN, PaddleNodes

MODES = {"edge": "replicate", "reflect": "reflect", "wrap": "circular"}
FAR = 2**31 - 1
Pairs = Sequence[tuple[int, int]]


@to_paddle("Pad")
def pad_to_paddle(node: ir.Node, p: PaddleNodes) -> None:
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        raise p.refuse("amounts for named axes are not supported")
    amounts, mode = p.ints(node.inputs[1], "amounts"), p.attribute("mode", "constant")
    count = len(amounts) // 2
    pairs = list(zip(amounts[:count], amounts[count:], strict=True))
    x, result = p.arg(node.inputs[0]), node.outputs[0]
    grown = [(max(begin, 0), max(end, 0)) for begin, end in pairs]
    if mode != "constant":
        if min(amounts) < 0:
            raise p.refuse(f"negative amounts in mode {mode!r} have no Paddle form")
        pad_spatial(p, x, pairs, MODES[mode], result)
        return
    if min(amounts, default=0) < 0:
        grows = any(pair != (0, 0) for pair in grown)
        x = cut_off(p, x, pairs, None if grows else result)
        if not grows:
            return
    flat = [amount for pair in grown for amount in pair]
    p.emit("pad", {"X": x}, result, paddings=flat, pad_value=fill_of(node, p))


def fill_of(node: ir.Node, p: PaddleNodes) -> float:
    value = node.inputs[2] if len(node.inputs) > 2 else None
    array = constant(value)
    if value is not None and array is None:
        raise p.refuse("a number that is computed at run time has no Paddle form")
    return 0.0 if array is None else float(array.reshape(-1)[0])


def padded_shape(shape: Sequence[int], pairs: Pairs) -> tuple[int, ...]:
    return tuple(size if size == UNKNOWN else size + sum(pair) for size, pair in zip(shape, pairs, strict=True))


def cut_off(p: PaddleNodes, name: str, pairs: Pairs, into: ir.Value | None) -> str:
    """The axes with negative amounts cut by them."""
    axes = [axis for axis, pair in enumerate(pairs) if min(pair) < 0]
    less = [(min(begin, 0), min(end, 0)) for begin, end in pairs]
    return p.emit(
        "slice",
        {"Input": name},
        into,
        sized=padded_shape(p.shape(name), less),
        axes=axes,
        starts=[-less[axis][0] for axis in axes],
        ends=[less[axis][1] or FAR for axis in axes],
        infer_flags=[1] * len(axes),
    )


def pad_spatial(p: PaddleNodes, name: str, pairs: Pairs, mode: str, into: ir.Value) -> None:
    count, shape = len(pairs), p.shape(name)
    if count not in (3, 4, 5) or any(pair != (0, 0) for pair in pairs[:2]):
        raise p.refuse(f"Paddle pads only the axes behind the second in mode {mode!r}")
    axes = list(range(2, 2 + 5 - count))
    if axes:
        name = p.emit("unsqueeze2", {"X": name}, sized=(*shape[:2], *[1] * len(axes), *shape[2:]), axes=axes)
    five = [(0, 0)] * len(axes) + list(pairs[2:])
    flat = [amount for pair in five[::-1] for amount in pair]
    sized = padded_shape(p.shape(name), [(0, 0), (0, 0), *five])
    padded = p.emit("pad3d", {"X": name}, None if axes else into, sized=sized, paddings=flat, mode=mode)
    if axes:
        p.emit("squeeze2", {"X": padded}, into, axes=axes)
