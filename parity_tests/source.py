"""The source of a conversion as the verifier sees it: an oracle that computes it, and what its layers are.

What a layer is, is read from the source's own record through the oracle, not from the canonical graph: a layer that a
reader lost would be missing from the graph, and nobody would miss it.

    computed     the value depends on what is fed; it can differ
    parametric   computed, and its operator reads weights: an array of more than one number, or a PReLU slope
    depth        number of operators on the longest path from an input to the value
"""

from __future__ import annotations

import math
from collections.abc import Generator, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facecvt.converters.errors import UsageError
from facecvt.converters.formats.mapped import Array

if TYPE_CHECKING:
    from facecvt.converters.conversion import Conversion
    from facecvt.parity_tests.diff.model import Side
    from facecvt.parity_tests.oracle.evaluator import Evaluator

NumpyArray = np.ndarray[Any, np.dtype[Any]]
Walk = Generator[tuple[str, NumpyArray], None, dict[str, NumpyArray]]

# Operators whose result says nothing about the values of their operands, only about their shapes.
SHAPE_ONLY = frozenset(
    {
        "Shape",
        "Size",
        "shape",
        "shape64",
        "shape_array",
        "size_array",
        "_contrib_arange_like",
        "prior_box",
        "size",
        "numel",
    }
)


class Oracle(Protocol):
    """What the verifier needs of an oracle; see :mod:`facecvt.parity_tests.oracle`."""

    @property
    def input_names(self) -> list[str]:
        """Names of what is fed."""

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, in the model's order."""

    @property
    def layers(self) -> list[Layer]:
        """Every computed value in the order in which they are computed."""

    def walk(self, feeds: Mapping[str, NumpyArray]) -> Walk:
        """Yields name and array of every computed value in order; returns the outputs by name."""


@dataclass(frozen=True)
class Layer:
    """One value that the source computes.

    Attributes:
        value: its name.
        operator: what computes it.
        node: name of the node that computes it.
        computed: whether it depends on what is fed.
        parametric: whether its operator reads weights.
        depth: operators on the longest path from an input.
        operands: names of the computed values that its operator reads.
    """

    value: str
    operator: str
    node: str
    computed: bool = True
    parametric: bool = False
    depth: int = 1
    operands: tuple[str, ...] = ()


class SourceOracle:
    """An oracle of this project, with what its layers are.

    Args:
        oracle: MxnetOracle, PaddleOracle or OnnxOracle.
    """

    def __init__(self, oracle: Any) -> None:
        self._oracle = oracle
        self.layers = layers_of(oracle.evaluator)

    @property
    def input_names(self) -> list[str]:
        return list(self._oracle.input_names)

    @property
    def output_names(self) -> list[str]:
        return list(self._oracle.output_names)

    def walk(self, feeds: Mapping[str, NumpyArray]) -> Walk:
        walk: Walk = self._oracle.evaluator.walk(feeds)
        return walk


def open_oracle(conversion: Conversion | Side, dtype: Any = np.float64) -> Oracle:
    """The oracle of a conversion's source.

    Args:
        conversion: what was converted, or one side of a comparison.
        dtype: numpy.float64, or numpy.float32 for a clean variant.

    Raises:
        ConversionError: the oracle does not define an operator of the source.
    """
    framework, model = conversion.source_framework, conversion.source_model
    if framework == "mxnet":
        from facecvt.parity_tests.oracle.mxnet_symbol import MxnetOracle

        return SourceOracle(MxnetOracle(model, dtype))
    if framework == "paddle":
        from facecvt.parity_tests.oracle.paddle_program import PaddleOracle

        return SourceOracle(PaddleOracle(model, dtype))
    if framework == "onnx":
        from facecvt.parity_tests.oracle.onnx_model import OnnxOracle

        return SourceOracle(OnnxOracle(model, dtype))
    if framework == "torch":
        from facecvt.converters.readers.from_torch import TorchProgram
        from facecvt.parity_tests.source_torch import ProgramOracle, StateOracle

        return ProgramOracle(model, dtype) if isinstance(model, TorchProgram) else StateOracle(model, dtype)
    raise UsageError(f"there is no oracle for {framework!r}")


def layers_of(evaluator: Evaluator) -> list[Layer]:
    """What each named value of an oracle's steps is; see the module's docstring."""
    depths: dict[Hashable, int] = dict.fromkeys(evaluator.inputs.values(), 0)  # of values that depend on what is fed
    weights = {key for key, array in evaluator.constants.items() if _is_floating(array)}
    sizes = {key: math.prod(evaluator.constants[key].shape) for key in weights}
    names: dict[Hashable, str] = {}
    layers = []
    for step in evaluator.steps:
        operands = [key for key in step.inputs if key is not None]
        fed = [depths[key] for key in operands if key in depths]
        owned = [key for key in operands if key in weights]
        computed = bool(fed) and step.operator not in SHAPE_ONLY
        slope = "relu" in step.operator.lower()
        parametric = computed and any(slope or sizes[key] > 1 for key in owned)
        depth = 1 + max(fed, default=0)
        read = tuple(names[key] for key in operands if key in names) if computed else ()
        for key, name in zip(step.outputs, step.names, strict=False):
            if key is not None and computed:
                depths[key] = depth
            elif key is not None and owned:  # weights that the source reshapes before it uses them
                weights.add(key)
                sizes[key] = max(sizes[owner] for owner in owned)
            if name is not None:
                names[key] = name
                depth_here = depth if computed else 0
                layers.append(Layer(name, step.operator, step.node, computed, parametric, depth_here, read))
    return layers


def _is_floating(array: Array) -> bool:
    return np.dtype(array.dtype).kind == "f" or np.dtype(array.dtype).name == "bfloat16"
