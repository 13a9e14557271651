"""A PyTorch program -> canonical graph: a TorchScript archive, an ExportedProgram, or a function that makes a module.

    model.pth, model.pt     a TorchScript archive (torch.jit.save)
    model.pt2               an ExportedProgram (torch.export.save)
    package.module:factory  a function without arguments that returns an nn.Module, imported from here or from the path

PyTorch's own exporter writes the graph, with folding and fusion off, so that every BatchNorm stays a node; the reader
of ONNX files takes it from there. It is the exporter that needs torch alone and takes all three. Its names hold the
modules' paths, ``/layer1/layer1.0/conv1/Conv_output_0``; the value that a module gives, which is the last that it
computes, bears its path here, ``layer1.0.conv1``. The batch is dynamic. What a program is fed is not in it, as a rule:
the shape comes from ``--input``, from the ExportedProgram, or is the first of the usual sizes that the program takes.

PyTorch is needed, and runs the user's code: converting a program means trusting it.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import io
import re
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from facecvt.converters.errors import ConversionError, FormatError, FrameworkMissingError, UsageError
from facecvt.converters.formats.model_files import TorchFiles
from facecvt.converters.graph import Graph
from facecvt.converters.passes.input_shapes import FACE_SIZES
from facecvt.converters.readers.torch_branches import squeeze_without_branches

CODE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
EXPORTED_OPSET = 17
BATCH = 2  # of the example that the exporter sees: 1 would be taken for a constant
OTHER_SIZE = (96, 160)  # a second size, to see whether height and width are free
PIP_COMMAND = "pip install torch==2.13.0"
BRANCHES = ("If", "Loop", "Scan")
NAMELESS = ("Constant", "Identity")  # nodes that compute nothing
Kind = Literal["state", "script", "exported"]


@dataclass(frozen=True)
class TorchCode:
    """``package.module:factory``.

    Attributes:
        spelling: as the user wrote it.
        name: that of the factory.
        module: the module itself, where the user has it in hand; see :func:`in_hand`.
    """

    spelling: str
    name: str
    module: Any = None

    def files(self) -> tuple[Path, ...]:
        """None: the code is imported, not read."""
        return ()


@dataclass(frozen=True)
class TorchProgram:
    """A program that was read.

    Attributes:
        module: what PyTorch runs, in evaluation mode, in float32.
        proto: the ONNX model that the exporter wrote, values renamed.
        name: the model's name.
        cut: the values that it is cut at, none where it is whole; the module stays whole.
        inputs: names of what the module takes, in order.
    """

    module: Any
    proto: Any
    name: str
    cut: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()


def in_hand(module: Any) -> TorchCode:
    """An ``nn.Module`` as a source: a copy of it, on the CPU, in float32 and in evaluation mode.

    Raises:
        UsageError: it is no module, or cannot be copied.
    """
    torch = sys.modules.get("torch")  # who has a module in hand has imported torch
    if torch is None or not isinstance(module, torch.nn.Module):
        raise UsageError(f"a model is a path, a name or an nn.Module, not a {type(module).__name__}")
    name = type(module).__name__
    try:
        copied = copy.deepcopy(module)
    except Exception as error:  # the module's own code, and torch's
        raise UsageError(f"{name} cannot be copied, and facecvt leaves the module itself alone: {error}") from error
    return TorchCode(name, name, copied.cpu().float().eval())


def kind_of(files: TorchFiles) -> Kind:
    """What a file holds, from its table of contents."""
    try:
        with zipfile.ZipFile(files.weights) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return "state"  # whose reader says what is wrong with it
    inner = [name.partition("/")[2] for name in names]
    if any(name == "archive_format" or name.startswith("models/") for name in inner) or any(
        name.endswith("serialized_exported_program.json") for name in names
    ):
        return "exported"
    return "script" if "constants.pkl" in inner and any(name.startswith("code/") for name in inner) else "state"


def read_program(
    source: TorchFiles | TorchCode,
    input_shapes: Mapping[str, Sequence[int | str]] | None,
    name: str,
    cut_at: Sequence[str] = (),
) -> tuple[TorchProgram, Graph]:
    """Load a program, have PyTorch export it, and read that.

    Args:
        source: a file that is no state, or code.
        input_shapes: shapes of inputs by name, batch included.
        name: the model's name.
        cut_at: values that become the outputs: paths of modules, for what a module gives.

    Raises:
        FrameworkMissingError: PyTorch is not installed.
        FormatError: the file cannot be loaded.
        UsageError: the code is no function that gives a module, or the input's shape is not known.
        ConversionError: PyTorch cannot export the program, or an operator has no rule.
    """
    if importlib.util.find_spec("torch") is None:
        raise FrameworkMissingError("torch", f"read {name}, which is a program of PyTorch", PIP_COMMAND)
    module, known = load_module(source)
    shapes = shapes_of_inputs(module, known, input_shapes or {}, name)
    proto = exported(module, shapes, name)
    squeeze_without_branches(proto)
    branches = [node.name or node.output[0] for node in proto.graph.node if node.op_type in BRANCHES]
    if branches:
        raise ConversionError(
            f"{name}: the program decides while it runs what to compute, at {', '.join(branches[:5])}; give it a fixed "
            "size, --input NAME=batch,3,H,W, or save a traced one: torch.jit.trace(module, example).save('traced.pt')"
        )
    rename_values(proto)
    if cut_at:
        from facecvt.converters.cutting import cut_onnx

        proto = cut_onnx(proto, cut_at, name)
    from facecvt.converters.readers.from_onnx import read_onnx

    with tempfile.TemporaryDirectory(prefix="facecvt-") as folder:
        path = Path(folder) / f"{name}.onnx"
        path.write_bytes(proto.SerializeToString())
        graph = read_onnx(path)
    graph.source_framework, graph.name = "torch", name
    return TorchProgram(module, proto, name, tuple(cut_at), tuple(shapes)), graph


def load_module(source: TorchFiles | TorchCode) -> tuple[Any, dict[str, tuple[int | str, ...]]]:
    """The module in evaluation mode, and the shapes of its inputs where it says them."""
    import torch

    if isinstance(source, TorchCode):
        return (made_by(source.spelling).eval() if source.module is None else source.module), {}
    path = source.weights
    try:
        if kind_of(source) == "script":
            return torch.jit.load(str(path), map_location="cpu").eval(), {}
        program = torch.export.load(str(path))
        shapes = {}
        for node in program.graph.nodes:
            if node.op == "placeholder" and node.name in program.graph_signature.user_inputs:
                sizes = tuple(node.meta["val"].shape)
                shapes[node.name] = tuple(
                    size if isinstance(size, int) else ("batch" if axis == 0 else f"{node.name}_dim{axis}")
                    for axis, size in enumerate(sizes)
                )
        return program.module(), shapes
    except Exception as error:  # torch raises whatever its parts raise
        raise FormatError(path, None, f"PyTorch cannot load it: {first_line(error)}") from error


def made_by(spelling: str) -> Any:
    """The module that ``package.module:factory`` gives."""
    import torch

    module_name, _, attribute = spelling.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"{spelling}: {first_line(error)}; it is looked for from the current folder as well"
        ) from error
    finally:
        if added:
            sys.path.remove(here)
    made = factory() if not isinstance(factory, torch.nn.Module) else factory
    if not isinstance(made, torch.nn.Module):
        raise UsageError(f"{spelling} gives a {type(made).__name__}, where an nn.Module is expected")
    return made.float()


def shapes_of_inputs(
    module: Any,
    known: Mapping[str, tuple[int | str, ...]],
    given: Mapping[str, Sequence[int | str]],
    name: str,
) -> dict[str, tuple[int | str, ...]]:
    """The shape of every input by name; words are dynamic dimensions.

    Raises:
        UsageError: a wrong name, or a shape that cannot be found out.
    """
    names = list(known) or argument_names(module)
    wrong = sorted(set(given) - set(names))
    if wrong:
        raise UsageError(f"{name} has no input {wrong[0]!r}; its inputs are {', '.join(names)}")
    shapes = {key: tuple(given.get(key, known.get(key, ()))) for key in names}
    missing = [key for key in names if not shapes[key]]
    if missing and len(names) == 1:
        shapes[names[0]] = size_that_runs(module, names[0], name)
    elif missing:
        raise UsageError(f"{name} does not say how large {', '.join(missing)} is; give it: --input NAME=batch,3,H,W")
    return shapes


def argument_names(module: Any) -> list[str]:
    """Names of what ``forward`` takes."""
    import inspect

    if hasattr(module, "schema") or hasattr(module, "code"):
        return [argument.name for argument in module.forward.schema.arguments[1:]]
    parameters = inspect.signature(module.forward).parameters.values()
    return [each.name for each in parameters if each.default is each.empty and each.kind not in (2, 4)]


def size_that_runs(module: Any, key: str, name: str) -> tuple[int | str, ...]:
    """The first of the usual sizes that a program takes; height and width are free where it takes another as well."""
    import torch

    filters = next((each for each in module.parameters() if each.dim() == 4), None)
    channels = 3 if filters is None else int(filters.shape[1])

    raised: dict[tuple[int, int], str] = {}

    def runs(height: int, width: int) -> bool:
        try:
            with torch.inference_mode():
                module(torch.zeros(BATCH, channels, height, width))
        except Exception as error:  # a size that does not fit raises whatever the layer raises
            raised[height, width] = first_line(error)
            return False
        return True

    size = next((size for size in FACE_SIZES if runs(*size)), None)
    if size is None:
        (height, width), message = next(iter(raised.items()))
        raise UsageError(
            f"{name} does not say how large its input is, and takes none of the usual sizes (at {channels}x{height}x"
            f"{width} it raises: {message}); give it: --input {key}=batch,{channels},H,W"
        )
    if runs(*OTHER_SIZE):
        return ("batch", channels, "height", "width")
    return ("batch", channels, *size)


def exported(module: Any, shapes: Mapping[str, tuple[int | str, ...]], name: str) -> Any:
    """The ONNX model that PyTorch's exporter writes.

    Raises:
        ConversionError: it cannot.
    """
    import onnx
    import torch

    usual = {0: BATCH, 2: 112, 3: 112}
    examples = tuple(
        torch.rand(*(size if isinstance(size, int) else usual.get(axis, 112) for axis, size in enumerate(shape)))
        for shape in shapes.values()
    )
    dynamic = {
        key: {axis: size for axis, size in enumerate(shape) if isinstance(size, str)} for key, shape in shapes.items()
    }
    buffer = io.BytesIO()
    try:
        with torch.inference_mode():
            returned = module(*examples)
    except Exception as error:  # a program raises what it likes, and an exported one what its guards say
        sizes = ", ".join("x".join(map(str, example.shape)) for example in examples)
        raise ConversionError(f"{name}: the program does not run on {sizes}: {first_line(error)}") from error
    outputs = output_names(returned)
    if isinstance(module, torch.jit.ScriptModule) and isinstance(returned, Mapping):
        raise ConversionError(
            f"{name}: a TorchScript program that returns a dictionary ({', '.join(outputs)}) cannot be exported; save "
            "one that returns a tuple"
        )
    for output in outputs:
        dynamic[output] = {0: "batch"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module, examples, buffer,
                input_names=list(shapes), output_names=outputs, dynamic_axes=dynamic, opset_version=EXPORTED_OPSET,
                training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False, dynamo=False,
            )  # fmt: skip
    except Exception as error:  # torch raises whatever its parts raise
        raise ConversionError(f"{name}: PyTorch cannot export it: {first_line(error)}") from error
    return onnx.load_from_string(buffer.getvalue())


def output_names(returned: Any) -> list[str]:
    """Names for what a program returns: its keys, or numbers."""
    if isinstance(returned, Mapping):
        return [str(key) for key in returned]
    count = len(flat(returned))
    return ["output"] if count == 1 else [f"output{place}" for place in range(count)]


def flat(returned: Any) -> list[Any]:
    """The tensors of nested tuples, lists and dictionaries, in order."""
    if isinstance(returned, Mapping):
        returned = list(returned.values())
    if not isinstance(returned, (tuple, list)):
        return [returned]
    return [tensor for each in returned for tensor in flat(each)]


def rename_values(proto: Any) -> None:
    """Give every computed value, and its node, the path of the module that computes it; the last of a module alone."""
    graph = proto.graph
    taken = {each.name for each in (*graph.input, *graph.output, *graph.initializer)}
    paths = [module_path(node.name) for node in graph.node]
    last = {path: place for place, path in enumerate(paths) if graph.node[place].op_type not in NAMELESS}
    renamed: dict[str, str] = {}
    for place, (node, path) in enumerate(zip(graph.node, paths, strict=True)):
        base = path if path and last.get(path) == place else f"{path}/{node.op_type}".lstrip("/")
        node.name = base
        for output in node.output:
            if output in taken:
                continue
            candidate, number = base, 1
            while candidate in taken:
                number += 1
                candidate = f"{base}_{number}"
            taken.add(candidate)
            renamed[output] = candidate
    for node in graph.node:
        node.input[:] = [renamed.get(each, each) for each in node.input]
        node.output[:] = [renamed.get(each, each) for each in node.output]
    del graph.value_info[:]


def module_path(node_name: str) -> str:
    """``/layer1/layer1.0/conv1/Conv_2`` -> ``layer1.0.conv1``; "" for a node of no module."""
    parts: list[str] = []
    for part in node_name.split("/")[1:-1]:
        if parts and part.startswith(f"{parts[-1]}."):
            parts[-1] = part
        else:
            parts.append(part)
    return ".".join(parts)


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
