"""The reference architectures as rows of a table, and one of them as a sheet; no framework is imported.

model_rows()           all of them
model_rows("*_se*")    those whose name, other name or family matches; without * and ? a part of a name is enough
model_sheet("r50")     everything that one of them declares

The margin heads are listed in listing_heads.py.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import UsageError
from facecvt.reference_models.costs import Shape, costs
from facecvt.reference_models.naming import FRAMEWORKS
from facecvt.reference_models.spec import (
    OPTION_VALUES,
    Alias,
    ArchitectureSpec,
    Source,
    Stage,
    architectures,
    resolve_name,
)

WILDCARDS = "*?["


@dataclass(frozen=True)
class ModelRow:
    """One reference architecture.

    Attributes:
        name: what commands take in place of a path.
        family: folder of ``reference_models`` that holds it.
        title: one line about it.
        aliases: other names that commands take.
        embedding_size: length of the embedding or of the class scores, 0 where the network gives neither.
        parameters: count of trainable numbers.
        multiply_adds: of one image at the declared input size; see costs.py for what counts.
        input_shape: of its image input, "batch" for the dynamic dimension.
        outputs: shape of every output.
        frameworks: frameworks in which it is written by hand.
        source: repositories of the upstreams.
        paper: title and address.
    """

    name: str
    family: str
    title: str
    aliases: tuple[str, ...]
    embedding_size: int
    parameters: int
    multiply_adds: int
    input_shape: Shape
    outputs: tuple[Shape, ...]
    frameworks: tuple[str, ...]
    source: tuple[str, ...]
    paper: str

    def as_json(self) -> dict[str, Any]:
        """The row as a JSON object."""
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}
        return values | {"outputs": [list(shape) for shape in self.outputs]}


@dataclass(frozen=True)
class Option:
    """An option of an architecture: its name, its value, and what it accepts in words."""

    name: str
    value: Any
    accepts: str


@dataclass(frozen=True)
class ModelSheet:
    """Everything that one architecture declares.

    Attributes:
        asked: the name as it was typed; it may bring options with it.
        row: what the table says of it, with those options.
        stages: its stages in order.
        contracts: framework -> what that framework's net expects to be fed.
        options: every option.
        eps: framework -> BatchNorm eps of that framework's upstream; empty where there is no BatchNorm.
        aliases: other names, with the framework whose upstream has it and the options that it brings.
        source: paper and upstreams.
    """

    asked: str
    row: ModelRow
    stages: tuple[Stage, ...]
    contracts: Mapping[str, InputContract]
    options: tuple[Option, ...]
    eps: Mapping[str, float]
    aliases: tuple[Alias, ...]
    source: Source

    def as_json(self) -> dict[str, Any]:
        """The sheet as a JSON object, the row's keys among its own."""
        return self.row.as_json() | {
            "asked": self.asked,
            "stages": [vars(stage) for stage in self.stages],
            "contracts": {framework: contract.as_json() for framework, contract in self.contracts.items()},
            "options": [
                {"name": option.name, "value": plain(option.value), "accepts": option.accepts}
                for option in self.options
            ],
            "eps": dict(self.eps),
            "names": [
                {"name": alias.name, "framework": alias.framework, "options": plain(alias.options)}
                for alias in self.aliases
            ],
            "upstreams": [vars(upstream) for upstream in self.source.upstreams],
        }


def plain(value: Any) -> Any:
    """A value as JSON has it: lists for tuples, the name of a function."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return getattr(value, "__name__", repr(value)) if callable(value) else value


def frameworks_of(family: str) -> tuple[str, ...]:
    """The frameworks for which a family has a net, found by their files."""
    package = f"facecvt.reference_models.{family}"
    return tuple(name for name in FRAMEWORKS if importlib.util.find_spec(f"{package}.net_{name}") is not None)


def model_row(arch: ArchitectureSpec) -> ModelRow:
    """The row of one architecture, with the options that it has."""
    cost = costs(arch)
    return ModelRow(
        name=arch.name,
        family=arch.family,
        title=arch.title,
        aliases=tuple(alias.name for alias in arch.aliases),
        embedding_size=arch.embedding_size,
        parameters=cost.parameters,
        multiply_adds=cost.multiply_adds,
        input_shape=arch.contracts["torch"].shape,
        outputs=cost.outputs,
        frameworks=frameworks_of(arch.family),
        source=tuple(dict.fromkeys(upstream.repository for upstream in arch.source.upstreams)),
        paper=arch.source.paper,
    )


def model_rows(pattern: str | None = None) -> list[ModelRow]:
    """A row an architecture, family by family.

    Args:
        pattern: only those whose name, other name or family matches, without regard to case; ``*`` stands for any
            text, ``?`` for one character; without them a part of a name is enough.

    Raises:
        UsageError: none matches; the nearest names are given.
    """
    return [model_row(arch) for arch in matching(pattern)]


def matching(pattern: str | None) -> list[ArchitectureSpec]:
    """The architectures of a pattern; see :func:`model_rows`."""
    found = architectures_of(pattern)
    if not found and pattern is not None:
        if has_wildcard(pattern):
            raise UsageError(f"no reference architecture matches {pattern!r}; `facecvt models` lists them all")
        resolve_name(pattern)  # which says what is near
    return found


def architectures_of(pattern: str | None) -> list[ArchitectureSpec]:
    """The architectures of a pattern, perhaps none."""
    if pattern is None:
        return list(architectures().values())
    fits = matcher(pattern)
    return [arch for arch in architectures().values() if fits(all_names(arch))]


def has_wildcard(pattern: str) -> bool:
    """Whether a text stands for several names."""
    return any(mark in pattern for mark in WILDCARDS)


def matcher(pattern: str) -> Callable[[Iterable[str]], bool]:
    """Tells whether any of some names, in lower case, matches a pattern; see :func:`model_rows`."""
    wanted = pattern.strip().lower()
    glob = wanted if has_wildcard(wanted) else f"*{wanted}*"
    return lambda names: any(fnmatchcase(name, glob) for name in names)


def all_names(arch: ArchitectureSpec) -> Iterable[str]:
    """What a pattern is held against, in lower case."""
    return (name.lower() for name in (arch.name, arch.family, *(alias.name for alias in arch.aliases)))


def model_sheet(name: str) -> ModelSheet:
    """What one architecture declares.

    Args:
        name: any name that ``facecvt.reference_models.resolve`` knows; the options that it brings are set.

    Raises:
        UsageError: no architecture has this name; the nearest names are given.
    """
    arch = resolve_name(name).architecture
    return ModelSheet(
        asked=name.strip(),
        row=model_row(arch),
        stages=arch.stages,
        contracts=arch.contracts,
        options=tuple(Option(option, value, OPTION_VALUES[option][0]) for option, value in arch.options.items()),
        eps=arch.eps,
        aliases=arch.aliases,
        source=arch.source,
    )


def is_name(text: str) -> bool:
    """Whether a text is the name of an architecture, rather than a pattern for several."""
    try:
        resolve_name(text)
    except UsageError:
        return False
    return True
