"""The operators, variables and weights of one Paddle program: what ``to_paddle`` rules write into.

A rule reads canonical values as variable names (:meth:`PaddleNodes.arg`) and appends operators
(:meth:`PaddleNodes.emit`); the operator that computes a canonical value gets it as ``into``, so that its variable bears
the value's own name. What lies between is called ``<value>/<operator>``.

Weights keep their names and their bytes. Where Paddle holds a weight in another form (a slope (C,1,1) as (C,), a matrix
transposed), it stands under its own name in that form (:meth:`PaddleNodes.weight`); a second form of the same weight
gets a name of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facecvt.converters.errors import ConversionError
from facecvt.converters.formats.mapped import Array, MappedTensor
from facecvt.converters.formats.paddle_operators import OPERATORS
from facecvt.converters.formats.paddle_program import PaddleOp, PaddleProgram, PaddleVar
from facecvt.converters.formats.paddle_schema import number_of_dtype
from facecvt.converters.graph import FileTensor, Graph, NumpyArray, attribute, constant, dims, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.value_facts import element_type, known_rank

RESERVED = frozenset(("feed", "fetch", "@EMPTY@", "@TEMP@"))  # names that Paddle gives a meaning
GRADIENT = "@GRAD"
UNKNOWN = -1
FLOAT = np.dtype(np.float32)

Operand = str | ir.Value | Sequence[str | ir.Value] | None


@dataclass
class PaddleNodes:
    """Collects the operators of one graph.

    Attributes:
        graph: the canonical graph that is written.
        ops: operators in execution order.
        vars: every variable by name.
        params: the weights by name.
        taps: canonical value name -> variable name.
    """

    graph: Graph
    ops: list[PaddleOp] = field(default_factory=list)
    vars: dict[str, PaddleVar] = field(default_factory=dict)
    params: dict[str, Array] = field(default_factory=dict)
    taps: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._names: dict[str, str] = {}  # canonical value -> variable
        self._forms: dict[tuple[str, str], str] = {}  # weight and what was done to it -> variable
        self._node: ir.Node | None = None
        self._taken = {name_of(value) for node in self.graph.body for value in node.outputs}
        self._taken |= {name_of(value) for value in self.graph.inputs} | set(self.graph.body.initializers) | RESERVED

    # ---- what a rule reads ------------------------------------------------------------------------------------------

    def arg(self, value: ir.Value | None) -> str:
        """Variable of a value; a constant becomes a weight of the program."""
        if value is None:
            raise self.refuse("an operand is missing")
        if constant(value) is not None:
            return self.weight(value)
        return self._names[name_of(value)]

    def shape(self, value: ir.Value | str | None) -> tuple[int, ...]:
        """Shape of a value or variable, -1 for dynamic dimensions.

        Raises:
            ConversionError: not even the rank is known.
        """
        if isinstance(value, str):
            return self.vars[value].shape
        known = dims(value)
        if known is None:
            count = known_rank(value)
            if count is None:
                raise self.refuse(
                    f"the number of dimensions of {value.name if value else None!r} is not known; give the model's "
                    "input shapes"
                )
            known = (None,) * count
        return tuple(UNKNOWN if dim is None else dim for dim in known)

    def rank(self, value: ir.Value | str | None) -> int:
        """Number of dimensions of a value or variable."""
        return len(self.shape(value))

    def dtype(self, value: ir.Value | str | None) -> np.dtype[Any]:
        """Element type of a value or variable."""
        if isinstance(value, str):
            return self.vars[value].dtype or FLOAT
        return dtype_of(value)

    def ints(self, value: ir.Value | None, what: str) -> list[int]:
        """The ints of an operand that must be constant."""
        array = constant(value)
        if array is None:
            raise self.refuse(f"{what} computed at run time has no Paddle form")
        return [int(item) for item in array.reshape(-1)]

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute of the node at hand."""
        assert self._node is not None
        return attribute(self._node, name, default)

    def refuse(self, message: str) -> ConversionError:
        """The error to raise for a node that Paddle cannot express."""
        node = self._node
        what = "" if node is None else f"{node.op_type} {node.name!r}: "
        return ConversionError(f"{what}{message}. The target is Paddle.")

    # ---- what a rule writes -----------------------------------------------------------------------------------------

    def weight(self, value: ir.Value, form: str = "", array: Array | None = None) -> str:
        """A weight under its own name, as it is or in another form.

        Args:
            value: an initializer.
            form: what was done to it, "" for nothing.
            array: the weight in that form.

        Returns:
            Its variable; one that also stands in the program in another form is named ``<name>/<form>``.
        """
        if array is None:
            array = stored_array(value)
        key = (name_of(value), form)
        if key not in self._forms:
            name = key[0]
            if name in self.params or not is_legal(name):
                name = self._unused(f"{legal(name)}/{form or 'value'}")
            self._forms[key] = self._declare_weight(name, array)
        return self._forms[key]

    def reshaped(self, value: ir.Value, shape: Sequence[int]) -> str:
        """A weight in another shape of the same bytes."""
        shape = tuple(shape)
        stored = stored_array(value)
        if stored.shape == shape:
            return self.weight(value)
        if isinstance(stored, MappedTensor):
            stored = MappedTensor(stored.file, stored.offset, stored.dtype, shape)
        else:
            stored = stored.reshape(shape)
        return self.weight(value, "x".join(map(str, shape)), stored)

    def constant(self, values: Any, dtype: Any) -> str:
        """A weight that the graph does not have."""
        array = np.array(values, dtype)
        return self._declare_weight(self._unused(f"{self._label}/const"), array)

    def emit(
        self,
        operator: str,
        inputs: Mapping[str, Operand],
        into: ir.Value | None = None,
        *,
        sized: Sequence[int] | None = None,
        typed: Any = None,
        **attributes: Any,
    ) -> str:
        """Append an operator with one result.

        Args:
            operator: Paddle operator type.
            inputs: slot -> values or variables; None for one that is left out.
            into: the canonical value that it computes; None for a step in between.
            sized: shape of a step in between; by default that of the first input.
            typed: element type of a step in between; by default that of the first input.
            attributes: those that are not Paddle's default.

        Returns:
            The variable of the result.
        """
        slots = self._slots(inputs)
        first = next((names[0] for names in slots.values() if names), "")
        if into is not None:
            result = self.declare(into)
        else:
            result = self._step(operator, self.shape(first) if sized is None else sized, typed or self.dtype(first))
        self._append(operator, slots, [result], attributes)
        return result

    def emit_many(
        self, operator: str, inputs: Mapping[str, Operand], into: Sequence[ir.Value | str], **attributes: Any
    ) -> list[str]:
        """Append an operator whose output slot holds a list: canonical values, or steps made by :meth:`step`."""
        results = [value if isinstance(value, str) else self.declare(value) for value in into]
        self._append(operator, self._slots(inputs), results, attributes)
        return results

    def emit_slots(
        self, operator: str, inputs: Mapping[str, Operand], steps: Sequence[str], **attributes: Any
    ) -> list[str]:
        """Append an operator of several output slots with a step in between, made by :meth:`step`, for each."""
        outputs = {slot: [name] for slot, name in zip(OPERATORS[operator].outputs, steps, strict=True)}
        self.ops.append(PaddleOp(operator, steps[0], self._slots(inputs), outputs, dict(attributes)))
        return list(steps)

    def step(self, operator: str, shape: Sequence[int], dtype: Any) -> str:
        """Declare the variable of a step in between."""
        return self._step(operator, shape, dtype)

    def declare(self, value: ir.Value) -> str:
        """Declare the variable of a canonical value that is computed or fed, under its own name where it is legal."""
        own = name_of(value)
        name = own if is_legal(own) else self._unused(legal(own))
        self._names[own] = self.taps[own] = name
        self.vars[name] = PaddleVar(name, self.dtype(value), self.shape(value), False)
        return name

    def begin(self, node: ir.Node) -> None:
        """Everything that is emitted from here on belongs to this node."""
        self._node = node

    def program(self) -> PaddleProgram:
        """The program as it stands."""
        return PaddleProgram(
            "legacy",
            self.ops,
            self.vars,
            [self._names[name_of(value)] for value in self.graph.inputs],
            [self._names[name_of(value)] for value in self.graph.outputs],
            sorted(self.params),
            0,
        )

    # ---- inside -----------------------------------------------------------------------------------------------------

    @property
    def _label(self) -> str:
        node = self._node
        return "const" if node is None else legal(name_of(node.outputs[0]))

    def _slots(self, inputs: Mapping[str, Operand]) -> dict[str, list[str]]:
        slots: dict[str, list[str]] = {}
        for slot, given in inputs.items():
            operands: Iterable[Any] = () if given is None else [given] if isinstance(given, (str, ir.Value)) else given
            slots[slot] = [item if isinstance(item, str) else self.arg(item) for item in operands]
        return slots

    def _append(
        self, operator: str, slots: dict[str, list[str]], results: list[str], attributes: Mapping[str, Any]
    ) -> None:
        main, *others = OPERATORS[operator].outputs
        outputs = {main: results}
        for slot in others:
            outputs[slot] = [self._side_output(operator, slot, slots)]
        self.ops.append(PaddleOp(operator, results[0], slots, outputs, dict(attributes)))

    def _side_output(self, operator: str, slot: str, slots: Mapping[str, list[str]]) -> str:
        """A variable for an output that nobody reads; batch_norm's running statistics stay where they are."""
        if slot in ("MeanOut", "VarianceOut"):
            return slots[slot.removesuffix("Out")][0]
        first = self.vars[slots["X"][0]]
        if slot == "XShape":
            return self._step(slot, (0, *first.shape), first.dtype or FLOAT)
        size = self.vars[slots["Mean"][0]].shape if operator == "batch_norm" else (UNKNOWN,)
        return self._step(slot, size, FLOAT)

    def _step(self, operator: str, shape: Sequence[int], dtype: Any) -> str:
        name = self._unused(f"{self._label}/{operator}")
        self.vars[name] = PaddleVar(name, np.dtype(dtype), tuple(shape), False)
        return name

    def _declare_weight(self, name: str, array: Array) -> str:
        if number_of_dtype(np.dtype(array.dtype)) is None:
            raise self.refuse(f"weight {name!r} has the element type {array.dtype}, which Paddle does not have")
        self.params[name] = array
        self.vars[name] = PaddleVar(name, np.dtype(array.dtype), tuple(array.shape), True)
        return name

    def _unused(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self._taken:
            count += 1
            candidate = f"{name}_{count}"
        self._taken.add(candidate)
        return candidate


def dtype_of(value: ir.Value | None) -> np.dtype[Any]:
    """numpy's type of a value's elements, float32 where it is not recorded."""
    found = element_type(value)
    return FLOAT if found is None else found.numpy()


def stored_array(value: ir.Value) -> Array:
    """A weight as a window on its file where it is one, else as an array."""
    tensor = value.const_value
    if isinstance(tensor, FileTensor):
        return tensor.mapped
    array: NumpyArray | None = constant(value)
    if array is None:
        raise ConversionError(f"{value.name!r} must be a weight, but it is computed. The target is Paddle.")
    return array


def is_legal(name: str) -> bool:
    """Whether Paddle takes a name for a variable like any other."""
    return name not in RESERVED and GRADIENT not in name


def legal(name: str) -> str:
    """A name that Paddle takes, and that reads like this one."""
    return name.replace(GRADIENT, "_GRAD").strip("@") if not is_legal(name) else name
