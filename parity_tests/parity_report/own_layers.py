"""Every layer of the ONNX models by itself: fed with the oracle's values while the oracle computes them.

The models of one architecture are alike but for a few operators. A layer that several compute from the same values by
the same operators with the same weights is computed for the first of them, and its error is that of all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from facecvt.converters.graph import name_of
from facecvt.parity_tests.diff.own_error import OwnErrors, arranged, is_forcible
from facecvt.parity_tests.parity_report.native import NumpyArray
from facecvt.parity_tests.parity_report.onnx_model import OnnxNet
from facecvt.parity_tests.parity_report.same_graph import digests_of

Shape = tuple[int, ...]


@dataclass(frozen=True)
class OwnModel:
    """An ONNX model whose layers are computed by themselves.

    Attributes:
        net: need not be entered.
        x: what it is fed.
        fed: names what it is fed; models that are fed the same have the same.
        shapes: layer -> shape of its value in the model, for the layers that the oracle gives.
    """

    net: OnnxNet
    x: NumpyArray
    fed: str
    shapes: Mapping[str, Shape]

    @cached_property
    def taps(self) -> dict[str, str]:
        """Layer -> the model's value, of those that can be fed."""
        floats = is_forcible(self.net.graph)
        return {layer: tap for layer, tap in self.net.values.items() if layer in self.shapes and tap in floats}


class OwnLayers:
    """Own errors of several models.

    Args:
        models: side -> model.
    """

    def __init__(self, models: Mapping[str, OwnModel]) -> None:
        self._of_side: dict[str, _OneModel] = {}
        self._same: dict[str, dict[str, tuple[str, str]]] = {}  # side -> layer -> side and layer that it is the same as
        known: dict[tuple[str, Shape], tuple[str, str]] = {}
        for side, model in models.items():
            digests = _digests(model)
            self._same[side] = {layer: known[what] for layer, what in digests.items() if what in known}
            self._of_side[side] = _OneModel(model, self._same[side].keys())
            known |= {what: (side, layer) for layer, what in digests.items() if what not in known}

    def take(self, layer: str, value: NumpyArray) -> None:
        """Take in a layer's exact value; one of another shape is left out, and what reads it has no own error."""
        for model in self._of_side.values():
            model.take(layer, value)

    def result(self) -> dict[str, dict[str, float]]:
        """Side -> layer -> its own rel-RMSE."""
        found: dict[str, dict[str, float]] = {}
        for side, model in self._of_side.items():
            found[side] = model.result()
            for layer, (other, its_layer) in self._same[side].items():
                if its_layer in found[other]:
                    found[side][layer] = found[other][its_layer]
        return found


class _OneModel:
    """A model's layers but those that another computes for it."""

    def __init__(self, model: OwnModel, others: Collection[str]) -> None:
        self._taps = model.taps
        self._shapes = {tap: model.shapes[layer] for layer, tap in self._taps.items()}
        wanted = {tap for layer, tap in self._taps.items() if layer not in others}
        graph = model.net.graph
        self._errors = OwnErrors(graph, self._shapes, {name_of(graph.inputs[0]): model.x}, wanted)

    def take(self, layer: str, value: NumpyArray) -> None:
        tap = self._taps.get(layer)
        if tap is not None and arranged(value, self._shapes[tap]) is not None:
            self._errors.take(layer, tap, value)

    def result(self) -> dict[str, float]:
        self._errors.flush()
        return {layer: found.rel_rmse for layer, found in self._errors.metrics.items()}


def _digests(model: OwnModel) -> dict[str, tuple[str, Shape]]:
    """Layer -> what it computes from the nearest layers, and its shape; not of layers that have one value."""
    taps = model.taps
    layers_of: dict[str, list[str]] = {}
    for layer, tap in taps.items():
        layers_of.setdefault(tap, []).append(layer)
    given = {tap: f"{sorted(layers)} {model.shapes[layers[0]]}" for tap, layers in layers_of.items()}
    graph = model.net.graph
    digests = digests_of(graph, {**given, name_of(graph.inputs[0]): model.fed})
    graph.forget_weights()
    return {
        layer: (digests[tap], tuple(model.shapes[layer])) for layer, tap in taps.items() if len(layers_of[tap]) == 1
    }
