"""Any two models held against each other: aligned, compared layer by layer, the first layer at fault and why.

A is the reference: it is evaluated in float64, in its own format. Each layer's own error is computed where the two
differ, or where it is asked for.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from facecvt import __version__
from facecvt.converters.errors import NotComparableError, UsageError
from facecvt.parity_tests.align import resolved_alias
from facecvt.parity_tests.diff.diagnose import Case, diagnose
from facecvt.parity_tests.diff.difference import Cause, Difference
from facecvt.parity_tests.diff.layer import cut
from facecvt.parity_tests.diff.localise import Fault, localise
from facecvt.parity_tests.diff.model import Side, open_pair
from facecvt.parity_tests.diff.reference import Reference
from facecvt.parity_tests.diff.side_by_side import FeedPlan, OwnErrors, Progress, SideBySide
from facecvt.parity_tests.environment import installed_version
from facecvt.parity_tests.inputs import KINDS, InputPlan
from facecvt.parity_tests.runtimes.runtime import RunFailedError
from facecvt.parity_tests.verification import TensorResult, Verification

DEFAULT_BATCH = 2
GIVEN = "given"


def diff(
    a: str | Path,
    b: str | Path,
    *,
    frameworks: tuple[str | None, str | None] = (None, None),
    seed: int = 0,
    batch: int = DEFAULT_BATCH,
    layers: str | None = None,
    isolate: bool = False,
    inputs: str | Path | None = None,
    shapes: Mapping[str, Sequence[int | str]] | None = None,
    progress: Progress | None = None,
) -> Difference:
    """Hold model B against model A.

    Args:
        a, b: paths in any spelling; with a framework also names of reference architectures.
        frameworks: of A and B, where the paths leave it open.
        seed: of the inputs.
        batch: number of samples, where both models leave it free.
        layers: pattern of the layers to report; the verdict is on all.
        isolate: compute each layer's own error even where the two agree.
        inputs: a ``.npz`` with an array for each input of A to use instead of made-up ones.
        shapes: shapes of inputs by name, where a model holds none and they cannot be deduced.
        progress: called with a stage's name, the runs done and those in all.

    Raises:
        UsageError: no such model, or inputs that do not fit.
        ConversionError: a model cannot be read.
    """
    with open_pair(a, b, frameworks, shapes) as (ours, theirs):
        return diff_sides(
            ours,
            theirs,
            InputPlan((batch,), KINDS, seed=seed),
            layers=layers,
            isolate=isolate,
            inputs=inputs,
            progress=progress,
        )


def diff_sides(
    a: Side,
    b: Side,
    plan: InputPlan,
    *,
    layers: str | None = None,
    isolate: bool = False,
    inputs: str | Path | None = None,
    progress: Progress | None = None,
    reference: Reference | None = None,
) -> Difference:
    """:func:`diff` of models that are open; ``reference``: A's oracles, where they are too."""
    pair = SideBySide(a, b, reference)
    fault: Fault | None = None
    cause: Cause | None = None
    own: OwnErrors | None = None
    if not pair.provenance.anchors:
        found = pair.compare([])
    else:
        try:
            runs = given_runs(pair, inputs) if inputs is not None else pair.feeds(plan)
        except NotComparableError as error:
            found = Verification("not_comparable", (str(error),), unmapped=pair.alignment.unmapped)
        else:
            found = pair.compare(runs, progress)
            if isolate or found.verdict == "differ":
                own, found = own_errors(pair, runs, found)
                if own is not None:
                    fault = localise(found.layers, own.metrics, a.graph, b.graph, pair.provenance)
    if fault is not None and own is not None:
        cause = diagnose(case_of(pair, fault, own))
    return Difference(
        a=a.spelling,
        b=b.spelling,
        frameworks=(a.source_framework, b.source_framework),
        verification=found,
        own=own.metrics if own is not None else {},
        how={match.a: match.how for match in pair.provenance.matches},
        fault=fault,
        cause=cause,
        unmapped_b=pair.provenance.unmapped_b,
        anchors=pair.provenance.anchors,
        environment=environment(pair),
        shown=None
        if layers is None
        else frozenset(layer.name for layer in found.layers if fnmatchcase(layer.name, layers)),
    )


def own_errors(pair: SideBySide, runs: FeedPlan, found: Verification) -> tuple[OwnErrors | None, Verification]:
    """Each layer's own error on the first input, and the verification with it."""
    _, _, fed, its = runs[0]
    try:
        own = pair.own_errors(fed, its)
    except RunFailedError as error:
        return None, replace(found, warnings=(*found.warnings, f"each layer's own error is not known: {error}"))

    def with_own(result: TensorResult) -> TensorResult:
        metrics = own.metrics.get(result.name)
        return result if metrics is None else replace(result, own_rel_rmse=metrics.rel_rmse)

    return own, replace(found, layers=tuple(with_own(result) for result in found.layers))


def case_of(pair: SideBySide, fault: Fault, own: OwnErrors) -> Case:
    """The layer at fault, cut out of both sides, with what it is fed."""
    canonical = {name: resolved_alias(name, pair.a.graph.aliases) for name in own.expected}
    values_a = {canonical[name]: array for name, array in own.expected.items()} | own.fed
    values_b = own.given | own.feeds
    back = {match.b: match.a for match in (*pair.provenance.matches, *pair.provenance.inputs)}
    name = resolved_alias(fault.a, pair.a.graph.aliases)
    ours, theirs = cut(pair.a.graph, name, values_a), cut(pair.b.graph, fault.b, values_b)
    how = {match.a: match.how for match in pair.provenance.matches}.get(name, "")
    return Case(ours, theirs, values_a, values_b, back, fault.result.floor, how)


def given_runs(pair: SideBySide, path: str | Path) -> FeedPlan:
    """The user's own inputs, as one run.

    Args:
        pair: the two models.
        path: an ``.npz`` with an array for each input of A, or, where A has one input, with one array.

    Raises:
        UsageError: the file cannot be read, or lacks an input.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, BadZipFile, AttributeError) as error:
        raise UsageError(f"--inputs {path}: cannot be read as an .npz of arrays: {error}") from error
    names = pair.exact.input_names
    if len(names) == 1 and len(arrays) == 1:
        arrays = dict(zip(names, arrays.values(), strict=True))
    missing = [name for name in names if name not in arrays]
    if missing:
        raise UsageError(f"--inputs {path} holds {sorted(arrays)}, but A's inputs are {names}")
    dtypes = {contract.name: np.dtype(contract.dtype) for contract in pair.a.graph.contracts}
    fed = {name: np.asarray(arrays[name], dtypes.get(name, np.dtype(np.float32))) for name in names}
    empty = [name for name in names if fed[name].size == 0 or fed[name].ndim == 0]
    if empty:
        raise UsageError(f"--inputs {path}: {empty} hold no samples")
    its = {match.b: fed[match.a] for match in pair.provenance.inputs}
    return [(GIVEN, int(fed[names[0]].shape[0]), fed, its)]


def environment(pair: SideBySide) -> dict[str, str]:
    """What computed the figures."""
    runs_b = "onnxruntime" if pair.b.source_framework == "onnx" else "facecvt's oracle in float32"
    versions = {name: installed_version(name) or "not installed" for name in ("numpy", "onnx", "onnxruntime")}
    return {
        "facecvt": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        **versions,
        "a": "facecvt's oracle in float64",
        "b": runs_b,
    }
