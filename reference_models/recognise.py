"""Tells that a graph IS one of the reference architectures, by its structure alone, whatever its names.

Every family proposes the few of its architectures that the graph's counts allow; each is then compared piece by piece:
operators, wiring, weight shapes, strides, pads and groups. Half a match is none. Numbers count in one place only: where
an architecture has a BatchNormalization without scale and shift, the graph's must be 1 and 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from facecvt.converters.graph import Graph, attribute
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.reference_models.graph_skeleton import GraphSkeleton, WeightSource, from_graph
from facecvt.reference_models.skeleton import Piece, from_layers, pair
from facecvt.reference_models.spec import ArchitectureSpec, families
from facecvt.reference_models.weights import State, from_canonical


@dataclass(frozen=True)
class Recognition:
    """A graph that is a reference architecture.

    Attributes:
        architecture: which one, with its options.
        layers: canonical layer name -> the graph's node. A Flatten that a Gemm implies has none.
        parameters: canonical parameter name -> where the graph has it.
        preprocessing: nodes between the graph's input and the network's, which are no part of the architecture.
    """

    architecture: ArchitectureSpec
    layers: dict[str, ir.Node]
    parameters: dict[str, WeightSource]
    preprocessing: tuple[ir.Node, ...]

    def eps(self) -> dict[str, float]:
        """Canonical name of every BatchNormalization -> the epsilon that the graph gives it."""
        return {
            name: float(attribute(node, "epsilon", 1e-5))
            for name, node in self.layers.items()
            if node.op_type == "BatchNormalization"
        }

    def arrays(self) -> State:
        """The graph's weights by canonical name, in canonical layout; views where nothing is transposed."""
        return {name: weight.numpy() for name, weight in self.parameters.items()}

    def state(self, framework: str) -> State:
        """The graph's weights as the state of the reference net in a framework, in its order and layouts."""
        return from_canonical(self.arrays(), framework, self.architecture)


def recognise(graph: Graph) -> Recognition | None:
    """The reference architecture that a canonical graph is, or None.

    Ignored are names, preprocessing in the graph, Dropout and Identity, how the fully connected layer is spelled, and
    what else ``graph_skeleton.py`` lists. BatchNormalization eps is not structure: see :meth:`Recognition.eps`.
    """
    skeleton = from_graph(graph)
    if skeleton is None:
        return None
    for family in families().values():
        for architecture in family.candidates(skeleton):
            found = compare(architecture, skeleton)
            if found is not None:
                return found
    return None


def compare(architecture: ArchitectureSpec, skeleton: GraphSkeleton) -> Recognition | None:
    """The recognition of one architecture in a graph's skeleton, or None where any piece differs."""
    listing = from_layers(architecture.layers())
    paired = pair(listing, skeleton)
    if paired is None:
        return None
    layers: dict[str, ir.Node] = {}
    parameters: dict[str, WeightSource] = {}
    for ours, theirs in sorted(paired.items()):
        layer, piece = listing.pieces[ours].source, skeleton.pieces[theirs]
        if not layer.attributes.get("affine", True) and not _is_plain(piece):
            return None
        if piece.source is not None:
            layers[layer.name] = piece.source
        for parameter in layer.parameters:
            parameters[parameter.name] = piece.weights[parameter.role]
    return Recognition(architecture, layers, parameters, tuple(skeleton.preprocessing))


def _is_plain(batch_norm: Piece) -> bool:
    """True for a BatchNormalization whose scale is 1 and whose shift is 0 throughout."""
    scale, shift = batch_norm.weights["scale"].numpy(), batch_norm.weights["shift"].numpy()
    return bool((scale == 1).all() and (shift == 0).all())
