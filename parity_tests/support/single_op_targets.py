"""Models of one operator in their targets: converted, run there, and compared with what the source framework computed.

:func:`hold_targets` reads a sample of single_op.py, writes ONNX at several opsets and PyTorch, runs both and compares
numbers. A framework that is not installed skips the test with its pip command.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from facecvt.converters.formats.mxnet_model import MxnetModel
from facecvt.converters.formats.paddle_model import PaddleModel
from facecvt.converters.graph import Graph
from facecvt.converters.readers.from_mxnet import read_mxnet
from facecvt.converters.readers.from_onnx import read_onnx
from facecvt.converters.readers.from_paddle import read_paddle
from facecvt.converters.writers.to_onnx import write_onnx
from facecvt.converters.writers.to_torch import write_torch
from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime
from facecvt.parity_tests.runtimes.runtime_torch import TorchRuntime
from facecvt.parity_tests.support.single_op import NumpyArray, Sample, skip_without

OPSETS = (11, 13, 17, 21)
TOLERANCE = 2e-6  # of the largest expected magnitude: float32 rounding of sums of some hundred products


def read_sample(sample: Sample, *, with_shapes: bool = True) -> Graph:
    """The canonical graph that facecvt's own reader makes of a sample.

    Args:
        sample: the sample.
        with_shapes: tell the reader of an MXNet model the shapes of its inputs, which a symbol does not hold.
    """
    if isinstance(sample.model, MxnetModel):
        shapes = {name: array.shape for name, array in sample.feeds.items()}
        return read_mxnet(sample.model, shapes if with_shapes else None)
    if isinstance(sample.model, PaddleModel):
        return read_paddle(sample.model)
    return read_onnx(sample.model)


def hold_targets(
    sample: Sample,
    folder: Path,
    *,
    graph: Graph | None = None,
    opsets: Sequence[int] = OPSETS,
    tolerance: float = TOLERANCE,
    pointwise: bool = False,
    torch: bool = True,
) -> Graph:
    """Convert a sample to ONNX and PyTorch, run it there, and compare every output with the source framework's.

    Args:
        sample: the sample.
        folder: where targets are written.
        graph: the canonical graph where the caller has read the sample already.
        opsets: opsets to write.
        tolerance: largest difference allowed, as a share of the largest expected magnitude.
        pointwise: a share of each element's own magnitude instead, or of 1 where that is smaller: for functions of
            single numbers, whose small results must not hide behind large ones.
        torch: whether PyTorch is a target.

    Returns:
        The canonical graph, for further assertions.

    Raises:
        AssertionError: an output differs, or its shape does; names the target.
        onnx.checker.ValidationError: a written node is not legal at its opset.
    """
    skip_without("onnxruntime")
    graph = read_sample(sample) if graph is None else graph
    names = [str(value.name) for value in graph.inputs]
    feeds = {name: sample.feeds[name] for name in names}
    for opset in opsets:
        path = folder / f"target{opset}.onnx"
        write_onnx(graph, path, opset)
        check_nodes(path, opset)
        with OrtRuntime(path) as runtime:
            compare(f"ONNX opset {opset}", runtime.run(feeds).outputs, sample.expected, tolerance, pointwise)
    if torch:
        skip_without("torch")
        write_torch(graph, folder / "torch")
        with TorchRuntime(folder / "torch", names) as torch_runtime:
            compare("PyTorch", torch_runtime.run(feeds).outputs, sample.expected, tolerance, pointwise)
    return graph


def check_nodes(path: Path, opset: int) -> None:
    """Hold every node of a file against the schemas of its opset, of which ONNX Runtime forgives some."""
    import onnx

    context = onnx.checker.C.CheckerContext()
    context.opset_imports = {"": opset}
    model = onnx.load(path)
    context.ir_version = model.ir_version
    for node in model.graph.node:
        onnx.checker.check_node(node, context)


def compare(
    target: str,
    outputs: Mapping[str, NumpyArray],
    expected: Sequence[NumpyArray],
    tolerance: float = TOLERANCE,
    pointwise: bool = False,
) -> None:
    """Hold outputs against what is expected; an empty comparison, a wrong shape and NaN on one side fail."""
    assert len(outputs) == len(expected) > 0, f"{target}: {len(outputs)} outputs where {len(expected)} are expected"
    for (name, found), wanted in zip(outputs.items(), expected, strict=True):
        assert found.shape == wanted.shape, f"{target}, {name}: shape {found.shape}, expected {wanted.shape}"
        assert wanted.size, f"{target}, {name}: nothing to compare"
        assert np.array_equal(np.isfinite(found), np.isfinite(wanted)), f"{target}, {name}: not finite where expected"
        finite = np.isfinite(wanted)
        assert np.array_equal(found[~finite], wanted[~finite], equal_nan=True), f"{target}, {name}: other infinities"
        reference = wanted[finite].astype(np.float64)
        magnitude = np.abs(reference)
        scale = np.maximum(magnitude, 1.0) if pointwise else np.asarray(magnitude.max(initial=0.0) or 1.0)
        difference = np.abs(found[finite].astype(np.float64) - reference)
        worst = (difference / scale).max(initial=0.0)
        assert worst <= tolerance, (
            f"{target}, {name}: largest difference {difference.max():.3g} where the largest magnitude is "
            f"{magnitude.max():.3g}; as a share of what counts {worst:.3g}, allowed {tolerance:.3g}"
        )
