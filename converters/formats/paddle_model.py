"""A Paddle model: a program and its weights, held against each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facecvt.converters.formats.locate import PaddleFiles
from facecvt.converters.formats.mapped import Array
from facecvt.converters.formats.paddle_program import PaddleProgram


@dataclass(frozen=True)
class PaddleModel:
    """A program with its weights.

    Attributes:
        program: the program.
        params: every parameter of the program by name, in sorted order.
        name: the model's name for default targets.
        files: the files that were read.
        unused: left-over weights that the program does not name: file names, or keys of a ``.pdparams``.
    """

    program: PaddleProgram
    params: dict[str, Array]
    name: str
    files: tuple[Path, ...]
    unused: tuple[str, ...] = ()


def load_paddle(files: PaddleFiles) -> PaddleModel:
    """Read a Paddle model.

    Raises:
        FormatError: a file is not what it should be.
        WeightsError: weights are missing or do not fit the program.
    """
    raise NotImplementedError
