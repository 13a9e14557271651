"""Legacy Paddle programs (``.pdmodel``) from the record that :mod:`facecvt.converters.formats.paddle_program` reads.

The layout is that of Paddle's own inference models: one block; the variables in alphabetical order, behind them
``feed`` and ``fetch``; a ``feed`` operator for every input, the operators, a ``fetch`` operator for every output; the
version of Paddle 3.3.1. Written and read back with Paddle 3.3.1.

Source: ``paddle/fluid/framework/framework.proto``, and files written by Paddle 3.3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from facecvt.converters.formats.paddle_operators import OPERATORS, REQUIRED, VERSIONS, Attribute
from facecvt.converters.formats.paddle_program import PaddleOp, PaddleProgram, PaddleVar
from facecvt.converters.formats.paddle_schema import (
    ATTR_FIELD,
    DENSE_TENSOR,
    FEED_MINIBATCH,
    FETCH_LIST,
    PROGRAM,
    number_of_dtype,
)
from facecvt.converters.formats.protobuf import Record
from facecvt.converters.formats.protobuf_writer import encode_message

VERSION = 3003001  # the Paddle whose operator forms are written
FEED, FETCH = "feed", "fetch"
# What Paddle puts into every operator: (name, AttrType, value). op_role 0 is a forward operator.
BOOKKEEPING: tuple[tuple[str, int, Any], ...] = (
    ("op_device", 2, ""),
    ("op_namescope", 2, "/"),
    ("op_role", 0, 0),
    ("op_role_var", 5, []),
    ("with_quant_attr", 6, False),
)


def encode_program(program: PaddleProgram) -> bytes:
    """The bytes of a ``.pdmodel``.

    Args:
        program: operators of :data:`~facecvt.converters.formats.paddle_operators.OPERATORS` in execution order, every
            variable they name, inputs and outputs. Attributes that an operator leaves out get Paddle's defaults.

    Raises:
        ValueError: an operator, slot or attribute that is not in the table, or a variable that is not declared.
    """
    feeds = [
        PaddleOp(FEED, name, {"X": [FEED]}, {"Out": [name]}, {"col": col}) for col, name in enumerate(program.inputs)
    ]
    fetches = [
        PaddleOp(FETCH, name, {"X": [name]}, {"Out": [FETCH]}, {"col": col}) for col, name in enumerate(program.outputs)
    ]
    for op in program.ops:
        for name in (name for slots in (op.inputs, op.outputs) for names in slots.values() for name in names):
            if name not in program.vars:
                raise ValueError(f"{op.type} {op.name!r} names {name!r}, which is not declared")
    fed = set(program.inputs)
    variables = [_variable(program.vars[name], is_fed=name in fed) for name in sorted(program.vars)]
    variables += [
        {"name": name, "type": {"type": kind}, "persistable": True}
        for name, kind in ((FEED, FEED_MINIBATCH), (FETCH, FETCH_LIST))
    ]
    ops = [_operator(op) for op in (*feeds, *program.ops, *fetches)]
    used = sorted({op.type for op in program.ops} & set(VERSIONS))
    versions = [{"op_name": name, "op_version": {"version": VERSIONS[name]}} for name in used]
    block = {"idx": 0, "parent_idx": -1, "vars": variables, "ops": ops}
    record = {"blocks": [block], "version": {"version": VERSION}, "op_version_map": {"pair": versions}}
    return encode_message(record, PROGRAM)


def _variable(variable: PaddleVar, *, is_fed: bool) -> Record:
    number = None if variable.dtype is None else number_of_dtype(variable.dtype)
    if number is None:
        raise ValueError(
            f"variable {variable.name!r} has the element type {variable.dtype}, which Paddle does not have"
        )
    tensor = {"data_type": number, "dims": list(variable.shape)}
    record: Record = {
        "name": variable.name,
        "type": {"type": DENSE_TENSOR, "lod_tensor": {"tensor": tensor}},
        "persistable": variable.persistable,
    }
    return {**record, "need_check_feed": True} if is_fed else record


def _operator(op: PaddleOp) -> Record:
    form = OPERATORS.get(op.type)
    if form is None:
        raise ValueError(f"{op.type} {op.name!r}: facecvt does not write this operator")
    known = form.attributes or {}
    for what, names, legal in (
        ("input", op.inputs, form.inputs),
        ("output", op.outputs, form.outputs),
        ("attribute", op.attrs, known),
    ):
        unknown = sorted(set(names) - set(legal))
        if unknown:
            raise ValueError(f"{op.type} {op.name!r} has no {what} {unknown[0]!r}")
    lost = [slot for slot in form.outputs if not op.outputs.get(slot)]
    if lost:
        raise ValueError(f"{op.type} {op.name!r}: nothing is in the output {lost[0]!r}")
    attributes = [_attribute(op, name, attribute) for name, attribute in known.items()]
    attributes += [{"name": name, "type": kind, ATTR_FIELD[kind]: value} for name, kind, value in BOOKKEEPING]
    return {
        "inputs": _slots(op.inputs, form.inputs),
        "outputs": _slots(op.outputs, form.outputs),
        "type": op.type,
        "attrs": sorted(attributes, key=lambda attribute: str(attribute["name"])),
    }


def _slots(given: Mapping[str, Sequence[str]], known: Sequence[str]) -> list[Record]:
    return [{"parameter": slot, "arguments": list(given.get(slot, ()))} for slot in sorted(known)]


def _attribute(op: PaddleOp, name: str, attribute: Attribute) -> Record:
    value = op.attrs.get(name, attribute.default)
    if value is REQUIRED:
        raise ValueError(f"{op.type} {op.name!r}: its attribute {name!r} is required and missing")
    return {"name": name, "type": attribute.kind, ATTR_FIELD[attribute.kind]: value}
