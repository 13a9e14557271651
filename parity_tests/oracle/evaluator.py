"""Topological evaluation of a graph of computed steps, with the lifetime of every value.

The three oracles differ in how they read a model; what is left is here: a list of steps over values, evaluated in
order. A value is freed after the last step that needs it, a weight is brought into the dtype only while it is used,
and steps that no output needs are not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facecvt.converters.errors import ConversionError, FacecvtError, UsageError
from facecvt.converters.formats.mapped import Array, MappedTensor, as_numpy
from facecvt.parity_tests.oracle.values import Compute, Value, in_dtype

OnValue = Callable[[str, Value], None]
FORGOTTEN = 1 << 16  # bytes of a weight whose memory is given back once it was used
Key = Hashable  # of a value; its name may be shared by several (a Paddle variable that is overwritten)


@dataclass(frozen=True)
class Step:
    """One operator of a model, ready to be computed.

    Attributes:
        node: the node's name, for errors.
        operator: the operator's name, for errors.
        inputs: key of each operand; None is an absent one.
        outputs: key of each result; None is a result that nobody names.
        names: value name of each result under which ``on_value`` reports it; None where it is not reported.
        compute: operands -> results.
    """

    node: str
    operator: str
    inputs: tuple[Key | None, ...]
    outputs: tuple[Key | None, ...]
    names: tuple[str | None, ...]
    compute: Compute = field(repr=False)


def needed_steps(steps: Sequence[Step], wanted: Iterable[Key]) -> list[Step]:
    """The steps, in their order, that lead to the wanted values."""
    needed = set(wanted)
    kept: list[Step] = []
    for step in reversed(steps):
        if any(key is not None and key in needed for key in step.outputs):
            kept.append(step)
            needed.update(key for key in step.inputs if key is not None)
    return kept[::-1]


class Evaluator:
    """A graph that can be run.

    Args:
        source: the model's file or name, for errors.
        steps: in topological order.
        constants: weights by key.
        inputs: name -> key of what is fed.
        outputs: (name, key) of what is returned.
        dtype: what all floating point numbers are computed in.
        cast_inputs: True where everything that is fed is a floating point number, whatever its type.
        half: names of values that are computed in float16: what their step reads and gives is rounded to it.
    """

    def __init__(
        self,
        source: str,
        steps: Sequence[Step],
        constants: Mapping[Key, Array],
        inputs: Mapping[str, Key],
        outputs: Sequence[tuple[str, Key]],
        dtype: np.dtype[Any],
        *,
        cast_inputs: bool = False,
        half: Collection[str] = (),
    ) -> None:
        self.source = source
        self.half = frozenset(half)
        self.cast_inputs = cast_inputs
        self.dtype = dtype
        self.outputs = list(outputs)
        self.steps = needed_steps(steps, [key for _, key in outputs])
        self.constants = constants
        self.inputs = dict(inputs)
        keys_by_name: dict[str, Key] = {}
        for name, key in self.outputs:
            if keys_by_name.setdefault(name, key) != key:
                raise ConversionError(f"{source}: two different outputs have the name {name}; rename one of them")
        self._releases = self._last_uses()
        self._used = {key for step in self.steps for key in step.inputs} | {key for _, key in self.outputs}

    @property
    def layer_names(self) -> list[str]:
        """Names of all computed values in the order in which they are computed."""
        return [name for step in self.steps for name in step.names if name is not None]

    def _last_uses(self) -> list[list[Key]]:
        """For each step the values that nobody needs after it."""
        kept = {key for _, key in self.outputs}
        last: dict[Key, int] = {}
        for index, step in enumerate(self.steps):
            for key in (*step.outputs, *step.inputs):
                if key is not None:
                    last[key] = index
        releases: list[list[Key]] = [[] for _ in self.steps]
        for key, index in last.items():
            if key not in kept:
                releases[index].append(key)
        return releases

    def run(self, feeds: Mapping[str, Value], on_value: OnValue | None = None) -> dict[str, Value]:
        """Evaluate.

        Args:
            feeds: array of each input; floating point arrays are brought into the dtype.
            on_value: called with name and array of every computed value in order; the array is read-only.

        Returns:
            Outputs by name, each an array of its own.

        Raises:
            UsageError: a feed is missing or unknown.
            ConversionError: a step cannot be computed; names the node.
        """
        walk = self.walk(feeds)
        while True:
            try:
                name, array = next(walk)
            except StopIteration as end:
                outputs: dict[str, Value] = end.value
                return outputs
            if on_value is not None:
                on_value(name, array)

    def walk(self, feeds: Mapping[str, Value]) -> Generator[tuple[str, Value], None, dict[str, Value]]:
        """Evaluate step by step, so that two evaluations can go side by side with only a few values of each alive.

        Yields:
            Name and read-only array of every computed value in order.

        Returns:
            As :meth:`run`.
        """
        missing, unknown = self.inputs.keys() - feeds.keys(), feeds.keys() - self.inputs.keys()
        if missing or unknown:
            raise UsageError(
                f"{self.source}: inputs are {sorted(self.inputs)}; missing {sorted(missing)}, unknown {sorted(unknown)}"
            )
        values: dict[Key, Value] = {
            key: np.asarray(feeds[name], self.dtype)
            if self.cast_inputs
            else in_dtype(np.asarray(feeds[name]), self.dtype)
            for name, key in self.inputs.items()
        }
        for step, released in zip(self.steps, self._releases, strict=True):
            with np.errstate(all="ignore"):  # Inf and NaN are results; who compares them says so
                results = self._compute(step, values)
            self._forget_weights(step)  # before somebody works on the results, who needs memory as well
            for key, name, result in zip(step.outputs, step.names, results, strict=False):
                array = np.asarray(result).view()
                array.flags.writeable = False
                if key is not None:
                    values[key] = array
                if name is not None:
                    yield name, array
            del results
            for key in released:
                values.pop(key, None)
        return {name: np.array(self._value(key, values), order="C") for name, key in self.outputs}

    def _forget_weights(self, step: Step) -> None:
        for key in step.inputs:
            weight = self.constants.get(key)
            if isinstance(weight, MappedTensor) and weight.nbytes >= FORGOTTEN:
                weight.forget()

    def _value(self, key: Key, values: Mapping[Key, Value]) -> Value:
        if key in values:
            return values[key]
        array = in_dtype(as_numpy(self.constants[key]), self.dtype)
        return array if array.flags.aligned else array.copy()  # a file may have weights at any byte

    def _compute(self, step: Step, values: Mapping[Key, Value]) -> Sequence[Any]:
        operands = [None if key is None else self._value(key, values) for key in step.inputs]
        in_half = not self.half.isdisjoint(step.names)
        if in_half:
            operands = [None if operand is None else rounded_to_half(operand) for operand in operands]
        try:
            results = step.compute(operands)
        except FacecvtError as error:
            raise type(error)(f"{self.source}: {step.operator} {step.node}: {error}") from error
        except (ValueError, IndexError, TypeError, ZeroDivisionError) as error:
            shapes = [None if operand is None else operand.shape for operand in operands]
            raise ConversionError(
                f"{self.source}: {step.operator} {step.node} cannot be computed on operands of shape {shapes}: {error}"
            ) from error
        wanted = max((index + 1 for index, key in enumerate(step.outputs) if key in self._used), default=0)
        if len(results) < wanted:
            raise ConversionError(
                f"{self.source}: {step.operator} {step.node} gives {len(results)} result(s) here, "
                f"but the model uses {wanted}"
            )
        return [rounded_to_half(np.asarray(result)) for result in results] if in_half else results


def rounded_to_half(array: Value) -> Value:
    """Floating point numbers as float16 has them, in their own dtype; everything else as it is."""
    return array.astype(np.float16).astype(array.dtype) if array.dtype.kind == "f" else array


class GraphOracle:
    """What the oracles of all formats have in common: steps to evaluate, and the names of what goes in and comes out.

    Attributes:
        evaluator: the steps that are evaluated, for whoever wants to know what depends on what.
    """

    evaluator: Evaluator

    @property
    def input_names(self) -> list[str]:
        """Names of what must be fed, in the source's order; weights and labels are not among them."""
        return list(self.evaluator.inputs)

    @property
    def output_names(self) -> list[str]:
        """Names of the source's outputs, in their order."""
        return [name for name, _ in self.evaluator.outputs]

    @property
    def layer_names(self) -> list[str]:
        """Names of all computed values in the order in which they are computed."""
        return self.evaluator.layer_names

    def run(self, feeds: Mapping[str, Value], on_value: OnValue | None = None) -> dict[str, Value]:
        """Evaluate; see :meth:`Evaluator.run`."""
        return self.evaluator.run(feeds, on_value)
