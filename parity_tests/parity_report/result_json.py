"""``parity.json``: the JSON form of a result and the way back; the schema is docs/schemas/parity.schema.json.

Keys are the attributes' names, so that the classes of result.py are the only list of them.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from facecvt.converters.errors import UsageError
from facecvt.converters.formats.atomic import atomic_file
from facecvt.parity_tests.parity_report.result import ParityResult

SCHEMA_VERSION = "1.1"
NAME = "parity.json"


def document_of(result: ParityResult) -> dict[str, Any]:
    """The JSON document of a result."""
    plain: dict[str, Any] = _plain(result)
    return {"schema_version": SCHEMA_VERSION, "command": "parity", "exit_code": result.exit_code, **plain}


def result_of(document: Mapping[str, Any]) -> ParityResult:
    """The result that a JSON document holds.

    Raises:
        UsageError: it is not the document of ``facecvt parity`` of this major version.
    """
    version = str(document.get("schema_version", ""))
    if document.get("command") != "parity" or version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
        raise UsageError(f"not a result of `facecvt parity` (schema {SCHEMA_VERSION}, this is {version or 'none'})")
    try:
        found: ParityResult = _typed(ParityResult, document)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"not a whole result of `facecvt parity`: {error!r}") from error
    return found


def write_json(result: ParityResult, path: str | Path) -> None:
    """Write ``parity.json``, a line for every layer and pair."""
    text = json.dumps(document_of(result), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text = text.replace('},{"', '},\n{"').replace(':[{"', ':[\n{"')
    with atomic_file(Path(path)) as stream:
        stream.write(f"{text}\n".encode())


def read_json(path: str | Path) -> ParityResult:
    """The result in a ``parity.json``, or in the folder that holds one.

    Raises:
        UsageError: there is none, or it is none.
    """
    path = Path(path)
    file = path / NAME if path.is_dir() else path
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: no result of `facecvt parity` can be read there: {error}") from error
    if not isinstance(document, dict):
        raise UsageError(f"{file}: not a result of `facecvt parity`")
    return result_of(document)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _typed(kind: Any, value: Any) -> Any:
    """A JSON value as the type that a field declares."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType or origin is typing.Union:
        return None if value is None else _typed(next(one for one in arguments if one is not type(None)), value)
    if is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        return kind(**{item.name: _typed(hints[item.name], value[item.name]) for item in fields(kind)})
    if origin is tuple:
        return tuple(_typed(arguments[0], item) for item in value)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _typed(arguments[1], item) for key, item in value.items()}
    return float(value) if kind is float else value
