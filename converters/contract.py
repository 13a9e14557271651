"""The input contract: what a model expects to be fed, recorded once and carried into every target."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class InputContract:
    """What one input of a model expects.

    Attributes:
        name: the input's name in the source.
        shape: one entry a dimension: an int, or a name ("batch", "height", ...) where any size is accepted.
        dtype: numpy name of the element type, for example "float32".
        layout: "NCHW", "NHWC", "NC", or None where it is not an image or not known.
        color: "RGB" or "BGR" where the source or its architecture says so, else None.
        mean: per-channel values subtracted from the pixels (one value where they are equal), None where not known.
        scale: factor after the subtraction, so that the network sees (pixel - mean) * scale; None where not known.
        in_graph: True where the graph itself does that, so that it is fed pixels 0..255.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"
    layout: str | None = None
    color: str | None = None
    mean: tuple[float, ...] | None = None
    scale: tuple[float, ...] | None = None
    in_graph: bool = False

    def as_json(self) -> dict[str, Any]:
        """The contract as a JSON object; keys are the attribute names."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
