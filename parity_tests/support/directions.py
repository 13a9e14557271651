"""Every reference architecture in every direction: from its torch, Paddle and MXNet form to the other three formats.

The source is the native net of the architecture with its seeded weights, as files of its framework. A target is read
by its own framework and held against the float64 oracle of the source, at batches of 1 and 2 with face-like images;
the oracle runs once for the three targets of a source. The table of docs/directions.md and the suite are made of this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from facecvt.converters.errors import FacecvtError
from facecvt.parity_tests.proven import convert_and_verify
from facecvt.parity_tests.recorded import RecordedSource
from facecvt.parity_tests.support.real_models import worst_of
from facecvt.parity_tests.verification import Verification
from facecvt.parity_tests.verify import verify
from facecvt.reference_models.materialise import write_reference

# Source -> targets: all that there are but ONNX as the source, which no reference net is written in.
DIRECTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "torch": ("onnx", "paddle", "mxnet"),
        "paddle": ("onnx", "torch", "mxnet"),
        "mxnet": ("onnx", "torch", "paddle"),
    }
)
BATCHES = (1, 2)
KINDS = ("image",)


@dataclass(frozen=True)
class DirectionResult:
    """What one conversion of a reference architecture gave.

    Attributes:
        architecture: its name.
        source: framework of the source.
        target: framework of the target.
        verdict: of the verification; "refused" where the conversion itself gave an error.
        reason: why it is not "agree"; "" where it is.
        rel_rmse: the worst of the outputs, infinite where nothing was measured; the next two likewise.
        one_minus_cos: as above.
        floors: rel-RMSE over what float32 costs there.
        parametric: share of the layers with weights that was compared.
        taps: share of all values.
        layers: inner values that were compared.
    """

    architecture: str
    source: str
    target: str
    verdict: str
    reason: str
    rel_rmse: float
    one_minus_cos: float
    floors: float
    parametric: float
    taps: float
    layers: int

    @property
    def direction(self) -> str:
        return f"{self.source}2{self.target}"

    @property
    def agrees(self) -> bool:
        return self.verdict == "agree"


def convert_directions(
    architecture: str, source: str, folder: Path, targets: Sequence[str] | None = None
) -> Iterator[tuple[str, Verification]]:
    """Write a reference net, convert it to each target, and prove each.

    Args:
        architecture: a name of ``reference_models.names()``.
        source: framework of the net.
        folder: an existing folder for the files.
        targets: frameworks to convert to; by default all others.

    Yields:
        Target and what was found.

    Raises:
        FacecvtError: the net cannot be written or converted.
    """
    files = write_reference(architecture, source, folder / f"{architecture}-{source}")
    record = RecordedSource()
    for target in targets or DIRECTIONS[source]:
        name = f"{architecture}-{source}2{target}"
        conversion = convert_and_verify(
            files,
            source,
            target,
            output=folder / (f"{name}.onnx" if target == "onnx" else name),
            arch=architecture if source == "torch" else "auto",
            verify=False,
        ).conversion
        yield target, verify(conversion, batches=BATCHES, kinds=KINDS, oracle=record.open)


def results_of(architecture: str, source: str, targets: Sequence[str] | None = None) -> Iterator[DirectionResult]:
    """The same as figures, in a folder that is removed again; an error is a result as well."""
    remaining = list(targets or DIRECTIONS[source])
    with TemporaryDirectory(prefix="facecvt-") as folder:
        while remaining:
            try:
                for target, found in convert_directions(architecture, source, Path(folder), list(remaining)):
                    remaining.remove(target)
                    yield result_of(architecture, source, target, found)
            except FacecvtError as error:
                none = float("inf")
                yield DirectionResult(
                    architecture, source, remaining.pop(0), "refused", str(error), none, none, none, 0.0, 0.0, 0
                )


def result_of(architecture: str, source: str, target: str, found: Verification) -> DirectionResult:
    """The figures of a verification."""
    worst = worst_of(found)
    return DirectionResult(
        architecture,
        source,
        target,
        found.verdict,
        "; ".join(found.reasons),
        worst.rel_rmse,
        max(worst.one_minus_cos, 0.0),
        worst.ratio,
        found.coverage.parametric,
        found.coverage.taps,
        found.layers_compared,
    )
