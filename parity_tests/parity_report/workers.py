"""Architectures in processes of their own, as many at a time as there are jobs and memory for.

The dearest is run first. One that would, by its size, take all processes together beyond MEMORY waits until others
have ended; a process that stays large ends, and a new one takes its place. A process that dies is told with the
architecture that it ran, which then counts as not run; the others go on. What processes leave on disk is removed.
"""

from __future__ import annotations

import json
import math
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from facecvt.parity_tests.framework_environment import framework_environment
from facecvt.parity_tests.parity_report.result import ArchitectureResult, ParityResult, Settings
from facecvt.parity_tests.parity_report.result_json import result_of
from facecvt.reference_models.costs import costs
from facecvt.reference_models.spec import ArchitectureSpec

WORKER = "facecvt.parity_tests.parity_report.worker"
MEMORY = 3800.0  # MB of all processes that run architectures
# MB that a process takes, and MB for each MB of weights and of one picture's values; measured, rounded up.
LEAST, PER_WEIGHTS, PER_VALUES = 1150.0, 1.9, 1.2
SHARED = 330.0  # MB of that which are libraries, and in memory once
LARGE = 850.0  # MB that a process still has when it is done, beyond which it is not used again
LAST_BYTES = 2000
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass
class Done:
    """What the processes gave.

    Attributes:
        found: architecture -> its part of the result.
        died: architecture -> how its process ended.
        cpu_seconds: architecture -> CPU time.
        peaks_mb: architecture -> what its process had at most while it ran.
        peak_memory_mb: greatest sum of the peaks of processes that ran at one time; libraries that all use count once.
    """

    found: dict[str, ArchitectureResult] = field(default_factory=dict)
    died: dict[str, str] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    peaks_mb: dict[str, float] = field(default_factory=dict)
    peak_memory_mb: float = 0.0


class WorkerProcess:
    """One process, what it says on stderr, and a folder for its files that goes with it.

    Args:
        repro: folder for the layers at fault, as :func:`facecvt.parity_tests.parity_report.suite.parity` has it.

    Attributes:
        resident_mb: MB that it had after its last answer.
        shared_mb: MB of these that other processes had as well.
    """

    def __init__(self, repro: Path | None = None) -> None:
        self.resident_mb = self.shared_mb = 0.0
        self._folder = tempfile.TemporaryDirectory(prefix="facecvt-parity-")
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - until close
        self._process = subprocess.Popen(
            [sys.executable, "-m", WORKER, *([str(repro)] if repro is not None else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**framework_environment(), **os.environ, **ONE_THREAD, "TMPDIR": self._folder.name},
            text=True,
            encoding="utf-8",
        )

    def ask(self, settings: Settings) -> ParityResult | str:
        """The result of one architecture, or how the process ended.

        Raises:
            RuntimeError: a bug in facecvt, with where it is.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(asdict(settings)) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = process.wait()
            ended = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
            self._log.seek(0)
            said = self._log.read()[-LAST_BYTES:].decode(errors="replace").strip().splitlines()
            return f"the process that ran it {ended}" + (f": {said[-1]}" if said else "")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{', '.join(settings.patterns)}: {answer['error']}")
        self.resident_mb, self.shared_mb = answer["resident_mb"], answer["shared_mb"]
        return result_of(answer["result"])

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:  # what was not sent to a process that died
                    continue
        self._folder.cleanup()


@dataclass(eq=False)
class Span:
    """A time in which a process ran an architecture, or waited for the next, and what it had at most.

    Attributes:
        begin, end: in seconds.
        peak_mb: MB at most.
        shared_mb: MB of these that other processes have as well.
    """

    begin: float
    end: float = math.inf
    peak_mb: float = 0.0
    shared_mb: float = 0.0


class Processes:
    """The processes of a run: those at work, those that wait for an architecture, and what each had when.

    A context manager: all of them end with the block, however it ends, also by Ctrl-C.

    Args:
        start: starts a process.

    Attributes:
        spans: of all processes, from the first one's beginning.
    """

    def __init__(self, start: Callable[[], WorkerProcess]) -> None:
        self._start = start
        self._waiting: list[WorkerProcess] = []
        self._now: dict[WorkerProcess, Span] = {}
        self.spans: list[Span] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *failure: object) -> None:
        for worker in self._now:
            worker.close()

    def take(self) -> WorkerProcess:
        """One to run an architecture: one that waits, or a new one."""
        worker = self._waiting.pop() if self._waiting else self._start()
        self._begin(worker, Span(time.monotonic()))
        return worker

    def give_back(self, worker: WorkerProcess, peak_mb: float | None) -> None:
        """It has run its architecture.

        Args:
            worker: what :meth:`take` gave.
            peak_mb: what it had at most; None where it died.
        """
        span = self._now[worker]
        if peak_mb is not None:
            span.peak_mb, span.shared_mb = peak_mb, worker.shared_mb
        if peak_mb is None or worker.resident_mb > LARGE:
            span.end = time.monotonic()
            del self._now[worker]
            worker.close()
        else:
            self._waiting.append(worker)
            resting = Span(time.monotonic(), peak_mb=worker.resident_mb, shared_mb=worker.shared_mb)
            self._begin(worker, resting)

    def _begin(self, worker: WorkerProcess, span: Span) -> None:
        if worker in self._now:
            self._now[worker].end = span.begin
        self._now[worker] = span
        self.spans.append(span)


def greatest_together(spans: Sequence[Span]) -> float:
    """The greatest sum of the peaks of spans that overlap: at the beginning of one of them; what they share, once."""
    return max((_together([s for s in spans if s.begin <= at.begin < s.end]) for at in spans), default=0.0)


def _together(spans: Sequence[Span]) -> float:
    shared = sorted(span.shared_mb for span in spans)
    return sum(span.peak_mb for span in spans) - sum(shared[:-1])


def need_mb(arch: ArchitectureSpec) -> float:
    """Memory that an architecture takes at most, estimated from its weights and values."""
    found = costs(arch)
    values = sum(math.prod(size for size in shape if isinstance(size, int)) for shape in found.shapes.values())
    return LEAST + (PER_WEIGHTS * found.parameters + PER_VALUES * values) * 4 / 1e6


def run_in_workers(
    chosen: Sequence[ArchitectureSpec], settings: Settings, jobs: int,
    progress: Callable[[str, int, int], None] | None = None, start: Callable[[], WorkerProcess] = WorkerProcess,
) -> Done:  # fmt: skip
    """Run every architecture.

    Args:
        chosen: the architectures.
        settings: of the run; each process gets one architecture of it.
        jobs: processes at a time.
        progress: as for :func:`facecvt.parity_tests.parity_report.suite.parity`.
        start: starts a process.

    Raises:
        RuntimeError: a bug in facecvt, with the architecture and where it is.
    """
    done = Done()
    waiting = sorted(chosen, key=lambda arch: -costs(arch).multiply_adds)
    answers: queue.Queue[tuple[ArchitectureSpec, WorkerProcess, ParityResult | str | Exception]] = queue.Queue()
    running: dict[str, float] = {}
    with Processes(start) as processes:
        while waiting or running:
            room = MEMORY - sum(running.values()) + SHARED * len(running)
            fitting = [arch for arch in waiting if need_mb(arch) <= room or not running]
            if len(running) < jobs and fitting:
                arch = fitting[0]
                waiting.remove(arch)
                running[arch.name] = need_mb(arch)
                asked = arch, processes.take(), settings, answers
                threading.Thread(target=_ask, args=asked, daemon=True).start()
                continue
            if progress is not None:
                progress(", ".join(running), len(done.found) + len(done.died), len(chosen))
            arch, worker, answer = answers.get()
            del running[arch.name]
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, str):
                done.died[arch.name] = answer
                processes.give_back(worker, None)
            else:
                done.found[arch.name] = answer.architectures[0]
                done.cpu_seconds[arch.name] = answer.run["cpu_seconds"]
                done.peaks_mb[arch.name] = answer.run["peak_memory_mb"]
                processes.give_back(worker, done.peaks_mb[arch.name])
    done.peak_memory_mb = greatest_together(processes.spans)
    return done


def _ask(
    arch: ArchitectureSpec, worker: WorkerProcess, settings: Settings,
    answers: queue.Queue[tuple[ArchitectureSpec, WorkerProcess, ParityResult | str | Exception]],
) -> None:  # fmt: skip
    try:
        answer: ParityResult | str | Exception = worker.ask(replace(settings, patterns=(arch.name,), shard=None))
    except Exception as error:  # raised again in the main thread
        answer = error
    answers.put((arch, worker, answer))
