"""Fixes the batch size of a graph that leaves it free, for runtimes that plan their memory ahead."""

from __future__ import annotations

from dataclasses import replace

from facecvt.converters.errors import UsageError
from facecvt.converters.graph import Graph, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.passes.infer_shapes import infer_shapes


def fix_batch(graph: Graph, batch: int) -> None:
    """Give the first dimension of every input this size, and every value the shape that follows.

    Args:
        graph: changed in place, its contracts too.
        batch: number of samples.

    Raises:
        UsageError: the source itself fixes another batch size.
    """
    fixed: set[str] = set()
    for value in graph.inputs:
        if value.shape is None or not len(value.shape):
            continue
        first, *others = [dim if isinstance(dim, int) else dim.value for dim in value.shape]
        if isinstance(first, int) and first != batch:
            raise UsageError(
                f"input {name_of(value)!r} is made for batch {first}, so that it cannot be {batch}; "
                f"leave --batch out, free it with --dynamic-batch, or say --input {name_of(value)}=... with all sizes"
            )
        value.shape = ir.Shape([batch, *others])
        fixed.add(name_of(value))
    infer_shapes(graph)
    graph.contracts = [
        replace(contract, shape=(batch, *contract.shape[1:])) if contract.name in fixed else contract
        for contract in graph.contracts
    ]
