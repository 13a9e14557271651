"""Two models of any formats on the same pictures: A by its float64 oracle, B as it runs, every aligned value compared.

What runs B: ONNX Runtime where B is an ONNX file; for any other format B's own oracle in float32, which needs no
framework. A's oracle runs in float32 beside float64, which gives the floors, exactly as in
:mod:`facecvt.parity_tests.verify`; the verdict is :func:`facecvt.parity_tests.judge.judge`'s.

Both sides see the same pictures, each as its own input contract says where one normalises inside the graph and the
other does not; else the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import (
    ConversionError,
    FacecvtError,
    FrameworkMissingError,
    NotComparableError,
    UsageError,
)
from facecvt.converters.graph import NumpyArray, name_of
from facecvt.parity_tests.align import Alignment, align
from facecvt.parity_tests.diff.model import Side
from facecvt.parity_tests.diff.network import value_names
from facecvt.parity_tests.diff.own_error import ForcedGraph, arranged, is_forcible
from facecvt.parity_tests.diff.provenance import Provenance, trace
from facecvt.parity_tests.diff.reference import Reference
from facecvt.parity_tests.evidence import Evidence, Sample, shapes_without_batch
from facecvt.parity_tests.inputs import InputPlan
from facecvt.parity_tests.judge import judge
from facecvt.parity_tests.metrics import Metrics, compare
from facecvt.parity_tests.runtimes.runtime import Capture, RunFailedError
from facecvt.parity_tests.source import Oracle, open_oracle
from facecvt.parity_tests.verification import Verification, not_verified

Feeds = dict[str, NumpyArray]
Progress = Callable[[str, int, int], None]
FeedPlan = Sequence[tuple[str, int, Feeds, Feeds]]  # kind, batch, what A is fed, what B is fed


@dataclass(frozen=True)
class OwnErrors:
    """What teacher forcing gave, on one input.

    Attributes:
        metrics: value of A -> the error of the layer of B that computes it, fed with A's values.
        expected: value of A -> A's value, float64 rounded to float32.
        given: value of B -> the same in B's arrangement, as it was forced.
        fed: what A was fed.
        feeds: what B was fed.
    """

    metrics: dict[str, Metrics]
    expected: dict[str, NumpyArray]
    given: dict[str, NumpyArray]
    fed: Feeds
    feeds: Feeds


class SideBySide:
    """Two opened models and what is what in them.

    Args:
        a, b: the models.
        reference: A's oracles, where they are open already.

    Attributes:
        provenance: the alignment of the canonical graphs.
        alignment: that of A's own values with what B's runtime can show.

    Raises:
        ConversionError: no oracle can compute a side.
    """

    def __init__(self, a: Side, b: Side, reference: Reference | None = None) -> None:
        self.a, self.b = a, b
        self.provenance: Provenance = trace(a.graph, b.graph)
        self.reference = reference or Reference(a)
        self.exact: Oracle = self.reference.exact
        self._shown = value_names(b.graph)
        self._its_oracle: Oracle | None = None
        if b.source_framework == "onnx":
            self._shown &= onnx_values(b.files[0])
            output_names = [name_of(value) for value in b.graph.outputs]
        else:
            self._its_oracle = open_oracle(b, np.float32)
            self._shown &= {layer.value for layer in self._its_oracle.layers}
            output_names = self._its_oracle.output_names
        self.output_names = list(output_names)
        taps = {ours: theirs for ours, theirs in self.provenance.taps.items() if theirs in self._shown}
        self.alignment: Alignment = align(
            self.exact.layers,
            self.exact.output_names,
            self.output_names,
            taps,
            a.graph.aliases,
            {name_of(value) for value in a.graph.inputs},
            absorbed={**a.graph.absorbed, **self.provenance.absorbed},
            outputs_are_named=False,
        )

    def feeds(self, plan: InputPlan) -> list[tuple[str, int, Feeds, Feeds]]:
        """The inputs of every run of a plan, for both sides.

        Raises:
            NotComparableError: the inputs of the two sides do not fit each other.
        """
        pairs = [(match.a, match.b) for match in self.provenance.inputs]
        if not pairs or len(pairs) != len(self.exact.input_names):
            raise NotComparableError(
                f"A has the inputs {self.exact.input_names} and B {[name_of(v) for v in self.b.graph.inputs]}"
            )
        ours, theirs = (
            _contracts(side, names) for side, names in zip((self.a, self.b), zip(*pairs, strict=True), strict=True)
        )
        common = [_common(one, other) for one, other in zip(ours, theirs, strict=True)]
        found = []
        for kind in plan.kinds:
            for batch in plan.batches_for(common):
                fed = plan.feeds(common, kind, batch)
                its_contracts = [
                    replace(other, shape=one.shape) if one.in_graph != other.in_graph else one
                    for one, other in zip(common, theirs, strict=True)
                ]
                its = plan.feeds(its_contracts, kind, batch)
                named = {other.name: its[contract.name] for other, contract in zip(theirs, its_contracts, strict=True)}
                found.append((kind, batch, fed, named))
        return found

    def compare(self, runs: FeedPlan, progress: Progress | None = None) -> Verification:
        """Run both sides on every input and judge.

        Args:
            runs: what to feed.
            progress: called with the stage's name, the runs done and those in all.
        """
        if not self.provenance.anchors:
            return Verification(
                "not_comparable",
                ("no layer of B has the weights of a layer of A: these are two models",),
                unmapped=self.alignment.unmapped,
            )
        evidence = Evidence(
            tuple(dict.fromkeys(batch for _, batch, _, _ in runs)), tuple(dict.fromkeys(kind for kind, _, _, _ in runs))
        )
        try:
            for done, run in enumerate(runs):
                if progress is not None:
                    progress("comparing", done, len(runs))
                self._run_once(*run, evidence)
        except FrameworkMissingError as error:
            return not_verified(str(error), error.command)
        except (ConversionError, UsageError) as error:
            return Verification("not_comparable", (f"the oracle cannot evaluate A: {error}",))
        return judge(self.exact.layers, self.alignment, evidence)

    def _run_once(self, kind: str, batch: int, fed: Feeds, its: Feeds, evidence: Evidence) -> None:
        try:
            capture = self.run_b(its, self.alignment.taps)
        except RunFailedError as error:
            evidence.failures.append(str(error))
            return
        pairs = {pair.layer.value: pair for pair in self.alignment.pairs}

        def measure(name: str, value: NumpyArray, clean: Metrics) -> None:
            if value.dtype.kind == "f":
                evidence.floating.add(name)
            pair = pairs.get(name)
            if pair is None:
                return
            figures = evidence.value(name)
            figures.add(kind, batch, value, _like(capture.taps[pair.tap], value))
            figures.clean.append(Sample(kind, batch, clean))

        walked = self.reference.walk(fed, measure)
        for pair in self.alignment.outputs:
            if pair.source is None or pair.target is None:
                continue
            value = walked.outputs[pair.source]
            output = evidence.output(pair.position)
            output.add(kind, batch, value, _like(capture.outputs[pair.target], value), shapes_without_batch(fed))
            output.figures.clean.append(Sample(kind, batch, walked.clean_outputs[pair.source]))

    def run_b(self, feeds: Feeds, taps: Sequence[str]) -> Capture:
        """B on one input.

        Raises:
            RunFailedError: B cannot be run on it.
        """
        if self._its_oracle is not None:
            return run_oracle(self._its_oracle, feeds, taps)
        from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime

        with OrtRuntime(self.b.files[0]) as runtime:
            return runtime.run(feeds, taps)

    def own_errors(self, fed: Feeds, its: Feeds) -> OwnErrors:
        """Every layer's own error on one input.

        Args:
            fed: what A is fed.
            its: what B is fed.

        Raises:
            RunFailedError: B's graph cannot be run layer by layer.
        """
        capture = self.run_b(its, self.alignment.taps)
        floats = is_forcible(self.b.graph)
        pairs = {pair.layer.value: pair for pair in self.alignment.pairs if pair.tap in floats}
        expected: dict[str, NumpyArray] = {}
        given: dict[str, NumpyArray] = {}
        for name, value in self.reference.values(fed):
            pair = pairs.get(name)
            if pair is None or value.dtype.kind != "f":
                continue
            fitting = arranged(value, capture.taps[pair.tap].shape)
            if fitting is not None:
                expected[name] = value.astype(np.float32)
                given[pair.tap] = fitting.astype(np.float32)
        results = ForcedGraph(self.b.graph, given, list(given)).run(its, given)
        metrics = {name: compare(value, _like(results[pairs[name].tap], value)) for name, value in expected.items()}
        return OwnErrors(metrics, expected, given, fed, its)


def run_oracle(oracle: Oracle, feeds: Mapping[str, NumpyArray], taps: Sequence[str]) -> Capture:
    """Outputs and wanted values of an oracle.

    Raises:
        RunFailedError: it cannot be evaluated on these inputs.
    """
    wanted, found = set(taps), {}
    walk = oracle.walk(feeds)
    try:
        while True:
            name, value = next(walk)
            if name in wanted:
                found[name] = value
    except StopIteration as end:
        return Capture(end.value, found)
    except FacecvtError as error:
        raise RunFailedError(f"B cannot be evaluated: {error}") from error


def onnx_values(path: Any) -> set[str]:
    """Names of everything that an ONNX file computes."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    return {name for node in model.graph.node for name in node.output if name}


def _like(array: NumpyArray, expected: NumpyArray) -> NumpyArray:
    """B's value in the arrangement of A's; as it is where none fits, so that the shapes are told to differ."""
    fitting = arranged(np.asarray(array), expected.shape)
    return array if fitting is None else fitting


def _contracts(side: Side, names: Sequence[str]) -> list[InputContract]:
    by_name = {contract.name: contract for contract in side.graph.contracts}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise UsageError(f"{side.spelling}: input(s) without a contract: {missing}")
    return [by_name[name] for name in names]


def _common(one: InputContract, other: InputContract) -> InputContract:
    """A's contract with the sizes that B fixes.

    Raises:
        NotComparableError: both fix a size, and not the same.
    """
    if len(one.shape) != len(other.shape):
        raise NotComparableError(
            f"input {one.name} of A is {list(one.shape)} and {other.name} of B {list(other.shape)}"
        )
    shape: list[int | str] = []
    for ours, theirs in zip(one.shape, other.shape, strict=True):
        if isinstance(ours, int) and isinstance(theirs, int) and ours != theirs:
            raise NotComparableError(
                f"input {one.name} of A is {list(one.shape)} and {other.name} of B {list(other.shape)}"
            )
        shape.append(theirs if isinstance(theirs, int) else ours)
    return replace(one, shape=tuple(shape))
