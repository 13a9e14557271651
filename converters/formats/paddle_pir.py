"""Paddle 3's PIR programs (``inference.json``), read into the record of ``paddle_program``.

Layout::

    {"base_code": {"magic": "pir", "version": N, ...},
     "program": {"regions": [{"blocks": [{"args": [], "ops": [OP, ...]}]}]}}
    OP        {"#": type, "I": [{"%": value}, ...], "O": [{"%": value, "TT": TYPE}, ...], "A": [ATTRIBUTE, ...]}
    parameter {"#": "p", "A": [is_distributed, is_parameter, need_clip, name], "O": {"%": value, "TT": TYPE}}
    ATTRIBUTE {"N": name, "AT": {"#": kind, "D": value}}; a non-finite float: "VD" "NaN" | "INF" | "-INF", no "D"
    TYPE      {"#": "0.t_dtensor", "D": [{"#": "0.t_f32"}, dims, layout, lod, offset]} or "0.t_vec" of these

Value 0 is "absent". A type or kind is ``<dialect>.<name>`` with the dialects 0 builtin, 1 pd_op, 2 cf, 3 custom_op,
4 dist; beta files of Paddle 3.0 spell the dialect out and use ``#`` for value numbers as well.

What the record adds or drops:

* Values have numbers in the file and names here. A parameter's value has the parameter's name, an input's value the
  name of its ``data`` operator; result r of the k-th operator of a type (counted from 0) is ``<type>_<k>.out`` for
  r = 0 and ``<type>_<k>.out<r>`` for the others; element i of a list has ``_<i>`` appended to that.
* ``combine``, ``split`` and ``slice`` of the builtin dialect only pack and unpack lists: they are folded into the
  slots of the operators on both sides, as in a legacy program.
* ``parameter``, ``data`` and ``fetch`` become parameters, inputs and outputs.
* Attributes that say where or for whom an operator was made (``place``, ``stop_gradient``, ...) are dropped.

Source: ``paddle/fluid/pir/serialize_deserialize`` and files written by Paddle 3.3.1.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from facecvt.converters.errors import FormatError
from facecvt.converters.formats.mapped import MappedFile
from facecvt.converters.formats.paddle_program import PaddleOp, PaddleProgram, PaddleVar
from facecvt.converters.formats.paddle_schema import dtype_of_pir_name

_DIALECTS = {"0": "builtin", "1": "pd_op", "2": "cf", "3": "custom_op", "4": "dist"}
_SHORT_NAMES = {
    "p": "builtin.parameter",
    "c": "builtin.combine",
    "s": "builtin.set_parameter",
    "g": "builtin.get_parameter",
}
_BOOKKEEPING = frozenset(
    {"place", "struct_name", "stop_gradient", "persistable", "op_role", "chunk_id", "op_callstack"}
)
_NON_FINITE = {"NaN": math.nan, "INF": math.inf, "-INF": -math.inf}


def read_pir(file: MappedFile) -> PaddleProgram:
    """Read a PIR program.

    Raises:
        FormatError: not JSON (names the byte), or JSON that is not a PIR program (names the operator).
    """
    document = _document(file)
    header = document.get("base_code")
    if not isinstance(header, dict) or header.get("magic") != "pir":
        raise FormatError(file.path, None, "JSON, but not a Paddle PIR program: no base_code with the magic 'pir'")
    reader = _ProgramReader(file)
    try:
        (region,) = document["program"]["regions"]
        (block,) = region["blocks"]
        ops = list(block["ops"])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(file.path, None, "a PIR program of one region with one block was expected") from error
    for index, description in enumerate(ops):
        try:
            reader.operator(description)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            what = description.get("#") if isinstance(description, dict) else description
            raise FormatError(
                file.path,
                None,
                f"operator {index} ({what!r:.80}) is not laid out as PIR: {type(error).__name__} {error}",
            ) from error
    version = header.get("version", 0)
    return PaddleProgram(
        dialect="pir",
        ops=reader.ops,
        vars=reader.variables,
        inputs=[name for _, name in sorted(reader.inputs, key=lambda item: item[0])],
        outputs=[name for _, name in sorted(reader.outputs, key=lambda item: item[0])],
        parameters=sorted(name for name, variable in reader.variables.items() if variable.persistable),
        version=version if isinstance(version, int) else 0,
        path=file.path,
    )


def _document(file: MappedFile) -> dict[str, Any]:
    try:
        text = str(file.view, "utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(file.path, error.start, "is not UTF-8 text") from error
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        offset = len(text[: error.pos].encode())
        raise FormatError(file.path, offset, f"is not JSON: {error.msg} (truncated or damaged)") from error
    except RecursionError as error:
        raise FormatError(file.path, None, "JSON nested too deeply for a PIR program") from error
    if not isinstance(document, dict):
        raise FormatError(file.path, None, "JSON, but not a Paddle PIR program: the top level is not an object")
    return document


class _ProgramReader:
    """Collects operators and values in the order of the file."""

    def __init__(self, file: MappedFile) -> None:
        self.path = file.path
        self.ops: list[PaddleOp] = []
        self.variables: dict[str, PaddleVar] = {}
        self.inputs: list[tuple[int, str]] = []
        self.outputs: list[tuple[int, str]] = []
        self._names_of: dict[int, list[str]] = {}  # value number -> its names; a list value has several
        self._count: Counter[str] = Counter()

    def operator(self, description: dict[str, Any]) -> None:
        full_name = _full_name(description["#"])
        if full_name == "builtin.parameter":
            self._parameter(description)
            return
        attrs, scope = self._attributes(description)
        operands = [self._operand(operand) for operand in description.get("I", [])]
        results = _as_list(description.get("O", []))
        if full_name in ("pd_op.data", "pd_op.feed"):
            (result,) = results
            name = self._declare(str(attrs["name"]), result["TT"], persistable=False)
            self._bind(result, [name])
            self.inputs.append((int(attrs.get("col", len(self.inputs))), name))
        elif full_name == "pd_op.fetch":
            ((name,),) = operands
            self.outputs.append((int(attrs["col"]), name))
        elif full_name == "builtin.combine":
            (result,) = results
            self._bind(result, [name for names in operands for name in names])
        elif full_name == "builtin.split":
            (elements,) = operands
            if len(elements) != len(results):
                raise ValueError(f"{len(results)} results of a list of {len(elements)}")
            for result, element in zip(results, elements, strict=True):
                self._bind(result, [element])
        elif full_name == "builtin.slice":
            (elements,), (result,) = operands, results
            self._bind(result, [elements[int(attrs["index"])]])
        else:
            self._computation(full_name, operands, results, attrs, scope)

    def _parameter(self, description: dict[str, Any]) -> None:
        (result,) = _as_list(description["O"])
        attributes = description["A"]
        if attributes and isinstance(attributes[-1], dict):  # beta files: named attributes instead of the bare list
            name = str(self._attributes(description)[0]["parameter_name"])
        else:
            name = attributes[3]
            if not isinstance(name, str):
                raise TypeError(f"parameter name {name!r}")
        self._bind(result, [self._declare(name, result["TT"], persistable=True)])

    def _computation(
        self, full_name: str, operands: list[list[str]], results: list[Any], attrs: dict[str, Any], scope: str
    ) -> None:
        dialect, _, short_name = full_name.partition(".")
        operator = short_name if dialect == "pd_op" else full_name
        inplace = operator.endswith("_")
        operator = operator.rstrip("_") if inplace else operator
        name = f"{operator}_{self._count[operator]}"
        self._count[operator] += 1
        outputs: dict[str, list[str]] = {}
        for position, result in enumerate(results):
            outputs[str(position)] = self._declare_result(result, f"{name}.out{position or ''}")
        inputs = {str(position): names for position, names in enumerate(operands)}
        self.ops.append(PaddleOp(operator, name, inputs, outputs, attrs, inplace=inplace, scope=scope))

    def _declare_result(self, result: dict[str, Any], base: str) -> list[str]:
        type_record = result["TT"]
        if _short(type_record["#"]) == "t_vec":
            names = [
                self._declare(f"{base}_{index}", element, persistable=False)
                for index, element in enumerate(type_record["D"])
            ]
        elif _value_number(result) == 0:  # a result that the operator does not produce
            return []
        else:
            names = [self._declare(base, type_record, persistable=False)]
        self._bind(result, names)
        return names

    def _declare(self, name: str, type_record: dict[str, Any], *, persistable: bool) -> str:
        """Enter a value; where a weight has its name already, it gets another one."""
        if name in self.variables:
            if persistable or self.variables[name].persistable is False:
                raise ValueError(f"the name {name!r} is there twice")
            name += ".value"
        dtype = None
        shape: tuple[int, ...] = ()
        if _short(type_record["#"]) == "t_dtensor":
            element, dims = type_record["D"][0], type_record["D"][1]
            dtype = dtype_of_pir_name(_short(element["#"]).removeprefix("t_"))
            shape = tuple(int(size) for size in dims)
        self.variables[name] = PaddleVar(name, dtype, shape, persistable)
        return name

    def _bind(self, result: dict[str, Any], names: list[str]) -> None:
        number = _value_number(result)
        if number in self._names_of:
            raise ValueError(f"value %{number} is defined twice")
        self._names_of[number] = names

    def _operand(self, operand: dict[str, Any]) -> list[str]:
        number = _value_number(operand)
        if number == 0:
            return []
        if number not in self._names_of:
            raise ValueError(f"operand %{number} is not defined before it is used")
        return self._names_of[number]

    def _attributes(self, description: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """Attributes without bookkeeping, and the scope."""
        attrs: dict[str, Any] = {}
        scope = ""
        for attribute in description.get("A", []):
            name = attribute["N"]
            if name == "struct_name":
                scope = str(attribute["AT"].get("D", ""))
            if name not in _BOOKKEEPING:
                attrs[name] = _attribute_value(attribute["AT"])
        return attrs, scope


def _attribute_value(attribute: dict[str, Any]) -> Any:
    """The Python value of an attribute; a kind that is not known gives its data as they are."""
    kind = _short(attribute["#"]).removeprefix("a_")
    for void_data in ("VD", "VOID_DATA"):
        if void_data in attribute:
            return _NON_FINITE[attribute[void_data]]
    data = attribute.get("D")
    if kind == "array":
        return [_attribute_value(element) for element in _list_of(data)]
    if kind == "intarray":
        return [int(element) for element in _list_of(data)]
    if kind in ("f32", "f64"):
        return _number(data)
    if kind in ("i32", "i64", "index"):
        return int(data)  # type: ignore[arg-type]  # a wrong type raises here and is reported with the operator
    if kind == "scalar":
        values = _list_of(data)[1:]
        return complex(values[0], values[1]) if len(values) == 2 else values[0]
    if kind in ("c64", "c128"):
        real, imaginary = _list_of(data)
        return complex(_number(real), _number(imaginary))
    return data


def _number(data: Any) -> float:
    return _NON_FINITE[data] if isinstance(data, str) else float(data)


def _list_of(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise TypeError(f"a list was expected, not {data!r:.40}")
    return data


def _as_list(results: Any) -> list[Any]:
    """Results are a list, but those of a parameter a single object."""
    return [results] if isinstance(results, dict) else _list_of(results)


def _value_number(value: dict[str, Any]) -> int:
    number = value["%"] if "%" in value else value["#"]
    if not isinstance(number, int):
        raise TypeError(f"value number {number!r}")
    return number


def _full_name(identifier: str) -> str:
    """``<dialect>.<name>`` with the dialect spelled out."""
    identifier = _SHORT_NAMES.get(identifier, identifier)
    dialect, dot, name = identifier.partition(".")
    return f"{_DIALECTS.get(dialect, dialect)}.{name}" if dot else identifier


def _short(identifier: str) -> str:
    return identifier.rpartition(".")[2]
