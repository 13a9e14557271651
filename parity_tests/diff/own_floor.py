"""What float32 costs a layer by itself, which is less than what it costs the model up to there.

Errors of all layers before add up in a value, so what a model run from its inputs may be off by hides a layer that is
wrong by little. A layer that is fed what A computes has no such excuse. Its floor is measured on A itself: the layer of
A between the same values, fed the same numbers rounded to float32, computed in float32 as the layer of B is:

    floor = max(own error of A's layer, 2^-24)

What rounding the numbers that are fed costs is in it, and so is what cancels within the layer. Where a sample of the
value has fewer than 64 numbers the measurement is a matter of chance, and the floor is not below that of the value.

A layer of A beyond 10 floors of its value is no measure of rounding: it chooses by its operands (a rounding, a
comparison), or A's canonical graph is not what A computes. It proves nothing, and has no floor of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from facecvt.parity_tests.metrics import Metrics
from facecvt.parity_tests.tolerance import FEW, Gate, K, floor_of
from facecvt.parity_tests.verification import TensorResult, Verification


def own_floors(layers: Iterable[TensorResult], clean: Mapping[str, Metrics], batch: int) -> dict[str, float]:
    """Floor of each layer by itself, where one was measured.

    Args:
        layers: the compared values, with the floors of the model up to there.
        clean: value of A -> own error of A's layer in float32.
        batch: number of samples that were fed.
    """
    found = {}
    for layer in layers:
        metrics = clean.get(layer.name)
        if metrics is None or metrics.problem is not None or not Gate(metrics.rel_rmse, layer.floor):
            continue
        few = metrics.elements < FEW * max(batch, 1)
        found[layer.name] = floor_of([metrics.rel_rmse], 1, layer.floor if few else 0.0)
    return found


def with_own_verdict(found: Verification, own: Mapping[str, Metrics], floors: Mapping[str, float]) -> Verification:
    """The verification, which differs where a layer by itself is beyond 10 of its own floors.

    A layer that could not be compared, or that cannot be computed alone, changes nothing.

    Args:
        found: the verdict on the models run from their inputs; returned as it is where it is "differ".
        own: value of A -> own error of the layer of B.
        floors: value of A -> floor of its layer by itself.
    """
    if found.verdict == "differ":
        return found
    layers, wrong = [], []
    for layer in found.layers:
        metrics, floor = own.get(layer.name), floors.get(layer.name)
        if metrics is not None and floor is not None and layer and metrics.problem is None:
            gate = Gate(metrics.rel_rmse, floor)
            if not gate:
                reason = (
                    f"by itself its rel-RMSE is {gate.rel_rmse:.1e}, {gate.ratio:.0f} times "
                    f"its own floor of {floor:.1e} ({K:.0f} are allowed)"
                )
                layer = replace(layer, verdict="differ", reason=reason)
                wrong.append(layer)
        layers.append(layer)
    if not wrong:
        return found
    first = wrong[0]
    reason = (
        f"{len(wrong)} layer(s) of B are wrong by themselves, first {first.name} ({first.operator}): {first.reason}; "
        "run from their inputs the models agree so far, within what float32 costs all layers together"
    )
    if found.verdict == "not_comparable":
        reason = reason.partition("; ")[0]
    return replace(found, verdict="differ", reasons=(reason, *found.reasons), layers=tuple(layers))
