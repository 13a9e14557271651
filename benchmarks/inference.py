"""How fast ONNX Runtime runs what facecvt writes, beside what the frameworks' own exporters write for the same net.

    python benchmarks/inference.py [--rounds N] [--models r50 ...] [--nodes] [--readme]

Each built-in architecture with its seeded weights is converted four times: facecvt torch2onnx beside torch.onnx.export
(the TorchScript exporter with its default constant folding), and facecvt paddle2onnx beside Paddle2ONNX. All files run
in ONNX Runtime with the same session options, 2 threads, at batch 1 and 8, one run each in turn, so that a machine
whose speed drifts drifts for all of them; reported are medians. Before that, their outputs on one input are compared.

What a difference has to exceed is measured in the same rounds: facecvt's file from PyTorch is opened a second time, and
how far the medians of the two lie apart is noise. Exit status 1 where facecvt's file is slower by more than twice that,
and by more than 3 %.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from readme_block import fill_block
from run import WORK, environment, reference

THREADS = 2
OPSET = 13
BATCHES = (1, 8)
SIZES = {"r50": 112, "mobilefacenet": 112, "mobilenet_v3_large": 224, "blazeface": 256}
TITLES = {
    "r50": "r50",
    "mobilefacenet": "MobileFaceNet",
    "mobilenet_v3_large": "MobileNetV3 large",
    "blazeface": "BlazeFace",
}
LEAST_NOISE = 0.03
SECONDS = 30.0  # of one model at one batch, after which no further round begins
LEAST_ROUNDS = 5
PEERS = {"facecvt torch2onnx": "torch.onnx.export", "facecvt paddle2onnx": "Paddle2ONNX"}
TWIN = "facecvt torch2onnx, opened again"
SAME = 1e-3  # greatest difference of two exports of one net, as a share of its greatest output


@dataclass
class Export:
    """One file of a net, as one tool writes it.

    Attributes:
        tool: which.
        path: the file.
        session: ONNX Runtime's.
        seconds: of each round.
    """

    tool: str
    path: Path
    session: Any = None
    seconds: list[float] = field(default_factory=list)

    def open(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])

    def run(self, images: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
        found: list[np.ndarray[Any, Any]] = self.session.run(None, {self.session.get_inputs()[0].name: images})
        return found

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def facecvt_file(name: str, framework: str, size: int, target: Path) -> None:
    """What facecvt writes; the image size is fixed, as it is in what the exporters trace."""
    from facecvt.parity_tests.proven import convert_and_verify

    source = reference(name, framework)
    files = sorted(source.glob("*.pdmodel")) or sorted(source.glob("*.pth"))
    shapes = {"x": ("batch", 3, size, size)}
    arch = name if framework == "torch" else "auto"  # which weights alone may leave open
    convert_and_verify(
        files[0],
        framework,
        "onnx",
        output=target,
        force=True,
        verify=False,
        opset=OPSET,
        inputs=shapes,
        arch=arch,
    )


def torch_file(name: str, size: int, target: Path) -> None:
    """What torch.onnx.export writes of the same net with the same weights."""
    import torch

    from facecvt.reference_models import build

    net = build(name, "torch").eval()
    state = torch.load(sorted(reference(name, "torch").glob("*.pth"))[0], weights_only=True)
    net.load_state_dict(state)
    example = torch.zeros(1, 3, size, size)
    torch.onnx.export(
        net, (example,), str(target), dynamo=False, opset_version=OPSET, input_names=["x"], dynamic_axes={"x": {0: "n"}}
    )


def paddle2onnx_file(name: str, size: int, target: Path) -> None:
    """What Paddle2ONNX writes of the same program."""
    source = reference(name, "paddle")
    program = next(source.glob("*.pdmodel"))
    command = [str(environment("paddle2onnx").with_name("paddle2onnx")), "--model_dir", str(source)]
    command += ["--model_filename", program.name, "--params_filename", program.with_suffix(".pdiparams").name]
    command += ["--save_file", str(target), "--opset_version", str(OPSET)]
    done = subprocess.run(command, cwd=WORK, capture_output=True, text=True)
    if done.returncode != 0 or not target.exists():
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise RuntimeError(f"exit {done.returncode}: {lines[-1][:80] if lines else 'no output'}")


WRITERS: dict[str, Callable[[str, int, Path], None]] = {
    "facecvt torch2onnx": lambda name, size, target: facecvt_file(name, "torch", size, target),
    "torch.onnx.export": torch_file,
    "facecvt paddle2onnx": lambda name, size, target: facecvt_file(name, "paddle", size, target),
    "Paddle2ONNX": paddle2onnx_file,
}


def exports(name: str) -> tuple[list[Export], dict[str, str]]:
    """The files of one net, opened, and why a tool has none."""
    folder = WORK / "inference"
    folder.mkdir(parents=True, exist_ok=True)
    found, failures = [], {}
    for tool, write in WRITERS.items():
        path = folder / f"{name}-{tool.replace(' ', '-')}.onnx"
        path.unlink(missing_ok=True)
        try:
            write(name, SIZES[name], path)
            export = Export(tool, path)
            export.open()
        except Exception as error:  # whatever a peer raises belongs into the table
            if tool.startswith("facecvt"):
                raise
            failures[tool] = f"{type(error).__name__}: {str(error).splitlines()[0][:90]}"
            continue
        found.append(export)
    again = Export(TWIN, found[0].path)
    again.open()
    return [*found, again], failures


def check_same(found: list[Export], images: np.ndarray[Any, Any]) -> None:
    """That all files compute the same.

    Raises:
        ValueError: one does not; then its speed says nothing.
    """
    expected = found[0].run(images)
    for export in found[1:]:
        for ours, theirs in zip(expected, export.run(images), strict=True):
            scale = float(np.abs(ours).max())
            if ours.shape != theirs.shape or float(np.abs(ours - theirs).max()) > SAME * scale:
                raise ValueError(f"{export.path.name} is another net than {found[0].path.name}")


def measure(found: list[Export], images: np.ndarray[Any, Any], rounds: int) -> None:
    """Two rounds to warm up, then all files in turn, from another one each round."""
    for export in found:
        export.run(images)
        export.run(images)
        export.seconds.clear()
    begin = time.perf_counter()
    for number in range(rounds):
        if number >= LEAST_ROUNDS and time.perf_counter() - begin > SECONDS:
            break
        shift = number % len(found)
        for export in found[shift:] + found[:shift]:
            start = time.perf_counter()
            export.run(images)
            export.seconds.append(time.perf_counter() - start)


def operators(path: Path, folder: Path) -> tuple[Counter[str], Counter[str]]:
    """Operators of a file, and of what ONNX Runtime makes of it."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return tuple(  # type: ignore[return-value]
        Counter(node.op_type for node in onnx.load(str(each), load_external_data=False).graph.node)
        for each in (path, folder / "optimised.onnx")
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=25, help="counted rounds; fewer where they take too long")
    parser.add_argument("--models", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--nodes", action="store_true", help="show the operators of each file, and after optimisation")
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    lines = ["| model | batch | tool | median | its peer | its median | peer / facecvt | noise |", "|" + "---|" * 8]
    slower, counts = [], []
    for name in options.models:
        found, failures = exports(name)
        if options.nodes:
            for export in found[:-1]:
                for what, counted in zip(("", " optimised"), operators(export.path, WORK), strict=True):
                    print(f"{name} {export.tool}{what}: {sum(counted.values())} {dict(counted.most_common())}")
        random = np.random.RandomState(0)
        check_same(found, random.standard_normal((2, 3, SIZES[name], SIZES[name])).astype(np.float32))
        for batch in BATCHES:
            images = random.standard_normal((batch, 3, SIZES[name], SIZES[name])).astype(np.float32)
            measure(found, images, options.rounds)
            counts.append(len(found[0].seconds))
            by_tool = {export.tool: export for export in found}
            noise = abs(by_tool[TWIN].median / found[0].median - 1.0)
            for tool, peer in PEERS.items():
                ours, theirs = by_tool[tool], by_tool.get(peer)
                row = f"| {TITLES[name]} | {batch} | {tool} | {ours.median * 1e3:.1f} ms | {peer} |"
                if theirs is None:
                    lines.append(f"{row} {failures[peer]} | | |")
                    continue
                ratio = theirs.median / ours.median
                lines.append(f"{row} {theirs.median * 1e3:.1f} ms | {ratio:.2f} | {noise:.1%} |")
                if 1.0 / ratio - 1.0 > max(2.0 * noise, LEAST_NOISE):
                    slower.append(lines[-1])
            print("\n".join(lines[-len(PEERS) :]), file=sys.stderr)
    lines += [
        "",
        f"Medians of {min(counts)} to {max(counts)} rounds, {THREADS} threads, {os.cpu_count()} cores; noise: how far "
        "the medians of one file, opened twice, lie apart in the same rounds.",
    ]
    print("\n".join(lines))
    if options.readme:
        fill_block("inference", lines)
    for line in slower:
        print(f"slower than its peer: {line}", file=sys.stderr)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
