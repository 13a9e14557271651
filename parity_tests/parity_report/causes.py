"""Why the first layer at fault is wrong, proven as ``facecvt diff`` proves it; nothing here runs while all agree.

The side at fault is B, and what it was held against is A. Both are opened as models of their own, run on what the sides
were fed, and only the layer at fault is looked into: cut out of both, fed the same values, one thing of it at a time
put right (:mod:`facecvt.parity_tests.diff.diagnose`). A cause counts only if that brings the error to within 10 floors.

    B, an ONNX model    its file
    B, a native net     the files that it is saved to; of a PyTorch net also the program that torch.export makes of it,
                        for its files hold the weights alone
    A, the oracle       of an ONNX model first the files of the net that it was made from; the files that the oracle
                        evaluates; and the architecture's own listing with the seeded weights, because one reader read
                        the first two if they are of one framework, and what it read wrongly is wrong in both
    A, another side     as B

The fault itself must show in B: a native net whose files are right has no cause here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facecvt.converters.errors import FacecvtError
from facecvt.converters.formats.locate import located
from facecvt.converters.graph import Graph, name_of
from facecvt.parity_tests.align import resolved_alias
from facecvt.parity_tests.diff.compare import diff_sides
from facecvt.parity_tests.diff.localise import Fault, between
from facecvt.parity_tests.diff.model import Side, open_side
from facecvt.parity_tests.diff.network import Network
from facecvt.parity_tests.memory import give_back_memory
from facecvt.parity_tests.parity_report.measured import ORACLE
from facecvt.parity_tests.parity_report.native import NumpyArray, open_native, output_layers
from facecvt.parity_tests.parity_report.result import REPRO, Divergence, LayerInfo, PairResult, rounded
from facecvt.parity_tests.parity_report.runs import Feed
from facecvt.reference_models.graph_skeleton import from_graph
from facecvt.reference_models.recognise import compare as recognised_as
from facecvt.reference_models.spec import ArchitectureSpec
from facecvt.reference_models.state_source import StateModel, read_state, state_graph

if TYPE_CHECKING:
    from facecvt.parity_tests.diff.difference import Difference

ONNX = "onnx_"


@dataclass(frozen=True)
class Scene:
    """What the sides of one architecture are made of.

    Attributes:
        arch: the architecture, as all sides have it.
        arrays: the seeded weights by canonical name.
        feeds: what the sides were fed.
        basis: the framework whose net the oracle evaluates, None where there is none.
        folder: holds ``<framework>.onnx``; takes what is saved here.
        open_net: opens a native net.
        command: what shows a divergence again.
        repro: folder in which the layer at fault is to lie alone, ``repro/NAME`` beside the reports; None where it is
            not kept.
    """

    arch: ArchitectureSpec
    arrays: Mapping[str, NumpyArray]
    feeds: Sequence[Feed]
    basis: str | None
    folder: Path
    open_net: Callable[..., AbstractContextManager[Any]]
    command: str
    repro: Path | None = None


@dataclass(frozen=True)
class Form:
    """A side as a model that can be read.

    Attributes:
        kind: "onnx", "saved", "program", "oracle" or "listing".
        framework: whose net it is, or was made from.
    """

    kind: str
    framework: str

    def __str__(self) -> str:
        return {
            "onnx": f"the ONNX model made from {self.framework}",
            "saved": f"the files that the {self.framework} net is saved to",
            "program": f"the {self.framework} net as torch.export gives it",
            "oracle": f"the {self.framework} files that the oracle evaluates",
            "listing": "the architecture's listing with the seeded weights",
        }[self.kind]


def forms_of(side: str) -> list[Form]:
    """A side other than the oracle as models that can be read, the one that is cheapest to read first."""
    if side.startswith(ONNX):
        return [Form("onnx", side.removeprefix(ONNX))]
    return [Form("saved", side), *([Form("program", side)] if side == "torch" else [])]


def trials(side: str, against: str, basis: str | None) -> Iterator[tuple[Form, Form]]:
    """Pairs of A and B to be compared until a cause is proven; see the module's docstring."""
    for b in forms_of(side):
        if against != ORACLE:
            yield from ((a, b) for a in forms_of(against))
            continue
        if b.kind == "onnx":
            yield Form("saved", b.framework), b
        if basis not in (None, "torch") and b not in (Form("onnx", basis), Form("saved", "torch")):
            yield Form("oracle", basis), b
        if b != Form("onnx", "torch"):
            yield Form("listing", "torch"), b


def with_cause(scene: Scene, found: Divergence, layers: Sequence[LayerInfo], pairs: Sequence[PairResult]) -> Divergence:
    """A divergence with its cause, where one is proven; else with what was tried.

    Args:
        scene: what the sides are made of.
        found: from the figures.
        layers: of the architecture.
        pairs: every pair that ran.
    """
    pair = next(each for each in pairs if (each.a, each.b) == (found.against, found.side))
    off = {*pair.differ, *pair.unclear, *pair.missing}
    agree = {layer.name for number, layer in enumerate(layers) if number not in off}
    number = next(number for number, layer in enumerate(layers) if layer.name == found.layer)
    worst = pair.input[number] if pair.input else None
    feeds = list(dict.fromkeys([_first_with_layers(scene.feeds), 0 if worst is None else worst]))
    told = _Told(scene, found.layer, frozenset(agree))
    for number in feeds:
        if told.look(found.side, found.against, scene.feeds[number]):
            break
    return told.into(found)


def of_failed(scene: Scene, failed: Mapping[str, str]) -> Divergence | None:
    """The first layer at fault of an ONNX model that was not run, because it does not have the net's structure.

    Args:
        scene: what the sides are made of.
        failed: side -> why it was not run.
    """
    for side, reason in failed.items():
        if not side.startswith(ONNX) or not (scene.folder / f"{side.removeprefix(ONNX)}.onnx").is_file():
            continue
        told = _Told(scene, None, frozenset())
        if told.look(side, ORACLE, scene.feeds[_first_with_layers(scene.feeds)]):
            return told.into(told.bare(side, reason))
    return None


def _first_with_layers(feeds: Sequence[Feed]) -> int:
    return next((number for number, feed in enumerate(feeds) if feed.info.layers), 0)


@dataclass
class _Told:
    """What the comparisons told so far.

    Attributes:
        scene: what the sides are made of.
        layer: canonical name of the layer at fault; None until it is found, where it is not known yet.
        agree: canonical names of the layers that agree.
        difference: the comparison that showed the fault, the last one if several did.
        evidence: what it proves, or what was tried.
    """

    scene: Scene
    layer: str | None
    agree: frozenset[str]
    difference: Difference | None = None
    evidence: str = ""

    def look(self, side: str, against: str, feed: Feed) -> bool:
        """Compare until a cause is proven; True where the fault showed."""
        tried = []
        for a, b in trials(side, against, self.scene.basis):
            try:
                with opened(self.scene, a) as ours, opened(self.scene, b) as theirs:
                    found = self._compared(ours, a.framework, theirs, b.framework, feed)
            except FacecvtError as error:
                tried.append(f"{b} cannot be held against {a}: {error}")
                continue
            finally:
                give_back_memory()
            if found is None or (found.fault is None and found.cause is None):
                tried.append(f"{b}, held against {a}, does not show it")
                continue
            self.difference = found
            on = f"A is {a}, B {b}, fed {feed.info.name}"
            floor = "" if found.fault is None else f" (floor {found.fault.floor:.1e})"
            if found.cause is not None:
                problem = found.fault.own.problem if found.fault is not None else None
                told = f"{found.cause.proof}: {problem}" if problem else found.cause.proof
                self.evidence = f"{found.cause.detail}; {told}{floor}; {on}"
                return True
            assert found.fault is not None
            own = found.fault.own.problem or f"own rel-RMSE {found.fault.own.rel_rmse:.1e}"
            tried.append(f"the layer is off by itself, {own}{floor}, and no known cause explains it; {on}")
        self.evidence = "; ".join(tried)
        return self.difference is not None

    def _compared(self, ours: Side, a: str, theirs: Side, b: str, feed: Feed) -> Difference | None:
        """The first layer at fault in the place where it is expected; None where that place is not known."""
        values = layers_in(ours.graph, self.scene.arch)
        place: set[str] | None = None
        if self.layer is not None:
            if self.layer not in values:
                return None
            ends = {values[name] for name in self.agree & values.keys()}
            place = {values[self.layer], *between(Network(ours.graph), values[self.layer], ends)}

        def is_wanted(fault: Fault) -> bool:
            return place is None or resolved_alias(fault.a, ours.graph.aliases) in place

        contracts = self.scene.arch.contracts
        fed, its = (
            {name_of(side.graph.inputs[0]): feed.of(contracts[framework])}
            for side, framework in ((ours, a), (theirs, b))
        )
        runs = [(feed.info.kind, feed.info.batch, fed, its)]
        if self.scene.repro is not None:
            self.scene.repro.parent.mkdir(parents=True, exist_ok=True)
        found = diff_sides(ours, theirs, runs, first_of=is_wanted, repro=self.scene.repro)
        if self.layer is None and found.diverges_at is not None:
            value = resolved_alias(found.diverges_at, ours.graph.aliases)
            self.layer = next((layer for layer, name in values.items() if name == value), None)
        return found

    def bare(self, side: str, reason: str) -> Divergence:
        """The layer at fault with its figures, where nothing but the comparison tells them."""
        found = self.difference
        assert found is not None
        fault = found.fault
        outputs = found.verification.outputs
        result = fault.result if fault is not None else next(each for each in outputs if not each)
        metrics = fault.own if fault is not None else result.metrics
        name = self.layer or (output_layers(self.scene.arch)[outputs.index(result)] if fault is None else result.name)
        listed = {layer.name: layer.op for layer in self.scene.arch.layers()}
        floor = fault.floor if fault is not None else result.floor
        return Divergence(
            side=side,
            against=ORACLE,
            layer=name,
            operator=listed.get(name, result.operator),
            rel_rmse=None if result.metrics is None else rounded(result.metrics.rel_rmse),
            own_rel_rmse=None if fault is None else rounded(fault.own.rel_rmse),
            floor=rounded(floor),
            ratio=None if metrics is None or not floor else rounded(metrics.rel_rmse / floor),
            worst=None if metrics is None or metrics.worst is None else metrics.worst.index,
            inputs_agree=True,
            cause=None,
            evidence=reason,
            command=self.scene.command,
        )

    def into(self, found: Divergence) -> Divergence:
        """The divergence with what was told."""
        cause = self.difference.cause if self.difference is not None else None
        parts = [part for part in (self.evidence, found.evidence) if part]
        kept = self.scene.repro if self.difference is not None and self.difference.repro is not None else None
        return replace(
            found,
            cause=cause.name if cause is not None else found.cause,
            evidence="; ".join(parts if cause is not None else parts[::-1]),
            repro=None if kept is None else f"python {REPRO}/{kept.name}/run.py",
        )


def layers_in(graph: Graph, arch: ArchitectureSpec) -> dict[str, str]:
    """Canonical layer name -> name of its value in a graph of the architecture; empty where it is not one."""
    skeleton = from_graph(graph)
    found = None if skeleton is None else recognised_as(arch, skeleton)
    return {} if found is None else {layer: name_of(node.outputs[0]) for layer, node in found.layers.items()}


@contextmanager
def opened(scene: Scene, form: Form) -> Iterator[Side]:
    """A side as a model, for as long as the block lasts.

    Raises:
        FacecvtError: it cannot be saved or read.
    """
    framework = form.framework
    if form.kind == "onnx":
        with open_side(scene.folder / f"{framework}.onnx", "onnx", may_misfit=True) as side:
            yield side
        return
    if form.kind == "listing" or (form.kind, framework) == ("oracle", "torch"):
        model = StateModel(scene.arch, "torch", dict(scene.arrays), scene.arch.name)
        yield Side(scene.arch.name, "torch", model, state_graph(model), ())
        return
    open_net = open_native if form.kind == "oracle" else scene.open_net
    with open_net(framework, scene.arch, scene.arrays) as net:
        if form.kind == "program":
            contract = scene.arch.contracts[framework]
            with open_side(net.program(), "torch", inputs={contract.name: contract.shape}) as side:
                yield side
            return
        folder = scene.folder / "causes" / f"{form.kind}_{framework}"
        folder.mkdir(parents=True, exist_ok=True)
        saved = net.export(folder)
    if framework != "torch":
        with open_side(saved, framework) as side:
            yield side
        return
    with located("torch", saved) as files:
        state = read_state(files, scene.arch.name)  # type: ignore[arg-type]  # a bare state, as facecvt makes ONNX of it
        yield Side(str(saved), "torch", state, state_graph(state), tuple(files.files()), files)
