"""One conversion without its proof: source files -> canonical graph -> target files.

:func:`convert_files` reads, runs the passes, and writes; the result says what came from where, so that a verifier can
run source and target side by side. It is the caller who decides on a recognised architecture (``recogniser``), because
this package knows none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from facecvt.converters.contract import InputContract
from facecvt.converters.graph import Graph

SOURCES = ("mxnet", "paddle", "onnx")
TARGETS = ("onnx", "torch")


class Architecture(Protocol):
    """A recognised reference architecture, as the PyTorch writer needs it.

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

    def state(self, graph: Graph) -> dict[str, Any]:
        """state_dict of the public class from the graph's weights, eps compensated; raises WeightsError where it cannot."""

    def taps(self, graph: Graph) -> dict[str, str]:
        """Canonical value name -> module path whose output it is."""


Recogniser = Callable[[Graph], "Architecture | None"]


@dataclass
class Conversion:
    """What a conversion did.

    Attributes:
        source_framework: "mxnet", "paddle" or "onnx".
        source_model: the format record that was read: MxnetModel, PaddleModel, or the path of an ONNX file.
        source_files: files of the source.
        graph: the canonical graph as it was written.
        target_framework: "onnx" or "torch".
        target: the file or folder that was written.
        files: every file written.
        taps: canonical value name -> where the target holds that value: ONNX value name, ``line:N`` of ``model.py``
            whose statement assigns it, or ``module:PATH`` whose output it is.
        contracts: one input contract an input.
        warnings: what the user should know.
        recognised: name of the reference architecture whose public names were used, else None.
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
