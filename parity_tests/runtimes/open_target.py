"""The runtime that runs what a conversion wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facecvt.converters.errors import UsageError
from facecvt.converters.graph import name_of

if TYPE_CHECKING:
    from facecvt.converters.conversion import Conversion
    from facecvt.parity_tests.runtimes.runtime import Runtime


def open_target(conversion: Conversion) -> Runtime:
    """A runtime on a conversion's target, not yet entered.

    Inputs are fed under the source's names; a PyTorch model has no names for what it returns, so its outputs take
    those of the graph, by position.
    """
    if conversion.target_framework == "onnx":
        from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime

        return OrtRuntime(conversion.target)
    if conversion.target_framework == "torch":
        from facecvt.parity_tests.runtimes.runtime_torch import TorchRuntime

        inputs = [name_of(value) for value in conversion.graph.inputs]
        outputs = [name_of(value) for value in conversion.graph.outputs]
        return TorchRuntime(conversion.target, inputs, outputs)
    raise UsageError(f"there is no runtime for {conversion.target_framework!r} targets yet")


def names_its_outputs(conversion: Conversion) -> bool:
    """Whether the target's format itself names the outputs."""
    return conversion.target_framework != "torch"
