"""A reference net in MXNet; see native.py."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from facecvt.converters.compat_mxnet import import_mxnet
from facecvt.converters.formats.mxnet_params import write_params
from facecvt.parity_tests.memory import trim_memory
from facecvt.parity_tests.parity_report.native import NativeNet, NumpyArray, OnValue
from facecvt.parity_tests.parity_report.one_by_one import OneByOne
from facecvt.parity_tests.runtimes.runtime import RunFailedError
from facecvt.reference_models.seeded import stored_unit_scale
from facecvt.reference_models.spec import ArchitectureSpec, families
from facecvt.reference_models.weights import CanonicalState, State, from_canonical, split_auxiliary


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
    """A ``Symbol`` bound at what is fed; inner values are looked at the moment the executor has computed them.

    An executor of all values as outputs would hold them all, and round otherwise: where a value is an output, MXNet
    chooses other kernels for what reads it.
    """

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
        self._kept: tuple[tuple[int, ...], Any] | None = None

    def run(self, x: NumpyArray, on_value: OnValue | None = None) -> list[NumpyArray]:
        if on_value is None:
            return [value.asnumpy() for value in self._executor_for(x).forward(is_train=False)]
        self._kept = None
        executor = self._bound(x)
        seen = self._watched(executor, on_value)
        outputs = [value.asnumpy() for value in executor.forward(is_train=False)]
        failed = next((found for found in seen.values() if found is not None), None)
        if failed is not None:
            raise failed
        if len(seen) != len(self._taps):
            missing = next(layer for layer in self._taps if layer not in seen)
            raise RunFailedError(f"mxnet does not show {self._taps[missing]}, which is {missing} of {self.arch.name}")
        return outputs

    def _executor_for(self, x: NumpyArray) -> Any:
        """The last executor where it fits: each has memory of its own."""
        if self._kept is not None and self._kept[0] == x.shape:
            self._kept[1].arg_dict[self._name][:] = x
        else:
            self._kept = None
            trim_memory()
            self._kept = x.shape, self._bound(x)
        return self._kept[1]

    def _bound(self, x: NumpyArray) -> Any:
        wanted, kept = set(self._symbol.list_arguments()), set(self._symbol.list_auxiliary_states())
        args = {name: array for name, array in self._args.items() if name in wanted}
        aux = {name: array for name, array in self._aux.items() if name in kept}
        args[self._name] = self._mxnet.nd.array(x)
        return self._symbol.bind(self._mxnet.cpu(), args, aux_states=aux, grad_req="null")

    def _watched(self, executor: Any, on_value: OnValue) -> dict[str, Exception | None]:
        """Layers that the executor has shown, each with what was raised over it, filled as it runs."""
        layers: dict[str, list[str]] = {}
        for layer, name in self._taps.items():
            layers.setdefault(name, []).append(layer)
        seen: dict[str, Exception | None] = {}
        kinds = self._mxnet.base.NDArrayHandle, self._mxnet.nd.NDArray

        def after(name: bytes | str, handle: Any) -> None:  # called from C, where nothing may be raised
            for layer in layers.get(name.decode() if isinstance(name, bytes) else name, ()):
                seen[layer] = None
                try:
                    on_value(layer, kinds[1](ctypes.cast(handle, kinds[0]), writable=False).asnumpy())
                except Exception as error:
                    seen[layer] = error

        executor.set_monitor_callback(after)
        return seen

    def _state(self) -> State:
        return {name: np.asarray(array.asnumpy()) for name, array in (self._args | self._aux).items()}

    def weights(self) -> Mapping[str, NumpyArray]:
        arrays = OneByOne(self._args | self._aux, self._mxnet.nd.NDArray.asnumpy)
        return CanonicalState(arrays, "mxnet", self.arch, effective=True)

    def export(self, folder: Path) -> Path:
        return write_files(self.arch, self._symbol, self._state(), folder)
