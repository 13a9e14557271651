"""Faults of activations, pools, and the attributes of convolutions."""

from __future__ import annotations

import numpy as np

from facecvt.converters.graph import NumpyArray, attribute
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.parity_tests.selftest.draft import Draft
from facecvt.parity_tests.selftest.fault import Edited, Fault, of_attribute, of_operator, of_weight

CONV, POOL = ("Conv",), ("MaxPool", "AveragePool")


def pads_on_the_other_side(draft: Draft) -> Edited:
    """A step of 2 with the padding of an even size, all of it behind."""
    nodes = [
        node
        for node in draft.nodes("Conv")
        if attribute(node, "strides", [1, 1]) == [2, 2] and attribute(node, "pads", []) == [1, 1, 1, 1]
    ]
    return draft.set(draft.pick(nodes), pads=[0, 0, 2, 2])


def padded(draft: Draft) -> list[ir.Node]:
    return [node for node in draft.nodes("Conv") if min(attribute(node, "pads", [0] * 4)) > 0]


def pad_off_by_one(draft: Draft) -> Edited:
    """One row and column more before, one less behind."""
    node = draft.pick(padded(draft))
    if node is None:
        return None
    top, left, bottom, right = attribute(node, "pads")
    return draft.set(node, pads=[top + 1, left + 1, bottom - 1, right - 1])


def pad_dropped(draft: Draft) -> Edited:
    """A convolution without its padding: smaller, which the layers behind it may not take."""
    return draft.set(draft.pick(padded(draft)), pads=[0, 0, 0, 0])


def stride_moved(draft: Draft) -> Edited:
    """The step of 2 of one convolution is made by the next."""
    found = []
    for node in draft.nodes("Conv"):
        if attribute(node, "strides", [1, 1]) != [2, 2]:
            continue
        following = next_conv(node)
        if following is not None and attribute(following, "strides", [1, 1]) == [1, 1]:
            found.append((node, following))
    chosen = draft.pick([first for first, _ in found])
    if chosen is None:
        return None
    after = next(other for first, other in found if first is chosen)
    return draft.set(chosen, strides=[1, 1]) or "", draft.set(after, strides=[2, 2]) or ""


def next_conv(node: ir.Node) -> ir.Node | None:
    """The convolution that follows where nothing branches off in between."""
    value = node.outputs[0]
    while len(value.uses()) == 1:
        reader = next(iter(value.uses())).node
        if reader.op_type == "Conv":
            return reader
        if reader.op_type not in ("BatchNormalization", "PRelu", "Relu", "HardSwish"):
            return None
        value = reader.outputs[0]
    return None


def dilation_dropped(draft: Draft) -> Edited:
    """With the padding that keeps the size, as for a kernel without gaps."""
    nodes = [node for node in draft.nodes("Conv") if max(attribute(node, "dilations", [1])) > 1]
    node = draft.pick(nodes)
    return draft.set(node, dilations=[1, 1], pads=[1, 1, 1, 1])


def is_many(array: NumpyArray, node: ir.Node) -> bool:
    return array.size > 1 and bool((array != array.flat[0]).any())


def slope_over_width(draft: Draft) -> Edited:
    """A slope of shape (C,) where as many columns as channels let it pass."""
    for node in draft.nodes("PRelu"):
        slope, shape = draft.weight(node, 1), draft.shape(node.inputs[0])
        if slope is not None and slope.size > 1 and len(shape) == 4 and shape[3] == slope.size:
            return draft.set_weight(node, 1, slope.reshape(1, 1, -1))
    return None


def hard_swish_of_other_slope(draft: Draft) -> Edited:
    return swish(draft, "HardSigmoid", alpha=0.2, beta=0.5)


def hard_swish_of_other_offset(draft: Draft) -> Edited:
    return swish(draft, "HardSigmoid", alpha=1 / 6, beta=0.4)


def hard_swish_as_swish(draft: Draft) -> Edited:
    return swish(draft, "Sigmoid")


def swish(draft: Draft, gate: str, **attributes: object) -> Edited:
    node = draft.pick(draft.nodes("HardSwish"))
    if node is None:
        return None
    value = draft.insert(gate, [node.inputs[0]], node, **attributes)
    return draft.rewrite(node, lambda operand: ir.Node("", "Mul", [operand, value], num_outputs=1))


def pooled_to_fixed_size(draft: Draft) -> Edited:
    """A mean of the first rows and columns only: the kernel of another input size."""
    for node in draft.nodes("GlobalAveragePool"):
        shape = draft.shape(node.inputs[0])
        if len(shape) == 4 and min(shape[2:]) > 2:
            size = [shape[2] - 1, shape[3] - 1]
            return draft.become(node, "AveragePool", 1, kernel_shape=size, strides=list(shape[2:]))
    return None


def summed(draft: Draft) -> Edited:
    """A sum in place of a mean."""
    node = draft.pick(draft.nodes("GlobalAveragePool"))
    if node is None:
        return None
    axes = draft.constant(np.array([2, 3], np.int64), "axes")
    return draft.rewrite(node, lambda operand: ir.Node("", "ReduceSum", [operand, axes], num_outputs=1))


def maximum_as_mean(draft: Draft) -> Edited:
    node = draft.pick(draft.nodes("MaxPool"))
    if node is None:
        return None
    kept = {name: attribute(node, name) for name in node.attributes if name != "storage_order"}
    return draft.become(node, "AveragePool", 1, **kept)


def rounded_down(draft: Draft) -> Edited:
    nodes = [node for node in draft.nodes(*POOL) if attribute(node, "ceil_mode", 0)]
    return draft.set(draft.pick(nodes), ceil_mode=0)


def left_out(operator: str) -> Fault:
    """A step that is missing."""
    return Fault(
        f"{operator} left out", "left out: {layer}", lambda draft: draft.bypass(draft.pick(draft.nodes(operator)))
    )


def clipped(draft: Draft) -> Edited:
    """ReLU6 for ReLU."""
    node = draft.pick(draft.nodes("Relu"))
    if node is None:
        return None
    limits = [draft.constant(np.float32(limit), "limit") for limit in (0.0, 6.0)]
    return draft.rewrite(node, lambda operand: ir.Node("", "Clip", [operand, *limits], num_outputs=1))


FAULTS = [
    Fault("pad on the other side", "pads", pads_on_the_other_side),
    Fault("pad off by one", "pads", pad_off_by_one),
    Fault("pad dropped", "pads", pad_dropped),
    Fault("stride moved to the next convolution", "strides", stride_moved),
    Fault("dilation dropped", "dilations and pads", dilation_dropped),
    of_operator("PReLU read as ReLU", "PRelu read as Relu", "PRelu", "Relu"),
    of_operator("PReLU read as LeakyReLU", "PRelu read as LeakyRelu", "PRelu", "LeakyRelu", alpha=0.25),
    of_operator("ReLU read as LeakyReLU", "Relu read as LeakyRelu", "Relu", "LeakyRelu", alpha=0.01),
    Fault("ReLU read as ReLU6", "Relu read as Clip", clipped),
    of_operator("6 of ReLU6 lost", "Clip read as Relu", "Clip", "Relu"),
    of_weight(
        "one slope for all channels", "one slope for all channels", ("PRelu",), 1, lambda s: s.reshape(-1)[:1], is_many
    ),
    Fault("slope over the width", "slope over the width", slope_over_width),
    of_attribute("slope of LeakyReLU", "alpha", ("LeakyRelu",), alpha=0.3),
    of_attribute("slope of hard sigmoid", "alpha", ("HardSigmoid",), alpha=0.2),
    of_operator("hard sigmoid read as sigmoid", "HardSigmoid read as Sigmoid", "HardSigmoid", "Sigmoid"),
    Fault("slope of hard swish", "HardSwish read as HardSigmoid and Mul", hard_swish_of_other_slope),
    Fault("offset of hard swish", "HardSwish read as HardSigmoid and Mul", hard_swish_of_other_offset),
    Fault("hard swish read as swish", "HardSwish read as Sigmoid and Mul", hard_swish_as_swish),
    left_out("PRelu"),
    left_out("Relu"),
    left_out("HardSwish"),
    Fault("max pool read as average", "MaxPool read as AveragePool", maximum_as_mean),
    Fault("pool sizes rounded down", "ceil_mode", rounded_down),
    of_attribute("average counts the pad", "count_include_pad", ("AveragePool",), count_include_pad=1),
    of_operator(
        "global average read as maximum",
        "GlobalAveragePool read as GlobalMaxPool",
        "GlobalAveragePool",
        "GlobalMaxPool",
    ),
    Fault("global average of a fixed size", "GlobalAveragePool read as AveragePool", pooled_to_fixed_size),
    Fault("sum for a global average", "GlobalAveragePool read as ReduceSum", summed),
]
