"""Faults of the data flow: steps added or left out, operands and outputs exchanged, shapes, axes, sizes."""

from __future__ import annotations

import numpy as np

from facecvt.converters.graph import NumpyArray, attribute, constant
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.parity_tests.selftest.draft import Draft, renamed
from facecvt.parity_tests.selftest.fault import Edited, Fault, of_attribute, of_weight
from facecvt.parity_tests.selftest.faults_layers import left_out

SCALED = renamed("edited/Mul")


def sums(draft: Draft) -> list[ir.Node]:
    """Residual sums."""
    return [node for node in draft.nodes("Add") if all(constant(value) is None for value in node.inputs)]


def residual_dropped(draft: Draft) -> Edited:
    """The branch alone, or the shortcut alone where the branch would not reach."""
    node = draft.pick(sums(draft))
    return None if node is None else draft.bypass(node)


def residual_of_another_value(draft: Draft) -> Edited:
    """The sum reads the shortcut's source of an earlier step."""
    found = []
    for node in sums(draft):
        for place in (0, 1):
            value = node.inputs[place]
            producer = value.producer() if value is not None else None
            earlier = producer.inputs[0] if producer is not None and producer.inputs else None
            if earlier is None or producer is None or producer.op_type != "Add" or constant(earlier) is not None:
                continue
            if draft.shape(earlier) == draft.shape(value) != () and earlier is not node.inputs[1 - place]:
                found.append((node, place, earlier))
                break
    node_found = draft.pick([node for node, _, _ in found])
    if node_found is None:
        return None
    node, place, earlier = next(item for item in found if item[0] is node_found)
    node.replace_input_with(place, earlier)
    return draft.value(node)


def residual_twice(draft: Draft) -> Edited:
    """Dropout's scale of training, left in behind an activation."""
    nodes = [node for node in draft.nodes("PRelu", "Relu", "HardSwish", "Flatten") if readers(node)]
    node = draft.pick(nodes)
    if node is None:
        return None
    after = tuple(draft.value(reader) for reader in readers(node))
    draft.append_after(node, "Mul", np.float32(2.0))
    return draft.value(node), *after


def readers(node: ir.Node) -> list[ir.Node]:
    return list(dict.fromkeys(use.node for use in node.outputs[0].uses()))


def operands_turned(draft: Draft) -> Edited:
    """What is concatenated, in the other order."""
    nodes = [node for node in draft.nodes("Concat") if len(node.inputs) > 1 and draft.shape(node.outputs[0])]
    node = draft.pick(nodes)
    if node is None:
        return None
    for place, value in enumerate(list(node.inputs)[::-1]):
        node.replace_input_with(place, value)
    return draft.value(node)


def transposed_otherwise(draft: Draft) -> Edited:
    """Height and width exchanged on the way to channels last."""
    nodes = [node for node in draft.nodes("Transpose") if attribute(node, "perm", []) == [0, 2, 3, 1]]
    return draft.set(draft.pick(nodes), perm=[0, 3, 2, 1])


def not_transposed(draft: Draft) -> Edited:
    """Reshaped as if it were channels last."""
    nodes = [node for node in draft.nodes("Transpose") if attribute(node, "perm", []) == [0, 2, 3, 1]]
    node = draft.pick(nodes)
    return None if node is None else draft.bypass(node)


def reshaped_otherwise(draft: Draft) -> Edited:
    """The last two sizes of a target shape exchanged."""
    nodes = [node for node in draft.nodes("Reshape") if (shape := draft.weight(node, 1)) is not None and shape.size > 2]
    node = draft.pick(nodes)
    if node is None:
        return None
    shape = np.array(draft.weight(node, 1), np.int64)
    shape[-2:] = shape[-2:][::-1]
    return draft.set_weight(node, 1, shape)


def batch_into_features(draft: Draft) -> Edited:
    """Flattened from axis 0: the batch becomes features."""
    return draft.set(draft.pick(draft.nodes("Flatten")), axis=0)


def float_outputs(draft: Draft) -> list[int]:
    """Numbers of the outputs of one shape as another."""
    shapes = [draft.shape(value) for value in draft.graph.body.outputs]
    return [number for number, shape in enumerate(shapes) if shapes.count(shape) > 1 and shape]


def outputs_exchanged(draft: Draft) -> Edited:
    """Two outputs in each other's place."""
    outputs = draft.graph.body.outputs
    if len(outputs) < 2:
        return None
    first, second = (float_outputs(draft) or [0, 1])[:2]
    one, other = outputs[first], outputs[second]
    outputs[first], outputs[second] = ir.Value(name="held"), one
    outputs[first] = other
    return str(one.name), str(other.name)


def output_aliased(draft: Draft) -> Edited:
    """The second output repeats the first."""
    outputs = draft.graph.body.outputs
    if len(outputs) < 2:
        return None
    first, second = outputs[0], outputs[1]
    producer = first.producer()
    if producer is None:
        return None
    copy = ir.Node("", "Identity", [first], num_outputs=1)
    copy.outputs[0].name = "edited/Identity"
    draft.graph.body.append(copy)
    outputs[1] = copy.outputs[0]
    return str(second.name)


def gate_dropped(draft: Draft) -> Edited:
    """Squeeze and excitation without its product."""
    nodes = [node for node in draft.nodes("Mul") if all(constant(value) is None for value in node.inputs)]
    node = draft.pick(nodes)
    if node is None:
        return None
    sizes = [int(np.prod(draft.shape(value), initial=1)) for value in node.inputs]
    return draft.bypass(node, sizes.index(max(sizes)))


def is_scalar(array: NumpyArray, node: ir.Node) -> bool:
    return array.size == 1 and array.dtype.kind == "f"


def resized_linearly(draft: Draft) -> Edited:
    nodes = [node for node in draft.nodes("Resize") if attribute(node, "mode", "nearest") == "nearest"]
    node = draft.pick(nodes)
    if node is not None:
        node.attributes.pop("nearest_mode", None)
    return draft.set(node, mode="linear", coordinate_transformation_mode="half_pixel")


def aligned_corners(draft: Draft) -> Edited:
    nodes = [node for node in draft.nodes("Resize") if attribute(node, "mode", "nearest") == "linear"]
    return draft.set(draft.pick(nodes), coordinate_transformation_mode="align_corners")


def normalised_along(draft: Draft) -> Edited:
    """Norms along the batch."""
    nodes = [node for node in draft.nodes("ReduceL2") if draft.weight(node, 1) is not None]
    node = draft.pick(nodes)
    return None if node is None else draft.set_weight(node, 1, np.array([0], np.int64))


def not_less_than(draft: Draft) -> Edited:
    """The least norm is another one, above those that occur."""
    nodes = [node for node in draft.nodes("Clip", "Max") if norm_before(node)]
    return draft.change(draft.pick(nodes), 1, lambda least: np.full_like(least, 1e3))


def norm_before(node: ir.Node) -> bool:
    producer = node.inputs[0].producer() if node.inputs[0] is not None else None
    return producer is not None and producer.op_type == "ReduceL2"


FAULTS = [
    Fault("residual dropped", "left out: {layer}", residual_dropped),
    Fault("residual of another value", "reads another value", residual_of_another_value),
    Fault("dropout's scale left in", f"added: {SCALED}", residual_twice),
    left_out("MaxPool"),
    Fault("gate of squeeze and excitation dropped", "left out: {layer}", gate_dropped),
    Fault("concatenated in another order", "operands exchanged", operands_turned),
    Fault("height and width exchanged in a transposition", "perm", transposed_otherwise),
    Fault("transposition left out", "left out: {layer}", not_transposed),
    Fault("reshaped to another shape", "another shape", reshaped_otherwise),
    Fault("batch flattened into features", "axis", batch_into_features),
    Fault("two outputs exchanged", "outputs exchanged", outputs_exchanged),
    Fault("an output repeats another", "output of another value", output_aliased),
    of_attribute("softmax along another axis", "axis", ("Softmax",), axis=0),
    of_weight(
        "mean 128 for 127.5 in the graph", "another constant", ("Sub", "Mul", "Div"), 1, lambda c: c * 1.004, is_scalar
    ),
    Fault("nearest read as linear", "mode", resized_linearly),
    Fault("corners aligned", "coordinate_transformation_mode", aligned_corners),
    Fault("norm along another axis", "another axis", normalised_along),
    Fault("least norm", "another limit", not_less_than),
]
