"""Weights and activations of several nets, on disk: a deep net's are hundreds of megabytes, and there are seven nets.

WeightsOnDisk    one file, mapped; all nets are given the same views on it, and between two nets its memory is free
ValuesOnDisk     one file a net and input, values one after the other; each is read once, when the oracle computes
                 its partner
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facecvt.converters.formats.mapped import MappedFile, MappedTensor
from facecvt.parity_tests.parity_report.native import NumpyArray, OnValue

ALIGNMENT = 64  # bytes


class WeightsOnDisk(Mapping[str, NumpyArray]):
    """Arrays by name, written to a file and mapped.

    Args:
        path: the file; whoever made its folder removes it.
        arrays: any dtypes and shapes.
    """

    def __init__(self, path: Path, arrays: Mapping[str, NumpyArray]) -> None:
        places = {}
        with open(path, "wb") as file:
            for name, array in arrays.items():
                file.write(bytes(-file.tell() % ALIGNMENT))
                places[name] = file.tell()
                np.ascontiguousarray(array).tofile(file)
        self._file = MappedFile(path)
        self._tensors = {
            name: MappedTensor(self._file, places[name], array.dtype, array.shape) for name, array in arrays.items()
        }

    def __getitem__(self, name: str) -> NumpyArray:
        """A read-only view on the file."""
        return self._tensors[name].numpy()

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def forget(self) -> None:
        """Give the memory of all arrays back to the system; views on them stay good."""
        self._file.forget(0, self._file.size)


@dataclass(frozen=True)
class _Place:
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class ValuesOnDisk:
    """Arrays by side, input and layer.

    Args:
        folder: an empty one; whoever made it removes it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[tuple[str, str], Path] = {}
        self._places: dict[tuple[str, str, str], _Place] = {}

    @contextmanager
    def writing(self, side: str, fed: str) -> Iterator[OnValue]:
        """A function that takes layer and value; of a layer that comes twice the last value counts."""
        path = self._folder / f"{len(self._files)}.values"
        self._files[side, fed] = path
        with open(path, "wb") as file:

            def keep(layer: str, value: NumpyArray) -> None:
                self._places[side, fed, layer] = _Place(file.tell(), value.dtype, value.shape)
                np.ascontiguousarray(value).tofile(file)

            yield keep

    def read(self, side: str, fed: str, layer: str) -> NumpyArray | None:
        """A value, None where that side did not show the layer."""
        place = self._places.get((side, fed, layer))
        if place is None:
            return None
        count = int(np.prod(place.shape))
        flat = np.fromfile(self._files[side, fed], place.dtype, count, offset=place.offset)
        return flat.reshape(place.shape)

    def shapes(self, side: str, fed: str) -> dict[str, tuple[int, ...]]:
        """Layer -> shape of a side's value on an input."""
        return {
            layer: place.shape for (owner, name, layer), place in self._places.items() if (owner, name) == (side, fed)
        }

    def layers(self, side: str) -> set[str]:
        """Layers that a side showed."""
        return {layer for owner, _, layer in self._places if owner == side}
