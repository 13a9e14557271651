"""Removes nodes and weights that no output needs."""

from __future__ import annotations

from facecvt.converters.graph import Graph, name_of


def drop_unused(graph: Graph) -> None:
    """Remove what does not reach an output: nodes backwards from the end, then initializers without a reader."""
    outputs = {name_of(value) for value in graph.outputs}
    for node in reversed(list(graph.body)):
        if not any(value.uses() or name_of(value) in outputs for value in node.outputs):
            for value in node.outputs:
                graph.origins.pop(name_of(value), None)
            graph.body.remove(node, safe=True)
    for name, value in list(graph.body.initializers.items()):
        if not value.uses() and name not in outputs:
            del graph.body.initializers[name]
