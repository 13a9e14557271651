"""The safetensors format: ``u64 n | n bytes of JSON header | data``; read and written without its package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from facecvt.converters.formats.mapped import Array


def read_safetensors(path: str | Path) -> dict[str, Array]:
    """Tensors by name, in the order of their bytes in the file.

    Raises:
        FormatError: the bytes are not that.
    """
    raise NotImplementedError


def write_safetensors(
    path: str | Path, tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors by name; the ``safetensors`` package reads the file."""
    raise NotImplementedError
