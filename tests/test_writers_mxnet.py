"""The MXNet writer: a pair that MXNet loads, the names of the source, every attribute written, no batch baked in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from facecvt.converters.conversion import convert_files
from facecvt.converters.errors import ConversionError, FormatError
from facecvt.converters.formats.locate import locate
from facecvt.converters.formats.mapped import as_numpy
from facecvt.converters.formats.mxnet_model import MxnetModel, load_mxnet, variable_roles
from facecvt.converters.formats.mxnet_symbol import MxnetNode, MxnetSymbol, read_symbol, write_symbol
from facecvt.converters.graph import Builder, Graph
from facecvt.converters.mxnet_text import float_text, stem_of, text_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.passes.input_shapes import describe_inputs
from facecvt.converters.writers.to_mxnet import write_mxnet
from facecvt.parity_tests.runtimes.runtime_mxnet import MxnetRuntime
from facecvt.parity_tests.verify import verify
from facecvt.reference_models.materialise import write_reference

WINDOW = {"kernel_shape": [3, 3], "pads": [0, 0, 1, 1], "strides": [2, 2], "dilations": [1, 1], "group": 1}
# Attributes that MXNet has and that hold nothing but their None, or that only an older form of the operator reads.
NOT_WRITTEN = {"p_value", "min_calib_range", "max_calib_range", "target_shape", "keep_highest", "forward_stype"}


def network(framework: str = "paddle") -> Graph:
    """conv - bn - prelu - linear, where one vector is both a mean and a bias, and the linear weight is (in, out)."""
    rng = np.random.default_rng(0)
    builder = Builder(framework, "net")
    data = builder.input("data", ["batch", 4, 6, 6], ir.DataType.FLOAT)
    shared = builder.weight("shared", rng.uniform(-1, 1, 4).astype("f"))
    builder.begin("conv2d", "conv0")
    conv = builder.emit(
        "Conv", [data, builder.weight("conv0_weight", rng.normal(size=(4, 4, 3, 3)).astype("f")), shared], **WINDOW
    )
    builder.rename(conv, "conv0_output")
    builder.begin("batch_norm", "bn0")
    parts = [builder.weight(f"bn0_{n}", rng.uniform(0.5, 1.5, 4).astype("f")) for n in ("gamma", "beta", "var")]
    norm = builder.emit("BatchNormalization", [conv, *parts[:2], shared, parts[2]], epsilon=2e-5)
    builder.rename(norm, "bn0.out")
    builder.begin("prelu", "relu0")
    slope = builder.reshaped(builder.weight("slope", rng.uniform(0.1, 0.4, 4).astype("f")), (4, 1, 1))
    active = builder.emit("PRelu", [norm, slope])
    builder.rename(active, "relu0.out")
    builder.begin("linear", "fc")
    flat = builder.emit("Flatten", [active], axis=1)
    weight = builder.weight("fc.w_0", rng.normal(size=(36, 5)).astype("f"))
    linear = builder.emit("Gemm", [flat, weight])
    builder.rename(linear, "fc.out")
    builder.output(linear, "fc.out")
    describe_inputs(builder.graph)
    return builder.graph


def nodes_of(symbol: Path) -> dict[str, dict[str, Any]]:
    return {node["name"]: node for node in json.loads(symbol.read_text())["nodes"]}


def test_names_attributes_and_weights(tmp_path: Path) -> None:
    graph = network()
    (symbol, params), taps = write_mxnet(graph, tmp_path / "out")
    assert [path.name for path in (symbol, params)] == ["out-symbol.json", "out-0000.params"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([symbol.name, params.name])
    nodes = nodes_of(symbol)
    assert taps["conv0_output"] == "conv0_output"  # MXNet's own way to call the result of conv0
    assert taps["bn0.out"] == "bn0.out_output"
    norm = nodes["bn0.out"]["attrs"]
    assert (norm["fix_gamma"], norm["eps"], norm["momentum"]) == ("False", "2e-05", "0.9")
    assert nodes["conv0_pad"]["attrs"]["pad_width"] == "(0, 0, 0, 0, 0, 1, 0, 1)"
    assert nodes["conv0"]["attrs"]["pad"] == "(0, 0)"
    assert nodes["data"]["attrs"] == {"__dtype__": "0", "__shape__": "(0, 4, 6, 6)"}
    model = load_mxnet(locate("mxnet", tmp_path / "out"))
    assert set(model.args) == {"shared", "conv0_weight", "bn0_gamma", "bn0_beta", "slope", "fc.w_0"}
    assert set(model.aux) == {"shared_2", "bn0_var"}  # one vector cannot be weight and moving mean at once
    weights = graph.weights()
    for name, array in {**model.args, **model.aux}.items():
        source = weights[name.removesuffix("_2")]
        source = source.T if name == "fc.w_0" else source
        assert as_numpy(array).tobytes() == source.tobytes(), name
    assert variable_roles(model).inputs == ("data",)


def test_mxnet_loads_and_runs_it_at_any_batch(tmp_path: Path, mxnet_module: ModuleType) -> None:
    (symbol, params), _ = write_mxnet(network(), tmp_path / "out")
    loaded, args, aux = mxnet_module.model.load_checkpoint(str(tmp_path / "out" / "out"), 0)
    assert loaded.list_outputs() == ["fc.out_output"]
    assert sorted([*args, "data"]) == sorted(loaded.list_arguments())
    assert sorted(aux) == sorted(loaded.list_auxiliary_states())
    rng = np.random.default_rng(1)
    data = rng.normal(size=(5, 4, 6, 6)).astype("f")
    with MxnetRuntime(symbol, params) as runtime:
        whole = runtime.run({"data": data}).outputs["fc.out_output"]
        rows = [runtime.run({"data": data[i : i + 1]}).outputs["fc.out_output"] for i in range(5)]
    assert whole.shape == (5, 5)
    assert np.allclose(np.concatenate(rows), whole, rtol=1e-5, atol=1e-6)


def test_every_attribute_that_counts_is_written(tmp_path: Path, mxnet_module: ModuleType) -> None:
    from mxnet.operator import get_operator_arguments

    (symbol, _), _ = write_mxnet(network(), tmp_path / "out")
    seen = set()
    for node in read_symbol(symbol).nodes:
        if node.op == "null":
            continue
        known = get_operator_arguments(node.op)
        options = {n for n, kind in zip(known.names, known.types, strict=True) if "Symbol" not in kind}
        assert options - NOT_WRITTEN == set(node.attrs), node.name
        seen.add(node.op)
    assert seen == {"Convolution", "Pad", "BatchNorm", "LeakyReLU", "Flatten", "FullyConnected"}


@pytest.mark.parametrize("net", ["mtcnn-det2/det2", "mtcnn-det2/det2-newjson", "insightface-gender-age/model"])
def test_a_symbol_is_written_as_it_was_read(
    net: str, real_models: Path, tmp_path: Path, mxnet_module: ModuleType
) -> None:
    read = read_symbol(real_models / "mxnet" / f"{net}-symbol.json")
    write_symbol(tmp_path / "again.json", read)
    again = read_symbol(tmp_path / "again.json")
    assert again.version == 10901
    assert (again.nodes, again.heads) == (read.nodes, read.heads)
    loaded = mxnet_module.sym.load(str(tmp_path / "again.json"))
    assert loaded.list_arguments() == read.argument_names()
    assert loaded.list_auxiliary_states() == read.aux_names()


def test_a_failed_run_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "mine").write_text("x")
    builder = Builder("onnx", "net")
    data = builder.input("data", [2, 3], ir.DataType.FLOAT)
    builder.begin("ReduceSum", "total")
    total = builder.emit("ReduceSum", [data], keepdims=0)
    builder.output(total, "total")
    with pytest.raises(ConversionError, match="output 'total' is a scalar; MXNet has none"):
        write_mxnet(builder.graph, target)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in target.iterdir()] == ["mine"]


def test_a_scalar_input_is_refused(tmp_path: Path) -> None:
    builder = Builder("onnx", "net")
    data, factor = builder.input("data", [2, 3], ir.DataType.FLOAT), builder.input("factor", [], ir.DataType.FLOAT)
    builder.begin("Mul", "product")
    builder.output(builder.emit("Mul", [data, factor]), "product")
    with pytest.raises(ConversionError, match="input 'factor' is a scalar; MXNet has none"):
        write_mxnet(builder.graph, tmp_path / "out")


def test_an_output_that_repeats_another_value_is_a_node_of_its_own(tmp_path: Path, mxnet_module: ModuleType) -> None:
    builder = Builder("onnx", "net")
    data = builder.input("data", ["n", 3], ir.DataType.FLOAT)
    builder.begin("Relu", "r")
    active = builder.emit("Relu", [data])
    builder.rename(active, "r")
    for name in ("r", "again", "copy"):
        builder.output(active if name != "copy" else data, name)
    (symbol, params), _ = write_mxnet(builder.graph, tmp_path / "out")
    with MxnetRuntime(symbol, params, ["data"]) as runtime:
        outputs = runtime.run({"data": np.array([[-1.0, 0.0, 2.0]], np.float32)}).outputs
    assert list(outputs) == ["r_output", "again_output", "copy_output"]
    assert [float(array.min()) for array in outputs.values()] == [0.0, 0.0, -1.0]


def test_truth_that_leaves_the_model_is_boolean(tmp_path: Path, mxnet_module: ModuleType) -> None:
    builder = Builder("onnx", "net")
    data = builder.input("data", ["n", 3], ir.DataType.FLOAT)
    builder.begin("Less", "small")
    small = builder.emit("Less", [data, builder.const(0.0, np.float32)])
    builder.rename(small, "small")
    builder.output(small, "small")
    (symbol, params), _ = write_mxnet(builder.graph, tmp_path / "out")
    with MxnetRuntime(symbol, params, ["data"]) as runtime:
        (found,) = runtime.run({"data": np.array([[-1.0, 0.0, 2.0]], np.float32)}).outputs.values()
    assert found.dtype == bool
    assert found.tolist() == [[True, False, False]]


def test_texts() -> None:
    assert [float_text(x) for x in (2e-5, 0.0078125, 1.0, 1 / 3, -np.inf)] == [
        "2e-05", "0.0078125", "1.0", "0.33333333", "-inf",
    ]  # fmt: skip
    assert [text_of(x) for x in ((3,), [1, 2], None, True, ((0, 1), (2, 3)), [None, 4])] == [
        "(3,)", "(1, 2)", "None", "True", "((0, 1), (2, 3))", "(None, 4)",
    ]  # fmt: skip
    assert [stem_of(name) for name in ("conv0_output", "fc1", "_output")] == ["conv0", "fc1", "_output"]


# ---- there and back --------------------------------------------------------------------------------------------------


def equal_weights(ours: MxnetModel, theirs: MxnetModel) -> list[str]:
    """Names of the arrays that both have with the same bytes."""
    pairs = [(ours.args, theirs.args), (ours.aux, theirs.aux)]
    return [
        name
        for left, right in pairs
        for name in left
        if name in right and as_numpy(left[name]).tobytes() == as_numpy(right[name]).tobytes()
    ]


def chain(prefix: Path, folder: Path, shape: tuple[int | str, ...] | None = None) -> tuple[MxnetModel, MxnetModel]:
    """MXNet -> ONNX -> MXNet, the second step verified."""
    source = locate("mxnet", str(prefix))
    shapes = None if shape is None else {"data": shape}
    to_onnx = convert_files("mxnet", source, "onnx", folder / "between.onnx", input_shapes=shapes)
    back = convert_files("onnx", locate("onnx", to_onnx.target), "mxnet", folder / "back")
    found = verify(back)
    assert found.verdict == "agree", found.reasons
    assert (found.coverage.parametric, found.coverage.taps) == (1.0, 1.0)
    return load_mxnet(source), load_mxnet(locate("mxnet", folder / "back"))


@pytest.mark.parametrize("name", ["mobilefacenet", pytest.param("r18", marks=pytest.mark.slow)])
def test_a_reference_comes_back_with_the_same_bytes(name: str, tmp_path: Path, mxnet_module: ModuleType) -> None:
    """A gamma that MXNet counts as 1, whatever is stored, comes back as ones."""
    (tmp_path / "source").mkdir()
    prefix = write_reference(name, "mxnet", tmp_path / "source")
    source, back = chain(prefix, tmp_path, ("batch", 3, 112, 112))
    fixed = {
        source.symbol.nodes[node.inputs[1][0]].name
        for node in source.symbol.nodes
        if node.op == "BatchNorm" and node.attrs.get("fix_gamma", "True") in ("True", "1")
    }
    names = {*source.args, *source.aux}
    assert names - set(equal_weights(source, back)) == fixed
    assert len(names) == len(back.args) + len(back.aux) > 50
    theirs = {node.name for node in source.symbol.nodes if node.op not in ("null", "Dropout")}
    assert len(theirs - {node.name for node in back.symbol.nodes}) <= 0.02 * len(theirs)


@pytest.mark.parametrize("net", ["mtcnn-det1/det1", "mtcnn-det3/det3", "retinaface-mnet25/M25-symbol.json"])
def test_a_real_model_comes_back_with_the_same_bytes(
    net: str, real_models: Path, tmp_path: Path, mxnet_module: ModuleType
) -> None:
    source, back = chain(real_models / "mxnet" / net, tmp_path)
    assert set(equal_weights(source, back)) == {*source.args, *source.aux} == {*back.args, *back.aux}


# ---- the command, without MXNet --------------------------------------------------------------------------------------

WITHOUT_MXNET = """
import sys
sys.modules["mxnet"] = None
from facecvt import cli
code = cli.main(sys.argv[1:])
assert not {"torch", "paddle"} & set(sys.modules)
sys.exit(code)
"""


@pytest.mark.parametrize(("options", "code"), [((), 4), (("--no-verify",), 0)])
def test_the_command_needs_no_mxnet(
    options: tuple[str, ...], code: int, real_models: Path, tmp_path: Path, ort_module: ModuleType
) -> None:
    model = real_models / "onnx" / "ultra-light-face" / "version-slim-320_simplified.onnx"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MXNET, "onnx2mxnet", str(model), "--json", *options],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    document = json.loads(done.stdout)
    assert document["command"] == "onnx2mxnet"
    assert document["verification"]["verdict"] == "not_verified"
    assert any("mxnet==1.9.1" in warning for warning in document["warnings"]) == (code == 4)
    folder = tmp_path / "version-slim-320_simplified"
    assert document["target"]["path"] == folder.name
    assert [Path(path).name for path in document["target"]["files"]] == [
        f"{folder.name}-symbol.json",
        f"{folder.name}-0000.params",
        "facecvt.json",
    ]
    assert all((tmp_path / path).is_file() for path in document["target"]["files"])


def test_names_beyond_ascii_are_read_by_mxnet(tmp_path: Path, mxnet_module: ModuleType) -> None:
    """FresResNet-152 counts the blocks of a stage through the letters and beyond: `res4\\x7f_branch2a`."""
    names = ["res4\x7f_branch2a", "res4\x80_branch2a", "caf\u00e9", 'quote"back\\u0041', "tab\tname"]
    nodes = [MxnetNode("null", name, [], {}) for name in names]
    nodes.append(MxnetNode("Concat", "all", [(index, 0) for index in range(len(names))], {"num_args": str(len(names))}))
    symbol = MxnetSymbol(nodes, [(len(names), 0)], 10901, tmp_path)
    write_symbol(tmp_path / "x-symbol.json", symbol)
    assert mxnet_module.sym.load(str(tmp_path / "x-symbol.json")).list_arguments() == names
    assert [node.name for node in read_symbol(tmp_path / "x-symbol.json").nodes[:-1]] == names
    nodes[0].name = "bell\x07"
    with pytest.raises(FormatError, match=r"control character, which MXNet cannot read: .*bell"):
        write_symbol(tmp_path / "y-symbol.json", symbol)
    assert not (tmp_path / "y-symbol.json").exists()
