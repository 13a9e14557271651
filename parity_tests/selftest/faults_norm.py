"""Faults of BatchNormalization, as it is and folded into the layer before it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from facecvt.converters.graph import NumpyArray, attribute
from facecvt.converters.onnx_ir_lazy import ir
from facecvt.parity_tests.selftest.draft import Draft
from facecvt.parity_tests.selftest.fault import Edited, Fault, of_attribute, of_weight

NORM = ("BatchNormalization",)
Terms = tuple[NumpyArray, NumpyArray, NumpyArray, NumpyArray, float]  # gamma, beta, mean, variance, epsilon


def operands_exchanged(first: int, second: int) -> Callable[[Draft], Edited]:
    """Two operands in each other's place."""

    def apply(draft: Draft) -> Edited:
        node = draft.pick(draft.nodes(*NORM))
        if node is None:
            return None
        one, other = node.inputs[first], node.inputs[second]
        node.replace_input_with(first, other)
        node.replace_input_with(second, one)
        return draft.value(node)

    return apply


def of_another_layer(draft: Draft) -> Edited:
    """Mean and variance of another layer of as many channels."""
    sizes: dict[int, list[ir.Node]] = {}
    for node in draft.nodes(*NORM):
        gamma = draft.weight(node, 1)
        if gamma is not None:
            sizes.setdefault(gamma.size, []).append(node)
    first = draft.pick([nodes[0] for nodes in sizes.values() if len(nodes) > 1])
    if first is None:
        return None
    other = next(nodes for nodes in sizes.values() if nodes[0] is first)[1]
    for place in (3, 4):
        first.replace_input_with(place, other.inputs[place])
    return draft.value(first)


def left_out(draft: Draft) -> Edited:
    return draft.bypass(draft.pick(draft.nodes(*NORM)))


def folded(edit: Callable[[Terms], Terms]) -> Callable[[Draft], Edited]:
    """A BatchNormalization folded into the convolution before it with one of its terms wrong."""

    def apply(draft: Draft) -> Edited:
        found = [(conv, norm) for norm in draft.nodes(*NORM) if (conv := folds_into(norm)) is not None]
        norm = draft.pick([norm for _, norm in found])
        if norm is None:
            return None
        conv = next(conv for conv, other in found if other is norm)
        return fold_norm(draft, conv, norm, edit)

    return apply


def folds_into(norm: ir.Node) -> ir.Node | None:
    """The convolution or matrix that only this BatchNormalization reads."""
    value = norm.inputs[0]
    conv = value.producer() if value is not None else None
    if value is None or conv is None or len(value.uses()) != 1 or value.is_graph_output():
        return None
    whole = conv.op_type == "Conv" or (conv.op_type == "Gemm" and attribute(conv, "transB", 0))
    return conv if whole and conv.inputs[1] is not None and conv.inputs[1].const_value is not None else None


def fold_norm(draft: Draft, conv: ir.Node, norm: ir.Node, edit: Callable[[Terms], Terms] = lambda terms: terms) -> str:
    """Fold, in float64; returns the name of what the folded layer computes."""
    given = [draft.weight(norm, place) for place in range(1, 5)]
    gamma, beta, mean, variance = (np.asarray(array, np.float64) for array in given)
    gamma, beta, mean, variance, eps = edit((gamma, beta, mean, variance, float(attribute(norm, "epsilon", 1e-5))))
    factor = gamma / np.sqrt(variance + eps)
    weight, bias = draft.weight(conv, 1), draft.weight(conv, 2)
    if weight is None:
        raise ValueError(f"{draft.value(conv)} computes its weights")
    before = np.zeros_like(beta) if bias is None else bias.astype(np.float64)
    kernel = weight.astype(np.float64) * factor.reshape(-1, *[1] * (weight.ndim - 1))
    operands = [draft.constant(kernel, "folded"), draft.constant((before - mean) * factor + beta, "folded")]
    name = draft.value(norm)
    other = ir.Node("", conv.op_type, [conv.inputs[0], *operands], list(conv.attributes.values()), num_outputs=1)
    body = draft.graph.body
    body.insert_before(norm, other)
    old = norm.outputs[0]
    old.name = f"gone/{name}"
    other.outputs[0].name = name
    old.replace_all_uses_with(other.outputs[0], replace_graph_outputs=True)
    body.remove([norm, conv], safe=True)
    return name


FAULTS = [
    of_attribute("eps 1e-5", "epsilon", NORM, epsilon=1e-5),
    of_attribute("eps 2e-5", "epsilon", NORM, epsilon=2e-5),
    of_attribute("eps 1e-3", "epsilon", NORM, epsilon=1e-3),
    of_attribute("momentum written into eps", "epsilon", NORM, epsilon=0.9),
    of_weight("fix_gamma", "gamma is 1 (fix_gamma)", NORM, 1, np.ones_like),
    of_weight("biased variance", "variance off by one factor", NORM, 4, lambda v: v * (64 / 63)),
    of_weight("standard deviation for variance", "variance is the standard deviation", NORM, 4, np.sqrt),
    of_weight("shift dropped", "dropped shift", NORM, 2, np.zeros_like, lambda b, node: bool(b.any())),
    of_weight("mean dropped", "dropped mean", NORM, 3, np.zeros_like, lambda m, node: bool(m.any())),
    of_weight("mean of the other sign", "mean of the other sign", NORM, 3, lambda m: -m, lambda m, n: bool(m.any())),
    Fault("gamma and beta exchanged", "operands exchanged", operands_exchanged(1, 2)),
    Fault("mean and variance exchanged", "operands exchanged", operands_exchanged(3, 4)),
    Fault("statistics of another layer", "weights of another layer", of_another_layer),
    Fault("BatchNormalization left out", "left out: {layer}", left_out),
    Fault("folded without eps", "epsilon", folded(lambda t: (*t[:4], 0.0))),
    Fault("folded without gamma", "gamma is 1 (fix_gamma)", folded(lambda t: (np.ones_like(t[0]), *t[1:]))),
    Fault("folded without shift", "dropped shift", folded(lambda t: (t[0], np.zeros_like(t[1]), *t[2:]))),
    Fault("folded with mean added", "mean of the other sign", folded(lambda t: (t[0], t[1], -t[2], *t[3:]))),
    Fault("folded without the root", "variance without its root", folded(lambda t: (*t[:3], (t[3] + t[4]) ** 2, 0.0))),
]
