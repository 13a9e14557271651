"""MXNet 1.9.1: ``-symbol.json`` and ``.params``, bound at the shapes that are fed.

Taps are names of MXNet's internal outputs (``conv0_output``); they come from a second executor, bound on the group of
those outputs. Labels that a training graph left behind are fed zeros of the shape that MXNet infers for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from facecvt.converters.compat_mxnet import import_mxnet
from facecvt.parity_tests.runtimes.runtime import Capture, NumpyArray, RunFailedError, Runtime, named_outputs


class MxnetRuntime(Runtime):
    """An MXNet symbol with its weights on the CPU, in inference mode.

    Args:
        symbol: the ``-symbol.json``.
        params: the ``.params``.
        input_names: what is fed; by default the arguments that have no weights and are not labels (``..._label``).
    """

    framework: ClassVar[str] = "mxnet"

    def __init__(self, symbol: str | Path, params: str | Path, input_names: Sequence[str] | None = None) -> None:
        super().__init__(str(symbol))
        self.symbol_path, self.params_path = Path(symbol), Path(params)
        self._names = input_names

    def _open(self) -> None:
        self._mxnet = import_mxnet(f"run {self.symbol_path}")
        self._symbol = self._mxnet.sym.load(str(self.symbol_path))
        auxiliary = set(self._symbol.list_auxiliary_states())
        arrays = self._mxnet.nd.load(str(self.params_path))
        named = arrays.items() if isinstance(arrays, dict) else []  # a file without arrays is read as an empty list
        self._weights = {name.split(":", 1)[-1]: array for name, array in named}
        rest = [name for name in self._symbol.list_arguments() if name not in self._weights]
        self.input_names = list(self._names or [name for name in rest if not name.endswith("label")])
        lost = sorted(auxiliary - self._weights.keys())
        if lost:
            raise RunFailedError(f"{self.params_path} has no weights for {lost[:5]}")
        self.output_names = self._symbol.list_outputs()
        self._internals = self._symbol.get_internals()
        self._executors: dict[Any, Any] = {}

    def _run_impl(self, inputs: Mapping[str, NumpyArray], taps: Sequence[str]) -> Capture:
        arrays = self._execute(self._symbol, (), inputs)
        outputs = named_outputs(self.output_names, arrays, self.model)
        if not taps:
            return Capture(outputs)
        group = self._mxnet.sym.Group([self._internals[tap] for tap in taps])
        return Capture(outputs, dict(zip(taps, self._execute(group, tuple(taps), inputs), strict=True)))

    def _execute(self, symbol: Any, taps: tuple[str, ...], inputs: Mapping[str, NumpyArray]) -> list[NumpyArray]:
        needed = set(symbol.list_arguments())
        fed = {name: inputs[name] for name in self.input_names if name in needed}
        shapes = {name: array.shape for name, array in fed.items()}
        key = (taps, tuple(shapes.items()))
        if key not in self._executors:
            executor = symbol.simple_bind(self._mxnet.cpu(), grad_req="null", **shapes)
            for name, target in (*executor.arg_dict.items(), *executor.aux_dict.items()):
                if name in self._weights:
                    target[:] = self._weights[name]
                elif name not in fed:
                    target[:] = 0  # a label; it does not reach an output at inference
            self._executors[key] = executor
        executor = self._executors[key]
        values = executor.forward(
            is_train=False, **{name: self._mxnet.nd.array(array, dtype=array.dtype) for name, array in fed.items()}
        )
        return [np.array(value.asnumpy()) for value in values]

    def _close(self) -> None:
        self._executors = {}
        self._weights = {}
