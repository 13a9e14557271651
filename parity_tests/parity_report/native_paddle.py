"""A reference net in PaddlePaddle; see native.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import paddle

from facecvt.parity_tests.parity_report.native import NativeNet, NumpyArray, OnValue, flat
from facecvt.parity_tests.parity_report.one_by_one import OneByOne
from facecvt.reference_models.materialise_paddle import net_with, save_net
from facecvt.reference_models.spec import ArchitectureSpec
from facecvt.reference_models.weights import CanonicalState, from_canonical


class Net(NativeNet):
    """A ``paddle.nn.Layer`` in float32; inner values come from forward hooks."""

    framework: ClassVar[str] = "paddle"

    def __init__(self, arch: ArchitectureSpec, arrays: Mapping[str, NumpyArray]) -> None:
        super().__init__(arch, arrays)
        self._net = net_with(arch, from_canonical(arrays, "paddle", arch))
        names = arch.names("paddle")
        listing = arch.layers()
        self._taps = names.taps(listing)
        self._feeds = {} if names.feeds is None else names.feeds(listing)
        self._places = dict(self._net.named_sublayers())
        self.shown = frozenset(self._taps) | frozenset(self._feeds)

    def run(self, x: NumpyArray, on_value: OnValue | None = None) -> list[NumpyArray]:
        hooks = [] if on_value is None else self._hooked(on_value)
        try:
            with paddle.no_grad():
                returned = self._net(paddle.to_tensor(x))
        finally:
            for hook in hooks:
                hook.remove()
        return [np.asarray(tensor.numpy()) for tensor in flat(returned)]

    def _hooked(self, on_value: OnValue) -> list[Any]:
        hooks = []
        for layer, path in self._taps.items():

            def after(module: Any, arguments: Any, output: Any, layer: str = layer) -> None:
                on_value(layer, output.numpy())

            hooks.append(self._places[path].register_forward_post_hook(after))
        for layer, path in self._feeds.items():

            def before(module: Any, arguments: Any, layer: str = layer) -> None:
                on_value(layer, arguments[0].numpy())

            hooks.append(self._places[path].register_forward_pre_hook(before))
        return hooks

    def weights(self) -> Mapping[str, NumpyArray]:
        return CanonicalState(OneByOne(self._net.state_dict(), paddle.Tensor.numpy), "paddle", self.arch)

    def export(self, folder: Path) -> Path:
        save_net(self._net, self.arch, folder)
        return next(path for path in (folder / "inference.json", folder / "inference.pdmodel") if path.is_file())
