"""Lets an ONNX graph compute in float16, with float32 kept where it must be. The last step before a file is written.

In float16 are the layers with weights and what lies between them: sums and products, activations, pools, and what only
moves numbers about. Casts stand at the borders; inputs and outputs of the model stay float32; a weight is stored once.

In float32 stay

* what stands before the first layer with weights: the normalisation of pixels, which costs nothing;
* what stands behind the last one, on the way to an output: norms, Softmax, the decoding and choosing of boxes. Corners
  of boxes need more than the 11 bits of float16, and sums of squares overflow it;
* operators that are not listed here (Exp, Pow, Sqrt, reductions, Softmax, ...), wherever they stand;
* a layer whose constants do not fit: beyond 65504, or so small that float16 loses them (an eps of 1e-12).

Constants fit where rounding them to float16, u = 2^-11, costs what it costs anywhere: a rel-RMSE of at most 2 u.
Of a BatchNormalization that is asked of what its statistics stand for, the factor gamma / sqrt(var + eps) and the shift
beta - mean * factor: the variance of a dead channel is next to nothing, and that does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import NumpyArray, attribute, constant, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.value_facts import element_type

LAYERS = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "PRelu"))
ARITHMETIC = frozenset(
    """
    Add Sub Mul Div Sum Neg Abs Max Min Clip Relu LeakyRelu Elu Selu Sigmoid HardSigmoid HardSwish Tanh
    MaxPool AveragePool GlobalAveragePool GlobalMaxPool
    """.split()  # noqa: SIM905 - a word list reads better than 20 quoted lines
)
MOVES = frozenset(
    """
    Concat Split Slice Reshape Flatten Transpose Squeeze Unsqueeze Gather Pad Expand Tile DepthToSpace SpaceToDepth
    Identity Where Resize
    """.split()  # noqa: SIM905
)
FLOAT32_OPERANDS = {"Resize": (1, 2)}  # of the operators above: operands that ONNX wants in float32
BIAS = {("Conv", 2), ("ConvTranspose", 2), ("Gemm", 2)}
MOST_LOST = 2.0**-10
SHOWN = 4  # nodes that the warning names for each reason

BEFORE = "before the first layer with weights"
BEHIND = "behind the last layer with weights"


@dataclass(frozen=True)
class Kept:
    """An operator that stays in float32, and why."""

    node: str
    operator: str
    reason: str


@dataclass(frozen=True)
class HalfPlan:
    """What computes in float16.

    Attributes:
        values: names of the values that are computed in float16.
        weights: how many weights are stored in float16.
        nodes: how many operators compute in float16.
        kept: those that compute in float32.
        opset: of the file.
    """

    values: frozenset[str]
    weights: int
    nodes: int
    kept: tuple[Kept, ...]
    opset: int

    def warning(self) -> str:
        """What stays in float32 and why, in one sentence."""
        reasons: dict[str, list[str]] = {}
        for kept in self.kept:
            reasons.setdefault(kept.reason, []).append(f"{kept.operator} {kept.node}")
        parts = []
        for reason, names in reasons.items():
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            parts.append(f"{', '.join(names[:SHOWN])}{more} ({reason})")
        stays = f"; float32 stay {'; '.join(parts)}" if parts else ""
        return (
            f"--fp16: {self.nodes} operators compute in float16 with {self.weights} weights in float16, inputs and "
            f"outputs are float32{stays}"
        )


def to_half(body: ir.Graph, opset: int) -> HalfPlan:
    """Bring a graph to float16 as the module's docstring says; in place.

    Args:
        body: nodes of the target's opset.
        opset: which that is.

    Raises:
        ConversionError: nothing of the model can be computed in float16.
    """
    types = element_types(body, opset)
    in_half, kept = chosen(body, types)
    if not in_half:
        why = "; ".join(f"{item.operator} {item.node}: {item.reason}" for item in kept[:SHOWN])
        raise ConversionError(
            f"--fp16: no layer of this model can be computed in float16 ({why or 'it has none'}); leave --fp16 out"
        )
    values = {name_of(value) for node in in_half for value in results(node, types)}
    weights = _Rewriting(body, types, in_half).run()
    return HalfPlan(frozenset(values), weights, len(in_half), tuple(kept), opset)


def element_types(body: ir.Graph, opset: int) -> dict[str, int]:
    """Element type of every value, as ONNX infers it; the weights' data are not looked at."""
    import onnx

    weights = list(body.initializers.values())
    shapes = [(value, value.shape) for node in body for value in node.outputs]
    body.initializers.clear()
    for value, _ in shapes:
        value.shape = None  # a shape without a type cannot be written
    try:
        proto = ir.to_proto(ir.Model(body, ir_version=10))
    finally:
        for value in weights:
            body.register_initializer(value)
        for value, shape in shapes:
            value.shape = shape
    for value in weights:
        assert value.const_value is not None
        info = onnx.helper.make_tensor_value_info(
            name_of(value), int(value.const_value.dtype), [int(size) for size in value.const_value.shape.numpy()]
        )
        proto.graph.input.append(info)
    inferred = onnx.shape_inference.infer_shapes(proto).graph
    types = {
        info.name: info.type.tensor_type.elem_type
        for info in (*inferred.input, *inferred.value_info, *inferred.output)
        if info.type.tensor_type.elem_type
    }
    for node in body:
        for value in node.outputs:
            known = element_type(value) if name_of(value) not in types else None
            if known is not None:
                types[name_of(value)] = int(known)
    return types


def is_float(value: ir.Value | None, types: dict[str, int]) -> bool:
    return value is not None and bool(value.name) and types.get(name_of(value)) == int(ir.DataType.FLOAT)


def results(node: ir.Node, types: dict[str, int]) -> list[ir.Value]:
    """A node's results that are float32 numbers."""
    return [value for value in node.outputs if is_float(value, types)]


def operands(node: ir.Node, types: dict[str, int]) -> Iterator[tuple[int, ir.Value]]:
    """Slot and value of the operands that have to be of the type that a node computes in."""
    for slot, value in enumerate(node.inputs):
        if value is not None and is_float(value, types) and slot not in FLOAT32_OPERANDS.get(node.op_type, ()):
            yield slot, value


def chosen(body: ir.Graph, types: dict[str, int]) -> tuple[list[ir.Node], list[Kept]]:
    """The nodes that compute in float16, in order, and those that do not."""
    nodes = [node for node in body if results(node, types) and any(operands(node, types))]
    # Through numbers alone: what is computed from a shape, and sizes that an operator is told, are no part of it.
    fed_by_layer: set[ir.Node] = set()
    for node in nodes:
        if node.op_type in LAYERS or any(value.producer() in fed_by_layer for _, value in operands(node, types)):
            fed_by_layer.add(node)
    feeds_layer: set[ir.Node] = set()
    for node in reversed(nodes):
        if node.op_type in LAYERS or node in feeds_layer:
            feeds_layer.update(producer for _, value in operands(node, types) if (producer := value.producer()))
            feeds_layer.add(node)
    half: dict[ir.Node, None] = {}
    kept = []
    for node in nodes:
        reason = ""
        if node not in fed_by_layer:
            reason = BEFORE
        elif node not in feeds_layer:
            reason = BEHIND
        elif node.op_type not in LAYERS | ARITHMETIC | MOVES:
            reason = f"{node.op_type} is not safe in float16"
        elif node.op_type == "Div" and constant(node.inputs[1]) is None:
            reason = "a quotient of computed values may overflow float16"
        else:
            reason = misfit(node, types)
        if not reason and node.op_type in MOVES and not moves_half(node, types, half):
            continue  # it moves float32 numbers about, and computes nothing
        if not reason:
            half[node] = None
        elif node.op_type not in MOVES:
            kept.append(Kept(node.name or name_of(node.outputs[0]), node.op_type, reason))
    return list(half), kept


def moves_half(node: ir.Node, types: dict[str, int], half: dict[ir.Node, None]) -> bool:
    """Whether any of the numbers that a node moves are float16."""
    return any(value.producer() in half for _, value in operands(node, types) if value.producer() is not None)


def misfit(node: ir.Node, types: dict[str, int]) -> str:
    """Why a node's constants do not fit in float16; "" where they do."""
    arrays = {slot: constant(value) for slot, value in operands(node, types)}
    for slot, array in arrays.items():
        if array is None or not array.size:
            continue
        greatest = float(np.abs(array[np.isfinite(array)], dtype=np.float64).max(initial=0.0))
        if not np.isfinite(rounded(np.array(greatest))):
            return f"its constants reach {greatest:.3g}, beyond the 65504 of float16"
        if node.op_type == "BatchNormalization" or (node.op_type, slot) in BIAS:
            continue
        lost = lost_by_rounding(array)
        if lost > MOST_LOST:
            return f"its constants lose {lost:.0%} in float16, the greatest is {greatest:.1e}"
    if node.op_type == "BatchNormalization":
        lost = lost_by_statistics(node, [arrays.get(slot) for slot in range(1, 5)])
        if lost > MOST_LOST:
            return f"what its statistics stand for loses {lost:.0%} in float16"
    return ""


def rounded(array: NumpyArray) -> NumpyArray:
    """The nearest numbers of float16, in float64; infinite beyond its range."""
    with np.errstate(over="ignore"):
        return array.astype(np.float16).astype(np.float64)


def root_mean_square(array: NumpyArray) -> float:
    return float(np.sqrt(np.mean(np.square(array)))) if array.size else 0.0


def lost_by_rounding(array: NumpyArray) -> float:
    """rel-RMSE of an array's numbers in float16."""
    finite = array[np.isfinite(array)].astype(np.float64)
    size = root_mean_square(finite)
    return root_mean_square(rounded(finite) - finite) / size if size > 0.0 else 0.0


def lost_by_statistics(norm: ir.Node, arrays: list[NumpyArray | None]) -> float:
    """What rounding its statistics costs a BatchNormalization, as a share of its result."""
    if any(array is None for array in arrays):
        return 0.0
    eps = float(attribute(norm, "epsilon", 1e-5))
    exact = [np.asarray(array, np.float64) for array in arrays]
    (factor, shift), (ours, moved) = (affine(each, eps) for each in (exact, [rounded(array) for array in exact]))
    gamma, beta, mean, _ = exact
    size = max(root_mean_square(gamma), root_mean_square(beta), root_mean_square(mean * factor))
    lost = [root_mean_square(ours - factor) / root_mean_square(factor) if factor.any() else 0.0]
    lost.append(root_mean_square(moved - shift) / (2.0 * size) if size > 0.0 else 0.0)  # two of its numbers are rounded
    return float(np.max(lost)) if np.isfinite(lost).all() else np.inf


def affine(statistics: list[NumpyArray], eps: float) -> tuple[NumpyArray, NumpyArray]:
    """(factor, shift) of gamma, beta, mean and variance."""
    gamma, beta, mean, variance = statistics
    with np.errstate(all="ignore"):
        factor = gamma / np.sqrt(variance + eps)
        return factor, beta - mean * factor


class _Rewriting:
    """Puts the chosen nodes into float16: their constants, and Casts at the borders."""

    def __init__(self, body: ir.Graph, types: dict[str, int], in_half: list[ir.Node]) -> None:
        self.body, self.types, self.half = body, types, set(in_half)
        self.names = {name_of(value) for node in body for value in node.outputs}
        self.names |= {name_of(value) for value in body.inputs} | set(body.initializers)
        self.node_names = {node.name for node in body}
        self.cast: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}
        self.constants: dict[ir.Value, ir.Value] = {}

    def run(self) -> int:
        """Do it; the number of weights in float16."""
        outputs = {name_of(value) for value in self.body.outputs}
        for node in list(self.body):
            if node in self.half:
                for slot, value in list(operands(node, self.types)):
                    if value.producer() not in self.half:
                        node.replace_input_with(slot, self.as_half(node, value))
                for value in results(node, self.types):
                    value.type = ir.TensorType(ir.DataType.FLOAT16)
                continue
            for slot, read in enumerate(node.inputs):
                if read is not None and read.producer() in self.half and is_float(read, self.types):
                    node.replace_input_with(slot, self.converted(node, read, ir.DataType.FLOAT))
        for index, value in enumerate(self.body.outputs):
            if value.producer() in self.half and is_float(value, self.types):
                self.body.outputs[index] = self.output(value)
        for value in list(self.constants):
            if not value.uses() and name_of(value) not in outputs:
                name = name_of(value)
                del self.body.initializers[name]
                replacement = self.constants[value]
                del self.body.initializers[name_of(replacement)]
                replacement.name = name
                self.body.register_initializer(replacement)
        return len(self.constants)

    def unique(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self.names:
            count += 1
            candidate = f"{name}_{count}"
        self.names.add(candidate)
        return candidate

    def as_half(self, node: ir.Node, value: ir.Value) -> ir.Value:
        """A float32 value as float16: a constant of its own, or a Cast before the node."""
        array = constant(value)
        if array is None:
            return self.converted(node, value, ir.DataType.FLOAT16)
        if value not in self.constants:
            name = self.unique(f"{name_of(value)}/float16")
            tensor = ir.Tensor(array.astype(np.float16), name=name)
            made = ir.Value(
                name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
            )
            self.body.register_initializer(made)
            self.constants[value] = made
        return self.constants[value]

    def converted(self, before: ir.Node, value: ir.Value, to: ir.DataType) -> ir.Value:
        """A value in another type, by one Cast for all that read it so."""
        if (value, to) not in self.cast:
            name = self.unique(f"{name_of(value)}/{'float16' if to == ir.DataType.FLOAT16 else 'float32'}")
            node = self.cast_node(value, to, name)
            self.body.insert_before(before, node)
            self.cast[value, to] = node.outputs[0]
        return self.cast[value, to]

    def cast_node(self, value: ir.Value, to: ir.DataType, name: str) -> ir.Node:
        node_name, count = f"{name}/Cast", 1
        while node_name in self.node_names:  # which have to be unique as well
            count += 1
            node_name = f"{name}/Cast_{count}"
        self.node_names.add(node_name)
        node = ir.Node("", "Cast", [value], [ir.AttrInt64("to", int(to))], name=node_name)
        result = node.outputs[0]
        result.name, result.shape, result.type = name, value.shape, ir.TensorType(to)
        return node

    def output(self, value: ir.Value) -> ir.Value:
        """The float32 value under an output's name; what computes it in float16 gets another."""
        name = name_of(value)
        value.name = self.unique(f"{name}/float16")
        ready = self.cast.get((value, ir.DataType.FLOAT))
        if ready is not None:
            ready.name = name
            return ready
        node = self.cast_node(value, ir.DataType.FLOAT, name)
        self.body.append(node)
        return node.outputs[0]
