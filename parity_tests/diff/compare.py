"""Any two models held against each other: aligned, compared layer by layer, the first layer at fault and why.

A is the reference: it is evaluated in float64, in its own format. Two models agree when they do so run from their
inputs, and when each layer of B by itself, fed what A computes, is within its own floor
(:mod:`facecvt.parity_tests.diff.own_floor`); every layer that is wrong by itself is looked into.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path

from facecvt import __version__
from facecvt.converters.errors import FrameworkMissingError, NotComparableError
from facecvt.converters.formats.atomic import refuse_existing
from facecvt.parity_tests.diff.difference import Difference, Divergence
from facecvt.parity_tests.diff.explain import explained
from facecvt.parity_tests.diff.given_inputs import Inputs, given_runs
from facecvt.parity_tests.diff.localise import Fault, faults
from facecvt.parity_tests.diff.model import Model, Side, open_pair
from facecvt.parity_tests.diff.outputs import output_cause
from facecvt.parity_tests.diff.own_error import OwnErrors
from facecvt.parity_tests.diff.own_floor import own_floors, with_own_verdict
from facecvt.parity_tests.diff.reference import Reference
from facecvt.parity_tests.diff.repro import write_repro
from facecvt.parity_tests.diff.side_by_side import FeedPlan, Progress, SideBySide
from facecvt.parity_tests.environment import installed_version
from facecvt.parity_tests.inputs import KINDS, InputPlan
from facecvt.parity_tests.verification import TensorResult, Verification

DEFAULT_BATCH = 2


def diff(
    a: Model,
    b: Model,
    *,
    frameworks: tuple[str | None, str | None] = (None, None),
    seed: int = 0,
    batch: int = DEFAULT_BATCH,
    layers: str | None = None,
    isolate: bool = False,
    inputs: Inputs | None = None,
    shapes: Mapping[str, Sequence[int | str]] | None = None,
    repro: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Difference:
    """Hold model B against model A.

    Args:
        a, b: paths in any spelling; with a framework also names of reference architectures; or an ``nn.Module``.
        frameworks: of A and B, where the paths leave it open.
        seed: of the inputs.
        batch: number of samples, where both models leave it free.
        layers: pattern of the layers to report; the verdict is on all.
        isolate: report each layer's own error even where the two agree.
        inputs: an array for each input of A, by name or in an ``.npz``, or a folder of images, instead of made-up ones.
        shapes: shapes of inputs by name, where a model holds none and they cannot be deduced.
        repro: folder to write the first layer at fault to, alone and ready to run.
        force: replace that folder.
        progress: called with a stage's name, the runs done and those in all.

    Raises:
        UsageError: no such model, inputs that do not fit, or ``repro`` exists.
        ConversionError: a model cannot be read.
        FrameworkMissingError: images are given, and Pillow is not installed.
    """
    if repro is not None:
        refuse_existing(repro, force, option="--repro")
    with open_pair(a, b, frameworks, shapes) as (ours, theirs):
        if repro is not None:
            refuse_existing(repro, force, inputs=(*ours.files, *theirs.files), option="--repro")
        return diff_sides(
            ours,
            theirs,
            InputPlan((batch,), KINDS, seed=seed),
            layers=layers,
            isolate=isolate,
            inputs=inputs,
            repro=repro,
            progress=progress,
        )


def diff_sides(
    a: Side,
    b: Side,
    plan: InputPlan | FeedPlan,
    *,
    layers: str | None = None,
    isolate: bool = False,
    inputs: Inputs | None = None,
    repro: str | Path | None = None,
    progress: Progress | None = None,
    reference: Reference | None = None,
    first_of: Callable[[Fault], bool] | None = None,
) -> Difference:
    """:func:`diff` of models that are open.

    Args:
        a, b: the models.
        plan: what to make up as inputs; or the runs themselves.
        reference: A's oracles, where they are open too.
        first_of: look into the first layer at fault of which this holds, and into no other.
    """
    pair = SideBySide(a, b, reference)
    divergences: list[Divergence] = []
    own: OwnErrors | None = None
    written = None
    if not pair.provenance.anchors:
        found = pair.compare([])
    else:
        try:
            if inputs is not None:
                runs = given_runs(pair, inputs)
            else:
                runs = pair.feeds(plan) if isinstance(plan, InputPlan) else plan
        except NotComparableError as error:
            found = Verification("not_comparable", (str(error),), unmapped=pair.alignment.unmapped)
        else:
            found = pair.compare(runs, progress)
            if pair.shapes:
                own, floors, found = own_errors(pair, runs, found, progress)
            if own is not None and found.verdict != "differ" and not isolate:
                own, found = None, without_own(found)
            if own is not None and found.verdict == "differ":
                _, _, fed, its = runs[0]
                at_fault = faults(found.layers, own.metrics, floors, a.graph, b.graph, pair.provenance)
                if first_of is not None:
                    at_fault = islice(filter(first_of, at_fault), 1)
                for divergence, layer in explained(pair, list(at_fault), fed, its):
                    divergences.append(divergence)
                    if repro is not None and layer is not None:
                        write_repro(repro, divergence, layer)
                        written = str(repro)
    if repro is not None and written is None:
        found = replace(found, warnings=(*found.warnings, f"{repro} was not written: {nothing_to_write(found)}"))
    return Difference(
        a=a.spelling,
        b=b.spelling,
        frameworks=(a.source_framework, b.source_framework),
        verification=found,
        own=own.metrics if own is not None else {},
        how={match.a: match.how for match in pair.provenance.matches},
        divergences=tuple(divergences),
        repro=written,
        unmapped_b=pair.provenance.unmapped_b,
        anchors=pair.provenance.anchors,
        of_outputs=output_cause(pair, found) if found.verdict == "differ" and not divergences else None,
        environment=environment(pair),
        shown=None
        if layers is None
        else frozenset(layer.name for layer in found.layers if fnmatchcase(layer.name, layers)),
    )


def nothing_to_write(found: Verification) -> str:
    """Why there is no layer to write."""
    if found.verdict == "agree":
        return "the models agree, there is no layer at fault"
    if found.verdict == "differ":
        return "no layer was found that is wrong by itself"
    return "the models could not be compared"


def own_errors(
    pair: SideBySide, runs: FeedPlan, found: Verification, progress: Progress | None = None
) -> tuple[OwnErrors | None, dict[str, float], Verification]:
    """Each layer's own error on the first input, its own floor, and the verification with what follows from them."""
    _, batch, fed, its = runs[0]
    if progress is not None:
        progress("layer by layer", 0, 1)
    try:
        own, clean = pair.own_errors(fed, its)
    except FrameworkMissingError as error:
        return None, {}, replace(found, warnings=(*found.warnings, f"each layer's own error is not known: {error}"))
    floors = own_floors(found.layers, clean, batch)

    def with_own(result: TensorResult) -> TensorResult:
        metrics = own.metrics.get(result.name)
        return result if metrics is None else replace(result, own_rel_rmse=metrics.rel_rmse)

    warnings = (
        *(f"own errors of some layers are the oracle's in float32: {why}" for why in own.by_oracle[:1]),
        *(f"the own errors of some layers are not known: {why}" for why in own.unknown[:1]),
    )
    layers = tuple(with_own(result) for result in found.layers)
    found = replace(found, layers=layers, warnings=(*found.warnings, *warnings))
    return own, floors, with_own_verdict(found, own.metrics, floors)


def without_own(found: Verification) -> Verification:
    """The verification without the own errors, which were looked at and not asked for."""
    return replace(found, layers=tuple(replace(layer, own_rel_rmse=None) for layer in found.layers))


def environment(pair: SideBySide) -> dict[str, str]:
    """What computed the figures."""
    versions = {name: installed_version(name) or "not installed" for name in ("numpy", "onnx", "onnxruntime")}
    return {
        "facecvt": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        **versions,
        "a": "facecvt's oracle in float64",
        "b": pair.theirs.ran_by,
    }
