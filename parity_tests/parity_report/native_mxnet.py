"""A reference net in MXNet; see native.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from facecvt.converters.compat_mxnet import import_mxnet
from facecvt.converters.formats.mxnet_params import write_params
from facecvt.parity_tests.parity_report.native import NativeNet, NumpyArray, OnValue
from facecvt.reference_models.seeded import stored_unit_scale
from facecvt.reference_models.spec import ArchitectureSpec, families
from facecvt.reference_models.weights import State, exchange, from_canonical, split_auxiliary, to_canonical


def stored(arch: ArchitectureSpec, arrays: Mapping[str, NumpyArray]) -> State:
    """The state in MXNet's names; where fix_gamma makes a scale 1, numbers that must not be used."""
    own = dict(arrays)
    for layer in arch.layers():
        if layer.attributes.get("unit_scale"):
            own[layer.parameter("scale").name] = stored_unit_scale(layer)
    return from_canonical(own, "mxnet", arch)


def write_files(arch: ArchitectureSpec, symbol: Any, state: Mapping[str, NumpyArray], folder: Path) -> Path:
    """Symbol and parameters of a state; returns the symbol's file."""
    args, aux = split_auxiliary(dict(state), arch)
    path = folder / f"{arch.name}-symbol.json"
    path.write_text(symbol.tojson(), encoding="utf-8")
    write_params(folder / f"{arch.name}-0000.params", args, aux)
    return path


def write_seeded(arch: ArchitectureSpec, arrays: Mapping[str, NumpyArray], folder: Path) -> Path:
    """The files that a net with these weights is saved to, written without a net; returns the symbol's."""
    return write_files(arch, families()[arch.family].build(arch, "mxnet"), stored(arch, arrays), folder)


class Net(NativeNet):
    """A ``Symbol`` bound at what is fed; inner values come from an executor of their group."""

    framework: ClassVar[str] = "mxnet"

    def __init__(self, arch: ArchitectureSpec, arrays: Mapping[str, NumpyArray]) -> None:
        super().__init__(arch, arrays)
        self._mxnet = import_mxnet(f"run {arch.name}")
        self._symbol = families()[arch.family].build(arch, "mxnet")
        args, aux = split_auxiliary(stored(arch, arrays), arch)
        self._args, self._aux = ({n: self._mxnet.nd.array(a) for n, a in held.items()} for held in (args, aux))
        self._taps = arch.names("mxnet").taps(arch.layers())
        self.shown = frozenset(self._taps)
        self._name = arch.contracts["mxnet"].name

    def run(self, x: NumpyArray, on_value: OnValue | None = None) -> list[NumpyArray]:
        if on_value is None:
            return [value.asnumpy() for value in self._executed(self._symbol, x)]
        inside = self._symbol.get_internals()
        values = self._executed(self._mxnet.sym.Group([self._symbol, *(inside[n] for n in self._taps.values())]), x)
        count = len(self._symbol.list_outputs())
        for layer, value in zip(self._taps, values[count:], strict=True):
            on_value(layer, value.asnumpy())
        return [value.asnumpy() for value in values[:count]]

    def _executed(self, symbol: Any, x: NumpyArray) -> list[Any]:
        wanted, kept = set(symbol.list_arguments()), set(symbol.list_auxiliary_states())
        args = {name: array for name, array in self._args.items() if name in wanted}
        aux = {name: array for name, array in self._aux.items() if name in kept}
        if self._name in wanted:
            args[self._name] = self._mxnet.nd.array(x)
        executor = symbol.bind(self._mxnet.cpu(), args, aux_states=aux, grad_req="null")
        found: list[Any] = executor.forward(is_train=False)
        return found

    def _state(self) -> State:
        return {name: np.asarray(array.asnumpy()) for name, array in (self._args | self._aux).items()}

    def weights(self) -> State:
        return to_canonical(exchange(self._state(), "mxnet", "torch", self.arch, effective=True), "torch", self.arch)

    def export(self, folder: Path) -> Path:
        return write_files(self.arch, self._symbol, self._state(), folder)
