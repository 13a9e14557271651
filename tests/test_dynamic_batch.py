"""--dynamic-batch: a source made for one batch gives a target for any, or one error that names what fixes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import facecvt
from facecvt import cli
from facecvt.converters.errors import ConversionError
from facecvt.converters.passes.free_batch import require_free_batch
from facecvt.converters.readers.from_onnx import read_onnx
from facecvt.parity_tests.proven import convert_and_verify

WEIGHT = np.random.RandomState(3).standard_normal((6, 4, 3, 3)).astype(np.float32) / 6


def fixed_net(path: Path, nodes: list[Any], numbers: dict[str, list[int]] | None = None, rank: int = 4) -> Path:
    """conv -> ``nodes`` from "c" to "y", declared at batch 1; arrays of whole numbers by name."""
    conv = helper.make_node("Conv", ["x", "w"], ["c"], name="conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    stored = [numpy_helper.from_array(WEIGHT, "w")]
    stored += [numpy_helper.from_array(np.array(values, np.int64), name) for name, values in (numbers or {}).items()]
    stored += [numpy_helper.from_array(np.ones((1, 6, 8, 10), np.float32), "one")]
    graph = helper.make_graph(
        [conv, *nodes],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8, 10])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)],
        stored,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def node(op: str, inputs: list[str], output: str = "y", **attributes: Any) -> Any:
    return helper.make_node(op, inputs, [output], name=f"the_{op}", **attributes)


FREE: dict[str, tuple[list[Any], dict[str, list[int]]]] = {
    "relu": ([node("Relu", ["c"])], {}),
    "reshape keeps": ([node("Reshape", ["c", "to"])], {"to": [0, 2, 3, -1]}),
    "reshape fills": ([node("Reshape", ["c", "to"])], {"to": [-1, 6, 80, 1]}),
    "one for all": ([node("Add", ["c", "one"])], {}),
    "transposed and back": (
        [node("Transpose", ["c"], "t", perm=[1, 0, 2, 3]), node("Transpose", ["t"], perm=[1, 0, 2, 3])],
        {},
    ),
    "size computed": (
        [
            node("Shape", ["c"], "s"),
            node("Gather", ["s", "zero"], "first"),
            node("Concat", ["first", "rest"], "to", axis=0),
            node("Reshape", ["c", "to"]),
        ],
        {"zero": [0], "rest": [-1, 4, 2]},
    ),
}

FIXED: dict[str, tuple[list[Any], dict[str, list[int]], str]] = {
    "reshape to one": (
        [node("Reshape", ["c", "to"])],
        {"to": [1, -1, 4, 2]},
        "Reshape 'the_Reshape' gives all samples",
    ),
    "reshape to all sizes": ([node("Reshape", ["c", "to"])], {"to": [1, 6, 80, 1]}, "Reshape 'the_Reshape'"),
    "flatten at 0": ([node("Flatten", ["c"], axis=0)], {}, "Flatten 'the_Flatten' gives all samples as one"),
    "squeeze": ([node("Squeeze", ["c", "axes"])], {"axes": [0]}, "Squeeze 'the_Squeeze' removes the axis"),
    "softmax": ([node("Softmax", ["c"], axis=0)], {}, "Softmax 'the_Softmax' works along"),
    "mean": (
        [node("ReduceMean", ["c"], axes=[0], keepdims=1)],
        {},
        "ReduceMean 'the_ReduceMean' gives the same number",
    ),
    "first sample": ([node("Gather", ["c", "zero"])], {"zero": [0]}, "Gather 'the_Gather' gives the same number"),
    "joined": ([node("Concat", ["c", "one"], axis=1)], {}, "Concat 'the_Concat' joins values of every sample"),
    "doubled": ([node("Concat", ["c", "c"], axis=0)], {}, "Concat 'the_Concat' gives output 'y' of other than one row"),
    "transposed": ([node("Transpose", ["c"], perm=[1, 0, 2, 3])], {}, "Transpose 'the_Transpose' gives output 'y'"),
}


@pytest.mark.parametrize("case", FREE)
def test_what_holds_for_any_batch_is_freed_and_proven(case: str, tmp_path: Path, torch_module: Any) -> None:
    nodes, numbers = FREE[case]
    path = fixed_net(tmp_path / "n.onnx", nodes, numbers)
    plain = convert_and_verify(path, "onnx", "torch", output=tmp_path / "plain")
    assert plain.verification
    assert plain.verification.batches == (1,)
    assert plain.conversion.contracts[0].shape == (1, 4, 8, 10)
    done = convert_and_verify(path, "onnx", "torch", output=tmp_path / "free", dynamic_batch=True)
    assert done.verification
    assert done.verification.batches == (1, 2, 3)
    assert done.conversion.contracts[0].shape == ("batch", 4, 8, 10)
    assert not [text for text in done.conversion.warnings if "dynamic-batch" in text]


@pytest.mark.parametrize("case", FIXED)
def test_what_fixes_the_batch_is_named_and_nothing_is_written(case: str, tmp_path: Path) -> None:
    nodes, numbers, message = FIXED[case]
    path = fixed_net(tmp_path / "n.onnx", nodes, numbers)
    with pytest.raises(ConversionError, match="takes no other batch") as caught:
        convert_and_verify(path, "onnx", "torch", output=tmp_path / "free", dynamic_batch=True, verify=False)
    assert message in str(caught.value)
    assert not (tmp_path / "free").exists()


def test_an_output_that_shapes_do_not_tell_is_said_to_be_open(tmp_path: Path) -> None:
    path = fixed_net(tmp_path / "n.onnx", [node("NonZero", ["c"], "n"), node("Transpose", ["n"])], rank=2)
    graph = read_onnx(path, {"x": ("batch", 4, 8, 10)})
    require_free_batch(graph)
    assert graph.warnings == ["--dynamic-batch: shapes do not tell whether output y has one row a sample"]


def test_to_onnx_the_file_takes_every_batch(tmp_path: Path, ort_module: Any, torch_module: Any) -> None:
    """From PyTorch, a TorchScript archive whose input the user declares at batch 1."""
    torch = torch_module
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten())
    torch.jit.trace(module.eval(), torch.zeros(1, 3, 8, 8)).save(str(tmp_path / "net.pt"))
    shape = {"input": (1, 3, 8, 8)}
    out = tmp_path / "n.onnx"
    done = facecvt.convert(
        tmp_path / "net.pt", "onnx", source_framework=None, output=out, inputs=shape, dynamic_batch=True
    )
    assert done.verification
    assert done.verification.batches == (1, 2, 3)
    session = ort_module.InferenceSession(str(out))
    assert session.run(None, {"input": np.zeros((5, 3, 8, 8), np.float32)})[0].shape == (5, 144)


def test_both_options_are_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["paddle2onnx", str(tmp_path / "none"), "--dynamic-batch", "--batch", "2"]) == 2
    assert "--dynamic-batch frees the batch and --batch 2 fixes it" in capsys.readouterr().err


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = fixed_net(tmp_path / "n.onnx", [node("Relu", ["c"])])
    assert cli.main(["onnx2mxnet", str(path), "-o", str(tmp_path / "t"), "--dynamic-batch", "--no-verify"]) == 0
    path = fixed_net(tmp_path / "fixed.onnx", *FIXED["squeeze"][:2], rank=3)
    assert cli.main(["onnx2mxnet", str(path), "-o", str(tmp_path / "u"), "--dynamic-batch", "--no-verify"]) == 3
    assert "Squeeze 'the_Squeeze' removes the axis of the samples" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "fixed_by"),
    [
        ("ultra-light-face/version-RFB-320.onnx", None),
        ("ultra-light-face/version-RFB-320_without_postprocessing.onnx", None),
        ("ultra-light-face/version-slim-320_simplified.onnx", "Reshape '243'"),
        ("blazeface-paddledet-port/blazeface.onnx", None),
        ("blazeface-paddledet-port/blazeface_sim.onnx", "Reshape 'Reshape_189'"),
        ("ppocr-v2-cls/PP_OCR_v2_cls.onnx", None),
    ],
)
def test_real_files_are_free_or_say_why_not(path: str, fixed_by: str | None, real_models: Path) -> None:
    declared = read_onnx(real_models / "onnx" / path)
    assert isinstance(declared.contracts[0].shape[0], int)
    shapes = {item.name: ("batch", *item.shape[1:]) for item in declared.contracts}
    graph = read_onnx(real_models / "onnx" / path, shapes)
    if fixed_by is None:
        require_free_batch(graph)
        assert not [text for text in graph.warnings if "dynamic-batch" in text]
        return
    with pytest.raises(ConversionError, match=fixed_by):
        require_free_batch(graph)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["torch", "mxnet", "paddle"])
@pytest.mark.parametrize("name", ["version-RFB-320", "version-RFB-320_without_postprocessing"])
def test_a_real_detector_is_freed_and_proven(name: str, target: str, real_models: Path, tmp_path: Path) -> None:
    path = real_models / "onnx/ultra-light-face" / f"{name}.onnx"
    done = convert_and_verify(path, "onnx", target, output=tmp_path / "t", dynamic_batch=True)
    assert done.verification
    assert done.verification.batches == (1, 2, 3)
    assert done.conversion.contracts[0].shape == ("batch", 3, 240, 320)
