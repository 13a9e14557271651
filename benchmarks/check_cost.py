"""What a proof costs: time and memory of ``facecvt diff`` at batch 4, and of conversions that are verified.

    python benchmarks/check_cost.py [--runs N] [--model r50] [--readme]

Every run is a process of its own. Reported are the medians of wall and processor time, and the greatest peaks:

    peak        resident memory as the system counts it (VmHWM): with libraries, and with pages of mapped files that the
                system may drop at any time; ru_maxrss, which also counts what the starting process held, elsewhere
    anonymous   what the process itself has filled (RssAnon), looked at every 5 ms; Linux only
    ratio       peak over model + largest activation: the size of the weights file, and of the greatest float32 value of
                the net at the greatest batch that the run compares

What importing the libraries takes by itself, before any model is read, stands below; it is part of every peak above.
Exit status 1 where ``facecvt diff`` takes more than 60 s, or where its ratio, as it is printed, is above 2.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from readme_block import fill_block
from run import ENVIRONMENT, WORK, reference

from facecvt.converters.graph import Graph, dims
from facecvt.parity_tests.inputs import DEFAULT_BATCHES

BATCH = 4
MOST_SECONDS = 60.0
MOST_RATIO = 2.0
SECONDS_BETWEEN = 0.005
IMPORTS = {
    "imports of facecvt diff": "import numpy, onnx, onnxruntime; import facecvt.parity_tests.diff.compare",
    "imports with PyTorch": "import numpy, onnx, torch; import facecvt.parity_tests.proven",
}


@dataclass
class Check:
    """One command.

    Attributes:
        label: how the table calls it.
        command: argv.
        least: bytes of model + largest activation; None where there is no model.
        wall, cpu: seconds of each run.
        peak, anonymous: bytes of each run.
    """

    label: str
    command: list[str]
    least: int | None = None
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)
    anonymous: list[int] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return max(self.peak) / self.least if self.least else math.nan

    def run(self) -> None:
        """Run once.

        Raises:
            RuntimeError: it ended with another status than 0, with the last line that it said.
        """
        log = WORK / "last.log"
        with log.open("wb") as output:
            begin = time.perf_counter()
            process = subprocess.Popen(self.command, stdout=output, stderr=output, cwd=WORK, env=ENVIRONMENT)
            peak = anonymous = 0
            while True:
                done, status, usage = os.wait4(process.pid, os.WNOHANG)
                if done:
                    break
                now, filled = memory_of(process.pid)
                peak, anonymous = max(peak, now), max(anonymous, filled)
                time.sleep(SECONDS_BETWEEN)
            self.wall.append(time.perf_counter() - begin)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
            raise RuntimeError(f"{self.label}: exit {process.returncode}: {lines[-1]}")
        self.cpu.append(usage.ru_utime + usage.ru_stime)
        self.peak.append(peak or usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
        self.anonymous.append(anonymous)

    def row(self) -> str:
        anonymous = f"{max(self.anonymous) / 1e6:.0f} MB" if max(self.anonymous) else ""
        least = f"{self.least / 1e6:.0f} MB" if self.least else ""
        ratio = f"{self.ratio:.2f}" if self.least else ""
        return (
            f"| {self.label} | {statistics.median(self.wall):.1f} s | {statistics.median(self.cpu):.1f} s | "
            f"{max(self.peak) / 1e6:.0f} MB | {anonymous} | {least} | {ratio} |"
        )


def memory_of(process: int) -> tuple[int, int]:
    """The greatest resident memory of a process so far, and what it has filled itself now; 0 where it is not told."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:  # it has ended, or this is no Linux
        return 0, 0
    lines = dict(line.split(":", 1) for line in status.splitlines())
    peak, anonymous = (int(lines.get(name, "0").split()[0]) * 1024 for name in ("VmHWM", "RssAnon"))
    return peak, anonymous


def largest_activation(graph: Graph, batch: int) -> int:
    """Bytes of the greatest value that a net computes, as float32."""
    sizes = [dims(value) or () for node in graph.body for value in node.outputs]
    return max(4 * math.prod(batch if dim is None else dim for dim in size) for size in sizes)


def checks(name: str) -> list[Check]:
    """Every command on one net; its files and the ONNX to compare with are made where they are missing."""
    from facecvt.parity_tests.diff.model import open_side

    facecvt = [sys.executable, "-m", "facecvt.cli"]
    folders = {framework: reference(name, framework) for framework in ("mxnet", "paddle", "torch")}
    symbol, program = next(folders["mxnet"].glob("*-symbol.json")), next(folders["paddle"].glob("*.pdmodel"))
    weights = next(folders["mxnet"].glob("*.params")).stat().st_size
    out = WORK / "check-cost"
    out.mkdir(parents=True, exist_ok=True)
    onnx = out / f"{name}.onnx"
    convert = [*facecvt, "mxnet2onnx", symbol, "-o", onnx, "--no-verify", "--force", "-q"]
    subprocess.run(convert, check=True, cwd=WORK, stdout=subprocess.DEVNULL)
    with open_side(symbol) as side:
        activation = {batch: largest_activation(side.graph, batch) for batch in (BATCH, max(DEFAULT_BATCHES))}
    verified = weights + activation[max(DEFAULT_BATCHES)]
    state = next(folders["torch"].glob("*.pth"))

    def converted(command: str, source: Path, target: str, *more: str) -> Check:
        options = ["-o", str(out / target), "--force", "-q", *more]
        return Check(f"facecvt {command}, verified", [*facecvt, command, str(source), *options], verified)

    diff = [*facecvt, "diff", str(symbol), str(onnx), "--batch", str(BATCH), "-q"]
    return [
        Check(f"facecvt diff, MXNet and ONNX, batch {BATCH}", diff, weights + activation[BATCH]),
        converted("mxnet2onnx", symbol, "from-mxnet.onnx"),
        converted("paddle2onnx", program, "from-paddle.onnx"),
        converted("torch2onnx", state, "from-torch.onnx", "--arch", name),
        converted("mxnet2torch", symbol, "torch"),
        *(Check(label, [sys.executable, "-c", code]) for label, code in IMPORTS.items()),
    ]


def table(name: str, found: Sequence[Check], runs: int) -> list[str]:
    """The lines of the Markdown table."""
    return [
        f"| {name} | wall time | processor time | peak | anonymous | model + largest activation | ratio |",
        "|---|---|---|---|---|---|---|",
        *(check.row() for check in found),
        "",
        f"Medians of {runs} run(s), greatest peaks; {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}.",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="of each command")
    parser.add_argument("--model", default="r50", help="a reference architecture")
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    found = checks(options.model)
    for check in found:
        for _ in range(options.runs):
            check.run()
        print(check.row(), file=sys.stderr)
    lines = table(options.model, found, options.runs)
    print("\n".join(lines))
    if options.readme:
        fill_block("check-cost", lines)
    diff = found[0]
    return 1 if statistics.median(diff.wall) > MOST_SECONDS or round(diff.ratio, 2) > MOST_RATIO else 0


if __name__ == "__main__":
    sys.exit(main())
