"""What is installed here, and what each command can do with it; asked of the packages' metadata, nothing is imported.

installed version    importlib.metadata, so that a framework that takes seconds to import costs nothing
required version     the requirements that facecvt's own metadata declares
"""

from __future__ import annotations

import platform
import re
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from facecvt import __version__
from facecvt.converters.targets import CONVERSIONS, TARGETS
from facecvt.reference_models.frameworks import PIP_COMMANDS

CORE = ("numpy", "onnx", "onnx-ir", "onnxruntime", "click", "rich")
FRAMEWORK_PACKAGES = {"torch": "torch", "paddle": "paddlepaddle", "mxnet": "mxnet"}


@dataclass(frozen=True)
class PackageState:
    """One package.

    Attributes:
        name: on the package index.
        version: installed version, None where it is not installed.
        needed_for: what it does for facecvt.
        command: pip command that installs it; None where it is there.
    """

    name: str
    version: str | None
    needed_for: str
    command: str | None


@dataclass(frozen=True)
class Ability:
    """What one command, or one use of it, can do here.

    Attributes:
        task: the command, and what of it.
        possible: whether everything it needs is installed.
        missing: pip commands that would make it possible.
    """

    task: str
    possible: bool
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Diagnosis:
    """The answer of ``facecvt doctor``; ``exit_code`` is 4 where facecvt itself lacks a package, else 0."""

    facecvt: str
    python: str
    system: str
    packages: tuple[PackageState, ...]
    abilities: tuple[Ability, ...]
    exit_code: int

    def as_json(self) -> dict[str, Any]:
        """The diagnosis as a JSON object."""
        document = asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in document.items()}


def installed_version(package: str) -> str | None:
    """Version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def pip_command(package: str) -> str:
    """The pip command for a package: a framework's own, else the range that facecvt's metadata declares."""
    for framework, name in FRAMEWORK_PACKAGES.items():
        if name == package:
            return PIP_COMMANDS[framework]
    try:
        requirements = metadata.requires("facecvt") or []
    except metadata.PackageNotFoundError:
        requirements = []
    for requirement in requirements:
        if re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0] == package and "extra ==" not in requirement:
            return f'pip install "{requirement}"'
    return f"pip install {package}"


PURPOSES = {
    "numpy": "reading and writing weights",
    "onnx": "checking ONNX targets",
    "onnx-ir": "the canonical graph",
    "onnxruntime": "verifying ONNX targets",
    "click": "the command line",
    "rich": "tables and progress",
    "torch": "verifying PyTorch targets",
    "paddlepaddle": "verifying Paddle targets, seeded Paddle weights of the reference models",
    "mxnet": "verifying MXNet targets, seeded MXNet weights of the reference models",
}

# task -> packages it needs; reading and writing a model needs no framework at all
NEEDS: dict[str, tuple[str, ...]] = {
    **{
        f"{', '.join(f'{source}2{target}' for source, wanted in CONVERSIONS if wanted == target)}: {what}": needed
        for target, form in TARGETS.items()
        for what, needed in {"convert": ("numpy", "onnx", "onnx-ir"), "verify": (form.package,)}.items()
    },
    "mxnet2*: a reference model by name": ("mxnet",),
    "paddle2*: a reference model by name": ("paddlepaddle",),
    "inspect, ops, models": ("numpy", "onnx", "onnx-ir"),
}


def examine() -> Diagnosis:
    """Look at this environment; takes milliseconds, whatever is installed."""
    versions = {package: installed_version(package) for package in (*CORE, *FRAMEWORK_PACKAGES.values())}
    packages = tuple(
        PackageState(package, version, PURPOSES[package], None if version else pip_command(package))
        for package, version in versions.items()
    )
    commands = {state.name: state.command for state in packages if state.command}
    abilities = tuple(
        Ability(task, not missing, missing)
        for task, needed in NEEDS.items()
        for missing in [tuple(commands[package] for package in needed if package in commands)]
    )
    complete = all(versions[package] for package in CORE)
    system = f"{platform.system()} {platform.machine()}"
    return Diagnosis(__version__, platform.python_version(), system, packages, abilities, 0 if complete else 4)
