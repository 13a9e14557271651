"""Canonical graph -> a folder with a standalone ``model.py`` and its ``weights.pth``.

``model.py`` needs torch alone: a class ``Model(nn.Module)`` whose layers bear the source's names, and
``load(weights=None)``. For a recognised architecture the public class itself is written, and ``Model`` derives from it,
so that the state_dict has the public keys. ``weights.pth`` is a plain state_dict for ``weights_only=True``.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np

from facecvt import __version__
from facecvt.converters.conversion import Architecture
from facecvt.converters.errors import ConversionError, UnsupportedOperatorsError
from facecvt.converters.formats.atomic import atomic_folder
from facecvt.converters.formats.safetensors_file import write_safetensors
from facecvt.converters.formats.torch_state import write_state_dict
from facecvt.converters.graph import Graph, NumpyArray, name_of
from facecvt.converters.ops.registry import rule_for
from facecvt.converters.targets import WriteOptions, Written
from facecvt.converters.torch_code import VANISHING, TorchCode

TORCH_DTYPES = {
    "float32": "torch.float32", "float64": "torch.float64", "float16": "torch.float16", "int64": "torch.int64",
    "int32": "torch.int32", "int8": "torch.int8", "uint8": "torch.uint8", "bool": "torch.bool", "int16": "torch.int16",
}  # fmt: skip
FRAMEWORK_NAMES = {"mxnet": "MXNet", "paddle": "PaddlePaddle", "onnx": "ONNX", "torch": "PyTorch"}

LOAD = '''
def load(weights: str | Path | None = None) -> Model:
    """The model in eval mode.

    Args:
        weights: a state_dict, ``.pth`` or (with the safetensors package installed) ``.safetensors``; by default the
            ``weights.pth`` beside this file.
    """
    path = Path(weights) if weights is not None else Path(__file__).resolve().with_name("weights.pth")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        state = load_file(path)
    else:
        state = torch.load(path, map_location="cpu", weights_only=True)
    model = Model()
    model.load_state_dict(state)
    return model.eval()
'''


def write_target(graph: Graph, folder: Path, options: WriteOptions) -> Written:
    """:func:`write_torch`, as :mod:`facecvt.converters.targets` calls it."""
    return Written(*write_torch(graph, folder, architecture=options.architecture, safetensors=options.safetensors))


def write_torch(
    graph: Graph, folder: str | Path, *, architecture: Architecture | None = None, safetensors: bool = False
) -> tuple[list[Path], dict[str, str]]:
    """Write the folder.

    Args:
        graph: canonical graph; not changed.
        folder: target; replaced whole if it exists.
        architecture: the recognised architecture whose public class and names are used; None writes a class with the
            source's own layer names.
        safetensors: write ``weights.safetensors`` as well.

    Returns:
        (files written, canonical value name -> tap: ``line:N`` of ``model.py``, or ``module:PATH``).

    Raises:
        UnsupportedOperatorsError: operators without a PyTorch form, all of them.
        ConversionError: a node that PyTorch cannot express.
    """
    folder = Path(folder)
    if architecture is not None:
        source, state, taps = recognised_module(graph, architecture)
    else:
        source, state, taps = generic_module(graph)
    ast.parse(source)  # a file that does not parse must never be left behind
    with atomic_folder(folder) as temporary:
        (temporary / "model.py").write_text(source, encoding="utf-8")
        write_state_dict(temporary / "weights.pth", state)
        if safetensors:
            write_safetensors(temporary / "weights.safetensors", state)
    names = ["model.py", "weights.pth"] + (["weights.safetensors"] if safetensors else [])
    return [folder / name for name in names], taps


def generic_module(graph: Graph) -> tuple[str, dict[str, NumpyArray], dict[str, str]]:
    """(source text, state_dict, taps) of a class with the source's own layer names."""
    unsupported: dict[str, list[str]] = {}
    for node in graph.body:
        if node.op_type not in VANISHING and rule_for("to_torch", node.op_type) is None:
            unsupported.setdefault(node.op_type, []).append(node.name or "")
    if unsupported:
        raise UnsupportedOperatorsError(f"{graph.name} (to PyTorch)", unsupported)
    code = TorchCode(graph)
    arguments = [code.bind_input(value) for value in graph.inputs]
    for node in graph.body:
        if node.op_type in VANISHING:
            continue
        rule = rule_for("to_torch", node.op_type)
        if rule is None:
            raise UnsupportedOperatorsError(f"{graph.name} (to PyTorch)", {node.op_type: [node.name or ""]})
        code.before(node)
        rule(node, code)
        code.after(node)
    results = [code.arg(value) for value in graph.outputs]

    text = header(graph, "The layers bear the names they have in the source.")
    text += "\nfrom __future__ import annotations\n\nfrom pathlib import Path\n\nimport torch\n"
    if any(re.search(r"\bF\.", statement.text) for statement in code.statements):
        text += "import torch.nn.functional as F\n"
    text += "from torch import nn\n"
    text += "".join(f"\n\n{source}\n" for source in code.helpers.values())
    text += "\n\nclass Model(nn.Module):\n"
    text += f'    """{graph.name}, layer by layer as in the source."""\n\n'
    text += "    def __init__(self) -> None:\n        super().__init__()\n"
    text += "".join(f"        {line}\n" for line in declarations(code))
    returned = "torch.Tensor" if len(results) == 1 else "tuple[torch.Tensor, ...]"
    signature = "".join(f", {argument}: torch.Tensor" for argument in arguments)
    text += f"\n    def forward(self{signature}) -> {returned}:\n"
    lines = text.count("\n")
    taps: dict[str, str] = {}
    for index, statement in enumerate(code.statements):
        if statement.value is not None:
            taps[statement.value] = f"line:{lines + index + 1}"
        text += f"        {statement.text}\n"
    text += f"        return {', '.join(results)}\n\n"
    text += LOAD
    state: dict[str, NumpyArray] = {}
    for path, submodule in code.submodules.items():
        state.update({f"{path}.{leaf}": array for leaf, array in submodule.state.items()})
    state.update(code.parameters)
    state.update(code.buffers)
    return text, state, taps


def recognised_module(graph: Graph, architecture: Architecture) -> tuple[str, dict[str, NumpyArray], dict[str, str]]:
    """(source text, state_dict, taps) of the public class, with the source's own normalisation in front."""
    state = architecture.state(graph)
    module = architecture.class_source.rstrip()
    docstring = ast.get_docstring(ast.parse(module), clean=False)
    if docstring is None:
        raise ConversionError(f"{architecture.name}: its class file has no docstring")
    body = module[module.index(docstring) + len(docstring) + 3 :].lstrip("\n")
    remark = f"Architecture {architecture.name}, recognised by its structure.\n\n{docstring.strip()}"
    text = insert_import(f"{header(graph, remark)}\n{body}", "from pathlib import Path")
    fed = architecture.network_input("x")
    what = (
        "behind the arithmetic that the source's graph begins with" if fed != "x" else "with the options of the source"
    )
    text += f"\n\n\nclass Model({architecture.class_name}):\n"
    text += f'    """{architecture.class_name} {what}."""\n\n'
    text += f"    def __init__(self) -> None:\n        super().__init__({architecture.arguments})\n"
    if fed != "x":
        returned = "torch.Tensor" if len(graph.outputs) == 1 else "tuple[torch.Tensor, ...]"
        text += f"\n    def forward(self, x: torch.Tensor) -> {returned}:\n"
        text += f"        return super().forward({fed})\n"
    text += "\n" + LOAD
    return text, state, architecture.taps(graph)


def insert_import(text: str, statement: str) -> str:
    """Put an import of the standard library behind the future import, in isort's order."""
    marker = "from __future__ import annotations\n"
    position = text.index(marker) + len(marker)
    rest = text[position:].lstrip("\n")
    standard = []
    while rest.startswith(("from collections", "import math", "from math", "from typing", "import functools")):
        line, _, rest = rest.partition("\n")
        standard.append(line)
    lines = sorted([*standard, statement], key=lambda line: line.split()[1])
    return text[:position] + "\n" + "\n".join(lines) + "\n" + ("" if rest.startswith("\n") else "\n") + rest


def header(graph: Graph, remark: str) -> str:
    """Docstring of the file: what it is, what it takes and gives, how to load it."""
    lines = [
        f'"""{graph.name}: made from {FRAMEWORK_NAMES[graph.source_framework]} by facecvt {__version__}.',
        "",
    ]
    for contract in graph.contracts:
        shape = ", ".join(str(dim) for dim in contract.shape)
        notes = [contract.dtype, f"({shape})"]
        if contract.layout:
            notes.append(contract.layout)
        if contract.color:
            notes.append(contract.color)
        if contract.in_graph:
            notes.append("pixels 0..255 (the normalisation is inside)")
        lines.append(f"Input {contract.name}: {', '.join(notes)}.")
    for value in graph.outputs:
        shape = "" if value.shape is None else f" {dims_text(value)}"
        lines.append(f"Output {name_of(value)}:{shape or ' float32'}.")
    lines += ["", remark, "", "    model = load()  # eval mode, with the weights beside this file", '"""', ""]
    return "\n".join(lines)


def dims_text(value: object) -> str:
    """A shape as text, with ? where a dimension is not known."""
    shape = getattr(value, "shape", None) or ()
    return "(" + ", ".join(str(dim) if isinstance(dim, int) else str(dim.value or "?") for dim in shape) + ")"


def declarations(code: TorchCode) -> list[str]:
    """Statements of ``__init__``: layers (dotted names as nested ModuleDicts), bare parameters, buffers."""
    lines: list[str] = []
    tree: dict[str, object] = {}
    for path, submodule in code.submodules.items():
        *parents, leaf = path.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})  # type: ignore[assignment]
        branch[leaf] = submodule.constructor
    for name, entry in tree.items():
        lines += nested(f"self.{name} = ", entry, "")
    for name, array in code.parameters.items():
        lines.append(f"self.{name} = nn.Parameter(torch.zeros({shape_text(array)}))")
    for name, array in code.buffers.items():
        dtype = TORCH_DTYPES.get(array.dtype.name)
        if dtype is None:
            raise ConversionError(f"{name!r} holds {array.dtype.name}, with which PyTorch does not compute")
        lines.append(f'self.register_buffer("{name}", torch.zeros({shape_text(array)}, dtype={dtype}))')
    return lines or ["pass"]


def nested(prefix: str, entry: object, indent: str) -> list[str]:
    """One declaration; a branch of the tree becomes an nn.ModuleDict over several lines."""
    if isinstance(entry, str):
        return [f"{indent}{prefix}{entry}" + ("," if indent else "")]
    lines = [f"{indent}{prefix}nn.ModuleDict({{"]
    for name, child in entry.items():  # type: ignore[attr-defined]
        lines += nested(f'"{name}": ', child, indent + "    ")
    return [*lines, f"{indent}}})" + ("," if indent else "")]


def shape_text(array: NumpyArray) -> str:
    """A shape as arguments of torch.zeros."""
    return ", ".join(str(dim) for dim in np.shape(array)) or "()"
