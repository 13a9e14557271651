"""Models of one operator, made with the real source framework.

    sample = mxnet_sample(folder, "Convolution", {"data": x, "weight": w}, {"kernel": (3, 3), "no_bias": True, ...})
    sample = paddle_sample(folder, "pir", {"x": x, "w": w}, "F.conv2d(x, w, padding='SAME')")
    sample = paddle_op_sample(folder, "hard_swish", {"x": x}, {"X": ["x"]}, {"scale": 5.0})
    sample = onnx_sample(folder, "Conv", [x, w], {"pads": [1, 1, 1, 1]}, opset=11)
    hold_targets(sample, folder)

A sample holds the model's record as the readers take it, what is fed, and what the source framework computed from it;
single_op_targets.py holds targets against it. A framework that is not installed skips the test with its pip command.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from facecvt.converters.formats.locate import locate
from facecvt.converters.formats.model_files import PaddleFiles
from facecvt.converters.formats.mxnet_model import MxnetModel
from facecvt.converters.formats.mxnet_symbol import AUX_INPUTS, read_symbol
from facecvt.converters.formats.paddle_model import PaddleModel, load_paddle
from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime

NumpyArray = np.ndarray[Any, np.dtype[Any]]
Dialect = Literal["legacy", "pir"]

PIP_COMMANDS = {
    "mxnet": 'pip install "mxnet==1.9.1" "numpy==1.26.4"',
    "paddle": "pip install paddlepaddle==3.3.1",
    "torch": "pip install torch==2.13.0",
    "onnxruntime": "pip install onnxruntime==1.31.1",
}


@dataclass
class Sample:
    """A model of one operator and what its own framework makes of it.

    Attributes:
        model: the record that a reader takes.
        feeds: input name -> array.
        expected: outputs in order.
    """

    model: MxnetModel | PaddleModel | Path
    feeds: dict[str, NumpyArray]
    expected: list[NumpyArray]


def skip_without(framework: str) -> None:
    """Skip the running test where a framework is not installed."""
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed: {PIP_COMMANDS[framework]}")


def random_array(*shape: int, seed: int = 0, low: float = -2.0, high: float = 2.0) -> NumpyArray:
    """float32 numbers, uniform between two bounds, the same for the same arguments."""
    generator = np.random.default_rng([seed, *shape])
    return generator.uniform(low, high, shape).astype(np.float32)


# ---- MXNet -----------------------------------------------------------------------------------------------------------


def mxnet_sample(
    folder: Path,
    op: str,
    arrays: Mapping[str, NumpyArray],
    attrs: Mapping[str, object] | None = None,
    *,
    data: Sequence[str] = ("data",),
    labels: Sequence[str] = (),
    outputs: int = 1,
    dtype: str = "float32",
) -> Sample:
    """One MXNet node, written as a symbol file and run by MXNet.

    Args:
        folder: where the file is written.
        op: operator.
        arrays: the node's inputs in order; those not in ``data`` or ``labels`` are weights.
        attrs: only what stands in the file; strings are written as they are, everything else through ``str``.
        data: inputs that are fed.
        labels: inputs that exist in training only; MXNet gets their array, the converted model does not.
        outputs: how many outputs of the node are outputs of the model.
        dtype: what MXNet computes in, arrays of int32 apart; float64 leaves its oneDNN kernels aside, which lack some
            forms.
    """
    skip_without("mxnet")
    from facecvt.converters.compat_mxnet import import_mxnet

    mx = import_mxnet("hold facecvt against MXNet")
    names = list(arrays)
    nodes: list[dict[str, Any]] = [{"op": "null", "name": name, "inputs": []} for name in names]
    described = {"op": op, "name": "op", "inputs": [[index, 0, 0] for index in range(len(names))]}
    nodes.append({**described, "attrs": {key: str(value) for key, value in (attrs or {}).items()}})
    document = {
        "nodes": nodes,
        "arg_nodes": list(range(len(names))),
        "node_row_ptr": list(range(len(nodes) + 1)),
        "heads": [[len(names), output, 0] for output in range(outputs)],
        "attrs": {"mxnet_version": ["int", 10901]},
    }
    path = folder / "model-symbol.json"
    path.write_text(json.dumps(document))

    aux_names = names[-len(AUX_INPUTS[op]) :] if op in AUX_INPUTS else []
    bound = mx.sym.load(str(path)).bind(
        mx.cpu(),
        args={
            name: mx.nd.array(array, dtype="int32" if array.dtype == np.int32 else dtype)
            for name, array in arrays.items()
            if name not in aux_names
        },
        aux_states={name: mx.nd.array(arrays[name], dtype=dtype) for name in aux_names},
    )
    expected = [output.asnumpy().astype(np.float32) for output in bound.forward(is_train=False)]
    weights = {name: array for name, array in arrays.items() if name not in (*data, *labels)}
    model = MxnetModel(
        read_symbol(path),
        {name: array for name, array in weights.items() if name not in aux_names},
        {name: arrays[name] for name in aux_names},
        "model",
        (path,),
    )
    return Sample(model, {name: arrays[name] for name in data}, expected)


# ---- Paddle ----------------------------------------------------------------------------------------------------------


class PaddleProcess:
    """A process that makes programs of one dialect; see :mod:`facecvt.parity_tests.support.single_op_paddle`."""

    def __init__(self, dialect: Dialect) -> None:
        environment = {**os.environ, "FLAGS_enable_pir_api": "1" if dialect == "pir" else "0", "GLOG_minloglevel": "3"}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "facecvt.parity_tests.support.single_op_paddle"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        atexit.register(self.close)
        self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def ask(self, request: Mapping[str, object]) -> None:
        """Make one program; raises RuntimeError with Paddle's message where Paddle refuses it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            raise RuntimeError(f"Paddle: {answer['error']}")

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the Paddle process ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@functools.cache
def paddle_process(dialect: Dialect) -> PaddleProcess:
    """The process of a dialect, started at its first use."""
    return PaddleProcess(dialect)


def paddle_sample(
    folder: Path,
    dialect: Dialect,
    arrays: Mapping[str, NumpyArray],
    expression: str,
    *,
    data: Sequence[str] = ("x",),
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> Sample:
    """A Paddle program of what an expression of Paddle's own functions makes; one text serves both dialects.

    Args:
        folder: where the model's files are written.
        dialect: "legacy" or "pir".
        arrays: names in the expression; those not in ``data`` become parameters.
        expression: Python over these names, ``paddle``, ``F`` (paddle.nn.functional) and ``np``.
        data: arrays that are fed.
        shapes: declared shapes of inputs where they are not the array's own, with -1 for dynamic dimensions.
    """
    return _paddle_sample(folder, dialect, arrays, data, {"expression": expression, "shapes": dict(shapes or {})})


def paddle_op_sample(
    folder: Path,
    op: str,
    arrays: Mapping[str, NumpyArray],
    slots: Mapping[str, Sequence[str]],
    attrs: Mapping[str, object] | None = None,
    *,
    outputs: Sequence[str] = ("Out",),
    data: Sequence[str] = ("x",),
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> Sample:
    """One legacy Paddle operator with exactly these attributes; Paddle adds the defaults of its registration.

    Args:
        folder: where the model's files are written.
        op: operator type.
        arrays: inputs and parameters by name.
        slots: slot -> names of arrays.
        attrs: attributes.
        outputs: output slots; the first is the model's output.
        data: arrays that are fed.
        shapes: declared shapes of inputs where they are not the array's own.
    """
    request = {"op": op, "slots": {key: list(names) for key, names in slots.items()}, "attrs": dict(attrs or {})}
    return _paddle_sample(
        folder, "legacy", arrays, data, {**request, "outputs": list(outputs), "shapes": dict(shapes or {})}
    )


def _paddle_sample(
    folder: Path, dialect: Dialect, arrays: Mapping[str, NumpyArray], data: Sequence[str], request: dict[str, object]
) -> Sample:
    skip_without("paddle")
    np.savez(folder / "arrays.npz", **dict(arrays))
    paddle_process(dialect).ask({"folder": str(folder), "data": list(data), **request})
    with np.load(folder / "expected.npz") as archive:
        expected = [archive[str(index)] for index in range(len(archive.files))]
    files = locate("paddle", folder / ("model.json" if dialect == "pir" else "model.pdmodel"))
    assert isinstance(files, PaddleFiles)
    return Sample(load_paddle(files), {name: arrays[name] for name in data}, expected)


# ---- ONNX ------------------------------------------------------------------------------------------------------------


def onnx_sample(
    folder: Path,
    op: str,
    arrays: Sequence[NumpyArray | None],
    attrs: Mapping[str, object] | None = None,
    *,
    opset: int,
    fed: int = 1,
    outputs: int = 1,
    shapes: Mapping[str, Sequence[int | str]] | None = None,
) -> Sample:
    """One ONNX node, run by ONNX Runtime.

    Args:
        folder: where the file is written.
        op: operator.
        arrays: its inputs in order, None for one that is left out; the first ``fed`` are inputs of the model
            (``input0``, ``input1``, ...), the others initializers.
        attrs: attributes.
        opset: the model's opset.
        fed: how many inputs are fed.
        outputs: how many outputs the node has.
        shapes: declared shapes of inputs where they are not the array's own.
    """
    skip_without("onnxruntime")
    import onnx
    from onnx import helper, numpy_helper

    given = {f"input{index}": array for index, array in enumerate(arrays) if array is not None}
    names = [f"input{index}" if array is not None else "" for index, array in enumerate(arrays)]
    results = [f"output{index}" for index in range(outputs)]
    node = helper.make_node(op, names, results, name="op", **dict(attrs or {}))
    feeds = {name: given[name] for name in names[:fed]}
    graph = helper.make_graph(
        [node],
        "model",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), (shapes or {}).get(name, array.shape)
            )
            for name, array in feeds.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in results],
        [numpy_helper.from_array(array, name) for name, array in given.items() if name not in feeds],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=min(10, 3 + opset // 3))
    path = folder / "source.onnx"
    onnx.save(model, path)
    with OrtRuntime(path) as runtime:
        expected = list(runtime.run(feeds).outputs.values())
    return Sample(path, feeds, expected)
