"""PIR programs written by hand: the beta spelling, non-finite numbers, and everything that must be refused."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facecvt.converters.errors import FormatError
from facecvt.converters.formats.paddle_program import read_program

F32 = {"#": "0.t_f32"}


def tensor(*shape, element=F32):
    return {"#": "0.t_dtensor", "D": [element, list(shape), "NCHW", [], 0]}


def attribute(name, kind, data):
    return {"N": name, "AT": {"#": kind, "D": data}}


def sample():
    """data, weight -> conv2d -> split in two -> fetch the second half and the sum of a list."""
    ops = [
        {"#": "p", "A": [0, 1, 1, "conv2d_0.w_0"], "O": {"%": 1, "TT": tensor(4, 3, 3, 3)}, "OA": [1, 0, 1]},
        {
            "#": "1.data",
            "A": [attribute("name", "0.a_str", "image"), attribute("shape", "1.a_intarray", [-1, 3, 8, 8])],
            "I": [],
            "O": [{"%": 2, "TT": tensor(-1, 3, 8, 8)}],
        },
        {
            "#": "1.conv2d",
            "A": [
                attribute("strides", "0.a_array", [{"#": "0.a_i32", "D": 1}, {"#": "0.a_i32", "D": 2}]),
                attribute("data_format", "0.a_str", "NCHW"),
                attribute("place", "1.a_place", [1, 0, ""]),
                attribute("struct_name", "0.a_str", "/Stem/Conv2D/"),
            ],
            "I": [{"%": 2}, {"%": 1}],
            "O": [{"%": 3, "TT": tensor(-1, 4, 6, 6)}],
        },
        {
            "#": "1.split_with_num",
            "A": [attribute("num", "0.a_i32", 2)],
            "I": [{"%": 3}, {"%": 0}],
            "O": [{"%": 4, "TT": {"#": "0.t_vec", "D": [tensor(-1, 2, 6, 6), tensor(-1, 2, 6, 6)]}}],
        },
        {
            "#": "0.slice",
            "A": [attribute("index", "0.a_i32", 1)],
            "I": [{"%": 4}],
            "O": [{"%": 5, "TT": tensor(-1, 2, 6, 6)}],
        },
        {
            "#": "0.split",
            "A": [],
            "I": [{"%": 4}],
            "O": [{"%": 6, "TT": tensor(-1, 2, 6, 6)}, {"%": 7, "TT": tensor(-1, 2, 6, 6)}],
        },
        {"#": "0.combine", "A": [], "I": [{"%": 6}, {"%": 7}], "O": [{"%": 8, "TT": {"#": "0.t_vec", "D": []}}]},
        {
            "#": "1.add_n",
            "A": [
                {"N": "a", "AT": {"#": "0.a_f64", "VD": "NaN"}},
                {"N": "b", "AT": {"#": "0.a_f32", "VD": "-INF"}},
                attribute("c", "1.a_scalar", ["float32", 0.5]),
                attribute("d", "1.a_scalar", ["complex64", 1.0, -2.0]),
                attribute("e", "0.a_c64", [3.0, 4.0]),
                attribute("f", "0.a_bool", True),
                attribute("g", "1.a_dtype", "float32"),
                attribute("h", "0.a_f32", 2),
            ],
            "I": [{"%": 8}],
            "O": [{"%": 9, "TT": tensor(-1, 2, 6, 6)}],
        },
        {"#": "1.fetch", "A": [attribute("col", "0.a_i32", 1)], "I": [{"%": 5}], "O": [{"%": 10, "TT": tensor()}]},
        {"#": "1.fetch", "A": [attribute("col", "0.a_i32", 0)], "I": [{"%": 9}], "O": [{"%": 11, "TT": tensor()}]},
    ]
    return {
        "base_code": {"magic": "pir", "trainable": True, "version": 4},
        "program": {"regions": [{"#": "region_0", "blocks": [{"#": "block_0", "args": [], "ops": ops}]}]},
    }


def ops_of(document):
    return document["program"]["regions"][0]["blocks"][0]["ops"]


@pytest.fixture
def read(tmp_path):
    def read_document(document, name="inference.json"):
        (tmp_path / name).write_text(document if isinstance(document, str) else json.dumps(document))
        return read_program(tmp_path / name)

    return read_document


def test_the_sample(read):
    program = read(sample())
    assert (program.dialect, program.version, program.inputs, program.parameters) == (
        "pir",
        4,
        ["image"],
        ["conv2d_0.w_0"],
    )
    conv, split, add = program.ops
    assert (conv.type, conv.name, conv.scope) == ("conv2d", "conv2d_0", "/Stem/Conv2D/")
    assert conv.inputs == {"0": ["image"], "1": ["conv2d_0.w_0"]}
    assert conv.attrs == {"strides": [1, 2], "data_format": "NCHW"}
    assert split.inputs == {"0": ["conv2d_0.out"], "1": []}
    assert split.outputs == {"0": ["split_with_num_0.out_0", "split_with_num_0.out_1"]}
    assert add.inputs == {"0": ["split_with_num_0.out_0", "split_with_num_0.out_1"]}
    assert program.outputs == ["add_n_0.out", "split_with_num_0.out_1"]
    assert math.isnan(add.attrs.pop("a"))
    assert add.attrs == {"b": -math.inf, "c": 0.5, "d": 1 - 2j, "e": 3 + 4j, "f": True, "g": "float32", "h": 2.0}
    assert isinstance(add.attrs["h"], float)
    weight = program.vars["conv2d_0.w_0"]
    assert (weight.dtype, weight.shape, weight.persistable) == (np.float32, (4, 3, 3, 3), True)
    assert program.vars["conv2d_0.out"].shape == (-1, 4, 6, 6)


def in_beta_spelling(node):
    """Full dialect names, # for value numbers, VOID_DATA: as the beta versions of Paddle 3.0 wrote it."""
    if isinstance(node, list):
        return [in_beta_spelling(element) for element in node]
    if not isinstance(node, dict):
        return node
    spelled = {}
    for key, value in node.items():
        if key == "#" and isinstance(value, str):
            value = (
                "builtin.parameter" if value == "p" else value.replace("0.", "builtin.", 1).replace("1.", "pd_op.", 1)
            )
        spelled[{"%": "#", "VD": "VOID_DATA"}.get(key, key)] = in_beta_spelling(value)
    return spelled


def test_beta_files_give_the_same_record(read):
    beta = in_beta_spelling(sample())
    assert '"%"' not in json.dumps(beta)
    assert '"pd_op.conv2d"' in json.dumps(beta)
    ours, theirs = read(sample()), read(beta)
    assert repr(theirs.ops) == repr(ours.ops)  # NaN is not equal to itself, its text is
    assert (theirs.vars, theirs.inputs, theirs.outputs) == (ours.vars, ours.inputs, ours.outputs)


def test_parameter_with_named_attributes(read):
    document = sample()
    parameter = ops_of(document)[0]
    parameter["A"] = [attribute("parameter_name", "0.a_str", "conv2d_0.w_0")]
    parameter["O"] = [parameter["O"]]
    assert read(document).parameters == ["conv2d_0.w_0"]


def test_other_dialects_keep_their_names(read):
    document = sample()
    ops_of(document)[7]["#"] = "2.stack_create"
    assert read(document).ops[-1].type == "cf.stack_create"
    ops_of(document)[7]["#"] = "3.my_op_"
    op = read(document).ops[-1]
    assert (op.type, op.inplace) == ("custom_op.my_op", True)


def test_a_value_never_takes_the_name_of_a_weight(read):
    document = sample()
    ops_of(document)[0]["A"][3] = "conv2d_0.out"
    program = read(document)
    assert program.ops[0].inputs["1"] == ["conv2d_0.out"]
    assert program.ops[0].outputs["0"] == ["conv2d_0.out.value"]
    assert program.ops[1].inputs["0"] == ["conv2d_0.out.value"]


def test_dialect_is_told_by_content(read):
    text = json.dumps(sample())
    assert read("\ufeff  \r\n" + text, "program.pdmodel").dialect == "pir"
    assert read("\n" + text).dialect == "pir"


BREAKS = {
    "undefined operand": (lambda ops: ops[2]["I"][0].update({"%": 77}), "%77 is not defined"),
    "value twice": (lambda ops: ops[2]["O"][0].update({"%": 1}), "%1 is defined twice"),
    "parameter twice": (lambda ops: ops.insert(1, {**ops[0], "O": {"%": 99, "TT": tensor(1)}}), "there twice"),
    "no operands key of a fetch": (lambda ops: ops[8].pop("I"), "operator 8"),
    "number without type": (lambda ops: ops[2]["O"][0].pop("TT"), "operator 2 .*KeyError 'TT'"),
    "value number is text": (lambda ops: ops[2]["I"][0].update({"%": "2"}), "value number '2'"),
    "attribute without a value": (lambda ops: ops[3]["A"][0]["AT"].pop("D"), "operator 3"),
    "array is no list": (lambda ops: ops[2]["A"][0]["AT"].update({"D": 3}), "a list was expected"),
    "unknown non-finite": (lambda ops: ops[7]["A"][0]["AT"].update({"VD": "huge"}), "operator 7 .*'huge'"),
    "split of another length": (lambda ops: ops[5]["O"].pop(), "1 results of a list of 2"),
    "operator is no object": (lambda ops: ops.__setitem__(2, 5), "operator 2"),
    "nameless operator": (lambda ops: ops[2].pop("#"), "operator 2"),
    "nameless parameter": (lambda ops: ops[0]["A"].pop(), "operator 0"),
}


@pytest.mark.parametrize("damage", BREAKS)
def test_damage_names_the_operator(read, damage):
    document = sample()
    change, words = BREAKS[damage]
    change(ops_of(document))
    with pytest.raises(FormatError, match=words):
        read(document)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "byte 1: is not JSON"),
        ('{"é": x}', "byte 7: is not JSON"),
        ('{"nodes": [], "heads": []}', "no base_code with the magic 'pir'"),
        ('{"base_code": {"magic": "pir"}, "program": {"regions": []}}', "one region with one block"),
        ('{"base_code": {"magic": "pir"}, "program": 3}', "one region with one block"),
        ("{" + '"a": [' * 5000, "nested too deeply|is not JSON"),
    ],
)
def test_other_json_is_refused(read, text, words):
    with pytest.raises(FormatError, match=words):
        read(text)


@pytest.mark.parametrize(
    ("data", "words"), [(b"", "empty"), (b"PK\x03\x04", "starts with byte 0x50"), (b'{"\xff"', "byte 2: .*UTF-8")]
)
def test_other_files_are_refused(tmp_path, data, words):
    (tmp_path / "x.pdmodel").write_bytes(data)
    with pytest.raises(FormatError, match=words):
        read_program(tmp_path / "x.pdmodel")


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_missing_or_wrong_piece_is_a_format_error(read, data):
    """Remove or replace one value anywhere in the document: it reads, or it is one FormatError."""
    document = copy.deepcopy(sample())
    node = document
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        child = node[key]
        if not isinstance(child, dict | list) or not child or data.draw(st.integers(0, 9)) == 0:
            break
        node = child
    if data.draw(st.booleans()):
        del node[key]
    else:
        node[key] = data.draw(st.sampled_from([None, -1, 1.5, "x", [], {}, [[]], True, 2**70]))
    try:
        program = read(document)
    except FormatError as error:
        assert str(error)  # noqa: PT017 - most changes are errors, some are not
    else:
        assert program.dialect == "pir"


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_truncated_legacy_programs_are_refused(real_models, tmp_path, data):
    content = (real_models / "paddle/mtcnn-pdmodel-combined/PNet.pdmodel").read_bytes()
    (tmp_path / "x.pdmodel").write_bytes(content[: data.draw(st.integers(0, 93000))])
    with pytest.raises(FormatError) as caught:
        read_program(tmp_path / "x.pdmodel")
    assert caught.value.offset is not None


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_legacy_programs_read_or_are_refused(real_models, tmp_path, data):
    content = bytearray((real_models / "paddle/mtcnn-old-model-separate/PNet/__model__").read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / "__model__").write_bytes(bytes(content))
    try:
        program = read_program(tmp_path / "__model__")
    except FormatError as error:
        assert "__model__" in str(error)  # noqa: PT017 - most flips hit text and change nothing else
    else:
        assert len(program.ops) <= 27 + 1  # one more where the type of a feed or a fetch was hit
