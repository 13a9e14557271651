"""The nodes and weights of one MXNet symbol: what ``to_mxnet`` rules write into.

A rule reads canonical values as edges (:meth:`MxnetNodes.arg`), adds nodes in between (:meth:`MxnetNodes.node`) and
ends with the node that computes the canonical value (:meth:`MxnetNodes.assign`), which bears that value's name: MXNet
calls the result of the node ``conv0`` ``conv0_output``, so that ``_output`` is taken off where a value ends in it.

MXNet 1.9 has no scalars and no booleans outside of its numpy mode: a value of rank 0 is a vector of one element here,
truth is 0.0 and 1.0. It reshapes by numbers and codes alone: shape arithmetic is kept as :class:`~.sizes.Sizes` and
becomes a tensor only where something reads it as one. The batch size stays free throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from facecvt.converters.errors import ConversionError
from facecvt.converters.formats.mapped import Array
from facecvt.converters.formats.mxnet_symbol import MxnetNode
from facecvt.converters.graph import FileTensor, Graph, NumpyArray, constant, name_of
from facecvt.converters.mxnet_text import stem_of, text_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.value_facts import element_type, known_rank
from facecvt.converters.passes.infer_shapes import KEEPS_SHAPE, Dim, Shape, infer_node, shape_of
from facecvt.converters.sizes import Size, Sizes, number_sizes

Edge = tuple[int, int]
VANISHING = ("Identity", "Dropout")
DTYPE_CODES = {
    "float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6, "bool": 7,
}  # fmt: skip
OUTPUT_NAMES = {"_npi_matmul": "out"}  # what MXNet calls the one output where not "output"
NO_SCALARS = "MXNet has none outside of its numpy mode"
MOST_SIZES = 64  # elements up to which a constant of whole numbers may be shape arithmetic


@dataclass
class MxnetNodes:
    """Collects the nodes and weights of one graph.

    Attributes:
        graph: the canonical graph that is written; not changed.
        nodes: nodes in topological order.
        args: weights by variable name.
        aux: auxiliary states by variable name.
        taps: canonical value name -> name of MXNet's internal output that holds it.
    """

    graph: Graph
    nodes: list[MxnetNode] = field(default_factory=list)
    args: dict[str, Array] = field(default_factory=dict)
    aux: dict[str, Array] = field(default_factory=dict)
    taps: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._edges: dict[str, Edge] = {}  # canonical value -> where it is computed
        self._sizes: dict[str, Sizes] = {}  # canonical value -> the shape arithmetic that it is
        self._shapes: dict[str, Shape] = {}  # what became known of a shape while writing
        self._holders: dict[str, tuple[ir.Value, int]] = {}  # key of a dimension -> a value that has it, and where
        self._variables: dict[tuple[str, str], Edge] = {}
        self._nothing: set[str] = set()  # canonical values without elements
        self._names = {name_of(value) for value in self.graph.inputs} | set(self.graph.body.initializers)
        self._stem = ""
        # An ONNX file that names two dimensions alike means one size; other readers name them after their axis.
        self._names_are_sizes = len(self.graph.inputs) < 2 or self.graph.source_framework == "onnx"
        for value in self.graph.inputs:
            if self.rank(value) == 0:
                raise ConversionError(f"input {name_of(value)!r} is a scalar; {NO_SCALARS}")
            self._edges[name_of(value)] = self._variable(name_of(value), dtype_name(value), shape_of(value))
            shape = self._own_names(value)
            if shape is not None:
                self._shapes[name_of(value)] = shape

    # ---- what a rule reads ------------------------------------------------------------------------------------------

    def arg(self, value: ir.Value | None) -> Edge:
        """Where a value is computed, or the variable of a weight.

        Raises:
            ConversionError: shape arithmetic that MXNet cannot compute as a tensor.
        """
        if value is None:
            raise ConversionError(f"{self._stem}: an input is missing")
        name = name_of(value)
        if name in self._edges:
            return self._edges[name]
        if self.is_nothing(value):
            raise ConversionError(f"{self._stem}: {name!r} has no elements, and MXNet has no empty tensors")
        if constant(value) is not None:
            return self.weight(value)
        if name in self._sizes:
            self._edges[name] = self._computed(value, self._sizes[name])
            return self._edges[name]
        raise ConversionError(f"value {name!r} is used before it is computed")

    def weight(self, value: ir.Value, array: NumpyArray | None = None, form: str = "") -> Edge:
        """The variable of a weight, in the file as it is or in another form.

        Args:
            value: an initializer.
            array: what is stored where it is not the weight as it is.
            form: tells this form from others; it ends the name where the weight is also used in another form.
        """
        name = name_of(value)
        key = (name, form)
        if key not in self._variables:
            alone = form == "" or len({id(use.node) for use in value.uses()}) == 1
            stored = self._stored(value) if array is None else array
            self._variables[key] = self.variable(name if alone else f"{name}_{form}", stored, own=alone)
        return self._variables[key]

    def auxiliary(self, value: ir.Value, array: NumpyArray | None = None) -> Edge:
        """The variable of a moving mean or variance; one that something else reads as well is stored twice."""
        name = name_of(value)
        alone = len(value.uses()) == 1
        stored = self._stored(value) if array is None else array
        name = self._reserve(name, own=alone)
        self.aux[name] = stored
        return self._variable(name, stored.dtype.name, tuple(stored.shape))

    def variable(self, name: str, array: Array, own: bool = False) -> Edge:
        """A weight that the canonical graph does not have in this form.

        Args:
            name: its name; made unique unless ``own``.
            array: what is stored; of rank 0 as a vector of one element.
            own: whether the name is that of the graph's own weight.
        """
        if 0 in array.shape:
            raise ConversionError(
                f"{self._stem}: weight {name!r} has shape {tuple(array.shape)}; MXNet has no empty one"
            )
        if not array.shape:
            array = np.asarray(array.numpy() if not isinstance(array, np.ndarray) else array).reshape(1)
        if array.dtype.name == "bool":
            array = np.asarray(array.numpy() if not isinstance(array, np.ndarray) else array).astype(np.float32)
        name = self._reserve(name if own or name.startswith(self._stem) else f"{self._stem}_{name}", own)
        self.args[name] = array
        return self._variable(name, array.dtype.name, tuple(array.shape))

    def number(self, value: ir.Value | None) -> float | int | None:
        """The Python number of a one-element constant, None where it is not one."""
        array = constant(value)
        if array is None or array.size != 1:
            return None
        number: float | int = array.reshape(-1)[0].item()
        return number

    def sizes(self, value: ir.Value | None) -> Sizes | None:
        """A value as shape arithmetic; None where it is not known to be that."""
        if value is None:
            return None
        if name_of(value) in self._sizes:
            return self._sizes[name_of(value)]
        array = constant(value)
        if array is not None and array.dtype.kind in "iu" and array.ndim <= 1 and array.size <= MOST_SIZES:
            return number_sizes(array.reshape(-1).tolist(), scalar=array.ndim == 0)
        return None

    def computed_sizes(self, node: ir.Node) -> list[Sizes] | None:
        """All inputs as shape arithmetic, one of which is not just a constant; None where they are not."""
        found = [self.sizes(value) for value in node.inputs if value is not None]
        if all(constant(value) is not None for value in node.inputs) or any(sizes is None for sizes in found):
            return None
        return [sizes for sizes in found if sizes is not None]

    def shape(self, value: ir.Value | None) -> Shape | None:
        """The value's shape: ints, names of dynamic dimensions, None for what is not known."""
        if value is None:
            return None
        return self._shapes.get(name_of(value), self._told_shape(value))

    def rank(self, value: ir.Value | None) -> int | None:
        """Number of dimensions, None where not known."""
        shape = self.shape(value)
        return known_rank(value) if shape is None else len(shape)

    def whole_rank(self, value: ir.Value | None, node: ir.Node) -> int:
        """Number of dimensions where a rule cannot do without."""
        found = self.rank(value)
        if found is None:
            raise self.refuse(node, "the number of dimensions of its input is not known; give the model an input shape")
        return found

    def axis(self, value: ir.Value | None, axis: int, node: ir.Node) -> int:
        """An axis counted from the front."""
        return axis if axis >= 0 else axis + self.whole_rank(value, node)

    def dim(self, value: ir.Value, axis: int) -> Size:
        """One dimension of a value as a size; one that is not a number can later be read off the value."""
        shape = self.shape(value)
        found: Dim = None if shape is None or axis >= len(shape) else shape[axis]
        if isinstance(found, int):
            return Size(found)
        key = found if found is not None else self._key(value, axis)
        self._holders.setdefault(key, (value, axis))
        return Size(1, (key,))

    def holder(self, size: Size) -> tuple[ir.Value, int] | None:
        """A value that has this size as a dimension, and its axis; None where there is none."""
        return None if size.key is None else self._holders.get(size.key)

    def refuse(self, node: ir.Node, why: str) -> ConversionError:
        """The error of a node that MXNet cannot express."""
        return ConversionError(f"{node.op_type} {node.name!r}: {why}")

    # ---- what a rule writes -----------------------------------------------------------------------------------------

    def node(self, op: str, inputs: Sequence[Edge], **attrs: object) -> Edge:
        """One more node, whose result no value of the canonical graph is."""
        return self._append(op, self._unique(f"{self._stem}_{op.strip('_').lower()}"), inputs, attrs)

    def assign(self, value: ir.Value, op: str, inputs: Sequence[Edge], **attrs: object) -> None:
        """The node that computes a value; it bears the value's name.

        Args:
            value: output of the canonical node at hand.
            op: MXNet operator with one output, or with one that counts.
            inputs: its inputs.
            attrs: its attributes as Python values; None is written, since MXNet knows it.
        """
        name = self._unique(stem_of(name_of(value)))
        self._edges[name_of(value)] = self._append(op, name, inputs, attrs)
        self.taps[name_of(value)] = f"{name}_{OUTPUT_NAMES.get(op, 'output')}"

    def assign_many(self, values: Sequence[ir.Value], op: str, inputs: Sequence[Edge], **attrs: object) -> None:
        """The node that computes several values, in order; it bears the name of the first."""
        name = self._unique(stem_of(name_of(values[0])))
        index, _ = self._append(op, name, inputs, attrs)
        for output, value in enumerate(values):
            self._edges[name_of(value)] = (index, output)
            self.taps[name_of(value)] = f"{name}_output{output}"

    def assign_sizes(self, value: ir.Value, sizes: Sizes) -> None:
        """Let a value be shape arithmetic; no node is written until something reads it as a tensor."""
        self._sizes[name_of(value)] = sizes

    def alias(self, value: ir.Value, edge: Edge) -> None:
        """Let a value be what an edge holds already."""
        self._edges[name_of(value)] = edge

    def nothing(self, value: ir.Value) -> None:
        """Let a value be one without elements, which MXNet cannot hold; who joins others with it leaves it out."""
        self._nothing.add(name_of(value))

    def is_nothing(self, value: ir.Value | None) -> bool:
        """Whether a value is known to have no elements."""
        return value is not None and name_of(value) in self._nothing

    def set_shape(self, value: ir.Value, sizes: Sequence[Size]) -> None:
        """What shape arithmetic tells of a value's shape."""
        shape = tuple(size.number if size.number is not None else size.key for size in sizes)
        self._shapes[name_of(value)] = merged(self.shape(value), shape)

    # ---- what the writer drives -------------------------------------------------------------------------------------

    def begin(self, node: ir.Node) -> None:
        """Nodes without a name of their own are named after this one from here on."""
        self._stem = stem_of(name_of(node.outputs[0]))

    def end(self, node: ir.Node) -> None:
        """Tell the shapes of the node's outputs from what is known of its inputs by now."""
        shapes = infer_node(node, [self.shape(value) for value in node.inputs])
        for value, shape in zip(node.outputs, shapes, strict=False):
            if shape is not None:
                self._shapes[name_of(value)] = merged(self.shape(value), shape)
            if self.rank(value) == 0:  # held as a vector of one element, which is another shape
                self.taps.pop(name_of(value), None)

    def repeat(self, node: ir.Node) -> None:
        """Identity and Dropout: the output is what the input is."""
        source, value = node.inputs[0], node.outputs[0]
        sizes = None if source is None or constant(source) is not None else self.sizes(source)
        if sizes is not None:
            self.assign_sizes(value, sizes)
        else:
            self.alias(value, self.arg(source))
        self.end(node)

    def output(self, value: ir.Value) -> Edge:
        """The head for an output of the graph, under the output's name.

        Raises:
            ConversionError: it has rank 0, which MXNet does not have.
        """
        if self.rank(value) == 0:
            raise ConversionError(f"output {name_of(value)!r} is a scalar; {NO_SCALARS}")
        self._stem = stem_of(name_of(value))
        edge = self.arg(value)
        if element_type(value) == ir.DataType.BOOL:
            return self._append("Cast", self._unique(self._stem), [edge], {"dtype": "bool"})
        if name_of(value) in self.taps and self.nodes[edge[0]].op != "null":
            return edge
        return self._append("identity", self._unique(self._stem), [edge], {})

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _append(self, op: str, name: str, inputs: Sequence[Edge], attrs: Mapping[str, object]) -> Edge:
        texts = {key: text_of(item) for key, item in attrs.items()}
        self.nodes.append(MxnetNode(op, name, list(inputs), texts))
        return len(self.nodes) - 1, 0

    def _variable(self, name: str, dtype: str, shape: Shape | None) -> Edge:
        """A variable that says its type and, as far as they are numbers, its sizes; 0 is a size that is free."""
        if dtype not in DTYPE_CODES:
            raise ConversionError(f"{name!r} holds {dtype}, with which MXNet does not compute")
        marks = {"__dtype__": str(DTYPE_CODES[dtype])}
        if shape:
            marks["__shape__"] = text_of([dim if isinstance(dim, int) else 0 for dim in shape])
        self.nodes.append(MxnetNode("null", name, [], {}, marks))
        return len(self.nodes) - 1, 0

    def _stored(self, value: ir.Value) -> Array:
        tensor = value.const_value
        if tensor is None:
            raise ConversionError(f"{self._stem}: {name_of(value)!r} must be a weight, but it is computed")
        if isinstance(tensor, FileTensor):
            return tensor.mapped
        array: NumpyArray = tensor.numpy()
        return array

    def _reserve(self, name: str, own: bool) -> str:
        return name if own and name not in self.args and name not in self.aux else self._unique(name)

    def _unique(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self._names:
            count += 1
            candidate = f"{name}_{count}"
        self._names.add(candidate)
        return candidate

    def _told_shape(self, value: ir.Value) -> Shape | None:
        """The shape that a value bears; names count where they mean one size throughout."""
        shape = shape_of(value)
        if shape is None or self._names_are_sizes:
            return shape
        return tuple(dim if isinstance(dim, int) else None for dim in shape)

    def _own_names(self, value: ir.Value) -> Shape | None:
        """The shape of an input, whose dimensions get names of its own where the reader's mean several sizes."""
        shape = shape_of(value)
        if shape is None or self._names_are_sizes:
            return shape
        return tuple(dim if isinstance(dim, int) else f"{name_of(value)}[{axis}]" for axis, dim in enumerate(shape))

    def _key(self, value: ir.Value, axis: int) -> str:
        """A name for a dimension that has none, the same for all values that share it for certain."""
        node = value.producer()
        while node is not None and node.op_type in (*KEEPS_SHAPE, "BatchNormalization") and node.inputs[0] is not None:
            value = node.inputs[0]
            node = value.producer()
        return f"{name_of(value)}[{axis}]"

    def _computed(self, value: ir.Value, sizes: Sizes) -> Edge:
        """Shape arithmetic as an int64 tensor, read off the shapes of values."""
        parts: list[Edge] = []
        for size in sizes.items:
            parts.append(self._computed_size(name_of(value), size))
        return parts[0] if len(parts) == 1 else self.node("Concat", parts, dim=0, num_args=len(parts))

    def _computed_size(self, name: str, size: Size) -> Edge:
        edge = self.variable(f"{self._stem}_size", np.array([size.factor], np.int64))
        for key in size.keys:
            if key not in self._holders:
                raise ConversionError(f"value {name!r}: MXNet cannot compute the size {size} at run time")
            holder, axis = self._holders[key]
            shape = self.node("shape_array", [self.arg(holder)])
            part = self.node("slice_axis", [shape], axis=0, begin=axis, end=axis + 1)
            edge = self.node("broadcast_mul", [edge, part])
        if not size.offset:
            return edge
        return self.node(
            "broadcast_add", [edge, self.variable(f"{self._stem}_size", np.array([size.offset], np.int64))]
        )


def merged(known: Shape | None, found: Shape) -> Shape:
    """Two accounts of one shape: numbers count more than names, names more than nothing."""
    if known is None or len(known) != len(found):
        return found
    return tuple(
        a if isinstance(a, int) or b is None else b if isinstance(b, int) or a is None else a
        for a, b in zip(known, found, strict=True)
    )


def dtype_name(value: ir.Value) -> str:
    """Element type of an input, float32 where it has none."""
    return "float32" if value.dtype is None else value.dtype.numpy().name
