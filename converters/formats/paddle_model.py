"""A Paddle model: a program and its weights, held against each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facecvt.converters.errors import UsageError, WeightsError
from facecvt.converters.formats.locate import PaddleFiles
from facecvt.converters.formats.mapped import Array
from facecvt.converters.formats.paddle_params import read_combined, read_pdparams, read_separate
from facecvt.converters.formats.paddle_program import PaddleProgram, read_program


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
        UsageError: weights without a program.
        FormatError: a file is not what it should be.
        WeightsError: weights are missing or do not fit the program.
    """
    if files.program is None:
        raise UsageError(
            f"{files.weights}: weights without a program; a conversion needs the .pdmodel or .json they belong to"
        )
    program = read_program(files.program)
    names, read = program.parameters, (files.program,)
    if not names:
        return PaddleModel(program, {}, files.name, read)
    if files.layout == "combined" and files.weights is not None:
        params = read_combined(files.weights, names, program.vars)
        return PaddleModel(program, params, files.name, (*read, files.weights))
    if files.layout == "pdparams" and files.weights is not None:
        return _with_state_dict(program, files, files.weights)
    folder = files.weights if files.layout == "separate" and files.weights is not None else files.program.parent
    if files.layout == "separate" or any((folder / name).is_file() for name in names):
        params = read_separate(folder, names, program.vars)
        unused = _left_over_files(folder, {*names, files.program.name})
        return PaddleModel(program, params, files.name, (*read, *(folder / name for name in names)), unused)
    raise WeightsError(
        f"{files.program}: the program has {len(names)} parameters, but no weights were found; looked for "
        + ", ".join(files.looked_for or ("nothing",))
    )


def _with_state_dict(program: PaddleProgram, files: PaddleFiles, path: Path) -> PaddleModel:
    """A program with weights that were saved by name."""
    arrays = read_pdparams(path)
    missing = [name for name in program.parameters if name not in arrays]
    extra = sorted(set(arrays) - set(program.parameters))
    if missing:
        raise WeightsError(
            f"{path}: {len(missing)} of the program's {len(program.parameters)} parameters are missing: "
            f"{_some(missing)}; the file holds besides: {_some(extra)}"
        )
    params: dict[str, Array] = {}
    for name in program.parameters:
        array, variable = arrays[name], program.vars[name]
        if (array.dtype, array.shape) != (variable.dtype, variable.shape):
            raise WeightsError(
                f"{path}: parameter {name!r} is {array.dtype} {list(array.shape)}, "
                f"but the program expects {variable.dtype} {list(variable.shape)}"
            )
        params[name] = array
    assert files.program is not None
    return PaddleModel(program, params, files.name, (files.program, path), tuple(extra))


def _left_over_files(folder: Path, used: set[str]) -> tuple[str, ...]:
    """Files beside the variables' that the program does not name."""
    return tuple(path.name for path in sorted(folder.iterdir()) if path.is_file() and path.name not in used)


def _some(names: list[str]) -> str:
    return (", ".join(names[:8]) + (f", and {len(names) - 8} more" if len(names) > 8 else "")) or "nothing"
