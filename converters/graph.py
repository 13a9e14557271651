"""The canonical graph: ONNX operators at one opset, held in onnx_ir, every value under the name it had in its source.

    Graph                what a reader returns and a writer takes
      .body              the onnx_ir.Graph: nodes in topological order, weights as initializers
      .contracts         one InputContract an input (layout, colour, mean and scale, inside the graph or not)
      .aliases           source value name -> canonical value name, for operators that vanish (Dropout, Identity, ...)
      .origins           canonical value name -> (source operator, source node name) that computes it
      .absorbed          source value that no longer exists, or that a recognised architecture's class only moves about
                         inside a forward -> the value that includes the step after it
      .recorded            input -> the file of facecvt's own that tells its contract (recorded_contract.py)
      .warnings          what the user should know: labels removed, weights left over, input size deduced
    Builder              grows a Graph one source node at a time; what a ``from_*`` rule writes with

The canonical opset is 21. Writers for an older opset lower the few operators whose form changed
(``ops/lowering.py``). Weights stay windows on their source file (:class:`FileTensor`) until they are written.

Conventions that every rule and writer may rely on:

* Conv and ConvTranspose carry explicit ``kernel_shape``, ``strides``, ``pads``, ``dilations``, ``group``; no auto_pad.
* PRelu slopes are (C,1,1) for per-channel slopes of (N,C,H,W), (1,) for one shared slope; BatchNormalization is in
  inference form with one output and its four parameters as initializers wherever the source has them as weights.
* Gemm is only used for alpha = beta = 1, transA = 0 on a 2-D input; transB says whether the weight is (out, in).
* Axes, shapes and the like are inputs where opset 21 has them as inputs, given as int64 initializers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facecvt.converters.contract import InputContract
from facecvt.converters.formats.mapped import Array, MappedTensor
from facecvt.converters.integer_folding import INTEGER_RULES, folded
from facecvt.converters.onnx_ir_lazy import ir

CANONICAL_OPSET = 21

NumpyArray = np.ndarray[tuple[int, ...], np.dtype[Any]]


class FileTensor(ir.Tensor[Any]):
    """An onnx_ir tensor whose bytes lie in a source file; the writer copies them from file to file.

    Args:
        mapped: the window on the file.
        name: the weight's name.
    """

    def __init__(self, mapped: MappedTensor, name: str) -> None:
        self.mapped = mapped
        super().__init__(mapped.numpy(), dtype=ir.DataType.from_numpy(mapped.dtype), name=name)


@dataclass
class Graph:
    """The canonical graph with what facecvt adds to it; see the module's docstring."""

    body: ir.Graph
    source_framework: str
    name: str
    contracts: list[InputContract] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    origins: dict[str, tuple[str, str]] = field(default_factory=dict)
    absorbed: dict[str, str] = field(default_factory=dict)
    recorded: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def inputs(self) -> list[ir.Value]:
        """Values that are fed at run time, weights not among them."""
        return list(self.body.inputs)

    @property
    def outputs(self) -> list[ir.Value]:
        return list(self.body.outputs)

    def weights(self) -> dict[str, NumpyArray]:
        """Every initializer by name, as read-only arrays on the source file where possible."""
        return {name: constant(value) for name, value in self.body.initializers.items()}  # type: ignore[misc]

    def forget_weights(self) -> None:
        """Give the memory of all weights back that lie in a file; arrays of them stay good."""
        forget(self.body.initializers.values())


def name_of(value: ir.Value) -> str:
    """The value's name; in a canonical graph every value has one."""
    if not value.name:
        raise ValueError("a value of the canonical graph has no name")
    return value.name


def forget(values: Iterable[ir.Value | None]) -> None:
    """Give the memory of weights back, of those that lie in a file; arrays of them stay good."""
    for value in values:
        if value is not None and isinstance(value.const_value, FileTensor):
            value.const_value.mapped.forget()


def constant(value: ir.Value | None) -> NumpyArray | None:
    """The array of an initializer, or None where the value is computed, an input or absent."""
    if value is None or value.const_value is None:
        return None
    array: NumpyArray = value.const_value.numpy()
    return array


def dims(value: ir.Value | None) -> tuple[int | None, ...] | None:
    """The value's shape with None for dynamic dimensions; None where not even the rank is known."""
    if value is None or value.shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else None for dim in value.shape)


def rank(value: ir.Value) -> int | None:
    """Number of dimensions, None where not known."""
    return None if value.shape is None else len(value.shape)


def attribute(node: ir.Node, name: str, default: Any = None) -> Any:
    """The Python value of a node's attribute (ints, floats, str, lists of them, or a tensor), or the default."""
    found = node.attributes.get(name)
    if found is None:
        return default
    value = found.value
    return list(value) if isinstance(value, tuple) else value


def make_attributes(values: Mapping[str, Any]) -> list[ir.Attr]:
    """onnx_ir attributes from Python values; None leaves an attribute out."""
    attributes = []
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, (bool, int, np.integer)):
            attributes.append(ir.AttrInt64(name, int(value)))
        elif isinstance(value, (float, np.floating)):
            attributes.append(ir.AttrFloat32(name, float(value)))
        elif isinstance(value, str):
            attributes.append(ir.AttrString(name, value))
        elif isinstance(value, (list, tuple)) and all(isinstance(item, (int, np.integer)) for item in value):
            attributes.append(ir.AttrInt64s(name, [int(item) for item in value]))
        elif isinstance(value, (list, tuple)) and all(isinstance(item, (int, float)) for item in value):
            attributes.append(ir.AttrFloat32s(name, [float(item) for item in value]))
        elif isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            attributes.append(ir.AttrStrings(name, list(value)))
        else:
            raise TypeError(f"attribute {name!r}: cannot hold a {type(value).__name__}")
    return attributes


def reshape_weight(graph: Graph, value: ir.Value, shape: Sequence[int], reader: ir.Node | None = None) -> ir.Value:
    """A weight in another shape of the same bytes; the file stays the source.

    Args:
        graph: the graph that holds it.
        value: an initializer.
        shape: the new shape, of as many elements.
        reader: the one node that may read it already (because the caller replaces that node).

    Returns:
        The value itself under its own name where nothing else reads it, else a second initializer.
    """
    tensor = value.const_value
    if tensor is None:
        raise ValueError(f"{name_of(value)!r} is not a weight")
    if tuple(tensor.shape.numpy()) == tuple(shape):
        return value
    name = name_of(value)
    if isinstance(tensor, FileTensor):
        old = tensor.mapped
        replaced: ir.Tensor[Any] = FileTensor(MappedTensor(old.file, old.offset, old.dtype, tuple(shape)), name)
    else:
        replaced = ir.Tensor(tensor.numpy().reshape(tuple(shape)), name=name)
    if all(use.node is reader for use in value.uses()):
        value.const_value = replaced
        value.shape = ir.Shape(shape)
        return value
    other_name = f"{name}/{'x'.join(map(str, shape))}"
    if other_name in graph.body.initializers:
        return graph.body.initializers[other_name]
    other = ir.Value(
        name=other_name,
        shape=ir.Shape(shape),
        type=ir.TensorType(replaced.dtype),
        const_value=replaced,
    )
    graph.body.register_initializer(other)
    return other


class Builder:
    """Grows a canonical graph one source node at a time.

    A rule calls :meth:`emit` for every canonical node it needs and returns the value, or the sequence of values, that
    stand for the source node's outputs; the reader then gives those the source's names. Values in between are named
    after the source node: ``<node>/<OpType>``.

    Args:
        framework: "mxnet", "paddle", "onnx" or "torch".
        name: the model's name.
    """

    def __init__(self, framework: str, name: str) -> None:
        self.graph = Graph(
            ir.Graph([], [], nodes=[], opset_imports={"": CANONICAL_OPSET}, name=name or "model"), framework, name
        )
        self._names: set[str] = set()
        self._node_names: set[str] = set()
        self._source: tuple[str, str] = ("", "")
        self._new_nodes: list[ir.Node] = []
        self._provisional: set[int] = set()  # ids of computed values that bear no name of the source yet

    def begin(self, source_op: str, source_name: str) -> None:
        """Everything emitted from here on belongs to this source node."""
        self._source = (source_op, source_name)

    def take_new_nodes(self) -> list[ir.Node]:
        """The nodes emitted since the last call."""
        taken, self._new_nodes = self._new_nodes, []
        return taken

    def unique(self, name: str) -> str:
        """``name``, or ``name_2``, ``name_3``, ... where it is taken; the result is reserved."""
        candidate, count = name, 1
        while candidate in self._names:
            count += 1
            candidate = f"{name}_{count}"
        self._names.add(candidate)
        return candidate

    def input(self, name: str, shape: Sequence[int | str | None] | None, dtype: ir.DataType) -> ir.Value:
        """Declare an input that is fed at run time."""
        value = ir.Value(
            name=self.unique(name),
            shape=None if shape is None else ir.Shape(shape),
            type=ir.TensorType(dtype),
        )
        self.graph.body.inputs.append(value)
        return value

    def weight(self, name: str, array: Array) -> ir.Value:
        """A weight of the source under its own name, unchanged; the bytes stay in the file they were read from."""
        tensor: ir.Tensor[Any] = (
            FileTensor(array, name) if isinstance(array, MappedTensor) else ir.Tensor(array, name=name)
        )
        return self._initializer(self.unique(name), tensor)

    def const(self, values: Any, dtype: Any = np.int64, name: str | None = None) -> ir.Value:
        """A constant that the source did not have as a weight.

        Args:
            values: anything numpy can make an array of.
            dtype: its element type; None keeps that of ``values``.
            name: base of its name; by default the current source node's name.
        """
        array = np.ascontiguousarray(values) if dtype is None else np.ascontiguousarray(values, dtype=dtype)
        array = array.reshape(np.shape(values))  # ascontiguousarray makes a scalar one-dimensional
        unique = self.unique(name or f"{self._source[1]}/const")
        return self._initializer(unique, ir.Tensor(array, name=unique))

    def reshaped(self, value: ir.Value, shape: Sequence[int]) -> ir.Value:
        """A weight in another shape of the same bytes, for example a slope (C,) as (C,1,1); the file stays the source.

        The value keeps its name where it has no other use yet, so that the weight is still found under its own name.
        """
        if value.const_value is None:
            computed: ir.Value = self.emit("Reshape", [value, self.const(list(shape))])
            return computed
        reshaped = reshape_weight(self.graph, value, shape)
        self._names.add(name_of(reshaped))
        return reshaped

    def emit(self, op_type: str, inputs: Iterable[ir.Value | None], outputs: int = 1, **attributes: Any) -> Any:
        """Append one canonical node.

        Args:
            op_type: ONNX operator of the canonical opset.
            inputs: its inputs; None for an optional one that is left out.
            outputs: how many outputs it has.
            attributes: Python values; None leaves one out.

        Returns:
            The output value, or the list of them where ``outputs`` is not 1; an initializer in place of a node that
            would compute whole numbers of constants alone (see integer_folding.py).
        """
        inputs = list(inputs)
        if op_type in INTEGER_RULES:
            numbers = folded(op_type, [constant(value) for value in inputs], attributes)
            if numbers is not None:
                return self.const(numbers, None)
        source_op, source_name = self._source
        node = ir.Node(
            "",
            op_type,
            list(inputs),
            make_attributes(attributes),
            num_outputs=outputs,
            name=self._unique_node_name(source_name or op_type),
            metadata_props={"facecvt.source_op": source_op, "facecvt.source_name": source_name},
        )
        for value in node.outputs:
            value.name = self.unique(f"{source_name}/{op_type}")
            self.graph.origins[value.name] = self._source
            self._provisional.add(id(value))
        self.graph.body.append(node)
        self._new_nodes.append(node)
        return node.outputs[0] if outputs == 1 else list(node.outputs)

    def rename(self, value: ir.Value, name: str) -> None:
        """Give a computed value its source's name.

        Where the value stands for an earlier name already (the operator vanished), the new name becomes an alias.
        """
        current = name_of(value)
        if id(value) not in self._provisional:
            self.graph.aliases[name] = current
            return
        self._provisional.discard(id(value))
        origin = self.graph.origins.pop(current)
        self._names.discard(current)
        value.name = self.unique(name)
        self.graph.origins[value.name] = origin

    def output(self, value: ir.Value, name: str) -> None:
        """Declare a graph output under its source's name.

        Where the operator that bore this name vanished, the value it repeats takes the name, and its own name becomes
        the alias; an Identity is added only where that cannot be (an input, a weight, or two outputs of one value).
        """
        is_output = any(existing is value for existing in self.graph.body.outputs)
        if value.producer() is None or is_output:
            self.begin("Identity", name)
            value = self.emit("Identity", [value])
            self._provisional.discard(id(value))
        if name_of(value) != name:
            self._replace_name(value, name)
        self.graph.body.outputs.append(value)

    def _replace_name(self, value: ir.Value, name: str) -> None:
        """Give a value another name; everything that knew it by the old one follows."""
        old, aliases = name_of(value), self.graph.aliases
        if aliases.pop(name, None) is None:
            name = self.unique(name)
        self._names.add(name)
        value.name = name
        self.graph.origins[name] = self.graph.origins.pop(old)
        for alias, target in list(aliases.items()):
            if target == old:
                aliases[alias] = name
        aliases[old] = name

    def _initializer(self, name: str, tensor: ir.Tensor[Any]) -> ir.Value:
        value = ir.Value(name=name, shape=ir.Shape(tensor.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        self.graph.body.register_initializer(value)
        return value

    def _unique_node_name(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self._node_names:
            count += 1
            candidate = f"{name}_{count}"
        self._node_names.add(candidate)
        return candidate
