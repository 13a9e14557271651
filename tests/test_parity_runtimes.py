"""One contract, held over every runtime: the same little net, built with each framework's own tools."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from facecvt.converters.errors import FrameworkMissingError, UsageError
from facecvt.parity_tests.runtimes.runtime import RunFailedError, Runtime
from facecvt.parity_tests.runtimes.runtime_mxnet import MxnetRuntime
from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime
from facecvt.parity_tests.runtimes.runtime_paddle import PaddleRuntime
from facecvt.parity_tests.runtimes.runtime_torch import TorchRuntime

WEIGHT = (np.arange(2 * 3 * 3 * 3, dtype=np.float32).reshape(2, 3, 3, 3) - 26.0) / 16.0
MODEL_PY = """
from pathlib import Path
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1, bias=False)
        self.act = nn.ReLU(inplace=True)

    def forward(self, data):
        x = self.conv(data)
        x = self.act(x)
        x = x.mean(dim=(2, 3))
        return x

def load():
    model = Model()
    model.load_state_dict(torch.load(Path(__file__).parent / "weights.pth", weights_only=True))
    return model.eval()
"""
SAVE_PADDLE = """
import sys, numpy, paddle
class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv = paddle.nn.Conv2D(3, 2, 3, padding=1, bias_attr=False)
    def forward(self, data):
        return paddle.mean(paddle.nn.functional.relu(self.conv(data)), axis=[2, 3])
net = Net()
net.conv.weight.set_value(numpy.load(sys.argv[1]))
net.eval()
paddle.jit.save(net, sys.argv[2], [paddle.static.InputSpec([None, 3, None, None], "float32", name="data")])
"""


def expected(data: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convolution, ReLU and mean in float64."""
    padded = np.pad(data.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    conv = np.einsum("ncyxij,mcij->nmyx", windows, WEIGHT.astype(np.float64))
    act = np.maximum(conv, 0)
    return conv, act, act.mean(axis=(2, 3))


@dataclass(frozen=True)
class Case:
    """A runtime on the little net, and what it calls the convolution's and the ReLU's result."""

    make: Callable[[], Runtime]
    conv: str
    act: str
    framework: str


def build_ort(folder: Path) -> Case:
    pytest.importorskip("onnxruntime", reason="pip install onnxruntime==1.31.1")
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["data", "w"], ["conv"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["conv"], ["act"]),
            helper.make_node("ReduceMean", ["act"], ["mean"], axes=[2, 3], keepdims=0),
        ],
        "little",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["batch", 3, "h", "w"])],
        [helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["batch", 2])],
        [onnx.numpy_helper.from_array(WEIGHT, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), folder / "m.onnx")
    return Case(lambda: OrtRuntime(folder / "m.onnx"), "conv", "act", "onnxruntime")


def build_torch_lines(folder: Path) -> Case:
    torch = pytest.importorskip("torch", reason="pip install torch==2.13.0")
    (folder / "model.py").write_text(MODEL_PY)
    torch.save({"conv.weight": torch.from_numpy(WEIGHT)}, folder / "weights.pth")
    first = MODEL_PY.splitlines().index("        x = self.conv(data)") + 1
    return Case(lambda: TorchRuntime(folder, ["data"], ["mean"]), f"line:{first}", f"line:{first + 1}", "torch")


def build_torch_modules(folder: Path) -> Case:
    case = build_torch_lines(folder)
    return Case(case.make, "module:conv", "module:act", "torch")


def build_paddle(folder: Path, pir: bool) -> Case:
    if importlib.util.find_spec("paddle") is None:
        pytest.skip("paddle is not installed: pip install paddlepaddle==3.3.1")
    np.save(folder / "w.npy", WEIGHT)
    environment = {**os.environ, "FLAGS_enable_pir_api": str(int(pir))}
    (folder / "save.py").write_text(SAVE_PADDLE)  # Paddle wants to read the source of what it traces
    command = [sys.executable, str(folder / "save.py"), str(folder / "w.npy"), str(folder / "inference")]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    program = folder / ("inference.json" if pir else "inference.pdmodel")
    from facecvt.converters.formats.paddle_program import read_program

    record = read_program(program)
    names = {op.type: next(iter(op.outputs.values()))[0] for op in record.ops}
    conv = next(op.outputs["Output"][0] for op in record.ops if op.type == "conv2d") if not pir else names["conv2d"]
    return Case(lambda: PaddleRuntime(program, folder / "inference.pdiparams"), conv, names["relu"], "paddle")


def build_mxnet(folder: Path) -> Case:
    if importlib.util.find_spec("mxnet") is None:
        pytest.skip('mxnet is not installed: pip install "mxnet==1.9.1" "numpy==1.26.4"')
    from facecvt.converters.compat_mxnet import import_mxnet

    mx = import_mxnet()
    net = mx.sym.Convolution(
        mx.sym.Variable("data"), kernel=(3, 3), pad=(1, 1), num_filter=2, no_bias=True, name="conv"
    )
    net = mx.sym.mean(mx.sym.Activation(net, act_type="relu", name="act"), axis=(2, 3), name="mean")
    net.save(str(folder / "m-symbol.json"))
    mx.nd.save(str(folder / "m-0000.params"), {"arg:conv_weight": mx.nd.array(WEIGHT)})
    make = lambda: MxnetRuntime(folder / "m-symbol.json", folder / "m-0000.params")  # noqa: E731 - a field of Case
    return Case(make, "conv_output", "act_output", "mxnet")


BUILDERS: dict[str, Callable[[Path], Case]] = {
    "ort": build_ort,
    "torch-lines": build_torch_lines,
    "torch-modules": build_torch_modules,
    "paddle-legacy": lambda folder: build_paddle(folder, pir=False),
    "paddle-pir": lambda folder: build_paddle(folder, pir=True),
    "mxnet": build_mxnet,
}


@pytest.fixture(scope="module", params=list(BUILDERS))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return BUILDERS[request.param](tmp_path_factory.mktemp("little"))


def data(batch: int, height: int, width: int) -> np.ndarray:
    return np.random.RandomState(batch).standard_normal((batch, 3, height, width)).astype(np.float32)


def test_outputs_and_taps_are_the_definition_at_every_batch_and_size(case: Case) -> None:
    with case.make() as runtime:
        assert runtime.input_names == ["data"]
        for fed in (data(1, 5, 7), data(2, 6, 4), data(3, 9, 9)):
            capture = runtime.run({"data": fed}, [case.act, case.conv])
            conv, act, mean = expected(fed)
            assert list(capture.outputs) == runtime.output_names
            (output,) = capture.outputs.values()
            assert set(capture.taps) == {case.act, case.conv}
            for actual, wanted in ((output, mean), (capture.taps[case.conv], conv), (capture.taps[case.act], act)):
                assert actual.dtype == np.float32
                assert actual.shape == wanted.shape
                np.testing.assert_allclose(actual, wanted, rtol=1e-5, atol=1e-5)


def test_results_belong_to_the_caller_and_inputs_are_untouched(case: Case) -> None:
    fed = data(2, 6, 6)
    kept = fed.copy()
    with case.make() as runtime:
        first = runtime.run({"data": fed}, [case.conv])
        again = {**first.outputs, **first.taps}
        before = {name: array.copy() for name, array in again.items()}
        for array in again.values():
            array[...] = 7.0
        second = runtime.run({"data": fed}, [case.conv])
        for name, array in {**second.outputs, **second.taps}.items():
            assert np.array_equal(array, before[name]), "two runs on one input must be bit-equal"
    assert np.array_equal(fed, kept)


def test_taps_can_change_between_runs_and_are_not_returned_unasked(case: Case) -> None:
    fed = data(1, 5, 5)
    with case.make() as runtime:
        assert runtime.run({"data": fed}).taps == {}
        assert set(runtime.run({"data": fed}, [case.act]).taps) == {case.act}
        assert set(runtime.run({"data": fed}, [case.conv]).taps) == {case.conv}


def test_wrong_use_is_an_error_that_says_what(case: Case) -> None:
    fed = data(1, 5, 5)
    with pytest.raises(UsageError, match="with"):
        case.make().run({"data": fed})
    with case.make() as runtime:
        with pytest.raises(UsageError, match="missing"):
            runtime.run({})
        with pytest.raises(UsageError, match="unknown"):
            runtime.run({"data": fed, "more": fed})
        with pytest.raises(RunFailedError):
            runtime.run({"data": fed}, ["no_such_value"])
        with pytest.raises(RunFailedError):
            runtime.run({"data": data(1, 5, 5)[:, :2]})
        assert runtime.run({"data": fed}).outputs, "a failed run leaves the runtime usable"


def test_a_missing_framework_is_named_with_its_pip_command(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, case.framework, None)
    with pytest.raises(FrameworkMissingError, match="pip install") as caught, case.make():
        pass
    assert caught.value.framework == case.framework
    assert caught.value.exit_code == 4


def test_a_missing_or_damaged_model_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "damaged.onnx").write_bytes(b"not a model")
    pytest.importorskip("onnxruntime", reason="pip install onnxruntime==1.31.1")
    for path in (tmp_path / "damaged.onnx", tmp_path / "missing.onnx"):
        with pytest.raises(RunFailedError, match=path.name), OrtRuntime(path):
            pass


def test_what_onnxruntime_refuses_is_told_by_the_error_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It writes a line of its own to stderr for every failed node; `--json` and `-q` leave no room for that."""
    onnx = pytest.importorskip("onnx", reason="pip install onnx==1.23.2")
    pytest.importorskip("onnxruntime", reason="pip install onnxruntime==1.31.1")
    floats = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Gemm", ["data", "w"], ["out"], name="fc")],
        "g",
        [onnx.helper.make_tensor_value_info("data", floats, ["batch", "features"])],
        [onnx.helper.make_tensor_value_info("out", floats, None)],
        [onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx")
    with (
        OrtRuntime(tmp_path / "m.onnx") as runtime,
        pytest.raises(RunFailedError, match=r"Gemm.*[Dd]imension mismatch"),
    ):
        runtime.run({"data": np.ones((1, 5), np.float32)})
    assert capfd.readouterr().err == ""


def test_torch_taps_on_lines_without_an_assignment_are_refused(tmp_path: Path) -> None:
    case = build_torch_lines(tmp_path)
    line = MODEL_PY.splitlines().index("        return x") + 1
    with case.make() as runtime, pytest.raises(RunFailedError, match=f"line\\(s\\) \\[{line}\\]"):
        runtime.run({"data": data(1, 5, 5)}, [f"line:{line}"])


def test_ort_outputs_come_from_the_file_as_it_is_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking inside must not change where the outputs come from: their session is the file, with default options."""
    case = build_ort(tmp_path)
    started = []
    original = OrtRuntime._start

    def record(self: OrtRuntime, model: str | bytes, *, optimised: bool = True) -> object:
        started.append((model, optimised))
        return original(self, model, optimised=optimised)

    monkeypatch.setattr(OrtRuntime, "_start", record)
    with case.make() as runtime:
        runtime.run({"data": data(1, 5, 5)}, [case.conv])
    assert started[0] == (str(tmp_path / "m.onnx"), True)
    assert started[1][0] != started[0][0]


def test_ort_taps_reach_models_with_external_data(tmp_path: Path) -> None:
    import onnx

    case = build_ort(tmp_path)
    model = onnx.load(tmp_path / "m.onnx")
    (tmp_path / "external").mkdir()
    onnx.save(model, tmp_path / "external" / "m.onnx", save_as_external_data=True, size_threshold=0, location="m.data")
    fed = data(1, 5, 5)
    with OrtRuntime(tmp_path / "external" / "m.onnx") as runtime:
        capture = runtime.run({"data": fed}, [case.conv])
    np.testing.assert_allclose(capture.taps["conv"], expected(fed)[0], rtol=1e-5, atol=1e-5)
    assert sorted(path.name for path in (tmp_path / "external").iterdir()) == ["m.data", "m.onnx"]
