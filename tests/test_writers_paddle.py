"""Paddle models as they are written: files, names, weights, public state dicts, and what Paddle makes of them."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from facecvt.converters.conversion import Conversion, convert_files
from facecvt.converters.errors import ConversionError, FormatError, UnsupportedOperatorsError, WeightsError
from facecvt.converters.formats.locate import locate
from facecvt.converters.formats.mapped import as_numpy
from facecvt.converters.formats.paddle_model import load_paddle
from facecvt.converters.formats.paddle_params import read_pdparams
from facecvt.converters.formats.paddle_program import read_program
from facecvt.converters.formats.paddle_state import write_pdparams
from facecvt.converters.graph import Builder, Graph
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.passes.infer_shapes import infer_shapes
from facecvt.converters.passes.pipeline import run_passes
from facecvt.converters.writers.to_paddle import write_paddle
from facecvt.parity_tests.runtimes.runtime_paddle import PaddleRuntime
from facecvt.parity_tests.support.real_models import REAL_MODELS, RealModel, worst_of
from facecvt.parity_tests.support.single_op_to_paddle import run_in_paddle
from facecvt.parity_tests.verify import verify
from facecvt.reference_models.materialise import write_reference
from facecvt.reference_models.public_class import public_class
from facecvt.reference_models.spec import architectures, families

FLOAT = ir.DataType.FLOAT
FAST = {"retinaface"}  # the others in make test-all


# ---- names and weights


def built(*ops: tuple[str, str], weights: dict[str, np.ndarray] | None = None, x: str = "x") -> Builder:
    """A chain of operators of one operand, or of the operand and a weight of the given name."""
    b = Builder("onnx", "model")
    value = b.input(x, ["batch", 2, 3], FLOAT)
    given = {name: b.weight(name, array) for name, array in (weights or {}).items()}
    for op, name in ops:
        operator, _, weight = op.partition(":")
        b.begin(operator, f"node_{name}")
        value = b.emit(operator, [value, given[weight]] if weight else [value])
        b.rename(value, name)
    b.output(value, ops[-1][1])
    return b


def read(b: Builder) -> Graph:
    """The graph as a reader gives it: with shapes, passed through the passes."""
    infer_shapes(b.graph)
    return run_passes(b.graph)


def test_variables_bear_the_values_names(tmp_path: Path) -> None:
    b = built(("Relu", "layer1/a b"), ("PRelu:slope", "out"), weights={"slope": np.full((2, 1), 0.5, np.float32)})
    written = write_paddle(read(b), tmp_path / "m")
    assert [path.name for path in written.files] == ["model.pdmodel", "model.pdiparams"]
    program = read_program(written.files[0])
    assert (program.inputs, program.outputs, program.parameters) == (["x"], ["out"], ["slope"])
    assert written.taps == {"layer1/a b": "layer1/a b", "out": "out"}
    assert [(op.type, op.name) for op in program.ops] == [("relu", "layer1/a b"), ("prelu", "out")]
    assert program.vars["x"].shape == (-1, 2, 3)
    assert program.vars["out"].shape == (-1, 2, 3)
    assert program.vars["slope"].shape == (2,)  # Paddle's form of (C, 1)


def test_names_with_a_meaning_for_paddle_are_changed(paddle_module: ModuleType, tmp_path: Path) -> None:
    weights = {"fetch": np.full((2, 1), 0.5, np.float32)}
    b = built(("Relu", "feed"), ("PRelu:fetch", "a@GRAD"), ("Tanh", "y"), weights=weights, x="@EMPTY@")
    written = write_paddle(read(b), tmp_path / "m")
    program = read_program(written.files[0])
    names = [op.name for op in program.ops]
    assert names == [written.taps["feed"], written.taps["a@GRAD"], "y"]
    assert not {"feed", "fetch", "@EMPTY@"} & {*names, *program.inputs, *program.parameters}
    assert "@GRAD" not in "".join(names)
    data = np.linspace(-2, 2, 12, dtype=np.float32).reshape(2, 2, 3)
    (result,) = run_in_paddle(tmp_path / "m", [path.name for path in written.files], {program.inputs[0]: data})
    np.testing.assert_allclose(result, np.tanh(np.maximum(data, 0)), rtol=1e-6)


def test_a_weight_in_two_forms_is_there_twice(tmp_path: Path) -> None:
    """One matrix, read by Gemm as (out, in) and added as it is."""
    b = Builder("onnx", "model")
    x, w = b.input("x", ["batch", 3], FLOAT), b.weight("w", np.arange(9, dtype=np.float32).reshape(3, 3))
    b.begin("Gemm", "g")
    y = b.emit("Gemm", [x, w], transB=1)
    b.begin("MatMul", "m")
    z = b.emit("MatMul", [y, w])
    b.output(z, "z")
    model = load_paddle(locate("paddle", write_paddle(read(b), tmp_path / "m").files[0]))
    first, second = model.params["w"], model.params["w/value"]
    np.testing.assert_array_equal(as_numpy(first), as_numpy(second).T)


def test_outputs_that_repeat_something_are_copies(paddle_module: ModuleType, tmp_path: Path) -> None:
    b = Builder("onnx", "model")
    x = b.input("x", ["batch", 3], FLOAT)
    b.begin("Relu", "r")
    y = b.emit("Relu", [x])
    weight = b.weight("w", np.arange(3, dtype=np.float32))
    for value, name in ((y, "y"), (y, "again"), (x, "same"), (weight, "constant")):
        b.output(value, name)
    written = write_paddle(read(b), tmp_path / "m")
    assert [op.type for op in read_program(written.files[0]).ops] == ["relu", "assign", "assign", "assign"]
    data = np.float32([[-1, 0, 1], [2, -3, 4]])
    assert read_program(written.files[0]).outputs == ["y", "again", "same", "constant"]
    names = [path.name for path in written.files]
    y_found, again, same, constant = run_in_paddle(tmp_path / "m", names, {"x": data})
    np.testing.assert_array_equal(y_found, np.maximum(data, 0))
    np.testing.assert_array_equal(again, np.maximum(data, 0))
    np.testing.assert_array_equal(same, data)
    np.testing.assert_array_equal(constant, [0, 1, 2])


def test_a_model_without_weights_runs(paddle_module: ModuleType, tmp_path: Path) -> None:
    written = write_paddle(built(("Relu", "y")).graph, tmp_path / "m")
    assert [path.name for path in written.files] == ["model.pdmodel"]
    (result,) = run_in_paddle(tmp_path / "m", ["model.pdmodel"], {"x": np.full((1, 2, 3), -1, np.float32)})
    assert result.tolist() == np.zeros((1, 2, 3)).tolist()


# ---- what is refused


def test_operators_without_a_form_are_listed_before_anything_is_written(tmp_path: Path) -> None:
    b = built(("DepthToSpace", "a"), ("Relu", "b"), ("DepthToSpace", "c"))
    with pytest.raises(UnsupportedOperatorsError, match=r"DepthToSpace x2: node_a, node_c"):
        write_paddle(b.graph, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_rank_is_refused(tmp_path: Path) -> None:
    b = Builder("mxnet", "model")
    x = b.input("x", None, FLOAT)
    b.begin("Relu", "r")
    b.output(b.emit("Relu", [x]), "y")
    with pytest.raises(ConversionError, match="number of dimensions of 'x' is not known"):
        write_paddle(b.graph, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


# ---- .pdparams

ARRAYS = {
    "block.0.wéight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "count": np.array(3, np.int64),
    "flags": np.array([True, False]),
    "none": np.zeros((0, 3)),
    "half": np.ones(4, np.float16),
    "bytes": np.array([1, 2], np.uint8),
}


def assert_same(found: dict[str, np.ndarray]) -> None:
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        np.testing.assert_array_equal(found[name], array)


def test_state_dicts_are_read_by_pickle_by_facecvt_and_by_paddle(paddle_module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "state.pdparams"
    write_pdparams(path, ARRAYS)
    assert_same(pickle.loads(path.read_bytes()))
    assert_same({name: as_numpy(array) for name, array in read_pdparams(path).items()})
    loaded = paddle_module.load(str(path))
    assert_same({name: tensor.numpy() for name, tensor in loaded.items()})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(FormatError):
        read_pdparams(path)


def test_a_mapped_array_is_copied(tmp_path: Path) -> None:
    first, second = tmp_path / "first.pdparams", tmp_path / "second.pdparams"
    write_pdparams(first, ARRAYS)
    write_pdparams(second, read_pdparams(first))
    assert first.read_bytes() == second.read_bytes()


# ---- whole models


def converted(source: str, path: Path, target: str, folder: Path) -> Conversion:
    return convert_files(source, locate(source, path), target, folder, recogniser=public_class)


@pytest.fixture(scope="module", params=["mobilefacenet", pytest.param("r18", marks=pytest.mark.slow)])
def there(
    request: pytest.FixtureRequest, paddle_module: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Conversion:
    """A seeded Paddle model, converted to ONNX."""
    folder = tmp_path_factory.mktemp("there")
    source = write_reference(request.param, "paddle", folder)
    return converted("paddle", source, "onnx", folder / f"{request.param}.onnx")


def test_there_and_back_gives_the_same_file(there: Conversion, paddle_module: ModuleType, tmp_path: Path) -> None:
    """Paddle to ONNX to Paddle: the weights file byte for byte, the same operators, the public keys."""
    back = converted("onnx", there.target, "paddle", tmp_path / "back")
    original = there.source_model
    assert [path.suffix for path in back.files] == [".pdmodel", ".pdiparams", ".pdparams"]
    assert back.files[1].read_bytes() == original.files[1].read_bytes()
    again = load_paddle(locate("paddle", back.target))
    assert list(again.params) == list(original.params)
    assert sorted(op.type for op in again.program.ops) == sorted(op.type for op in original.program.ops)
    lost = {op.name for op in original.program.ops} - {op.name for op in again.program.ops}
    assert lost <= set(there.graph.absorbed)  # the product in front of a bias, which ONNX's Gemm does not name
    found = verify(back, batches=(2,), kinds=("normal",))
    assert (found.verdict, found.coverage.parametric, found.coverage.taps) == ("agree", 1.0, 1.0)

    assert back.recognised is not None
    architecture = architectures()[back.recognised]
    net = families()[architecture.family].build(architecture, "paddle")
    missing, unexpected = net.set_state_dict(paddle_module.load(str(back.files[2])))
    assert (list(missing), list(unexpected)) == ([], [])
    net.eval()
    data = np.random.default_rng(0).uniform(-1, 1, (2, 3, 112, 112)).astype(np.float32)
    with PaddleRuntime(*back.files[:2]) as runtime:
        (program,) = runtime.run({runtime.input_names[0]: data}).outputs.values()
    with paddle_module.no_grad():
        public = net(paddle_module.to_tensor(data)).numpy()
    assert np.abs(public - program).max() <= 2e-5 * np.abs(public).max()


def test_eps_that_the_public_class_cannot_hold_is_refused(there: Conversion, tmp_path: Path) -> None:
    import onnx

    model, path = onnx.load(there.target), tmp_path / "m.onnx"
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "epsilon":
                attribute.f = 0.0
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    variance = next(node for node in model.graph.node if node.op_type == "BatchNormalization").input[4]
    zeros = np.zeros(tuple(weights[variance].dims), np.float32)
    weights[variance].CopyFrom(onnx.numpy_helper.from_array(zeros, variance))
    onnx.save(model, path)
    with pytest.raises(WeightsError, match=r"cannot make up for the difference. Use --arch none"):
        converted("onnx", path, "paddle", tmp_path / "out")
    assert not (tmp_path / "out").exists()


PREDICT = """
import json, sys, numpy as np
prefix, feeds, flag, onednn = sys.argv[1:5]
import paddle
from paddle import inference
data = np.load(feeds)
config = inference.Config(prefix + ".pdmodel", prefix + ".pdiparams")
config.disable_glog_info()
if onednn == "no":
    config.disable_mkldnn()
predictor = inference.create_predictor(config)
handle = predictor.get_input_handle(predictor.get_input_names()[0])
handle.reshape(data.shape)
handle.copy_from_cpu(data)
predictor.run()
found = {"inputs": predictor.get_input_names(), "outputs": predictor.get_output_names()}
found["predicted"] = [predictor.get_output_handle(name).copy_to_cpu().tolist() for name in found["outputs"]]
if flag == "0":
    layer = paddle.jit.load(prefix)
    layer.eval()
    result = layer(paddle.to_tensor(data))
    found["layer"] = [item.numpy().tolist() for item in (result if isinstance(result, (list, tuple)) else [result])]
print(json.dumps(found))
"""


# With PIR and without; jit.load takes legacy programs only without. blazeface-sim and blazeface have what fusions got
# wrong once: biases between convolutions and sums, reshapes to computed shapes.
PREDICTED = [("det2", "0"), ("blazeface-sim", "1")]
TO_PADDLE = [model for model in REAL_MODELS if "paddle" in model.targets]
PREDICTED_SLOWLY = [(model.key, "1") for model in TO_PADDLE if (model.key, "1") not in PREDICTED]
# Here oneDNN in the predictor of Paddle 3.3.1 gives other numbers (FPN-SSH) or ends the process (MediaPipe front and
# back), and so it did with what Paddle itself saved of FPN-SSH, which a test below holds, and of the front net.
WITHOUT_ONEDNN = {"fpn-ssh-pt", "mediapipe-front", "mediapipe-back"}


def predicted(prefix: Path, data: Path, flag: str, onednn: bool) -> dict[str, Any]:
    """What Paddle's predictor with its default optimisations gives, oneDNN's among them or not; what jit.load gives."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PREDICT, str(prefix), str(data), flag, "yes" if onednn else "no"],
        capture_output=True,
        text=True,
        env={**os.environ, "FLAGS_enable_pir_api": flag, "GLOG_minloglevel": "2"},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("key", "flag"), [*PREDICTED, *(pytest.param(*pair, marks=pytest.mark.slow) for pair in PREDICTED_SLOWLY)]
)
def test_paddle_inference_and_jit_load_take_it(
    key: str, flag: str, real_models: Path, paddle_module: ModuleType, tmp_path: Path
) -> None:
    """Paddle's predictor with its default optimisations gives what the plain executor gives."""
    model = next(model for model in REAL_MODELS if model.key == key)
    conversion = model.convert("paddle", real_models, tmp_path)
    (contract,) = conversion.contracts
    sizes = {"batch": model.batches[-1], "height": 96, "width": 112}
    shape = [size if isinstance(size, int) else sizes[size] for size in contract.shape]
    data = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    np.save(tmp_path / "data.npy", data)
    prefix = conversion.files[0].with_suffix("")
    found = predicted(prefix, tmp_path / "data.npy", flag, key not in WITHOUT_ONEDNN)
    assert found["inputs"] == [contract.name]
    assert found["outputs"] == [value.name for value in conversion.graph.outputs]
    expected = run_in_paddle(conversion.target, [path.name for path in conversion.files[:2]], {contract.name: data})
    for kind in ("predicted", *(("layer",) if flag == "0" else ())):
        assert len(found[kind]) == len(expected) > 0
        for ours, theirs in zip(found[kind], expected, strict=True):
            assert np.abs(np.float32(ours) - theirs).max() <= 1e-5 * np.abs(theirs).max()


@pytest.mark.slow
def test_onednn_is_wrong_on_a_program_of_paddle_itself(paddle_module: ModuleType, tmp_path: Path) -> None:
    """Once this fails, Paddle is mended and WITHOUT_ONEDNN can go."""
    path = write_reference("blazeface_fpn_ssh", "paddle", tmp_path)
    assert path.suffix == ".pdmodel"
    data = np.random.default_rng(1).uniform(-1, 1, (1, 3, 320, 320)).astype(np.float32)
    np.save(tmp_path / "data.npy", data)
    prefix = path.with_suffix("")
    with_it, without = (predicted(prefix, tmp_path / "data.npy", "1", onednn)["predicted"] for onednn in (True, False))
    with PaddleRuntime(path, prefix.with_suffix(".pdiparams")) as runtime:
        outputs = list(runtime.run({runtime.input_names[0]: data}).outputs.values())
    off = [[np.abs(np.float32(a) - b).max() / np.abs(b).max() for a, b in zip(found, outputs, strict=True)]
           for found in (with_it, without)]  # fmt: skip
    assert max(off[0]) > 0.02
    assert max(off[1]) < 1e-5


@pytest.mark.parametrize(
    "model",
    [pytest.param(model, id=model.key, marks=[pytest.mark.slow] * (model.key not in FAST)) for model in TO_PADDLE],
)
def test_a_real_model_agrees(model: RealModel, real_models: Path, paddle_module: ModuleType, tmp_path: Path) -> None:
    """Verified, and what was written is read again into a graph that verifies as well."""
    conversion = model.convert("paddle", real_models, tmp_path)
    found = verify(conversion, batches=model.batches[:2], kinds=("normal",))
    assert found.verdict == "agree", found.reasons
    assert worst_of(found).within_goals
    assert (found.coverage.parametric, found.coverage.taps) == (1.0, 1.0)
    again = convert_files("paddle", locate("paddle", conversion.target), "onnx", tmp_path / "again.onnx")
    found = verify(again, batches=model.batches[:1], kinds=("normal",))
    assert found.verdict == "agree", found.reasons
