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
        name: legacy: name of the first output; PIR: ``<type>_<k>`` with k counted per type from 0.
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
        inputs: names of the fed variables in the order of ``col``.
        outputs: names of the fetched values in the order of ``col``.
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
    raise NotImplementedError
