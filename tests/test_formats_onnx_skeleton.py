"""ONNX files read without copying their weights: the skeleton says what the file says, and memory shows no copy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facecvt.converters.formats.onnx_file import Initializer
from facecvt.converters.formats.onnx_skeleton import read_skeleton
from facecvt.converters.readers.from_onnx import read_onnx
from facecvt.parity_tests.oracle.onnx_model import OnnxOracle

TYPES = (np.float32, np.float64, np.float16, np.int8, np.uint8, np.int32, np.int64, np.bool_)


def a_model(*initializers: TensorProto) -> onnx.ModelProto:
    """x @ w, with w among the initializers."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 32])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 32])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"], "product")], "net", [x], [y], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, doc_string="kept")


def weight(name: str = "w", dtype: type = np.float32, shape: tuple[int, ...] = (32, 32)) -> TensorProto:
    numbers = np.random.default_rng(len(name)).integers(-100, 100, shape)
    return numpy_helper.from_array((numbers / np.float64(8)).astype(dtype), name)


def test_the_skeleton_with_its_weights_is_the_file(tmp_path: Path) -> None:
    others = [weight(f"of/{dtype.__name__}", dtype, (3, 700)) for dtype in TYPES]
    as_floats = helper.make_tensor("as floats", TensorProto.FLOAT, [600], np.arange(600.0))
    model = a_model(weight(), *others, as_floats, weight("small", shape=(2, 2)))
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    skeleton = read_skeleton(path)
    assert skeleton is not None
    assert sorted(skeleton.weights) == sorted(["w", *(item.name for item in others)])
    for item in (weight(), *others):
        found = skeleton.weights[item.name].numpy()
        assert np.array_equal(found, numpy_helper.to_array(item))
        assert found.dtype == numpy_helper.to_array(item).dtype
    proto = skeleton.proto()
    assert len(skeleton.model) < 5000
    onnx.load_external_data_for_model(proto, str(tmp_path))  # the references are right for every reader of ONNX
    for item in proto.graph.initializer:
        item.ClearField("data_location")
        item.ClearField("external_data")
    assert proto == model


@pytest.mark.parametrize("kind", ["external", "twice", "cut", "text", "nothing"])
def test_what_onnx_itself_has_to_read_is_left_to_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    if kind == "external":
        onnx.save(a_model(weight()), path, save_as_external_data=True, location="m.data", size_threshold=100)
    elif kind == "twice":
        onnx.save(a_model(weight(), weight()), path)
    elif kind == "cut":
        onnx.save(a_model(weight()), path)
        path.write_bytes(path.read_bytes()[:-300])
    elif kind == "text":
        path = tmp_path / "m.textproto"
        onnx.save(a_model(weight()), path)
    assert read_skeleton(path) is None


def test_raw_data_of_another_length_stays_in_the_model(tmp_path: Path) -> None:
    wrong = weight()
    wrong.dims[0] = 31
    path = tmp_path / "m.onnx"
    onnx.save(a_model(wrong), path)
    skeleton = read_skeleton(path)
    assert skeleton is not None
    assert skeleton.weights == {}
    assert skeleton.proto() == a_model(wrong)


@pytest.mark.parametrize("shift", [0, 1, 2, 3])
def test_a_weight_at_any_byte_computes_the_same(shift: int, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    model = a_model(weight())
    model.producer_name = "p" * (shift + 1)
    onnx.save(model, path)
    fed = np.random.default_rng(3).normal(size=(5, 32)).astype(np.float32)
    exact = fed.astype(np.float64) @ numpy_helper.to_array(weight()).astype(np.float64)
    assert np.array_equal(OnnxOracle(path).run({"x": fed})["y"], exact)
    single = OnnxOracle(path, np.float32)
    assert np.array_equal(single.run({"x": fed})["y"], fed @ numpy_helper.to_array(weight()))
    assert np.array_equal(single.run({"x": fed})["y"], fed @ numpy_helper.to_array(weight()))  # given back, and again


MEASURE = """
import sys
import numpy, onnx, onnx_ir
from facecvt.converters.readers.from_onnx import read_onnx
from facecvt.parity_tests.diff.fingerprints import bits_fingerprint
from facecvt.parity_tests.oracle.onnx_model import OnnxOracle

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

before = peak()
graph = read_onnx(sys.argv[1])
oracles = OnnxOracle(sys.argv[1]), OnnxOracle(sys.argv[1], numpy.float32)
opened = peak() - before
for oracle in oracles:
    oracle.run({"x": numpy.ones((1, 1024), numpy.float32)})
print(len(graph.weights()), opened, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/status is Linux's")
def test_opening_and_evaluating_a_file_holds_no_copy_of_its_weights(tmp_path: Path) -> None:
    count, size = 50, 1024 * 1024 * 4
    names = ["x", *(f"v{index}" for index in range(count))]
    nodes = [helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]], f"n{i}") for i in range(count)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1024]) for name in (names[0], names[-1])]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    path = tmp_path / "large.onnx"
    write_with_holes(
        path, model, [Initializer(f"w{i}", 1, (1024, 1024), np.empty((1024, 1024), np.float32)) for i in range(count)]
    )
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    weights, opened, evaluated = map(int, done.stdout.split())
    assert weights == count
    assert opened < 0.1 * count * size, f"{opened / 1e6:.0f} MB to open {count * size / 1e6:.0f} MB of weights"
    assert evaluated < 0.3 * count * size, (
        f"{evaluated / 1e6:.0f} MB to evaluate {count * size / 1e6:.0f} MB of weights"
    )


def write_with_holes(path: Path, model: onnx.ModelProto, weights: list[Initializer]) -> None:
    """A model whose weights are zeros that take no room on the disk."""
    from facecvt.converters.formats.protobuf_writer import encode_varint

    graph = model.graph.SerializeToString()
    model.ClearField("graph")
    length = len(graph) + sum(len(item.inline_header) + item.data.nbytes for item in weights)
    with open(path, "wb") as file:
        file.write(model.SerializeToString() + b"\x3a" + encode_varint(length) + graph)
        for item in weights:
            file.write(item.inline_header)
            file.seek(item.data.nbytes, 1)
        file.truncate()


def test_a_missing_file_is_told_as_before(tmp_path: Path) -> None:
    from facecvt.converters.errors import FormatError

    for read in (read_onnx, OnnxOracle):
        with pytest.raises(FormatError, match=r"gone\.onnx"):
            read(tmp_path / "gone.onnx")


def test_onnx_runtime_shows_inner_values_of_the_skeleton_also_behind_a_link(tmp_path: Path, ort_module: object) -> None:
    from facecvt.parity_tests.runtimes.runtime_ort import OrtRuntime

    model = a_model(weight())
    model.graph.node.append(helper.make_node("Relu", ["y"], ["z"], "last"))
    model.graph.output[0].name = "z"
    (tmp_path / "stored").mkdir()
    (tmp_path / "linked").mkdir()
    onnx.save(model, tmp_path / "stored" / "blob")
    (tmp_path / "linked" / "m.onnx").symlink_to(tmp_path / "stored" / "blob")
    fed = np.random.default_rng(3).normal(size=(5, 32)).astype(np.float32)
    exact = fed.astype(np.float64) @ numpy_helper.to_array(weight()).astype(np.float64)
    with OrtRuntime(tmp_path / "linked" / "m.onnx") as runtime:
        capture = runtime.run({"x": fed}, ["y"])
    np.testing.assert_allclose(capture.taps["y"], exact, rtol=1e-5, atol=1e-4)
    assert np.array_equal(capture.outputs["z"], np.maximum(capture.taps["y"], 0))
