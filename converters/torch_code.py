"""The source text of one ``model.py``: what ``to_torch`` rules write into.

A rule reads canonical values as expressions (:meth:`TorchCode.arg`), declares submodules (:meth:`TorchCode.module`) and
assigns results (:meth:`TorchCode.assign`). Local names are handed out like registers, so that the code of a chain reads
``x = self.conv0(x)`` and no activation outlives its last use.

Shape arithmetic (Shape, Gather, Concat, ... on int64) is written as plain Python lists of ints, not as tensors:
:meth:`TorchCode.ints` gives the expression of such a value, :meth:`TorchCode.assign_ints` makes one.

A rule reads all its arguments first and then calls one ``assign*`` method once: the result may take the local of an
argument whose last use this was. Identity and Dropout never reach a rule: their output is another name of their input.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Graph, NumpyArray, constant, name_of
from facecvt.converters.onnx_ir_lazy import ir

VANISHING = ("Identity", "Dropout")
RESERVED = ("self", "torch", "nn", "F")


@dataclass
class Submodule:
    """One declared layer: constructor call, and its state entries by leaf name in state_dict order."""

    path: str
    constructor: str
    state: dict[str, NumpyArray]


@dataclass
class Statement:
    """One line of ``forward``; ``value`` is the canonical value whose result it assigns."""

    text: str
    value: str | None = None


@dataclass
class TorchCode:
    """Collects submodules, buffers and forward statements of one graph.

    Attributes:
        graph: the canonical graph that is written.
        submodules: declared layers by path, in order of declaration.
        buffers: constants that are tensors at run time, by attribute name.
        statements: body of ``forward``.
        helpers: functions that stand beside the class, by name: their source.
    """

    graph: Graph
    submodules: dict[str, Submodule] = field(default_factory=dict)
    buffers: dict[str, NumpyArray] = field(default_factory=dict)
    parameters: dict[str, NumpyArray] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    helpers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._expressions: dict[str, str] = {}  # canonical value -> Python expression of a tensor
        self._ints: dict[str, str] = {}  # canonical value -> Python expression of a list of ints, or of an int (rank 0)
        self._roots: dict[str, ir.Value] = {}  # output of Identity or Dropout -> the value it repeats
        self._owner: dict[str, str] = {}  # local -> the value it holds
        self._free: list[str] = []
        self._count = 0
        self._paths: set[str] = set()
        self._uses: dict[str, int] = {}  # reads of a value that are still to come
        for node in self.graph.body:
            if node.op_type in VANISHING and node.inputs[0] is not None:
                self._roots[name_of(node.outputs[0])] = self.root(node.inputs[0])
                continue
            for value in node.inputs:
                self._count_use(value)
        for value in self.graph.outputs:
            self._count_use(value)

    def _count_use(self, value: ir.Value | None) -> None:
        if value is not None:
            name = name_of(self.root(value))
            self._uses[name] = self._uses.get(name, 0) + 1

    def root(self, value: ir.Value) -> ir.Value:
        """The value itself, or the one that it repeats through Identity and Dropout."""
        return self._roots.get(name_of(value), value)

    # ---- what a rule reads ------------------------------------------------------------------------------------------

    def arg(self, value: ir.Value | None) -> str:
        """Python expression of a value as a tensor: a local name, or ``self.<buffer>`` for a constant."""
        if value is None:
            return "None"
        value = self.root(value)
        name = name_of(value)
        if name in self._expressions:
            return self._expressions[name]
        array = constant(value)
        if array is not None:
            return self.buffer(value)
        if name in self._ints:
            return f"torch.tensor({self._ints[name]}, dtype=torch.int64)"  # by itself torch makes [] float32
        raise ConversionError(f"value {name!r} is used before it is computed")

    def ints(self, value: ir.Value | None) -> str | None:
        """Python expression of a value as ints: ``[1, -1, 4]``, ``list(x.shape)``, or ``3`` for rank 0.

        None where the value is not known to be shape arithmetic; its rule then works on tensors.
        """
        if value is None:
            return None
        value = self.root(value)
        if name_of(value) in self._ints:
            return self._ints[name_of(value)]
        array = constant(value)
        if array is not None and array.dtype.kind in "iu" and array.size <= 64:
            return repr(array.tolist())
        return None

    def scalar(self, value: ir.Value | None) -> float | int | None:
        """The Python number of a one-element constant, None where it is not one."""
        array = constant(value)
        if array is None or array.size != 1:
            return None
        number: float | int = array.reshape(-1)[0].item()
        return number

    def number(self, value: float) -> str:
        """A float as a literal that reads well and gives back the float32 nearest to it."""
        if math.isinf(value) or math.isnan(value):
            return f'float("{value}")'
        for digits in range(1, 18):
            text = f"{value:.{digits}g}"
            if np.float32(text) == np.float32(value):
                return text if any(mark in text for mark in ".en") else f"{text}.0"
        return repr(value)

    # ---- what a rule declares ---------------------------------------------------------------------------------------

    def module(
        self, node: ir.Node, constructor: str, state: Mapping[str, ir.Value | NumpyArray | None] | None = None
    ) -> str:
        """Declare the layer of a node and return the expression that calls it.

        Args:
            node: the canonical node; the layer is named after its source layer.
            constructor: for example ``"nn.Conv2d(3, 64, 3, padding=1, bias=False)"``.
            state: leaf name -> weight, in state_dict order; None entries are left out.

        Returns:
            ``self.conv0``. Two nodes that own the same weights with the same constructor share one layer.
        """
        arrays: dict[str, NumpyArray] = {}
        for leaf, weight in (state or {}).items():
            if weight is None:
                continue
            array = constant(weight) if isinstance(weight, ir.Value) else weight
            if array is None:
                raise ConversionError(f"{node.op_type} {node.name!r}: {leaf} must be a weight, but it is computed")
            arrays[leaf] = array
        path = self._layer_path(node, [w for w in (state or {}).values() if isinstance(w, ir.Value)])
        self.submodules[path] = Submodule(path, constructor, arrays)
        return self._attribute(path)

    def buffer(self, value: ir.Value) -> str:
        """Register a constant as a buffer of the model and return its expression."""
        array = constant(value)
        if array is None:
            raise ConversionError(f"value {name_of(value)!r} is not a constant")
        name = self._leaf_name(name_of(value))
        self.buffers[name] = array
        self._expressions[name_of(value)] = f"self.{name}"
        return f"self.{name}"

    def parameter(self, value: ir.Value) -> str:
        """Register a weight as a bare ``nn.Parameter`` (one that no layer class holds) and return its expression."""
        array = constant(value)
        if array is None:
            raise ConversionError(f"value {name_of(value)!r} is not a weight")
        name = self._leaf_name(name_of(value))
        self.parameters[name] = array
        self._expressions[name_of(value)] = f"self.{name}"
        return f"self.{name}"

    def helper(self, name: str, source: str) -> None:
        """Have a function stand beside the class, once; ``source`` is its text, which needs torch alone."""
        self.helpers[name] = source.strip("\n")

    def assign(self, value: ir.Value, expression: str) -> None:
        """``<local> = <expression>`` for one output of the current node."""
        local = self._local(value)
        self.statements.append(Statement(f"{local} = {expression}", name_of(value)))

    def assign_many(self, values: list[ir.Value], expression: str) -> None:
        """``a, b = <expression>`` for a node with several outputs."""
        locals_ = [self._local(value) for value in values]
        self.statements.append(Statement(f"{', '.join(locals_)} = {expression}", None))

    def assign_ints(self, value: ir.Value, expression: str) -> None:
        """Let ``value`` stand for a Python list of ints (or an int for rank 0); no statement is written."""
        self._ints[name_of(value)] = expression

    # ---- what the writer drives -------------------------------------------------------------------------------------

    def bind_input(self, value: ir.Value) -> str:
        """Name an argument of ``forward``."""
        local = identifier(name_of(value))
        if local in RESERVED or re.fullmatch(r"x\d*", local):
            local = "data" if local == "x" else f"{local}_"
        self._expressions[name_of(value)] = local
        return local

    def before(self, node: ir.Node) -> None:
        """Count down the uses of a node's arguments; a local that is read for the last time may take the result."""
        for value in node.inputs:
            if value is not None:
                self._uses[name_of(self.root(value))] -= 1
        if node.op_type != "Shape":  # its result, ``x.shape``, still reads the local
            self._release(also_read={name_of(self.root(value)) for value in node.inputs if value is not None})

    def after(self, node: ir.Node) -> None:
        """Free the locals of results that nobody reads, and of arguments that shape arithmetic no longer holds."""
        self._release(also_read=set())

    def _release(self, also_read: set[str]) -> None:
        """Free every local without reads to come, unless living shape arithmetic names it.

        Args:
            also_read: values whose shape arithmetic the node at hand may carry on.
        """
        living = [text for name, text in self._ints.items() if self._uses.get(name, 0) > 0 or name in also_read]
        for local, name in list(self._owner.items()):
            if self._uses.get(name, 0) == 0 and not any(re.search(rf"\b{local}\b", text) for text in living):
                del self._owner[local]
                self._free.append(local)

    def _local(self, value: ir.Value) -> str:
        if self._free:
            self._free.sort(key=lambda name: (len(name), name))
            local = self._free.pop(0)
        else:
            self._count += 1
            local = "x" if self._count == 1 else f"x{self._count}"
        self._owner[local] = name_of(value)
        self._expressions[name_of(value)] = local
        return local

    def _attribute(self, path: str) -> str:
        head, *rest = path.split(".")
        return f"self.{head}" + "".join(f'["{part}"]' for part in rest)

    def _layer_path(self, node: ir.Node, weights: list[ir.Value]) -> str:
        base = layer_name(self.graph.source_framework, node, weights)
        if any(base.startswith(f"{known}.") for known in self._paths):
            base = base.replace(".", "_")  # Paddle calls an activation's result ``batch_norm_0.tmp_3``, after its layer
        candidate, count = base, 1
        while candidate in self._paths or self._conflicts(candidate):
            count += 1
            candidate = f"{base}_{count}"
        self._paths.add(candidate)
        return candidate

    def _conflicts(self, path: str) -> bool:
        """Whether a path is inside another layer, or another layer inside it."""
        return any(known.startswith(f"{path}.") or path.startswith(f"{known}.") for known in self._paths)

    def _leaf_name(self, name: str) -> str:
        base = identifier(name)
        candidate, count = base, 1
        while candidate in self._paths or candidate in MODULE_ATTRIBUTES:
            count += 1
            candidate = f"{base}_{count}"
        self._paths.add(candidate)
        return candidate


# Attribute names that nn.Module itself uses and that a layer must therefore not bear.
MODULE_ATTRIBUTES = frozenset(
    """
    forward train eval half float double bfloat16 to cpu cuda xpu ipu type apply modules children
    parameters buffers named_modules named_children named_parameters named_buffers state_dict
    load_state_dict zero_grad requires_grad_ share_memory extra_repr add_module register_module
    register_buffer register_parameter get_submodule get_parameter get_buffer get_extra_state
    set_extra_state compile training dump_patches call_super_init to_empty
    """.split()  # noqa: SIM905 - a word list reads better than 40 quoted lines
)


def identifier(name: str) -> str:
    """A Python identifier that reads like ``name``."""
    text = re.sub(r"\W+", "_", name).strip("_") or "value"
    if text[0].isdigit():
        text = f"v{text}"
    return f"{text}_" if keyword.iskeyword(text) else text


def layer_name(framework: str, node: ir.Node, weights: list[ir.Value]) -> str:
    """The source's own name of the layer that a node stands for.

    MXNet names its nodes after layers. A Paddle program and an ONNX graph name only values, so the layer's name is
    what its weights have in common: ``conv2d_47.w_0`` -> ``conv2d_47``, ``base_net.0.0.weight`` -> ``base_net.0.0``.
    Where nothing but a number is left, the operator's name is put before it.
    """
    source = node.metadata_props.get("facecvt.source_name") or node.name or node.op_type
    if framework == "mxnet" or not weights:
        return safe_path(source if framework != "onnx" else source.strip("/").replace("/", "_"), node.op_type)
    name = name_of(weights[0])
    stem = re.sub(r"(?:[._](?:w|b)_\d+|[._](?:weights?|bias|gamma|beta|scale|slope|alpha|W|B|running_\w+))$", "", name)
    return safe_path(stem, node.op_type)


def safe_path(name: str, op_type: str) -> str:
    """A dotted module path whose first part is an identifier that nn.Module does not use itself."""
    parts = [re.sub(r"\W+", "_", part) for part in name.split(".") if part]
    parts = [part for part in parts if part.strip("_")] or [op_type.lower()]
    if not parts[0].isidentifier() or keyword.iskeyword(parts[0]) or parts[0] in MODULE_ATTRIBUTES:
        parts[0] = f"{op_type.lower()}_{parts[0].lstrip('_')}"
    return ".".join(parts)
