"""Legacy programs as they are written: read back, held against protobuf's own bytes and Paddle's operators."""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facecvt.converters.formats.paddle_operators import FLOAT, OPERATORS, REQUIRED, VERSIONS
from facecvt.converters.formats.paddle_program import PaddleOp, PaddleProgram, PaddleVar, read_program
from facecvt.converters.formats.paddle_program_writer import BOOKKEEPING, VERSION, encode_program
from facecvt.converters.formats.paddle_schema import PROGRAM, TENSOR_DESC
from facecvt.converters.formats.protobuf import Field, Message, read_message
from facecvt.converters.formats.protobuf_writer import encode_message

FLOAT32 = np.dtype(np.float32)
EVERYTHING = Message(
    "Everything",
    {
        1: Field("whole", "int", required=True),
        2: Field("reals", "float", repeated=True),
        3: Field("inner", Message("Inner", {1: Field("name", "text"), 2: Field("flags", "bool", repeated=True)})),
        17: Field("wide", "double"),
    },
)


@given(
    st.fixed_dictionaries(
        {
            "whole": st.integers(-(2**63), 2**63 - 1),
            "reals": st.lists(st.floats(width=32, allow_nan=False), max_size=4),
            "inner": st.fixed_dictionaries({"name": st.text(max_size=9), "flags": st.lists(st.booleans(), max_size=3)}),
            "wide": st.floats(allow_nan=False),
        }
    )
)
@settings(max_examples=100, deadline=None)
def test_what_is_encoded_is_decoded(record):
    assert read_message(memoryview(encode_message(record, EVERYTHING)), EVERYTHING, "sample") == record


def test_a_number_beyond_float32_becomes_infinite():
    data = encode_message({"whole": 0, "reals": [1e39, -1e39]}, EVERYTHING)
    assert read_message(memoryview(data), EVERYTHING, "sample")["reals"] == [math.inf, -math.inf]


@pytest.mark.parametrize(
    ("record", "words"), [({"reals": []}, "required field 'whole'"), ({"whole": 1, "other": 2}, "no field 'other'")]
)
def test_a_record_that_does_not_fit_is_a_bug(record, words):
    with pytest.raises(ValueError, match=words):
        encode_message(record, EVERYTHING)


def sample_program(**changes: object) -> PaddleProgram:
    """x -> conv2d -> batch_norm -> flatten, and x's shape."""
    shapes = {"x": (-1, 3, 8, 8), "w": (4, 3, 3, 3), "c": (-1, 4, 6, 6), "y": (-1, 4, 6, 6), "f": (-1, 144)}
    shapes |= dict.fromkeys(("scale", "bias", "mean", "var", "sm", "sv"), (4,)) | {"xs": (0, 4, 6, 6), "s": (4,)}
    weights = {"w", "scale", "bias", "mean", "var"}
    variables = {
        name: PaddleVar(name, np.dtype(np.int32) if name == "s" else FLOAT32, shape, name in weights)
        for name, shape in shapes.items()
    }
    statistics = {"MeanOut": ["mean"], "VarianceOut": ["var"], "SavedMean": ["sm"], "SavedVariance": ["sv"]}
    ops = [
        PaddleOp("conv2d", "c", {"Input": ["x"], "Filter": ["w"]}, {"Output": ["c"]}, {"paddings": [0, 1, 2, 3]}),
        PaddleOp(
            "batch_norm",
            "y",
            {"X": ["c"], "Scale": ["scale"], "Bias": ["bias"], "Mean": ["mean"], "Variance": ["var"]},
            {"Y": ["y"], **statistics},
            {"is_test": True, "epsilon": 0.5},
        ),
        PaddleOp(
            "flatten_contiguous_range",
            "f",
            {"X": ["y"]},
            {"Out": ["f"], "XShape": ["xs"]},
            {"start_axis": 1, "stop_axis": -1},
        ),
        PaddleOp("shape", "s", {"Input": ["x"]}, {"Out": ["s"]}, {}),
    ]
    program = PaddleProgram("legacy", ops, variables, ["x"], ["f", "s"], sorted(weights), VERSION)
    return PaddleProgram(**{**program.__dict__, **changes})


def test_a_written_program_is_read_back(tmp_path):
    program = sample_program()
    path = tmp_path / "model.pdmodel"
    path.write_bytes(encode_program(program))
    again = read_program(path)
    assert {name: again.vars[name] for name in program.vars} == program.vars
    assert set(again.vars) - set(program.vars) == {"feed", "fetch"}
    assert (again.inputs, again.outputs, again.parameters) == (program.inputs, program.outputs, program.parameters)
    assert (again.dialect, again.version) == ("legacy", VERSION)
    assert [(op.type, op.name, op.outputs) for op in again.ops] == [(o.type, o.name, o.outputs) for o in program.ops]
    convolution = again.ops[0]
    assert convolution.inputs == {"Input": ["x"], "Filter": ["w"]}
    assert convolution.attrs["paddings"] == [0, 1, 2, 3]
    assert convolution.attrs["strides"] == [1, 1]  # Paddle's default, written out
    assert again.ops[1].attrs["epsilon"] == 0.5
    record = read_message(memoryview(path.read_bytes()), PROGRAM, path)
    assert [pair["op_name"] for pair in record["op_version_map"]["pair"]] == ["conv2d"]


def test_it_is_what_protobuf_itself_writes(paddle_module: ModuleType):
    from paddle.base.proto import framework_pb2

    data = encode_program(sample_program())
    message = framework_pb2.ProgramDesc.FromString(data)
    assert message.SerializeToString() == data
    assert [op.type for op in message.blocks[0].ops][:2] == ["feed", "conv2d"]
    assert [variable.name for variable in message.blocks[0].vars if variable.need_check_feed] == ["x"]


def changed(index: int, **changes: object) -> PaddleProgram:
    program = sample_program()
    program.ops[index] = PaddleOp(**{**program.ops[index].__dict__, **changes})
    return program


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (changed(0, type="conv9d"), "conv9d 'c': facecvt does not write"),
        (changed(0, attrs={"stride": [1, 1]}), "no attribute 'stride'"),
        (changed(0, inputs={"Input": ["x"], "Weight": ["w"]}), "no input 'Weight'"),
        (changed(0, inputs={"Input": ["z"], "Filter": ["w"]}), "names 'z'"),
        (changed(2, outputs={"Out": ["f"]}), "nothing is in the output 'XShape'"),
        (changed(2, attrs={"start_axis": 1}), "'stop_axis' is required"),
        (sample_program(vars={"x": PaddleVar("x", None, (), False)}, ops=[], outputs=[]), "element type None"),
    ],
)
def test_a_program_that_paddle_would_refuse_is_a_bug(program, words):
    with pytest.raises(ValueError, match=words):
        encode_program(program)


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_an_operators_form_is_that_of_the_installed_paddle(name: str, paddle_module: ModuleType):
    from paddle.base import core, framework

    proto = {proto.type: proto for proto in framework.get_all_op_protos()}[name]
    form = OPERATORS[name]
    slots = {slot.name: slot for slot in proto.inputs}
    assert set(form.inputs) <= set(slots)
    assert {slot for slot in slots if not slots[slot].dispensable} <= set(form.inputs)
    outputs = {slot.name: slot for slot in proto.outputs}
    assert set(form.outputs) <= set(outputs)
    assert {slot for slot in outputs if not outputs[slot].dispensable} <= set(form.outputs)
    shared = {entry[0] for entry in BOOKKEEPING} | {"op_callstack", "use_quantizer", "mkldnn_data_type"}
    known = {attribute.name: attribute.type for attribute in proto.attrs if attribute.name not in shared}
    written = form.attributes or {}
    assert {key: attribute.kind for key, attribute in written.items()} == known
    defaults = core.get_op_attrs_default_value(name.encode())
    for key, attribute in written.items():
        assert (attribute.default is REQUIRED) == (key not in defaults), key
        if key in defaults:
            wanted = np.float32(attribute.default) if attribute.kind == FLOAT else attribute.default
            assert wanted == defaults[key], key


def test_versions_are_those_of_the_installed_paddle(paddle_module: ModuleType):
    from paddle.base import core

    program = core.ProgramDesc()
    core.save_op_version_info(program)
    record = read_message(memoryview(program.serialize_to_string()), PROGRAM, "installed")
    versions = {pair["op_name"]: pair["op_version"]["version"] for pair in record["op_version_map"]["pair"]}
    assert len(versions) > 50
    assert {name: versions[name] for name in OPERATORS if name in versions} == VERSIONS


def test_used_versions_are_written():
    variables = {name: PaddleVar(name, FLOAT32, (-1, 4), False) for name in ("x", "y")}
    op = PaddleOp("leaky_relu", "y", {"X": ["x"]}, {"Out": ["y"]}, {"alpha": 0.5})
    data = encode_program(PaddleProgram("legacy", [op], variables, ["x"], ["y"], [], 0))
    record = read_message(memoryview(data), PROGRAM, "sample")
    assert record["op_version_map"]["pair"] == [{"op_name": "leaky_relu", "op_version": {"version": 1}}]


def test_dimensions_keep_their_sign():
    data = encode_message({"data_type": 5, "dims": [-1, 3]}, TENSOR_DESC)
    assert read_message(memoryview(data), TENSOR_DESC, "sample")["dims"] == [-1, 3]
