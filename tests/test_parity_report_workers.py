"""``facecvt parity`` in processes of their own: the same result, a process that dies is told, memory is shared out."""

from __future__ import annotations

import mmap
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facecvt.converters.graph import Builder
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.parity_tests.parity_report import suite, workers
from facecvt.parity_tests.parity_report.architecture import not_run
from facecvt.parity_tests.parity_report.measured import first_of_same
from facecvt.parity_tests.parity_report.result import Settings
from facecvt.parity_tests.parity_report.same_graph import digests_of
from facecvt.parity_tests.parity_report.workers import WorkerProcess, need_mb, run_in_workers
from facecvt.parity_tests.peak_memory import begin_peak, peak_mb, resident_mb
from facecvt.reference_models import spec

SETTINGS = Settings((), ("torch", "onnx"), True, 0)
SMALL = [spec(name) for name in ("mobilenet_v3_small", "blazeface_mediapipe_front", "mobilefacenet", "iresnet18")]


def made_up(arch: Any, *rest: object) -> Any:
    return replace(not_run(arch, [], 0, ""), verdict="agree", reasons=())


class Pretended:
    """A process that gives a made-up result, or does what it is told to."""

    started: list[Pretended]

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.closed = False
        self.resident_mb, self.shared_mb = 600.0, 0.0
        self.started.append(self)

    def ask(self, settings: Settings) -> Any:
        self.asked.append(settings.patterns[0])
        found = suite.parity(settings, runner=made_up)
        return replace(found, run={"cpu_seconds": 2.0, "peak_memory_mb": 700.0})

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def _none_started() -> None:
    Pretended.started = []


def test_every_architecture_once_and_the_processes_end() -> None:
    done = run_in_workers(SMALL, SETTINGS, 2, start=Pretended)  # type: ignore[arg-type]
    asked = [name for worker in Pretended.started for name in worker.asked]
    assert sorted(asked) == sorted(done.found) == sorted(arch.name for arch in SMALL)
    assert len(Pretended.started) == 2
    assert Pretended.started[0].asked[0] == "iresnet18"  # the dearest first
    assert all(worker.closed for worker in Pretended.started)
    assert done.peak_memory_mb == 1400.0
    assert done.peaks_mb == dict.fromkeys(done.found, 700.0)
    assert done.died == {}


def test_deep_nets_do_not_run_at_one_time() -> None:
    at_once: list[float] = []
    lock, sizes = threading.Lock(), {}

    class Watched(Pretended):
        def ask(self, settings: Settings) -> Any:
            with lock:
                sizes[settings.patterns[0]] = need_mb(spec(settings.patterns[0]))
                at_once.append(sum(sizes.values()) - workers.SHARED * (len(sizes) - 1))
            found = super().ask(settings)
            with lock:
                del sizes[settings.patterns[0]]
            return found

    chosen = [spec(name) for name in ("iresnet200", "iresnet100", "adaface_ir200", "iresnet18", "mbf")]
    done = run_in_workers(chosen, SETTINGS, 4, start=Watched)  # type: ignore[arg-type]
    assert len(done.found) == 5
    assert 3000 < max(at_once) <= workers.MEMORY


def test_a_process_that_grew_is_not_used_again() -> None:
    class Large(Pretended):
        def ask(self, settings: Settings) -> Any:
            self.resident_mb = workers.LARGE + 1
            return super().ask(settings)

    run_in_workers(SMALL, SETTINGS, 1, start=Large)  # type: ignore[arg-type]
    assert [len(worker.asked) for worker in Pretended.started] == [1, 1, 1, 1]


def test_a_process_that_dies_names_its_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(WorkerProcess):
        def __init__(self) -> None:
            super().__init__()
            os.kill(self._process.pid, signal.SIGKILL)

    monkeypatch.setattr(workers, "WorkerProcess", Killed)
    monkeypatch.setattr(run_in_workers, "__defaults__", (None, Killed))
    found = suite.parity(replace(SETTINGS, patterns=("mbf", "iresnet18")), jobs=2)
    assert (found.verdict, found.exit_code) == ("not_run", 4)
    assert [each.name for each in found.architectures] == ["iresnet18", "mbf"]
    for each in found.architectures:
        assert each.reasons == ("the process that ran it was killed by signal 9",)
        assert {pair.verdict for pair in each.pairs} == {"not_run"}
        assert len(each.pairs) == 3


def test_a_bug_and_ctrl_c_end_every_process() -> None:
    class Broken(Pretended):
        def ask(self, settings: Settings) -> Any:
            if settings.patterns == ("mbf",):
                raise RuntimeError("mbf: Traceback")
            return super().ask(settings)

    with pytest.raises(RuntimeError, match="mbf: Traceback"):
        run_in_workers([spec("mbf"), *SMALL], SETTINGS, 2, start=Broken)  # type: ignore[arg-type]
    assert all(worker.closed for worker in Pretended.started)

    def interrupted(*progress: object) -> None:
        raise KeyboardInterrupt

    Pretended.started = []
    with pytest.raises(KeyboardInterrupt):
        run_in_workers(SMALL, SETTINGS, 2, interrupted, start=Pretended)  # type: ignore[arg-type]
    assert len(Pretended.started) == 2
    assert all(worker.closed for worker in Pretended.started)


def graph(name: str, slope: float = 0.1, weight: float = 1.0, momentum: float = 0.9) -> Any:
    b = Builder("onnx", name)
    b.begin("test", name)
    x = b.input(f"{name}_x", (1, 2, 3, 3), ir.DataType.FLOAT)
    ones = [b.weight(f"{name}_{i}", np.full(2, weight, np.float32)) for i in range(4)]
    y = b.emit("BatchNormalization", [x, *ones], epsilon=1e-5, momentum=momentum)
    z = b.emit("LeakyRelu", [y], alpha=slope)
    return list(digests_of_nodes(b, y, z))


def digests_of_nodes(b: Builder, *values: Any) -> list[str]:
    found = digests_of(b.graph)
    return [found[value.name] for value in values]


def test_same_computation_has_the_same_digest() -> None:
    first = graph("a")
    assert graph("b", momentum=0.5) == first
    other = graph("c", slope=0.2)
    assert (other[0] == first[0], other[1] == first[1]) == (True, False)
    heavier = graph("d", weight=np.nextafter(np.float32(1), np.float32(2)))
    assert (heavier[0] == first[0], heavier[1] == first[1]) == (False, False)


def test_first_of_same() -> None:
    one, nan = np.ones(3, np.float32), np.array([1, np.nan, 1], np.float32)
    values = {
        "a": one,
        "b": one.copy(),
        "c": one.astype(np.float64),
        "d": nan,
        "e": nan.copy(),
        "f": one + np.float32(1e-6),
    }
    assert first_of_same(values) == {"a": "a", "b": "a", "c": "c", "d": "d", "e": "e", "f": "f"}


def test_peaks_are_summed_where_processes_ran_at_one_time() -> None:
    spans = [workers.Span(0, 5, 100.0), workers.Span(1, 3, 30.0), workers.Span(3, 9, 50.0), workers.Span(6, 7, 90.0)]
    assert workers.greatest_together(spans) == 150.0
    assert workers.greatest_together([]) == 0.0


def test_what_processes_share_counts_once() -> None:
    spans = [workers.Span(0, 5, 100.0, 30.0), workers.Span(1, 3, 70.0, 20.0), workers.Span(6, 9, 120.0, 30.0)]
    assert workers.greatest_together(spans) == 150.0


def test_a_process_leaves_nothing_on_disk() -> None:
    worker = WorkerProcess()
    folder = Path(worker._folder.name)
    (folder / "values").write_bytes(b"left by a process that was killed")
    worker.close()
    assert not folder.exists()


def test_the_peak_is_that_since_the_measuring_began() -> None:
    begin_peak()
    before = peak_mb()
    with mmap.mmap(-1, 200 << 20) as great:  # the system's, which has it back at once; malloc may keep what is freed
        np.frombuffer(great, np.uint8)[:] = 1
        assert peak_mb() > before + 190
    begin_peak()
    if (Path("/proc/self/clear_refs")).exists():
        assert peak_mb() < before + 100
        assert abs(resident_mb() - peak_mb()) < 50
