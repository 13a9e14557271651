"""The runtime that runs what a conversion wrote: one function a target framework.

Inputs are fed under the source's names; a target that has no names of its own for what it returns gives its outputs
those of the graph, by position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from facecvt.converters.errors import UsageError
from facecvt.converters.graph import name_of
from facecvt.converters.targets import TARGETS

if TYPE_CHECKING:
    from facecvt.converters.conversion import Conversion
    from facecvt.parity_tests.runtimes.runtime import Runtime


def open_target(conversion: Conversion) -> Runtime:
    """A runtime on a conversion's target, not yet entered."""
    opener = OPENERS.get(conversion.target_framework)
    if opener is None:
        raise UsageError(f"there is no runtime for {conversion.target_framework!r} targets yet")
    return opener(conversion)


def open_onnx(conversion: Conversion) -> Runtime:
    """ONNX Runtime on the written file."""
    from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime

    return OrtRuntime(conversion.target)


def open_torch(conversion: Conversion) -> Runtime:
    """PyTorch on the written folder."""
    from facecvt.parity_tests.runtimes.runtime_torch import TorchRuntime

    inputs = [name_of(value) for value in conversion.graph.inputs]
    outputs = [name_of(value) for value in conversion.graph.outputs]
    return TorchRuntime(conversion.target, inputs, outputs)


def open_mxnet(conversion: Conversion) -> Runtime:
    """MXNet on the written symbol and weights."""
    from facecvt.parity_tests.runtimes.runtime_mxnet import MxnetRuntime

    symbol, params = conversion.files[:2]
    return MxnetRuntime(symbol, params, [name_of(value) for value in conversion.graph.inputs])


def open_paddle(conversion: Conversion) -> Runtime:
    """Paddle on the written program and weights."""
    from facecvt.parity_tests.runtimes.runtime_paddle import PaddleRuntime

    program, *others = conversion.files
    weights = [path for path in others if path.suffix == ".pdiparams"]  # a program without weights has none
    return PaddleRuntime(program, weights[0] if weights else None)


OPENERS: dict[str, Callable[[Conversion], Runtime]] = {
    "onnx": open_onnx,
    "torch": open_torch,
    "mxnet": open_mxnet,
    "paddle": open_paddle,
}


def names_its_outputs(conversion: Conversion) -> bool:
    """Whether the target's format itself names the outputs."""
    return TARGETS[conversion.target_framework].names_outputs
