"""Paddle programs as records: the legacy protobuf (``.pdmodel``, ``__model__``) and Paddle 3's PIR JSON.

Both dialects give one record, :class:`PaddleProgram`, so that nobody above needs to know which file it was. What
differs stays visible: a legacy operator has named slots (``Input``, ``Filter``), a PIR operator positional ones
("0", "1", ...), and its kernel sizes and shapes may be operands made by ``full_int_array`` or ``full``.

Legacy layout (proto2, field numbers in :mod:`facecvt.converters.formats.paddle_schema`): a ProgramDesc holds blocks of
variables and operators. The weights are the persistable variables; ``feed`` and ``fetch`` operators name inputs
and outputs by their ``col`` attribute and are taken out of the operator list.

Source: ``paddle/fluid/framework/framework.proto``, and files written by Paddle 1.x, 2.x and 3.3.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from facecvt.converters.errors import FormatError
from facecvt.converters.formats.mapped import MappedFile
from facecvt.converters.formats.paddle_schema import (
    ATTR_FIELD,
    DENSE_TENSOR,
    NEVER_STORED,
    PROGRAM,
    SCALAR_FIELD,
    dtype_of_number,
)
from facecvt.converters.formats.protobuf import Record, read_message

# Carried by every legacy operator, without any meaning for what it computes.
BOOKKEEPING = frozenset({"op_callstack", "op_device", "op_namescope", "op_role", "op_role_var", "with_quant_attr"})

# Where an operator puts what it computes. Slots lie in alphabetical order in the file, and BatchNorm's first one
# is its running mean, whose name would say nothing about the operator.
_MAIN_SLOTS = ("Output", "Out", "Y")


@dataclass(frozen=True)
class PaddleVar:
    """A variable (legacy) or value (PIR).

    Attributes:
        name: its name in the program.
        dtype: element type, None where the variable is not a dense tensor.
        shape: dimensions; -1 is any size; () is a scalar.
        persistable: True for weights, which lie in the weights file.
    """

    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[int, ...]
    persistable: bool


@dataclass(frozen=True)
class PaddleOp:
    """One operator.

    Attributes:
        type: operator without dialect prefix and without the trailing underscore of in-place operators. Operators of
            other PIR dialects than ``builtin`` and ``pd_op`` keep their full name (``cf.stack_create``).
        name: legacy: name of the main output (slot Output, Out or Y, else the first slot);
            PIR: ``<type>_<k>`` with k counted per type from 0.
        inputs: slot -> value names; an absent optional operand is an empty list.
        outputs: slot -> value names.
        attrs: attribute -> int, float, str, bool or a list of these; a legacy block attribute is the block's index.
            Without the bookkeeping that every operator carries (``op_callstack``, ``op_role``, ``stop_gradient``, ...).
        inplace: True where the PIR type ended in an underscore.
        scope: ``op_namescope`` or ``struct_name``: the layer that made the operator, as far as the file says; or "".
    """

    type: str
    name: str
    inputs: dict[str, list[str]]
    outputs: dict[str, list[str]]
    attrs: dict[str, Any]
    inplace: bool = False
    scope: str = ""


@dataclass(frozen=True)
class PaddleProgram:
    """A program's main block.

    Attributes:
        dialect: "legacy" or "pir".
        ops: operators in execution order, without feed and fetch.
        vars: every variable by name.
        inputs: names of the fed variables in the order of ``col``; a program without feed operators (saved for
            training) gives the variables that it marks to be checked when fed.
        outputs: names of the fetched values in the order of ``col``; empty where the program fetches nothing.
        parameters: sorted names of the weights, the order of a combined weights file.
        version: legacy: major*1000000 + minor*1000 + patch of the Paddle that wrote it (0: not said);
            PIR: version of the format.
        path: the file it was read from.
    """

    dialect: Literal["legacy", "pir"]
    ops: list[PaddleOp]
    vars: dict[str, PaddleVar]
    inputs: list[str]
    outputs: list[str]
    parameters: list[str]
    version: int
    path: Path = field(default=Path())


def read_program(path: str | Path) -> PaddleProgram:
    """Read a program of either dialect; which one is told by the content, not the file's name.

    Raises:
        FormatError: the bytes are not a Paddle program; names the byte offset.
    """
    from facecvt.converters.formats.paddle_pir import read_pir  # it builds on this module's records

    file = MappedFile(path)
    if _is_json(file):
        return read_pir(file)
    return _read_legacy(file)


def _is_json(file: MappedFile) -> bool:
    """True where the file starts like JSON.

    A legacy program starts with byte 0x0A (field 1, a block), which is also a line feed; so a leading line feed
    counts as white space only where the file's name says JSON.
    """
    head = bytes(file.view[:64])
    if head.startswith(b"\n") and file.path.suffix != ".json":
        return False
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def _read_legacy(file: MappedFile) -> PaddleProgram:
    """Read a ProgramDesc."""
    path = file.path
    if file.size == 0:
        raise FormatError(path, 0, "the file is empty; a Paddle program was expected")
    if file.view[0] != 0x0A:
        raise FormatError(
            path,
            0,
            f"starts with byte 0x{file.view[0]:02X}; a Paddle program starts with 0x0A (a block) or '{{' (JSON)",
        )
    record = read_message(file.view, PROGRAM, path)
    variables: dict[str, PaddleVar] = {}
    parameters: list[str] = []
    checked_feeds: list[str] = []
    for block in record["blocks"]:
        for description in block["vars"]:
            name = description["name"]
            if name in variables:  # a variable of the same name in a sub-block hides nothing that facecvt reads
                continue
            variables[name] = _variable(description)
            if variables[name].persistable:
                parameters.append(name)
            if description.get("need_check_feed", False):
                checked_feeds.append(name)
    feeds: dict[int, str] = {}
    fetches: dict[int, str] = {}
    ops: list[PaddleOp] = []
    for index, description in enumerate(record["blocks"][0]["ops"]):
        op = _operator(path, index, description)
        if op.type == "feed":
            _place(feeds, op, op.outputs, path)
        elif op.type == "fetch":
            _place(fetches, op, op.inputs, path)
        else:
            ops.append(op)
    return PaddleProgram(
        dialect="legacy",
        ops=ops,
        vars=variables,
        inputs=[feeds[column] for column in sorted(feeds)] or checked_feeds,
        outputs=[fetches[column] for column in sorted(fetches)],
        parameters=sorted(parameters),
        version=record.get("version", {}).get("version", 0),
        path=path,
    )


def _variable(description: Record) -> PaddleVar:
    """A VarDesc; anything but a dense tensor has no dtype and is not counted as a weight unless it would be stored."""
    kind = description["type"]["type"]
    tensor = description["type"].get("lod_tensor", {}).get("tensor") if kind == DENSE_TENSOR else None
    return PaddleVar(
        name=description["name"],
        dtype=dtype_of_number(tensor["data_type"]) if tensor else None,
        shape=tuple(tensor["dims"]) if tensor else (),
        persistable=description.get("persistable", False) and kind not in NEVER_STORED,
    )


def _operator(path: Path, index: int, description: Record) -> PaddleOp:
    inputs = {slot["parameter"]: list(slot["arguments"]) for slot in description["inputs"]}
    outputs = {slot["parameter"]: list(slot["arguments"]) for slot in description["outputs"]}
    groups = [outputs.get(slot, []) for slot in _MAIN_SLOTS] + list(outputs.values())
    first = next((names[0] for names in groups if names), f"{description['type']}_{index}")
    attrs: dict[str, Any] = {}
    scope = ""
    for attribute in description["attrs"]:
        name = attribute["name"]
        if name == "op_namescope":
            scope = attribute.get("s", "")
        if name not in BOOKKEEPING:
            attrs[name] = _attribute_value(path, first, attribute)
    return PaddleOp(description["type"], first, inputs, outputs, attrs, scope=scope)


def _attribute_value(path: Path, op_name: str, attribute: Record) -> Any:
    field_name = ATTR_FIELD.get(attribute["type"])
    if field_name is None:
        raise FormatError(
            path, None, f"operator {op_name!r}: attribute {attribute['name']!r} has unknown type {attribute['type']}"
        )
    if field_name == "scalars":
        return [_scalar_value(scalar) for scalar in attribute["scalars"]]
    if field_name not in attribute:
        raise FormatError(
            path, None, f"operator {op_name!r}: attribute {attribute['name']!r} lacks its value (field {field_name})"
        )
    value = attribute[field_name]
    if field_name == "scalar":
        return _scalar_value(value)
    return list(value) if isinstance(value, list) else value  # records of equal bytes share their lists


def _scalar_value(scalar: Record) -> Any:
    value = scalar.get(SCALAR_FIELD.get(scalar["type"], ""), 0)
    return complex(value["r"], value["i"]) if isinstance(value, dict) else value


def _place(columns: dict[int, str], op: PaddleOp, slots: dict[str, list[str]], path: Path) -> None:
    """Note a feed or fetch operator under its column."""
    column = op.attrs.get("col", 0)
    names = [name for group in slots.values() for name in group]
    if len(names) != 1 or column in columns:
        raise FormatError(path, None, f"{op.type} operator of column {column} is damaged or there twice: {names}")
    columns[column] = names[0]
