"""ONNX targets in float16: what is rounded and what is not, the file in ONNX Runtime, and that a wrong one is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import facecvt
from facecvt import cli
from facecvt.converters.errors import UsageError
from facecvt.converters.graph import Graph
from facecvt.converters.targets import WriteOptions
from facecvt.converters.writers.to_onnx import write_target
from facecvt.parity_tests.inputs import InputPlan
from facecvt.parity_tests.oracle.onnx_model import OnnxOracle
from facecvt.parity_tests.proven import ProvenConversion, convert_and_verify
from facecvt.parity_tests.support.small_net import SmallNet, small_net
from facecvt.parity_tests.tolerance import HALF_ROUNDING, MOST_HALF_FLOOR, OUTPUT_REL_RMSE, Precision
from facecvt.parity_tests.verification import Verification
from facecvt.parity_tests.verify import verify

SCHEMA = Path(facecvt.__file__).parent / "docs/schemas/conversion.schema.json"
SHAPE = {"data": ("batch", 3, 16, 16)}
FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def mxnet_files(net: SmallNet, folder: Path) -> Path:
    """A small net as MXNet files."""
    path = net.write(folder / "small.onnx")
    convert_and_verify(path, "onnx", "mxnet", output=folder / "net", verify=False)
    return folder / "net"


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> ProvenConversion:
    """The small net, from MXNet, verified in float16."""
    folder = tmp_path_factory.mktemp("half")
    source = mxnet_files(small_net(), folder)
    return convert_and_verify(source, "mxnet", "onnx", output=folder / "half.onnx", inputs=SHAPE, fp16=True)


def test_the_file_computes_in_float16_and_is_proven(proven: ProvenConversion, ort_module: Any) -> None:
    found = proven.verification
    assert found
    assert found.float16 is not None
    assert found.float16.differences == ()
    assert found.float16.single.verdict == "agree"
    assert found.float16.single.outputs[0].metrics is not None
    assert found.float16.single.outputs[0].metrics.rel_rmse < OUTPUT_REL_RMSE
    assert found.coverage.parametric == found.coverage.taps == 1.0
    output = found.outputs[0]
    assert output.metrics is not None
    assert HALF_ROUNDING <= output.floor < 5e-3
    assert 1e-4 < output.metrics.rel_rmse < 4 * output.floor  # it is in float16, and costs what that has to cost
    name, rel_rmse, one_minus_cos = found.float16.limits[0]
    assert (name, rel_rmse) == (output.name, 10.0 * output.floor)
    assert one_minus_cos == pytest.approx(rel_rmse**2 / 2, rel=1e-2)
    path = proven.conversion.target
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path)
    assert {item.data_type for item in model.graph.initializer} == {HALF}
    assert [item.type.tensor_type.elem_type for item in (*model.graph.input, *model.graph.output)] == [FLOAT, FLOAT]
    assert {entry.key: entry.value for entry in model.metadata_props}["facecvt.precision"] == "float16"
    assert any("--fp16: 18 operators compute in float16" in warning for warning in proven.conversion.warnings)
    single = path.with_name("single.onnx")
    convert_and_verify(path.parent / "net", "mxnet", "onnx", output=single, inputs=SHAPE, verify=False)
    assert path.stat().st_size < 0.6 * single.stat().st_size


@pytest.mark.parametrize("opset", [11, 13, 15, 18, 21])
@pytest.mark.parametrize("fold_bn", [False, True])
def test_opsets_and_choices_combine(opset: int, fold_bn: bool, tmp_path: Path, ort_module: Any) -> None:
    source = small_net().write(tmp_path / "small.onnx")
    graph = facecvt_graph(source, fold_bn)
    out = tmp_path / "half.onnx"
    written = write_target(graph, out, WriteOptions(opset=opset, fp16=True))
    assert written.half is not None
    assert written.half.kept == ()
    onnx.checker.check_model(str(out), full_check=True)
    model = onnx.load(out)
    read = {name for node in model.graph.node for name in node.input}
    assert {item.name for item in model.graph.initializer} <= read  # nothing lies there twice
    x = np.random.RandomState(2).standard_normal((2, 3, 16, 16)).astype(np.float32)
    ours = ort_module.InferenceSession(str(out)).run(None, {"data": x})[0]
    theirs = ort_module.InferenceSession(str(source)).run(None, {"data": x})[0]
    assert ours.dtype == np.float32
    error = np.sqrt(np.mean((ours - theirs) ** 2) / np.mean(theirs**2))
    assert 1e-5 < error < 5e-3


def facecvt_graph(path: Path, fold_bn: bool) -> Graph:
    from facecvt.converters.passes.fold_batch_norm import fold_batch_norms
    from facecvt.converters.readers.from_onnx import read_onnx

    graph = read_onnx(path)
    if fold_bn:
        assert fold_batch_norms(graph) > 3
    return graph


# ---- a wrong file is found -------------------------------------------------------------------------------------------


def spoil_eps(model: onnx.ModelProto) -> None:
    norm = next(node for node in model.graph.node if node.op_type == "BatchNormalization")
    next(item for item in norm.attribute if item.name == "epsilon").f = 1e-5


def spoil_gamma(model: onnx.ModelProto) -> None:
    """The last bit of one number."""
    weight = next(item for item in model.graph.initializer if item.name.endswith("gamma"))
    array = numpy_helper.to_array(weight).copy()
    array[3] = np.nextafter(array[3], np.float16(9))
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))


def swap_weights(model: onnx.ModelProto) -> None:
    first, second = [node for node in model.graph.node if node.op_type == "Conv"][1:3]
    first.input[1], second.input[1] = second.input[1], first.input[1]


def drop_residual(model: onnx.ModelProto) -> None:
    add = next(node for node in model.graph.node if node.op_type == "Add")
    add.input[1] = add.input[0]


def keep_weight_in_float32(model: onnx.ModelProto) -> None:
    """A border moves: one layer computes in float32."""
    conv = [node for node in model.graph.node if node.op_type == "Conv"][1]
    weight = next(item for item in model.graph.initializer if item.name == conv.input[1])
    wide = numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float32), "wide")
    model.graph.initializer.append(wide)
    cast = onnx.helper.make_node("Cast", ["wide"], ["narrow"], to=HALF)
    model.graph.node.insert(0, cast)
    conv.input[1] = "narrow"


@pytest.mark.parametrize(
    ("spoil", "where"),
    [
        (spoil_eps, "BatchNormalization bn0: its attributes are not the same"),
        (spoil_gamma, "other numbers"),
        (swap_weights, "other numbers"),
        (drop_residual, "where "),
        (keep_weight_in_float32, "other numbers"),
    ],
)
def test_a_spoilt_file_differs(
    proven: ProvenConversion, spoil: Callable[[onnx.ModelProto], None], where: str, tmp_path: Path
) -> None:
    path = tmp_path / "spoilt.onnx"
    model = onnx.load(proven.conversion.target)
    spoil(model)
    onnx.save(model, path)
    found = verify(replace(proven.conversion, target=path, files=[path]), plan=InputPlan((2,), ("normal",)))
    assert found.verdict == "differ"
    assert found.float16 is not None
    assert where in found.float16.differences[0]


@pytest.mark.parametrize("fault", ["epsilon", "gamma"])
def test_a_fault_before_the_rounding_shows_in_float32(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong reader or pass: float16 alone would not tell an eps of 3e-5 from one of 2e-5."""
    from facecvt.converters.passes import fold_batch_norm

    real_attribute, real_constant = fold_batch_norm.attribute, fold_batch_norm.constant

    def attribute(node: Any, name: str, default: Any = None) -> Any:
        return 3e-5 if name == "epsilon" else real_attribute(node, name, default)

    def constant(value: Any) -> Any:
        array = real_constant(value)
        return array if not str(value.name).endswith("bn2_gamma") else array * np.float32(1.0003)

    monkeypatch.setattr(fold_batch_norm, *(("attribute", attribute) if fault == "epsilon" else ("constant", constant)))
    source = small_net().write(tmp_path / "small.onnx")
    convert_and_verify(source, "onnx", "mxnet", output=tmp_path / "net", verify=False)
    found = convert_and_verify(
        tmp_path / "net", "mxnet", "onnx", output=tmp_path / "n.onnx", inputs=SHAPE, fp16=True, fold_bn=True
    ).verification
    assert found is not None
    assert found.verdict == "differ"
    assert found.float16 is not None
    assert found.float16.differences == ()
    assert found.float16.single.verdict == "differ"
    assert found.reasons[0].startswith("the same model in float32: ")
    assert all(output.verdict == "agree" for output in found.outputs)  # which is why the other proof is needed


# ---- around it -------------------------------------------------------------------------------------------------------


def test_the_floor_rounds_what_the_target_rounds() -> None:
    """0.1 + 0.2 by hand, in float16 and not."""
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("Add", ["x", "w"], ["y"], name="n")],
            "g",
            [onnx.helper.make_tensor_value_info("x", FLOAT, [1])],
            [onnx.helper.make_tensor_value_info("y", FLOAT, [1])],
            [numpy_helper.from_array(np.array([0.2], np.float32), "w")],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
    )
    x = {"x": np.array([0.1], np.float32)}
    expected = np.float16(np.float32(np.float16(0.1)) + np.float32(np.float16(0.2)))
    assert OnnxOracle(model, np.float32, half={"y"}).run(x)["y"][0] == np.float32(expected)
    assert OnnxOracle(model, np.float32).run(x)["y"][0] == np.float32(0.1) + np.float32(0.2)
    assert float(expected) != float(np.float32(0.1) + np.float32(0.2))


def test_limits_follow_from_the_floor() -> None:
    half = Precision("float16", frozenset({"a"}))
    assert half.floor("a", 1e-9) == HALF_ROUNDING
    assert half.floor("b", 1e-9) == 1e-9
    assert half.output_limits(1e-3) == (1e-2, pytest.approx(5.0e-5, rel=1e-4))
    assert half.costs_too_much(0.04)
    assert not half.costs_too_much(0.03)
    assert Precision().output_limits(1e-3) == (2e-5, 1e-10)


def test_float16_that_overflows_is_not_agreement(tmp_path: Path) -> None:
    """Activations beyond 65504: ONNX Runtime on a CPU may hide that, the floor does not."""
    net = small_net()
    net.weights["bn2_gamma"] *= np.float32(60000.0)
    source = mxnet_files(net, tmp_path)
    found = convert_and_verify(
        source, "mxnet", "onnx", output=tmp_path / "n.onnx", inputs=SHAPE, fp16=True
    ).verification
    assert found is not None
    assert found.verdict in ("differ", "not_comparable")
    assert found.float16 is not None
    assert found.float16.single.verdict == "agree"
    assert any("float16 overflows" in reason or "Inf" in reason for reason in found.reasons)


def test_the_file_reads_back(proven: ProvenConversion, tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    shutil.copyfile(proven.conversion.target, path)
    back = convert_and_verify(path, "onnx", "torch", output=tmp_path / "back")
    assert back.verification
    assert back.verification.coverage.parametric == 1.0
    assert "computes in float16; it is converted in float32" in back.conversion.warnings[-1]
    original = small_net().weights["conv1_w"]
    weights = back.conversion.graph.weights()
    mine = next(array for array in weights.values() if array.shape == original.shape)
    assert mine.dtype == np.float32
    np.testing.assert_array_equal(mine, small_net().weights["conv1_w"].astype(np.float16).astype(np.float32))


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = mxnet_files(small_net(), tmp_path)
    command = ["mxnet2onnx", str(source), "-o", str(tmp_path / "n.onnx"), "--input", "data=batch,3,16,16", "--fp16"]
    assert cli.main([*command, "--fold-bn", "--batch", "2", "--opset", "17", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, json.loads(SCHEMA.read_text(encoding="utf-8")))
    half = document["verification"]["float16"]
    assert half["same_model_in_float32"]["verdict"] == "agree"
    assert half["differences"] == []
    assert 1e-3 < half["limits"][0]["rel_rmse"] < 5e-2
    assert cli.main([*command, "--force"]) == 0
    shown = capsys.readouterr().out
    assert "the same model in float32: agree" in " ".join(shown.split())
    assert cli.main(["mxnet2torch", str(source), "--fp16"]) == 2
    with pytest.raises(UsageError, match="fp16 are for ONNX targets"):
        convert_and_verify(source, "mxnet", "torch", output=tmp_path / "t", fp16=True)


# ---- real nets -------------------------------------------------------------------------------------------------------

REFERENCES = ("r18 mxnet", "mobilefacenet paddle", "mobilenet_v3_small torch", "blazeface paddle")
REAL = (
    ("mxnet", "mxnet/mtcnn-det3/det3-symbol.json"),
    ("mxnet", "mxnet/insightface-gender-age"),
    ("paddle", "paddle/mtcnn-pdmodel-combined/ONet.pdmodel"),
    ("torch", "pytorch/blazeface-mediapipe/blazeface.pth"),
)


def check_agrees(found: Verification | None) -> None:
    assert found
    assert found.float16 is not None
    assert found.coverage.parametric == 1.0
    assert max(layer.ratio for layer in found.layers) < 4.0  # the floor is what it is said to be, not far above
    assert min(layer.ratio for layer in found.layers if layer.floor > HALF_ROUNDING) > 0.0


@pytest.mark.slow
@pytest.mark.parametrize("case", REFERENCES)
@pytest.mark.parametrize("opset", [11, 21])
def test_reference_nets(case: str, opset: int, tmp_path: Path) -> None:
    name, framework = case.split()
    done = convert_and_verify(name, framework, "onnx", output=tmp_path / "n.onnx", fp16=True, opset=opset)
    onnx.checker.check_model(str(tmp_path / "n.onnx"), full_check=True)
    check_agrees(done.verification)


@pytest.mark.slow
@pytest.mark.parametrize(("framework", "path"), REAL)
def test_real_models(real_models: Path, framework: str, path: str, tmp_path: Path) -> None:
    done = convert_and_verify(real_models / path, framework, "onnx", output=tmp_path / "n.onnx", fp16=True)
    onnx.checker.check_model(str(tmp_path / "n.onnx"), full_check=True)
    check_agrees(done.verification)


@pytest.mark.slow
def test_a_real_model_that_float16_costs_too_much(real_models: Path, tmp_path: Path) -> None:
    """RetinaFace mnet25 loses 3 % of some boxes in float16: nothing else is wrong, but that is no agreement."""
    source = real_models / "mxnet/retinaface-mnet25/M25-symbol.json"
    found = convert_and_verify(source, "mxnet", "onnx", output=tmp_path / "n.onnx", fp16=True).verification
    assert found is not None
    assert found.verdict == "not_comparable"
    assert found.float16 is not None
    assert found.float16.single.verdict == "agree"
    assert found.float16.differences == ()
    costly = [output for output in found.outputs if output.verdict != "agree"]
    assert {output.floor > MOST_HALF_FLOOR for output in costly} == {True}
    assert all(output.ratio < 4.0 for output in found.outputs)
