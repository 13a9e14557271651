"""Finds the files of a model from any spelling that its users have.

MXNet:   ``prefix`` | ``prefix,epoch`` | ``prefix-symbol.json`` | ``prefix-0000.params`` | a folder.
Paddle:  ``x.pdmodel`` | ``x.pdiparams`` | ``x`` | ``inference.json`` | ``__model__`` | a folder.
ONNX:    a file | a folder with one ``.onnx``.
PyTorch: a file | a folder with one weights file.

Each of them may also be an archive (``.tar``, ``.tgz``, ``.tar.gz``, ``.zip``) as downloaded; :func:`located` unpacks
it into a temporary folder that lives as long as the ``with`` block. Nothing is ever written beside the input.
A path that names more than one model is refused, with the list of what lies there. A folder without a model of its
own stands for the one model in the folders below it.

The rules of each framework are in ``locate_mxnet``, ``locate_paddle`` and ``locate_single``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from facecvt.converters.errors import AmbiguousModelError, UsageError
from facecvt.converters.formats import locate_mxnet, locate_paddle, locate_single
from facecvt.converters.formats.archives import archive_stem, unpack
from facecvt.converters.formats.model_files import (
    ModelFiles,
    MxnetFiles,
    OnnxFiles,
    PaddleFiles,
    TorchFiles,
    ambiguous,
)

__all__ = ["Framework", "ModelFiles", "MxnetFiles", "OnnxFiles", "PaddleFiles", "TorchFiles", "locate", "located"]

Framework = Literal["mxnet", "paddle", "onnx", "torch"]

_DEEPEST_FOLDER = 3  # below the one that was named; archives as downloaded have one or two


@dataclass(frozen=True)
class _Rules:
    """How a framework's models are found: the files that mark one, and what a folder and any other path mean."""

    marks: Callable[[Path], bool]
    expected: str
    folder: Callable[[Path], ModelFiles]
    path: Callable[[Path], ModelFiles]


def locate(framework: Framework, spelling: str | Path, *, epoch: int | None = None) -> ModelFiles:
    """The files of the model that ``spelling`` names.

    Args:
        framework: whose model it is.
        spelling: path as the user wrote it; not an archive (see :func:`located`).
        epoch: MXNet only: the epoch to take where several lie there.

    Raises:
        UsageError: nothing of that name; the message has the nearest names there are.
        AmbiguousModelError: more than one model, or several epochs.
        WeightsError: an MXNet symbol without any weights.
    """
    if not str(spelling).strip():
        raise UsageError("the model's path is empty")
    rules = _rules(framework, epoch)
    path = Path(spelling).expanduser()
    if path.is_file() and archive_stem(path) is not None:
        raise UsageError(f"{path} is an archive; unpack it first")
    if not path.is_dir():
        return rules.path(path)
    folders = _folders_with_model(rules, path)
    if len(folders) == 1:
        return rules.folder(folders[0])
    if folders:
        inside = (folder.relative_to(path) for folder in folders)
        raise ambiguous(path, f"{len(folders)} folders with a model lie in it", inside, "name one of them")
    try:
        return rules.path(path)  # x/ may lie beside x-symbol.json or x.pdmodel, and the latter are meant
    except AmbiguousModelError:
        raise
    except UsageError:
        raise UsageError(f"{path}: no {rules.expected} in this folder or below it; {_contents(path)}") from None


@contextmanager
def located(framework: Framework, spelling: str | Path, *, epoch: int | None = None) -> Iterator[ModelFiles]:
    """As :func:`locate`, and archives too: they are unpacked into a temporary folder for the length of the block.

    Raises:
        FormatError: the archive is damaged, or holds paths or links that lead out of it.
    """
    path = Path(spelling).expanduser()
    stem = archive_stem(path)
    if stem is None or not path.is_file():
        yield locate(framework, spelling, epoch=epoch)
        return
    with tempfile.TemporaryDirectory(prefix="facecvt-") as scratch:
        folder = Path(scratch, stem)  # a model called "inference" is named after its folder
        folder.mkdir()
        unpack(path, folder)
        yield locate(framework, folder, epoch=epoch)


def _rules(framework: Framework, epoch: int | None) -> _Rules:
    if epoch is not None and framework != "mxnet":
        raise UsageError(f"--epoch is for MXNet models, and this one is to be read as {framework}")
    if framework == "mxnet":
        return _Rules(
            locate_mxnet.is_mxnet_file,
            "MXNet model (*-symbol.json)",
            partial(locate_mxnet.locate_mxnet_folder, epoch=epoch),
            partial(locate_mxnet.locate_mxnet_path, epoch=epoch),
        )
    if framework == "paddle":
        return _Rules(
            locate_paddle.is_paddle_file,
            "Paddle model (*.pdmodel, __model__, PIR *.json, *.pdparams)",
            locate_paddle.locate_paddle_folder,
            locate_paddle.locate_paddle_path,
        )
    if framework == "onnx":
        return _Rules(
            locate_single.is_onnx_file,
            "ONNX model (*.onnx)",
            locate_single.locate_onnx_folder,
            locate_single.locate_onnx_path,
        )
    return _Rules(
        locate_single.is_torch_file,
        "PyTorch weights (*.pth, *.pt, *.ckpt, *.bin, *.safetensors)",
        locate_single.locate_torch_folder,
        locate_single.locate_torch_path,
    )


def _folders_with_model(rules: _Rules, root: Path) -> list[Path]:
    """The folder itself when it has a model; else those below it that have one, nearest first."""
    found: list[Path] = []
    for name, subfolders, files in os.walk(root):
        folder = Path(name)
        subfolders.sort()
        if any(rules.marks(folder / file) for file in files):
            if folder == root:
                return [root]
            found.append(folder)
        if len(folder.relative_to(root).parts) >= _DEEPEST_FOLDER:
            subfolders.clear()
    return found


def _contents(folder: Path) -> str:
    names = sorted(str(path.relative_to(folder)) for path in folder.iterdir())
    return f"it holds {', '.join(names[:10])}" + (f", and {len(names) - 10} more" if len(names) > 10 else "")
