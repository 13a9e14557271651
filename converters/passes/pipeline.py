"""The passes that every read graph goes through, in order, with why this order.

A reader hands over a graph whose values bear their shapes, as far as they can be told (``infer_shapes.py``).
"""

from __future__ import annotations

from facecvt.converters.graph import Graph
from facecvt.converters.passes.drop_unused import drop_unused
from facecvt.converters.passes.find_preprocessing import find_preprocessing
from facecvt.converters.passes.fold_weight_reshapes import fold_weight_reshapes
from facecvt.converters.passes.fuse_bias import fuse_bias
from facecvt.converters.passes.fuse_softplus import fuse_softplus
from facecvt.converters.passes.settle_tiles import settle_tiles

PASSES = (
    settle_tiles,  # first: shapes behind a Tile follow from its repeats, and what computed them is no longer used
    fold_weight_reshapes,  # before fusing, so that a bias that its source reshapes is a weight
    fuse_bias,  # a bias that its source adds in a separate operator moves into Conv or Gemm
    fuse_softplus,  # a softplus that MXNet needs spelled out is one operator again
    drop_unused,  # after fusing, so that what it left behind goes too
    find_preprocessing,  # last: it only looks, and looks at the graph as it will be written
)


def run_passes(graph: Graph) -> Graph:
    """Run every pass in order; the graph is changed in place and returned."""
    for transform in PASSES:
        transform(graph)
    return graph
