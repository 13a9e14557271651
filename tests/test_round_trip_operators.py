"""What facecvt writes it reads again: every operator of its MXNet and Paddle targets, by its readers and its oracles.

A Paddle program can only be written of the operators in the table of their forms, and test_ops_to_paddle.py reads every
case again. For MXNet every case of test_ops_mxnet_target.py is written and read again here, and held against the
float64 oracle of ONNX; that each rule has a case is a test of that file.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import facecvt.parity_tests.oracle.paddle_program  # noqa: F401 - importing it registers Paddle's definitions
from facecvt.converters.errors import ConversionError
from facecvt.converters.formats.locate import locate
from facecvt.converters.formats.model_files import MxnetFiles
from facecvt.converters.formats.mxnet_model import load_mxnet
from facecvt.converters.formats.paddle_operators import OPERATORS
from facecvt.converters.ops.registry import table
from facecvt.converters.readers.from_mxnet import read_mxnet
from facecvt.converters.readers.from_onnx import read_onnx
from facecvt.converters.writers.to_mxnet import write_mxnet
from facecvt.converters.writers.to_onnx import write_onnx
from facecvt.parity_tests.oracle.mxnet_symbol import MxnetOracle
from facecvt.parity_tests.oracle.onnx_model import OnnxOracle
from facecvt.parity_tests.oracle.paddle_attributes import LEGACY_OPERATORS
from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime
from facecvt.parity_tests.support.onnx_cases import Case
from facecvt.parity_tests.support.single_op_targets import compare

BOUNDARY = {"feed", "fetch"}  # inputs and outputs of a Paddle program, which its record keeps apart
NEWEST_OPSET = 21
# Cases that are read with other inputs, or not at all, and why.
SIZES_ARE_CONSTANT = "Shape"  # of an input of known size, which the symbol no longer reads
KEPT_BEHIND = "kernel_shape=[2, 2],strides=[3, 3],ceil_mode=1"  # MXNet keeps a window that the writer then cuts off


def mxnet_target() -> ModuleType:
    """The table of the MXNet target's own tests."""
    path = Path(__file__).with_name("test_ops_mxnet_target.py")
    spec = importlib.util.spec_from_file_location("mxnet_target_table", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TARGET = mxnet_target()
WRITTEN: list[Case] = [case for case in TARGET.READ if TARGET.refusal(case) is None]


def test_paddle_operators_have_reader_rules_and_definitions() -> None:
    written = set(OPERATORS) - BOUNDARY
    assert written - set(table("from_paddle")) == set()
    assert written - set(LEGACY_OPERATORS.names()) == set()


@pytest.mark.parametrize("case", WRITTEN, ids=str)
def test_mxnet_nodes_are_read_again(case: Case, tmp_path: Path) -> None:
    path, feeds = TARGET.model_file(case, tmp_path)
    expected = list(OnnxOracle(path, np.float64).run(feeds).values())
    graph = read_onnx(path)
    write_mxnet(graph, tmp_path / "mxnet")
    files = locate("mxnet", tmp_path / "mxnet")
    assert isinstance(files, MxnetFiles)
    model = load_mxnet(files)
    feeds = {} if case.op == SIZES_ARE_CONSTANT else {str(value.name): feeds[str(value.name)] for value in graph.inputs}
    compare("the oracle of MXNet", MxnetOracle(model).run(feeds), expected, TARGET.TOLERANCE)
    if KEPT_BEHIND in str(case):
        with pytest.raises(ConversionError, match="let a window begin behind the input"):
            read_mxnet(model, {name: array.shape for name, array in feeds.items()})
        return
    again = read_mxnet(model, {name: array.shape for name, array in feeds.items()})
    assert len(again.inputs) == len(feeds)
    write_onnx(again, tmp_path / "again.onnx", NEWEST_OPSET)
    with OrtRuntime(tmp_path / "again.onnx") as runtime:
        found = runtime.run({str(value.name): feeds[str(value.name)] for value in again.inputs}).outputs
    compare("the symbol read again", found, expected, TARGET.TOLERANCE)
