"""Pad: constant, edge, reflect and wrap.

ONNX lists the amounts before all axes, then those behind all; MXNet lists pairs axis by axis; Paddle's pad2d and pad3d
list pairs, pad2d from the height, pad3d from the last axis on. PyTorch lists pairs from the last axis on. Sources:
MXNet 1.9.1 and Paddle 3.3.1 (behaviour), ONNX operator specification, torch.nn.functional.pad.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Builder, attribute, constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.paddle_operands import ints_or_value
from facecvt.converters.ops.registry import from_mxnet, from_onnx, from_paddle, lower, to_torch
from facecvt.converters.ops.value_facts import known_rank, number_like
from facecvt.converters.source_ops import MxnetOp, OnnxOp, PaddleOp
from facecvt.converters.torch_code import TorchCode

PADDLE_MODES = {"constant": "constant", "reflect": "reflect", "edge": "edge", "replicate": "edge", "circular": "wrap"}
TORCH_MODES = {"edge": "replicate", "reflect": "reflect", "wrap": "circular"}


def emit_pad(b: Builder, x: ir.Value, before: list[int], behind: list[int], mode: str, number: float) -> Any:
    """Pad by amounts for every axis; nothing where all are 0."""
    if not any(before) and not any(behind):
        return x
    inputs = [x, b.const([*before, *behind])]
    if mode == "constant" and number != 0:
        inputs.append(number_like(b, x, number))
    return b.emit("Pad", inputs, mode=mode)


@from_mxnet("Pad", "pad")
def pad_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    mode, width = op.text("mode", allowed=("constant", "edge", "reflect")), op.ints("pad_width")
    number = op.number("constant_value", 0.0)
    return emit_pad(b, op.inputs[0], width[::2], width[1::2], mode, number)


@from_paddle("pad2d", "pad3d", "pad")
def pad_from_paddle(op: PaddleOp, b: Builder) -> Any:
    x = op.value("X", 0)
    if op.op == "pad":  # every axis, pair by pair
        width = op.ints("paddings")
        number = op.number("pad_value", 0.0, operand=1)
        return emit_pad(b, x, width[::2], width[1::2], "constant", number)
    mode = PADDLE_MODES[op.text("mode", "constant", allowed=tuple(PADDLE_MODES))]
    layout = op.text("data_format", "NCHW" if op.op == "pad2d" else "NCDHW", allowed=("NCHW", "NCDHW"))
    amounts = ints_or_value(op, b, "paddings", tensor="Paddings", operand=1, default=())
    if isinstance(amounts, ir.Value):
        raise op.refuse("the amounts must be constant")
    number = op.number("pad_value" if op.op == "pad2d" or op.pir else "value", 0.0)
    pairs = list(zip(amounts[::2], amounts[1::2], strict=True))
    if layout == "NCDHW":
        pairs = pairs[::-1]
    return emit_pad(b, x, [0, 0, *(pair[0] for pair in pairs)], [0, 0, *(pair[1] for pair in pairs)], mode, number)


@from_onnx("Pad")
def pad_from_onnx(op: OnnxOp, b: Builder) -> Any:
    """Amounts are an attribute before opset 11 and an input from then on; opset 18 may name the axes."""
    mode, written = str(op.raw("mode", "constant")), op.raw("pads", None)
    if written is not None:
        count = len(written) // 2
        return emit_pad(b, op.value(0), written[:count], written[count:], mode, float(op.raw("value", 0.0)))
    inputs = [op.value(0), op.value(1), op.input(2)]
    if op.input(3) is not None:
        axes, found = op.weight(op.value(3), "axes").reshape(-1), known_rank(op.value(0))
        if found is None:
            raise op.refuse("axes need an operand of known rank")
        amounts = np.zeros((2, found), np.int64)
        amounts[:, axes % found] = op.weight(op.value(1), "pads").reshape(2, -1)
        inputs[1] = b.const(amounts.reshape(-1))
    return b.emit("Pad", inputs[:2] if inputs[2] is None else inputs, mode=mode)


@lower("Pad", below=19)
def lower_pad(node: ir.Node, opset: int) -> None:
    if attribute(node, "mode") == "wrap":
        raise ConversionError(f"Pad {node.name!r}: mode 'wrap' needs opset 19. Choose a newer --opset.")


@to_torch("Pad")
def pad_to_torch(node: ir.Node, t: TorchCode) -> None:
    amounts, mode = constant(node.inputs[1]), attribute(node, "mode", "constant")
    if amounts is None:
        raise ConversionError(f"Pad {node.name!r}: amounts that are computed at run time have no PyTorch form")
    count = amounts.size // 2
    pairs = list(zip(amounts[:count].tolist(), amounts[count:].tolist(), strict=True))
    x, value = t.arg(node.inputs[0]), node.inputs[2] if len(node.inputs) > 2 else None
    if mode == "constant":
        while pairs and pairs[0] == (0, 0):
            pairs.pop(0)
    elif any(pair != (0, 0) for pair in pairs[:2]) or count not in (3, 4, 5):
        raise ConversionError(f"Pad {node.name!r}: PyTorch pads only the axes behind the second in mode {mode}")
    else:
        pairs = pairs[2:]
    flat = [amount for pair in pairs[::-1] for amount in pair]
    options = "" if mode == "constant" else f', mode="{TORCH_MODES[mode]}"'
    if mode == "constant" and value is not None and t.scalar(value) != 0:
        number = t.scalar(value)
        options = f", value={t.number(float(number))}" if number is not None else f", value={t.arg(value)}.item()"
    t.assign(node.outputs[0], f"F.pad({x}, {flat}{options})")
