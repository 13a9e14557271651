"""The skeleton of a canonical graph: the one place where recognition reads the graph.

Left out, because it does not say what a network is: Identity and Dropout; arithmetic with constants on the network's
input (the preprocessing that some graphs contain). Brought to one form: a bias that is added behind a Conv, Gemm or
MatMul; MatMul and Gemm with their weight either way round; Reshape and Squeeze that flatten; hard activations, as
``graph_activations.py`` reads them; what moves values about, as ``graph_rearranging.py`` reads it; slopes (C,1,1),
(1,C,1,1) and (C,); the Euclidean length and the division by it, however they are spelled; pools over single elements,
and means over whole maps; the weighting of a norm-aware pooling, as ``graph_norm_aware.py`` reads it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from facecvt.converters.graph import Graph, NumpyArray, attribute, constant, dims
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.reference_models.graph_activations import OFFSET, SLOPE, bounds, clipped_line, hard_sigmoid, hard_swish
from facecvt.reference_models.graph_norm_aware import holds_number, norm_aware, squared
from facecvt.reference_models.graph_priors import depends_on_shapes, read_priors
from facecvt.reference_models.graph_rearranging import appended_zeros, from_the_end, moved, padded_maps, takes_nearest
from facecvt.reference_models.skeleton import NETWORK_INPUT, POOLS, Piece, Skeleton, add_piece

TRANSPARENT = ("Identity", "Dropout")
ARITHMETIC = ("Add", "Sub", "Mul", "Div")
BATCH_NORM_ROLES = ("scale", "shift", "mean", "variance")
UNDERSTOOD = (
    *("Conv", "Gemm", "BatchNormalization", "PRelu", "Flatten", "LpNormalization", "ReduceL2"),
    *("Clip", "HardSigmoid", "HardSwish", *POOLS),
    *("Pad", "Transpose", "Concat", "LeakyRelu", "Softmax", "Resize"),
)
LARGEST_GUARD = 1e-6  # what keeps the division by the length from dividing by zero; more than this is another formula


@dataclass(frozen=True)
class WeightSource:
    """Where a canonical parameter lies in a graph.

    Attributes:
        value: the initializer.
        transposed: True where it is the transpose of the canonical array.
        shape: the canonical shape, in which the (transposed) array is to be read.
    """

    value: ir.Value
    transposed: bool
    shape: tuple[int, ...]

    def numpy(self) -> NumpyArray:
        """The array in canonical layout; a view on the initializer where nothing is transposed."""
        array = constant(self.value)
        assert array is not None
        return (np.ascontiguousarray(array.T) if self.transposed else array).reshape(self.shape)


@dataclass
class GraphSkeleton(Skeleton):
    """A skeleton whose pieces point back to the graph.

    Attributes:
        preprocessing: the nodes in front of the network that were left out, in order.
    """

    preprocessing: list[ir.Node] = field(default_factory=list)


def from_graph(graph: Graph) -> GraphSkeleton | None:
    """The skeleton of a graph with one input; None where it has more, or weights are computed."""
    if len(graph.inputs) != 1 or not graph.outputs:
        return None
    walk = _Walk(graph.inputs[0])
    for node in graph.body:
        walk.visit(node)
    outputs = tuple(walk.output(value, graph.inputs[0]) for value in graph.outputs)
    if NETWORK_INPUT in outputs:
        return None
    return GraphSkeleton(walk.pieces, outputs, walk.preprocessing)


class _Walk:
    """Grows the pieces of one graph, node by node in topological order."""

    def __init__(self, network_input: ir.Value) -> None:
        self.pieces: list[Piece] = []
        self.preprocessing: list[ir.Node] = []
        self.index_of: dict[ir.Value, int] = {network_input: NETWORK_INPUT}
        self.measured: set[ir.Value] = set()  # values that depend on shapes alone

    def visit(self, node: ir.Node) -> None:
        """Give the node's output the index of a piece, an old one where the node is left out."""
        if not node.outputs:
            return
        computed = [value for value in node.inputs if value is not None and constant(value) is None]
        known = [self.index_of[value] for value in computed if value in self.index_of]
        index = self._left_out(node, computed, known)
        if index is None:
            # an operator that is understood in some of its forms must not pass for them in another
            other = f"other {node.op_type}" if node.op_type in UNDERSTOOD else node.op_type
            piece = self._piece(node, computed) or Piece(other, tuple(known), source=node)
            index = add_piece(self.pieces, piece)
        self.index_of[node.outputs[0]] = index
        if depends_on_shapes(node, self.measured):
            self.measured.update(node.outputs)

    def output(self, value: ir.Value, network_input: ir.Value) -> int:
        """The piece that gives an output: prior boxes where shapes are all that it depends on."""
        priors = read_priors(value, network_input, self.index_of, self.pieces, self.measured)
        if priors is not None:
            return add_piece(self.pieces, Piece("PriorBox", (), {}, priors, value.producer()))
        return self.index_of.get(value, NETWORK_INPUT)

    def _left_out(self, node: ir.Node, computed: list[ir.Value], known: list[int]) -> int | None:
        """The index that the node's output shares with an input, where the node is no piece of its own."""
        if node.op_type in TRANSPARENT and known:
            return known[0]
        if node.op_type in ARITHMETIC and known == [NETWORK_INPUT] and len(computed) == 1 and len(node.inputs) == 2:
            self.preprocessing.append(node)
            return NETWORK_INPUT
        if node.op_type == "Slice" and computed and self._cuts_enlarged(node, computed[0]):
            return self.index_of[computed[0]]
        if node.op_type == "Add" and len(known) == 1 and len(computed) == 1 and known[0] != NETWORK_INPUT:
            return self._take_bias(node, computed[0], known[0])
        return None

    def _cuts_enlarged(self, node: ir.Node, source: ir.Value) -> bool:
        """True for enlarged maps cut to another's size, as is done where maps are enlarged by whole factors only."""
        index = self.index_of.get(source, NETWORK_INPUT)
        starts, axes = constant(node.inputs[1]), constant(node.inputs[3]) if len(node.inputs) > 3 else None
        return (
            index != NETWORK_INPUT
            and node.inputs[0] is source
            and self.pieces[index].op == "Resize"
            and starts is not None
            and not starts.any()
            and axes is not None
            and {int(axis) % 4 for axis in axes.reshape(-1)} <= {2, 3}
            and len(node.inputs) == 4
        )

    def _take_bias(self, node: ir.Node, computed: ir.Value, index: int) -> int | None:
        """Count a constant that is added behind a layer as that layer's bias, where it is one number a channel."""
        piece = self.pieces[index]
        other = next((value for value in node.inputs if value is not None and value is not computed), None)
        array = constant(other)
        if piece.op not in ("Conv", "Gemm") or "bias" in piece.shapes or other is None or array is None:
            return None
        if len(list(computed.uses())) != 1:
            return None  # the sum without the bias is used as well
        channels = piece.shapes["weight"][0]
        wanted = (channels, 1, 1) if piece.op == "Conv" else (channels,)
        if array.size != channels or array.shape[-len(wanted) :] != wanted:
            return None
        piece.shapes["bias"] = (channels,)
        piece.weights["bias"] = WeightSource(other, False, (channels,))
        return index

    def _piece(self, node: ir.Node, computed: list[ir.Value]) -> Piece | None:
        """The piece of a node that architectures are made of; None for any other."""
        if not computed or computed[0] not in self.index_of:
            return None
        op, source = node.op_type, self.index_of[computed[0]]
        if op == "Add" and len(computed) == 2 and computed[1] in self.index_of:
            return Piece("Add", (source, self.index_of[computed[1]]), source=node)
        joined = self._joined(node)
        if joined is not None:
            return joined
        if op == "Div" and len(computed) == 2:
            vector = _vector_of_length(computed[1])
            if vector is not None and self.index_of.get(vector) == source:
                return Piece("LpNormalization", (source,), source=node)
            return None
        activation = self._hard_activation(node, source)
        if activation is not None:
            return activation
        vector = _vector_of_length(node.outputs[0])
        if vector in self.index_of and _is_column(node.outputs[0]):
            return Piece("ReduceL2", (self.index_of[vector],), source=node)
        weighted = norm_aware(node.outputs[0])
        if weighted in self.index_of:
            return Piece("NormAware", (self.index_of[weighted],), source=node)
        if op == "Mul" and len(computed) == 2 and computed[1] in self.index_of:
            return Piece("Mul", (source, self.index_of[computed[1]]), source=node)
        padded = padded_maps(node)
        if padded is not None and padded[0] in self.index_of:
            return Piece("Pad", (self.index_of[padded[0]],), {}, padded[1], node)
        attributes = moved(node) if node.inputs[0] is computed[0] else None
        if attributes is not None:
            return Piece(op, (source,), {}, attributes, node)
        if op == "Resize" and node.inputs[0] is computed[0] and takes_nearest(node):
            # to which size, the sum shows in which it meets maps of that size
            return Piece("Resize", (source,), {}, {"mode": "nearest"}, node)
        if len(computed) != 1 or node.inputs[0] is not computed[0]:
            return None
        if op == "LeakyRelu":
            return Piece(op, (source,), {}, {"alpha": attribute(node, "alpha", 0.01)}, node)
        if op == "Softmax":
            return Piece(op, (source,), {}, {"axis": from_the_end(node)}, node)
        if op in POOLS:
            return _pool(node, source)
        if op == "ReduceMean" and _over_maps(node):
            if attribute(node, "keepdims", 1):
                return Piece("GlobalAveragePool", (source,), source=node)
            # no value of the graph is the mean before it is flattened, so that piece has no node
            return Piece("Flatten", (add_piece(self.pieces, Piece("GlobalAveragePool", (source,))),), source=node)
        if _flattens(node):
            return Piece("Flatten", (source,), source=node)
        if op == "LpNormalization" and attribute(node, "p", 2) == 2 and attribute(node, "axis", -1) in (1, -1):
            return Piece("LpNormalization", (source,), source=node)
        weights = _weights(node)
        if weights is None:
            return None
        shapes = {role: weight.shape for role, weight in weights.items()}
        name = "Gemm" if op == "MatMul" else op
        return Piece(name, (source,), shapes, _conv_attributes(node) if op == "Conv" else {}, node, dict(weights))

    def _joined(self, node: ir.Node) -> Piece | None:
        """The piece of a Concat; a Pad where it joins zeros on."""
        sources = [self.index_of[value] for value in node.inputs if value in self.index_of]
        if node.op_type != "Concat" or len(sources) != len(node.inputs):
            return None
        zeros = appended_zeros(node)
        if zeros is not None:
            return Piece("Pad", (sources[0],), {}, {"pads": (0, 0, 0, 0, 0, zeros, 0, 0)}, node)
        return Piece("Concat", tuple(sources), {}, {"axis": attribute(node, "axis", 0)}, node)

    def _hard_activation(self, node: ir.Node, source: int) -> Piece | None:
        """The piece of a Clip, HardSigmoid or HardSwish; of the last two also where they are spelled out."""
        value = node.outputs[0]
        swished = hard_swish(value)
        if swished in self.index_of:
            return Piece("HardSwish", (self.index_of[swished],), source=node)
        gated = hard_sigmoid(value)
        if gated in self.index_of:
            return Piece("HardSigmoid", (self.index_of[gated],), {}, {"alpha": SLOPE, "beta": OFFSET}, node)
        if node.op_type == "HardSigmoid":
            attributes = {"alpha": attribute(node, "alpha", 0.2), "beta": attribute(node, "beta", 0.5)}
            return Piece("HardSigmoid", (source,), {}, attributes, node)
        line = clipped_line(value)
        if line is not None and line[0] in self.index_of:
            return Piece("HardSigmoid", (self.index_of[line[0]],), {}, {"alpha": line[1], "beta": line[2]}, node)
        limits = bounds(node) if node.op_type == "Clip" else None
        return None if limits is None else Piece("Clip", (source,), {}, dict(limits), node)


def _weights(node: ir.Node) -> dict[str, WeightSource] | None:
    """Role -> weight of a node, in canonical shapes; None where the node is of no kind that has weights."""
    arrays = [constant(value) for value in node.inputs[1:]]
    given = [(value, array) for value, array in zip(node.inputs[1:], arrays, strict=True) if value is not None]
    if any(array is None for _, array in given):
        return None
    if node.op_type == "BatchNormalization" and len(given) == 4 and not attribute(node, "training_mode", 0):
        return {
            role: WeightSource(value, False, array.shape)
            for role, (value, array) in zip(BATCH_NORM_ROLES, given, strict=True)
            if array is not None
        }
    if node.op_type == "PRelu" and len(given) == 1:
        value, slope = given[0]
        return None if slope is None else {"slope": WeightSource(value, False, (slope.size,))}
    if node.op_type in ("Conv", "Gemm", "MatMul") and len(given) in (1, 2):
        transposed = node.op_type == "MatMul" or (node.op_type == "Gemm" and not attribute(node, "transB", 0))
        factors = (attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0), attribute(node, "transA", 0))
        value, weight = given[0]
        if weight is None or factors != (1.0, 1.0, 0) or (node.op_type != "Conv" and weight.ndim != 2):
            return None
        found = {"weight": WeightSource(value, transposed, weight.shape[::-1] if transposed else weight.shape)}
        if len(given) == 2:
            bias, array = given[1]
            if array is None or array.size != found["weight"].shape[0]:
                return None
            found["bias"] = WeightSource(bias, False, (array.size,))
        return found
    return None


def _conv_attributes(node: ir.Node) -> dict[str, object]:
    """Attributes of a convolution, defaults written out; dilations only where they are not 1."""
    weight = constant(node.inputs[1])
    spatial = weight.ndim - 2 if weight is not None else 2
    shape = weight.shape[2:] if weight is not None else ()
    attributes: dict[str, object] = {
        "kernel_shape": tuple(attribute(node, "kernel_shape", shape)),
        "strides": tuple(attribute(node, "strides", (1,) * spatial)),
        "pads": tuple(attribute(node, "pads", (0,) * 2 * spatial)),
        "group": attribute(node, "group", 1),
    }
    dilations = tuple(attribute(node, "dilations", (1,) * spatial))
    if any(size != 1 for size in dilations):
        attributes["dilations"] = dilations
    if attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        attributes["pads"] = attribute(node, "auto_pad")  # never that of an architecture
    return attributes


def _pool(node: ir.Node, source: int) -> Piece:
    """The piece of a pooling, defaults written out; over single elements a mean is a maximum."""
    kernel = tuple(attribute(node, "kernel_shape", ()))
    attributes: dict[str, object] = {
        "kernel_shape": kernel,
        "strides": tuple(attribute(node, "strides", (1,) * len(kernel))),
        "pads": tuple(attribute(node, "pads", (0,) * 2 * len(kernel))),
    }
    if attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        attributes["pads"] = attribute(node, "auto_pad")  # never that of an architecture
    plain = set(kernel) == {1} and not any(attribute(node, "pads", ()))
    dilations = tuple(attribute(node, "dilations", (1,) * len(kernel)))
    if any(size != 1 for size in dilations) and not plain:
        attributes["dilations"] = dilations
    for name in ("ceil_mode", "count_include_pad"):
        if attribute(node, name, 0) and not plain:  # a window of one element never reaches beyond the input
            attributes[name] = 1
    if not any(attribute(node, "pads", ())):
        attributes.pop("count_include_pad", None)  # there are none to count
    return Piece("MaxPool" if plain else node.op_type, (source,), {}, attributes, node)


def _over_maps(node: ir.Node) -> bool:
    """True for the mean over height and width."""
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return axes is not None and sorted(int(axis) % 4 for axis in axes.reshape(-1)) == [2, 3]


def _flattens(node: ir.Node) -> bool:
    """True for a node that makes (N, C, H, W) into (N, C*H*W)."""
    if node.op_type == "Flatten":
        return bool(attribute(node, "axis", 1) == 1)
    if node.op_type not in ("Squeeze", "Reshape") or len(node.inputs) < 2:
        return False
    target = constant(node.inputs[1])
    if target is None:
        return False
    wanted = [int(size) for size in target.reshape(-1)]
    if node.op_type == "Squeeze":
        return sorted(axis % 4 for axis in wanted) == [2, 3]
    if len(wanted) != 2:
        return False
    before = dims(node.inputs[0])
    batch_kept = wanted[0] == 0 and not attribute(node, "allowzero", 0)
    if batch_kept:
        return True
    if before is None or any(size is None for size in before[1:]):
        return False
    return wanted[1] == math.prod(size for size in before[1:] if size is not None) and wanted[0] in (-1, before[0])


def _vector_of_length(value: ir.Value) -> ir.Value | None:
    """The vector whose Euclidean length over axis 1, guarded against zero, this value is; None where it is none."""
    rooted = False
    for _ in range(8):
        node = value.producer()
        if node is None:
            return None
        computed = [entry for entry in node.inputs if entry is not None and constant(entry) is None]
        if not computed:
            return None
        numbers = [constant(entry) for entry in node.inputs[1:] if entry is not None]
        if node.op_type == "ReduceL2":
            return computed[0] if not rooted and _over_rows(numbers) else None
        if node.op_type == "ReduceSumSquare":
            return computed[0] if rooted and _over_rows(numbers) else None
        if node.op_type == "ReduceSum":
            return squared(computed[0]) if rooted and _over_rows(numbers) else None
        if node.op_type == "Sqrt" or (node.op_type == "Pow" and holds_number(node.inputs[1], 0.5)):
            if rooted:
                return None
            rooted = True
        elif node.op_type in ("Clip", "Max", "Add"):
            if any(number is None or np.abs(number).min() > LARGEST_GUARD for number in numbers[:1]):
                return None
        elif node.op_type not in ("Expand", "Unsqueeze", "Reshape", *TRANSPARENT):
            return None
        value = computed[0]
    return None


def _is_column(value: ir.Value) -> bool:
    """True where a length is one column, (N, 1), as far as its spelling says."""
    for _ in range(8):
        node = value.producer()
        if node is None or node.op_type in ("Expand", "Reshape"):
            return False
        if node.op_type.startswith("Reduce"):
            return bool(attribute(node, "keepdims", 1))
        if node.op_type == "Unsqueeze":
            return _over_rows([constant(entry) for entry in node.inputs[1:]])
        value = next(entry for entry in node.inputs if entry is not None and constant(entry) is None)
    return False


def _over_rows(numbers: list[NumpyArray | None]) -> bool:
    """True where the axes of a reduction, its second input, are axis 1 of a matrix."""
    axes = numbers[0] if numbers else None
    return axes is not None and axes.size == 1 and int(axes.reshape(-1)[0]) in (1, -1)
