"""The oracle of Paddle programs, legacy and PIR: a program and its weights evaluated in numpy, float64 by default.

Values have the names of the record's variables. A legacy program may write a variable more than once; then each
operator reads what was written last before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from facecvt.converters.errors import ConversionError, UnsupportedOperatorsError, WeightsError
from facecvt.converters.formats.mapped import Array
from facecvt.converters.formats.paddle_model import PaddleModel
from facecvt.converters.formats.paddle_program import PaddleOp, PaddleProgram
from facecvt.parity_tests.oracle import (  # noqa: F401 - importing a family registers it
    paddle_ops_arithmetic,
    paddle_ops_conv,
    paddle_ops_detection,
    paddle_ops_elementwise,
    paddle_ops_normalise,
    paddle_ops_picking,
    paddle_ops_shape,
    paddle_ops_tensor,
)
from facecvt.parity_tests.oracle.evaluator import Evaluator, GraphOracle, Key, Step
from facecvt.parity_tests.oracle.paddle_attributes import (
    LEGACY_OPERATORS,
    PIR_OPERATORS,
    Operands,
    PaddleAttributes,
    PaddleDefinition,
)
from facecvt.parity_tests.oracle.registry import OperatorTable
from facecvt.parity_tests.oracle.values import Compute


class PaddleOracle(GraphOracle):
    """A Paddle model in numpy.

    Args:
        model: program and weights.
        dtype: what floating point numbers are computed in.

    Raises:
        UnsupportedOperatorsError: operators without a definition, all of them.
        AttributeValueError: an attribute that no definition knows, or a program of training.
        WeightsError: a weight that the program names and the model lacks.
    """

    def __init__(self, model: PaddleModel, dtype: DTypeLike = np.float64) -> None:
        self.dtype = np.dtype(dtype)
        program = model.program
        source = str(program.path) if program.path.name else model.name
        table = LEGACY_OPERATORS if program.dialect == "legacy" else PIR_OPERATORS
        used = _used_operators(program, table)
        unknown: dict[str, list[str]] = {}
        for op in used:
            if table.get(op.type) is None:
                unknown.setdefault(op.type, []).append(op.name)
        if unknown:
            raise UnsupportedOperatorsError(source, unknown)

        constants: dict[Key, Array] = {name: array for name, array in model.params.items()}  # noqa: C416 - wider keys
        inputs: dict[str, Key] = {name: name for name in program.inputs}
        latest: dict[str, Key] = {name: name for name in (*model.params, *program.inputs)}
        steps: list[Step] = []
        for index, op in enumerate(used):
            definition = table.get(op.type)
            assert definition is not None
            steps.append(self._step(index, op, definition, latest, source, program))
        outputs = [(name, _key(name, latest, source, "the program's outputs", program)) for name in program.outputs]
        self.evaluator = Evaluator(source, steps, constants, inputs, outputs, self.dtype)

    def _step(
        self,
        index: int,
        op: PaddleOp,
        definition: PaddleDefinition,
        latest: dict[str, Key],
        source: str,
        program: PaddleProgram,
    ) -> Step:
        slots = _named_slots(op.inputs, definition.operands, program.dialect)
        results = _named_slots(op.outputs, definition.outputs, program.dialect)
        counts = {slot: len(results.get(slot, ())) for slot in definition.outputs}
        attributes = PaddleAttributes(op.type, op.name, op.attrs, program.dialect, counts, self.dtype)
        build = definition.build(attributes)
        attributes.finish()
        surplus = [slot for slot, names in slots.items() if names and slot not in definition.operands]
        if surplus:
            raise ConversionError(f"{source}: {op.type} {op.name} has operands that facecvt does not know: {surplus}")
        layout = [(slot, len(slots.get(slot, ()))) for slot in definition.operands]
        keys = [
            _key(name, latest, source, f"{op.type} {op.name}", program)
            for slot, _ in layout
            for name in slots.get(slot, ())
        ]
        names = [name for slot in definition.outputs for name in results.get(slot, ())]
        for name in names:
            latest[name] = (name, index)
        written = tuple((name, index) for name in names)
        wanted = [counts[slot] for slot in definition.outputs]

        def compute(arrays: list[Any]) -> Sequence[Any]:
            position, by_slot = 0, {}
            for slot, count in layout:
                by_slot[slot] = arrays[position : position + count]
                position += count
            flat: list[Any] = []
            for result, count in zip(build(Operands(by_slot)), wanted, strict=False):
                listed = list(result) if isinstance(result, (list, tuple)) else [result]
                flat.extend(listed[:count])
            return flat

        typed: Compute = compute
        return Step(op.name, op.type, tuple(keys), written, tuple(names), typed)


def _named_slots(slots: Mapping[str, Sequence[str]], names: Sequence[str], dialect: str) -> dict[str, list[str]]:
    """Slots by name; the positions of PIR get the definition's names, positions beyond them keep their number."""
    if dialect == "legacy":
        return {slot: list(values) for slot, values in slots.items()}
    return {names[int(slot)] if int(slot) < len(names) else slot: list(values) for slot, values in slots.items()}


def _key(name: str, latest: Mapping[str, Key], source: str, user: str, program: PaddleProgram) -> Key:
    if name in latest:
        return latest[name]
    if name in program.parameters:
        raise WeightsError(f"{source}: {user} uses the weight {name}, which the weights do not hold")
    raise ConversionError(f"{source}: {user} uses {name}, which nothing before it computes")


def _used_operators(program: PaddleProgram, table: OperatorTable[PaddleDefinition]) -> list[PaddleOp]:
    """The operators, in their order, that lead to the outputs."""
    needed = set(program.outputs)
    kept: list[PaddleOp] = []
    for op in reversed(program.ops):
        definition = table.get(op.type)
        results = _named_slots(op.outputs, definition.outputs if definition else (), program.dialect)
        written = {
            name
            for slot, names in results.items()
            if definition is None or slot in definition.outputs
            for name in names
        }
        if written & needed:
            kept.append(op)
            needed.update(name for names in op.inputs.values() for name in names)
    return kept[::-1]
