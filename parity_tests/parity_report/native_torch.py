"""A reference net in PyTorch; see native.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch

from facecvt.parity_tests.mapped_net_torch import shared, undrawn_net
from facecvt.parity_tests.parity_report.native import NativeNet, NumpyArray, OnValue, flat
from facecvt.parity_tests.parity_report.one_by_one import OneByOne
from facecvt.reference_models.spec import ArchitectureSpec
from facecvt.reference_models.weights import CanonicalState, from_canonical


class Net(NativeNet):
    """An ``nn.Module`` in float32; inner values come from forward hooks."""

    framework: ClassVar[str] = "torch"

    def __init__(self, arch: ArchitectureSpec, arrays: Mapping[str, NumpyArray]) -> None:
        super().__init__(arch, arrays)
        self._net = undrawn_net(arch)
        state = {name: shared(array) for name, array in from_canonical(arrays, "torch", arch).items()}
        self._net.load_state_dict(state, strict=True)
        self._net.eval()
        names = arch.names("torch")
        listing = arch.layers()
        self._taps = names.taps(listing)
        self._feeds = {} if names.feeds is None else names.feeds(listing)
        self.shown = frozenset(self._taps) | frozenset(self._feeds)

    def run(self, x: NumpyArray, on_value: OnValue | None = None) -> list[NumpyArray]:
        hooks = [] if on_value is None else self._hooked(on_value)
        try:
            with torch.inference_mode():
                returned = self._net(torch.from_numpy(x.copy()))
        finally:
            for hook in hooks:
                hook.remove()
        return [tensor.numpy() for tensor in flat(returned)]

    def _hooked(self, on_value: OnValue) -> list[Any]:
        hooks = []
        for layer, path in self._taps.items():

            def after(module: Any, arguments: Any, output: Any, layer: str = layer) -> None:
                on_value(layer, output.numpy().copy())  # the next layer may write over it

            hooks.append(self._net.get_submodule(path).register_forward_hook(after))
        for layer, path in self._feeds.items():

            def before(module: Any, arguments: Any, layer: str = layer) -> None:
                on_value(layer, arguments[0].numpy().copy())

            hooks.append(self._net.get_submodule(path).register_forward_pre_hook(before))
        return hooks

    def weights(self) -> Mapping[str, NumpyArray]:
        return CanonicalState(OneByOne(self._net.state_dict(), torch.Tensor.numpy), "torch", self.arch)

    def export(self, folder: Path) -> Path:
        path = folder / "weights.pth"
        torch.save(self._net.state_dict(), path)
        return path

    def program(self) -> torch.nn.Module:
        return self._net
