"""Weights and activations of several nets, on disk: a deep net's are hundreds of megabytes, and there are seven nets.

WeightsOnDisk    one file, mapped; all nets are given the same views on it, and between two nets its memory is free
ValuesOnDisk     one file a net and input, values one after the other; each is read once, when the oracle computes
                 its partner

Files that lie there from an earlier architecture are written over from the beginning and keep their length: a system
has their pages at hand, and does not have to find new ones for every value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from facecvt.converters.formats.mapped import MappedFile, MappedTensor
from facecvt.parity_tests.metrics import same_bits
from facecvt.parity_tests.parity_report.native import NumpyArray, OnValue
from facecvt.parity_tests.parity_report.one_by_one import OneByOne

ALIGNMENT = 64  # bytes


class WeightsOnDisk(Mapping[str, NumpyArray]):
    """Arrays by name, written to a file and mapped.

    Args:
        path: the file; whoever made its folder removes it.
        arrays: any dtypes and shapes.
    """

    def __init__(self, path: Path, arrays: Mapping[str, NumpyArray]) -> None:
        places = {}
        with _written_over(path) as file:
            for name, array in arrays.items():
                places[name] = _append(file, array)
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

    def one_by_one(self) -> OneByOne[MappedTensor]:
        """The same arrays, of which one at a time is in memory."""
        return OneByOne(self._tensors, MappedTensor.numpy, MappedTensor.forget)

    def forget(self) -> None:
        """Give the memory of all arrays back to the system; views on them stay good."""
        self._file.forget(0, self._file.size)


class ValuesOnDisk:
    """Arrays by side, input and layer.

    Args:
        folder: whoever made it removes it; what is written over in it is what an earlier one of these wrote.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = 0
        self._values: dict[tuple[str, str], dict[str, MappedTensor]] = {}  # side, input -> layer -> value

    @contextmanager
    def writing(self, side: str, fed: str, like: str = "") -> Iterator[OnValue]:
        """A function that takes layer and value; of a layer that comes twice the last value counts.

        Args:
            side: whose values these are.
            fed: the input.
            like: a side that was written; a value that is the same as its, bit for bit, is not written again.
        """
        path = self._folder / f"{self._files}.values"
        self._files += 1
        known = self._values.get((like, fed), {})
        places: dict[str, tuple[int, np.dtype[Any], tuple[int, ...]]] = {}
        found: dict[str, MappedTensor] = {}
        with _written_over(path) as file:

            def keep(layer: str, value: NumpyArray) -> None:
                places.pop(layer, None)
                if layer in known and _has_bits_of(known[layer], value):
                    found[layer] = known[layer]
                else:
                    places[layer] = _append(file, value), value.dtype, value.shape

            yield keep
        mapped = MappedFile(path)
        self._values[side, fed] = found | {layer: MappedTensor(mapped, *place) for layer, place in places.items()}

    @contextmanager
    def read(self, layer: str, fed: str, sides: Iterable[str]) -> Iterator[dict[str, NumpyArray]]:
        """A layer's values on an input, of the sides that show it, in memory for as long as the block lasts."""
        known = {side: self._values.get((side, fed), {}).get(layer) for side in sides}
        tensors = {side: tensor for side, tensor in known.items() if tensor is not None}
        try:
            yield {side: tensor.numpy() for side, tensor in tensors.items()}
        finally:
            for tensor in tensors.values():
                tensor.forget()

    def shapes(self, side: str, fed: str) -> dict[str, tuple[int, ...]]:
        """Layer -> shape of a side's value on an input."""
        return {layer: tensor.shape for layer, tensor in self._values.get((side, fed), {}).items()}

    def layers(self, side: str) -> set[str]:
        """Layers that a side showed."""
        return {layer for (owner, _), values in self._values.items() if owner == side for layer in values}


def _written_over(path: Path) -> BinaryIO:
    return open(path, "r+b" if path.exists() else "wb")


def _has_bits_of(tensor: MappedTensor, value: NumpyArray) -> bool:
    same = same_bits(tensor.numpy(), value)
    tensor.forget()
    return same


def _append(file: BinaryIO, array: NumpyArray) -> int:
    """Write an array where numbers of its type may lie; returns its first byte."""
    file.write(bytes(-file.tell() % ALIGNMENT))
    place = file.tell()
    file.write(np.ascontiguousarray(array).data)
    return place
