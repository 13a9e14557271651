"""``facecvt parity``: which architectures and sides, one architecture after the other, shards and their union.

Quick takes the cheapest architecture of every family where none is named, and fewer inputs.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from facecvt import __version__
from facecvt.converters.errors import UsageError
from facecvt.parity_tests.environment import FRAMEWORK_PACKAGES, installed_version, pip_command
from facecvt.parity_tests.framework_environment import settle_framework_environment
from facecvt.parity_tests.parity_report.architecture import ONNX, not_run, run_architecture
from facecvt.parity_tests.parity_report.exact import RUNS, basis_of
from facecvt.parity_tests.parity_report.measured import ORACLE
from facecvt.parity_tests.parity_report.native import FRAMEWORKS
from facecvt.parity_tests.parity_report.result import (
    ArchitectureResult,
    Limits,
    ParityResult,
    Settings,
    SideInfo,
    gravest,
)
from facecvt.parity_tests.parity_report.result_json import read_json
from facecvt.parity_tests.parity_report.runs import inputs_of
from facecvt.parity_tests.parity_report.workers import WorkerProcess, run_in_workers
from facecvt.parity_tests.peak_memory import begin_peak, peak_mb
from facecvt.parity_tests.tolerance import OUTPUT_ONE_MINUS_COS, OUTPUT_REL_RMSE, K
from facecvt.reference_models import names
from facecvt.reference_models.costs import costs
from facecvt.reference_models.listing import is_name, matching
from facecvt.reference_models.spec import ArchitectureSpec, architectures, resolve_name

CHOICES = (*FRAMEWORKS, "onnx")
LABELS = {"torch": "PyTorch", "paddle": "Paddle", "mxnet": "MXNet"}
Progress = Callable[[str, int, int], None]
Runner = Callable[..., ArchitectureResult]


def parity(
    settings: Settings, progress: Progress | None = None, runner: Runner = run_architecture, jobs: int = 0,
    repro: Path | None = None,
) -> ParityResult:  # fmt: skip
    """Hold every implementation of the architectures against every other.

    Args:
        settings: what is asked for.
        progress: called with a stage's name, the architectures done and those in all.
        runner: runs one architecture.
        jobs: how many processes run architectures, with one thread each; 0 for this process.
        repro: folder that gets the first layer at fault of every architecture, alone and ready to run.

    Raises:
        UsageError: no such architecture or shard.
        RuntimeError: a bug in facecvt shows in one of the processes.
    """
    settle_framework_environment()
    begin_peak()
    started, clock, cpu = datetime.now(timezone.utc), time.perf_counter(), cpu_seconds()
    sides = sides_of(settings.frameworks)
    basis = basis_of(side.id for side in sides if side.available)
    infos = inputs_of(settings.quick)
    chosen = shard_of(selected(settings.patterns, settings.quick), settings.shard)
    found, costs_of, peaks_of, of_workers = [], {}, {}, 0.0
    if jobs:
        start = [] if repro is None else [partial(WorkerProcess, repro)]
        done = run_in_workers(chosen, settings, jobs, progress, *start)
        found = [
            done.found.get(arch.name) or not_run(arch, sides, settings.seed, done.died[arch.name]) for arch in chosen
        ]
        costs_of = {arch.name: done.cpu_seconds[arch.name] for arch in chosen if arch.name in done.cpu_seconds}
        peaks_of, of_workers = done.peaks_mb, done.peak_memory_mb
    for number, arch in enumerate([] if jobs else chosen):
        if progress is not None:
            progress(arch.name, number, len(chosen))
        before = cpu_seconds()
        found.append(runner(arch, sides, basis, infos, settings.seed, repro))
        costs_of[arch.name] = round(cpu_seconds() - before, 2)
    return ParityResult(
        verdict=gravest(each.verdict for each in found),
        settings=settings,
        limits=Limits(K, OUTPUT_REL_RMSE, OUTPUT_ONE_MINUS_COS),
        sides=tuple(sides),
        inputs=infos,
        environment=environment(),
        architectures=tuple(found),
        run={
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 2),
            "cpu_seconds": round(cpu_seconds() - cpu, 2),
            "peak_memory_mb": round(peak_mb() + of_workers, 1),
            "architectures": costs_of,
            "peaks_mb": peaks_of,
        },
    )


def cpu_seconds() -> float:
    """CPU time of this process and of those that it ran."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def sides_of(frameworks: Sequence[str]) -> list[SideInfo]:
    """Every side, in the order of the report.

    Args:
        frameworks: of :data:`CHOICES`.

    Raises:
        UsageError: a framework that there is not, or none with nets written by hand.
    """
    unknown = [name for name in frameworks if name not in CHOICES]
    if unknown:
        raise UsageError(f"--frameworks: there is no {unknown[0]!r}; choose of {', '.join(CHOICES)}")
    native = [name for name in FRAMEWORKS if name in frameworks]
    if not native:
        raise UsageError("--frameworks: at least one of torch, paddle and mxnet is needed, whose nets are compared")
    states = {name: _state(FRAMEWORK_PACKAGES[name]) for name in native}
    basis = basis_of(name for name, (version, _) in states.items() if version)
    exact = RUNS[basis] if basis is not None else "none of the frameworks is installed"
    found = [SideInfo(ORACLE, "float64 oracle", exact, basis is not None, "" if basis is not None else exact)]
    for name, (version, reason) in states.items():
        found.append(SideInfo(name, LABELS[name], f"{FRAMEWORK_PACKAGES[name]} {version}", not reason, reason))
    if "onnx" in frameworks:
        runtime, missing = _state("onnxruntime")
        for name, (_, reason) in states.items():
            why = reason or missing
            label = f"ONNX from {LABELS[name]}"
            found.append(SideInfo(ONNX + name, label, f"onnxruntime {runtime}", not why, why))
    return found


def _state(package: str) -> tuple[str, str]:
    """(version, why it cannot be used) of a package."""
    version = installed_version(package)
    return (version, "") if version else ("", f"{package} is not installed: {pip_command(package)}")


def selected(patterns: Iterable[str], quick: bool) -> list[ArchitectureSpec]:
    """The architectures of names and patterns, each once with its own options, in the order of ``facecvt models``.

    Raises:
        UsageError: a pattern that none matches.
    """
    wanted = {
        arch.name
        for pattern in patterns
        for arch in ([resolve_name(pattern).architecture] if is_name(pattern) else matching(pattern))
    }
    if wanted:
        return [arch for name, arch in architectures().items() if name in wanted]
    every = [architectures()[name] for name in names()]
    if not quick:
        return every
    cheapest: dict[str, ArchitectureSpec] = {}
    for arch in every:
        best = cheapest.get(arch.family)
        if best is None or costs(arch).multiply_adds < costs(best).multiply_adds:
            cheapest[arch.family] = arch
    return [arch for arch in every if cheapest[arch.family] is arch]


def shard_of(chosen: Sequence[ArchitectureSpec], shard: str | None) -> list[ArchitectureSpec]:
    """The part I of N: the dearest architectures are dealt out first, each to the part that has least to do.

    Raises:
        UsageError: not a shard.
    """
    if shard is None:
        return list(chosen)
    number, count = shard_numbers(shard)
    loads, parts = [0] * count, [set[str]() for _ in range(count)]
    for arch in sorted(chosen, key=lambda each: -costs(each).multiply_adds):
        place = loads.index(min(loads))
        loads[place] += costs(arch).multiply_adds
        parts[place].add(arch.name)
    return [arch for arch in chosen if arch.name in parts[number - 1]]


def shard_numbers(shard: str) -> tuple[int, int]:
    """(I, N) of "I/N".

    Raises:
        UsageError: not of that form, or I is not one of 1 to N.
    """
    number, _, count = shard.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise UsageError(f"--shard {shard}: it is I/N, for example 2/4, with I from 1 to N")
    return int(number), int(count)


def merged(folders: Sequence[str | Path]) -> ParityResult:
    """The results of all shards of one run as one.

    Args:
        folders: folders with a ``parity.json``, or such files, in any order.

    Raises:
        UsageError: they are not the shards of one run, or one is missing.
    """
    parts = [read_json(folder) for folder in folders]
    if not parts:
        raise UsageError("--merge: no folder is given")
    shards = sorted(shard_numbers(part.settings.shard or "1/1") for part in parts)
    count = shards[0][1]
    if shards != [(number, count) for number in range(1, count + 1)]:
        told = ", ".join(f"{number}/{of}" for number, of in shards)
        raise UsageError(f"--merge: these are the shards {told}, not all of one run")
    first = parts[0]
    for part, folder in zip(parts, folders, strict=True):
        if (replace(part.settings, shard=None), part.sides, part.inputs, part.limits, part.environment) != (
            replace(first.settings, shard=None), first.sides, first.inputs, first.limits, first.environment
        ):  # fmt: skip
            raise UsageError(f"--merge: {folder} was run with other options or versions than {folders[0]}")
    by_name = {each.name: each for part in parts for each in part.architectures}
    found = tuple(by_name[name] for name in names() if name in by_name)
    run: dict[str, Any] = {
        "started": min(part.run["started"] for part in parts),
        "seconds": round(sum(part.run["seconds"] for part in parts), 2),
        "cpu_seconds": round(sum(part.run["cpu_seconds"] for part in parts), 2),
        "peak_memory_mb": max(part.run["peak_memory_mb"] for part in parts),
        **{
            key: {name: part.run[key][name] for name in by_name for part in parts if name in part.run.get(key, {})}
            for key in ("architectures", "peaks_mb")
        },
    }
    settings = replace(first.settings, shard=None)
    return replace(
        first, verdict=gravest(each.verdict for each in found), settings=settings, architectures=found, run=run
    )


def environment() -> dict[str, str]:
    """What computed the figures."""
    packages = ("numpy", "onnx", "onnx-ir", "onnxruntime", *FRAMEWORK_PACKAGES.values())
    return {
        "facecvt": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count() or 0),
        **{name: installed_version(name) or "not installed" for name in packages},
    }
