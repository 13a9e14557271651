"""``docs/models.md``: every reference architecture and margin head and what it declares, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from facecvt.reference_models.heads.spec import OPTIONS
from facecvt.reference_models.listing import ModelRow, ModelSheet, model_rows, model_sheet
from facecvt.reference_models.listing_heads import HeadRow, head_rows, head_sheet
from facecvt.reference_models.spec import Alias

HEAD = """# Reference architectures

Made by `make docs` from what the architectures declare; do not edit.

Every conversion takes these names in place of a path; the weights are then seeded random numbers. Each architecture is
written by hand in every framework that is named. Parameters are all trainable numbers. Multiply-adds are those of
convolutions and fully connected layers for one image of the given size
([`costs.py`](../reference_models/costs.py)). `facecvt models NAME` shows the same on the console, `--json` as data.
[Margin heads](#margin-heads) to train with stand at the end.
"""


def markdown() -> str:
    """The page."""
    families: dict[str, list[ModelRow]] = {}
    for row in model_rows():
        families.setdefault(row.family, []).append(row)
    lines = [HEAD, f"{sum(map(len, families.values()))} architectures in {len(families)} families:", ""]
    lines += [f"[{family}](#{family})" + ("," if family != list(families)[-1] else ".") for family in families]
    for family, rows in families.items():
        lines += ["", *section(family, rows)]
    return "\n".join([*lines, "", *heads_section(head_rows())]) + "\n"


def heads_section(rows: Sequence[HeadRow]) -> list[str]:
    """The margin heads: definitions, their options, and the published ones with what each of them sets."""
    own, published = ([row for row in rows if bool(row.published_in) == wanted] for wanted in (False, True))
    lines = ["## Margin heads", "", f"{len(own)} to train with, in {', '.join(rows[0].frameworks)}:"]
    lines += ["[`heads`](../reference_models/heads). With features z and class centres w brought to length 1,"]
    lines += ["c = z . w and theta = arccos c. The logits of the other classes are s c.", ""]
    lines += ["| name | what it is | logit of the target class | defaults | paper |", "|---|---|---|---|---|"]
    for row in own:
        lines.append(
            f"| `{row.name}` | {row.title} | `{row.target}` | {set_options(row.name)} | {row.paper or 'none'} |"
        )
    lines += ["", "| option | accepts |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, (meaning, _) in OPTIONS.items()]
    lines += ["", f"{len(published)} published ones, each built by its name in any of the frameworks:", ""]
    lines += ["| name | what it is | which is | own options | where |", "|---|---|---|---|---|"]
    for row in published:
        sheet = head_sheet(row.name)
        theirs = ", ".join(f"`{name}={value!r}`" for name, value in sheet.own_options.items())
        heads = " or ".join(f"`{head}`" for head in row.heads)
        where = f"{row.source[0]}, `{sheet.upstreams[0].source.path}` ({row.published_in})"
        lines.append(f"| `{row.name}` | {row.title} | {heads} | {theirs} | {where} |")
    return lines


def set_options(head: str) -> str:
    """A head's options and defaults; those that nothing is chosen for are left out."""
    shown = [option for option in head_sheet(head).options if option.value is not None]
    return ", ".join(f"`{option.name}={option.value!r}`" for option in shown)


def section(family: str, rows: Sequence[ModelRow]) -> list[str]:
    """One family: its architectures as a table, their sources, options and other names."""
    sheets = [model_sheet(row.name) for row in rows]
    lines = [f"## {family}", "", f"In {', '.join(rows[0].frameworks)}: [`{family}`](../reference_models/{family}).", ""]
    lines += ["| name | what it is | parameters | multiply-adds | input | outputs |", "|---|---|---:|---:|---|---|"]
    for row in rows:
        outputs = ", ".join(" x ".join(map(str, shape)) for shape in row.outputs)
        size = "x".join(map(str, row.input_shape[1:]))
        lines.append(
            f"| `{row.name}` | {row.title} | {row.parameters:,} | {row.multiply_adds:,} | {size} | {outputs} |"
        )
    lines += ["", *sources(sheets), *options(sheets), *other_names(sheets)]
    return lines


def sources(sheets: Sequence[ModelSheet]) -> list[str]:
    """Papers and upstreams of a family, each once."""
    papers = dict.fromkeys(sheet.source.paper for sheet in sheets)
    upstreams = dict.fromkeys(upstream for sheet in sheets for upstream in sheet.source.upstreams)
    lines = [f"- {paper}" for paper in papers]
    return lines + [f"- {item.repository}, `{item.path}` ({item.framework})" for item in upstreams]


def options(sheets: Sequence[ModelSheet]) -> list[str]:
    """Every option with its default; where architectures differ, with the default of each value's first one."""
    defaults: dict[str, dict[str, str]] = {}
    accepts: dict[str, str] = {}
    for sheet in sheets:
        for option in sheet.options:
            accepts[option.name] = option.accepts
            defaults.setdefault(option.name, {}).setdefault(repr(option.value), sheet.row.name)
    if not defaults:
        return []
    lines = ["", "| option | default | accepts |", "|---|---|---|"]
    for name, values in defaults.items():
        shown = [f"`{value}`" + (f" ({first})" if len(values) > 1 else "") for value, first in values.items()]
        lines.append(f"| `{name}` | {', '.join(shown)} | {accepts[name]} |")
    return lines


def other_names(sheets: Sequence[ModelSheet]) -> list[str]:
    """Other names, a line an architecture, with what they bring."""
    lines = [
        f"- `{sheet.row.name}`: {', '.join(written(alias) for alias in sheet.aliases)}"
        for sheet in sheets
        if sheet.aliases
    ]
    return ["", "Other names:", "", *lines] if lines else []


def written(alias: Alias) -> str:
    """A name with the framework whose upstream has it and the options that it sets."""
    notes = [alias.framework] if alias.framework else []
    notes += [f"{name}={value!r}" for name, value in alias.options.items()]
    return f"`{alias.name}`" + (f" ({', '.join(notes)})" if notes else "")
