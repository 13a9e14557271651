"""The verifier verified: faults put into converted models one at a time, and harmless variants of them.

For each net the reference is its PyTorch implementation with seeded weights, evaluated in float64 once; the converted
model is its canonical graph. Each fault is an edit of that graph, written as an ONNX file under other names and held
against the reference exactly as ``facecvt diff`` does.

    injected     in float64 the edited layer, fed right, is off by more than float32 costs there
    detected     the verdict is not "agree"
    localised    the first divergence is the edited layer; nothing is where the model is refused
    named        the cause is the fault's
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from facecvt.converters.errors import FacecvtError, UsageError
from facecvt.converters.graph import NumpyArray, name_of
from facecvt.parity_tests.align import resolved_alias
from facecvt.parity_tests.diff.compare import diff_sides
from facecvt.parity_tests.diff.difference import Difference
from facecvt.parity_tests.diff.layer import cut
from facecvt.parity_tests.diff.model import Side, open_side, opened_against
from facecvt.parity_tests.diff.reference import Reference
from facecvt.parity_tests.diff.side_by_side import Progress, SideBySide
from facecvt.parity_tests.inputs import KINDS, InputPlan
from facecvt.parity_tests.metrics import compare
from facecvt.parity_tests.runtimes.runtime import Runtime
from facecvt.parity_tests.selftest import faults_flow, faults_layers, faults_norm, faults_weights
from facecvt.parity_tests.selftest.clean import VARIANTS, Variant
from facecvt.parity_tests.selftest.draft import Draft, changed_values, renamed
from facecvt.parity_tests.selftest.fault import Fault
from facecvt.parity_tests.selftest.rare_net import write_rare_net
from facecvt.parity_tests.selftest.result import FaultRun, Selftest, VariantRun
from facecvt.parity_tests.tolerance import lowest_floor

FAULTS: list[Fault] = [
    *faults_weights.FAULTS,
    *faults_norm.FAULTS,
    *faults_layers.FAULTS,
    *faults_flow.FAULTS,
]
RARE = "rare"
# Net -> shapes of its inputs, where other ones than its own show more, or cost less.
NETS: Mapping[str, Mapping[str, Sequence[int | str]] | None] = {
    RARE: None,
    "iresnet18": None,
    "iresnet50": None,
    "mobilefacenet": None,
    "mobilenet_v3_small": {"x": ("batch", 3, 96, 96)},
    "blazeface": {"x": ("batch", 3, 124, 92)},  # 31 x 23 in front of the first pool: its sizes are rounded
}
QUICK = (RARE, "mobilefacenet")
BATCH = 2
DEEP = ("iresnet50",)  # fed one sample, for time and memory


def selftest(nets: Sequence[str] = (), *, quick: bool = False, progress: Progress | None = None) -> Selftest:
    """Put every fault into every net, and hold every harmless variant against it.

    Args:
        nets: of :data:`NETS`; by default all of them.
        quick: those of :data:`QUICK` only.
        progress: called with a net's name, the comparisons done and those in all.

    Raises:
        UsageError: an unknown net.
        FrameworkMissingError: PyTorch or ONNX Runtime is not installed.
    """
    unknown = [net for net in nets if net not in NETS]
    if unknown:
        raise UsageError(f"no selftest of {', '.join(unknown)}; there are {', '.join(NETS)}")
    faults: list[FaultRun] = []
    variants: list[VariantRun] = []
    for net in nets or (QUICK if quick else tuple(NETS)):
        with open_net(net) as bench:
            total = len(FAULTS) + len(VARIANTS)
            for number, fault in enumerate(FAULTS):
                if progress is not None:
                    progress(net, number, total)
                faults.append(bench.run_fault(fault))
            for number, variant in enumerate(VARIANTS, len(FAULTS)):
                if progress is not None:
                    progress(net, number, total)
                run = bench.run_variant(variant)
                if run is not None:
                    variants.append(run)
    return Selftest(tuple(faults), tuple(variants))


@contextmanager
def open_net(net: str) -> Iterator[Bench]:
    """A net of :data:`NETS`, evaluated, as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="facecvt-selftest-") as folder:
        if net == RARE:
            with open_side(write_rare_net(Path(folder) / "rare.onnx")) as side:
                yield bench_of(net, side, Path(folder))
        else:
            with open_side(net, "torch", inputs=NETS[net]) as side:
                yield bench_of(net, side, Path(folder))


@dataclass(frozen=True)
class Bench:
    """A net to put faults into.

    Attributes:
        net: its name.
        side: the reference.
        reference: its values, kept.
        plan: what it is fed.
        values: canonical name -> float64 value on the first input, inputs among them.
        floors: canonical name -> what float32 costs there.
        folder: for the models.
    """

    net: str
    side: Side
    reference: Reference
    plan: InputPlan
    values: Mapping[str, NumpyArray]
    floors: Mapping[str, float]
    folder: Path

    def run_fault(self, fault: Fault) -> FaultRun:
        """Put a fault in and hold the result against the reference."""
        draft = self.draft(fault.name)
        edited = fault.apply(draft)
        layers = (edited,) if isinstance(edited, str) else edited or ()
        run = FaultRun(self.net, fault.name, layers)
        if not layers:
            return run
        size, floor = self.size_of(draft)
        run = replace(run, size=size, floor=floor, cause=fault.cause.format(layer=layers[0]))
        if not run.injected:
            return run
        try:
            found = self.hold(draft.write(self.folder / "b.onnx"))
        except FacecvtError as error:  # a model that is refused is no model that agrees
            return replace(run, verdict=f"refused: {error}", detected=True)
        named = found.cause.name if found.cause is not None else None
        first = self.first_of(found)
        return replace(
            run,
            verdict=found.verdict,
            found=first,
            found_cause=named,
            detected=found.verdict != "agree",
            localised=found.verdict != "agree" and first in {seen for name in layers for seen in self.seen(name)},
            named=found.verdict != "agree" and named == run.cause,
        )

    def run_variant(self, variant: Variant) -> VariantRun | None:
        """Hold a harmless variant against the reference; None where the net has no place for it."""
        draft = self.draft(variant.name)
        if not variant.apply(draft, self.plan.batches[0]):
            return None
        path = self.folder / "clean.onnx"
        try:
            draft.write(path, opset=variant.opset, external=variant.external, rename=self.shuffle(variant, draft))
            found = self.hold(path, variant.runtime)
        except FacecvtError as error:
            return VariantRun(self.net, variant.name, "refused", (str(error),))
        return VariantRun(self.net, variant.name, found.verdict, found.verification.reasons)

    def hold(self, path: Path, runtime: Callable[[Path], Runtime] | None = None) -> Difference:
        """What ``facecvt diff`` finds; ``runtime``: makes what runs the model, where something else than there does."""
        with ExitStack() as opened:
            other = opened_against(self.side, path, opened)
            if runtime is not None:
                other = replace(other, runtime=partial(runtime, path))
            return diff_sides(self.side, other, self.plan, reference=self.reference)

    def draft(self, salt: str) -> Draft:
        return Draft.of(self.side.graph, salt, {name: array.shape for name, array in self.values.items()})

    def first_of(self, found: Difference) -> str | None:
        """Canonical name of the first divergence."""
        first = found.diverges_at
        if first is None and found.verification.first_divergence is not None:
            first = found.verification.first_divergence.name
        return None if first is None else resolved_alias(first, self.side.graph.aliases)

    def seen(self, name: str) -> list[str]:
        """A layer itself; where the reference does not show it, the first that it shows of those that read it."""
        known = {name_of(value): value for node in self.side.graph.body for value in node.outputs}
        if name in self.values or name not in known:
            return [name]
        readers = {name_of(use.node.outputs[0]) for use in known[name].uses()}
        return [name, *(found for reader in sorted(readers) for found in self.seen(reader))]

    def shuffle(self, variant: Variant, draft: Draft) -> Callable[[str], str]:
        """Names for the written model: the names of others, where the variant asks for that."""
        if not variant.shuffled:
            return renamed
        names = [name_of(value) for node in draft.graph.body for value in node.outputs]
        return dict(zip(names, names[1:] + names[:1], strict=True)).__getitem__

    def size_of(self, draft: Draft) -> tuple[float, float]:
        """Greatest error of an edited layer that is fed right, in float64, and the floor there."""
        sizes = [(0.0, 0.0)]
        outputs = list(zip(self.side.graph.outputs, draft.graph.outputs, strict=True))
        pairs = [(name, name) for name in changed_values(self.side.graph, draft.graph)]
        pairs += [(name_of(one), name_of(other)) for one, other in outputs if name_of(one) != name_of(other)]
        known = set(self.values)
        pairs += [
            (reader, reader)
            for hidden in [name for name, _ in pairs if name not in known]
            for reader in self.seen(hidden)
        ]
        for ours, theirs in pairs:
            if ours not in known:
                continue
            floor = self.floors.get(ours, lowest_floor(1))
            if theirs != ours and theirs in self.values:
                sizes.append((compare(self.values[ours], self.values[theirs]).rel_rmse, floor))
                continue
            try:
                computed = cut(draft.graph, theirs, known).compute(self.values)
            except (FacecvtError, ValueError):
                sizes.append((float("inf"), floor))
                continue
            sizes.append((compare(self.values[ours], computed).rel_rmse, floor))
        return max(sizes, key=lambda item: item[0] / item[1] if item[1] else item[0])


def bench_of(net: str, side: Side, folder: Path) -> Bench:
    """Evaluate a net on all inputs."""
    plan = InputPlan((1 if net in DEEP else BATCH,), KINDS)
    reference = Reference(side, keep=True)
    values: dict[str, NumpyArray] = {}
    floors: dict[str, float] = {}
    for _, _, fed, _ in SideBySide(side, side, reference).feeds(plan):
        walked = reference.walk(fed, lambda name, value, clean: None)
        for name, value in walked.values.items():
            known = resolved_alias(name, side.graph.aliases)
            values.setdefault(known, value)
            floors[known] = max(floors.get(known, lowest_floor(1)), walked.clean[name].rel_rmse)
        for name, array in fed.items():
            values.setdefault(name, np.asarray(array, np.float64))
    return Bench(net, side, reference, plan, values, floors, folder)
