"""Is a conversion right? The source by the float64 oracle against the target by its own runtime.

For every kind of input and every batch the target runs once as it is deployed and once with its inner values taken;
then the oracle evaluates the source, and every value is held against its partner the moment it is computed, so that
the float64 activations of only a few layers are alive; of a great ONNX target likewise, whose inner values are computed
as they are asked for (:mod:`facecvt.parity_tests.runtimes.in_turn`). On the greatest batch of each kind the oracle runs
in float32 beside that, which gives the floors.

Later kinds of proof (the layer's own error under teacher forcing, causes) start from the same parts: an
:class:`~facecvt.parity_tests.source.Oracle`, a runtime, an alignment, and the evidence that
:mod:`facecvt.parity_tests.judge` judges.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import ConversionError, FacecvtError, FrameworkMissingError
from facecvt.converters.graph import name_of
from facecvt.parity_tests.align import Alignment, align
from facecvt.parity_tests.evidence import Evidence, shapes_without_batch
from facecvt.parity_tests.inputs import DEFAULT_BATCHES, KINDS, InputPlan
from facecvt.parity_tests.judge import judge
from facecvt.parity_tests.runtimes.in_turn import InTurn, Outputs, inner_bytes, outputs_first
from facecvt.parity_tests.runtimes.open_target import names_its_outputs, open_target
from facecvt.parity_tests.runtimes.runtime import RunFailedError, Runtime
from facecvt.parity_tests.source import Oracle, open_oracle
from facecvt.parity_tests.tolerance import FLOAT32, Precision
from facecvt.parity_tests.verification import Verification, not_verified

if TYPE_CHECKING:
    from facecvt.converters.conversion import Conversion

NumpyArray = np.ndarray[Any, np.dtype[Any]]
Progress = Callable[[str, int, int], None]
STAGE = "verifying"


def verify(
    conversion: Conversion,
    *,
    batches: Sequence[int] = DEFAULT_BATCHES,
    kinds: Sequence[str] = KINDS,
    progress: Progress | None = None,
    plan: InputPlan | None = None,
    oracle: Callable[[Conversion, Any], Oracle] = open_oracle,
    runtime: Callable[[Conversion], Runtime] = open_target,
) -> Verification:
    """Verify a conversion.

    Args:
        conversion: what was converted; source files and target must still be there.
        batches: batch sizes to run where the model leaves its batch free.
        kinds: kinds of input to run.
        progress: called with the stage's name, the values computed and those in all.
        plan: inputs in full; replaces ``batches`` and ``kinds``.
        oracle: makes the source's oracle of a dtype.
        runtime: makes the target's runtime.

    Returns:
        The verdict and all figures behind it. A target that cannot be opened or run "differs"; a missing framework
        gives "not_verified" with its pip command; a source that the oracle cannot compute gives "not_comparable".
    """
    plan = plan or InputPlan(tuple(batches), tuple(kinds))
    if conversion.half is not None:
        from facecvt.parity_tests.float16 import verify_float16

        return verify_float16(conversion, conversion.half, plan, progress, oracle, runtime)
    return verify_run(conversion, plan, progress, oracle, runtime)


class Rounded(Protocol):
    """The clean run of a target that does not compute in float32; see :mod:`facecvt.parity_tests.float16`."""

    def precision(self, alignment: Alignment) -> Precision:
        """What the target computes in."""

    def run(self, fed: Mapping[str, NumpyArray], wanted: Collection[str]) -> dict[str, NumpyArray]:
        """The target's wanted values with every rounding, by their name in the target."""


def verify_run(
    conversion: Conversion,
    plan: InputPlan,
    progress: Progress | None,
    oracle: Callable[[Conversion, Any], Oracle],
    runtime: Callable[[Conversion], Runtime],
    rounded: Rounded | None = None,
) -> Verification:
    """One target, run and judged; arguments as :func:`verify` has them.

    Args:
        rounded: gives the floors where the target does not compute in float32.
    """
    opened = runtime(conversion)
    try:
        with opened:
            return _verify_opened(conversion, opened, plan, oracle, progress, rounded)
    except FrameworkMissingError as error:
        return not_verified(str(error), error.command)
    except RunFailedError as error:
        return Verification("differ", (str(error),))


def _verify_opened(
    conversion: Conversion,
    runtime: Runtime,
    plan: InputPlan,
    oracle: Callable[[Conversion, Any], Oracle],
    progress: Progress | None,
    rounded: Rounded | None,
) -> Verification:
    try:
        exact = oracle(conversion, np.float64)
        clean = oracle(conversion, np.float32) if rounded is None else None
    except FrameworkMissingError:
        raise
    except FacecvtError as error:
        return Verification("not_comparable", (f"the oracle cannot evaluate the source: {error}",))
    alignment = align(
        exact.layers,
        exact.output_names,
        runtime.output_names,
        conversion.taps,
        conversion.graph.aliases,
        {name_of(value) for value in conversion.graph.inputs},
        absorbed=conversion.graph.absorbed,
        outputs_are_named=names_its_outputs(conversion),
    )
    contracts = [
        contract
        for contract in conversion.source_contracts or conversion.contracts
        if contract.name in exact.input_names
    ]
    theirs = {contract.name: contract for contract in conversion.contracts}
    targets = [theirs[contract.name] for contract in contracts]
    unfed = sorted(set(exact.input_names) - {contract.name for contract in contracts})
    if unfed:
        return Verification("not_comparable", (f"the source has input(s) without a contract: {unfed}",))
    runs = _Runs(exact, clean, rounded, runtime, alignment, contracts, targets, conversion, progress)
    try:
        evidence = runs.run(plan)
    except ConversionError as error:
        if not _leaves_sizes_free(contracts):
            return Verification("not_comparable", (f"the oracle cannot evaluate the source: {error}",))
        try:
            evidence = runs.run(plan.aligned())
        except ConversionError as again:
            return Verification("not_comparable", (f"the oracle cannot evaluate the source: {again}",))
        evidence.warnings.append(f"verified at sizes that are multiples of 32 only, because at others: {error}")
    return judge(exact.layers, alignment, evidence, rounded.precision(alignment) if rounded else FLOAT32)


def _leaves_sizes_free(contracts: Sequence[InputContract]) -> bool:
    return any(isinstance(dimension, str) for contract in contracts for dimension in contract.shape[1:])


class _Runs:
    """Runs both sides and measures; see the module's docstring."""

    def __init__(
        self,
        exact: Oracle,
        clean: Oracle | None,
        rounded: Rounded | None,
        runtime: Runtime,
        alignment: Alignment,
        contracts: Sequence[InputContract],
        targets: Sequence[InputContract],
        conversion: Conversion,
        progress: Progress | None,
    ) -> None:
        self.exact, self.clean, self.rounded, self.runtime = exact, clean, rounded, runtime
        self.alignment, self.contracts, self.targets, self.progress = alignment, contracts, targets, progress
        taps = set(alignment.taps)
        self.names = {name for name, tap in conversion.taps.items() if tap in taps}
        self.conversion = conversion
        self.pairs = {pair.layer.value: pair for pair in alignment.pairs}
        self.outputs = [pair for pair in alignment.outputs if pair.target is not None and pair.source is not None]

    def run(self, plan: InputPlan) -> Evidence:
        """All kinds and batches of a plan.

        Raises:
            ConversionError: the oracle cannot compute the source on these inputs.
        """
        batches = plan.batches_for(self.contracts)
        evidence = Evidence(batches, plan.kinds)
        runs = [(kind, batch) for kind in plan.kinds for batch in batches]
        self._done, self._total = 0, len(self.exact.layers) * len(runs)

        def feeds_of(run: tuple[str, int]) -> tuple[dict[str, NumpyArray], dict[str, NumpyArray]]:
            return plan.feeds_of_both(self.contracts, self.targets, *run)

        nbytes = inner_bytes(self.conversion.graph, self.names, max(batches))
        outputs = outputs_first(self.runtime, (feeds_of(run)[1] for run in runs), nbytes)
        for (kind, batch), given in zip(runs, outputs, strict=True):
            try:
                self._run_once(kind, batch, *feeds_of((kind, batch)), given, evidence, batch == max(batches))
            except RunFailedError as error:
                evidence.failures.append(str(error))
        return evidence

    def _run_once(
        self,
        kind: str,
        batch: int,
        feeds: dict[str, NumpyArray],
        fed: dict[str, NumpyArray],
        given: Outputs | RunFailedError | None,
        evidence: Evidence,
        measure_floor: bool,
    ) -> None:
        uses = [pair.tap for pair in self.alignment.pairs]
        taken = InTurn(self.runtime, fed, uses, given)
        rounded: dict[str, NumpyArray] = {}
        if self.rounded is not None and measure_floor:
            rounded = self.rounded.run(fed, {*uses, *(pair.target for pair in self.outputs if pair.target)})

        def measure(name: str, value: NumpyArray, single: NumpyArray | None) -> None:
            self._advance()
            if value.dtype.kind == "f":
                evidence.floating.add(name)
            pair = self.pairs.get(name)
            if pair is None:
                return
            figures = evidence.value(name)
            figures.add(kind, batch, value, taken.tap(pair.tap))
            single = rounded.get(pair.tap) if self.rounded is not None else single
            if single is not None:
                figures.add_clean(kind, batch, value, single)

        expected, single = walk_together(self.exact, self.clean if measure_floor else None, feeds, measure)
        if self.rounded is not None:
            pairs = ((pair.source, pair.target) for pair in self.outputs)
            single = {source: rounded[target] for source, target in pairs if source and target in rounded}
        self._measure_outputs(kind, batch, feeds, evidence, taken.outputs, expected, single)

    def _measure_outputs(
        self,
        kind: str,
        batch: int,
        feeds: dict[str, NumpyArray],
        evidence: Evidence,
        outputs: Outputs,
        expected: dict[str, NumpyArray],
        single: dict[str, NumpyArray],
    ) -> None:
        for pair in self.outputs:
            assert pair.source is not None
            assert pair.target is not None
            value = expected[pair.source]
            output = evidence.output(pair.position)
            output.add(kind, batch, value, outputs[pair.target], shapes_without_batch(feeds))
            if pair.source in single:
                output.figures.add_clean(kind, batch, value, single[pair.source])

    def _advance(self) -> None:
        self._done += 1
        if self.progress is not None:
            self.progress(STAGE, self._done, self._total)


def walk_together(
    exact: Oracle,
    clean: Oracle | None,
    feeds: dict[str, NumpyArray],
    on_value: Callable[[str, NumpyArray, NumpyArray | None], None],
) -> tuple[dict[str, NumpyArray], dict[str, NumpyArray]]:
    """Evaluate a source in float64 and, side by side, in float32.

    Args:
        exact: the float64 oracle.
        clean: the float32 oracle, None to leave it out.
        feeds: array of each input.
        on_value: called with each value's name, its float64 array and its float32 array (None without ``clean``).

    Returns:
        The outputs of both, by name.
    """
    ours = _Steps(exact, feeds)
    if clean is None:
        for name, value in ours:
            on_value(name, value, None)
        return ours.outputs, {}
    theirs = _Steps(clean, feeds)
    for (name, value), (its_name, single) in zip(ours, theirs, strict=True):
        if its_name != name:
            raise RuntimeError(f"the oracle computes {its_name} in float32 where it computes {name} in float64")
        on_value(name, value, single)
    return ours.outputs, theirs.outputs


class _Steps:
    """A walk of an oracle as an iterable, which has the outputs once it is exhausted."""

    def __init__(self, oracle: Oracle, feeds: dict[str, NumpyArray]) -> None:
        self._walk = oracle.walk(feeds)
        self.outputs: dict[str, NumpyArray] = {}

    def __iter__(self) -> Iterator[tuple[str, NumpyArray]]:
        self.outputs = yield from self._walk
