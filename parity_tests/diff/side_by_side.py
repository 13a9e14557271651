"""Two models of any formats on the same pictures: A by its float64 oracle, B as it runs, every aligned value compared.

What runs B is said by :mod:`facecvt.parity_tests.diff.their_runtime`: its own framework where it is installed. A's
oracle runs in float32 beside float64, which gives the floors, exactly as in :mod:`facecvt.parity_tests.verify`; the
verdict is :func:`facecvt.parity_tests.judge.judge`'s.

Where that spares memory, B is run part by part while A is evaluated, so that of neither side more than a few layers are
alive, and what gives B's outputs, which holds all of its weights, is closed before that.

Both sides see the same pictures, each as its own input contract says where one normalises inside the graph and the
other does not; else the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import ConversionError, FrameworkMissingError, NotComparableError, UsageError
from facecvt.converters.graph import NumpyArray, name_of
from facecvt.parity_tests.align import Alignment, align, resolved_alias
from facecvt.parity_tests.diff.model import Side
from facecvt.parity_tests.diff.network import value_names
from facecvt.parity_tests.diff.own_error import OwnErrors, arranged, is_forcible, like
from facecvt.parity_tests.diff.provenance import Provenance, trace
from facecvt.parity_tests.diff.reference import Reference
from facecvt.parity_tests.diff.their_runtime import TheirRuntime
from facecvt.parity_tests.evidence import Evidence, Sample, shapes_without_batch
from facecvt.parity_tests.inputs import InputPlan
from facecvt.parity_tests.judge import judge
from facecvt.parity_tests.metrics import Metrics
from facecvt.parity_tests.runtimes.in_turn import InTurn, Outputs, Runs, inner_bytes, outputs_first
from facecvt.parity_tests.runtimes.runtime import RunFailedError
from facecvt.parity_tests.source import Oracle
from facecvt.parity_tests.verification import Verification, not_verified

Feeds = dict[str, NumpyArray]
Progress = Callable[[str, int, int], None]
FeedPlan = Sequence[tuple[str, int, Feeds, Feeds]]  # kind, batch, what A is fed, what B is fed


class SideBySide:
    """Two opened models and what is what in them.

    Args:
        a, b: the models.
        reference: A's oracles, where they are open already.

    Attributes:
        provenance: the alignment of the canonical graphs.
        alignment: that of A's own values with what B's runtime can show.
        theirs: what runs B.
        forced: value of A -> value of B, where B's layers can be fed A's numbers; known after :meth:`compare`.
        shapes: value of B -> its shape on the first input; likewise.
        forced_shapes: value of A, of those in ``forced`` -> its shape on the first input.

    Raises:
        ConversionError: no oracle can compute a side.
    """

    def __init__(self, a: Side, b: Side, reference: Reference | None = None) -> None:
        self.a, self.b = a, b
        self.provenance: Provenance = trace(a.graph, b.graph)
        self.reference = reference or Reference(a)
        self.exact: Oracle = self.reference.exact
        self.theirs = TheirRuntime(b)
        self.forced: dict[str, str] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.forced_shapes: dict[str, tuple[int, ...]] = {}
        self._floats = is_forcible(b.graph)
        self.output_names = self.theirs.output_names
        shown = self.theirs.shown & value_names(b.graph)
        taps = {ours: theirs for ours, theirs in self.provenance.taps.items() if theirs in shown}
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
        common, theirs = self.contracts()
        found = []
        for kind in plan.kinds:
            for batch in plan.batches_for(common):
                fed = plan.feeds(common, kind, batch)
                its_contracts = [
                    other if one.in_graph != other.in_graph else one for one, other in zip(common, theirs, strict=True)
                ]
                its = plan.feeds(its_contracts, kind, batch)
                named = {other.name: its[contract.name] for other, contract in zip(theirs, its_contracts, strict=True)}
                found.append((kind, batch, fed, named))
        return found

    def contracts(self) -> tuple[list[InputContract], list[InputContract]]:
        """A's input contracts, with the sizes that B fixes, and B's in the same order with the same sizes.

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
        return common, [replace(other, shape=one.shape) for one, other in zip(common, theirs, strict=True)]

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
            try:
                with self.theirs.opened() as theirs:
                    most = max((batch for _, batch, _, _ in runs), default=0)
                    nbytes = inner_bytes(self.b.graph, set(self.alignment.taps), most)
                    outputs = outputs_first(theirs, (its for _, _, _, its in runs), nbytes)
                    for done, run in enumerate(runs):
                        if progress is not None:
                            progress("comparing", done, len(runs))
                        self._run_once(theirs, *run, outputs[done], evidence)
            except RunFailedError as error:
                evidence.failures.append(str(error))
                for kind, batch, fed, _ in runs if not self.shapes else ():  # B cannot even be opened
                    self._measure_floors(kind, batch, fed, evidence)
        except FrameworkMissingError as error:
            return not_verified(str(error), error.command)
        except (ConversionError, UsageError) as error:
            return Verification("not_comparable", (f"the oracle cannot evaluate A: {error}",))
        evidence.warnings += self.theirs.warnings
        return judge(self.exact.layers, self.alignment, evidence)

    def _run_once(
        self,
        theirs: Runs,
        kind: str,
        batch: int,
        fed: Feeds,
        its: Feeds,
        outputs: Outputs | RunFailedError | None,
        evidence: Evidence,
    ) -> None:
        try:
            taken = InTurn(theirs, its, [pair.tap for pair in self.alignment.pairs], outputs)
            self._compare(taken, kind, batch, fed, evidence)
        except RunFailedError as error:
            evidence.failures.append(str(error))
            self._measure_floors(kind, batch, fed, evidence)

    def _compare(self, taken: InTurn, kind: str, batch: int, fed: Feeds, evidence: Evidence) -> None:
        pairs = {pair.layer.value: pair for pair in self.alignment.pairs}

        def measure(name: str, value: NumpyArray, clean: Metrics) -> None:
            if value.dtype.kind == "f":
                evidence.floating.add(name)
            pair = pairs.get(name)
            if pair is None:
                return
            actual = taken.tap(pair.tap)
            self._force(name, pair.tap, value, actual.shape)
            figures = evidence.value(name)
            figures.add(kind, batch, value, like(actual, value))
            figures.clean.append(Sample(kind, batch, clean))

        walked = self.reference.walk(fed, measure)
        for pair in self.alignment.outputs:
            if pair.source is None or pair.target is None:
                continue
            value = walked.outputs[pair.source]
            output = evidence.output(pair.position)
            output.add(kind, batch, value, like(taken.outputs[pair.target], value), shapes_without_batch(fed))
            output.figures.clean.append(Sample(kind, batch, walked.clean_outputs[pair.source]))

    def _measure_floors(self, kind: str, batch: int, fed: Feeds, evidence: Evidence) -> None:
        """What float32 costs where B did not run: a layer that keeps it from running is still looked for."""
        taps = {pair.layer.value: pair.tap for pair in self.alignment.pairs}

        def measure(name: str, value: NumpyArray, clean: Metrics) -> None:
            if value.dtype.kind == "f":
                evidence.floating.add(name)
            if name in taps:
                self._force(name, taps[name], value, value.shape)
                evidence.value(name).clean.append(Sample(kind, batch, clean))

        self.reference.walk(fed, measure)

    def _force(self, name: str, tap: str, value: NumpyArray, shape: tuple[int, ...]) -> None:
        """Note that what reads a value of B can be fed A's, and in which shape."""
        if value.dtype.kind != "f" or tap not in self._floats:
            return
        if arranged(value, shape) is None:
            if value.ndim != len(shape):
                return
            shape = value.shape  # a layer at fault gives another size, and those behind it too
        self.forced[name] = tap
        self.shapes.setdefault(tap, shape)
        self.forced_shapes.setdefault(name, value.shape)

    def own_errors(self, fed: Feeds, its: Feeds) -> tuple[OwnErrors, Mapping[str, Metrics]]:
        """Every layer's own error on the first input that was compared: of B, and of A in float32 between the same.

        Args:
            fed: what A was fed.
            its: what B was fed.

        Raises:
            FrameworkMissingError: ONNX Runtime is not installed.
        """
        aliases = self.a.graph.aliases
        ours = {name: resolved_alias(name, aliases) for name in self.forced}
        shapes = {ours[name]: shape for name, shape in self.forced_shapes.items()}
        own = OwnErrors(self.b.graph, self.shapes, its)
        known = self.reference.own_errors(fed, self.forced)
        clean = OwnErrors(self.a.graph, shapes, fed) if known is None else None
        for name, value in self.reference.values(fed):
            if name in self.forced:
                own.take(name, self.forced[name], value)
                if clean is not None:
                    clean.take(name, ours[name], value)
        own.flush()
        if clean is None:
            assert known is not None
            return own, known
        clean.flush()
        self.reference.keep_own_errors(fed, self.forced, clean.metrics)
        return own, clean.metrics


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
