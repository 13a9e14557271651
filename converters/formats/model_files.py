"""The files of one model, by framework, and what all finders of such files share."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facecvt.converters.errors import AmbiguousModelError, UsageError

_ENDING = re.compile(r"(-symbol|-\d{4,})?\.\w+$")
_GENERIC_STEMS = frozenset({"model", "inference", "__model__", "weights", "pytorch_model"})


@dataclass(frozen=True)
class MxnetFiles:
    """An MXNet model: symbol, weights, and the epoch they are of (None where the weights file has no number)."""

    name: str
    symbol: Path
    params: Path
    epoch: int | None = None

    def files(self) -> tuple[Path, ...]:
        return (self.symbol, self.params)


@dataclass(frozen=True)
class PaddleFiles:
    """A Paddle model.

    Attributes:
        name: the model's name for default targets.
        program: ``.pdmodel``, ``__model__`` or PIR JSON; None where only a ``.pdparams`` was named.
        weights: combined file, folder of one file per variable, or ``.pdparams``; None where none was found.
        layout: which of these ``weights`` is, or "none".
        looked_for: names of the weights that were looked for, for the refusal of a program without any.
    """

    name: str
    program: Path | None
    weights: Path | None
    layout: Literal["combined", "separate", "pdparams", "none"]
    looked_for: tuple[str, ...] = ()

    def files(self) -> tuple[Path, ...]:
        """Program and weights file; a folder of separate files stands for itself."""
        return tuple(path for path in (self.program, self.weights) if path is not None)


@dataclass(frozen=True)
class OnnxFiles:
    """An ONNX model (its external data, if any, is named inside it)."""

    name: str
    model: Path

    def files(self) -> tuple[Path, ...]:
        return (self.model,)


@dataclass(frozen=True)
class TorchFiles:
    """A PyTorch weights file: ``.pth``, ``.pt``, ``.ckpt``, ``.bin``, ``.safetensors``."""

    name: str
    weights: Path

    def files(self) -> tuple[Path, ...]:
        return (self.weights,)


ModelFiles = MxnetFiles | PaddleFiles | OnnxFiles | TorchFiles


def model_name(stem: str, folder: Path) -> str:
    """The stem, or the folder's name where the stem says nothing ("model", "inference", ...)."""
    return (folder.resolve().name or stem) if stem in _GENERIC_STEMS else stem


def files_of(folder: Path) -> list[Path]:
    """The files of a folder in the order of their names."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise UsageError(f"{folder}: cannot be listed: {error.strerror}") from error


def no_such_path(path: Path, what: str) -> UsageError:
    """The error for a path that names nothing, with the nearest names there are.

    Args:
        path: as the user wrote it.
        what: what would have been accepted there.
    """
    parent, wanted = path.parent, path.name
    while not parent.is_dir() and parent != parent.parent:
        parent, wanted = parent.parent, parent.name
    try:
        names = sorted(entry.name for entry in parent.iterdir() if not entry.name.startswith("."))
    except OSError:
        names = []
    stems = {_ENDING.sub("", name): name for name in names}  # users often leave the ending out
    close = difflib.get_close_matches(wanted, [*names, *stems], n=3, cutoff=0.6)
    near = list(dict.fromkeys(str(parent / stems.get(name, name)) for name in close))
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif names:
        hint = f"{parent} holds {', '.join(names[:8])}" + (f", and {len(names) - 8} more" if len(names) > 8 else "")
    else:
        hint = f"{parent} is empty"
    return UsageError(f"{path}: no such {what}; {hint}")


def ambiguous(where: Path, what: str, candidates: Iterable[object], remedy: str) -> AmbiguousModelError:
    """The error for a path that names more than one model."""
    listed = ", ".join(str(candidate) for candidate in candidates)
    return AmbiguousModelError(f"{where}: {what}: {listed}; {remedy}")
