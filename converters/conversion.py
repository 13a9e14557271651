"""One conversion without its proof: source files -> canonical graph -> target files.

:func:`convert_files` reads, runs the passes, and writes; the result says what came from where, so that a verifier can
run source and target side by side. It is the caller who decides on a recognised architecture (``recogniser``), because
this package knows none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import UsageError
from facecvt.converters.graph import Graph
from facecvt.converters.recorded_contract import recall_from_folder, recorded_sizes
from facecvt.converters.targets import SOURCES, WriteOptions, writer_for

if TYPE_CHECKING:
    from facecvt.converters.passes.to_half import HalfPlan


class Architecture(Protocol):
    """A recognised reference architecture, as the writers need it.

    Attributes:
        name: for example "iresnet50".
        class_name: class in ``class_source``, for example "IResNet".
        arguments: Python source of the constructor's arguments, for example ``"(3, 4, 14, 3), num_features=512"``.
        class_source: text of a standalone module that needs torch alone.
    """

    name: str
    class_name: str
    arguments: str
    class_source: str

    def network_input(self, argument: str) -> str:
        """Python expression of what the network is fed: the argument, or the graph's arithmetic in front of it."""

    def state(self, graph: Graph, framework: str = "torch") -> dict[str, Any]:
        """state_dict of the public class from the graph's weights, eps compensated; WeightsError where impossible."""

    def taps(self, graph: Graph) -> dict[str, str]:
        """Canonical value name -> module path whose output it is."""


Recogniser = Callable[[Graph], "Architecture | None"]
Reader = Callable[..., "tuple[Any, Graph]"]  # called with nothing, or with other shapes of the inputs


@dataclass
class Conversion:
    """What a conversion did.

    Attributes:
        source_framework: "mxnet", "paddle" or "onnx".
        source_model: the format record that was read: MxnetModel, PaddleModel, or the path of an ONNX file.
        source_files: files of the source.
        graph: the canonical graph as it was written.
        target_framework: a key of ``targets.TARGETS``.
        target: the file or folder that was written.
        files: every file written; the one that a runtime opens comes first.
        taps: canonical value name -> where the target holds that value, as its runtime spells it: ONNX value name,
            ``line:N`` of ``model.py`` whose statement assigns it, or ``module:PATH`` whose output it is.
        contracts: one input contract an input.
        warnings: what the user should know.
        source_contracts: the same of the source; they differ in ``in_graph`` where the normalisation was moved.
        recognised: name of the reference architecture whose public names were used, else None.
        half: what of an ONNX target computes in float16; None where nothing does.
    """

    source_framework: str
    source_model: Any
    source_files: tuple[Path, ...]
    graph: Graph
    target_framework: str
    target: Path
    files: list[Path]
    taps: dict[str, str]
    contracts: list[InputContract]
    warnings: list[str] = field(default_factory=list)
    recognised: str | None = None
    source_contracts: list[InputContract] | None = None
    half: HalfPlan | None = None


def convert_files(
    source_framework: str,
    files: Any,
    target_framework: str,
    target: str | Path,
    *,
    opset: int = 13,
    input_shapes: Mapping[str, Sequence[int | str]] | None = None,
    color: str | None = None,
    safetensors: bool = False,
    cut_at: Sequence[str] = (),
    batch: int | None = None,
    dynamic_batch: bool = False,
    fold_bn: bool = False,
    fp16: bool = False,
    preprocess: str = "keep",
    recogniser: Recogniser | None = None,
    reader: Reader | None = None,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Conversion:
    """Read, run the passes, write.

    Args:
        source_framework: "mxnet", "paddle" or "onnx".
        files: what ``formats.locate`` found: MxnetFiles, PaddleFiles or OnnxFiles.
        target_framework: a key of ``targets.TARGETS``.
        target: the ``.onnx`` file, or the folder of any other model; replaced if it exists.
        opset: of an ONNX target.
        input_shapes: shapes of inputs by name, batch included, where the source holds none or others.
        color: "RGB" or "BGR", what the caller knows the model is fed; recorded in the contract of image inputs. A
            usage error where a record of facecvt's own, which the source carries, says otherwise.
        safetensors: write ``weights.safetensors`` beside ``weights.pth``.
        cut_at: values of the source that become the outputs; see cutting.py. A ``reader`` cuts by itself.
        batch: batch size to fix; None leaves it as the source has it.
        dynamic_batch: free the batch size where source or ``input_shapes`` fix it.
        fold_bn: fold every BatchNormalization that can be into the layer before it.
        fp16: of an ONNX target: compute in float16 where that is safe (passes/to_half.py).
        preprocess: "strip" takes the normalisation out of the graph, "add" puts it in, "keep" leaves it.
        recogniser: tells which reference architecture a graph is; it may complete the
            input contract with what the architecture declares.
        reader: gives the source's record and its graph where this package alone cannot read it; with an argument, for
            these shapes of its inputs.
        progress: called with a stage's name, the bytes done and the bytes in all.

    Raises:
        ConversionError: the model cannot be read or converted; nothing was written.
    """
    write = writer_for(target_framework)
    model, graph = read_source(source_framework, files, input_shapes, cut_at) if reader is None else reader()
    if dynamic_batch:
        from facecvt.converters.passes.free_batch import free_shapes, require_free_batch

        if shapes := free_shapes(graph):  # read anew, because rules go by the shapes that they see
            model, graph = read_source(source_framework, files, shapes, cut_at) if reader is None else reader(shapes)
        require_free_batch(graph)
    if color is not None:
        check_color(graph, color)
    fed_pixels = {contract.name: contract.in_graph for contract in graph.contracts}
    if preprocess == "strip":  # before the architecture is recognised, whose class then has nothing in front of it
        from facecvt.converters.passes.move_preprocessing import strip_preprocessing

        strip_preprocessing(graph)
    recognised = recogniser(graph) if recogniser is not None else None
    if preprocess == "add":  # after it, because the architecture may tell mean and scale
        from facecvt.converters.passes.move_preprocessing import add_preprocessing

        add_preprocessing(graph)
        recognised = recogniser(graph) if recogniser is not None else None
    if color is not None:
        graph.contracts = [replace(item, color=color) if item.layout == "NCHW" else item for item in graph.contracts]
    if fold_bn:
        from facecvt.converters.passes.fold_batch_norm import fold_batch_norms

        if not fold_batch_norms(graph):
            graph.warnings.append("--fold-bn: no BatchNormalization stands directly behind a layer that it fits")
    if batch is not None:
        from facecvt.converters.passes.fix_batch import fix_batch

        fix_batch(graph, batch)
    options = WriteOptions(opset, fp16, safetensors, recognised, progress)
    written = write(graph, Path(target), options)
    if written.half is not None:
        graph.warnings.append(written.half.warning())
    return Conversion(
        source_framework=source_framework,
        source_model=model,
        source_files=tuple(files.files()),
        graph=graph,
        target_framework=target_framework,
        target=Path(target),
        files=written.files,
        taps=written.taps,
        contracts=list(graph.contracts),
        warnings=list(graph.warnings),
        recognised=recognised.name if recognised is not None else None,
        source_contracts=[replace(item, in_graph=fed_pixels[item.name]) for item in graph.contracts],
        half=written.half,
    )


def check_color(graph: Graph, color: str) -> None:
    """Raise UsageError where the model's own record says another colour order than the user."""
    for item in graph.contracts:
        if item.layout == "NCHW" and item.name in graph.recorded and item.color not in (None, color):
            raise UsageError(
                f"input {item.name!r} is {item.color}, as {graph.recorded[item.name]} says, and --color says {color}; "
                "leave --color out, or take the record out of the file if it is wrong"
            )


def read_source(
    framework: str,
    files: Any,
    input_shapes: Mapping[str, Sequence[int | str]] | None = None,
    cut_at: Sequence[str] = (),
) -> tuple[Any, Graph]:
    """(format record, canonical graph) of located files; the record of an ONNX model is its path, or the cut model."""
    if framework == "mxnet":
        from facecvt.converters.formats.mxnet_model import load_mxnet
        from facecvt.converters.readers.from_mxnet import read_mxnet

        mxnet_model = load_mxnet(files)
        if cut_at:
            from facecvt.converters.cutting import cut_mxnet

            mxnet_model = cut_mxnet(mxnet_model, cut_at)
        graph = read_mxnet(mxnet_model, input_shapes, recorded_sizes(files.files()))
        recall_from_folder(graph, files.files())
        return mxnet_model, graph
    if framework == "paddle":
        from facecvt.converters.formats.paddle_model import load_paddle
        from facecvt.converters.readers.from_paddle import read_paddle

        paddle_model = load_paddle(files)
        if cut_at:
            from facecvt.converters.cutting import cut_paddle

            paddle_model = cut_paddle(paddle_model, cut_at)
        graph = read_paddle(paddle_model, input_shapes)
        recall_from_folder(graph, files.files())
        return paddle_model, graph
    if framework == "onnx":
        from facecvt.converters.readers.from_onnx import read_onnx

        if not cut_at:
            return files.model, read_onnx(files.model, input_shapes)
        from facecvt.converters.cutting import load_cut_onnx

        cut = load_cut_onnx(files.model, cut_at)
        return cut, read_onnx(files.model, input_shapes, cut)
    raise UsageError(f"no reader for {framework!r}; there are {', '.join(SOURCES)}")
