"""The float64 oracle of an architecture: one of its nets, evaluated from the operators' definitions.

It reads the files that a net with the seeded weights was saved to: MXNet's where MXNet is there, else Paddle's, both
without running either framework; with PyTorch alone the net itself runs in float64. Which one it is, is in the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facecvt.converters.conversion import read_source
from facecvt.converters.formats.locate import located
from facecvt.converters.graph import name_of
from facecvt.parity_tests.oracle.mxnet_symbol import MxnetOracle
from facecvt.parity_tests.oracle.paddle_program import PaddleOracle
from facecvt.parity_tests.parity_report.native import NumpyArray, open_native, output_layers
from facecvt.parity_tests.source import Oracle, SourceOracle
from facecvt.reference_models.graph_skeleton import from_graph
from facecvt.reference_models.recognise import compare as recognised_as
from facecvt.reference_models.spec import ArchitectureSpec

PREFERRED = ("mxnet", "paddle", "torch")
RUNS = {
    "mxnet": "facecvt's oracle on the MXNet symbol, in float64",
    "paddle": "facecvt's oracle on the Paddle program, in float64",
    "torch": "PyTorch in float64",
}


def basis_of(frameworks: Iterable[str]) -> str | None:
    """The framework whose net the oracle evaluates; None where there is none of these."""
    known = set(frameworks)
    return next((name for name in PREFERRED if name in known), None)


@dataclass(frozen=True)
class ExactNet:
    """An architecture in float64, and in float32 by the same arithmetic.

    Attributes:
        framework: whose net it evaluates.
        exact, clean: the oracle in float64 and in float32.
        layer_of: value of the oracle -> canonical layer name, without the outputs.
        outputs: canonical names of the outputs, in order.
    """

    framework: str
    exact: Oracle
    clean: Oracle
    layer_of: Mapping[str, str]
    outputs: tuple[str, ...]

    def feed(self, x: NumpyArray) -> dict[str, NumpyArray]:
        """The oracle's feeds."""
        return {self.exact.input_names[0]: x}


def open_exact(framework: str, arch: ArchitectureSpec, arrays: Mapping[str, NumpyArray], folder: Path) -> ExactNet:
    """The oracle of an architecture.

    Args:
        framework: of :func:`basis_of`.
        arch: the architecture.
        arrays: weights by canonical name.
        folder: where its files are written; they must stay as long as the oracle is used.
    """
    outputs = tuple(output_layers(arch))
    if framework == "torch":
        from facecvt.parity_tests.source_torch import StateOracle
        from facecvt.reference_models.state_source import StateModel

        model = StateModel(arch, "torch", dict(arrays), arch.name)
        exact, clean = StateOracle(model, np.float64), StateOracle(model, np.float32)
        return ExactNet("torch", exact, clean, {layer.value: layer.value for layer in exact.layers}, outputs)
    if framework == "mxnet":
        from facecvt.parity_tests.parity_report.native_mxnet import write_seeded

        saved = write_seeded(arch, arrays, folder)
    else:
        with open_native(framework, arch, arrays) as net:
            saved = net.export(folder)
    with located("mxnet" if framework == "mxnet" else "paddle", saved) as files:
        record, graph = read_source(framework, files)
    kind = MxnetOracle if framework == "mxnet" else PaddleOracle
    if framework == "mxnet":
        layer_of = {value: layer for layer, value in arch.names("mxnet").taps(arch.layers()).items()}
    else:
        skeleton = from_graph(graph)
        found = None if skeleton is None else recognised_as(arch, skeleton)
        layer_of = {} if found is None else {name_of(node.outputs[0]): layer for layer, node in found.layers.items()}
    exact_oracle, clean_oracle = (SourceOracle(kind(record, dtype)) for dtype in (np.float64, np.float32))
    return ExactNet(framework, exact_oracle, clean_oracle, layer_of, outputs)
