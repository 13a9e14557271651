"""A canonical graph as a Paddle model: written, run by Paddle, and read again by facecvt itself.

    hold_paddle(graph, sample, folder)

The written program is run three times: by Paddle, by the float64 oracle from the definitions of Paddle's operators, and
as the canonical graph that facecvt's own reader makes of it, in ONNX Runtime. One Paddle process serves all calls.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facecvt.converters.formats.locate import locate
from facecvt.converters.formats.model_files import PaddleFiles
from facecvt.converters.formats.mxnet_model import MxnetModel
from facecvt.converters.formats.paddle_model import load_paddle
from facecvt.converters.graph import Graph, name_of
from facecvt.converters.readers.from_paddle import read_paddle
from facecvt.converters.writers.to_onnx import write_onnx
from facecvt.converters.writers.to_paddle import write_paddle
from facecvt.parity_tests.oracle.paddle_program import PaddleOracle
from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime
from facecvt.parity_tests.support.single_op import NumpyArray, Sample, paddle_process, skip_without
from facecvt.parity_tests.support.single_op_targets import TOLERANCE, compare

NEWEST_OPSET = 21


def hold_paddle(
    graph: Graph,
    sample: Sample,
    folder: Path,
    *,
    tolerance: float = TOLERANCE,
    pointwise: bool = False,
) -> None:
    """Write a graph as a Paddle model and hold what it computes against the sample.

    Args:
        graph: canonical graph of the sample.
        sample: what is fed and what must come out.
        folder: where files are written.
        tolerance: largest difference allowed, as a share of the largest expected magnitude.
        pointwise: a share of each element's own magnitude instead, or of 1 where that is smaller.

    Raises:
        AssertionError: an output differs, or its shape does; names who computed it.
    """
    skip_without("paddle")
    target = folder / "paddle"
    files = write_paddle(graph, target).files
    feeds = {name_of(value): sample.feeds[name_of(value)] for value in graph.inputs}
    names = [name_of(value) for value in graph.outputs]
    found = dict(zip(names, run_in_paddle(target, [path.name for path in files], feeds), strict=True))
    compare("Paddle", found, sample.expected, tolerance, pointwise)
    typed = not isinstance(sample.model, MxnetModel)  # MXNet samples come as float32, whatever they are
    for name, wanted in zip(names, sample.expected, strict=True):
        kind = found[name].dtype
        assert not typed or kind == wanted.dtype, f"Paddle, {name}: {kind}, expected {wanted.dtype}"
    hold_what_is_read_again(files[0], feeds, sample, folder, tolerance, pointwise)


def run_in_paddle(folder: Path, names: list[str], feeds: dict[str, NumpyArray]) -> list[NumpyArray]:
    """What Paddle computes from a program and its weights in a folder."""
    np.savez(folder / "arrays.npz", **feeds)
    weights = names[1] if len(names) > 1 else None
    paddle_process("legacy").ask({"folder": str(folder), "program": names[0], "weights": weights})
    with np.load(folder / "expected.npz") as archive:
        return [archive[str(index)] for index in range(len(archive.files))]


def hold_what_is_read_again(
    program: Path, feeds: dict[str, NumpyArray], sample: Sample, folder: Path, tolerance: float, pointwise: bool
) -> None:
    """facecvt's own oracle and reader on the written files."""
    files = locate("paddle", program)
    assert isinstance(files, PaddleFiles)
    model = load_paddle(files)
    oracle = PaddleOracle(model, np.float64)
    compare("the oracle of Paddle", oracle.run(feeds), sample.expected, tolerance, pointwise)
    again = folder / "again.onnx"
    write_onnx(read_paddle(model), again, NEWEST_OPSET)
    with OrtRuntime(again) as runtime:
        compare("the program read again", runtime.run(feeds).outputs, sample.expected, tolerance, pointwise)
