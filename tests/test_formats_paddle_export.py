"""Files that the installed Paddle writes now: both dialects of one network, state dicts, static programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facecvt.converters.errors import FormatError, WeightsError
from facecvt.converters.formats.locate import locate
from facecvt.converters.formats.mapped import as_numpy
from facecvt.converters.formats.paddle_model import load_paddle
from facecvt.converters.formats.paddle_params import read_pdparams, write_combined
from facecvt.converters.formats.paddle_program import read_program

SCRIPT = Path(__file__).with_name("export_paddle_samples.py")
LEGACY_NAME_OF = {  # PIR operator -> legacy operator
    "add": "elementwise_add",
    "reshape": "reshape2",
    "flatten": "flatten_contiguous_range",
    "matmul": "matmul_v2",
    "split_with_num": "split",
    "topk": "top_k_v2",
    "nearest_interp": "nearest_interp_v2",
}
CONSTANTS = ("full", "full_int_array")


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> dict[str, Path]:
    """dialect -> folder with what the installed Paddle wrote."""
    pytest.importorskip("paddle", reason="paddle is not installed: pip install paddlepaddle==3.3.1")
    folders = {}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("FLAGS_")}
    for dialect in ("legacy", "pir"):
        folders[dialect] = tmp_path_factory.mktemp(dialect)
        command = [sys.executable, str(SCRIPT), dialect, str(folders[dialect])]
        result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
        assert result.returncode == 0, result.stderr[-3000:]
    return folders


def test_both_dialects_have_the_same_weights_byte_for_byte(exported, tmp_path):
    legacy, pir = (load_paddle(locate("paddle", exported[dialect] / "net")) for dialect in ("legacy", "pir"))
    assert (legacy.program.dialect, pir.program.dialect) == ("legacy", "pir")
    assert legacy.files[0].name == "inference.pdmodel"
    assert pir.files[0].name == "inference.json"
    assert legacy.files[1].read_bytes() == pir.files[1].read_bytes()
    assert list(legacy.params) == list(pir.params) == pir.program.parameters
    assert len(pir.params) == 70
    for name, array in pir.params.items():
        assert pir.program.vars[name] == legacy.program.vars[name]
        np.testing.assert_array_equal(as_numpy(array), as_numpy(legacy.params[name]))
    assert legacy.name == pir.name == "net"
    write_combined(tmp_path / "again.pdiparams", pir.params)
    assert (tmp_path / "again.pdiparams").read_bytes() == pir.files[1].read_bytes()


@pytest.mark.parametrize("dialect", ["legacy", "pir"])
def test_each_weight_is_under_its_name(exported, dialect):
    """Pitfall 6: eleven BatchNorms of one shape, whose sorted order ("_10" before "_2") is not the program's."""
    model = load_paddle(locate("paddle", exported[dialect] / "net"))
    with np.load(exported[dialect] / "net_by_name.npz") as expected:
        assert sorted(expected) == list(model.params)
        assert sorted(expected) != list(expected)
        assert len({expected[name].tobytes() for name in expected}) == 70
        for name in expected:
            np.testing.assert_array_equal(as_numpy(model.params[name]), expected[name])


@pytest.mark.parametrize("net", ["net", "lists"])
def test_both_dialects_have_the_same_operators(exported, net):
    legacy = read_program(exported["legacy"] / net / "inference.pdmodel")
    pir = read_program(exported["pir"] / net / "inference.json")
    pir_ops = [op for op in pir.ops if op.type not in CONSTANTS]
    assert [LEGACY_NAME_OF.get(op.type, op.type) for op in pir_ops] == [op.type for op in legacy.ops]
    assert legacy.inputs == pir.inputs == ["image"]
    assert legacy.vars["image"] == pir.vars["image"]
    assert len(legacy.outputs) == len(pir.outputs) == (1 if net == "net" else 3)
    same_value = {"image": "image", **{name: name for name in pir.parameters}}  # PIR value -> legacy value
    compared = 0
    for pir_op, legacy_op in zip(pir_ops, legacy.ops, strict=True):
        data = next(names for slot in ("Input", "X") if (names := legacy_op.inputs.get(slot)))
        assert [same_value[name] for name in pir_op.inputs["0"]] == data
        main = next(names for slot in ("Output", "Out", "Y") if (names := legacy_op.outputs.get(slot)))
        same_value.update(zip(pir_op.outputs["0"], main, strict=True))
        if legacy_op.type == "top_k_v2":
            same_value[pir_op.outputs["1"][0]] = legacy_op.outputs["Indices"][0]
        for key in set(pir_op.attrs) & set(legacy_op.attrs):
            assert pir_op.attrs[key] == legacy_op.attrs[key], (pir_op.name, key)
            compared += 1
    assert compared > (60 if net == "net" else 10)
    assert [same_value[name] for name in pir.outputs] == legacy.outputs


def test_batch_norm_operands_are_in_pir_order(exported):
    program = read_program(exported["pir"] / "net/inference.json")
    norms = [op for op in program.ops if op.type == "batch_norm"]
    assert len(norms) == 11
    for index, op in enumerate(norms):
        assert [op.inputs[str(slot)][0].rsplit(".", 1)[1] for slot in (1, 2, 3, 4)] == ["w_1", "w_2", "w_0", "b_0"]
        assert op.attrs["epsilon"] == np.float32(1e-5 * (index + 1))
        assert op.inplace
        assert op.name == f"batch_norm_{index}"
        assert op.outputs["0"] == [f"batch_norm_{index}.out"]
        assert op.scope.startswith("/BatchNorm2D")


@pytest.mark.parametrize("net", ["net", "lists"])
def test_pir_is_what_paddle_reads(exported, net):
    """Names, attributes, and which operator makes each operand, against Paddle's own view of the loaded program."""
    theirs = json.loads((exported["pir"] / net / "paddle.json").read_text())
    program = read_program(exported["pir"] / net / "inference.json")
    assert program.inputs == theirs["feeds"]
    folded = ("builtin.parameter", "builtin.combine", "builtin.split", "pd_op.data", "pd_op.fetch")
    their_ops = [op for op in theirs["ops"] if op["name"] not in folded]
    assert [f"pd_op.{op.type}{'_' if op.inplace else ''}" for op in program.ops] == [op["name"] for op in their_ops]
    maker = {name: op.name for op in program.ops for names in op.outputs.values() for name in names}
    our_name = {}  # index of their operator -> our name of what it computes
    ours = iter(program.ops)
    for index, op in enumerate(theirs["ops"]):
        if op["name"] not in folded:
            our_name[index] = next(ours).name

    def makers(index):
        """Names of the computing operators behind their operand, through combine and split."""
        if index is None:
            return []
        op = theirs["ops"][index]
        if op["name"] in ("builtin.combine", "builtin.split"):
            return [name for operand in op["operands"] for name in makers(operand)]
        return [our_name.get(index, "leaf")]

    attributes = 0
    for op, their_op in zip(program.ops, their_ops, strict=True):
        for slot, index in enumerate(their_op["operands"]):
            assert [maker.get(name, "leaf") for name in op.inputs[str(slot)]] == makers(index)
        assert len(op.outputs) == their_op["results"]
        for key, value in their_op["attrs"].items():
            if key in ("stop_gradient", "persistable", "struct_name"):
                assert key not in op.attrs
            else:
                assert op.attrs[key] == value, (op.name, key)
                attributes += 1
    assert attributes > (80 if net == "net" else 15)


def test_lists_and_absent_operands(exported):
    program = read_program(exported["pir"] / "lists/inference.json")
    op = {op.type: op for op in program.ops}
    halves = ["split_with_num_0.out_0", "split_with_num_0.out_1"]
    assert op["split_with_num"].outputs["0"] == halves
    assert op["concat"].inputs["0"] == [halves[1], halves[0], "image"]
    assert op["nearest_interp"].inputs["1"] == []
    assert op["topk"].outputs == {"0": ["topk_0.out"], "1": ["topk_0.out1"]}
    assert program.outputs == ["scale_0.out", "topk_0.out1", halves[0]]
    assert [op.attrs["value"] for op in program.ops if op.type == "full"][-1] == -np.inf
    assert program.vars["topk_0.out1"].dtype == np.int64
    assert program.parameters == []
    assert load_paddle(locate("paddle", exported["pir"] / "lists")).params == {}


@pytest.mark.parametrize("dialect", ["legacy", "pir"])
def test_save_inference_model_and_static_save_agree(exported, dialect):
    """Combined file, state dict by name and (legacy) separate files hold the same numbers for the same program."""
    inference = load_paddle(locate("paddle", exported[dialect] / "static_inference"))
    saved = load_paddle(locate("paddle", exported[dialect] / "static_save"))
    assert saved.files[1].name == "static_save.pdparams"
    assert inference.program.outputs
    assert saved.program.outputs == []  # nothing says what a training program is for
    assert saved.program.inputs == inference.program.inputs == ["image"]
    models = [inference, saved]
    if dialect == "legacy":
        models.append(load_paddle(locate("paddle", exported[dialect] / "separate")))
        assert len(models[-1].files) == 9
    assert len(inference.params) == 8
    for model in models:
        assert model.unused == ()
        assert list(model.params) == list(inference.params)
        for name, array in inference.params.items():
            np.testing.assert_array_equal(as_numpy(model.params[name]), as_numpy(array))


def test_state_dict_of_another_program(exported, tmp_path):
    (tmp_path / "x.pdmodel").write_bytes((exported["legacy"] / "net/inference.pdmodel").read_bytes())
    (tmp_path / "x.pdparams").write_bytes((exported["legacy"] / "static_save.pdparams").read_bytes())
    with pytest.raises(WeightsError, match=r"of the program's 70 parameters are missing: .*holds besides: nothing"):
        load_paddle(locate("paddle", tmp_path / "x"))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_state_dicts_of_every_protocol(exported, protocol):
    arrays = read_pdparams(exported["pir"] / f"layer_{protocol}.pdparams")
    with np.load(exported["pir"] / f"layer_{protocol}.npz") as expected:
        assert list(arrays) == list(expected)
        assert len(arrays) == 70
        for name in expected:
            np.testing.assert_array_equal(as_numpy(arrays[name]), expected[name])
            assert arrays[name].dtype == expected[name].dtype


def test_tensors_that_paddle_pickles_as_pairs(exported):
    arrays = read_pdparams(exported["pir"] / "tensors.pdparams")
    np.testing.assert_array_equal(as_numpy(arrays["tensor"]), np.ones((2, 2)))
    assert arrays["tensor"].dtype == np.float64
    assert arrays["half"].dtype == np.float16
    with pytest.raises(FormatError, match="'list' of the state dict holds a list"):
        read_pdparams(exported["pir"] / "no_state.pdparams")


def test_arrays_that_paddle_cut_in_pieces(exported, tmp_path):
    """Paddle's own cutting and joining of arrays over a gigabyte, reproduced on a small array in its layout."""
    import pickle

    whole = np.arange(24, dtype="float32").reshape(2, 3, 4)
    flat = whole.reshape(-1)
    content = {
        "other": np.ones(2, "float32"),
        "w@@.0": flat[:10],
        "w@@.1": flat[10:],
        "UnpackBigParamInfor@@": {"w": {"OriginShape": (2, 3, 4), "slices": ["w@@.0", "w@@.1"]}},
    }
    path = tmp_path / "big.pdparams"
    path.write_bytes(pickle.dumps(content, protocol=2))
    arrays = read_pdparams(path)
    assert sorted(arrays) == ["other", "w"]
    np.testing.assert_array_equal(as_numpy(arrays["w"]), whole)
    import paddle

    np.testing.assert_array_equal(paddle.load(str(path), return_numpy=True)["w"], whole)
    content["UnpackBigParamInfor@@"]["w"]["slices"].append("w@@.2")
    path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(FormatError, match="pieces of large arrays"):
        read_pdparams(path)
