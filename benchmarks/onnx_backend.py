"""Runs the node tests of the ONNX project's backend suite through every conversion; writes docs/onnx-backend.md.

    python benchmarks/onnx_backend.py [--print]

What failed and why goes to stderr; tests/test_onnx_backend_nodes.py holds the figures.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import onnx

from facecvt.parity_tests.support.backend_nodes import (
    TARGETS,
    Outcome,
    node_cases,
    oracle_difference,
    out_of_scope,
    run_all,
)

PAGE = Path(__file__).resolve().parents[1] / "docs" / "onnx-backend.md"
TITLES = {"torch": "onnx2torch", "paddle": "onnx2paddle", "mxnet": "onnx2mxnet"}


def page() -> str:
    """The page, after every conversion was run."""
    cases = node_cases()
    reasons = {case.name: out_of_scope(case) for case in cases}
    scope = [case for case in cases if reasons[case.name] is None]
    found = {target: run_all(target, scope) for target in TARGETS}
    against = [oracle_difference(case) for case in scope]
    lines = [
        "# The node tests of the ONNX project",
        "",
        "Made by `make backend-table`; do not edit. The backend suite ships inside the onnx package; this is what onnx "
        f"{onnx.__version__} holds. Every case whose operators are in [the table](ops.md) is converted, run in the "
        "target's framework and held against the outputs that the suite ships, within the suite's own tolerance. "
        '"As shipped" has every operand as a graph input; "constant operands" are the cases that need all inputs '
        "but the first as constants, as exported models have them. Excluded are the cases of the groups below.",
        "",
        f"{len(cases)} cases in all, {len(scope)} with operators and types that are read; the float64 oracle evaluates "
        f"{sum(item is not None for item in against)} of these and agrees on {sum(item == '' for item in against)}.",
        "",
        "| conversion | passed | as shipped | constant operands | failed | in scope | excluded | total |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for target in TARGETS:
        lines.append(row(target, found[target], len(cases)))
    lines += ["", "## Out of scope for every conversion", "", *counted(r for r in reasons.values() if r)]
    for target in TARGETS:
        outcomes = found[target]
        lines += ["", f"## {TITLES[target]}: excluded", ""]
        lines += counted(item.reason for item in outcomes.values() if item.kind == "excluded")
        failed = [name for name, item in outcomes.items() if item.kind == "failed"]
        if failed:
            lines += ["", f"Failed, and open: {', '.join(f'`{name}`' for name in sorted(failed))}."]
            for name in failed:
                print(f"{target} {name}: {outcomes[name].reason}", file=sys.stderr)
    oracle_fails = [case.name for case, item in zip(scope, against, strict=True) if item]
    if oracle_fails:
        names = ", ".join(f"`{name}`" for name in sorted(oracle_fails))
        lines += ["", "## The oracle", "", f"Differs from what the suite ships: {names}."]
    return "\n".join(lines) + "\n"


def row(target: str, outcomes: dict[str, Outcome], total: int) -> str:
    """A line of the table."""
    kinds = Counter(item.kind for item in outcomes.values())
    passed = kinds["passed"] + kinds["constant"]
    scope = passed + kinds["failed"]
    cells = (passed, kinds["passed"], kinds["constant"], kinds["failed"], scope, total - scope, total)
    return f"| {TITLES[target]} | {' | '.join(map(str, cells))} |"


def counted(reasons: object) -> list[str]:
    """A list of reasons with how often each is given."""
    counts = Counter(reasons)  # type: ignore[arg-type,var-annotated]
    return ["| cases | reason |", "|---|---|", *(f"| {count} | {reason} |" for reason, count in counts.most_common())]


if __name__ == "__main__":
    text = page()
    if "--print" in sys.argv[1:]:
        print(text, end="")
    else:
        PAGE.write_text(text, encoding="utf-8")
        print(f"docs/{PAGE.name}")
