"""The margin heads as rows of a table, and one of them as a sheet; no framework is imported.

head_rows()                        all of them: the definitions first, then the published ones
head_rows("*margin*")              those whose name matches
head_sheet("arcface")              the options of one, its sources, and how each framework stores the class centres
listed("*arc*")                    architectures and heads of one pattern
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facecvt.converters.errors import UsageError
from facecvt.reference_models.heads.names import ROWS
from facecvt.reference_models.heads.spec import HEADS, OPTIONS, HeadSpec, resolve_head
from facecvt.reference_models.heads.upstreams import UPSTREAMS, UpstreamHead
from facecvt.reference_models.listing import (
    ModelRow,
    Option,
    architectures_of,
    frameworks_of,
    matcher,
    model_row,
    model_rows,
    plain,
)
from facecvt.reference_models.spec import Upstream, families

FOLDER = "heads"


@dataclass(frozen=True)
class HeadRow:
    """One margin head.

    Attributes:
        name: what ``build_head`` takes.
        title: one line about it.
        heads: for a published one the definitions that it can be, its own defaults' first; else its own name.
        target: the logit of the target class; see ``heads/spec.py`` for the letters.
        published_in: the framework that a published one is written in; None for a definition.
        frameworks: frameworks in which it is written by hand here.
        source: repositories of the published ones that it is.
        paper: title and address; None for what has none.
    """

    name: str
    title: str
    heads: tuple[str, ...]
    target: str
    published_in: str | None
    frameworks: tuple[str, ...]
    source: tuple[str, ...]
    paper: str | None

    def as_json(self) -> dict[str, Any]:
        """The row as a JSON object."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}


@dataclass(frozen=True)
class Centres:
    """How a framework's net stores the class centres."""

    name: str
    shape: tuple[str, str]


@dataclass(frozen=True)
class PublishedHead:
    """A published head: its name here, its file, and the definitions that it can be."""

    name: str
    source: Upstream
    heads: tuple[str, ...]


@dataclass(frozen=True)
class HeadSheet:
    """Everything that one head declares.

    Attributes:
        asked: the name as it was typed.
        row: what the table says of it.
        options: every option of its definition, with the value that it has.
        own_options: a published one's own options and defaults, from which the others follow.
        centres: framework -> how the class centres are stored.
        upstreams: the published heads that it is, or can be.
    """

    asked: str
    row: HeadRow
    options: tuple[Option, ...]
    own_options: Mapping[str, Any]
    centres: Mapping[str, Centres]
    upstreams: tuple[PublishedHead, ...]

    def as_json(self) -> dict[str, Any]:
        """The sheet as a JSON object, the row's keys among its own."""
        return self.row.as_json() | {
            "asked": self.asked,
            "options": [
                {"name": option.name, "value": plain(option.value), "accepts": option.accepts}
                for option in self.options
            ],
            "own_options": plain(self.own_options),
            "centres": {
                framework: {"name": stored.name, "shape": list(stored.shape)}
                for framework, stored in self.centres.items()
            },
            "upstreams": [
                {"name": each.name, **vars(each.source), "heads": list(each.heads)} for each in self.upstreams
            ],
        }


def is_head(name: str) -> bool:
    """Whether a text is the name of a margin head, rather than a pattern for several."""
    return name.strip().lower() in {*HEADS, *UPSTREAMS}


def head_rows(pattern: str | None = None) -> list[HeadRow]:
    """A row a margin head, the definitions first; with a pattern those whose name matches, perhaps none."""
    fits = matcher(pattern or "")
    return [head_row(name) for name in (*HEADS, *UPSTREAMS) if fits([name])]


def head_row(name: str) -> HeadRow:
    """The row of one head, with its defaults."""
    head, published = resolve_head(name, {}), UPSTREAMS.get(name)
    return HeadRow(
        name=name,
        title=published.title if published else head.title,
        heads=published.heads if published else (name,),
        target=head.target,
        published_in=published.source.framework if published else None,
        frameworks=frameworks_of(FOLDER),
        source=tuple(dict.fromkeys(each.source.repository for each in published_as(name))),
        paper=head.paper,
    )


def published_as(name: str) -> list[UpstreamHead]:
    """The published heads that a name stands for: itself, or all that a definition is written in."""
    if name in UPSTREAMS:
        return [UPSTREAMS[name]]
    return [upstream for upstream in UPSTREAMS.values() if name in upstream.heads]


def head_sheet(name: str) -> HeadSheet:
    """What one margin head declares.

    Args:
        name: one of ``head_names()`` or a published head such as ``paddleclas_arcmargin``.

    Raises:
        UsageError: no head has this name; the nearest names are given.
    """
    head = resolve_head(name, {})
    key = head.upstream or head.name
    return HeadSheet(
        asked=name.strip(),
        row=head_row(key),
        options=tuple(Option(option, value, OPTIONS[option][0]) for option, value in head.options.items()),
        own_options=UPSTREAMS[key].options if head.upstream else {},
        centres={framework: stored_centres(head, framework) for framework in frameworks_of(FOLDER)},
        upstreams=tuple(PublishedHead(each.name, each.source, each.heads) for each in published_as(key)),
    )


def stored_centres(head: HeadSpec, framework: str) -> Centres:
    """Name and dimensions of the class centres in a framework's net."""
    rows = head.layout(framework) == ROWS
    return Centres(head.centres_name(framework), ("classes", "features") if rows else ("features", "classes"))


def listed(pattern: str | None = None) -> tuple[list[ModelRow], list[HeadRow]]:
    """The architectures and the margin heads of a pattern.

    Args:
        pattern: as for ``model_rows``. The exact name of a head is that head alone, with the architectures of a family
            of that name.

    Raises:
        UsageError: neither an architecture nor a head matches; the nearest names are given.
    """
    if pattern is not None and is_head(pattern):
        name = pattern.strip().lower()
        family = families().get(name)
        return [model_row(arch) for arch in family.architectures] if family else [], [head_row(name)]
    heads = head_rows(pattern)
    if heads:
        return [model_row(arch) for arch in architectures_of(pattern)], heads
    try:
        return model_rows(pattern), []
    except UsageError as error:
        near = difflib.get_close_matches(str(pattern).lower(), [*HEADS, *UPSTREAMS], n=3)
        if not near:
            raise
        raise UsageError(f"{error} Margin heads of nearly that name: {', '.join(near)}.") from error
