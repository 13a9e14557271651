"""What the ``assert_parity`` of a test session found: ``assertions.json`` and ``assertions.md``.

    {"schema_version", "command": "pytest", "verdict", "counts": {"agree", "differ", "not_comparable", "not_verified"},
     "assertions": [{"test", "phase", "difference": what `facecvt diff --json` prints}]}

Schema: docs/schemas/assertions.schema.json. Assertions are in the order of their tests' names, so that two runs, on
however many processes, write the same. Written without anything but the standard library: a session without an
assertion pays for no import.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facecvt.converters.formats.atomic import atomic_file

if TYPE_CHECKING:
    from facecvt.parity_tests.diff.difference import Difference

SCHEMA_VERSION = "1.0"
VERDICTS = ("differ", "not_comparable", "not_verified", "agree")  # the gravest first
PHASES = ("setup", "call", "teardown")
HEAD = ("test", "verdict", "A", "B", "layers", "worst x floor", "first divergence", "cause")


def write_assertions(assertions: Iterable[dict[str, Any]], folder: Path) -> list[Path]:
    """Write both files; those of an earlier session are replaced.

    Args:
        assertions: records as in the module's docstring, in any order of tests.
        folder: made where it is missing.
    """
    ordered = sorted(assertions, key=lambda each: (each["test"], PHASES.index(each["phase"])))
    document = {
        "schema_version": SCHEMA_VERSION,
        "command": "pytest",
        "verdict": verdict_of(ordered),
        "counts": counts(ordered),
        "assertions": ordered,
    }
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "assertions.json": json.dumps(document, indent=2, allow_nan=False) + "\n",
        "assertions.md": markdown(ordered),
    }
    for name, text in texts.items():
        with atomic_file(folder / name) as stream:
            stream.write(text.encode("utf-8"))
    return [folder / name for name in texts]


def counts(assertions: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How many have which verdict."""
    found = [each["difference"]["verdict"] for each in assertions]
    return {verdict: found.count(verdict) for verdict in VERDICTS[::-1]}


def verdict_of(assertions: Sequence[dict[str, Any]]) -> str:
    """The gravest; where nothing was asserted nothing is proven."""
    found = {each["difference"]["verdict"] for each in assertions}
    return next((verdict for verdict in VERDICTS if verdict in found), "not_verified")


def headline(assertions: Sequence[dict[str, Any]]) -> str:
    """One sentence."""
    if not assertions:
        return "no test has called assert_parity."
    told = ", ".join(f"{count} {verdict.replace('_', ' ')}" for verdict, count in counts(assertions).items() if count)
    return f"{len(assertions)} comparison{'s' if len(assertions) != 1 else ''} of models: {told}."


def markdown(assertions: Sequence[dict[str, Any]]) -> str:
    """The summary: a row an assertion, then what differs."""
    lines = [f"# Parity of models: {verdict_of(assertions).replace('_', ' ')}", "", headline(assertions), ""]
    if assertions:
        lines += [row(HEAD), "|" + "---|" * len(HEAD), *(row(cells(each)) for each in assertions), ""]
    for each in assertions:
        reasons = each["difference"]["reasons"]
        if reasons:
            lines += [f"## {each['test']}", "", *(f"- {reason}" for reason in reasons), ""]
            first = each["difference"]["first_divergence"]
            if first is not None:
                evidence = first["evidence"]
                lines += [f"First divergence: `{first['a']}`. {evidence.get('detail') or evidence['reason']}", ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def cells(assertion: dict[str, Any]) -> list[str]:
    """The row of one assertion."""
    found = assertion["difference"]
    measured = [each for each in (*found["outputs"], *found["layers"]) if each["verdict"] != "not_comparable"]
    ratios = [each["ratio"] for each in measured]
    first = found["first_divergence"]
    return [
        assertion["test"],
        found["verdict"].replace("_", " "),
        f"{found['a']['model']} ({found['a']['framework']})",
        f"{found['b']['model']} ({found['b']['framework']})",
        str(sum(each["verdict"] != "not_comparable" for each in found["layers"])),
        "" if not ratios else "beyond measure" if None in ratios else f"{max(ratios):.3g}",
        first["a"] if first is not None else "",
        (first["cause"] or "not known") if first is not None else "",
    ]


def row(texts: Sequence[str]) -> str:
    """A line of a table."""
    escaped = (text.replace("|", "\\|").replace("\n", " ") for text in texts)
    return f"| {' | '.join(escaped)} |"


def property_of(found: Difference) -> str:
    """The value of a JUnit property: verdict, models, and where and why they part."""
    told = f"{found.verdict}: {found.a} ({found.frameworks[0]}) and {found.b} ({found.frameworks[1]})"
    if found.diverges_at is not None:
        told += f", first divergence {found.diverges_at}"
    if found.cause is not None:
        told += f", cause {found.cause.name}"
    return told
