"""The operators that facecvt reads and writes, from the rules that are registered; ``docs/ops.md`` is made of it.

``python -m facecvt.converters.ops_table`` prints that page.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from facecvt.converters.graph import CANONICAL_OPSET
from facecvt.converters.ops.registry import DIRECTIONS, lowerings, table

COLUMNS = {
    "from_mxnet": "MXNet",
    "from_paddle": "Paddle",
    "from_onnx": "ONNX",
    "to_torch": "to PyTorch",
    "to_mxnet": "to MXNet",
    "to_paddle": "to Paddle",
}
COUNTED = {
    "from_mxnet": "read from MXNet",
    "from_paddle": "read from Paddle",
    "from_onnx": "read from ONNX",
    "to_torch": "written to PyTorch",
    "to_mxnet": "written to MXNet",
    "to_paddle": "written to Paddle",
}


@dataclass(frozen=True)
class OperatorRow:
    """One operator name and what is done with it.

    Attributes:
        operator: as its framework spells it; where two frameworks share a name it is one row.
        directions: direction -> operator family (a module of ``facecvt.converters.ops``) whose rule serves it.
        lowered_below: opsets below which an ONNX target needs another form of it, newest first.
    """

    operator: str
    directions: dict[str, str]
    lowered_below: tuple[int, ...]

    @property
    def families(self) -> list[str]:
        """The families that serve it, without repetition."""
        return sorted(set(self.directions.values()))

    def as_json(self) -> dict[str, Any]:
        """The row as a JSON object."""
        return {
            "operator": self.operator,
            **{direction: self.directions.get(direction) for direction in DIRECTIONS},
            "lowered_below": list(self.lowered_below),
        }


def operator_rows() -> list[OperatorRow]:
    """A row an operator, in alphabetical order without regard to case."""
    found: dict[str, dict[str, str]] = {}
    for direction in DIRECTIONS:
        for operator, family in table(direction).items():
            found.setdefault(operator, {})[direction] = family
    return [
        OperatorRow(operator, found[operator], tuple(rule.below for rule in lowerings(operator)))
        for operator in sorted(found, key=lambda name: (name.lower(), name))
    ]


def family_title(family: str) -> str:
    """First sentence of the family's docstring."""
    lines = (importlib.import_module(f"facecvt.converters.ops.{family}").__doc__ or "").strip().splitlines()
    return lines[0].rstrip(".") if lines else family


def markdown() -> str:
    """The page ``docs/ops.md``: a section a family, one line a framework."""
    rows = operator_rows()
    counts = {direction: sum(direction in row.directions for row in rows) for direction in DIRECTIONS}
    lines = [
        "# Operators",
        "",
        "Made by `make docs` from the registered rules; do not edit. `facecvt ops` prints the same.",
        f"Every source operator becomes ONNX operators of opset {CANONICAL_OPSET}. An ONNX target is of opset 13, or "
        f"of the one from 11 to {CANONICAL_OPSET} that `--opset` names.",
        "How many of the ONNX project's own node tests pass stands in [onnx-backend.md](onnx-backend.md).",
        "",
        f"| {' | '.join(COUNTED[direction] for direction in DIRECTIONS)} |",
        f"|{'---|' * len(DIRECTIONS)}",
        f"| {' | '.join(str(counts[direction]) for direction in DIRECTIONS)} |",
    ]
    for family in sorted({family for row in rows for family in row.families}):
        lines += ["", f"## {family}", "", f"{family_title(family)}.", "", "| | operators |", "|---|---|"]
        for direction in DIRECTIONS:
            names = [f"`{row.operator}`" for row in rows if row.directions.get(direction) == family]
            if names:
                lines.append(f"| {COLUMNS[direction]} | {', '.join(names)} |")
        lowered = [
            f"`{row.operator}` (below {', '.join(map(str, row.lowered_below))})"
            for row in rows
            if row.lowered_below and family in row.families
        ]
        if lowered:
            lines.append(f"| rewritten for older opsets | {', '.join(lowered)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
