"""Which files a Paddle model has.

Program: ``x.pdmodel``, ``__model__``, or PIR JSON of any name. Weights: ``x.pdiparams`` or ``__params__`` (combined),
one file per parameter beside the program, or ``x.pdparams`` (by name).
"""

from __future__ import annotations

from pathlib import Path

from facecvt.converters.errors import UsageError
from facecvt.converters.formats.model_files import PaddleFiles, ambiguous, files_of, model_name, no_such_path

_OLD_PROGRAM, _OLD_WEIGHTS = "__model__", "__params__"
_SEPARATE = "one file per parameter"


def is_paddle_file(path: Path) -> bool:
    """True for what makes a folder one with a Paddle model: a program, or a state dict."""
    return path.suffix == ".pdparams" or _is_program(path)


def locate_paddle_folder(folder: Path) -> PaddleFiles:
    """The one model of a folder; a program is preferred to a state dict.

    Raises:
        AmbiguousModelError: more than one.
    """
    candidates = [path for path in files_of(folder) if _is_program(path)]
    candidates = candidates or [path for path in files_of(folder) if path.suffix == ".pdparams"]
    if len(candidates) != 1:
        names = (path.name for path in candidates)
        raise ambiguous(folder, f"{len(candidates)} Paddle models lie there", names, "name one of them")
    return locate_paddle_path(candidates[0])


def locate_paddle_path(path: Path) -> PaddleFiles:
    """The model that a program, a weights file or a prefix names.

    Raises:
        UsageError: nothing of that name, or combined weights without a program.
        AmbiguousModelError: more than one possible program.
    """
    if path.is_file():
        if path.suffix == ".pdparams":
            return _of_state_dict(path)
        if path.suffix == ".pdiparams" or path.name == _OLD_WEIGHTS:
            return _of_combined(path)
        if path.name.endswith(".pdiparams.info"):  # names of the variables; not needed, but a spelling of the model
            return locate_paddle_path(path.with_name(path.name.removesuffix(".pdiparams.info")))
        return _of_program(path)
    programs = _programs_called(path.parent, path.name)
    if len(programs) == 1:
        return _of_program(programs[0])
    if programs:
        names = (program.name for program in programs)
        raise ambiguous(path, "the program is there in two forms", names, "name one of them")
    for suffix in (".pdiparams", ".pdparams"):
        if (weights := path.with_name(path.name + suffix)).is_file():
            return locate_paddle_path(weights)
    raise no_such_path(
        path, "Paddle model (.pdmodel, .json, __model__, .pdiparams, their prefix, a folder or an archive)"
    )


def _of_program(program: Path) -> PaddleFiles:
    stem, folder = _stem(program), program.parent
    name = model_name(stem, folder)
    if program.name == _OLD_PROGRAM or not program.suffix:
        combined_names: tuple[str, ...] = (_OLD_WEIGHTS, "params")
        state_dict = None
    else:
        combined_names = (f"{stem}.pdiparams", _OLD_WEIGHTS)
        state_dict = folder / f"{stem}.pdparams"
    for combined in combined_names:
        if (folder / combined).is_file():
            return PaddleFiles(name, program, folder / combined, "combined")
    if state_dict is not None and state_dict.is_file():
        return PaddleFiles(name, program, state_dict, "pdparams")
    if program.name == _OLD_PROGRAM and len(files_of(folder)) > 1:
        return PaddleFiles(name, program, folder, "separate")
    others = files_of(folder)
    lone_weights = [path for path in others if path.suffix == ".pdiparams"]
    if len(lone_weights) == 1 and not any(path != program and _is_program(path) for path in others):
        return PaddleFiles(name, program, lone_weights[0], "combined")
    state_dict_names = (state_dict.name,) if state_dict is not None else ()
    return PaddleFiles(name, program, None, "none", (*combined_names, *state_dict_names, _SEPARATE))


def _of_combined(weights: Path) -> PaddleFiles:
    folder = weights.parent
    if weights.name == _OLD_WEIGHTS:
        looked_for = _OLD_PROGRAM
        programs = [folder / _OLD_PROGRAM] if (folder / _OLD_PROGRAM).is_file() else []
    else:
        looked_for = f"{weights.stem}.pdmodel, {weights.stem}.json"
        programs = _programs_called(folder, weights.stem)
    programs = programs or [path for path in files_of(folder) if _is_program(path)]
    if len(programs) > 1:
        names = (program.name for program in programs)
        raise ambiguous(weights, "several programs lie beside it", names, "name the right one instead of the weights")
    if not programs:
        raise UsageError(f"{weights}: weights without a program; looked for {looked_for} and any other beside it")
    return PaddleFiles(model_name(_stem(programs[0]), folder), programs[0], weights, "combined")


def _of_state_dict(weights: Path) -> PaddleFiles:
    programs = _programs_called(weights.parent, weights.stem)
    if len(programs) > 1:
        names = (program.name for program in programs)
        raise ambiguous(weights, "the program is there in two forms", names, "name one of them")
    name = model_name(weights.stem, weights.parent)
    return PaddleFiles(name, programs[0] if programs else None, weights, "pdparams")


def _programs_called(folder: Path, stem: str) -> list[Path]:
    return [path for suffix in (".pdmodel", ".json") if _is_program(path := folder / f"{stem}{suffix}")]


def _is_program(path: Path) -> bool:
    if path.suffix == ".json":
        return path.is_file() and _says_pir(path)
    return (path.suffix == ".pdmodel" or path.name == _OLD_PROGRAM) and path.is_file()


def _says_pir(path: Path) -> bool:
    """True for JSON that begins with Paddle's header; the file can be large, and others beside it are JSON, too."""
    try:
        with open(path, "rb") as stream:
            return b'"base_code"' in stream.read(256)
    except OSError:
        return False


def _stem(program: Path) -> str:
    return program.name.removesuffix(program.suffix)
