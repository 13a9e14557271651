"""What a model is made of, as records: ``facecvt inspect`` shows them; inspect_files.py reads them off."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facecvt.converters.contract import InputContract

if TYPE_CHECKING:
    from facecvt.reference_models.recognise_state import StateRecognition


@dataclass(frozen=True)
class WeightFact:
    """One weight array: name, shape, element type, bytes."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int


@dataclass(frozen=True)
class LayerFact:
    """One operator of the source: its name, the operator, the ONNX operators it becomes, shapes of its outputs.

    ``onnx`` and ``shapes`` are empty where the operator vanishes, or where the model could not be read as a graph.
    """

    name: str
    operator: str
    onnx: tuple[str, ...] = ()
    shapes: tuple[tuple[int | None, ...] | None, ...] = ()


@dataclass(frozen=True)
class OperatorFact:
    """One operator of the source.

    Attributes:
        operator: as its framework calls it.
        count: nodes that use it.
        readable: a rule reads it, so that it converts to ONNX.
        to_torch: everything it becomes can be written to PyTorch; None where that is not known.
        nodes: names of the nodes, listed where it does not convert.
    """

    operator: str
    count: int
    readable: bool
    to_torch: bool | None
    nodes: tuple[str, ...] = ()


@dataclass
class Inspection:
    """The answer of ``facecvt inspect``.

    Attributes:
        framework: "mxnet", "paddle", "onnx" or "torch".
        kind: "model", or "weights" for a file of arrays without a graph.
        name: the model's name.
        files: its files.
        details: what is peculiar to the format, for example the program's dialect or a checkpoint's prefix.
        contracts: one a data input.
        outputs: name, shape and element type of each output.
        layers: every operator in order.
        weights: every array.
        operators: every operator once.
        recognised: name of the reference architecture that the graph or the weights are; None if none or several.
        state: for weights alone: what their names and shapes tell, None where they are nothing like any architecture.
        problems: what keeps it from being converted, each a complete message.
        warnings: what a conversion would tell.
    """

    framework: str
    kind: str
    name: str
    files: tuple[Path, ...]
    details: dict[str, str] = field(default_factory=dict)
    contracts: list[InputContract] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    layers: list[LayerFact] = field(default_factory=list)
    weights: list[WeightFact] = field(default_factory=list)
    operators: list[OperatorFact] = field(default_factory=list)
    recognised: str | None = None
    state: StateRecognition | None = None
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def weights_by_dtype(self) -> dict[str, dict[str, int]]:
        """Element type -> how many arrays, elements and bytes."""
        totals: dict[str, dict[str, int]] = {}
        for weight in self.weights:
            entry = totals.setdefault(weight.dtype, {"arrays": 0, "elements": 0, "bytes": 0})
            entry["arrays"] += 1
            entry["elements"] += int(np.prod(weight.shape, dtype=np.int64))
            entry["bytes"] += weight.nbytes
        return totals

    def as_json(self) -> dict[str, Any]:
        """The inspection as a JSON object."""
        return {
            "framework": self.framework,
            "kind": self.kind,
            "name": self.name,
            "files": [str(path) for path in self.files],
            "details": self.details,
            "inputs": [contract.as_json() for contract in self.contracts],
            "outputs": self.outputs,
            "layers": [_plain(asdict(layer)) for layer in self.layers],
            "weights": {
                "arrays": len(self.weights),
                "bytes": sum(weight.nbytes for weight in self.weights),
                "by_dtype": self.weights_by_dtype(),
                "list": [_plain(asdict(weight)) for weight in self.weights],
            },
            "operators": [_plain(asdict(operator)) for operator in self.operators],
            "recognised": self.recognised,
            "state": None if self.state is None else self.state.as_json(),
            "problems": self.problems,
            "warnings": self.warnings,
        }


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Tuples as lists, one level deep and below."""
    return {key: _listed(value) for key, value in record.items()}


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, Iterable) and not isinstance(value, str) else value
