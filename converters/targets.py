"""Which frameworks are read, which are written, and what a target of each looks like: the table behind the commands.

    SOURCES       frameworks whose models are read
    TARGETS       framework -> Target, in the order in which the commands are listed
    CONVERSIONS   every (source, target) there is a command for

A new target is one entry in TARGETS, ``writers/to_<framework>.py`` with ``write_target(graph, path, options)``, the
``to_<framework>`` rules of the operator families, and its runtime in ``parity_tests/runtimes/open_target.py``. This
module imports nothing, because the command line reads it before it knows what is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facecvt.converters.conversion import Architecture
    from facecvt.converters.graph import Graph
    from facecvt.converters.passes.to_half import HalfPlan


@dataclass(frozen=True)
class Target:
    """What a target of one framework looks like.

    Attributes:
        title: the framework's name in a text.
        is_folder: whether a folder is written; else one file.
        suffix: of the file.
        names_outputs: whether the target names its outputs as the source does.
        package: what runs it, as the package index calls it.
        options: command line options of this target alone.
    """

    title: str
    is_folder: bool
    names_outputs: bool
    package: str
    suffix: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class WriteOptions:
    """What a caller may choose; a writer ignores what is not its own.

    Attributes:
        opset: of an ONNX target.
        fp16: ONNX: compute in float16 where that is safe.
        safetensors: PyTorch: write ``weights.safetensors`` as well.
        architecture: the recognised architecture whose public names are wanted, None for the source's own.
        progress: called with a stage's name, the bytes done and the bytes in all.
    """

    opset: int = 13
    fp16: bool = False
    safetensors: bool = False
    architecture: Architecture | None = None
    progress: Callable[[str, int, int], None] = field(default=lambda stage, done, total: None)


@dataclass(frozen=True)
class Written:
    """What a writer did.

    Attributes:
        files: every file written; the one that a runtime opens comes first.
        taps: canonical value name -> where the target holds that value, as its runtime spells it.
        half: what of the target computes in float16; None where nothing does.
    """

    files: list[Path]
    taps: dict[str, str]
    half: HalfPlan | None = None


Writer = Callable[["Graph", Path, WriteOptions], Written]

SOURCES = ("mxnet", "paddle", "onnx", "torch")
TARGETS: dict[str, Target] = {
    "onnx": Target("ONNX", False, True, "onnxruntime", suffix=".onnx", options=("opset", "batch", "fold_bn", "fp16")),
    "torch": Target("PyTorch", True, False, "torch", options=("safetensors", "arch")),
    "mxnet": Target("MXNet", True, False, "mxnet"),
    "paddle": Target("PaddlePaddle", True, True, "paddlepaddle", options=("arch",)),
}
CONVERSIONS = tuple((source, target) for target in TARGETS for source in SOURCES if source != target)


def writer_for(framework: str) -> Writer:
    """``write_target`` of the framework's writer, imported when it is needed.

    Raises:
        UsageError: facecvt does not write this framework.
    """
    from importlib import import_module

    from facecvt.converters.errors import UsageError

    if framework not in TARGETS:
        raise UsageError(f"no writer for {framework!r}; there are {', '.join(TARGETS)}")
    write: Writer = import_module(f"facecvt.converters.writers.to_{framework}").write_target
    return write
