"""Outputs that are right values in the wrong place: no layer is at fault, and yet they differ.

    outputs exchanged        each output of B is another output of A, none twice
    output of another value  an output of B is some other value of A

Told from the alignment, and counted only if the value that B gives agrees with the value of A that it is.
"""

from __future__ import annotations

from facecvt.converters.graph import name_of
from facecvt.parity_tests.align import resolved_alias
from facecvt.parity_tests.diff.difference import Cause
from facecvt.parity_tests.diff.side_by_side import SideBySide
from facecvt.parity_tests.verification import TensorResult, Verification


def output_cause(pair: SideBySide, found: Verification) -> Cause | None:
    """Why outputs differ although every layer is right; None where that is not known."""
    aliases = pair.a.graph.aliases
    producers = {name_of(value): node for node in pair.b.graph.body for value in node.outputs}
    agreed = {resolved_alias(layer.name, aliases): layer for layer in found.layers if layer.verdict == "agree"}
    partner = {theirs: ours for ours, theirs in pair.provenance.taps.items()}
    given: dict[str, TensorResult] = {}
    before = 0.0
    for output, value in zip(found.outputs, pair.b.graph.outputs, strict=False):
        if output.verdict != "differ":
            continue
        name = name_of(value)
        while name not in partner and name in producers and producers[name].op_type == "Identity":
            source = producers[name].inputs[0]
            name = name if source is None else name_of(source)
        mate = partner.get(name)
        if mate not in agreed or mate == resolved_alias(output.name, aliases):
            return None
        given[output.name] = agreed[mate]
        before = max(before, output.metrics.rel_rmse if output.metrics is not None else 0.0)
    if not given:
        return None
    wanted = {resolved_alias(name, aliases) for name in given}
    found_there = [resolved_alias(layer.name, aliases) for layer in given.values()]
    name = "outputs exchanged" if sorted(wanted) == sorted(found_there) else "output of another value"
    detail = ", ".join(f"output {ours} of B is {layer.name} of A" for ours, layer in given.items())
    after = max(layer.metrics.rel_rmse if layer.metrics is not None else 0.0 for layer in given.values())
    return Cause(name, detail, before, after)
