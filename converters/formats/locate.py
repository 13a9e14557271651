"""Finds the files of a model from any spelling that its users have.

MXNet:   ``prefix`` | ``prefix-symbol.json`` | ``prefix-0000.params`` | a folder.
Paddle:  ``x.pdmodel`` | ``x.pdiparams`` | ``x`` | ``inference.json`` | ``__model__`` | a folder.
ONNX:    a file | a folder with one ``.onnx``.
PyTorch: a file | a folder with one weights file.

Each of them may also be an archive (``.tar``, ``.tgz``, ``.tar.gz``, ``.zip``) as downloaded; :func:`located` unpacks
it into a temporary folder that lives as long as the ``with`` block. Nothing is ever written beside the input.
A path that names more than one model is refused, with the list of what lies there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Framework = Literal["mxnet", "paddle", "onnx", "torch"]


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


def locate(framework: Framework, spelling: str | Path, *, epoch: int | None = None) -> ModelFiles:
    """The files of the model that ``spelling`` names.

    Args:
        framework: whose model it is.
        spelling: path as the user wrote it; not an archive (see :func:`located`).
        epoch: MXNet only: the epoch to take where several lie there.

    Raises:
        UsageError: nothing of that name; the message has the nearest names there are.
        AmbiguousModelError: more than one model, or several epochs.
    """
    raise NotImplementedError


@contextmanager
def located(framework: Framework, spelling: str | Path, *, epoch: int | None = None) -> Iterator[ModelFiles]:
    """As :func:`locate`, and archives too: they are unpacked into a temporary folder for the length of the block.

    Raises:
        FormatError: the archive is damaged, or holds paths or links that lead out of it.
    """
    raise NotImplementedError
    yield
