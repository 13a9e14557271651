"""One side of a comparison: a model of any format with its canonical graph, opened to be evaluated and looked into."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from facecvt.converters.conversion import read_source
from facecvt.converters.errors import ConversionError, FacecvtError, UsageError
from facecvt.converters.formats.detect import detect
from facecvt.converters.formats.model_files import OnnxFiles
from facecvt.converters.graph import Graph
from facecvt.converters.passes.infer_shapes import ShapeMismatchError
from facecvt.parity_tests.proven import Source, found_source, torch_code, torch_reader

if TYPE_CHECKING:
    import torch

    from facecvt.parity_tests.runtimes.runtime import Runtime

Model: TypeAlias = "str | Path | torch.nn.Module"


@dataclass(frozen=True)
class Side:
    """A model that was opened.

    Attributes:
        spelling: the model as it was given.
        source_framework: "mxnet", "paddle", "onnx" or "torch".
        source_model: its record, as its oracle takes it.
        graph: its canonical graph.
        files: its files.
        located: the same as the record of its format says what each of them is.
        misfits: what does not fit each other in it, where it was opened all the same.
        runtime: makes what runs it, where that is not its format's own runtime as it is by default.
    """

    spelling: str
    source_framework: str
    source_model: Any
    graph: Graph
    files: tuple[Path, ...]
    located: Any = None
    misfits: tuple[str, ...] = ()
    runtime: Callable[[], Runtime] | None = None


@contextmanager
def open_side(
    spelling: Model,
    framework: str | None = None,
    *,
    inputs: Mapping[str, Sequence[int | str]] | None = None,
    may_misfit: bool = False,
) -> Iterator[Side]:
    """Open a model for as long as the block lasts.

    Args:
        spelling: a path in any of its framework's spellings, an archive, or, with ``framework``, the name of a
            reference architecture; ``package.module:factory``; or an ``nn.Module``, which is copied.
        framework: where the path leaves it open.
        inputs: shapes of inputs by name, where the model holds none.
        may_misfit: open an ONNX file also where its sizes do not fit each other.

    Raises:
        UsageError: nothing of that name, or neither path nor module.
        ConversionError: the model cannot be read.
    """
    if isinstance(spelling, PathLike):
        spelling = Path(spelling)
    if not isinstance(spelling, (str, Path)):
        from facecvt.converters.readers.from_torch import in_hand

        code = in_hand(spelling)
        if framework not in (None, "torch"):
            raise UsageError(f"{code.name} is an nn.Module, and no model of {framework}")
        model, graph = read_side(Source(code, code.name, None), "torch", inputs)
        yield Side(code.name, "torch", model, graph, (), code)
        return
    framework = framework or ("torch" if torch_code(str(spelling)) is not None else detect(spelling))
    with found_source(spelling, framework, None, "", "onnx", True) as source:
        misfits: list[str] = []
        model, graph = read_side(source, framework, inputs, misfits if may_misfit else None)
        yield Side(
            str(spelling), framework, model, graph, tuple(source.files.files()), source.files, misfits=tuple(misfits)
        )


@contextmanager
def open_pair(
    a: Model,
    b: Model,
    frameworks: tuple[str | None, str | None] = (None, None),
    inputs: Mapping[str, Sequence[int | str]] | None = None,
) -> Iterator[tuple[Side, Side]]:
    """Open two models; where one holds no sizes of its inputs and they cannot be deduced, it takes the other's.

    Args:
        a, b: as in :func:`open_side`.
        frameworks: of A and B, where the paths leave it open.
        inputs: shapes of inputs by name, of either.

    Raises:
        UsageError: nothing of that name.
        ConversionError: a model cannot be read.
    """
    with ExitStack() as opened:
        try:
            ours = opened.enter_context(open_side(a, frameworks[0], inputs=inputs))
        except (ConversionError, UsageError) as error:
            theirs = opened.enter_context(open_side(b, frameworks[1], inputs=inputs))
            yield _with_sizes_of(theirs, a, frameworks[0], opened, error), theirs
            return
        yield ours, opened_against(ours, b, opened, frameworks[1], inputs)


def opened_against(
    a: Side,
    b: Model,
    opened: ExitStack,
    framework: str | None = None,
    inputs: Mapping[str, Sequence[int | str]] | None = None,
) -> Side:
    """Open B once A is: it may take A's sizes, and an ONNX file whose sizes do not fit each other is opened too.

    Args:
        a: the reference.
        b, framework, inputs: as in :func:`open_side`.
        opened: closes it.

    Raises:
        UsageError: nothing of that name.
        ConversionError: it cannot be read.
    """
    try:
        return opened.enter_context(open_side(b, framework, inputs=inputs))
    except (ConversionError, UsageError) as error:
        try:
            return _with_sizes_of(a, b, framework, opened, error)
        except ShapeMismatchError:
            return opened.enter_context(open_side(b, framework, inputs=inputs, may_misfit=True))


def _with_sizes_of(other: Side, spelling: Model, framework: str | None, opened: ExitStack, error: FacecvtError) -> Side:
    """Open a model with the sizes of another one's inputs; where that does not help, the first error is the one."""
    try:
        shapes = {contract.name: contract.shape for contract in other.graph.contracts}
        return opened.enter_context(open_side(spelling, framework, inputs=shapes))
    except FacecvtError:
        raise error from None


def read_side(
    source: Source,
    framework: str,
    inputs: Mapping[str, Sequence[int | str]] | None,
    misfits: list[str] | None = None,
) -> tuple[Any, Graph]:
    """The record and the canonical graph of a model that was found; ``misfits`` as for an ONNX file's reader."""
    if isinstance(source.files, OnnxFiles) and misfits is not None:
        from facecvt.converters.readers.from_onnx import read_onnx

        return source.files.model, read_onnx(source.files.model, inputs, misfits=misfits)
    if framework != "torch":
        return read_source(framework, source.files, inputs)
    return torch_reader(source, None, inputs)()
