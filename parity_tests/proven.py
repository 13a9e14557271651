"""A conversion together with its proof: find the model, convert it, run both sides against each other.

MODEL is looked for as a path first, in any of its framework's spellings. Only where nothing of that name lies there is
it the name of a reference architecture, whose seeded weights are then written into a temporary folder and converted.

    target is ONNX       ./<name>.onnx
    any other target     ./<name>/, or ./<name>_<framework>/ where the model itself lies in ./<name>/
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facecvt.converters.conversion import Conversion, Reader, convert_files
from facecvt.converters.errors import UsageError
from facecvt.converters.formats.atomic import refuse_existing
from facecvt.converters.formats.detect import detect, holds_model
from facecvt.converters.formats.locate import Framework, ModelFiles, TorchFiles, locate, located
from facecvt.converters.graph import Graph
from facecvt.converters.recorded_contract import recall_from_folder
from facecvt.converters.targets import CONVERSIONS, TARGETS
from facecvt.reference_models.public_class import public_class

if TYPE_CHECKING:
    from facecvt.converters.readers.from_torch import TorchCode
    from facecvt.parity_tests.verification import Verification

Progress = Callable[[str, int, int], None]
DEFAULT_OPSET = 13


def no_progress(stage: str, done: int, total: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class ProvenConversion:
    """What a conversion wrote and whether it is right.

    Attributes:
        conversion: what was read and written.
        verification: how both sides compare; None where it was not asked for.
        source: MODEL as it was given.
        reference: name of the reference architecture where MODEL was one, else None.
    """

    conversion: Conversion
    verification: Verification | None
    source: str
    reference: str | None

    @property
    def exit_code(self) -> int:
        """0 agree or not asked for, 1 the numbers differ, 4 the target's runtime is missing, 5 not comparable."""
        return 0 if self.verification is None else self.verification.exit_code


@dataclass(frozen=True)
class Source:
    """A model that was found.

    Attributes:
        files: where it lies.
        name: for the default target.
        reference: name of the reference architecture, None for files of the user.
    """

    files: ModelFiles | TorchCode
    name: str
    reference: str | None


def convert_and_verify(
    model: str | Path,
    source_framework: str | None,
    target_framework: str,
    *,
    output: str | PathLike[str] | None = None,
    force: bool = False,
    epoch: int | None = None,
    opset: int = DEFAULT_OPSET,
    inputs: Mapping[str, Sequence[int | str]] | None = None,
    color: str | None = None,
    safetensors: bool = False,
    cut_at: Sequence[str] = (),
    batch: int | None = None,
    dynamic_batch: bool = False,
    fold_bn: bool = False,
    fp16: bool = False,
    preprocess: str = "keep",
    arch: str = "auto",
    verify: bool = True,
    progress: Progress = no_progress,
) -> ProvenConversion:
    """Convert a model and prove the result.

    Args:
        model: a path in any spelling, an archive, the name of a reference architecture, or, of PyTorch,
            ``package.module:factory``.
        source_framework: "mxnet", "paddle", "onnx" or "torch"; None finds out from the path.
        target_framework: a key of ``targets.TARGETS``.
        output: file (ONNX) or folder (all others) to write; by default in the current folder under the model's name.
        force: replace an existing target.
        epoch: MXNet: which weights, where several lie there.
        opset: of an ONNX target, 11 to 21.
        inputs: shapes of inputs by name, batch included, where the source holds none or others.
        color: "RGB" or "BGR": what the images are, recorded in the input contract.
        safetensors: PyTorch target: write ``weights.safetensors`` as well.
        cut_at: values that become the outputs; what lies behind them is left out.
        batch: ONNX target: batch size to fix; None leaves it as the source has it.
        dynamic_batch: free the batch size where source or ``inputs`` fix it, or refuse and name the node that does.
        fold_bn: ONNX target: fold every BatchNormalization that can be into the layer before it.
        fp16: ONNX target: compute in float16 where that is safe.
        preprocess: "strip" takes the normalisation of the input out of the graph, "add" puts in what the contract says.
        arch: PyTorch target: "auto" gives a recognised architecture the public class and its keys, "none" does not.
            PyTorch source: the name of the architecture that bare weights are of, "auto" to find out.
        verify: run source and target against each other.
        progress: called with a stage's name, the units done and the units in all.

    Raises:
        UsageError: nothing of that name, or an existing target; before any work.
        ConversionError: the model cannot be read or converted; nothing was written.
        FrameworkMissingError: a reference architecture whose framework is not installed.
    """
    source_framework = source_framework or detect(model)
    if (source_framework, target_framework) not in CONVERSIONS:
        raise UsageError(f"facecvt does not convert {source_framework} to {target_framework}")
    if dynamic_batch and batch is not None:
        raise UsageError(f"--dynamic-batch frees the batch and --batch {batch} fixes it: give one of them")
    asked = None if arch in ("auto", "none") else arch
    if asked is not None and source_framework != "torch":
        raise UsageError(f"arch is 'auto' or 'none', not {arch!r}; an architecture is named for PyTorch's bare weights")
    if target_framework != "onnx" and (batch is not None or fold_bn or fp16):
        raise UsageError("batch, fold_bn and fp16 are for ONNX targets")
    if output is not None:
        output = fspath(output)
        refuse_existing(output, force)
    with found_source(model, source_framework, epoch, output, target_framework, force) as source:
        target = default_target(source.name, target_framework, source.files.files()) if output is None else Path(output)
        refuse_existing(target, force, inputs=source.files.files())
        conversion = convert_files(
            source_framework,
            source.files,
            target_framework,
            target,
            opset=opset,
            input_shapes=inputs,
            color=color,
            safetensors=safetensors,
            cut_at=cut_at,
            batch=batch,
            dynamic_batch=dynamic_batch,
            fold_bn=fold_bn,
            fp16=fp16,
            preprocess=preprocess,
            recogniser=source_names_only if arch == "none" else public_class,
            reader=torch_reader(source, asked, inputs, cut_at) if source_framework == "torch" else None,
            progress=progress,
        )
        if source.reference is not None:
            conversion.warnings.insert(
                0, f"{model} is a reference architecture ({source.reference}): its weights are seeded random numbers"
            )
        hashes = None
        if TARGETS[target_framework].is_folder:
            from facecvt.parity_tests.report.manifest import manifested, write_manifest

            hashes = manifested(conversion)
            conversion.files.append(write_manifest(conversion, hashes))
        verification = None
        if verify:
            from facecvt.parity_tests.verify import verify as verify_conversion

            conversion.graph.forget_weights()  # a checksum, or a writer of another layout, has read them
            verification = verify_conversion(conversion, progress=progress)
            if hashes is not None:
                write_manifest(conversion, hashes, verification)
    return ProvenConversion(conversion, verification, str(model), source.reference)


def torch_reader(
    source: Source,
    asked: str | None,
    inputs: Mapping[str, Sequence[int | str]] | None,
    cut_at: Sequence[str] = (),
) -> Reader:
    """What reads a PyTorch source: which architecture bare weights are of is not for ``converters`` to know.

    Args:
        source: what was found.
        asked: the architecture that the user names, None to find out.
        inputs: shapes of inputs by name, where it is called without others.
        cut_at: values that become the outputs.
    """
    from facecvt.converters.readers.from_torch import TorchCode, kind_of, read_program
    from facecvt.reference_models.state_source import cut_state, read_state, state_graph

    def read(inputs: Mapping[str, Sequence[int | str]] | None = inputs) -> tuple[Any, Graph]:
        files = source.files
        if isinstance(files, TorchCode) or (isinstance(files, TorchFiles) and kind_of(files) != "state"):
            if asked is not None:
                raise UsageError(f"{source.name} is a program; --arch {asked} is for bare weights")
            return read_program(files, inputs, source.name, cut_at)
        if not isinstance(files, TorchFiles):
            raise TypeError("the files of another framework than PyTorch")
        model = read_state(files, asked or (source.name if source.reference else None), name=source.name)
        if cut_at:
            model = cut_state(model, cut_at)
        graph = state_graph(model, inputs)
        recall_from_folder(graph, files.files(), weights_only=True)
        return model, graph

    return read


def source_names_only(graph: Graph) -> None:
    """A recogniser that completes the input contract of a known architecture, and leaves the layers their names."""
    public_class(graph)


def default_target(name: str, target_framework: str, inputs: Sequence[Path] = ()) -> Path:
    """Where a target goes when nobody says: the current folder, under the model's name.

    Args:
        name: the model's name.
        target_framework: ONNX gets a file; the others a folder, of another name where the source's files lie in it.
        inputs: files of the source.
    """
    if not TARGETS[target_framework].is_folder:
        return Path(f"{name}{TARGETS[target_framework].suffix}")
    folder = Path(name)
    holds_input = any(folder.resolve() in path.resolve().parents for path in inputs)
    return Path(f"{name}_{target_framework}") if holds_input else folder


@contextmanager
def found_source(
    model: str | Path,
    framework: str,
    epoch: int | None,
    output: str | None,
    target_framework: str,
    force: bool,
) -> Iterator[Source]:
    """The files of MODEL, as long as the block lasts."""
    whose: Framework = framework  # type: ignore[assignment]  # checked by the caller
    if framework == "torch" and (code := torch_code(str(model))) is not None:
        yield Source(code, code.name, None)
        return
    reference = None if holds_model(whose, model) else reference_name(str(model), framework)
    if reference is None:
        with located(whose, model, epoch=epoch) as files:
            yield Source(files, files.name, None)
        return
    if epoch is not None:
        raise UsageError(f"--epoch is for files; {model} is a reference architecture")
    name = str(model).strip()
    refuse_existing(default_target(name, target_framework) if output is None else output, force)
    from facecvt.reference_models.materialise import write_reference

    with tempfile.TemporaryDirectory(prefix="facecvt-") as folder:
        yield Source(locate(whose, write_reference(name, framework, folder)), name, reference)


def torch_code(model: str) -> TorchCode | None:
    """What ``package.module:factory`` stands for; None for any other spelling, and where a file has this name."""
    from facecvt.converters.readers.from_torch import CODE, TorchCode

    if not CODE.fullmatch(model) or Path(model).exists():
        return None
    return TorchCode(model, model.partition(":")[2])


def reference_name(model: str, framework: str) -> str | None:
    """The reference architecture that a word stands for; None where it can only be a path.

    Raises:
        UsageError: a word that is neither; the message has the nearest names of both kinds.
    """
    from facecvt.reference_models import resolve
    from facecvt.reference_models.naming import FRAMEWORKS

    if framework not in FRAMEWORKS or Path(model).name != model:
        return None
    try:
        return resolve(model).architecture.name
    except UsageError as unknown:
        try:
            with located(framework, model):  # type: ignore[arg-type]
                return None
        except UsageError as missing:
            raise UsageError(f"{missing}\n{unknown}") from None
