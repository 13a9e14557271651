"""The canonical graph of an architecture, from its listing and weights: no framework is needed for it.

Every value bears the name of the layer that gives it, which is the module path in the PyTorch upstream. The nets
written by hand know nothing of this; what comes out is held against them when a conversion is verified.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from facecvt.converters.errors import ConversionError
from facecvt.converters.graph import Builder, Graph, NumpyArray, dims, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.passes.infer_shapes import infer_nodes
from facecvt.converters.passes.input_shapes import describe_inputs
from facecvt.converters.passes.pipeline import run_passes
from facecvt.reference_models.layers import INPUT, Layer
from facecvt.reference_models.spec import ArchitectureSpec

BATCH_NORM_ROLES = ("scale", "shift", "mean", "variance")
PLAIN = ("Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "HardSwish", "GlobalAveragePool", "Add", "Mul")
WITH_ATTRIBUTES = ("LeakyRelu", "HardSigmoid", "MaxPool", "AveragePool", "Transpose", "Concat", "Softmax")
Weights = Mapping[str, NumpyArray]
Emit = Callable[[Builder, Layer, list[Any], Callable[[str], Any]], Any]


def eps_of(architecture: ArchitectureSpec, layer: Layer, framework: str) -> float:
    """The eps of a BatchNormalization: its own, the one that is asked for, or that of the framework's upstream."""
    given = layer.attributes.get("eps") or architecture.options.get("eps")
    return float(architecture.eps[framework] if given is None else given)


def graph_of_listing(
    architecture: ArchitectureSpec,
    arrays: Weights,
    name: str,
    *,
    framework: str = "torch",
    input_shape: Sequence[int | str] | None = None,
) -> Graph:
    """The graph of an architecture.

    Args:
        architecture: with its options.
        arrays: canonical parameter name -> float32 array; see weights.py.
        name: the model's name.
        framework: whose eps and input contract count; the graph is PyTorch's either way.
        input_shape: batch included, where it is not the one that the architecture declares.

    Raises:
        ConversionError: a layer that has no form in a graph.
    """
    builder = Builder("torch", name)
    contract = architecture.contracts["torch"]
    values = {INPUT: builder.input(contract.name, list(input_shape or contract.shape), ir.DataType.FLOAT)}
    layers = architecture.layers()
    for layer in layers:
        builder.begin(layer.op, layer.name)
        own = {parameter.role: parameter.name for parameter in layer.parameters}

        def weight(role: str, own: Mapping[str, str] = own) -> Any:
            return builder.weight(own[role], np.ascontiguousarray(arrays[own[role]])) if role in own else None

        inputs = [values[source] for source in layer.inputs]
        if layer.op == "BatchNormalization":
            value = batch_normalization(builder, layer, inputs, weight, eps_of(architecture, layer, framework))
        else:
            value = emitted(builder, layer, inputs, weight)
        infer_nodes(builder.take_new_nodes())
        builder.rename(value, layer.name)
        values[layer.name] = value
    fed = {source for layer in layers for source in layer.inputs}
    for layer in layers:
        if layer.name not in fed:
            builder.output(values[layer.name], layer.name)
    describe_inputs(builder.graph)
    declared = replace(contract, in_graph=False)
    builder.graph.contracts = [
        replace(item, color=declared.color, mean=declared.mean, scale=declared.scale, layout=declared.layout)
        for item in builder.graph.contracts
    ]
    return run_passes(builder.graph)


def emitted(b: Builder, layer: Layer, inputs: list[Any], weight: Callable[[str], Any]) -> Any:
    """The canonical nodes of one layer.

    Raises:
        ConversionError: a layer that has no form in a graph.
    """
    if layer.op in PLAIN:
        return b.emit(layer.op, inputs)
    if layer.op in WITH_ATTRIBUTES:
        return b.emit(layer.op, inputs, **layer.attributes)
    emit = EMITTERS.get(layer.op)
    if emit is None:
        raise ConversionError(f"layer {layer.name!r}: {layer.op} cannot be written from an architecture's listing")
    return emit(b, layer, inputs, weight)


def convolution(b: Builder, layer: Layer, inputs: list[Any], weight: Callable[[str], Any]) -> Any:
    """Conv with its bias, where it has one."""
    attributes = {"dilations": (1, 1), **layer.attributes}
    operands = [*inputs, weight("weight"), weight("bias")]
    return b.emit("Conv", operands if operands[-1] is not None else operands[:-1], **attributes)


def batch_normalization(b: Builder, layer: Layer, inputs: list[Any], weight: Callable[[str], Any], eps: float) -> Any:
    """BatchNormalization; scale 1 and shift 0 are written out where the layer has none."""
    mean = weight("mean")
    count = int(mean.shape[0])
    scale, shift = weight("scale"), weight("shift")
    if scale is None:
        scale, shift = b.const(np.ones(count), np.float32), b.const(np.zeros(count), np.float32)
    return b.emit("BatchNormalization", [*inputs, scale, shift, mean, weight("variance")], epsilon=eps)


def prelu(b: Builder, layer: Layer, inputs: list[Any], weight: Callable[[str], Any]) -> Any:
    """PRelu: (C, 1, 1) slopes, or one for all."""
    slope = weight("slope")
    (size,) = dims(slope) or (0,)
    many = size != 1 and size is not None
    return b.emit("PRelu", [*inputs, b.reshaped(slope, (size or 1, 1, 1)) if many else slope])


def gemm(b: Builder, layer: Layer, inputs: list[Any], weight: Callable[[str], Any]) -> Any:
    """A fully connected layer."""
    operands = [*inputs, weight("weight"), weight("bias")]
    return b.emit("Gemm", operands if operands[-1] is not None else operands[:-1], transB=1)


def clip(b: Builder, layer: Layer, inputs: list[Any], weight: Callable[[str], Any]) -> Any:
    """Clip between two numbers."""
    bounds = [b.const(layer.attributes[end], np.float32, f"{layer.name}/{end}") for end in ("min", "max")]
    return b.emit("Clip", [*inputs, *bounds])


def flatten(b: Builder, layer: Layer, inputs: list[Any], weight: Callable[[str], Any]) -> Any:
    """Flatten behind the batch."""
    return b.emit("Flatten", inputs, axis=1)


def length(b: Builder, layer: Layer, inputs: list[Any], weight: Callable[[str], Any]) -> Any:
    """The Euclidean length of every row."""
    return b.emit("ReduceL2", [*inputs, b.const([1])], keepdims=1)


def unit_length(b: Builder, layer: Layer, inputs: list[Any], weight: Callable[[str], Any]) -> Any:
    """Rows of length 1."""
    return b.emit("LpNormalization", inputs, axis=1, p=2)


def pad(b: Builder, layer: Layer, inputs: list[Any], weight: Callable[[str], Any]) -> Any:
    """Zeros on some sides."""
    return b.emit("Pad", [*inputs, b.const(layer.attributes["pads"])], mode="constant")


def rows(b: Builder, layer: Layer, inputs: list[Any], weight: Callable[[str], Any]) -> Any:
    """Reshape that keeps the batch."""
    return b.emit("Reshape", [*inputs, b.const(layer.attributes["shape"])])


def norm_aware(b: Builder, layer: Layer, inputs: list[Any], weight: Callable[[str], Any]) -> Any:
    """Every pixel's vector times the mean length of all vectors over its own length."""
    squares = b.emit("ReduceSum", [b.emit("Mul", [inputs[0], inputs[0]]), b.const([1])], keepdims=1)
    own = b.emit("Sqrt", [squares])
    mean = b.emit("ReduceMean", [own, b.const([0, 1, 2, 3])], keepdims=1)
    return b.emit("Mul", [inputs[0], b.emit("Div", [mean, own])])


def enlarge(b: Builder, layer: Layer, inputs: list[Any], weight: Callable[[str], Any]) -> Any:
    """Resize to the height and width of another map, every pixel the nearest one above and to the left."""
    small, large = sizes(layer, inputs[0]), sizes(layer, inputs[1])
    scales = b.const([1.0, 1.0, large[0] / small[0], large[1] / small[1]], np.float32)
    return b.emit(
        "Resize", [inputs[0], None, scales],
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip


def prior_boxes(b: Builder, layer: Layer, inputs: list[Any], weight: Callable[[str], Any]) -> Any:
    """Squares around the middles of all cells, a constant; see ``LayerList.prior_boxes``."""
    (height, width), (image_height, image_width) = sizes(layer, inputs[0]), sizes(layer, inputs[1])
    step, sides = layer.attributes["step"], np.asarray(layer.attributes["sizes"], np.float64)
    y, x, half = np.meshgrid(
        (np.arange(height) + 0.5) * step, (np.arange(width) + 0.5) * step, sides / 2, indexing="ij"
    )
    corners = np.stack([x - half, y - half, x + half, y + half], axis=-1).reshape(-1, 4)
    whole = np.array([image_width, image_height, image_width, image_height], np.float64)
    b.begin("PriorBox", layer.name)
    return b.emit("Identity", [b.const(corners / whole, np.float32)])


def sizes(layer: Layer, value: Any) -> tuple[int, int]:
    """Height and width of a map.

    Raises:
        ConversionError: they are not fixed.
    """
    found = dims(value)
    if found is None or len(found) != 4 or found[2] is None or found[3] is None:
        raise ConversionError(
            f"layer {layer.name!r} ({layer.op}) needs a fixed height and width, but {name_of(value)!r} has none; give "
            "them with --input x=batch,3,HEIGHT,WIDTH"
        )
    return found[2], found[3]


EMITTERS: Mapping[str, Emit] = {
    "Conv": convolution,
    "PRelu": prelu,
    "Gemm": gemm,
    "Clip": clip,
    "Flatten": flatten,
    "ReduceL2": length,
    "LpNormalization": unit_length,
    "Pad": pad,
    "Reshape": rows,
    "NormAware": norm_aware,
    "Resize": enlarge,
    "PriorBox": prior_boxes,
}
