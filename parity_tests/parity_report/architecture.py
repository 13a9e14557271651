"""One architecture: all its implementations on the same inputs, from the seeded weights to the result.

Each net is opened, run on everything and closed before the next one is opened; its inner values wait on disk. The
oracle comes last and compares as it computes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import FacecvtError
from facecvt.parity_tests.memory import give_back_memory, trim_memory
from facecvt.parity_tests.parity_report.causes import Scene, of_failed, with_cause
from facecvt.parity_tests.parity_report.checks import (
    check_depends,
    check_extremes,
    check_rows,
    check_runs,
    check_weights,
    sha256_of,
    weights_of,
)
from facecvt.parity_tests.parity_report.divergence import command_of, first_divergence
from facecvt.parity_tests.parity_report.exact import ExactNet, open_exact
from facecvt.parity_tests.parity_report.judged import computed_outputs, coverage_of, judge_pairs, layers_of
from facecvt.parity_tests.parity_report.measured import (
    ORACLE,
    Measured,
    compare_layers,
    compare_outputs,
    take_exact_outputs,
)
from facecvt.parity_tests.parity_report.native import (
    NumpyArray,
    OnValue,
    open_native,
    output_layers,
    told,
    with_common_eps,
)
from facecvt.parity_tests.parity_report.onnx_model import OnnxNet, make
from facecvt.parity_tests.parity_report.own_layers import OwnLayers, OwnModel
from facecvt.parity_tests.parity_report.result import (
    ArchitectureResult,
    CheckResult,
    Divergence,
    InputInfo,
    LayerInfo,
    PairResult,
    SideInfo,
    WeightsOfSide,
    gravest,
)
from facecvt.parity_tests.parity_report.runs import EXTREME, EXTREMES, SMALL, Feed, feeds_of
from facecvt.parity_tests.parity_report.values_on_disk import ValuesOnDisk, WeightsOnDisk
from facecvt.parity_tests.verify import walk_together
from facecvt.reference_models.listing import model_row, plain
from facecvt.reference_models.seeded import seeded_arrays
from facecvt.reference_models.spec import ArchitectureSpec

if TYPE_CHECKING:
    from facecvt.converters.formats.locate import Framework

ONNX = "onnx_"


class RunningNet(Protocol):
    """What a native net and an ONNX model have in common."""

    shown: frozenset[str]

    def run(self, x: NumpyArray, on_value: OnValue | None = None) -> list[NumpyArray]:
        """See :class:`facecvt.parity_tests.parity_report.native.NativeNet`."""

    def weights(self) -> Mapping[str, NumpyArray]:
        """See :class:`facecvt.parity_tests.parity_report.native.NativeNet`."""


@dataclass
class _Gathered:
    """What the sides gave so far."""

    measured: Measured = field(default_factory=Measured)
    shown: dict[str, frozenset[str]] = field(default_factory=dict)
    weights: list[WeightsOfSide] = field(default_factory=list)
    checks: list[CheckResult] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    models: dict[str, OnnxNet] = field(default_factory=dict)  # closed


class ArchitectureRun:
    """All implementations of one architecture.

    Args:
        arch: the architecture.
        sides: every side that was asked for, in the order of the report.
        basis: the framework whose net the oracle evaluates, None where there is none.
        infos: inputs.
        seed: of weights and inputs.
        folder: for files; what is left in it is the caller's to remove.
        open_net: opens a native net.
        repro: folder that gets the layer at fault alone, in a folder of the architecture's name.
        scratch: folder for weights and values, whose files are written over.
    """

    def __init__(
        self,
        arch: ArchitectureSpec,
        sides: Sequence[SideInfo],
        basis: str | None,
        infos: tuple[InputInfo, ...],
        seed: int,
        folder: Path,
        open_net: Callable[..., AbstractContextManager[RunningNet]] = open_native,
        repro: Path | None = None,
        scratch: Path | None = None,
    ) -> None:
        self.arch = with_common_eps(arch)
        self.asked, self.sides, self.basis, self.infos, self.seed = arch, sides, basis, infos, seed
        self.folder, self.open_net, self.repro = folder, open_net, repro
        scratch = _made(folder / "scratch") if scratch is None else scratch
        self.arrays = WeightsOnDisk(scratch / "weights", seeded_arrays(self.arch, seed))
        self.weights = sha256_of(self.arrays)
        self.feeds = feeds_of(self.arch, infos, seed)
        self.outputs = output_layers(self.arch)
        self.disk = ValuesOnDisk(scratch)

    def result(self) -> ArchitectureResult:
        """Run everything and judge."""
        gathered = _Gathered()
        available = [side.id for side in self.sides if side.available]
        if self.basis is not None:
            gathered.measured.sides.append(ORACLE)
        for framework in [side for side in available if side != ORACLE and not side.startswith(ONNX)]:
            self._run_native(framework, ONNX + framework in available, gathered)
        for side in [side for side in available if side.startswith(ONNX)]:
            self._run_onnx(side, gathered)
        self._compare(gathered)
        return self._judge(gathered)

    def _run_native(self, framework: str, export: bool, gathered: _Gathered) -> None:
        try:
            saved = self._native(framework, export, gathered)
            self.arrays.forget()
            give_back_memory()
            if saved is not None:
                make(cast("Framework", framework), saved, self._onnx_file(framework), self.arch)
        except FacecvtError as error:
            failed = framework if framework not in gathered.measured.sides else ONNX + framework
            gathered.failed[failed] = str(error)

    def _native(self, framework: str, export: bool, gathered: _Gathered) -> Path | None:
        """Run a net, and save it where its ONNX model is wanted; nothing holds the net once this has returned."""
        with self.open_net(framework, self.arch, self.arrays) as net:
            self.arrays.forget()  # the net has its own
            self._run(framework, net, gathered)
            if not export:
                return None
            with told(f"{framework} cannot save {self.arch.name}"):
                saved: Path = net.export(_made(self.folder / framework))  # type: ignore[attr-defined]
            return saved

    def _run_onnx(self, side: str, gathered: _Gathered) -> None:
        framework = side.removeprefix(ONNX)
        path = self._onnx_file(framework)
        if side in gathered.failed or not path.is_file():
            gathered.failed.setdefault(side, f"there is no model of {framework} to convert")
            return
        try:
            with OnnxNet(path, self.arch) as net:
                net.graph.forget_weights()
                self._run(side, net, gathered)
                net.graph.forget_weights()
            gathered.models[side] = net
        except FacecvtError as error:
            gathered.failed[side] = str(error)
        give_back_memory()

    def _contract(self, side: str) -> InputContract:
        return self.arch.contracts[side.removeprefix(ONNX)]

    def _onnx_file(self, framework: str) -> Path:
        return self.folder / f"{framework}.onnx"

    def _run(self, side: str, net: RunningNet, gathered: _Gathered) -> None:
        """Every input and check of one side; those that show layers last, which may close what the others need."""
        outputs: dict[str, list[NumpyArray]] = {}
        fed = {feed.info.name: feed.of(self._contract(side)) for feed in self.feeds}
        like = next(
            (other for other in gathered.measured.sides if side.startswith(ONNX) and other.startswith(ONNX)), ""
        )
        with told(f"{side} cannot run {self.arch.name}"):
            for feed in self.feeds:
                if not feed.info.layers and feed.info.name != SMALL:
                    outputs[feed.info.name] = net.run(fed[feed.info.name])
            weights = weights_of(side, net.weights(), self.arrays.one_by_one(), self.weights)
            trim_memory()
            small: list[list[NumpyArray]] = []

            def run(x: NumpyArray) -> list[NumpyArray]:
                found = net.run(x)
                small.append([array.copy() for array in found])
                return found

            checks = [check_weights(weights), *check_runs(side, run, fed[SMALL])]
            outputs[SMALL] = small[0]
            for feed in self.feeds:
                if feed.info.layers:
                    with self.disk.writing(side, feed.info.name, like) as keep:
                        outputs[feed.info.name] = net.run(fed[feed.info.name], keep)
                    trim_memory()
        gathered.measured.sides.append(side)
        gathered.measured.outputs[side] = {name: [array.copy() for array in found] for name, found in outputs.items()}
        gathered.shown[side] = net.shown
        gathered.weights.append(weights)
        gathered.checks += checks

    def _compare(self, gathered: _Gathered) -> None:
        """The oracle on its inputs, and every pair on all."""
        measured = gathered.measured
        exact: ExactNet | None = None
        if self.basis is not None:
            exact = open_exact(self.basis, self.arch, self.arrays, _made(self.folder / ORACLE))
            self.arrays.forget()  # read to be written in the framework's format
            gathered.shown[ORACLE] = frozenset(exact.layer_of.values())
        for feed in self.feeds:
            x = None if exact is None else feed.of(self._contract(exact.framework))
            if feed.info.layers:
                own = None if exact is None or measured.own else self._own_layers(feed, exact, gathered.models)
                compare_layers(measured, self.disk, exact, feed, x, self.outputs, own)
                if own is not None:
                    measured.own = own.result()
            elif feed.info.name == EXTREMES and exact is not None and x is not None:
                ours, singles = walk_together(exact.exact, exact.clean, exact.feed(x), lambda name, value, single: None)
                take_exact_outputs(measured, exact, feed, ours, singles)
            compare_outputs(measured, feed, self.outputs)

    def _own_layers(self, feed: Feed, exact: ExactNet, models: Mapping[str, OnnxNet]) -> OwnLayers:
        """What takes the layers of every ONNX model by themselves."""
        given = {*exact.layer_of.values(), *self.outputs}
        found = {}
        for side, net in models.items():
            contract = self._contract(side)
            shapes = {layer: s for layer, s in self.disk.shapes(side, feed.info.name).items() if layer in given}
            found[side] = OwnModel(net, feed.of(contract), "pixels" if contract.in_graph else "scaled pixels", shapes)
        return OwnLayers(found)

    def _judge(self, gathered: _Gathered) -> ArchitectureResult:
        measured = gathered.measured
        layers = layers_of(self.arch, measured)
        coverage = coverage_of(self.arch, measured, gathered.shown)
        pairs = judge_pairs(measured, layers, coverage, [info.name for info in self.infos])
        checks = [*gathered.checks, *self._checks_of_outputs(gathered, layers)]
        order = [side.id for side in self.sides]
        every = _with_those_not_run(pairs, self.sides, gathered.failed)
        command = command_of(self.asked.name, self.seed, self.sides, self.infos)
        reasons = [f"{pair.key}: {pair.reason}" for pair in every if pair.verdict != "agree"]
        reasons += [f"{check.side}, {check.check}: {check.detail}" for check in checks if check.verdict != "agree"]
        row = model_row(self.asked)
        return ArchitectureResult(
            name=self.asked.name,
            family=self.asked.family,
            title=self.asked.title,
            verdict=gravest([*(pair.verdict for pair in every), *(check.verdict for check in checks)]),
            reasons=tuple(reasons),
            options=plain(dict(self.arch.options)),
            parameters=row.parameters,
            multiply_adds=row.multiply_adds,
            seed=self.seed,
            weights=self.weights,
            weights_of=tuple(gathered.weights),
            inputs=tuple(feed.told() for feed in self.feeds),
            outputs=tuple(self.outputs),
            coverage=tuple(coverage),
            pairs=tuple(every),
            layers=tuple(layers),
            checks=tuple(sorted(checks, key=lambda check: order.index(check.side))),
            first_divergence=self._first_divergence(layers, pairs, gathered, command),
        )

    def _first_divergence(
        self, layers: Sequence[LayerInfo], pairs: Sequence[PairResult], gathered: _Gathered, command: str
    ) -> Divergence | None:
        """The first layer at fault with its cause; what looks for causes runs only where something differs."""
        repro = None if self.repro is None else self.repro / self.asked.name
        scene = Scene(self.arch, self.arrays, self.feeds, self.basis, self.folder, self.open_net, command, repro)
        found = first_divergence(layers, pairs, gathered.weights, command)
        if found is None:
            return of_failed(scene, gathered.failed)
        return with_cause(scene, found, layers, pairs)

    def _checks_of_outputs(self, gathered: _Gathered, layers: Sequence[LayerInfo]) -> list[CheckResult]:
        measured = gathered.measured
        floors = [layer.floor for layer in layers if layer.output is not None]
        reference = measured.sides[0] if measured.sides else ""
        found: list[CheckResult] = []
        for side in measured.sides:
            if side == ORACLE:
                continue
            outputs = measured.outputs[side]
            found += check_rows(side, outputs, floors)
            found.append(check_depends(side, outputs, computed_outputs(self.arch)))
            if side == reference:
                continue
            ratios = []
            for layer in [layer for layer in layers if layer.output is not None]:
                evidence = measured.evidence(reference, side, layer.name)
                ratios += [
                    sample.metrics.rel_rmse / evidence.floor_of(sample, layer.floor) if layer.floor else None
                    for sample in evidence.samples
                    if sample.kind == EXTREME
                ]
            known = [ratio for ratio in ratios if ratio is not None]
            found.append(check_extremes(side, outputs, max(known, default=None), reference))
        return found


def _with_those_not_run(
    pairs: Sequence[PairResult], sides: Sequence[SideInfo], failed: Mapping[str, str]
) -> list[PairResult]:
    """The pairs in the order of the sides, with those of a side that is missing or that failed."""
    by_key = {(pair.a, pair.b): pair for pair in pairs}
    found = []
    for place, a in enumerate(sides):
        for b in sides[place + 1 :]:
            pair = by_key.get((a.id, b.id))
            if pair is None:
                missing = next((side for side in (a, b) if not side.available), None)
                broken = next((side for side in (a, b) if side.id in failed), None)
                if missing is not None:
                    pair = PairResult(a.id, b.id, "not_run", missing.reason)
                elif broken is not None:
                    pair = PairResult(a.id, b.id, "differ", failed[broken.id])
                else:
                    pair = PairResult(a.id, b.id, "not_comparable", "not compared")
            found.append(pair)
    return found


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def not_run(arch: ArchitectureSpec, sides: Sequence[SideInfo], seed: int, reason: str) -> ArchitectureResult:
    """The result of an architecture of which nothing is known, because of a reason that holds for every pair."""
    row = model_row(arch)
    return ArchitectureResult(
        name=arch.name,
        family=arch.family,
        title=arch.title,
        verdict="not_run",
        reasons=(reason,),
        options=plain(dict(with_common_eps(arch).options)),
        parameters=row.parameters,
        multiply_adds=row.multiply_adds,
        seed=seed,
        weights="",
        weights_of=(),
        inputs=(),
        outputs=tuple(output_layers(arch)),
        coverage=(),
        pairs=tuple(PairResult(a.id, b.id, "not_run", reason) for a, b in combinations(sides, 2)),
        layers=(),
        checks=(),
    )


def run_architecture(
    arch: ArchitectureSpec, sides: Sequence[SideInfo], basis: str | None, infos: tuple[InputInfo, ...], seed: int,
    repro: Path | None = None, scratch: Path | None = None,
) -> ArchitectureResult:  # fmt: skip
    """Hold every implementation of an architecture against every other; see :class:`ArchitectureRun`."""
    with tempfile.TemporaryDirectory(prefix="facecvt-parity-") as folder:
        return ArchitectureRun(arch, sides, basis, infos, seed, Path(folder), repro=repro, scratch=scratch).result()
