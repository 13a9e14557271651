"""A recognised graph as the public PyTorch class of its architecture: class source, state_dict, places of its values.

The class is the text of the family's ``net_torch.py``. Its BatchNorm eps is the public one (1e-5), whatever the source
had: the running variance makes up for it, var + eps_source = var' + eps_public, so that the weights give the right
numbers in anybody's stock class. That needs var' > 0 everywhere, and is refused otherwise.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Container
from dataclasses import replace
from pathlib import Path

import numpy as np

from facecvt.converters.errors import WeightsError
from facecvt.converters.graph import Graph, NumpyArray, constant, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.passes.infer_shapes import infer_shapes
from facecvt.reference_models.recognise import Recognition, recognise
from facecvt.reference_models.spec import families
from facecvt.reference_models.weights import from_canonical

ARITHMETIC = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/"}
# what computes nothing: a value behind it holds all that it gives
MOVES = (
    *("Pad", "Transpose", "Reshape", "Flatten", "Concat", "Slice", "Expand", "Shape", "Squeeze", "Unsqueeze"),
    "Identity",
)
# what a source spells activations out in
STEPS = ("Add", "Sub", "Mul", "Div", "Clip", "Min", "Max", "Relu", "HardSigmoid", "Sigmoid", "Neg")


class PublicClass:
    """The public PyTorch form of a recognised graph; what the PyTorch writer takes as an architecture.

    Attributes:
        name: of the architecture, for example "iresnet50".
        class_name: in ``class_source``.
        arguments: Python source of the constructor's arguments.
        class_source: text of a standalone module that needs torch alone.
    """

    def __init__(self, recognition: Recognition) -> None:
        self._recognition = recognition
        architecture = recognition.architecture
        family = families()[architecture.family]
        made = family.torch_class(architecture)
        self.name = architecture.name
        self.class_name = made.name
        self.arguments = made.arguments
        module = importlib.util.find_spec(f"facecvt.reference_models.{architecture.family}.net_torch")
        if module is None or module.origin is None:
            raise FileNotFoundError(f"{architecture.family}/net_torch.py is not installed")
        self.class_source = Path(module.origin).read_text(encoding="utf-8")

    def network_input(self, argument: str) -> str:
        """Python expression of what the network is fed, where the graph has arithmetic in front of it.

        Args:
            argument: name of the tensor that the model is fed.
        """
        expression = argument
        for node in self._recognition.preprocessing:
            left, right = (constant(value) for value in node.inputs)
            operand = right if left is None else left
            if operand is None:
                raise WeightsError(f"{node.op_type} {node.name!r}: no constant in the preprocessing")
            parts = (expression, tensor_literal(operand, argument))
            first, second = parts if left is None else parts[::-1]
            expression = f"({first} {ARITHMETIC[node.op_type]} {second})"
        return expression[1:-1] if expression.startswith("(") else expression

    def state(self, graph: Graph, framework: str = "torch") -> dict[str, NumpyArray]:
        """The state_dict of the public class, with its eps compensated.

        Args:
            graph: the recognised graph.
            framework: whose public class, names and layouts: "torch" or "paddle".

        Raises:
            WeightsError: a running variance is too small for the compensation.
        """
        recognition = self._recognition
        arrays = recognition.arrays()
        own = {layer.name: layer.attributes.get("eps") for layer in recognition.architecture.layers()}
        for layer, eps in recognition.eps().items():
            public = own[layer] or recognition.architecture.eps[framework]
            if np.float32(eps) == np.float32(public):
                continue
            name = next(p for p in arrays if p.rpartition(".")[0] == layer and p.endswith(".variance"))
            variance = (arrays[name].astype(np.float64) + (eps - public)).astype(np.float32)
            if not (variance > 0).all():
                raise WeightsError(
                    f"{layer}: its eps is {eps:g}, that of the public class {public:g}, and a running variance of "
                    f"{float(arrays[name].min()):g} cannot make up for the difference. Use --arch none to keep the "
                    "source's own layers and eps."
                )
            arrays[name] = variance
        return from_canonical(arrays, framework, recognition.architecture)

    def taps(self, graph: Graph) -> dict[str, str]:
        """Canonical value name -> ``module:PATH`` of what puts it out, or ``input:PATH`` of what it is fed to."""
        architecture, layers = self._recognition.architecture, self._recognition.layers
        names, listing = architecture.names("torch"), architecture.layers()
        places = {layer: f"input:{path}" for layer, path in (names.feeds(listing) if names.feeds else {}).items()}
        places |= {layer: f"module:{path}" for layer, path in names.taps(listing).items()}
        return {name_of(layers[layer].outputs[0]): place for layer, place in places.items() if layer in layers}


def contained_values(graph: Graph, held: Container[str], known: Container[str]) -> dict[str, str]:
    """Values that a class has no name for -> the value behind them that holds what they hold.

    What a class moves about is held by the value that it is moved to. The steps of an activation that the source spells
    out (x + 3, clipped, times x, over 6) are computed inside the one module whose output they all lead to.

    Args:
        graph: the recognised graph.
        held: canonical names of the values that the class has a place for.
        known: names of values that are layers of the architecture or preprocessing: no steps inside of another layer.
    """
    found: dict[str, str] = {}
    for node in reversed(list(graph.body)):
        name = name_of(node.outputs[0])
        if name in held:
            continue
        behind = [name_of(use.node.outputs[0]) for use in node.outputs[0].uses()]
        holders = [each if each in held else found.get(each) for each in behind]
        inside = node.op_type in STEPS and name not in known and not has_weights(node) and len(set(holders)) == 1
        holder = next((each for each in holders if each is not None), None)
        if holder is not None and (node.op_type in MOVES or inside):
            found[name] = holder
    return found


def has_weights(node: ir.Node) -> bool:
    """True where an operand is an array of more than one number."""
    return any((array := constant(value)) is not None and array.size > 1 for value in node.inputs)


def tensor_literal(array: NumpyArray, like: str) -> str:
    """A constant as Python source: a number, or a tensor on the device of ``like``."""
    if array.size == 1:
        return repr(float(array.reshape(-1)[0]))
    shape = ", ".join(str(size) for size in array.shape)
    return f"torch.tensor({array.reshape(-1).tolist()!r}, device={like}.device).view({shape})"


def public_class(graph: Graph) -> PublicClass | None:
    """The public class of a graph that is a reference architecture, else None.

    The graph's input contracts take the colour order, and mean and scale where the graph does not hold them, from what
    the architecture declares for the graph's framework; an ONNX graph takes the colour order alone, since what it was
    made from, and so what is done to its input in front of it, is not known. Height and width that the graph leaves
    free take the architecture's size where it takes no other. What a file of facecvt's own records is left as it is.
    """
    recognition = recognise(graph)
    if recognition is None:
        return None
    settle_size(graph, recognition)
    declared = recognition.architecture.contracts.get(graph.source_framework)
    if declared is None:
        declared = replace(recognition.architecture.contracts["torch"], mean=None, scale=None)
    graph.contracts = [
        replace(
            contract,
            color=contract.color or declared.color,
            mean=contract.mean or declared.mean,
            scale=contract.scale or declared.scale,
        )
        if contract.layout == "NCHW" and contract.name not in graph.recorded
        else contract
        for contract in graph.contracts
    ]
    known = PublicClass(recognition)
    nodes = (*recognition.layers.values(), *recognition.preprocessing)
    graph.absorbed.update(contained_values(graph, known.taps(graph), {name_of(node.outputs[0]) for node in nodes}))
    return known


def settle_size(graph: Graph, recognition: Recognition) -> None:
    """Give free heights and widths of image inputs the size that the architecture declares, where it takes no other."""
    if recognition.architecture.any_size:
        return
    height, width = recognition.architecture.contracts["torch"].shape[2:]
    settled: dict[str, tuple[int | str, ...]] = {}
    for contract in graph.contracts:
        if contract.layout == "NCHW" and any(isinstance(size, str) for size in contract.shape[2:]):
            settled[contract.name] = (*contract.shape[:2], height, width)
    if not settled:
        return
    for value in graph.inputs:
        if name_of(value) in settled:
            value.shape = ir.Shape(settled[name_of(value)])
    infer_shapes(graph)
    graph.contracts = [replace(item, shape=settled.get(item.name, item.shape)) for item in graph.contracts]
    graph.warnings.append(f"{', '.join(settled)}: {height}x{width} is the size of {recognition.architecture.name}")
