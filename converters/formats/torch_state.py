"""PyTorch state_dict files (zip and legacy pickle) without torch: read through the allow-list, written streaming."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from facecvt.converters.formats.mapped import Array


@dataclass
class TorchState:
    """The tensors of a checkpoint, by name, in file order.

    Attributes:
        tensors: name without ``prefix`` -> array.
        prefix: what every key carried and lost ("module.", "module.backbone.", ...); "" if nothing.
        wrapper: key of the outer dictionary under which the state_dict lay ("state_dict", ...), None if bare.
        path: the file.
        skipped: keys whose values are no tensors (epoch numbers and the like), with the type's name.
    """

    tensors: dict[str, Array]
    prefix: str
    wrapper: str | None
    path: Path
    skipped: dict[str, str]


def read_state_dict(path: str | Path) -> TorchState:
    """Read a ``.pth``/``.pt``/``.ckpt`` file: zip archive or legacy pickle.

    Raises:
        FormatError: the bytes are not that; a TorchScript archive; truncated or padded files.
        ConversionError: a pickle that names anything outside the allow-list.
    """
    raise NotImplementedError


def write_state_dict(path: str | Path, tensors: Mapping[str, Array]) -> None:
    """Write a zip checkpoint that ``torch.load(path, weights_only=True, mmap=True)`` reads."""
    raise NotImplementedError
