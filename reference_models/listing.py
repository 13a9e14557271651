"""The reference architectures as rows of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facecvt.reference_models.naming import FRAMEWORKS
from facecvt.reference_models.spec import architectures


@dataclass(frozen=True)
class ModelRow:
    """One reference architecture.

    Attributes:
        name: what commands take in place of a path.
        title: one line about it.
        aliases: other names that commands take.
        embedding_size: length of the embedding.
        parameters: count of trainable numbers.
        input_shape: of its image input, "batch" for the dynamic dimension.
        frameworks: frameworks in which it is written by hand.
        paper: title and address.
    """

    name: str
    title: str
    aliases: tuple[str, ...]
    embedding_size: int
    parameters: int
    input_shape: tuple[int | str, ...]
    frameworks: tuple[str, ...]
    paper: str

    def as_json(self) -> dict[str, Any]:
        """The row as a JSON object."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}


def model_rows() -> list[ModelRow]:
    """A row an architecture, family by family."""
    return [
        ModelRow(
            name=spec.name,
            title=spec.title,
            aliases=tuple(alias.name for alias in spec.aliases),
            embedding_size=spec.embedding_size,
            parameters=spec.parameter_count(),
            input_shape=spec.contracts["torch"].shape,
            frameworks=tuple(FRAMEWORKS),
            paper=spec.source.paper,
        )
        for spec in architectures().values()
    ]
