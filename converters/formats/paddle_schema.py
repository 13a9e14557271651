"""Paddle's own layouts and numberings, as data: the messages of ``framework.proto`` and the element types.

Field numbers, enumeration values and required fields are those of ``paddle/fluid/framework/framework.proto``; only
what facecvt reads is listed, everything else is skipped by :mod:`facecvt.converters.formats.protobuf`. The
tests hold this table against the descriptors of the installed Paddle.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facecvt.converters.formats.protobuf import Field, Message

_SCALAR = Message(
    "Scalar",
    {
        1: Field("type", "int", required=True),
        2: Field("b", "bool"),
        3: Field("i", "int"),
        4: Field("r", "double"),
        5: Field(
            "c", Message("Complex", {1: Field("r", "double", required=True), 2: Field("i", "double", required=True)})
        ),
    },
)
SCALAR_FIELD = {1: "b", 2: "i", 3: "r", 4: "c"}  # Scalar.type -> the field that holds the value

_ATTR = Message(
    "OpDesc.Attr",
    {
        1: Field("name", "text", required=True),
        2: Field("type", "int", required=True),
        3: Field("i", "int"),
        4: Field("f", "float"),
        5: Field("s", "text"),
        6: Field("ints", "int", repeated=True),
        7: Field("floats", "float", repeated=True),
        8: Field("strings", "text", repeated=True),
        10: Field("b", "bool"),
        11: Field("bools", "bool", repeated=True),
        12: Field("block_idx", "int"),
        13: Field("l", "int"),
        14: Field("blocks_idx", "int", repeated=True),
        15: Field("longs", "int", repeated=True),
        16: Field("float64s", "double", repeated=True),
        17: Field("var_name", "text"),
        18: Field("vars_name", "text", repeated=True),
        19: Field("float64", "double"),
        20: Field("scalar", _SCALAR),
        21: Field("scalars", _SCALAR, repeated=True),
    },
)
ATTR_FIELD = {  # AttrType -> the field of Attr that holds the value
    0: "i",
    1: "f",
    2: "s",
    3: "ints",
    4: "floats",
    5: "strings",
    6: "b",
    7: "bools",
    8: "block_idx",
    9: "l",
    10: "blocks_idx",
    11: "longs",
    12: "float64s",
    13: "var_name",
    14: "vars_name",
    15: "float64",
    16: "scalar",
    17: "scalars",
}

_SLOT = Message(
    "OpDesc.Var", {1: Field("parameter", "text", required=True), 2: Field("arguments", "text", repeated=True)}
)
_OP = Message(
    "OpDesc",
    {
        1: Field("inputs", _SLOT, repeated=True),
        2: Field("outputs", _SLOT, repeated=True),
        3: Field("type", "text", required=True),
        4: Field("attrs", _ATTR, repeated=True),
    },
)

TENSOR_DESC = Message(
    "TensorDesc", {1: Field("data_type", "int", required=True), 2: Field("dims", "int", repeated=True)}
)
_DENSE = Message("LoDTensorDesc", {1: Field("tensor", TENSOR_DESC, required=True), 2: Field("lod_level", "int")})
_VAR_TYPE = Message("VarType", {1: Field("type", "int", required=True), 3: Field("lod_tensor", _DENSE)})
_VAR = Message(
    "VarDesc",
    {
        1: Field("name", "text", required=True),
        2: Field("type", _VAR_TYPE, required=True),
        3: Field("persistable", "bool"),
        4: Field("need_check_feed", "bool"),
        5: Field("is_parameter", "bool"),
    },
)
_BLOCK = Message(
    "BlockDesc",
    {
        1: Field("idx", "int", required=True),
        2: Field("parent_idx", "int", required=True),
        3: Field("vars", _VAR, repeated=True),
        4: Field("ops", _OP, repeated=True),
    },
)
_VERSION = Message("Version", {1: Field("version", "int")})
_OP_VERSION = Message("OpVersion", {1: Field("version", "int", required=True)})
_OP_VERSIONS = Message(
    "OpVersionMap",
    {
        1: Field(
            "pair",
            Message(
                "OpVersionPair",
                {1: Field("op_name", "text", required=True), 2: Field("op_version", _OP_VERSION, required=True)},
            ),
            repeated=True,
        )
    },
)
PROGRAM = Message(
    "ProgramDesc",
    {
        1: Field("blocks", _BLOCK, repeated=True),
        4: Field("version", _VERSION),
        5: Field("op_version_map", _OP_VERSIONS),
    },
)

DENSE_TENSOR = 7  # VarType.Type of a tensor
FEED_MINIBATCH, FETCH_LIST = 9, 10  # VarTypes of the variables that a program's feed and fetch operators name
# VarTypes that are never in a weights file, even when marked persistable: FEED_MINIBATCH, FETCH_LIST, STEP_SCOPES,
# READER, FETCH_VAR_LIST, RAW, FEED_LIST.
NEVER_STORED = frozenset({9, 10, 11, 15, 16, 17, 28})

_DTYPE_NAME = {  # VarType.Type -> numpy or ml_dtypes name
    0: "bool",
    1: "int16",
    2: "int32",
    3: "int64",
    4: "float16",
    5: "float32",
    6: "float64",
    19: "uint64",  # SIZE_T
    20: "uint8",
    21: "int8",
    22: "bfloat16",
    23: "complex64",
    24: "complex128",
    32: "float8_e4m3fn",
    33: "float8_e5m2",
    36: "uint16",
    37: "uint32",
    38: "uint64",
}
_PIR_DTYPE_NAME = {  # PIR type without dialect and "t_" -> numpy or ml_dtypes name
    "bool": "bool",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "ui8": "uint8",
    "ui16": "uint16",
    "ui32": "uint32",
    "ui64": "uint64",
    "index": "int64",
    "f16": "float16",
    "bf16": "bfloat16",
    "f32": "float32",
    "f64": "float64",
    "c64": "complex64",
    "c128": "complex128",
    "f8e4m3fn": "float8_e4m3fn",
    "f8e5m2": "float8_e5m2",
}
_BEYOND_NUMPY = frozenset({"bfloat16", "float8_e4m3fn", "float8_e5m2"})


def dtype_of_number(number: int) -> np.dtype[Any] | None:
    """The element type of a VarType.Type value, None where it is not one."""
    return _dtype_named(_DTYPE_NAME.get(number))


def dtype_of_pir_name(name: str) -> np.dtype[Any] | None:
    """The element type of a PIR type such as ``f32``, None where it is not one."""
    return _dtype_named(_PIR_DTYPE_NAME.get(name))


def number_of_dtype(dtype: np.dtype[Any]) -> int | None:
    """The VarType.Type value of an element type, None where Paddle has none."""
    return next((number for number, name in _DTYPE_NAME.items() if name == dtype.name and number != 19), None)


def _dtype_named(name: str | None) -> np.dtype[Any] | None:
    if name is None:
        return None
    if name in _BEYOND_NUMPY:
        import ml_dtypes  # numpy's own extension types, which onnx-ir brings along

        return np.dtype(getattr(ml_dtypes, name))
    return np.dtype(name)
