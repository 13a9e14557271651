"""Paddle program and weights -> canonical graph, for legacy programs and PIR alike.

Computed values bear the program's variable names (in PIR, which has none, the readable names that the format record
gives them). Shapes come from the program, so that rules may rely on ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from facecvt.converters.errors import ConversionError, UnsupportedOperatorsError, WeightsError
from facecvt.converters.formats.paddle_model import PaddleModel
from facecvt.converters.formats.paddle_program import PaddleProgram
from facecvt.converters.graph import Builder, Graph
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.ops.registry import rule_for
from facecvt.converters.passes.infer_shapes import infer_nodes
from facecvt.converters.passes.input_shapes import describe_inputs
from facecvt.converters.passes.pipeline import run_passes
from facecvt.converters.source_ops import PaddleOp

SPATIAL_NAMES = {4: ("batch", None, "height", "width"), 2: ("batch", None), 3: ("batch", None, "length")}


def read_paddle(model: PaddleModel, input_shapes: Mapping[str, Sequence[int | str]] | None = None) -> Graph:
    """Build the canonical graph of a Paddle model.

    Args:
        model: program and weights.
        input_shapes: shapes that replace those the program declares for its inputs.

    Raises:
        UnsupportedOperatorsError: some operators have no rule; all are listed.
        WeightsError: the program needs weights that are not there.
        AttributeValueError: an attribute is unknown or cannot be honoured.
    """
    program = model.program
    if not program.outputs:
        raise ConversionError(
            f"{program.path}: the program names no outputs; it was saved for training. Save it for inference "
            "(paddle.static.save_inference_model, or paddle.jit.save) and convert that."
        )
    live = _live_ops(program)
    unsupported: dict[str, list[str]] = {}
    for op in live:
        if rule_for("from_paddle", op.type) is None:
            unsupported.setdefault(op.type, []).append(op.name)
    if unsupported:
        raise UnsupportedOperatorsError(program.path, unsupported)

    builder = Builder("paddle", model.name)
    if model.unused:
        builder.graph.warnings.append(
            f"{len(model.unused)} file(s) beside the program are not used by it: {', '.join(model.unused[:8])}"
        )
    values: dict[str, ir.Value] = {}
    for name in program.inputs:
        given = (input_shapes or {}).get(name)
        declared = program.vars.get(name)
        shape = list(given) if given else _input_shape(() if declared is None else declared.shape)
        dtype = np.dtype(np.float32) if declared is None or declared.dtype is None else declared.dtype
        values[name] = builder.input(name, shape, ir.DataType.from_numpy(dtype))
    unknown = sorted(set(input_shapes or {}) - set(program.inputs))
    if unknown:
        raise ConversionError(f"{program.path}: has no input {unknown[0]!r}; its inputs are {program.inputs}")
    for op in live:
        inputs: dict[str, list[ir.Value]] = {}
        for slot, names in op.inputs.items():
            inputs[slot] = [_value(name, values, model, builder, op.name) for name in names]
        source = PaddleOp(op.type, op.name, op.attrs, inputs, pir=program.dialect == "pir")
        builder.begin(op.type, op.name)
        rule = rule_for("from_paddle", op.type)
        if rule is None:
            raise UnsupportedOperatorsError(program.path, {op.type: [op.name]})
        result = rule(source, builder)
        source.check_all_read()
        infer_nodes(builder.take_new_nodes())
        outputs = list(result) if isinstance(result, (list, tuple)) else [result]
        for name, value in zip(_result_names(program, op.outputs), outputs, strict=False):
            builder.rename(value, name)
            values[name] = value
            declared = program.vars.get(name)
            if value.shape is None and declared is not None and declared.shape is not None:
                value.shape = ir.Shape([dim if dim >= 0 else None for dim in declared.shape])
    for name in program.outputs:
        if name not in values:
            raise ConversionError(f"{program.path}: output {name!r} is not computed by any operator")
        builder.output(values[name], name)
    describe_inputs(builder.graph)
    return run_passes(builder.graph)


# Outputs that hold nothing a consumer reads at inference: shapes kept for the backward pass, saved statistics, masks.
SIDE_OUTPUTS = frozenset(
    ("XShape", "MeanOut", "VarianceOut", "SavedMean", "SavedVariance", "ReserveSpace", "Mask", "Seed", "MidOut", "Norm")
)


def _result_names(program: PaddleProgram, outputs: Mapping[str, Sequence[str]]) -> list[str]:
    """Names of the outputs that a rule returns values for, in order."""
    if program.dialect == "pir":
        return [name for key in sorted(outputs, key=int) for name in outputs[key]]
    main = [slot for slot in ("Out", "Output", "Y") if slot in outputs]
    slots = [*main, *(slot for slot in outputs if slot not in SIDE_OUTPUTS and slot not in main)]
    return [name for slot in slots for name in outputs[slot]]


def _live_ops(program: PaddleProgram) -> list:  # type: ignore[type-arg]
    """The operators that the outputs need, in program order."""
    needed = set(program.outputs)
    live = []
    for op in reversed(program.ops):
        if any(name in needed for names in op.outputs.values() for name in names):
            live.append(op)
            needed.update(name for names in op.inputs.values() for name in names)
    return live[::-1]


def _value(name: str, values: dict[str, ir.Value], model: PaddleModel, builder: Builder, reader: str) -> ir.Value:
    if name not in values:
        array = model.params.get(name)
        if array is None:
            raise WeightsError(
                f"{model.program.path}: operator {reader!r} reads {name!r}, which is neither an input, a weight of the "
                "model nor computed before it. Use the weights that were saved with this program."
            )
        values[name] = builder.weight(name, array)
    return values[name]


def _input_shape(declared: Sequence[int]) -> list[int | str | None]:
    """Dynamic dimensions of a declared shape under the names that users expect."""
    names = SPATIAL_NAMES.get(len(declared), ("batch",))
    shape: list[int | str | None] = []
    for index, dim in enumerate(declared):
        named = names[index] if index < len(names) else None
        shape.append(dim if dim >= 0 else named or f"dim{index}")
    return shape
