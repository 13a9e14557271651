"""The wire reader and Paddle's schema, held against protobuf itself and the descriptors of the installed Paddle."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facecvt.converters.errors import FormatError
from facecvt.converters.formats.paddle_schema import ATTR_FIELD, PROGRAM, TENSOR_DESC, dtype_of_number, number_of_dtype
from facecvt.converters.formats.protobuf import Field, Message, read_message

POINT = Message(
    "Point",
    {
        1: Field("x", "int", required=True),
        2: Field("weights", "float", repeated=True),
        3: Field("inner", Message("Inner", {1: Field("name", "text"), 2: Field("flags", "bool", repeated=True)})),
        4: Field("d", "double"),
    },
)


def decode(data: bytes, schema: Message = POINT):
    return read_message(memoryview(data), schema, "sample.pb")


def test_scalars_nested_and_unknown_fields():
    data = bytes.fromhex("08ffffffffffffffffff011a040a02c3a921000000000000f83f7a03616263a00105ad0101020304")
    assert decode(data) == {"x": -1, "weights": [], "inner": {"name": "é", "flags": []}, "d": 1.5}


@pytest.mark.parametrize("data", ["08011504000000150000803f", "08011208040000000000803f"])
def test_repeated_scalars_packed_and_unpacked(data):
    record = decode(bytes.fromhex(data))
    assert record["weights"][1] == 1.0
    assert len(record["weights"]) == 2


def test_last_value_of_a_single_field_counts():
    assert decode(bytes.fromhex("08010802"))["x"] == 2


@pytest.mark.parametrize(
    ("data", "offset", "words"),
    [
        ("08", 1, "truncated"),
        ("0880", 1, "truncated"),
        ("08" + "ff" * 10 + "01", 1, "more than 10 bytes"),
        ("08012100", 3, "truncated"),
        ("080115000000", 3, "truncated"),
        ("08011aff01", 3, "needs 255 bytes"),
        ("08011a020a05", 5, "needs 5 bytes"),
        ("08011a030a01ff", 6, "not UTF-8"),
        ("08011a0180", 4, "truncated"),
        ("0a01", 0, "wire type 2, expected 0"),
        ("08013b", 2, "wire type 3"),
        ("08013f", 2, "wire type 7"),
        ("00", 0, "field 0"),
        ("08017aff", 3, "truncated"),
        ("0801790000", 3, "truncated"),
        ("1a00", 0, "required field 'x'"),
        ("", 0, "required field 'x'"),
    ],
)
def test_damage_is_named_with_its_byte(data, offset, words):
    with pytest.raises(FormatError, match=words) as caught:
        decode(bytes.fromhex(data))
    assert caught.value.offset == offset


def descriptor(name: str):
    pytest.importorskip("paddle", reason="paddle is not installed: pip install paddlepaddle==3.3.1")
    from paddle.base.proto import framework_pb2

    return getattr(framework_pb2, name)


def assert_schema_agrees(schema: Message, message) -> int:
    """Every field of the schema has the number, name, kind and label that the descriptor says; returns their count."""
    kinds = {1: "double", 2: "float", 3: "int", 5: "int", 8: "bool", 9: "text", 14: "int"}
    renamed = {"lod_tensor": "dense_tensor", "lod_level": "legacy_lod_level"}  # Paddle 3 renamed, the numbers stayed
    count = 0
    for number, field in schema.fields.items():
        there = message.fields_by_number[number]
        assert there.name == renamed.get(field.name, field.name)
        repeated = there.is_repeated if hasattr(there, "is_repeated") else there.label == 3
        required = there.is_required if hasattr(there, "is_required") else there.label == 2
        assert (repeated, required) == (field.repeated, field.required), f"{schema.name}.{field.name}"
        if isinstance(field.kind, Message):
            count += assert_schema_agrees(field.kind, there.message_type)
        else:
            assert kinds[there.type] == field.kind, f"{schema.name}.{field.name}"
        count += 1
    return count


def test_schema_is_that_of_the_installed_paddle():
    assert assert_schema_agrees(PROGRAM, descriptor("ProgramDesc").DESCRIPTOR) >= 50


def test_numberings_are_those_of_the_installed_paddle():
    attr_types = descriptor("AttrType").items()
    fields = {
        "INT": "i",
        "FLOAT": "f",
        "STRING": "s",
        "BOOLEAN": "b",
        "LONG": "l",
        "BLOCK": "block_idx",
        "VAR": "var_name",
    }
    fields |= {"BLOCKS": "blocks_idx", "VARS": "vars_name", "BOOLEANS": "bools"}
    assert {number: fields.get(name, name.lower()) for name, number in attr_types} == ATTR_FIELD
    names = {"FP16": "float16", "FP32": "float32", "FP64": "float64", "BF16": "bfloat16", "SIZE_T": "uint64"}
    names |= {"FP8_E4M3FN": "float8_e4m3fn", "FP8_E5M2": "float8_e5m2"}
    scalars = 0
    for name, number in descriptor("VarType").Type.items():
        dtype = dtype_of_number(number)
        if dtype is None:
            assert not name.startswith(("INT", "UINT", "FP", "BF", "BOOL", "COMPLEX", "SIZE"))
            continue
        assert dtype.name == names.get(name, name.lower())
        assert number_of_dtype(dtype) == number or name == "SIZE_T"
        scalars += 1
    assert scalars == 18


@given(st.integers(0, 38), st.lists(st.integers(-(2**63), 2**63 - 1), max_size=6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_tensor_desc_as_protobuf_writes_it(number, dims, packed):
    message = descriptor("VarType").TensorDesc
    if number not in descriptor("VarType").Type.values():
        number = 5
    data = message(data_type=number, dims=dims).SerializeToString()
    if packed:
        varints = b"".join(message(data_type=0, dims=[size]).SerializeToString()[3:] for size in dims)
        data = message(data_type=number).SerializeToString() + (
            b"\x12" + bytes([len(varints)]) + varints if dims else b""
        )
    assert decode(data, TENSOR_DESC) == {"data_type": number, "dims": dims}


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_a_record_or_a_format_error(data):
    try:
        record = decode(data)
    except FormatError as error:
        offset = error.offset
    else:
        assert isinstance(record["x"], int)
        offset = 0
    assert offset is not None
    assert 0 <= offset <= len(data)
