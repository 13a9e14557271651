"""``facecvt.json`` beside every target that is a folder: what it was made of, what it expects, whether it was proven.

An ONNX target says what it expects in its own metadata. Any other folder has no place for that, and gets this document,
whose schema is docs/schemas/manifest.schema.json:

    {"schema_version", "facecvt", "versions": {...}, "source": {"framework", "files": [{"name", "bytes", "sha256"}]},
     "target": {"framework", "files": [...]}, "inputs": [...], "outputs": [...], "verification": {...}}

It holds neither times nor paths nor error figures, so that the same conversion gives the same bytes, wherever and
whenever it runs. It is written when the target is, with the verdict "not_verified", and again when there is a verdict.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facecvt import __version__
from facecvt.converters.formats.atomic import atomic_file
from facecvt.converters.graph import name_of
from facecvt.converters.targets import TARGETS

if TYPE_CHECKING:
    from facecvt.converters.conversion import Conversion
    from facecvt.parity_tests.verification import Verification

NAME = "facecvt.json"
SCHEMA_VERSION = "1.0"
CHUNK = 1 << 20
PACKAGES = ("numpy", "onnx", "onnx-ir")


def write_manifest(conversion: Conversion, files: Manifested, verification: Verification | None = None) -> Path:
    """Write the manifest into the target's folder; replaces the one that is there.

    Args:
        conversion: what was converted; its target is a folder.
        files: :func:`manifested` of it.
        verification: the verdict; None where there is none yet, or nobody asked for one.

    Returns:
        The file.
    """
    path = conversion.target / NAME
    document = manifest_document(conversion, files, verification)
    with atomic_file(path) as stream:
        stream.write((json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode())
    return path


Manifested = tuple[list[dict[str, Any]], list[dict[str, Any]]]


def manifested(conversion: Conversion) -> Manifested:
    """(source files, target files) as the manifest lists them; the time this takes goes into their SHA-256."""
    written = [path for path in conversion.files if path.name != NAME]
    return listed(source_files(conversion)), listed(written)


def manifest_document(conversion: Conversion, files: Manifested, verification: Verification | None) -> dict[str, Any]:
    """The document; see the module's docstring."""
    sources, targets = files
    return {
        "schema_version": SCHEMA_VERSION,
        "facecvt": __version__,
        "versions": versions(conversion, verification),
        "source": {"framework": conversion.source_framework, "files": sources},
        "target": {
            "framework": conversion.target_framework,
            "recognised": conversion.recognised,
            "files": targets,
        },
        "inputs": [contract.as_json() for contract in conversion.contracts],
        "outputs": [name_of(value) for value in conversion.graph.outputs],
        "verification": verdict_of(verification),
    }


def verdict_of(verification: Verification | None) -> dict[str, Any]:
    """The verdict and what it rests on."""
    if verification is None:
        return {"verdict": "not_verified", "batches": [], "kinds": [], "layers_compared": 0, "coverage": None}
    return {
        "verdict": verification.verdict,
        "batches": list(verification.batches),
        "kinds": list(verification.kinds),
        "layers_compared": verification.layers_compared,
        "coverage": {"parametric": verification.coverage.parametric, "taps": verification.coverage.taps},
    }


def versions(conversion: Conversion, verification: Verification | None) -> dict[str, str]:
    """Versions of what made the target, and, where it was run, of what ran it."""
    ran = verification is not None and verification.verdict != "not_verified"
    packages = [*PACKAGES, *([TARGETS[conversion.target_framework].package] if ran else [])]
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a runtime that comes under another name, such as a build for GPUs
            found[package] = "unknown"
    return found


def source_files(conversion: Conversion) -> list[Path]:
    """Every file that the source consists of: those in a folder of separate weights, and external data of ONNX."""
    found: list[Path] = []
    for path in conversion.source_files:
        if path.is_dir():
            found += sorted(entry for entry in path.rglob("*") if entry.is_file())
            continue
        found.append(path)
        if conversion.source_framework == "onnx":
            found += external_data(path)
    return list({path.resolve(): path for path in found}.values())


def external_data(path: Path) -> list[Path]:
    """Files that an ONNX model keeps its weights in, besides itself."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    names = {
        entry.value
        for tensor in graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return [path.parent / name for name in sorted(names)]


def listed(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Name, size in bytes and SHA-256 of files; a name is relative to the folder that holds them all."""
    folder = common_folder(paths)
    return [
        {"name": path.absolute().relative_to(folder).as_posix(), "bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in paths
    ]


def common_folder(paths: Iterable[Path]) -> Path:
    """The innermost folder that holds every file."""
    folders = [path.absolute().parent for path in paths]
    return Path(os.path.commonpath(folders)) if folders else Path()


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
