"""Which fresnet a bare state is of: units, stem and activation are read off keys and kernels.

The output is the one whose own listing has what the state has beside stem and units. Of outputs with the same arrays
(E, FC and I, say, which differ in a dropout) the first is told; state_readings.py finds the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

from facecvt.reference_models.fresnet.names import OUTPUT_NAMES
from facecvt.reference_models.fresnet.recognition import SIZES
from facecvt.reference_models.fresnet.variants import (
    BOTTLENECK_FROM,
    EXPANSION,
    REVISIONS,
    UNITS,
    WIDTHS,
    architecture_name,
    map_sizes,
)
from facecvt.reference_models.layers import INPUT, Layer, LayerList
from facecvt.reference_models.mxnet_outputs import OUTPUTS, OUTPUTS_OF_2018, append_output, misfit, where_allowed
from facecvt.reference_models.spec import ArchitectureSpec, architectures

if TYPE_CHECKING:
    from facecvt.reference_models.state_view import StateView

FIRST = "layer1.0"


def told(view: StateView) -> Iterator[ArchitectureSpec]:
    """The network of a state's stem, units and output; LookupError where it has no such stem."""
    bottleneck = view.has(f"{FIRST}.conv3")
    stages = tuple(len(list(view.numbered(f"layer{stage}.{{}}.conv1"))) for stage in range(1, len(WIDTHS) + 1))
    depths = [depth for depth, units in UNITS.items() if units == stages]
    if bottleneck:
        depths = [depth for depth in depths if depth >= BOTTLENECK_FROM]
    stem = 2 if view.has("bn_data", "variance") else 0 if view.kernel("conv1")[2] == 7 else 1
    common = {
        "unit": unit_version(view, bottleneck),
        "input": stem,
        "se": view.has(f"{FIRST}.se.conv1"),
        "activation": "prelu" if view.has("prelu", "slope") else "relu",
    }
    for output in outputs(view, WIDTHS[-1] * (EXPANSION if bottleneck else 1), stem, str(common["activation"])):
        for depth in depths:
            for net in where_allowed(architectures()[architecture_name(depth)], **common, **output):
                if output["revision"] == REVISIONS[0] or not bottleneck:
                    yield net
                    return
    for depth in depths:  # no output has just these arrays: the nearest is one with the usual one
        revision = REVISIONS[0] if bottleneck else REVISIONS[1]
        yield from where_allowed(architectures()[architecture_name(depth)], revision=revision, **common)


def unit_version(view: StateView, bottleneck: bool) -> int:
    """Version 3 has a BatchNormalization more than convolutions, version 2 none in its shortcut."""
    if view.has(f"{FIRST}.bn{4 if bottleneck else 3}", "variance"):
        return 3
    return 1 if view.has(f"{FIRST}.downsample.1", "variance") else 2


def outputs(view: StateView, channels: int, stem: int, activation: str) -> Iterator[dict[str, Any]]:
    """Options of every output whose listing has exactly what the state has among the names of outputs."""
    known = {
        (layer.name, parameter.role)
        for layers in possible_tails()
        for layer in layers
        for parameter in layer.parameters
    }
    tail = {view.names.key(*each): shape for each in known if (shape := view.shape(*each)) is not None}
    lengths = sorted({shape[0] for shape in tail.values() if len(shape) == 1} | {channels}, reverse=True)
    named = [(output, REVISIONS[1]) for output in OUTPUTS]
    named += [(output, REVISIONS[0]) for output in (*OUTPUTS_OF_2018, *OUTPUTS)]
    for (output, revision), size, length in product(named, SIZES, lengths):
        edge = map_sizes(stem, size)[-1]
        if misfit(output, channels, edge, length) is None:
            layers = tail_of(output, channels, edge, length, "prelu" if revision == REVISIONS[0] else activation)
            if stored(view, layers) == tail:
                yield {"output": output, "revision": revision, "input_size": size, "embedding_size": length}


def tail_of(output: str, channels: int, size: int, length: int, activation: str) -> list[Layer]:
    """The layers of an output, as the listing of a network has them."""
    net = LayerList()
    append_output(net, INPUT, output, channels=channels, size=size, length=length, act=activation, names=OUTPUT_NAMES)
    return net.layers


@cache
def possible_tails() -> tuple[list[Layer], ...]:
    """Outputs of all kinds, whose names are all that an output can have."""
    return tuple(
        tail_of(output, WIDTHS[-1], map_sizes(1, SIZES[0])[-1], length, "prelu")
        for output in (*OUTPUTS, *OUTPUTS_OF_2018)
        for length in (WIDTHS[-1] // 2, WIDTHS[-1], WIDTHS[-1] * 2)
    )


def stored(view: StateView, layers: list[Layer]) -> Mapping[str, tuple[int, ...]]:
    """What a state of the view's framework has for layers: name -> shape."""
    return {
        view.names.key(layer.name, parameter.role): view.names.stored_shape(layer, parameter)
        for layer in layers
        for parameter in layer.parameters
    }
