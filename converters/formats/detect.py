"""Tells whose model a path names where the command does not say it.

A file is told by its name (and, for JSON, by its first bytes); a folder, an archive or a prefix by which framework's
files lie there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from facecvt.converters.errors import AmbiguousModelError, FacecvtError, UsageError, WeightsError
from facecvt.converters.formats.archives import archive_stem
from facecvt.converters.formats.locate import Framework, located
from facecvt.converters.formats.locate_mxnet import is_mxnet_file
from facecvt.converters.formats.locate_paddle import is_paddle_file
from facecvt.converters.formats.locate_single import is_onnx_file, is_torch_file

FRAMEWORKS: tuple[Framework, ...] = get_args(Framework)
_MXNET_SUFFIXES = (".params", ".npz", ".npy", ".json")  # .json: what is no Paddle program
_PARTS: dict[str, str] = {  # what a prefix may be followed by, so that half a model is not taken for none
    "mxnet": r"-symbol\.json|(-\d+)?\.(params|npz)",
    "paddle": r"\.(pdmodel|pdiparams|pdparams|json)",
    "onnx": r"\.onnx",
    "torch": r"\.(pth|pt2?|ckpt|bin|safetensors)",
}


def detect(spelling: str | Path) -> Framework:
    """The framework whose model a path names.

    Raises:
        UsageError: no model of any framework, or a file of no known kind.
        AmbiguousModelError: models of several frameworks lie there; the message names them.
    """
    path = Path(spelling).expanduser()
    if path.is_file() and archive_stem(path) is None:
        return _of_file(path)
    found: list[Framework] = []
    for framework in FRAMEWORKS:
        try:
            with located(framework, path):
                found.append(framework)
        except (AmbiguousModelError, WeightsError):  # there is one, or are several; reading it says what is wrong
            found.append(framework)
        except UsageError:
            continue
    if not found:
        raise UsageError(f"{spelling}: no MXNet, Paddle, ONNX or PyTorch model of that name was found")
    if len(found) > 1:
        raise AmbiguousModelError(f"{spelling}: models of {' and '.join(found)} lie there; say which with --framework")
    return found[0]


def holds_model(framework: Framework, spelling: str | Path) -> bool:
    """Whether a model of that name is there, be it whole or not; a damaged one counts, a folder of other things not."""
    path = Path(spelling).expanduser()
    if path.is_file():
        return True
    try:
        with located(framework, path):
            return True
    except (AmbiguousModelError, WeightsError):
        return True
    except UsageError:
        part = re.compile(re.escape(path.name) + _PARTS[framework])
        return path.parent.is_dir() and any(part.fullmatch(entry.name) for entry in path.parent.iterdir())
    except FacecvtError:
        return True


def _of_file(path: Path) -> Framework:
    if is_mxnet_file(path):
        return "mxnet"
    if is_paddle_file(path) or path.name == "__params__" or ".pdiparams" in path.suffixes:
        return "paddle"
    if is_onnx_file(path):
        return "onnx"
    if is_torch_file(path):
        return "torch"
    if path.suffix in _MXNET_SUFFIXES:
        return "mxnet"
    raise UsageError(f"{path}: the name does not tell which framework's file it is; say so with --framework")
