"""Which layer is at fault: the first whose own error is above its floor, while it is fed what the other side computes.

Own errors come from :mod:`facecvt.parity_tests.diff.own_error`, so no layer answers for another. Where the layer reads
a value that the other side's layer does not (a step that one side left out), that step is named: the layer itself is
innocent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from facecvt.converters.graph import Graph, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.parity_tests.align import resolved_alias
from facecvt.parity_tests.diff.network import Network
from facecvt.parity_tests.diff.provenance import Provenance
from facecvt.parity_tests.metrics import Metrics
from facecvt.parity_tests.tolerance import Gate
from facecvt.parity_tests.verification import TensorResult


@dataclass(frozen=True)
class Fault:
    """The layer at fault.

    Attributes:
        a: its value in A, in A's own spelling.
        b: its value in B.
        result: how the two compare when B has run from its inputs.
        own: the error of the layer alone.
        floor: what float32 costs the layer alone; where that is not known, what it costs the model up to there.
        skipped: names of values of A between the layer's aligned operands and the layer, which B does not have.
        added: the same of B.
    """

    a: str
    b: str
    result: TensorResult
    own: Metrics
    floor: float
    skipped: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


def faults(
    layers: Sequence[TensorResult],
    own: Mapping[str, Metrics],
    floors: Mapping[str, float],
    a: Graph,
    b: Graph,
    provenance: Provenance,
) -> Iterator[Fault]:
    """Every layer at fault, in A's order of computation: no layer answers for another, so each is one by itself.

    Args:
        layers: the compared values.
        own: value of A -> its layer's own error.
        floors: value of A -> its layer's own floor, where one was measured.
        a, b: the canonical graphs.
        provenance: what is what in them.
    """
    networks: tuple[Network, Network] | None = None
    aligned = {match.a for match in provenance.matches} | set(provenance.absorbed)
    theirs = {match.b for match in provenance.matches}
    for result in layers:
        metrics = own.get(result.name)
        floor = floors.get(result.name, result.floor)
        if metrics is None or result.target is None or Gate(metrics.rel_rmse, floor):
            continue
        networks = networks or (Network(a), Network(b))
        name = resolved_alias(result.name, a.aliases)
        lost = tuple(between(networks[0], name, aligned))
        more = tuple(between(networks[1], result.target, theirs))
        yield Fault(result.name, result.target, result, metrics, floor, lost, more)


def between(network: Network, name: str, aligned: set[str]) -> list[str]:
    """Values on the way from the nearest aligned values to a value, without itself, in order of computation."""
    values = {name_of(value): value for node in network.nodes for value in node.outputs}
    found: set[str] = set()
    waiting: list[ir.Value] = [values[name]] if name in values else []
    while waiting:
        node = waiting.pop().producer()
        if node is None:
            continue
        for value in network.data_inputs(node):
            known = name_of(value)
            if known not in aligned and known not in found and value.producer() is not None:
                found.add(known)
                waiting.append(value)
    return [known for known in values if known in found]
