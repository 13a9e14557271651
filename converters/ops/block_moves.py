"""Blocks of pixels as channels and back.

    depth_to_space   (N, b*b*C, H, W) -> (N, C, b*H, b*W): the channels are (row in block, column in block, channel)
    space_to_depth   the inverse
    DepthToSpace     the same (mode DCR), or with channels (channel, row in block, column in block) (mode CRD)

Written as a Reshape, a Transpose and a Reshape, which every target has. Sources: MXNet 1.9.1
``src/operator/tensor/matrix_op-inl.h``, the ONNX operator specification.
"""

from __future__ import annotations

from typing import Any

from facecvt.converters.graph import Builder
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import from_mxnet, from_onnx
from facecvt.converters.ops.target_shape import Copied, Divided, Multiplied, Piece, reshape_by_pieces
from facecvt.converters.source_ops import MxnetOp, OnnxOp

AFTER_SPREADING: list[Piece] = [Copied(0), Copied(1), Multiplied(2), Multiplied(4)]


def spread(b: Builder, x: ir.Value, block: int, channels_first: bool = False) -> Any:
    """Channels become pixels."""
    height, width = Copied(2), Copied(3)
    if channels_first:
        parts = reshape_by_pieces(b, x, [Copied(0), Divided(1, block * block), block, block, height, width])
        order = [0, 1, 4, 2, 5, 3]
    else:
        parts = reshape_by_pieces(b, x, [Copied(0), block, block, Divided(1, block * block), height, width])
        order = [0, 3, 4, 1, 5, 2]
    return reshape_by_pieces(b, b.emit("Transpose", [parts], perm=order), AFTER_SPREADING)


def gathered(b: Builder, x: ir.Value, block: int, channels_first: bool = False) -> Any:
    """Pixels become channels."""
    pieces: list[Piece] = [Copied(0), Copied(1), Divided(2, block), block, Divided(3, block), block]
    order = [0, 1, 3, 5, 2, 4] if channels_first else [0, 3, 5, 1, 2, 4]
    moved = b.emit("Transpose", [reshape_by_pieces(b, x, pieces)], perm=order)
    flat = reshape_by_pieces(b, moved, [Copied(0), Copied(1), Multiplied(2), Copied(4), Copied(5)])
    return reshape_by_pieces(b, flat, [Copied(0), Multiplied(1), Copied(3), Copied(4)])


@from_mxnet("depth_to_space")
def depth_to_space_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return spread(b, op.inputs[0], op.integer("block_size"))


@from_mxnet("space_to_depth")
def space_to_depth_from_mxnet(op: MxnetOp, b: Builder) -> Any:
    return gathered(b, op.inputs[0], op.integer("block_size"))


@from_onnx("DepthToSpace")
def depth_to_space_from_onnx(op: OnnxOp, b: Builder) -> Any:
    mode = str(op.raw("mode", "DCR"))
    return spread(b, op.value(0), int(op.raw("blocksize")), channels_first=mode == "CRD")


@from_onnx("SpaceToDepth")
def space_to_depth_from_onnx(op: OnnxOp, b: Builder) -> Any:
    """The mode is an attribute from opset 26 on."""
    return gathered(b, op.value(0), int(op.raw("blocksize")), channels_first=str(op.raw("mode", "DCR")) == "CRD")
