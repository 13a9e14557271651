"""Writes a reference model with seeded weights as the real files of its framework.

    mxnet    <name>-symbol.json + <name>-0000.params    by MXNet's own tojson, arrays by facecvt
    paddle   inference.pdmodel + inference.pdiparams     by paddle.jit.save (inference.json for the PIR dialect)
    torch    weights.pth                                 a plain state_dict

This is what a command converts when it is given the name of an architecture instead of a path. Paddle runs in a process
of its own: which of its two program formats it writes is decided before it is imported, once a process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from facecvt.converters.errors import ConversionError, UsageError
from facecvt.converters.formats.mxnet_params import write_params
from facecvt.converters.formats.torch_state import write_state_dict
from facecvt.reference_models.frameworks import require
from facecvt.reference_models.seeded import seeded_state
from facecvt.reference_models.spec import ArchitectureSpec, families, known_framework, resolve_name
from facecvt.reference_models.weights import split_auxiliary

DIALECTS = {"legacy": "inference.pdmodel", "pir": "inference.json"}


def write_reference(
    name: str, framework: str, folder: str | Path, seed: int = 0, *, dialect: str = "legacy", **options: Any
) -> Path:
    """Write a reference model with seeded weights.

    Args:
        name: any name that ``facecvt.reference_models.resolve`` knows.
        framework: torch, paddle or mxnet.
        folder: made where it is missing; files of the same names are replaced.
        seed: of the weights, see seeded.py.
        dialect: of a Paddle program: "legacy" (``.pdmodel``) or "pir" (``.json``).
        options: of the architecture, as for ``facecvt.reference_models.spec``.

    Returns:
        The file to convert: the symbol, the program, or the state_dict; its weights lie beside it.

    Raises:
        UsageError: an unknown name, framework, dialect or option.
        FrameworkMissingError: MXNet or Paddle is not installed; a state_dict is written without torch.
    """
    asked = resolve_name(name)
    architecture = asked.architecture.with_options(**options)
    known_framework(framework)
    foreign = [option for option, value in architecture.options.items() if callable(value)]
    if foreign:
        raise UsageError(f"{', '.join(foreign)} cannot be written into files; build the net and save it in {framework}")
    if dialect not in DIALECTS:
        raise UsageError(f"Paddle has no program dialect {dialect!r}; choose legacy or pir")
    folder = Path(folder).resolve()
    if framework != "torch":
        require(framework, f"write the reference model {architecture.name} as {framework} files")
    folder.mkdir(parents=True, exist_ok=True)
    if framework == "mxnet":
        return _write_mxnet(architecture, folder, asked.asked.strip(), seed)
    if framework == "paddle":
        return _write_paddle(architecture, folder, seed, dialect)
    path = folder / "weights.pth"
    write_state_dict(path, seeded_state(architecture, "torch", seed))
    return path


def _write_mxnet(architecture: ArchitectureSpec, folder: Path, prefix: str, seed: int) -> Path:
    symbol = families()[architecture.family].build(architecture, "mxnet")
    args, aux = split_auxiliary(seeded_state(architecture, "mxnet", seed), architecture)
    path = folder / f"{prefix}-symbol.json"
    path.write_text(symbol.tojson(), encoding="utf-8")
    write_params(folder / f"{prefix}-0000.params", args, aux)
    return path


def _write_paddle(architecture: ArchitectureSpec, folder: Path, seed: int, dialect: str) -> Path:
    command = [sys.executable, "-m", "facecvt.reference_models.materialise_paddle"]
    command += [architecture.name, str(folder), f"--seed={seed}", f"--options={json.dumps(dict(architecture.options))}"]
    environment = os.environ | {"FLAGS_enable_pir_api": "0" if dialect == "legacy" else "1"}
    # in the target folder, so that no file of the caller's folder is taken for a module
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    path = folder / DIALECTS[dialect]
    if done.returncode != 0 or not path.is_file():
        last = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise ConversionError(f"Paddle could not write the reference model {architecture.name}:\n{last}")
    return path
