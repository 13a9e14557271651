"""A conversion of a little net, evaluated by a fake oracle, to a fake runtime that computes the same in float32.

What is to be found is broken in the source's values, in the target's, or in what the target returns.

    data (n,3,6,6) -> conv (weights) -> norm (weights) -> act (slope) -> pool -> embed (weights) = output "embed"
                                                                     \\-> score = output "score"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import FrameworkMissingError
from facecvt.converters.graph import NumpyArray
from facecvt.parity_tests.runtimes.runtime import Capture, Runtime
from facecvt.parity_tests.source import Layer, Walk
from facecvt.parity_tests.verification import Verification
from facecvt.parity_tests.verify import verify

Arrays = dict[str, NumpyArray]
LAYERS = [
    Layer("conv", "Convolution", "conv0", parametric=True, depth=1),
    Layer("norm", "BatchNorm", "bn0", parametric=True, depth=2, operands=("conv",)),
    Layer("act", "LeakyReLU", "relu0", parametric=True, depth=3, operands=("norm",)),
    Layer("pool", "Pooling", "pool0", depth=4, operands=("act",)),
    Layer("embed", "FullyConnected", "fc0", parametric=True, depth=5, operands=("pool",)),
    Layer("score", "FullyConnected", "fc1", parametric=True, depth=5, operands=("pool",)),
]
NAMES = [layer.value for layer in LAYERS]
OUTPUTS = ["embed", "score"]


@dataclass(frozen=True)
class Net:
    """Parameters of the net; a fault is a changed field."""

    eps: float = 2e-5
    slope: float = 0.25
    width: int = 8
    weights: dict[str, NumpyArray] = field(default_factory=dict)

    @staticmethod
    def seeded() -> Net:
        """The net with the weights of seed 1."""
        random = np.random.RandomState(1)
        shapes = {"conv": (8, 3), "gain": (8, 1, 1), "embed": (16, 8), "score": (16, 8)}
        weights = {name: random.standard_normal(shape) for name, shape in shapes.items()}
        return Net(weights={**weights, "variance": random.uniform(0.001, 0.01, (8, 1, 1))})

    def values(self, data: NumpyArray, dtype: Any) -> Arrays:
        """Every value of the net."""
        w = {name: array.astype(dtype) for name, array in self.weights.items()}
        x = data.astype(dtype)
        values = {"conv": np.einsum("mc,nchw->nmhw", w["conv"], x)}
        values["norm"] = values["conv"] * w["gain"] / np.sqrt(w["variance"] + dtype(self.eps))
        values["act"] = np.where(values["norm"] > 0, values["norm"], values["norm"] * dtype(self.slope))
        values["pool"] = values["act"].mean(axis=(2, 3), dtype=dtype)
        values["embed"] = values["pool"] @ w["embed"].T
        values["score"] = values["pool"] @ w["score"].T
        return values


Change = Callable[[Arrays], Arrays]


def unchanged(values: Arrays) -> Arrays:
    """The change that changes nothing."""
    return values


@dataclass
class FakeOracle:
    """The net in one dtype; ``change`` acts on its values."""

    net: Net
    dtype: Any
    change: Change = unchanged
    layers: list[Layer] = field(default_factory=lambda: list(LAYERS))
    output_names: list[str] = field(default_factory=lambda: list(OUTPUTS))
    input_names: ClassVar[list[str]] = ["data"]

    def walk(self, feeds: Mapping[str, NumpyArray]) -> Walk:
        """Every value in order; the outputs at the end."""
        values = self.change(self.net.values(feeds["data"], self.dtype))
        for layer in self.layers:
            yield layer.value, values[layer.value]
        return {name: values[name] for name in self.output_names}


class FakeRuntime(Runtime):
    """The net in float32; ``change`` acts on all its values, ``outputs`` on what it returns."""

    framework = "onnxruntime"

    def __init__(
        self,
        net: Net,
        change: Change = unchanged,
        outputs: Change = unchanged,
        fails: Callable[[NumpyArray], bool] = lambda data: False,
        missing: bool = False,
    ) -> None:
        super().__init__("fake")
        self.net, self.change, self.outputs, self.fails, self.missing = net, change, outputs, fails, missing

    def _open(self) -> None:
        if self.missing:
            raise FrameworkMissingError("onnxruntime", "run fake", "pip install onnxruntime")
        self.input_names = ["data"]
        values = self.net.values(np.ones((1, 3, 6, 6)), np.float32)
        self.output_names = list(self.outputs({name: values[name] for name in OUTPUTS}))

    def _run_impl(self, inputs: Mapping[str, NumpyArray], taps: Sequence[str]) -> Capture:
        if self.fails(inputs["data"]):
            raise ValueError("this batch is not supported")
        values = self.change(self.net.values(inputs["data"], np.float32))
        outputs = self.outputs({name: values[name].copy() for name in OUTPUTS})
        return Capture(outputs, {tap: values[tap.removeprefix("t:")].copy() for tap in taps})


def conversion(
    taps: Sequence[str] = NAMES,
    aliases: Mapping[str, str] | None = None,
    absorbed: Mapping[str, str] | None = None,
    target: str = "onnx",
    **contract: Any,
) -> Any:
    """What verify needs of a Conversion."""

    def value(name: str) -> SimpleNamespace:
        return SimpleNamespace(name=name)

    graph = SimpleNamespace(
        inputs=[value("data")],
        outputs=[value(name) for name in OUTPUTS],
        body=(),
        aliases=dict(aliases or {}),
        absorbed=dict(absorbed or {}),
    )
    shape = contract.pop("shape", ("batch", 3, 6, 6))
    return SimpleNamespace(
        graph=graph,
        target_framework=target,
        taps={name: f"t:{name}" for name in taps},
        contracts=[InputContract("data", shape, layout="NCHW", **contract)],
        source_contracts=None,
        half=None,
    )


NET = Net.seeded()


def run(
    target: FakeRuntime | None = None,
    source: Change = unchanged,
    *,
    layers: Sequence[Layer] = LAYERS,
    outputs: Sequence[str] = OUTPUTS,
    made: Any = None,
    **options: Any,
) -> Verification:
    """Verify the net against a target."""
    return verify(
        made or conversion(),
        oracle=lambda _, dtype: FakeOracle(NET, dtype, source, list(layers), list(outputs)),
        runtime=lambda _: target or FakeRuntime(NET),
        **options,
    )
