"""The input contract that a file of facecvt's own carries, taken over when that file is read again.

    an ONNX file   its metadata has ``facecvt.input.<name>``, one JSON object an input
    a folder       ``facecvt.json`` beside the model has them under "inputs", and lists the files it is about

A record tells what a graph cannot: the colour order, and mean and scale where the graph does not apply them. Shape and
type are the graph's; only a size that an MXNet symbol leaves open is looked up here. A record is believed only where it
fits: one that is damaged, is about other files, names other inputs or says otherwise than the graph about the
normalisation inside it is left out with a warning.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from facecvt.converters.contract import InputContract
from facecvt.converters.graph import Graph

PREFIX = "facecvt.input."
MANIFEST = "facecvt.json"
LARGEST_MANIFEST = 16 << 20  # bytes; a greater file of this name is none of facecvt's
CHANNELS = (1, 3, 4)


class UnfitRecordError(ValueError):
    """A record that is not to be believed; the message says why."""


def recall_from_metadata(graph: Graph, metadata: Mapping[str, str], source: str) -> None:
    """Take over what the metadata of an ONNX file says about its inputs.

    Args:
        graph: contracts, ``recorded`` and warnings are changed in place.
        metadata: of the file.
        source: the file's name, for messages.
    """
    records: list[Any] = []
    try:
        records = [json.loads(text) for key, text in metadata.items() if key.startswith(PREFIX)]
        if records:
            take_over(graph, records, source)
    except (ValueError, RecursionError) as error:  # damaged JSON is a ValueError too
        graph.warnings.append(f"{source}: its record of the input contract is left out: {error}")


def recall_from_folder(graph: Graph, files: Sequence[Path], *, weights_only: bool = False) -> None:
    """Take over what ``facecvt.json`` beside the files of a model says about its inputs.

    Args:
        graph: as for :func:`recall_from_metadata`.
        files: that the model was read from.
        weights_only: the files hold weights alone, so that a normalisation in the target's graph is not in this one.
    """
    path = manifest_beside(files)
    if path is None:
        return
    try:
        take_over(graph, listed_inputs(path, files), MANIFEST, weights_only=weights_only)
    except (OSError, ValueError, RecursionError) as error:
        graph.warnings.append(f"{path.name} beside {files[0].name} is left out: {error}")


def recorded_sizes(files: Sequence[Path]) -> dict[str, tuple[int, int]]:
    """Height and width of the images that ``facecvt.json`` beside the files of a model says it is fed, by input name.

    A record that is not to be believed has none; :func:`recall_from_folder` says why.
    """
    path = manifest_beside(files)
    try:
        found = [] if path is None else [checked(record) for record in listed_inputs(path, files)]
    except (OSError, ValueError, RecursionError):
        return {}
    sizes = {record.name: record.shape[2:] for record in found if record.layout == "NCHW" and len(record.shape) == 4}
    return {
        name: (height, width)
        for name, (height, width) in sizes.items()
        if isinstance(height, int) and isinstance(width, int)
    }


def manifest_beside(files: Sequence[Path]) -> Path | None:
    """The ``facecvt.json`` in the folder of a file."""
    return next((each.parent / MANIFEST for each in files if (each.parent / MANIFEST).is_file()), None)


def listed_inputs(path: Path, files: Sequence[Path]) -> list[Any]:
    """The inputs that a manifest lists, if it is about these files.

    Raises:
        UnfitRecordError: it is about others, or no manifest.
    """
    if path.stat().st_size > LARGEST_MANIFEST:
        raise UnfitRecordError("it is too large to be facecvt's")
    document = json.loads(path.read_text(encoding="utf-8"))
    try:
        sizes = {entry["name"]: entry["bytes"] for entry in document["target"]["files"]}
        inputs = list(document["inputs"])
    except (KeyError, TypeError) as error:
        raise UnfitRecordError(f"it is not facecvt's ({type(error).__name__}: {error})") from error
    for each in files:
        if each.is_file() and sizes.get(each.name) != each.stat().st_size:
            raise UnfitRecordError(f"it is about other files than {each.name}, or about another state of it")
    return inputs


def take_over(graph: Graph, records: Sequence[Any], source: str, *, weights_only: bool = False) -> None:
    """Put what records say into the contracts of a graph, all of it or nothing.

    Raises:
        UnfitRecordError: a record is damaged or does not fit the graph.
    """
    found = [checked(record) for record in records]
    if len(found) == len(graph.contracts) == 1:  # names differ from framework to framework
        found = [replace(found[0], name=graph.contracts[0].name)]
    by_name = {record.name: record for record in found}
    unknown = sorted(set(by_name) - {contract.name for contract in graph.contracts})
    if unknown and len(by_name) <= len(graph.contracts):  # of a model that is cut some inputs are left out
        raise UnfitRecordError(f"it has an input {unknown[0]!r}, which the model has not")
    contracts = [
        merged(contract, by_name[contract.name], weights_only) if contract.name in by_name else contract
        for contract in graph.contracts
    ]
    graph.contracts = contracts
    graph.recorded.update({contract.name: source for contract in contracts if contract.name in by_name})


def merged(contract: InputContract, record: InputContract, weights_only: bool) -> InputContract:
    """A graph's contract with what its record adds.

    Raises:
        UnfitRecordError: they contradict each other.
    """
    said = f"it says of input {record.name!r}"
    if len(record.shape) != len(contract.shape):
        raise UnfitRecordError(f"{said} that it has {len(record.shape)} dimensions, and it has {len(contract.shape)}")
    if record.in_graph and not contract.in_graph and not weights_only:
        raise UnfitRecordError(f"{said} that the graph normalises it, and the graph does not")
    if contract.in_graph and (not record.in_graph or (contract.mean, contract.scale) != (record.mean, record.scale)):
        raise UnfitRecordError(f"{said} another normalisation than the graph has")
    return replace(contract, layout=record.layout, color=record.color, mean=record.mean, scale=record.scale)


def checked(record: Any) -> InputContract:
    """A record as a contract.

    Raises:
        UnfitRecordError: it is no record of facecvt's.
    """
    fields = set(InputContract("", ()).as_json())
    if not isinstance(record, dict) or set(record) != fields:
        raise UnfitRecordError(f"a record has to have {', '.join(sorted(fields))}")
    numbers: dict[str, tuple[float, ...] | None] = {}
    for key in ("mean", "scale"):
        values = record[key]
        if values is not None and not (isinstance(values, list) and all(map(is_number, values))):
            raise UnfitRecordError(f"{key} is {values!r}")
        if values is not None and len(values) not in CHANNELS:
            raise UnfitRecordError(f"{key} has {len(values)} numbers")
        numbers[key] = None if values is None else tuple(float(value) for value in values)
    shape = record["shape"]
    if not isinstance(shape, list) or not all(type(size) in (int, str) for size in shape):
        raise UnfitRecordError(f"shape is {shape!r}")
    for key, allowed in (
        ("layout", ("NCHW", "NHWC", "NC", None)),
        ("color", ("RGB", "BGR", None)),
        ("in_graph", (True, False)),
    ):
        if type(record[key]) not in (str, bool, type(None)) or record[key] not in allowed:
            raise UnfitRecordError(f"{key} is {record[key]!r}")
    if not isinstance(record["name"], str):
        raise UnfitRecordError(f"name is {record['name']!r}")
    return InputContract(
        record["name"],
        tuple(shape),
        layout=record["layout"],
        color=record["color"],
        mean=numbers["mean"],
        scale=numbers["scale"],
        in_graph=record["in_graph"],
    )


def is_number(value: Any) -> bool:
    """A number that pixels can be computed with."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
