"""What an ONNX target can be asked for: a fixed batch, BatchNormalization folded; against ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import facecvt
from facecvt import cli
from facecvt.converters.errors import UsageError
from facecvt.converters.graph import Builder, Graph, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.passes.fold_batch_norm import fold_batch_norms
from facecvt.converters.passes.infer_shapes import infer_shapes
from facecvt.converters.passes.input_shapes import describe_inputs
from facecvt.converters.writers.to_onnx import write_onnx
from facecvt.parity_tests.proven import convert_and_verify
from facecvt.parity_tests.support.small_net import small_net

SHAPE = {"data": ("batch", 3, 16, 16)}


@pytest.fixture
def mxnet_net(tmp_path: Path) -> Path:
    """The small net as MXNet files."""
    path = small_net().write(tmp_path / "small.onnx")
    convert_and_verify(path, "onnx", "mxnet", output=tmp_path / "net", verify=False)
    return tmp_path / "net"


def operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def test_a_fixed_batch(mxnet_net: Path, tmp_path: Path, ort_module: Any) -> None:
    out = tmp_path / "four.onnx"
    done = convert_and_verify(mxnet_net, "mxnet", "onnx", output=out, inputs=SHAPE, batch=4)
    assert done.verification
    assert done.verification.batches == (4,)
    assert done.conversion.contracts[0].shape == (4, 3, 16, 16)
    graph = onnx.load(out).graph
    for value in (graph.input[0], graph.output[0]):
        assert value.type.tensor_type.shape.dim[0].dim_value == 4
    session = ort_module.InferenceSession(str(out))
    name = session.get_inputs()[0].name
    assert session.run(None, {name: np.zeros((4, 3, 16, 16), np.float32)})[0].shape[0] == 4
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        session.run(None, {name: np.zeros((2, 3, 16, 16), np.float32)})


def test_a_batch_that_the_source_fixes_is_not_changed(mxnet_net: Path, tmp_path: Path) -> None:
    out = tmp_path / "n.onnx"
    with pytest.raises(UsageError, match="made for batch 2"):
        convert_and_verify(mxnet_net, "mxnet", "onnx", output=out, inputs={"data": (2, 3, 16, 16)}, batch=4)
    assert not out.exists()
    with pytest.raises(UsageError, match="ONNX targets"):
        convert_and_verify(mxnet_net, "mxnet", "torch", output=tmp_path / "t", inputs=SHAPE, batch=4)


def test_folding_leaves_what_stands_before_a_layer_and_is_proven(mxnet_net: Path, tmp_path: Path) -> None:
    plain, folded = tmp_path / "plain.onnx", tmp_path / "folded.onnx"
    convert_and_verify(mxnet_net, "mxnet", "onnx", output=plain, inputs=SHAPE, verify=False)
    done = convert_and_verify(mxnet_net, "mxnet", "onnx", output=folded, inputs=SHAPE, fold_bn=True)
    assert done.verification
    assert done.verification.coverage.parametric == 1.0
    assert done.verification.coverage.taps == 1.0
    before, after = operators(plain), operators(folded)
    assert after["BatchNormalization"] == 1  # in front of the residual block's convolution
    assert before["BatchNormalization"] > 3
    del before["BatchNormalization"], after["BatchNormalization"]
    assert before == after


def test_a_fold_with_a_wrong_eps_differs(mxnet_net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facecvt.converters.passes import fold_batch_norm

    real = fold_batch_norm.attribute

    def wrong(node: Any, name: str, default: Any = None) -> Any:
        return 2e-3 if name == "epsilon" else real(node, name, default)

    monkeypatch.setattr(fold_batch_norm, "attribute", wrong)
    done = convert_and_verify(mxnet_net, "mxnet", "onnx", output=tmp_path / "n.onnx", inputs=SHAPE, fold_bn=True)
    assert done.verification is not None
    assert done.verification.verdict == "differ"


def norm_behind(layer: str, *, group: int = 1, bias: bool = False, transposed: bool = False) -> Graph:
    """One layer with its BatchNormalization, numbers from a seed."""
    random = np.random.RandomState(5)
    builder = Builder("mxnet", "net")

    def weight(name: str, *shape: int) -> ir.Value:
        return builder.weight(name, random.uniform(0.2, 2.0, shape).astype(np.float32))

    data = builder.input("x", ["batch", 4] if layer == "Gemm" else ["batch", 4, 7, 6], ir.DataType.FLOAT)
    window = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 0], "dilations": [1, 1], "group": group}
    if layer == "Gemm":
        shape: tuple[int, ...] = (6, 4) if transposed else (4, 6)
        window = {"transB": int(transposed)}
    else:
        shape = (4, 6 // group, 3, 2) if layer == "ConvTranspose" else (6, 4 // group, 3, 2)
    inputs = [data, weight("w", *shape), *([weight("b", 6)] if bias else [])]
    builder.begin(layer, "layer")
    value = builder.emit(layer, inputs, **window)
    builder.rename(value, "layer_output")
    builder.begin("BatchNorm", "bn")
    statistics = [weight(name, 6) for name in ("gamma", "beta", "mean", "var")]
    builder.output(builder.emit("BatchNormalization", [value, *statistics], epsilon=0.01), "y")
    describe_inputs(builder.graph)
    infer_shapes(builder.graph)
    return builder.graph


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("layer", "options"),
    [
        ("Conv", {}),
        ("Conv", {"group": 2}),
        ("ConvTranspose", {}),
        ("ConvTranspose", {"group": 2}),
        ("Gemm", {}),
        ("Gemm", {"transposed": True}),
    ],
)
def test_every_layer_that_takes_a_fold(
    layer: str, options: dict[str, Any], bias: bool, tmp_path: Path, ort_module: Any
) -> None:
    graph = norm_behind(layer, bias=bias, **options)
    x = np.random.RandomState(1).standard_normal((3, 4) if layer == "Gemm" else (3, 4, 7, 6)).astype(np.float32)
    results = []
    for name in ("plain.onnx", "folded.onnx"):
        write_onnx(graph, tmp_path / name)
        onnx.checker.check_model(str(tmp_path / name), full_check=True)
        results.append(ort_module.InferenceSession(str(tmp_path / name)).run(None, {"x": x})[0])
        folds = fold_batch_norms(graph)
        assert folds == (1 if name == "plain.onnx" else 0)
    assert [node.op_type for node in graph.body] == [layer]
    assert sorted(graph.body.initializers) == sorted(name_of(value) for value in next(iter(graph.body)).inputs[1:])
    assert graph.absorbed == {"layer_output": "y"}
    assert name_of(graph.outputs[0]) == "y"
    assert np.abs(results[0]).max() > 1.0
    np.testing.assert_allclose(results[1], results[0], rtol=2e-5, atol=2e-5)


def test_a_value_that_is_read_elsewhere_is_not_folded() -> None:
    graph = norm_behind("Conv")
    graph.body.outputs.append(next(iter(graph.body)).outputs[0])
    assert fold_batch_norms(graph) == 0


def test_from_the_command_line(mxnet_net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "n.onnx"
    arguments = ["mxnet2onnx", str(mxnet_net), "-o", str(out), "--input", "data=batch,3,16,16", "--batch", "2"]
    assert cli.main([*arguments, "--fold-bn"]) == 0
    assert "batches 2" in capsys.readouterr().out.replace("batch 2", "batches 2")
    assert operators(out)["BatchNormalization"] == 1
    assert cli.main(["mxnet2torch", str(mxnet_net), "--fold-bn"]) == 2


def test_from_python(mxnet_net: Path, tmp_path: Path) -> None:
    out = tmp_path / "n.onnx"
    facecvt.convert(mxnet_net, "onnx", output=out, inputs=SHAPE, batch=3, fold_bn=True, preprocess="keep", verify=False)
    assert operators(out)["BatchNormalization"] == 1
    assert onnx.load(out).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 3
