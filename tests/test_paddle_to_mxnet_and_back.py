"""Operators of Paddle programs that become several nodes, written to MXNet and back to Paddle, and run there.

What a detector's or a normalisation's rule is made of has rules of its own in both targets; here it meets them whole.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from facecvt.converters.writers.to_mxnet import write_mxnet
from facecvt.parity_tests.runtimes.runtime_mxnet import MxnetRuntime
from facecvt.parity_tests.support.single_op import Sample, paddle_sample, random_array
from facecvt.parity_tests.support.single_op_targets import compare, read_sample
from facecvt.parity_tests.support.single_op_to_paddle import hold_paddle

X, SCALE, BIAS = random_array(3, 4, 5, 6), random_array(4, seed=1), random_array(4, seed=2)
PICTURES = np.int32([[90, 70], [64, 128]])
PLACES = np.int64([[2, 7, 2, 1], [0, 0, 4, 3]])
TIES = np.float32([[1, 3, 3, 2], [5, 5, 0, 5]])
HEAD = random_array(2, 14, 3, 4)
YOLO = "paddle.vision.ops.yolo_box(x, y, [10, 13, 33, 23], 2, 0.4, 32)"
# id -> (arrays, which of them are fed, expression, whether MXNet can express it)
CASES = {
    "group_norm": ({"x": X, "s": SCALE, "b": BIAS}, ("x",), "F.group_norm(x, 2, 1e-5, s, b)", True),
    "topk": ({"x": X}, ("x",), "paddle.topk(x, 3, axis=1)", True),
    "topk-least": ({"x": X}, ("x",), "paddle.topk(x, 2, largest=False)", True),
    "argsort": ({"x": TIES}, ("x",), "paddle.argsort(x, descending=True, stable=True)", True),
    "one_hot": ({"x": PLACES}, ("x",), "F.one_hot(x, 8)", True),
    "flip": ({"x": X}, ("x",), "paddle.flip(x, [1, -1])", True),
    "unstack": ({"x": X}, ("x",), "paddle.unstack(x, axis=2)", True),
    "meshgrid": ({"x": SCALE, "y": BIAS[:3]}, ("x", "y"), "paddle.meshgrid(x, y)", True),
    "norm of order 3": ({"x": X}, ("x",), "paddle.norm(x, p=3, axis=1)", True),
    "frobenius_norm": ({"x": X}, ("x",), "paddle.norm(x, p='fro', axis=[2, 3])", True),
    "yolo_box": ({"x": HEAD, "y": PICTURES}, ("x", "y"), YOLO, True),
    "nonzero": ({"x": TIES}, ("x",), "paddle.nonzero(x)", False),
    "put_along_axis": (
        {"x": X, "y": np.arange(120).reshape(1, 4, 5, 6) % 3, "z": X[:1] * 2},
        ("x", "y", "z"),
        "paddle.put_along_axis(x, y, z, 0)",
        False,
    ),
}


def sample_of(name: str, folder: Path) -> Sample:
    arrays, fed, expression, _ = CASES[name]
    return paddle_sample(folder, "pir", arrays, expression, data=fed)


@pytest.mark.parametrize("name", CASES)
def test_back_to_paddle(name: str, tmp_path: Path) -> None:
    sample = sample_of(name, tmp_path)
    hold_paddle(read_sample(sample), sample, tmp_path)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[3]])
def test_to_mxnet(name: str, tmp_path: Path, mxnet_module: ModuleType) -> None:
    sample = sample_of(name, tmp_path)
    graph = read_sample(sample)
    (symbol, params), _ = write_mxnet(graph, tmp_path / "mxnet")
    names = [str(value.name) for value in graph.inputs]
    with MxnetRuntime(symbol, params, names) as runtime:
        found = runtime.run({name: sample.feeds[name] for name in names}, [])
    compare("MXNet", found.outputs, sample.expected, 5e-6)
