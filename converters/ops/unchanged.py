"""ONNX operators whose form at every opset from 7 on is a subset of the canonical one: the node is emitted as it is.

An operator is registered with the attributes that may appear on it; any other is left unread, and therefore refused by
:meth:`SourceOp.check_all_read`. Nothing is taken for unchanged unless a family says so.
"""

from __future__ import annotations

from typing import Any

from facecvt.converters.graph import Builder
from facecvt.converters.source_ops import OnnxOp


def unchanged(op: OnnxOp, b: Builder, *attributes: str) -> Any:
    """Emit an ONNX node again, with the same inputs and as many outputs.

    Args:
        op: the source node.
        b: the graph that grows.
        attributes: the attributes that this operator may carry; absent ones stay absent.

    Returns:
        The output value, or the list of them.
    """
    kept = {name: op.raw(name) for name in attributes if op.has(name)}
    return b.emit(op.op, op.inputs, outputs=op.output_count, **kept)
