"""The input contract that facecvt recorded, read again: kept where it fits, left out with a warning where not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from facecvt import cli
from facecvt.converters.conversion import read_source
from facecvt.converters.errors import UsageError
from facecvt.converters.formats.locate import locate
from facecvt.converters.graph import Graph
from facecvt.parity_tests.proven import convert_and_verify
from facecvt.parity_tests.support.small_net import small_net

RECORD = "facecvt.input.data"


def inputs_of(folder: Path) -> Any:
    return json.loads((folder / "facecvt.json").read_text(encoding="utf-8"))["inputs"]


def edited(path: Path, target: Path, **changes: Any) -> Path:
    """A copy of an ONNX file whose record says something else."""
    model = onnx.load(path)
    entry = next(item for item in model.metadata_props if item.key == RECORD)
    entry.value = json.dumps(json.loads(entry.value) | changes)
    onnx.save(model, target)
    return target


def read(path: Path) -> Graph:
    return read_source("onnx", locate("onnx", str(path)))[1]


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """facecvt's own ONNX file of a net that is fed BGR pixels normalised outside of it."""
    small_net().write(tmp_path / "small.onnx")
    convert_and_verify(tmp_path / "small.onnx", "onnx", "mxnet", output=tmp_path / "net", color="BGR", verify=False)
    manifest = tmp_path / "net" / "facecvt.json"
    document = json.loads(manifest.read_text(encoding="utf-8"))
    document["inputs"][0] |= {"mean": [104.0, 117.0, 123.0], "scale": [0.0078125]}
    manifest.write_text(json.dumps(document), encoding="utf-8")
    shape = {"data": ("batch", 3, 16, 16)}
    convert_and_verify(tmp_path / "net", "mxnet", "onnx", output=tmp_path / "ours.onnx", inputs=shape, verify=False)
    return tmp_path / "ours.onnx"


def test_a_chain_of_files_keeps_the_contract(ours: Path, tmp_path: Path) -> None:
    contract = read(ours).contracts[0]
    assert (contract.color, contract.mean, contract.scale) == ("BGR", (104.0, 117.0, 123.0), (0.0078125,))
    assert not contract.in_graph
    shape = {"data": ("batch", 3, 16, 16)}
    for target in ("torch", "paddle"):
        convert_and_verify(ours, "onnx", target, output=tmp_path / f"a_{target}", verify=False)
        direct = convert_and_verify(
            tmp_path / "net", "mxnet", target, output=tmp_path / f"b_{target}", inputs=shape, verify=False
        )
        assert inputs_of(tmp_path / f"a_{target}") == inputs_of(tmp_path / f"b_{target}")
        assert not direct.conversion.warnings
    back = convert_and_verify(tmp_path / "a_paddle", "paddle", "onnx", output=tmp_path / "c.onnx", verify=False)
    assert back.conversion.contracts[0].as_json() == json.loads(
        next(item.value for item in onnx.load(ours).metadata_props if item.key == RECORD)
    )


def test_what_is_recorded_is_what_the_model_is_fed(ours: Path, tmp_path: Path) -> None:
    """add: the three means stand in the graph, so the record was believed in full."""
    done = convert_and_verify(ours, "onnx", "torch", output=tmp_path / "t", preprocess="add")
    assert done.verification
    assert done.conversion.contracts[0].in_graph
    assert done.conversion.contracts[0].mean == (104.0, 117.0, 123.0)
    again = convert_and_verify(ours, "onnx", "paddle", output=tmp_path / "p", preprocess="add", verify=False)
    back = read_source("paddle", locate("paddle", str(tmp_path / "p")))[1]
    assert back.contracts[0].in_graph
    assert (back.contracts[0].color, back.contracts[0].mean) == ("BGR", (104.0, 117.0, 123.0))
    assert not [text for text in [*again.conversion.warnings, *back.warnings] if "left out" in text]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"color": "GRB"}, "color is 'GRB'"),
        ({"color": 7}, "color is 7"),
        ({"mean": [float("nan")]}, "mean is"),
        ({"mean": ["127.5"]}, "mean is"),
        ({"mean": [1.0, 2.0]}, "mean has 2 numbers"),
        ({"mean": 127.5}, "mean is 127.5"),
        ({"scale": [True]}, "scale is"),
        ({"layout": ["NCHW"]}, "layout is"),
        ({"in_graph": 1}, "in_graph is 1"),
        ({"in_graph": True}, "that the graph normalises it, and the graph does not"),
        ({"shape": [1, 3]}, "that it has 2 dimensions, and it has 4"),
        ({"shape": "1,3"}, "shape is"),
        ({"name": None}, "name is None"),
        ({"surprise": 1}, "a record has to have color"),
    ],
)
def test_a_record_that_does_not_fit_is_left_out_with_a_warning(
    changes: dict[str, Any], why: str, ours: Path, tmp_path: Path
) -> None:
    graph = read(edited(ours, tmp_path / "edited.onnx", **changes))
    assert graph.contracts[0].color is None
    assert graph.contracts[0].mean is None
    assert graph.recorded == {}
    (warning,) = graph.warnings
    assert warning.startswith("edited.onnx: its record of the input contract is left out: ")
    assert why in warning


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
def test_damaged_json_is_left_out(text: str, ours: Path, tmp_path: Path) -> None:
    model = onnx.load(ours)
    next(item for item in model.metadata_props if item.key == RECORD).value = text
    onnx.save(model, tmp_path / "bad.onnx")
    graph = read(tmp_path / "bad.onnx")
    assert graph.contracts[0].color is None
    assert len(graph.warnings) == 1


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"target": {"files": 3}, "inputs": []}', '{"target": [], "inputs": 1}', "\x80\x00"]
)
def test_a_foreign_manifest_is_left_out(text: str, ours: Path, tmp_path: Path) -> None:
    (tmp_path / "net" / "facecvt.json").write_bytes(text.encode("latin-1"))
    _, graph = read_source("mxnet", locate("mxnet", str(tmp_path / "net")), {"data": ("batch", 3, 16, 16)})
    assert graph.contracts[0].color is None
    assert [each for each in graph.warnings if each.startswith("facecvt.json beside ")]


def test_a_manifest_of_other_weights_is_left_out(ours: Path, tmp_path: Path) -> None:
    files = locate("mxnet", str(tmp_path / "net"))
    symbol = next(path for path in files.files() if path.suffix == ".json")
    symbol.write_text(symbol.read_text(encoding="utf-8") + " ", encoding="utf-8")
    _, graph = read_source("mxnet", files, {"data": ("batch", 3, 16, 16)})
    assert graph.contracts[0].color is None
    assert [each for each in graph.warnings if "another state of it" in each]


def test_a_colour_that_contradicts_the_record_is_refused(
    ours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=r"is BGR, as ours\.onnx says, and --color says RGB"):
        convert_and_verify(ours, "onnx", "torch", output=tmp_path / "t", color="RGB", verify=False)
    assert not (tmp_path / "t").exists()
    out = str(tmp_path / "u")
    assert cli.main(["onnx2torch", str(ours), "-o", out, "--color", "RGB", "--no-verify"]) == 2
    assert "is BGR, as ours.onnx says" in capsys.readouterr().err
    assert cli.main(["onnx2torch", str(ours), "-o", out, "--color", "BGR", "--no-verify"]) == 0


def test_a_half_file_and_the_class_of_an_architecture_keep_it(tmp_path: Path) -> None:
    """MobileFaceNet of MXNet normalises inside; its float16 file and its weights alone say the same of the pixels."""
    direct = convert_and_verify("mobilefacenet", "mxnet", "torch", output=tmp_path / "direct", verify=False)
    contract = direct.conversion.contracts[0]
    convert_and_verify("mobilefacenet", "mxnet", "onnx", output=tmp_path / "half.onnx", fp16=True, verify=False)
    again = convert_and_verify(tmp_path / "half.onnx", "onnx", "torch", output=tmp_path / "again", verify=False)
    assert inputs_of(tmp_path / "again") == inputs_of(tmp_path / "direct")
    assert not [text for text in again.conversion.warnings if "left out" in text]
    weights = next((tmp_path / "direct").glob("*.pth"))
    bare = convert_and_verify(weights, "torch", "onnx", output=tmp_path / "bare.onnx", verify=False)
    assert bare.conversion.contracts[0].color == contract.color
    assert (bare.conversion.contracts[0].mean, bare.conversion.contracts[0].scale) == (contract.mean, contract.scale)
    assert not bare.conversion.contracts[0].in_graph
    assert not [text for text in bare.conversion.warnings if "left out" in text]


def test_a_size_that_a_symbol_leaves_open_is_the_recorded_one(tmp_path: Path) -> None:
    """240x320 is no size that faces have; without the record nothing tells it."""
    nodes = [
        onnx.helper.make_node("Conv", ["data", "w"], ["c"], "c", strides=[2, 2], pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Reshape", ["c", "s"], ["y"], "y"),
    ]
    weights = {"w": np.ones((4, 3, 3, 3), np.float32), "s": np.array([1, 4, 120 * 160])}
    float32 = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "net",
        [onnx.helper.make_tensor_value_info("data", float32, [1, 3, 240, 320])],
        [onnx.helper.make_tensor_value_info("y", float32, [1, 4, 120 * 160])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = [onnx.helper.make_opsetid("", 13)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "net.onnx")
    convert_and_verify(tmp_path / "net.onnx", "onnx", "mxnet", output=tmp_path / "net", verify=False)
    done = convert_and_verify(tmp_path / "net", "mxnet", "onnx", output=tmp_path / "back.onnx", verify=False)
    assert done.conversion.contracts[0].shape == (1, 3, 240, 320)
    assert not done.conversion.warnings
    (tmp_path / "net" / "facecvt.json").write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match="--input data=batch,3,H,W"):
        convert_and_verify(tmp_path / "net", "mxnet", "onnx", output=tmp_path / "c.onnx", verify=False)
