"""Shapes and multiply-adds of an architecture, computed from its listing alone: no framework, no weights.

    multiply-adds   one for every product that is added up in a convolution or a fully connected layer, for one image at
                    the declared input size: output elements * kernel height * width * input channels / group, and
                    inputs * outputs. Biases, BatchNormalization, activations, sums and poolings are not counted, as is
                    usual where figures are published (often as "FLOPs", one a multiply-add).

Shapes are those of the canonical layers: (batch, channels, height, width), the batch as the word "batch".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facecvt.reference_models.layers import INPUT, Layer

if TYPE_CHECKING:
    from facecvt.reference_models.spec import ArchitectureSpec

Shape = tuple[int | str, ...]
BATCH = "batch"


@dataclass(frozen=True)
class Costs:
    """What an architecture takes, with the options it has.

    Attributes:
        parameters: trainable numbers: everything but running statistics.
        layer_multiply_adds: layer name -> multiply-adds of a convolution or fully connected layer, for one image.
        shapes: layer name -> shape of what it gives; the network's input is there as INPUT.
        outputs: shapes of what the network gives: of the layers that feed no other, in their order.
    """

    parameters: int
    layer_multiply_adds: Mapping[str, int]
    shapes: Mapping[str, Shape]
    outputs: tuple[Shape, ...]

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one image at the declared input size."""
        return sum(self.layer_multiply_adds.values())


def costs(arch: ArchitectureSpec) -> Costs:
    """Everything in one pass over the listing.

    Raises:
        ValueError: the listing has an operator that is not known here, or layers that do not fit each other.
    """
    shapes: dict[str, Shape] = {INPUT: (BATCH, *arch.contracts["torch"].shape[1:])}
    multiply_adds: dict[str, int] = {}
    layers = arch.layers()
    for layer in layers:
        shape = shapes[layer.name] = shape_behind(layer, [shapes[name] for name in layer.inputs])
        if layer.op in ("Conv", "Gemm"):
            multiply_adds[layer.name] = math.prod(layer.parameter("weight").shape) * math.prod(whole(shape[2:]))
    fed = {name for layer in layers for name in layer.inputs}
    outputs = tuple(shapes[layer.name] for layer in layers if layer.name not in fed)
    return Costs(sum(layer.parameter_count for layer in layers), multiply_adds, shapes, outputs)


def shape_behind(layer: Layer, inputs: Sequence[Shape]) -> Shape:
    """The shape of a layer's output from those of its inputs.

    Raises:
        ValueError: the layer's operator is not known here, or the shapes do not fit.
    """
    rule = SHAPES.get(layer.op)
    if rule is None:
        raise ValueError(f"layer {layer.name!r}: costs.py does not know the shape behind {layer.op}")
    return rule(layer, inputs)


def whole(sizes: Sequence[int | str]) -> list[int]:
    """Sizes that are all numbers; ValueError where one is the batch."""
    numbers = [size for size in sizes if isinstance(size, int)]
    if len(numbers) != len(sizes):
        raise ValueError(f"{tuple(sizes)} are to be numbers")
    return numbers


def as_first(layer: Layer, inputs: Sequence[Shape]) -> Shape:
    return inputs[0]


def windows(layer: Layer, inputs: Sequence[Shape]) -> Shape:
    """Convolution and pooling: height and width by kernel, stride, pads and dilation; ceil_mode rounds up."""
    batch, channels, *sizes = inputs[0]
    if layer.op == "Conv":
        weight = layer.parameter("weight").shape
        if channels != weight[1] * layer.attributes["group"]:
            raise ValueError(
                f"layer {layer.name!r} takes {weight[1] * layer.attributes['group']} channels, not {channels}"
            )
        channels = weight[0]
    kernel, strides, pads = (layer.attributes[name] for name in ("kernel_shape", "strides", "pads"))
    dilations = layer.attributes.get("dilations", (1,) * len(kernel))
    found = []
    for axis, size in enumerate(whole(sizes)):
        free = size + pads[axis] + pads[axis + len(kernel)] - dilations[axis] * (kernel[axis] - 1) - 1
        found.append((-(-free // strides[axis]) if layer.attributes.get("ceil_mode") else free // strides[axis]) + 1)
    return (batch, channels, *found)


def enlarged(layer: Layer, inputs: Sequence[Shape]) -> Shape:
    """Resize to the height and width of the second input."""
    return (*inputs[0][:2], *inputs[1][2:])


def flattened(layer: Layer, inputs: Sequence[Shape]) -> Shape:
    return (inputs[0][0], math.prod(whole(inputs[0][1:])))


def fully_connected(layer: Layer, inputs: Sequence[Shape]) -> Shape:
    out, features = layer.parameter("weight").shape
    if math.prod(whole(inputs[0][1:])) != features:
        raise ValueError(f"layer {layer.name!r} takes {features} features, not {inputs[0]}")
    return (inputs[0][0], out)


def padded(layer: Layer, inputs: Sequence[Shape]) -> Shape:
    pads, rank = layer.attributes["pads"], len(inputs[0])
    return tuple(
        size + pads[axis] + pads[axis + rank] if isinstance(size, int) else size for axis, size in enumerate(inputs[0])
    )


def transposed(layer: Layer, inputs: Sequence[Shape]) -> Shape:
    return tuple(inputs[0][axis] for axis in layer.attributes["perm"])


def reshaped(layer: Layer, inputs: Sequence[Shape]) -> Shape:
    """0 keeps a size, -1 takes what is left behind the batch."""
    wanted = [inputs[0][axis] if size == 0 else size for axis, size in enumerate(layer.attributes["shape"])]
    left = math.prod(whole(inputs[0][1:])) // math.prod(whole([size for size in wanted[1:] if size != -1]))
    return tuple(left if size == -1 else size for size in wanted)


def joined(layer: Layer, inputs: Sequence[Shape]) -> Shape:
    axis = layer.attributes["axis"] % len(inputs[0])
    return (*inputs[0][:axis], sum(whole([shape[axis] for shape in inputs])), *inputs[0][axis + 1 :])


def prior_boxes(layer: Layer, inputs: Sequence[Shape]) -> Shape:
    """Four corners for every size at every cell of the map; they do not depend on the batch."""
    return (math.prod(whole(inputs[0][2:])) * len(layer.attributes["sizes"]), 4)


SHAPES: Mapping[str, Callable[[Layer, Sequence[Shape]], Shape]] = {
    **dict.fromkeys(("Conv", "MaxPool", "AveragePool"), windows),
    **dict.fromkeys(("BatchNormalization", "PRelu", "Relu", "LeakyRelu", "Clip", "Sigmoid", "Softmax"), as_first),
    **dict.fromkeys(("HardSigmoid", "HardSwish", "Add", "Mul", "LpNormalization"), as_first),
    "NormAware": as_first,
    "Concat": joined,
    "Flatten": flattened,
    "Gemm": fully_connected,
    "GlobalAveragePool": lambda layer, inputs: (*inputs[0][:2], 1, 1),
    "Pad": padded,
    "PriorBox": prior_boxes,
    "ReduceL2": lambda layer, inputs: (inputs[0][0], 1),
    "Reshape": reshaped,
    "Resize": enlarged,
    "Transpose": transposed,
}
