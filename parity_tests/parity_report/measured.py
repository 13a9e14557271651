"""The figures of every pair, layer and input, taken as the oracle computes; nothing is judged here.

The oracle goes through an input in float64 and in float32 side by side. The moment it computes a layer, that layer's
values of all sides are read from disk, every two are compared, and forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from facecvt.parity_tests.diff.own_error import arranged
from facecvt.parity_tests.evidence import Sample, ValueEvidence
from facecvt.parity_tests.metrics import Metrics, compare, compare_each
from facecvt.parity_tests.parity_report.exact import ExactNet
from facecvt.parity_tests.parity_report.native import NumpyArray
from facecvt.parity_tests.parity_report.own_layers import OwnLayers
from facecvt.parity_tests.parity_report.runs import Feed
from facecvt.parity_tests.parity_report.values_on_disk import ValuesOnDisk
from facecvt.parity_tests.verify import walk_together

ORACLE = "oracle"
Outputs = dict[str, list[NumpyArray]]  # input -> outputs


@dataclass(frozen=True)
class Measurement:
    """One pair at one layer on one input."""

    fed: str
    sample: Sample


@dataclass
class Measured:
    """What the runs of one architecture gave.

    Attributes:
        sides: ids in the order of the report; the oracle first where there is one.
        pairs: (a, b, layer) -> one measurement an input.
        clean: layer -> the oracle in float32 against float64, one an input.
        shapes: layer -> shape at batch 1.
        outputs: side -> input -> outputs; of the oracle where it was run.
        own: side -> layer -> own rel-RMSE.
    """

    sides: list[str] = field(default_factory=list)
    pairs: dict[tuple[str, str, str], list[Measurement]] = field(default_factory=dict)
    clean: dict[str, list[Sample]] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    outputs: dict[str, Outputs] = field(default_factory=dict)
    own: dict[str, dict[str, float]] = field(default_factory=dict)

    def evidence(self, a: str, b: str, layer: str) -> ValueEvidence:
        """All that is known of a pair at a layer, in the form that is judged."""
        samples = [found.sample for found in self.pairs.get((a, b, layer), [])]
        return ValueEvidence(samples, self.clean.get(layer, []))

    def shown(self) -> set[str]:
        """Layers of which at least one pair was compared."""
        return {layer for _, _, layer in self.pairs}

    def add(self, feed: Feed, layer: str, values: dict[str, NumpyArray], *, output: bool) -> None:
        """Compare every two sides at a layer.

        Args:
            feed: the input.
            layer: its canonical name.
            values: side -> value, for the sides that have it.
            output: whether shapes must be equal; inside, axes of size 1 and the place of the channels may differ.
        """
        info = feed.info
        same = first_of_same({side: values[side] for side in self.sides if side in values})
        known = {pair: Sample(info.kind, info.batch, found) for pair, found in _distances(same, values, output).items()}
        for a, b in combinations(same, 2):
            self.pairs.setdefault((a, b, layer), []).append(Measurement(info.name, known[same[a], same[b]]))
        first = next(iter(values.values()), None)
        if first is not None and layer not in self.shapes:
            has_batch = first.ndim > 0 and first.shape[0] == info.batch
            self.shapes[layer] = (1, *first.shape[1:]) if has_batch else first.shape

    def add_clean(self, feed: Feed, layer: str, exact: NumpyArray, single: NumpyArray) -> None:
        """What float32 costs at a layer."""
        self.clean.setdefault(layer, []).append(Sample(feed.info.kind, feed.info.batch, compare(exact, single)))


def _distances(
    same: Mapping[str, str], values: Mapping[str, NumpyArray], output: bool
) -> dict[tuple[str, str], Metrics]:
    """Every two of the sides that others are the same as, and these with themselves -> how far they are apart.

    Args:
        same: of :func:`first_of_same`.
        values: side -> value.
        output: whether shapes must be equal.
    """
    found: dict[tuple[str, str], Metrics] = {}
    sides = list(dict.fromkeys(same.values()))
    for shape in dict.fromkeys(values[side].shape for side in sides):
        fitting = [side for side in sides if values[side].shape == shape]
        each = compare_each([values[side] for side in fitting])
        found |= {(fitting[one], fitting[other]): metrics for (one, other), metrics in each.items()}
    for a, b in combinations(same, 2):
        pair = same[a], same[b]
        if pair not in found:
            expected, actual = (values[side] for side in pair)
            arrangement = None if output else arranged(actual, expected.shape)
            found[pair] = compare(expected, actual if arrangement is None else arrangement)
    return found


def first_of_same(values: Mapping[str, NumpyArray]) -> dict[str, str]:
    """Side -> the first side that has exactly its values: two such have the same distance from every third.

    NaN is never the same as anything.
    """
    found: dict[str, str] = {}
    for side, value in values.items():
        others = (other for other in dict.fromkeys(found.values()) if values[other].dtype == value.dtype)
        found[side] = next((other for other in others if np.array_equal(values[other], value)), side)
    return found


def compare_layers(
    measured: Measured, disk: ValuesOnDisk, exact: ExactNet | None, feed: Feed, x: NumpyArray | None,
    output_names: Sequence[str], own: OwnLayers | None = None,
) -> None:  # fmt: skip
    """Compare every named layer on one input.

    Args:
        measured: takes the figures.
        disk: the values of the other sides.
        exact: the oracle, None where there is none.
        feed: the input.
        x: what the oracle is fed.
        output_names: canonical names of the outputs, which are compared elsewhere.
        own: is given the oracle's values, outputs too.
    """
    others = [side for side in measured.sides if side != ORACLE]
    left = set().union(*(disk.layers(side) for side in others)) - set(output_names)

    if exact is not None and x is not None:
        layer_of, outputs = exact.layer_of, set(output_names)

        def on_value(name: str, value: NumpyArray, single: NumpyArray | None) -> None:
            layer = layer_of.get(name)
            if layer is None or layer in outputs or single is None:
                return
            measured.add_clean(feed, layer, value, single)
            left.discard(layer)
            with disk.read(layer, feed.info.name, others) as values:
                measured.add(feed, layer, {ORACLE: value, **values}, output=False)
            if own is not None:
                own.take(layer, value)

        ours, singles = walk_together(exact.exact, exact.clean, exact.feed(x), on_value)
        take_exact_outputs(measured, exact, feed, ours, singles)
        if own is not None:
            for layer, name in zip(exact.outputs, exact.exact.output_names, strict=True):
                own.take(layer, ours[name])
    for layer in sorted(left):
        with disk.read(layer, feed.info.name, others) as values:
            measured.add(feed, layer, values, output=False)


def take_exact_outputs(
    measured: Measured, exact: ExactNet, feed: Feed, ours: dict[str, NumpyArray], singles: dict[str, NumpyArray]
) -> None:
    """Keep the oracle's outputs, and what float32 costs there."""
    names = exact.exact.output_names
    measured.outputs.setdefault(ORACLE, {})[feed.info.name] = [ours[name] for name in names]
    for layer, name in zip(exact.outputs, names, strict=True):
        measured.add_clean(feed, layer, ours[name], singles[name])


def compare_outputs(measured: Measured, feed: Feed, output_names: Sequence[str]) -> None:
    """Compare every output on one input; an output that a side lacks counts as a different shape."""
    values = {side: found[feed.info.name] for side, found in measured.outputs.items() if feed.info.name in found}
    for number, layer in enumerate(output_names):
        measured.add(
            feed,
            layer,
            {side: arrays[number] if number < len(arrays) else np.empty(0) for side, arrays in values.items()},
            output=True,
        )
