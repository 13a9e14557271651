"""Rewrites a canonical graph for a target opset, using the lowering rules of its operators."""

from __future__ import annotations

from facecvt.converters.errors import ConversionError, UsageError
from facecvt.converters.graph import CANONICAL_OPSET
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import lowerings

OLDEST_TARGET = 11


def lower_opset(body: ir.Graph, opset: int) -> None:
    """Bring every node into a form that is legal at ``opset``; in place.

    Args:
        body: nodes of the canonical opset; a clone, for the canonical graph stays as it is.
        opset: 11 to 21.

    Raises:
        UsageError: facecvt does not write this opset.
        ConversionError: an operator has no form at this opset.
    """
    if not OLDEST_TARGET <= opset <= CANONICAL_OPSET:
        raise UsageError(f"opset {opset} cannot be written; choose one from {OLDEST_TARGET} to {CANONICAL_OPSET}")
    for node in list(body):
        for rule in lowerings(node.op_type):
            if opset < rule.below:
                rule.rewrite(node, opset)
                if node.graph is None:
                    break  # the rule replaced the node
    body.opset_imports.clear()
    body.opset_imports[""] = opset
    for node in body:
        if node.version is not None and node.version > opset:
            raise ConversionError(f"{node.op_type} {node.name!r} has no form at opset {opset}")
