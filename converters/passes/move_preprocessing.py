"""Moves the normalisation of an input, (pixel - mean) * scale, out of a graph or into it.

    strip   the operators in front of the network that find_preprocessing.py finds are removed: it is fed the result
    add     a Sub and a Mul with what the input contract says are put in front: it is fed pixels 0..255

Mean and scale stand in the contract either way; ``in_graph`` says who applies them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from facecvt.converters.contract import InputContract
from facecvt.converters.errors import UsageError
from facecvt.converters.graph import Graph, name_of
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.converters.passes.find_preprocessing import normalising_nodes


def strip_preprocessing(graph: Graph) -> None:
    """Remove the normalisation in front of every input; a warning where there is none."""
    found = False
    for index, contract in enumerate(graph.contracts):
        value = next((item for item in graph.inputs if name_of(item) == contract.name), None)
        if value is None or not contract.in_graph or not is_per_channel(contract):
            continue
        nodes = normalising_nodes(value)
        last = nodes[-1].outputs[0] if nodes else None
        if last is None or last.is_graph_output() or not last.uses():
            continue
        remove_front(graph, value, nodes)
        graph.contracts[index] = replace(contract, in_graph=False)
        found = True
    if not found:
        graph.warnings.append("--preprocess strip: no normalisation by constants stands in front of the network")


def remove_front(graph: Graph, value: ir.Value, nodes: Sequence[ir.Node]) -> None:
    """Let what reads the last node read the input; the removed values count as contained in the first one behind."""
    last = nodes[-1].outputs[0]
    holder = name_of(next(iter(last.uses())).node.outputs[0])
    operands = [item for node in nodes for item in node.inputs if item is not None]
    last.replace_all_uses_with(value)
    for node in reversed(nodes):
        gone = name_of(node.outputs[0])
        graph.body.remove(node, safe=True)
        graph.origins.pop(gone, None)
        graph.absorbed[gone] = holder
        for name, target in list(graph.absorbed.items()):
            if target == gone:
                graph.absorbed[name] = holder
    for item in operands:
        if name_of(item) in graph.body.initializers and not item.uses():
            del graph.body.initializers[name_of(item)]


def add_preprocessing(graph: Graph) -> None:
    """Put the normalisation of the contract in front of every image input that has none; a warning where all have.

    Raises:
        UsageError: neither the model nor its architecture tells mean and scale.
    """
    images = [contract for contract in graph.contracts if contract.layout is not None and len(contract.shape) == 4]
    missing = [contract for contract in images if not contract.in_graph]
    if not missing:
        graph.warnings.append("--preprocess add: the normalisation is in the graph already, or no input is an image")
        return
    if all(contract.mean is None and contract.scale is None for contract in missing):
        names = ", ".join(contract.name for contract in missing)
        raise UsageError(
            f"--preprocess add: neither the model nor a known architecture tells mean and scale of {names}; "
            "leave the option out and normalise before the model"
        )
    for index, contract in enumerate(graph.contracts):
        if contract in missing and not (contract.mean is None and contract.scale is None):
            value = next(item for item in graph.inputs if name_of(item) == contract.name)
            put_in_front(graph, value, contract)
            graph.contracts[index] = replace(
                contract, mean=contract.mean or (0.0,), scale=contract.scale or (1.0,), in_graph=True
            )


def put_in_front(graph: Graph, value: ir.Value, contract: InputContract) -> None:
    """Sub of the mean and Mul of the scale between an input and all that reads it; what changes nothing is left out."""
    readers = list(value.uses())
    current, first = value, next(iter(graph.body))
    for op_type, numbers, neutral in (("Sub", contract.mean, 0.0), ("Mul", contract.scale, 1.0)):
        if numbers is None or all(number == neutral for number in numbers):
            continue
        name = f"{contract.name}/{'mean' if op_type == 'Sub' else 'scale'}"
        array = np.array(numbers[0] if len(numbers) == 1 else numbers, np.float32)
        if array.ndim and contract.layout == "NCHW":
            array = array.reshape(-1, 1, 1)
        tensor = ir.Tensor(array, name=name)
        operand = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        graph.body.register_initializer(operand)
        node_name = f"{contract.name}/{op_type}"
        node = ir.Node(
            "",
            op_type,
            [current, operand],
            name=node_name,
            metadata_props={"facecvt.source_op": op_type, "facecvt.source_name": node_name},
        )
        result = node.outputs[0]
        result.name, result.shape, result.type = node_name, value.shape, value.type
        graph.origins[node_name] = (op_type, node_name)
        graph.body.insert_before(first, node)
        current = result
    for use in readers:
        use.node.replace_input_with(use.idx, current)


def is_per_channel(contract: InputContract) -> bool:
    """Whether mean and scale are one number, or one a channel; a mean image is neither."""
    axis = {"NCHW": 1, "NHWC": -1}.get(contract.layout or "")
    channels = contract.shape[axis] if axis is not None else 1
    return all(numbers is None or len(numbers) in (1, channels) for numbers in (contract.mean, contract.scale))
