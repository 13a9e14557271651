"""facecvt beside its peers: whole processes, side by side in one run.

    python benchmarks/run.py [--runs N] [--models r50 r100] [--readme]

Each round runs every contestant once, so that a machine whose speed drifts drifts for all of them. Reported are the
median wall time, the ratio to facecvt in the same round, and the largest peak memory of the process. Each tool has an
environment of its own beside this file (the peers pin packages that exclude each other's); facecvt is installed into
its own from this checkout, without any framework, as a user installs it.
The sources are the built-in architectures with seeded weights: 174 MB (r50) and 261 MB (r100).
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from readme_block import fill_block

HERE = Path(__file__).resolve().parent
WORK = HERE / "work"
# Bytecode is kept, as after any install: without it every run of an editable checkout would compile its sources again.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
PEERS = {
    "mxnet": ("mxnet==1.9.1", "numpy==1.23.5", "onnx==1.13.1", "protobuf<4"),
    "paddle2onnx": ("paddle2onnx==2.1.0", "paddlepaddle==3.3.1", "packaging"),
}
MXNET_EXPORT = """
import sys
from mxnet import onnx as exporter
symbol, params, target = sys.argv[1:]
exporter.export_model(symbol, params, [(1, 3, 112, 112)], "float32", target)
"""


@dataclass
class Contestant:
    """One command of a comparison.

    Attributes:
        label: how the table calls it.
        command: argv.
        target: what it writes; removed before each round.
        source_bytes: size of the weights it converts.
        seconds: wall time of each round.
        megabytes: peak resident memory of each round, 1e6 bytes.
        failure: last line of what it said, if it ended with another status than 0.
    """

    label: str
    command: list[str]
    target: Path | None = None
    source_bytes: int = 0
    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    failure: str = ""

    def run(self) -> None:
        """Run once in a process of its own and note time and memory."""
        if self.target is not None:
            shutil.rmtree(self.target, ignore_errors=True)
            self.target.unlink(missing_ok=True)
        log = WORK / "last.log"
        with log.open("wb") as output:
            start = time.perf_counter()
            process = subprocess.Popen(self.command, stdout=output, stderr=output, cwd=WORK, env=ENVIRONMENT)
            _, status, usage = os.wait4(process.pid, 0)
            elapsed = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        self.seconds.append(elapsed)
        self.megabytes.append(usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6)
        if process.returncode != 0:
            lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
            self.failure = f"exit {process.returncode}: {lines[-1][:100]}"


def environment(name: str) -> Path:
    """The Python of a peer's own environment; made at the first use."""
    folder = HERE / f".env-{name}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"making the environment of {name} ...", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS[name]], check=True)
        (folder / "ready").touch()
    return python


def installed_facecvt() -> Path:
    """The ``facecvt`` command of an environment that holds this checkout as it is now."""
    folder, checkout = HERE / ".env-facecvt", HERE.parent
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, checkout], check=True)  # what it needs, at the first use
    subprocess.run([*install, "--no-deps", "--force-reinstall", checkout], check=True)
    shutil.rmtree(checkout / "build", ignore_errors=True)
    return python.with_name("facecvt")


def reference(name: str, framework: str) -> Path:
    """Folder of a built-in architecture's seeded files; written at the first use."""
    folder = WORK / f"{name}-{framework}"
    if not folder.exists():
        # In a process of its own: what a parent holds counts as its children's peak memory on Linux.
        folder.mkdir(parents=True)
        script = "import sys; from facecvt.reference_models.materialise import write_reference as w; w(*sys.argv[1:])"
        subprocess.run([sys.executable, "-c", script, name, framework, str(folder)], check=True)
    return folder


def contestants(name: str, facecvt: Path) -> list[list[Contestant]]:
    """The two comparisons of one model: from MXNet, from Paddle."""
    mxnet, paddle = reference(name, "mxnet"), reference(name, "paddle")
    symbol, params = next(mxnet.glob("*-symbol.json")), next(mxnet.glob("*.params"))
    program, weights = next(paddle.glob("*.pdmodel")), next(paddle.glob("*.pdiparams"))
    out = WORK / "out"
    out.mkdir(exist_ok=True)
    options = ["--no-verify", "--force", "-q"]
    return [
        [
            Contestant(
                "facecvt mxnet2onnx",
                [str(facecvt), "mxnet2onnx", str(symbol), "-o", str(out / "f.onnx"), *options],
                out / "f.onnx",
            ),
            Contestant("copy of the weights file", ["cp", str(params), str(out / "copy")], out / "copy"),
            Contestant(
                "MXNet 1.9.1 exporter",
                [str(environment("mxnet")), "-c", MXNET_EXPORT, str(symbol), str(params), str(out / "m.onnx")],
                out / "m.onnx",
            ),
        ],
        [
            Contestant(
                "facecvt paddle2onnx",
                [str(facecvt), "paddle2onnx", str(program), "-o", str(out / "g.onnx"), *options],
                out / "g.onnx",
            ),
            Contestant("copy of the weights file", ["cp", str(weights), str(out / "copy")], out / "copy"),
            Contestant(
                "Paddle2ONNX 2.1.0",
                [
                    str(environment("paddle2onnx").with_name("paddle2onnx")),
                    *("--model_dir", str(paddle), "--model_filename", program.name),
                    *("--params_filename", weights.name, "--save_file", str(out / "p.onnx"), "--opset_version", "13"),
                ],
                out / "p.onnx",
            ),
        ],
    ]


def compare(group: list[Contestant], runs: int) -> None:
    """One warm-up round, then ``runs`` counted rounds of all contestants in turn."""
    for contestant in group:
        contestant.run()
        contestant.seconds.clear()
        contestant.megabytes.clear()
    for _ in range(runs):
        for contestant in group:
            contestant.run()


def table(title: str, group: list[Contestant], weights_megabytes: float) -> list[str]:
    """Rows of the Markdown table of one comparison; the first contestant is what the others are held against."""
    own = group[0]
    rows = []
    for contestant in group:
        ratio = statistics.median(b / a for a, b in zip(own.seconds, contestant.seconds, strict=True))
        memory = max(contestant.megabytes)
        share = f" ({memory / weights_megabytes:.2f} x weights)" if weights_megabytes else ""
        rows.append(
            f"| {title} | {contestant.label} | {statistics.median(contestant.seconds):.2f} s | {ratio:.2f} x | "
            f"{memory:.0f} MB{share} | {contestant.failure} |"
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="counted rounds of each comparison")
    parser.add_argument("--models", nargs="+", default=["r50", "r100"])
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    facecvt = installed_facecvt()
    lines = [
        "| model | tool | median wall time | against facecvt | peak memory | failed with |",
        "|---|---|---|---|---|---|",
    ]
    for name in options.models:
        for group in contestants(name, facecvt):
            source = next(path for path in map(Path, group[1].command) if path.suffix in (".params", ".pdiparams"))
            megabytes = source.stat().st_size / 1e6
            compare(group, options.runs)
            lines += table(f"{name} ({megabytes:.0f} MB)", group, megabytes)
            print("\n".join(lines[-len(group) :]), file=sys.stderr)
    start_up = [
        Contestant("facecvt --help", [str(facecvt), "--help"]),
        Contestant("python -c pass", [sys.executable, "-c", "pass"]),
    ]
    compare(start_up, max(options.runs, 9))
    lines += table("start-up", start_up, 0)
    lines += [
        "",
        f"Medians of {options.runs} rounds; {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}.",
    ]
    print("\n".join(lines))
    if options.readme:
        fill_block("bench", lines)


if __name__ == "__main__":
    main()
